//! A client in a few lines: asks for everything there is and prints what comes.
//!
//! `cargo run -p estreamer-wire --example minimal_client` connects to the `minimal_server` example, **without TLS**: this
//! crate knows bytes, not sockets. Put a TLS stream with a client certificate where the `TcpStream` is, and it talks to a
//! management center.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use wire::client::{ClientEvent, ClientRequest, ClientSession};
use wire::decode::Decoder;
use wire::request::{Start, flag};
use wire::subscription::newest_events;

fn main() -> Result<(), Box<dyn Error>> {
    let mut stream = TcpStream::connect("127.0.0.1:18302")?;
    let mut session = ClientSession::new(ClientRequest {
        timestamp: Start::Genesis.into(),
        flags: flag::METADATA | flag::INTRUSION | flag::ARCHIVAL_TIMESTAMP | flag::EXTENDED,
        events: newest_events(),
    });
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
                other => println!("{other:?}"),
            }
            buffer.drain(..used);
        }
    }
}
