//! `estreamer store size` and `prune`.

use super::time;
use crate::arguments::{StorePrune, StoreSize};
use crate::exit::{Exit, Failure, say};
use archive::{Retention, Why};
use serde_json::json;
use server::{Bytes, Home};

pub(crate) fn size(arguments: &StoreSize) -> Result<Exit, Failure> {
    let home = Home::open(&arguments.home)?;
    let (root, settings) = (home.archive(), home.settings()?);
    let room = archive::room(&root)?;
    let mut maps = Vec::new();
    for netmap in archive::netmaps(&root)? {
        let size = archive::size(&root, netmap)?;
        let span = archive::span(&root, netmap)?;
        if arguments.json {
            let (oldest, newest) = (span.map(|span| span.0), span.map(|span| span.1));
            maps.push(json!({
                "netmap": netmap, "segments": size.segments, "bytes": size.bytes, "oldest": oldest, "newest": newest,
            }));
        } else {
            let span = span.map_or_else(
                || "nothing yet".to_owned(),
                |(oldest, newest)| format!("events from {} to {}", time(oldest), time(newest)),
            );
            say(format_args!("netmap {netmap}: {} segments, {}, {span}", size.segments, Bytes(size.bytes)));
        }
    }
    if arguments.json {
        say(json!({
            "netmaps": maps, "free": room.free, "total": room.total,
            "keepDays": settings.keep_days, "keepBytes": settings.keep_bytes.0, "keepFreeBytes": settings.keep_free_bytes.0,
        }));
    } else {
        say(format_args!("file system: {} of {} free", Bytes(room.free), Bytes(room.total)));
        let limit = |on: bool, text: String| if on { text } else { "no limit".to_owned() };
        say(format_args!(
            "retention: keep_days {}, keep_bytes {}, keep_free_bytes {}",
            limit(settings.keep_days > 0, settings.keep_days.to_string()),
            limit(settings.keep_bytes.0 > 0, settings.keep_bytes.to_string()),
            limit(settings.keep_free_bytes.0 > 0, settings.keep_free_bytes.to_string())
        ));
    }
    Ok(Exit::Done)
}

pub(crate) fn prune(arguments: &StorePrune) -> Result<Exit, Failure> {
    let home = Home::open(&arguments.home)?;
    let (root, mut settings) = (home.archive(), home.settings()?);
    settings.keep_days = arguments.keep_days.unwrap_or(settings.keep_days);
    settings.keep_bytes = arguments.keep_bytes.unwrap_or(settings.keep_bytes);
    settings.keep_free_bytes = arguments.keep_free_bytes.unwrap_or(settings.keep_free_bytes);
    let plan = Retention::plan(&root, settings.keep(0))?;
    let tell = |verb: &str, removal: &archive::Removal| {
        let why = match removal.why {
            Why::Age => "age",
            Why::Size => "size",
            Why::Room => "free space",
        };
        let (from, before) = (time(removal.from), time(removal.before));
        say(format_args!("{verb} {} ({from} to {before}, {} bytes): {why}", removal.path.display(), removal.bytes));
    };
    let gone = if arguments.dry_run {
        plan.segments.iter().for_each(|removal| tell("would delete", removal));
        archive::Size {
            segments: plan.segments.len() as u64,
            bytes: plan.segments.iter().map(|removal| removal.bytes).sum(),
        }
    } else {
        plan.carry_out(|removal| tell("deleted", removal))?
    };
    let verb = if arguments.dry_run { "would go" } else { "are gone" };
    say(format_args!("{} segments with {} {verb}", gone.segments, Bytes(gone.bytes)));
    if plan.lacking > 0 {
        say(format_args!("{} are lacking to keep_free_bytes: only the newest segments are left", Bytes(plan.lacking)));
        return Ok(Exit::Incomplete);
    }
    Ok(Exit::Done)
}
