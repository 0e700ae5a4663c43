//! TCP, TLS and UDP against real sockets: what is on the wire, and what happens when the other side does not behave.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests may fail loudly.

mod support;

use outputs::spool::Lines;
use outputs::transport::datagram::{self, Datagram};
use outputs::transport::stream::{self, Stream};
use outputs::transport::syslog::{Format, Framing, Message, Syslog};
use outputs::transport::{Endpoint, Failure, tls};
use outputs::{Remote, Transport};
use rustls::{ServerConnection, StreamOwned};
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::tls::Authority;
use support::{Caller, Watch, all_sent, duplicates, law, line, lines, ms, quick, remote, spool_settings, wait};
use tempfile::TempDir;

fn endpoint(port: u16) -> Endpoint {
    format!("localhost:{port}").parse().unwrap()
}

fn settings(port: u16) -> stream::Settings {
    stream::Settings {
        connect_timeout: ms(2000),
        write_timeout: ms(300),
        doubt: ms(100),
        ..stream::Settings::new(endpoint(port), Message::Plain)
    }
}

fn tcp(port: u16) -> Stream {
    Stream::new(settings(port)).unwrap()
}

fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// The next lines of a connection.
fn read_lines(socket: &mut impl BufRead, count: usize) -> Vec<String> {
    let mut got = Vec::new();
    while got.len() < count {
        let mut text = String::new();
        if socket.read_line(&mut text).unwrap_or(0) == 0 {
            break;
        }
        got.push(text.strip_suffix('\n').expect("a torn line").to_owned());
    }
    got
}

