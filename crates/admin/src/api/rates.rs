//! Events a second, by type, over time.

use super::sessions::round;
use crate::answer::{Answer, Problem};
use crate::app::App;
use crate::call::Call;
use control::RATE_SECONDS;
use serde_json::{Value, json};

pub(crate) fn show(app: &App, call: &Call) -> Result<Answer, Problem> {
    let minutes = call.query_number("minutes", 60, 1, 1440)?;
    let rates = app.control.rates(u32::try_from(minutes).unwrap_or(60))?;
    let series: Vec<Value> = rates
        .series
        .iter()
        .map(|(event_type, counts)| {
            let values: Vec<f64> = counts.iter().map(|n| round(*n as f64 / f64::from(RATE_SECONDS))).collect();
            json!({ "key": event_type.key(), "title": event_type.title(), "values": values })
        })
        .collect();
    Ok(Answer::json(&json!({ "start": rates.start, "step_seconds": RATE_SECONDS, "series": series })))
}
