//! A server in a few lines: one client, one device, one intrusion event, then silence.
//!
//! `cargo run -p estreamer-wire --example minimal_server` listens on 127.0.0.1:18302 **without TLS**: this crate knows
//! bytes, not sockets. Put a TLS stream with client certificates where the `TcpStream` is, and real clients can come.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use wire::event::Event;
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