fn again(result: Result<(), Failure>) -> String {
    match result {
        Err(Failure::Again { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn bytes_on_the_wire() {
    let (listener, port) = listen();
    let batch = Lines::new(0, "a\n\nzwölf\n".as_bytes().to_vec());
    for (framing, expected) in [(Framing::LineFeed, "a\n\nzwölf\n"), (Framing::OctetCounting, "1 a0 6 zwölf")] {
        let mut stream = Stream::new(stream::Settings { framing, ..settings(port) }).unwrap();
        stream.send(&batch).unwrap();
        let (mut socket, _) = listener.accept().unwrap();
        assert!(stream.settled().unwrap().is_empty(), "in doubt");
        std::thread::sleep(ms(120));
        assert_eq!(stream.settled().unwrap().len(), 1);
        drop(stream);
        let mut got = String::new();
        socket.read_to_string(&mut got).unwrap();
        assert_eq!(got, expected);
    }
}

#[test]
fn ipv6_and_every_address_of_a_name() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        println!("skipped: this machine has no IPv6");
        return;
    };
    let port = listener.local_addr().unwrap().port();
    let literal = format!("[::1]:{port}").parse().unwrap();
    for to in [literal, endpoint(port)] {
        let name = to.to_string();
        let mut stream = Stream::new(stream::Settings { to, ..settings(port) }).unwrap();
        match stream.send(&Lines::new(0, b"x\n".to_vec())) {
            Ok(()) => drop(listener.accept().unwrap()),
            // Where localhost is only IPv4.
            Err(failure) => assert!(name.starts_with("localhost"), "{failure}"),
        }
    }
}

#[test]
fn a_peer_that_closes_gets_what_is_in_doubt_again() {
    let folder = TempDir::new().unwrap();
    let (listener, port) = listen();
    let mut caller = Caller::new(remote(folder.path(), tcp(port), None));
    let metrics = caller.to.metrics();
    let _watch = Watch::new(metrics.clone());
    let mut got = Vec::new();
    for round in 0..4 {
        caller.write(25);
        let mut socket = BufReader::new(listener.accept().unwrap().0);
        // Reads some, then goes: with unread bytes that is a reset, without it an end.
        let count = [3, 25, 11, usize::MAX][round];
        if count == usize::MAX {
            socket.get_ref().set_read_timeout(Some(ms(500))).unwrap();
        }
        got.extend(read_lines(&mut socket, count));
    }
    let counts = all_sent(&metrics);
    assert_eq!(counts.sent, 100);
    let twice = duplicates(&got, &lines(0..100));
    assert!(twice <= 100, "{twice}");
}

#[test]
fn a_refused_connection_is_tried_until_it_works() {
    let folder = TempDir::new().unwrap();
    let (listener, port) = listen();
    drop(listener);
    let mut caller = Caller::new(remote(folder.path(), tcp(port), None));
    let metrics = caller.to.metrics();
    caller.write(30);
    wait("an error", || metrics.counts().retries >= 2);
    let counts = law(&metrics);
    let error = counts.last_error.unwrap();
    assert!(error.starts_with(&format!("cannot connect to tcp://localhost:{port} (")), "{error}");
    assert!(error.ends_with("start the receiver, or check the port and firewalls"), "{error}");
    assert!(!counts.connected && counts.pending == 30);
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let mut socket = BufReader::new(listener.accept().unwrap().0);
    assert_eq!(read_lines(&mut socket, 30), lines(0..30));
    assert!(all_sent(&metrics).connected);
}

#[test]
fn a_peer_that_does_not_read_is_left_and_loses_nothing() {
    let folder = TempDir::new().unwrap();
    let (listener, port) = listen();
    let sender = outputs::sender::Settings { lines: 1000, ..quick() };
    let spool = outputs::spool::Settings { segment: 64 << 20, ..spool_settings(folder.path()) };
    let to = Remote::open("test", spool, sender, Box::new(tcp(port)), None).unwrap();
    let mut caller = Caller::new(to);
    let metrics = caller.to.metrics();
    // More than both kernels take.
    let padding = "y".repeat(100_000);
    for number in 0..200 {
        caller.put(&format!("{number} {padding}\n"));
    }
    caller.checkpoint();
    let stuck = listener.accept().unwrap().0;
    wait("an error", || metrics.counts().last_error.is_some());
    let counts = law(&metrics);
    assert!(counts.last_error.unwrap().contains("has taken nothing for"));
    assert!(counts.sent < 200 && counts.pending > 0);
    // Reads on at last: what the kernels still have, and then from the first line in doubt.
    let mut got = whole_lines(stuck);
    listener.set_nonblocking(true).unwrap();
    wait("sending everything", || {
        if let Ok((socket, _)) = listener.accept() {
            socket.set_nonblocking(false).unwrap();
            got.extend(whole_lines(socket));
        }
        metrics.counts().pending == 0
    });
    let numbers: Vec<String> = got.iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    let expected: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    assert!(duplicates(&numbers, &expected) > 0);
    assert_eq!(law(&metrics).sent, 200);
}

/// What a connection has, until it ends or nothing comes; a line that is cut off is none.
fn whole_lines(mut socket: TcpStream) -> Vec<String> {
    socket.set_read_timeout(Some(ms(400))).unwrap();
    let mut bytes = Vec::new();
    let _ = socket.read_to_end(&mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_owned).collect()
}

#[test]
fn what_the_other_host_has_not_acknowledged_stays_in_doubt() {
    let (listener, port) = listen();
    rustix::net::sockopt::set_socket_recv_buffer_size(&listener, 4096).unwrap();
    let mut stream = Stream::new(stream::Settings { write_timeout: ms(5000), ..settings(port) }).unwrap();
    stream.send(&Lines::new(0, vec![b'x'; 200_000])).unwrap();
    let (mut socket, _) = listener.accept().unwrap();
    for _ in 0..4 {
        std::thread::sleep(ms(120));
        assert!(stream.settled().unwrap().is_empty());
    }
    socket.read_exact(&mut vec![0; 200_001]).unwrap();
    wait("acknowledging", || stream.settled().unwrap().len() == 1);
}

#[test]
fn a_closed_connection_is_noticed_before_more_is_written() {
    let (listener, port) = listen();
    let mut stream = tcp(port);
    stream.send(&Lines::new(0, b"one\n".to_vec())).unwrap();
    let mut first = BufReader::new(listener.accept().unwrap().0);
    std::thread::sleep(ms(120));
    assert_eq!(stream.settled().unwrap().len(), 1);
    assert_eq!(read_lines(&mut first, 1), ["one"]);
    drop(first);
    std::thread::sleep(ms(20));
    // Nothing was in doubt: no error, and the next line goes over a new connection.
    assert!(stream.settled().unwrap().is_empty() && !stream.connected());
    stream.send(&Lines::new(1, b"two\n".to_vec())).unwrap();
    let mut second = BufReader::new(listener.accept().unwrap().0);
    assert_eq!(read_lines(&mut second, 1), ["two"]);
    // Something is in doubt.
    drop(second);
    std::thread::sleep(ms(20));
    let Err(Failure::Again { reason, .. }) = stream.settled() else { panic!() };
    assert!(reason.contains("the receiver has closed it"), "{reason}");
}

#[test]
fn a_peer_that_talks_is_not_listened_to() {
    use std::io::Write;
    let (listener, port) = listen();
    let mut stream = tcp(port);
    stream.send(&Lines::new(0, b"one\n".to_vec())).unwrap();
    let (mut socket, _) = listener.accept().unwrap();
    socket.write_all(&vec![b'x'; 100_000]).unwrap();
    std::thread::sleep(ms(120));
    assert_eq!(stream.settled().unwrap().len(), 1);
    stream.send(&Lines::new(1, b"two\n".to_vec())).unwrap();
    assert_eq!(read_lines(&mut BufReader::new(socket), 2), ["one", "two"]);
}

#[test]
fn a_proper_end_leaves_no_doubt() {
    let folder = TempDir::new().unwrap();
    let (listener, port) = listen();
    let reader = std::thread::spawn(move || {
        let mut got = Vec::new();
        for _ in 0..2 {
            got.extend(read_lines(&mut BufReader::new(listener.accept().unwrap().0), usize::MAX));
        }
        got
    });
    let slow = || Stream::new(stream::Settings { doubt: Duration::from_secs(60), ..settings(port) }).unwrap();
    let mut caller = Caller::new(remote(folder.path(), slow(), None));
    caller.write(20);
    assert!(caller.to.stop(Duration::from_secs(5)), "the receiver closes, so it has read all");
    let state = caller.state.take();
    drop(caller);
    let mut caller = Caller { to: remote(folder.path(), slow(), state.as_deref()), written: 20, state };
    caller.write(20);
    assert!(caller.to.stop(Duration::from_secs(5)));
    assert_eq!(reader.join().unwrap(), lines(0..40));
}

fn tls_lines(config: &Arc<rustls::ServerConfig>, socket: TcpStream, count: usize) -> Vec<String> {
    let connection = ServerConnection::new(Arc::clone(config)).unwrap();
    read_lines(&mut BufReader::new(StreamOwned::new(connection, socket)), count)
}

#[test]
fn tls_both_sides_verified() {
    let authority = Authority::new();
    let server = authority.server("localhost", true);
    let (certificate, key) = authority.issue("client.example.com");
    let (listener, port) = listen();
    let client = Some(tls::ClientFiles { certificate, key });
    let tls = tls::Settings { authorities: Some(authority.file()), server_name: None, client };
    let syslog = Message::Syslog(Syslog { process: "1".to_owned(), ..Syslog::new(Format::Rfc5424) });
    let settings = stream::Settings { tls: Some(tls), ..settings(port) };
    let folder = TempDir::new().unwrap();
    let mut caller = Caller::new(remote(folder.path(), Stream::new(settings.clone()).unwrap(), None));
    let metrics = caller.to.metrics();
    let _watch = Watch::new(metrics.clone());
    caller.write(50);
    // The server goes in the middle.
    let mut got = tls_lines(&server, listener.accept().unwrap().0, 20);
    let (socket, _) = listener.accept().unwrap();
    let config = Arc::clone(&server);
    let rest = std::thread::spawn(move || tls_lines(&config, socket, usize::MAX));
    assert_eq!(all_sent(&metrics).sent, 50);
    assert!(caller.to.stop(Duration::from_secs(5)));
    got.extend(rest.join().unwrap());
    duplicates(&got, &lines(0..50));
    // Octet counting inside of TLS (RFC 5425).
    let settings = stream::Settings { framing: syslog.framing(), message: syslog, ..settings };
    let mut stream = Stream::new(settings).unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        let connection = ServerConnection::new(server).unwrap();
        StreamOwned::new(connection, listener.accept().unwrap().0).read_to_string(&mut text).unwrap();
        text
    });
    stream.send(&Lines::new(0, b"one\n".to_vec())).unwrap();
    assert_eq!(stream.finish(Duration::from_secs(5)).len(), 1);
    let text = reader.join().unwrap();
    let (length, message) = text.split_once(' ').unwrap();
    assert_eq!(length.parse(), Ok(message.len()));
    assert!(message.starts_with("<134>1 20") && message.ends_with(" estreamer 1 - - one"), "{message}");
}

