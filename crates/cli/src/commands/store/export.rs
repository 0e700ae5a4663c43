//! `estreamer store export`.

use super::{netmaps, time};
use crate::arguments::StoreExport;
use crate::exit::{Exit, Failure};
use archive::{Kind, Read, Reader, Start};
use server::Home;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use wire::decode::Decoder;
use wire::message::{self, Items, MessageType};
use wire::record;

pub(crate) fn run(arguments: &StoreExport) -> Result<Exit, Failure> {
    let home = Home::open(&arguments.home)?;
    let netmap = arguments.netmap.map_or_else(|| Ok(home.settings()?.netmap), Ok::<_, Failure>)?;
    netmaps(&home, Some(netmap))?;
    if let (Some(from), Some(to)) = (arguments.from, arguments.to)
        && from >= to
    {
        return Err(Failure::new(format!("--from {} is not before --to {}", time(from), time(to))));
    }
    let start = arguments.from.map_or(Start::Genesis, Start::Second);
    let reader = Reader::open(&home.archive(), netmap, start)?;
    let mut export = Export {
        from: arguments.from.unwrap_or(0),
        to: arguments.to,
        types: arguments.types.iter().flat_map(|types| types.0.iter().copied()).collect(),
        decoder: Decoder::new(),
        sent: HashMap::new(),
        events: 0,
        metadata: 0,
        lost: 0,
    };
    let written = if arguments.output == Path::new("-") {
        let mut out = BufWriter::with_capacity(256 << 10, io::stdout().lock());
        export.all(reader, &mut out).and_then(|()| Ok(out.flush()?))
    } else {
        to_file(&arguments.output, |out| export.all(reader, out))
    };
    match written {
        Err(Stop::Out(error)) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::Done),
        Err(Stop::Out(error)) => {
            return Err(Failure::new(format!("{} cannot be written: {error}", arguments.output.display())));
        }
        Err(Stop::Archive(error)) => return Err(error.into()),
        Ok(()) => {}
    }
    let Export { events, metadata, lost, .. } = export;
    eprintln!("{events} events and {metadata} metadata records exported");
    if lost > 0 {
        eprintln!(
            "estreamer: {lost} events or more of this time are damaged or missing: \"estreamer store check\" says where"
        );
        return Ok(Exit::Incomplete);
    }
    Ok(Exit::Done)
}

enum Stop {
    Archive(archive::Error),
    Out(io::Error),
}

impl From<archive::Error> for Stop {
    fn from(error: archive::Error) -> Self {
        Stop::Archive(error)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Stop::Out(error)
    }
}

struct Export {
    from: u32,
    to: Option<u32>,
    types: Vec<u16>,
    decoder: Decoder,
    /// The metadata that was written last, by key.
    sent: HashMap<Vec<u8>, Vec<u8>>,
    events: u64,
    metadata: u64,
    lost: u64,
}

impl Export {
    fn all(&mut self, mut reader: Reader, out: &mut dyn Write) -> Result<(), Stop> {
        let (mut items, mut bytes) = (Vec::new(), Vec::new());
        loop {
            let info = match reader.next(&mut items)? {
                Read::Batch(info) => info,
                Read::Lost(lost) => {
                    // How many were in bytes that are damaged is not always known.
                    self.lost += lost.events.max(1);
                    eprintln!(
                        "estreamer: {} events ({} bytes) are lost at offset {} of {}",
                        lost.events,
                        lost.bytes,
                        lost.offset,
                        lost.path.display()
                    );
                    continue;
                }
                Read::End => return Ok(()),
            };
            if self.to.is_some_and(|to| info.second >= to) {
                return Ok(());
            }
            bytes.clear();
            for item in Items::new(&items).flatten() {
                let wanted = match info.kind {
                    Kind::Events => info.second >= self.from && self.event(item.body),
                    Kind::Sticky { .. } => self.news(item.body),
                };
                if wanted {
                    message::push(&mut bytes, MessageType::EVENT_DATA, item.body);
                }
            }
            out.write_all(&bytes)?;
        }
    }

    fn event(&mut self, body: &[u8]) -> bool {
        let wanted = self.types.is_empty() || self.types.contains(&record::record_type(body));
        self.events += u64::from(wanted);
        wanted
    }

    /// Whether a metadata record says something new: segments begin with copies of what is known.
    fn news(&mut self, body: &[u8]) -> bool {
        let key = self.decoder.decode(body).ok().and_then(|record| record.metadata_key());
        let key = key.unwrap_or_else(|| body.to_vec());
        let new = self.sent.get(&key).is_none_or(|old| old != body);
        if new {
            self.sent.insert(key, body.to_vec());
            self.metadata += 1;
        }
        new
    }
}

/// Has a file written, packed as its name says. It gets its name when it is complete and durable.
fn to_file(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<(), Stop>) -> Result<(), Stop> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    let file = BufWriter::with_capacity(256 << 10, file);
    let file = match path.extension().and_then(|extension| extension.to_str()) {
        Some("gz") => {
            let mut packer = flate2::write::GzEncoder::new(file, flate2::Compression::default());
            write(&mut packer)?;
            packer.finish()?
        }
        Some("zst" | "zstd") => {
            let mut packer = zstd::Encoder::new(file, 0)?;
            write(&mut packer)?;
            packer.finish()?
        }
        _ => {
            let mut file = file;
            write(&mut file)?;
            file
        }
    };
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    std::fs::rename(&part, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(File::open(folder)?.sync_all()?)
}
