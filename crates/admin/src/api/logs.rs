//! The newest lines of the log.

use crate::answer::{Answer, Problem};
use crate::app::App;
use crate::call::Call;
use hyper::StatusCode;
use serde_json::{Value, json};
use tracing::Level;

pub(crate) fn show(app: &App, call: &Call) -> Result<Answer, Problem> {
    let after = call.query_number("after", 0, 0, u64::MAX)?;
    let limit = usize::try_from(call.query_number("limit", 200, 1, 2000)?).unwrap_or(200);
    let level = call.query("level").unwrap_or("info".into());
    let level = match level.as_ref() {
        "error" => Level::ERROR,
        "warn" => Level::WARN,
        "info" => Level::INFO,
        "debug" => Level::DEBUG,
        _ => {
            let error = "level must be error, warn, info or debug";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error).code("query"));
        }
    };
    let lines = app.handle.recent().map(|recent| recent.after(after, limit, level)).unwrap_or_default();
    let lines: Vec<Value> = lines
        .iter()
        .map(|line| {
            json!({
                "number": line.number,
                "time": line.time.as_second(),
                "level": line.level.as_str(),
                "process": line.process,
                "component": line.component,
                "text": line.text,
            })
        })
        .collect();
    Ok(Answer::json(&json!({ "lines": lines })))
}
