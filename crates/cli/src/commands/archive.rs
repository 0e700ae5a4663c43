//! `estreamer archive`: the log so far goes into a package; the collector goes on in a new file.

use super::place::Place;
use crate::arguments::OfConfig;
use crate::exit::{Exit, Failure, say};
use crate::service::pid;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Zoned;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a collector may take to open its log again.
const REOPEN: Duration = Duration::from_secs(30);

pub(crate) fn run(arguments: &OfConfig) -> Result<Exit, Failure> {
    let place = Place::open(&arguments.config)?;
    let log = place.log();
    let name = log.file_name().unwrap_or_default().to_owned();
    if !log.is_file() {
        return Err(Failure::new(format!("there is no log file {}", log.display())));
    }
    let stamp = Zoned::now().strftime("%Y-%m-%d_%H-%M-%S%z%Z").to_string();
    let folder = place.folder;
    let aside = log.with_file_name(format!("encore-log-{stamp}.log"));
    let package = folder.join(format!("encore-log-{stamp}.tar.gz"));
    let instance = Place::open(&arguments.config)?.instance()?;
    fs::rename(&log, &aside).map_err(|e| Failure::new(format!("{} cannot be renamed: {e}", log.display())))?;
    if let Some(Some(number)) = pid::running(&instance.pid()) {
        reopen(number, &log, &aside)?;
    }
    let packed = pack(&aside, &name, &package);
    let bytes = packed.map_err(|e| {
        Failure::new(format!("{} cannot be written: {e}. The log is {}", package.display(), aside.display()))
    })?;
    fs::remove_file(&aside)?;
    say(format_args!("{bytes} bytes of {} are in {}", log.display(), package.display()));
    Ok(Exit::Done)
}

/// Tells the collector to open its log again, and waits until it has: all it wrote before is in the old file then.
fn reopen(number: u32, log: &Path, aside: &Path) -> Result<(), Failure> {
    if let Some(target) = i32::try_from(number).ok().and_then(Pid::from_raw) {
        kill_process(target, Signal::HUP)
            .map_err(|e| Failure::new(format!("process {number} cannot be told to open its log again: {e}")))?;
    }
    let end = Instant::now() + REOPEN;
    while !log.exists() {
        if Instant::now() > end {
            return Err(Failure::new(format!(
                "the collector (pid {number}) does not open its log again within {} s; it writes to {}",
                REOPEN.as_secs(),
                aside.display()
            )));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn pack(from: &Path, name: &std::ffi::OsStr, to: &Path) -> io::Result<u64> {
    let mut hidden = to.as_os_str().to_owned();
    hidden.push(".tmp");
    let hidden = Path::new(&hidden);
    let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o640).open(hidden)?;
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::default()));
    let mut log = File::open(from)?;
    let bytes = log.metadata()?.len();
    archive.append_file(name, &mut log)?;
    archive.into_inner()?.finish()?.sync_all()?;
    fs::rename(hidden, to)?;
    Ok(bytes)
}
