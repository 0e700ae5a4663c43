//! The newest lines of the log.

use crate::answer::{Answer, Problem};
use crate::app::App;
use crate::call::Call;
use hyper::StatusCode;
use serde_json::json;

pub(crate) fn show(_: &App, call: &Call) -> Result<Answer, Problem> {
    let (_after, _limit) = (call.query_number("after", 0, 0, u64::MAX)?, call.query_number("limit", 200, 1, 2000)?);
    let level = call.query("level").unwrap_or("info".into());
    if !["error", "warn", "info", "debug"].contains(&&*level) {
        let error = "level must be error, warn, info or debug";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error).code("query"));
    }
    Ok(Answer::json(&json!({ "lines": [] })))
}
