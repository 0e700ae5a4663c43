//! Lines of Suricata's EVE output.

use serde_json::{Value, json};

/// An HTTP line and an alert of a flow for each of so many numbers, and the end of the flow that began `lag` numbers before.
pub fn flows(from: u64, count: u64, lag: u64) -> String {
    let line = |kind: &str, flow: u64, more: Value| {
        let mut line = json!({
            "timestamp": "2024-03-01T12:00:05.250000+0100", "flow_id": flow, "event_type": kind, "src_ip": "10.0.0.1",
            "src_port": 50_000, "dest_ip": "192.0.2.7", "dest_port": 80, "proto": "TCP",
        });
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        format!("{line}\n")
    };
    let mut text = String::new();
    for number in from + 1..=from + count {
        text += &line("http", number, json!({ "http": { "status": number } }));
        text += &line("alert", number, json!({ "alert": { "signature_id": number, "gid": 1, "severity": 1 } }));
        if let Some(ended) = number.checked_sub(lag).filter(|ended| *ended > 0) {
            text += &line("flow", ended, json!({ "flow": { "pkts_toserver": ended } }));
        }
    }
    text
}
