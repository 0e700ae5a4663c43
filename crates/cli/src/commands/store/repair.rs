//! `estreamer store repair`.

use super::{name, netmaps, time};
use crate::arguments::StoreRepair;
use crate::exit::{Exit, Failure, say};
use archive::{Mended, Repair};
use server::Home;
use std::os::unix::fs::MetadataExt;

pub(crate) fn run(arguments: &StoreRepair) -> Result<Exit, Failure> {
    let home = Home::open(&arguments.home)?;
    let root = home.archive();
    // What is written anew must belong to those who write on.
    let owner = std::fs::metadata(&root)?.uid();
    let me = rustix::process::geteuid().as_raw();
    if owner != me {
        return Err(Failure::new(format!(
            "the archive {} belongs to user {owner}, and this is user {me}: run the repair as its owner, or service and \
             sensors could not write what it makes anew (sudo -u '#{owner}' estreamer store repair ...)",
            root.display()
        )));
    }
    let (mut left, mut done) = (0u64, 0u64);
    for netmap in netmaps(&home, arguments.netmap)? {
        archive::repair(&root, netmap, arguments.cut, &mut |mended| match words(netmap, &mended) {
            Some(words) => {
                done += 1;
                say(words);
            }
            None => left += remains(&mended, arguments.cut),
        })?;
    }
    match (done, left) {
        (0, 0) => say("all is well: nothing was to be done"),
        (_, 0) => say("all is well now"),
        (_, left) => say(format_args!("{left} segments are not in order yet")),
    }
    Ok(if left > 0 { Exit::Incomplete } else { Exit::Done })
}

/// What was done; `None` when a segment was only examined.
fn words(netmap: u32, mended: &Mended) -> Option<String> {
    Some(match mended {
        Mended::Recovered(repair) => recovered(repair),
        Mended::Began { start } => {
            format!("netmap_{netmap}: the segment unified2.{start} was begun, so that nobody writes to the damaged one")
        }
        Mended::Header { path } => format!("{}: the header was written anew", path.display()),
        Mended::Replaced { path, cut, missing, copied, kept } => {
            let mut words = format!("{}:", path.display());
            if *cut > 0 || *missing > 0 {
                words += &format!(" {cut} damaged bytes were cut out, {missing} events are missing");
                let names: Vec<_> = kept.iter().map(|path| name(path)).collect();
                if !names.is_empty() {
                    words += &format!(" (the bytes are in {})", names.join(", "));
                }
            }
            if *copied > 0 {
                let also = if words.ends_with(':') { " " } else { "; " };
                words += &format!("{also}{copied} metadata and positions were copied from older segments");
            }
            words
        }
        _ => return None,
    })
}

fn recovered(repair: &Repair) -> String {
    match repair {
        Repair::Truncated { path, offset, bytes, .. } => {
            format!("{}: {bytes} bytes of a commit that was never finished were cut off at {offset}", path.display())
        }
        Repair::Removed { path, .. } => {
            format!("{}: removed, since its first commit was never finished", path.display())
        }
        Repair::Missing { path, offset, bytes } => {
            format!("{}: {bytes} committed bytes are gone from {offset} on; the head was set back", path.display())
        }
        Repair::Damaged { path, offset, bytes } => format!("{}: {bytes} bytes at {offset} are damaged", path.display()),
        Repair::Head => "the head was written anew".to_owned(),
    }
}

/// Tells what is left of a segment that was examined: 1 if something is.
fn remains(mended: &Mended, cut: bool) -> u64 {
    let Mended::Examined { checked, left: true } = mended else { return 0 };
    let hint = if cut { "this cannot be repaired" } else { "--cut cuts out what is damaged" };
    say(format_args!(
        "{}, from {}: {} events are lost there; {hint}",
        checked.path.display(),
        time(checked.start),
        checked.lost()
    ));
    checked.findings.iter().for_each(|finding| say(format_args!("  offset {}: {}", finding.offset, finding.what)));
    1
}
