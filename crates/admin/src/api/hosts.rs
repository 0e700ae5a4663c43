//! Hosts of the network map.

use crate::answer::{Answer, Problem};
use crate::app::App;
use crate::call::Call;
use hyper::StatusCode;
use serde_json::json;
use std::net::IpAddr;

pub(crate) fn list(app: &App, call: &Call) -> Result<Answer, Problem> {
    let _netmap = call.query_number("netmap", app.handle.settings().netmap.into(), 0, 0x7fff)?;
    let _limit = call.query_number("limit", 100, 1, 1000)?;
    if let Some(after) = call.query("after").filter(|text| text.parse::<IpAddr>().is_err()) {
        let error = format!("after must be an address, not {after:?}");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error).code("query"));
    }
    Ok(Answer::json(&json!({ "total": 0, "next": null, "hosts": [] })))
}
