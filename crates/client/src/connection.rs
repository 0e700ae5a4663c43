//! A session on a connection: bytes in, what they mean handed over, acknowledgements out.

use crate::endpoint::{Endpoint, EndpointError};
use crate::identity::Identity;
use crate::output::OutputError;
use std::io;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use wire::client::{ClientError, ClientEvent, ClientRequest, ClientSession};
use wire::subscription::Subscription;

/// Room made for each read.
const READ: usize = 64 << 10;

/// How long the server may take what is sent to it.
const SEND: Duration = Duration::from_secs(60);

/// How long to wait for what the server said last.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How a session failed.
#[derive(Debug, Error)]
pub enum SessionError {
    /// It did not begin.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The connection broke, or was closed before a single message.
    #[error("{0}")]
    Lost(String),
    /// What the server sends is not eStreamer.
    #[error("the server cannot be understood: {0}")]
    Protocol(#[from] ClientError),
    /// The server says why it closes.
    #[error("the server reports error {code}: {text}")]
    Server {
        /// Its code.
        code: i32,
        /// Its text.
        text: String,
    },
    /// A host request had no answer.
    #[error(
        "no answer to the request for {query} within {seconds} s. Does the server keep host data for this client (eStreamer event configuration)?"
    )]
    NoAnswer {
        /// What was asked for.
        query: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The output failed.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The system gives no sockets or timers.
    #[error("the connection cannot be set up: {0}")]
    System(io::Error),
}

/// What a step has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Bytes, to be taken with [`Connection::messages`].
    Data,
    /// Nothing within the time.
    Idle,
    /// The end of the connection.
    Closed,
}

/// An open session.
pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    pub(crate) session: ClientSession,
    buffer: Vec<u8>,
    messages: u64,
}

impl Connection {
    /// Connects and asks.
    pub(crate) async fn open(
        endpoint: &Endpoint,
        identity: &Identity,
        request: ClientRequest,
    ) -> Result<Self, SessionError> {
        let stream = endpoint.open(identity).await?;
        let (tcp, connection) = stream.get_ref();
        let address = tcp.peer_addr().map_err(SessionError::System)?;
        let certificate = connection.peer_certificates().and_then(|c| c.first()).map(|c| pki::fingerprint(c));
        tracing::debug!(
            "Connected to {address}, {}; server certificate SHA-256 {}",
            connection.protocol_version().map_or("TLS".to_owned(), |v| format!("{v:?}")),
            certificate.unwrap_or_default()
        );
        let words = Subscription::new(request.flags, request.timestamp, &request.events).words();
        tracing::debug!("Request with flags {:#010x}: {words}", request.flags);
        Ok(Connection { stream, session: ClientSession::new(request), buffer: Vec::new(), messages: 0 })
    }

    /// Sends what is to be sent, and reads once.
    pub(crate) async fn step(&mut self, wait: Duration) -> Result<Step, SessionError> {
        let out = self.session.take_output();
        if !out.is_empty() {
            let write = async {
                self.stream.write_all(&out).await?;
                self.stream.flush().await
            };
            match timeout(SEND, write).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return self.last_words(error).await,
                Err(_) => {
                    return Err(SessionError::Lost(format!("The server takes nothing for {} s.", SEND.as_secs())));
                }
            }
        }
        self.buffer.reserve(READ);
        match timeout(wait, self.stream.read_buf(&mut self.buffer)).await {
            Err(_) => Ok(Step::Idle),
            Ok(Ok(0)) => self.closed(),
            Ok(Ok(_)) => Ok(Step::Data),
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => self.closed(),
            Ok(Err(error)) => Err(self.lost(&error)),
        }
    }

    /// What had come when nothing could be sent any more: the server may have said why it goes.
    async fn last_words(&mut self, sending: io::Error) -> Result<Step, SessionError> {
        match timeout(LAST_WORDS, self.stream.read_buf(&mut self.buffer)).await {
            Ok(Ok(n)) if n > 0 => Ok(Step::Data),
            // An alert of TLS says more than a broken pipe.
            Ok(Err(error)) if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
                Err(self.lost(&error))
            }
            _ => Err(self.lost(&sending)),
        }
    }

    /// Hands over what has come, acknowledging records and hosts, until `take` gives `false`.
    pub(crate) fn messages<E: From<SessionError>>(
        &mut self,
        mut take: impl FnMut(ClientEvent<'_>) -> Result<bool, E>,
    ) -> Result<(), E> {
        let mut at = 0;
        let mut go = true;
        while go {
            let rest = self.buffer.get(at..).unwrap_or_default();
            let Some((used, event)) = self.session.receive(rest).map_err(SessionError::from)? else { break };
            at += used;
            self.messages += 1;
            tell(&event, used);
            if let ClientEvent::Error { code, text } = event {
                let text = crate::text::line(text.as_bytes(), 1024);
                return Err(SessionError::Server { code, text }.into());
            }
            let acknowledge = matches!(event, ClientEvent::Records(_) | ClientEvent::Host { .. });
            go = take(event)?;
            if acknowledge {
                self.session.acknowledge();
            }
        }
        self.buffer.drain(..at);
        Ok(())
    }

    /// Closes as TLS does.
    pub(crate) async fn close(mut self) {
        let _ = timeout(Duration::from_secs(1), self.stream.shutdown()).await;
    }

    /// What a connection that breaks means. Before the first message it is a refusal: with TLS 1.3 the server looks at
    /// the client's certificate when the client believes the handshake is over.
    fn lost(&self, error: &io::Error) -> SessionError {
        let tls = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
        SessionError::Lost(match tls || self.messages == 0 {
            true => pki::explain_connect_io(error).to_string(),
            false => format!("The connection to the server broke: {error}."),
        })
    }

    fn closed(&self) -> Result<Step, SessionError> {
        match self.messages {
            0 => Err(SessionError::Lost(pki::explain_silent_close().to_string())),
            _ => Ok(Step::Closed),
        }
    }
}

fn tell(event: &ClientEvent<'_>, size: usize) {
    match event {
        ClientEvent::Services(services) => tracing::debug!("Received {size} bytes: the services {services:?}"),
        ClientEvent::KeepAlive => tracing::debug!("Received a Null message"),
        ClientEvent::Records(records) => {
            tracing::debug!("Received {size} bytes: {} records", records.clone().count());
            if records.missed > 0 {
                tracing::warn!("The server's numbering jumped: {} bundles are missing", records.missed);
            }
        }
        ClientEvent::Host { .. } => tracing::debug!("Received {size} bytes: a host"),
        ClientEvent::HostsEnd { .. } => tracing::debug!("Received the end of the hosts"),
        ClientEvent::Error { .. } => {}
        ClientEvent::Unknown(message) => tracing::warn!("Ignored a message of unknown type: {}", message.kind),
    }
}
