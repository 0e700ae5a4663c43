//! The archives of all netmaps, and the disk they are on.

use super::domains::Names;
use crate::answer::{Answer, Problem};
use crate::app::App;
use crate::call::Call;
use serde_json::{Value, json};

pub(crate) fn show(app: &App, _: &Call) -> Result<Answer, Problem> {
    let root = app.home.archive();
    let names = Names::read(app)?;
    let mut netmaps = Vec::new();
    for netmap in ::archive::netmaps(&root).map_err(Problem::internal)? {
        netmaps.push(row(&root, netmap, &names).map_err(Problem::internal)?);
    }
    let disk = disk(app).map_err(Problem::internal)?;
    let settings = app.handle.settings();
    let limit = |value: u64| (value > 0).then_some(value);
    Ok(Answer::json(&json!({
        "netmaps": netmaps,
         "retention": {
            "days": limit(settings.keep_days.into()),
            "bytes": limit(settings.keep_bytes.0),
            "free": limit(settings.keep_free_bytes.0),
        },
        "disk": { "free": disk.free, "total": disk.total },
    })))
}

/// The file system of the archive, in bytes.
pub(crate) struct Disk {
    /// What the service may still use.
    pub(crate) free: u64,
    pub(crate) total: u64,
}

pub(crate) fn disk(app: &App) -> std::io::Result<Disk> {
    let found = rustix::fs::statvfs(&app.home.archive())?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(Disk { free: bytes(found.f_bavail), total: bytes(found.f_blocks) })
}

fn row(root: &std::path::Path, netmap: u32, names: &Names) -> ::archive::Result<Value> {
    let (size, span) = (::archive::size(root, netmap)?, ::archive::span(root, netmap)?);
    Ok(json!({
        "netmap": netmap,
        "domain": names.of(netmap),
        "segments": size.segments,
        "bytes": size.bytes,
        "first_second": span.map(|(first, _)| first),
        "last_second": span.map(|(_, last)| last),
    }))
}