/// What a client says that connects with these settings to this server.
fn tls_error(server: &Arc<rustls::ServerConfig>, tls: tls::Settings) -> String {
    let (listener, port) = listen();
    let config = Arc::clone(server);
    let thread = std::thread::spawn(move || tls_lines(&config, listener.accept().unwrap().0, 1));
    let mut stream = Stream::new(stream::Settings { tls: Some(tls), ..settings(port) }).unwrap();
    let sent = stream.send(&Lines::new(0, b"secret\n".to_vec()));
    let error = match sent {
        Err(_) => again(sent),
        // In TLS 1.3 the server's refusal comes after the client's first bytes.
        Ok(()) => {
            std::thread::sleep(ms(50));
            again(stream.settled().map(|_| ()))
        }
    };
    drop(stream);
    assert!(thread.join().unwrap().is_empty(), "{error}");
    error
}

#[test]
fn tls_that_must_fail_says_why() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = authority.server("localhost", false);
    let trusting = |authority: &Authority| tls::Settings { authorities: Some(authority.file()), ..Default::default() };
    let error = tls_error(&server, trusting(&other));
    assert!(error.contains("name the file of the authority that issued the server's certificate"), "{error}");
    let error = tls_error(&server, tls::Settings::default());
    assert!(error.contains("name the file of the authority"), "the system does not trust it: {error}");
    let name = Some("logs.example.com".to_owned());
    let error = tls_error(&server, tls::Settings { server_name: name, ..trusting(&authority) });
    assert!(error.contains("set the TLS server name"), "{error}");
    let strict = authority.server("localhost", true);
    let error = tls_error(&strict, trusting(&authority));
    assert!(error.contains("client certificate"), "{error}");
    let (certificate, key) = other.issue("stranger");
    let client = Some(tls::ClientFiles { certificate, key });
    let error = tls_error(&strict, tls::Settings { client, ..trusting(&authority) });
    assert!(error.contains("client certificate"), "{error}");
}

