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
    let disk = rustix::fs::statvfs(&root).map_err(Problem::internal)?;
    Ok(Answer::json(&json!({
        "netmaps": netmaps,
        "retention": { "days": null, "bytes": null },
        "disk": {
            "free": disk.f_bavail.saturating_mul(disk.f_frsize),
            "total": disk.f_blocks.saturating_mul(disk.f_frsize),
        },
    })))
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
