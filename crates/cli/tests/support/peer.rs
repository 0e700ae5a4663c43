//! A client and a server of the test's own, which may say what they like.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pki::{
    Authority, AuthorityOptions, Bundle, ClientList, KeyKind, ServerIdentity, ServerTrust, Standing, TlsVersions,
};
use rustls::{ClientConnection, ServerConfig, ServerConnection, StreamOwned};
use wire::message::{self, MessageType};
use wire::server::{ServerEvent, ServerSession};

use super::SOON;

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// The peer said goodbye as TLS does.
    Closed,
    /// The connection broke.
    Broken(String),
}

/// A client that sends any bytes.
pub struct Client {
    tls: StreamOwned<ClientConnection, TcpStream>,
}

impl Client {
    /// Connects with the client's PKCS#12 file, which has no password.
    pub fn connect(address: SocketAddr, pkcs12: &Path) -> Client {
        let bundle = Bundle::load_pkcs12(pkcs12, None).unwrap();
        let config = pki::client_config(&bundle, ServerTrust::Authorities, TlsVersions::From12).unwrap();
        let connection = ClientConnection::new(config, pki::server_name("localhost")).unwrap();
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        socket.set_write_timeout(Some(SOON)).unwrap();
        Client { tls: StreamOwned::new(connection, socket) }
    }

    /// The address of its socket.
    pub fn local(&self) -> SocketAddr {
        self.tls.sock.local_addr().unwrap()
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.tls.write_all(bytes)?;
        self.tls.flush()
    }

    /// Says that nothing more comes, and keeps listening.
    pub fn finish(&mut self) {
        self.tls.conn.send_close_notify();
        let _ = self.tls.flush();
    }

    /// The next message: type and body.
    pub fn message(&mut self) -> io::Result<(MessageType, Vec<u8>)> {
        let mut header = [0; message::HEADER];
        self.tls.read_exact(&mut header)?;
        let mut whole = header.to_vec();
        whole.resize(message::announced(&header).unwrap(), 0);
        self.tls.read_exact(&mut whole[message::HEADER..])?;
        let message = message::first(&whole, u32::MAX).unwrap().unwrap();
        Ok((message.kind, message.body.to_vec()))
    }

    /// All that comes up to the end of the connection.
    pub fn rest(&mut self) -> (Vec<u8>, End) {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match self.tls.read(&mut buffer) {
                Ok(0) => return (bytes, End::Closed),
                Ok(n) => bytes.extend_from_slice(&buffer[..n]),
                Err(error) => return (bytes, End::Broken(error.to_string())),
            }
        }
    }

    /// The end of the TCP connection below TLS, once TLS has said goodbye.
    pub fn socket_end(&mut self) -> io::Result<usize> {
        self.tls.sock.read(&mut [0; 64])
    }
}

/// A server that is none, with an authority of its own.
pub struct Impostor {
    listener: TcpListener,
    config: Arc<ServerConfig>,
    /// The file of its client, without password.
    pub pkcs12: PathBuf,
}

#[derive(Debug)]
struct Everyone;

impl ClientList for Everyone {
    fn standing(&self, _: &str) -> Standing {
        Standing::Listed
    }
}

impl Impostor {
    /// A server; the client's file is made in `folder`.
    pub fn new(folder: &Path) -> Impostor {
        let options = AuthorityOptions { key: KeyKind::EcdsaP256, ..AuthorityOptions::default() };
        let authority = Authority::create(&options).unwrap();
        let server = authority.issue_server(&["localhost"], 1).unwrap();
        let client = authority.issue_client("127.0.0.1", 1).unwrap();
        let pkcs12 = folder.join("impostor.pkcs12");
        pki::write_private(&pkcs12, &authority.bundle(&client).to_pkcs12(None).unwrap()).unwrap();
        let identity = ServerIdentity::new(&server, &authority);
        let config = pki::server_config(identity, authority.certificate().clone(), Arc::new(Everyone)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Impostor { listener, config, pkcs12 }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Waits for a client and shakes hands.
    pub fn accept(&self) -> Visitor {
        let deadline = Instant::now() + SOON;
        let socket = loop {
            match self.listener.accept() {
                Ok((socket, _)) => break socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    assert!(Instant::now() < deadline, "nobody comes");
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => panic!("{error}"),
            }
        };
        socket.set_nonblocking(false).unwrap();
        // What is sent is on its way at once: a reset would throw away what waits.
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        socket.set_write_timeout(Some(SOON)).unwrap();
        let connection = ServerConnection::new(self.config.clone()).unwrap();
        let mut tls = StreamOwned::new(connection, socket);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock).unwrap();
        }
        Visitor { tls }
    }
}

/// A client of the impostor.
pub struct Visitor {
    tls: StreamOwned<ServerConnection, TcpStream>,
}

impl Visitor {
    /// Answers like a server until the request is complete.
    pub fn request(&mut self) {
        let mut session = ServerSession::new(1);
        let (mut input, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            while let Some((used, event)) = session.receive(&input).unwrap() {
                input.drain(..used);
                if matches!(event, ServerEvent::Subscribed { .. }) {
                    return;
                }
            }
            let out = session.output().to_vec();
            self.send(&out);
            session.sent(out.len());
            let n = self.tls.read(&mut buffer).unwrap();
            assert!(n > 0, "the client left before it had asked");
            input.extend_from_slice(&buffer[..n]);
        }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.tls.write_all(bytes).unwrap();
        self.tls.flush().unwrap();
    }

    /// Is gone in the way of a machine that is switched off and on: the client gets a reset.
    pub fn reset(self) {
        rustix::net::sockopt::set_socket_linger(&self.tls.sock, Some(Duration::ZERO)).unwrap();
    }

    /// Waits until the client is gone.
    pub fn gone(&mut self) {
        let mut buffer = [0; 4096];
        while self.tls.read(&mut buffer).is_ok_and(|n| n > 0) {}
    }

    /// Closes as TLS does, once all has arrived: what is closed with unread bytes is reset.
    pub fn close(mut self) {
        self.tls.conn.send_close_notify();
        self.tls.flush().unwrap();
        self.tls.sock.shutdown(Shutdown::Write).unwrap();
        let _ = io::copy(&mut self.tls.sock, &mut io::sink());
    }
}