#[test]
fn a_port_without_tls_is_named_so() {
    use std::io::Write;
    let authority = Authority::new();
    let (listener, port) = listen();
    let thread = std::thread::spawn(move || {
        for answer in [&b"220 welcome\r\n"[..], b""] {
            let (mut socket, _) = listener.accept().unwrap();
            let _ = socket.read(&mut [0; 1000]);
            socket.write_all(answer).unwrap();
        }
        // Silent for ever.
        let socket = listener.accept().unwrap();
        std::thread::sleep(ms(600));
        drop(socket);
    });
    let tls = tls::Settings { authorities: Some(authority.file()), ..Default::default() };
    let settings = stream::Settings { tls: Some(tls), connect_timeout: ms(300), ..settings(port) };
    let mut stream = Stream::new(settings).unwrap();
    for expected in ["the port seems not to speak TLS", "the port may not speak TLS", "the port may not speak TLS"] {
        let begun = Instant::now();
        let error = again(stream.send(&Lines::new(0, b"x\n".to_vec())));
        assert!(error.contains(expected), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(2));
    }
    thread.join().unwrap();
}

#[test]
fn files_of_tls_that_cannot_be_used_are_named_at_once() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("one");
    let (_, other_key) = authority.issue("two");
    let missing = authority.folder.path().join("missing.pem");
    let build = |authorities: &std::path::Path, certificate: &std::path::Path, key: &std::path::Path| {
        let client = tls::ClientFiles { certificate: certificate.to_owned(), key: key.to_owned() };
        let tls = tls::Settings { authorities: Some(authorities.to_owned()), server_name: None, client: Some(client) };
        Stream::new(stream::Settings { tls: Some(tls), ..settings(1) }).map(|_| ()).map_err(|e| e.to_string())
    };
    let ca = authority.file();
    assert_eq!(build(&ca, &certificate, &key), Ok(()));
    let error = build(&missing, &certificate, &key).unwrap_err();
    assert!(error.starts_with("cannot read the file of authorities ") && error.contains("missing.pem"), "{error}");
    let error = build(&key, &certificate, &key).unwrap_err();
    assert!(error.contains("has none in PEM form"), "{error}");
    let error = build(&ca, &certificate, &certificate).unwrap_err();
    assert!(error.starts_with("the key of the client certificate "), "{error}");
    let error = build(&ca, &certificate, &other_key).unwrap_err();
    assert!(error.contains("the client certificate and its key cannot be used"), "{error}");
}

