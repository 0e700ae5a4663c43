//! The doors through which other programs hand in records.

use crate::http::{self, Http};
use crate::publisher::Settings;
use crate::socket;
use crate::sources::Sources;
use pki::Tokens;
use rustls::ServerConfig;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use thiserror::Error;
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Runtime;

/// A service that takes records by a socket, by HTTP, or by both.
#[derive(Debug)]
pub struct Service {
    sources: Arc<Sources>,
    runtime: Runtime,
    socket: Option<(PathBuf, std::os::unix::net::UnixListener)>,
    http: Option<(Arc<Http>, TcpListener)>,
}

impl Service {
    /// A service that writes to the archive of `netmap` below `root`. The name in `settings` is not used: what comes by
    /// the socket has the source `socket`, what comes by HTTP `http.` and the name of the token.
    ///
    /// # Errors
    /// [`ServiceError::Runtime`].
    pub fn new(root: &Path, netmap: u32, settings: Settings) -> Result<Service, ServiceError> {
        let sources = Arc::new(Sources::new(root.to_owned(), netmap, settings));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        Ok(Service { sources, runtime: runtime.map_err(ServiceError::Runtime)?, socket: None, http: None })
    }

    /// Listens at a Unix socket.
    ///
    /// # Errors
    /// [`ServiceError::Socket`].
    pub fn socket(&mut self, path: &Path) -> Result<(), ServiceError> {
        let listener = socket::bind(path).map_err(|source| ServiceError::Socket { path: path.to_owned(), source })?;
        tracing::info!("Records are taken at the socket {}", path.display());
        self.socket = Some((path.to_owned(), listener));
        Ok(())
    }

    /// Listens for HTTP requests, without TLS only on a loopback address.
    ///
    /// # Errors
    /// [`ServiceError::Plain`], [`ServiceError::Listen`].
    pub fn listen(
        &mut self,
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        tokens: Tokens,
    ) -> Result<SocketAddr, ServiceError> {
        if tls.is_none() && !address.ip().is_loopback() {
            return Err(ServiceError::Plain { address });
        }
        let failed = |source| ServiceError::Listen { address, source };
        let listener = self.runtime.block_on(TcpListener::bind(address)).map_err(failed)?;
        let local = listener.local_addr().map_err(failed)?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        tracing::info!("Records are taken at {scheme}://{local}/records");
        self.http = Some((Arc::new(Http { sources: self.sources.clone(), tokens, tls }), listener));
        Ok(local)
    }

    /// Takes records until it is told to stop. What was answered for is in the archive.
    ///
    /// # Errors
    /// [`ServiceError::Runtime`].
    pub fn run(self, stop: &AtomicBool) -> Result<(), ServiceError> {
        let sources = self.sources.clone();
        if self.socket.is_some() {
            sources.prepare(socket::SOURCE);
        }
        let path = self.socket.as_ref().map(|(path, _)| path.clone());
        let served = self.runtime.block_on(async {
            if let Some((_, listener)) = self.socket {
                let listener = UnixListener::from_std(listener)?;
                tokio::spawn(socket::serve(self.sources, listener));
            }
            if let Some((http, listener)) = self.http {
                tokio::spawn(http::serve(http, listener));
            }
            while !stop.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            sources.stop();
            Ok(())
        });
        if let Some(path) = path {
            let _ = std::fs::remove_file(path);
        }
        served.map_err(ServiceError::Runtime)
    }
}

/// Why records cannot be taken.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// The system gives no threads or no timers.
    #[error("the service cannot run: {0}")]
    Runtime(std::io::Error),
    /// The socket cannot be made.
    #[error("the socket {} cannot be made: {source}", path.display())]
    Socket {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Without TLS for the whole network.
    #[error("{address} is no loopback address: tokens must not travel there without TLS. Leave out --plain-http")]
    Plain {
        /// The address.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("{address} cannot be listened on: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}
