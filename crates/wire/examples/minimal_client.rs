//! A client in a few lines: asks for everything there is and prints what comes. With an address it asks for that host of
//! the network map, with two for all hosts between them.
//!
//! `cargo run -p estreamer-wire --example minimal_client [-- ADDRESS [LAST]]` connects to the `minimal_server` example, **without TLS**: this
//! crate knows bytes, not sockets. Put a TLS stream with a client certificate where the `TcpStream` is, and it talks to a
//! management center.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use wire::client::{ClientEvent, ClientRequest, ClientSession};
use wire::decode::Decoder;
use wire::event::{Block, Value};
use wire::hosts::{self, HostRequest};
use wire::request::{Start, flag};
use wire::subscription::newest_events;

fn main() -> Result<(), Box<dyn Error>> {
    let mut stream = TcpStream::connect("127.0.0.1:18302")?;
    let mut session = ClientSession::new(ClientRequest {
        timestamp: Start::Genesis.into(),
        flags: flag::METADATA | flag::INTRUSION | flag::ARCHIVAL_TIMESTAMP | flag::EXTENDED,
        events: newest_events(),
    });
    let mut addresses = std::env::args().skip(1);
    if let Some(first) = addresses.next() {
        let first = first.parse()?;
        session.request_hosts(&match addresses.next() {
            Some(last) => HostRequest::range(first, last.parse()?, hosts::NOTES | hosts::BANNERS),
            None => HostRequest::single(first, hosts::NOTES | hosts::BANNERS),
        });
    }
    let mut decoder = Decoder::new();
    let mut buffer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        stream.write_all(&session.take_output())?;
        match stream.read(&mut chunk)? {
            0 => return Ok(()),
            n => buffer.extend_from_slice(chunk.get(..n).unwrap_or_default()),
        }
        while let Some((used, event)) = session.receive(&buffer)? {
            match event {
                ClientEvent::Records(records) => {
                    for item in records {
                        let record = decoder.decode(item?)?;
                        let name = record.layout.map_or("unknown record", |l| l.name);
                        println!("{name}: device {:?}, rule {:?}", record.uint("deviceId"), record.uint("ruleId"));
                    }
                    // Credit for the server: without it the stream stops after a while.
                    session.acknowledge();
                }
                ClientEvent::Host { block, .. } => {
                    print(&Block::from(decoder.decode_block(1, block)));
                    session.acknowledge();
                }
                ClientEvent::HostsEnd { multiple: true } => println!("no more hosts"),
                ClientEvent::HostsEnd { multiple: false } => println!("no such host"),
                other => println!("{other:?}"),
            }
            buffer.drain(..used);
        }
    }
}

fn print(host: &Block) {
    let title = host.layout().title;
    println!("{title}: {:?} {} ({})", hosts::addresses(host), text(host, "netbiosName"), text(host, "notes"));
    let servers = match host.named("tcpServers") {
        Some(Value::List(servers)) => servers.as_slice(),
        _ => &[],
    };
    for server in servers {
        println!("  TCP server: port {:?}, {}", server.named("port"), text(server, "banner"));
    }
}

fn text(block: &Block, name: &str) -> String {
    match block.named(name) {
        Some(Value::Octets(octets)) => String::from_utf8_lossy(octets).into_owned(),
        _ => String::new(),
    }
}
