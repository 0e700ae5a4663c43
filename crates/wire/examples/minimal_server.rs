//! A server in a few lines: one client, one device, one intrusion event, and a network map of two hosts.
//!
//! `cargo run -p estreamer-wire --example minimal_server` listens on 127.0.0.1:18302 **without TLS**: this crate knows
//! bytes, not sockets. Put a TLS stream with client certificates where the `TcpStream` is, and real clients can come.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use wire::event::{Block, Event};
use wire::layout;
use wire::server::{ServerEvent, ServerSession};
use wire::subscription::Subscription;

fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:18302")?;
    println!("listening on {}", listener.local_addr()?);
    let (stream, _) = listener.accept()?;
    serve(stream)
}

fn serve(mut stream: TcpStream) -> Result<(), Box<dyn Error>> {
    let mut session = ServerSession::new(1);
    let map = [host("192.0.2.10", "MAIL", 25)?, host("2001:db8::7", "WEB", 443)?];
    let mut buffer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        // The session takes whole messages from the front of the buffer and says what each means.
        while let Some((used, event)) = session.receive(&buffer)? {
            buffer.drain(..used);
            match event {
                ServerEvent::Subscribed { subscription, .. } => {
                    println!("{}", subscription.words());
                    events(&mut session, &subscription)?;
                }
                ServerEvent::Hosts(request) => {
                    // The hosts are kept in the newest layout; the session converts them to what was asked for.
                    for host in map.iter().filter(|host| request.wants(host)) {
                        session.push_host(&request, host);
                    }
                    session.end_hosts(&request);
                }
                other => println!("{other:?}"),
            }
        }
        stream.write_all(session.output())?;
        session.sent(session.output().len());
        match stream.read(&mut chunk)? {
            0 => return Ok(()),
            n => buffer.extend_from_slice(chunk.get(..n).unwrap_or_default()),
        }
    }
}

fn events(session: &mut ServerSession, subscription: &Subscription) -> Result<(), Box<dyn Error>> {
    let mut device = Event::new(123)?;
    device.set("id", 1u32)?.set("name", "sensor-1")?;
    let mut intrusion = Event::new(400)?;
    intrusion.set("deviceId", 1u32)?.set("eventId", 1u32)?.set("generatorId", 1u32)?.set("ruleId", 2003u32)?;
    let archived = subscription.timestamps().then_some(1_700_000_000);
    for event in [device, intrusion] {
        // Metadata comes before what refers to it, and both only when asked for.
        if subscription.form(event.record().record_type).is_some() {
            let mut record = Vec::new();
            event.encode(archived, &mut record);
            session.push(&record);
        }
    }
    session.flush();
    Ok(())
}

fn host(address: &str, name: &str, port: u16) -> Result<Block, Box<dyn Error>> {
    let new = |number| layout::block(1, number).map(Block::new).ok_or("the schema has no such block");
    let (mut host, mut ip, mut server) = (new(149)?, new(143)?, new(104)?);
    let address: IpAddr = address.parse()?;
    ip.set("ipAddress", address)?;
    server.set("port", port)?.set("banner", "220 ready")?;
    host.set("ipAddresses", vec![ip])?.set("tcpServers", vec![server])?;
    host.set("netbiosName", name)?.set("notes", "made up")?;
    Ok(host)
}
