//! The check boxes: which events are captured and may be sent.

use crate::answer::{Answer, Problem};
use crate::app::{App, audit};
use crate::call::Call;
use control::{Captured, EventType};
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

pub(crate) fn list(app: &App, _: &Call) -> Result<Answer, Problem> {
    let captured = app.control.captured()?;
    let types: Vec<Value> = EventType::ALL.into_iter().map(|t| row(t, captured)).collect();
    Ok(Answer::json(&json!({ "types": types })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    captured: bool,
}

pub(crate) fn set(app: &App, call: &Call) -> Result<Answer, Problem> {
    let key = call.parameter();
    let unknown = || {
        let keys: Vec<_> = EventType::ALL.iter().map(|t| t.key()).collect();
        let error = format!("there is no event type {key}");
        Problem::new(StatusCode::NOT_FOUND, error).remedy(format!("the types are {}", keys.join(", ")))
    };
    let event_type = EventType::from_key(key).ok_or_else(unknown)?;
    let Change { captured } = call.json()?;
    app.control.set_captured(event_type, captured)?;
    audit(&call.who, format_args!("{} {}", if captured { "checked" } else { "unchecked" }, event_type.title()));
    Ok(Answer::json(&row(event_type, app.control.captured()?)))
}

fn row(event_type: EventType, captured: Captured) -> Value {
    json!({
        "key": event_type.key(),
        "title": event_type.title(),
        "note": event_type.note(),
        "captured": captured.contains(event_type),
    })
}
