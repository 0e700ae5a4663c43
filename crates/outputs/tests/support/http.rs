//! A small HTTP server: each request is answered by a function, and kept.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }
}

/// What to answer.
pub enum Reply {
    /// Status, further header lines each with its line end, body.
    Status(u16, &'static str, String),
    /// Close the connection without a word.
    Hang,
    /// Say nothing for this long, then close.
    Silence(Duration),
}

pub fn ok(body: impl Into<String>) -> Reply {
    Reply::Status(200, "", body.into())
}

pub struct Server {
    pub address: SocketAddr,
    pub requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// A server that answers the request with each number.
    pub fn new(answer: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Server {
        Server::with(|socket| Box::new(socket), answer)
    }

    pub fn tls(
        config: Arc<rustls::ServerConfig>,
        answer: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static,
    ) -> Server {
        let wrap = move |socket| -> Box<dyn Both> {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            Box::new(rustls::StreamOwned::new(connection, socket))
        };
        Server::with(wrap, answer)
    }

    fn with(
        wrap: impl Fn(TcpStream) -> Box<dyn Both> + Send + Sync + 'static,
        answer: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        let shared = Arc::new((wrap, answer));
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (kept, shared) = (Arc::clone(&kept), Arc::clone(&shared));
                std::thread::spawn(move || serve(shared.0(socket), &kept, &shared.1));
            }
        });
        Server { address, requests }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

pub trait Both: Read + Write {}
impl<T: Read + Write> Both for T {}

fn serve(socket: Box<dyn Both>, kept: &Mutex<Vec<Request>>, answer: &impl Fn(usize, &Request) -> Reply) {
    let mut socket = BufReader::new(socket);
    while let Some(request) = read(&mut socket) {
        let number = {
            let mut kept = kept.lock().unwrap();
            kept.push(request.clone());
            kept.len() - 1
        };
        match answer(number, &request) {
            Reply::Status(status, headers, body) => {
                let text = format!("HTTP/1.1 {status} Words\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len());
                if socket.get_mut().write_all(text.as_bytes()).is_err() {
                    return;
                }
                let _ = socket.get_mut().flush();
            }
            Reply::Hang => return,
            Reply::Silence(time) => return std::thread::sleep(time),
        }
    }
}

fn read(socket: &mut impl BufRead) -> Option<Request> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if socket.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let mut lines = head.lines();
    let first = lines.next()?.to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned())))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(0, |(_, value)| value.parse().unwrap())];
    socket.read_exact(&mut body).ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let path = if first.starts_with("POST ") { path } else { first };
    Some(Request { path, headers, body })
}
