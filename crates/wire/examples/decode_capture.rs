//! Decodes a file of captured messages and prints what is in each record and host.
//!
//! `cargo run -p estreamer-wire --example decode_capture -- FILE`

use std::error::Error;
use wire::decode::{Decoder, Value, View};
use wire::message::{self, Bundle, MessageType};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("which file? Name one with messages back to back")?;
    let bytes = std::fs::read(path)?;
    let mut decoder = Decoder::new();
    let mut rest = &bytes[..];
    // A file is a stream: cut off one message after the other.
    while let Some(message) = message::first(rest, u32::MAX)? {
        match message.kind {
            MessageType::EVENT_DATA => print(&mut decoder, message.body)?,
            MessageType::BUNDLE => {
                for item in Bundle::parse(message.body)?.items {
                    print(&mut decoder, item?.body)?;
                }
            }
            MessageType::SINGLE_HOST_DATA | MessageType::MULTIPLE_HOST_DATA if !message.body.is_empty() => {
                // A host has no record header: its block comes right behind the message header.
                let host = decoder.decode_block(1, message.body);
                println!("{}: {}", message.kind, host.title().unwrap_or("an unknown block"));
                fields(&host, 1);
                if let Some(problem) = host.problem() {
                    println!("  {problem}");
                }
            }
            other => println!("{other}"),
        }
        rest = rest.get(message.size()..).unwrap_or_default();
    }
    Ok(())
}

fn print(decoder: &mut Decoder, item: &[u8]) -> Result<(), Box<dyn Error>> {
    let record = decoder.decode(item)?;
    let name = record.layout.map_or("unknown", |l| l.name);
    println!("record {} ({name}), archived {:?}", record.record_type(), record.header.timestamp);
    for view in record.discovery().into_iter().chain([record.main()]) {
        fields(&view, 1);
    }
    if let Some(problem) = record.problem() {
        println!("  {problem}");
    }
    Ok(())
}

fn fields(view: &View<'_>, depth: usize) {
    let Some(layout) = view.layout() else {
        println!("{:width$}{} opaque bytes", "", view.bytes().len(), width = 2 * depth);
        return;
    };
    for (i, field) in layout.fields.iter().enumerate() {
        let Some(value) = view.value(i) else { continue };
        print!("{:width$}{} = ", "", field.name, width = 2 * depth);
        match value {
            Value::Uint(n) => println!("{n}"),
            Value::Text(text) => println!("{:?}", String::from_utf8_lossy(text)),
            Value::Ipv6(octets) => println!("{}", wire::event::address(octets)),
            Value::Block(block) => {
                println!("block {}", block.block_type());
                fields(&block, depth + 1);
            }
            Value::List(list) => {
                println!("{} items", list.items().count());
                list.items().for_each(|item| fields(&item, depth + 1));
            }
            other => println!("{:02x?}", other.octets().unwrap_or_default()),
        }
    }
}
