//! The server, and the connection to it.

use crate::identity::Identity;
use collector::config::Server;
use collector::connect::{self, ConnectError};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Where to connect.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Name, IPv4 or IPv6 address.
    pub host: String,
    /// TCP port; 8302 is eStreamer's.
    pub port: u16,
    /// Use IPv6 addresses of the name only.
    pub ipv6: bool,
    /// For TCP and TLS together, for each address of the name.
    pub timeout: Duration,
}

/// A connection that could not be opened.
#[derive(Debug, Error)]
pub enum EndpointError {
    /// TCP, TLS or the name failed.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The name has only IPv4 addresses.
    #[error("{host} has no IPv6 address. Leave out -i, or give the server an AAAA record")]
    NoIpv6 {
        /// The name.
        host: String,
    },
}

impl Endpoint {
    /// Opens TCP and TLS.
    ///
    /// # Errors
    /// Every one says what happened and what to do.
    pub(crate) async fn open(&self, identity: &Identity) -> Result<TlsStream<TcpStream>, EndpointError> {
        if !self.ipv6 {
            return Ok(connect::open(&self.at(self.host.clone()), identity.tls.clone(), self.timeout).await?);
        }
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let found = tokio::net::lookup_host((host, self.port)).await;
        let found = found.map_err(|source| ConnectError::Name { host: self.host.clone(), source })?;
        let mut outcome = Err(EndpointError::NoIpv6 { host: self.host.clone() });
        for address in found {
            let SocketAddr::V6(v6) = address else { continue };
            let host = match v6.scope_id() {
                0 => v6.ip().to_string(),
                scope => format!("{}%{scope}", v6.ip()),
            };
            outcome = connect::open(&self.at(host), identity.tls.clone(), self.timeout).await.map_err(Into::into);
            // A host that answers is the right one: its refusal says more than the silence of its other address.
            if matches!(outcome, Ok(_) | Err(EndpointError::Connect(ConnectError::Tls { .. }))) {
                break;
            }
        }
        outcome
    }

    fn at(&self, host: String) -> Server {
        Server { host, port: self.port, pkcs12: PathBuf::new(), password: None, name: None, set: None }
    }
}
