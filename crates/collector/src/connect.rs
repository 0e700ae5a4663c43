//! Opening a connection, and saying in words why it could not be opened.

use crate::config::{Instance, Server};
use crate::credentials;
use pki::client_tls::{PinFile, ServerTrust, TlsVersions};
use rustls::ClientConfig;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A connection that could not be opened. Each says what happened and what to do.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The PKCS#12 file is not there, cannot be opened or is of no use.
    #[error("{0}")]
    Certificate(String),
    /// The PKCS#12 file needs a password, or another one.
    #[error("{0}")]
    Password(String),
    /// The name has no address.
    #[error("the name {host} cannot be resolved: {source}. Check the spelling and the DNS of this machine")]
    Name {
        /// The name.
        host: String,
        /// The cause.
        source: std::io::Error,
    },
    /// Nobody listens.
    #[error(
        "{address} refused the connection: nothing listens there. Is the port right (8302 by default), and is the eStreamer service of the management center running?"
    )]
    Refused {
        /// The address tried last.
        address: SocketAddr,
    },
    /// No answer.
    #[error(
        "{address} did not answer within {seconds} s. Is the address right, and does every firewall between let TCP port {port} pass?"
    )]
    Silent {
        /// The address tried last.
        address: SocketAddr,
        /// How long was waited.
        seconds: u64,
        /// The port.
        port: u16,
    },
    /// TCP failed otherwise.
    #[error("{address} cannot be reached: {source}")]
    Tcp {
        /// The address tried last.
        address: SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
    /// The TLS handshake failed.
    #[error("the TLS handshake with {address} failed. {why}")]
    Tls {
        /// The server's address.
        address: SocketAddr,
        /// The cause and what to do.
        why: String,
    },
}

/// Makes the TLS configuration of the client's certificate: the server is verified by the authorities that came with it;
/// without any, the certificate it shows first is remembered and must stay the same.
pub fn tls(server: &Server, instance: &Instance) -> Result<Arc<ClientConfig>, ConnectError> {
    let credentials = credentials::load(server, instance)?;
    let path = credentials.source.path();
    let trust = if credentials.bundle.authorities.is_empty() {
        let pin = instance.pin();
        tracing::warn!(
            "{} holds no authority: the certificate the server shows first is trusted and remembered in {}",
            path.display(),
            pin.display()
        );
        ServerTrust::FirstSeen(Arc::new(PinFile::new(pin)))
    } else {
        ServerTrust::Authorities
    };
    let config = pki::client_tls::client_config(&credentials.bundle, trust, TlsVersions::From12);
    config.map_err(|error| ConnectError::Certificate(error.in_file(path).to_string()))
}

/// Connects: every address of the name in turn, TCP and TLS together within `timeout` for each.
pub async fn open(
    server: &Server,
    tls: Arc<ClientConfig>,
    timeout: Duration,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    let lookup = |source| ConnectError::Name { host: server.host.clone(), source };
    let none = || lookup(std::io::Error::other("the name has no address"));
    let host = server.host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, server.port)).await.map_err(lookup)?.collect();
    let mut last = none();
    for address in addresses {
        match one(server, address, tls.clone(), timeout).await {
            Ok(stream) => return Ok(stream),
            // A host that answers is the right one: its refusal says more than the silence of its other address.
            Err(error @ ConnectError::Tls { .. }) => return Err(error),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn one(
    server: &Server,
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    timeout: Duration,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    let silent = || ConnectError::Silent { address, seconds: timeout.as_secs(), port: address.port() };
    let tcp = tokio::time::timeout(timeout, TcpStream::connect(address)).await.map_err(|_| silent())?;
    let tcp = tcp.map_err(|source| match source.kind() {
        std::io::ErrorKind::ConnectionRefused => ConnectError::Refused { address },
        std::io::ErrorKind::TimedOut => silent(),
        _ => ConnectError::Tcp { address, source },
    })?;
    watch(&tcp);
    let name = pki::client_tls::server_name(&server.host);
    let handshake = tokio::time::timeout(timeout, TlsConnector::from(tls).connect(name, tcp));
    match handshake.await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(ConnectError::Tls { address, why: pki::explain_connect_io(&error).to_string() }),
        Err(_) => Err(ConnectError::Tls {
            address,
            why: format!(
                "TCP connected, but TLS did not finish within {} s. Is this the eStreamer port, and does a firewall or proxy inspect the connection?",
                timeout.as_secs()
            ),
        }),
    }
}

/// Lets the kernel notice a peer that is gone without a word: after 60 s of silence it asks every 15 s, four times.
fn watch(tcp: &TcpStream) {
    use rustix::net::sockopt;
    let set = || -> rustix::io::Result<()> {
        sockopt::set_socket_keepalive(tcp, true)?;
        sockopt::set_tcp_keepidle(tcp, Duration::from_secs(60))?;
        sockopt::set_tcp_keepintvl(tcp, Duration::from_secs(15))?;
        sockopt::set_tcp_keepcnt(tcp, 4)?;
        // It does not ask while something sent is not confirmed.
        sockopt::set_tcp_user_timeout(tcp, 120_000)
    };
    if let Err(error) = set() {
        tracing::debug!("TCP keep-alive cannot be set: {error}");
    }
    let _ = tcp.set_nodelay(true);
}