#[test]
fn a_datagram_for_each_line() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let to: Endpoint = receiver.local_addr().unwrap().to_string().parse().unwrap();
    let take = || {
        let mut buffer = vec![0; 70_000];
        let length = receiver.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let plain = datagram::Settings { doubt: ms(50), ..datagram::Settings::new(to.clone()) };
    let long = "ü".repeat(300);
    let text = format!("one\n\n{long}\n");
    let mut udp = Datagram::new(plain.clone()).unwrap();
    udp.send(&Lines::new(0, text.clone().into_bytes())).unwrap();
    assert_eq!([take(), take(), take()], ["one\n".to_owned(), "\n".to_owned(), format!("{long}\n")]);
    let mut udp = Datagram::new(datagram::Settings { line_feed: false, largest: 481, ..plain.clone() }).unwrap();
    udp.send(&Lines::new(0, text.into_bytes())).unwrap();
    assert_eq!([take(), take(), take()], ["one".to_owned(), String::new(), "ü".repeat(240)]);
    std::thread::sleep(ms(60));
    let settled = udp.settled().unwrap();
    assert_eq!(settled.iter().map(|s| s.truncated).collect::<Vec<_>>(), [1]);
    // The largest datagram there is.
    let mut udp = Datagram::new(plain.clone()).unwrap();
    udp.send(&Lines::new(0, "z".repeat(100_000).into_bytes())).unwrap();
    assert_eq!(take(), format!("{}\n", "z".repeat(datagram::LARGEST - 1)));
    let syslog = Syslog { host: "h".to_owned(), process: "-".to_owned(), ..Syslog::new(Format::Rfc3164) };
    let mut udp = Datagram::new(datagram::Settings { message: Message::Syslog(syslog), ..plain.clone() }).unwrap();
    udp.send(&Lines::new(0, b"one\n".to_vec())).unwrap();
    let message = take();
    assert!(message.starts_with("<134>") && message.ends_with(" h estreamer: one"), "{message}");
    for largest in [479, datagram::LARGEST + 1] {
        assert!(Datagram::new(datagram::Settings { largest, ..plain.clone() }).is_err());
    }
}

#[test]
fn datagrams_that_are_refused_are_sent_again() {
    let folder = TempDir::new().unwrap();
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = receiver.local_addr().unwrap();
    drop(receiver);
    let to = datagram::Settings::new(address.to_string().parse().unwrap());
    let udp = Datagram::new(datagram::Settings { doubt: ms(100), ..to }).unwrap();
    let mut caller = Caller::new(remote(folder.path(), udp, None));
    let metrics = caller.to.metrics();
    let _watch = Watch::new(metrics.clone());
    caller.write(1);
    wait("an error", || metrics.counts().retries >= 2);
    let error = law(&metrics).last_error.unwrap();
    assert!(error.contains("nobody receives at udp://127.0.0.1:"), "{error}");
    let receiver = UdpSocket::bind(address).unwrap();
    receiver.set_read_timeout(Some(ms(300))).unwrap();
    caller.write(30);
    let mut got = Vec::new();
    let mut buffer = vec![0; 2000];
    while let Ok(length) = receiver.recv(&mut buffer) {
        got.push(String::from_utf8(buffer[..length - 1].to_vec()).unwrap());
    }
    all_sent(&metrics);
    duplicates(&got, &lines(0..31));
    assert_eq!(got.last(), Some(&line(30)));
}
