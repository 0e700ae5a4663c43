//! Hosts of the network map.

use crate::answer::{Answer, Problem};
use crate::app::App;
use crate::call::Call;
use hyper::StatusCode;
use netmap::Map;
use serde_json::json;
use std::net::IpAddr;

pub(crate) fn list(app: &App, call: &Call) -> Result<Answer, Problem> {
    let netmap = call.query_number("netmap", app.handle.settings().netmap.into(), 0, 0x7fff)?;
    let limit = call.query_number("limit", 100, 1, 1000)?;
    let after = match call.query("after").filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => Some(text.parse::<IpAddr>().map_err(|_| {
            let error = format!("after must be an address, not {text:?}");
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error).code("query")
        })?),
    };
    let text = call.query("q").unwrap_or_default();
    let map = Map::open(&app.home.map_path(), u32::try_from(netmap).unwrap_or(0)).map_err(Problem::internal)?;
    // Without a map there is none yet.
    let Some(map) = map else { return Ok(Answer::json(&json!({ "total": 0, "next": null, "hosts": [] }))) };
    let page = map.page(&text, after, u32::try_from(limit).unwrap_or(100)).map_err(Problem::internal)?;
    let described = page.hosts.iter().map(|(at, host)| map.describe(*at, host));
    let hosts = described.collect::<Result<Vec<_>, _>>().map_err(Problem::internal)?;
    Ok(Answer::json(&json!({ "total": page.total, "next": page.next, "hosts": hosts })))
}
