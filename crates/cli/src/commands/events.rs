//! `estreamer events`: the check boxes of event types.

use crate::arguments::{EventTypes, Events, Listing};
use crate::exit::{Exit, Failure, say};
use control::{Control, EventType};
use serde_json::{Value, json};
use server::Home;

pub(crate) fn run(arguments: &Events) -> Result<Exit, Failure> {
    match arguments {
        Events::List(listing) => list(listing),
        Events::Check(types) => set(types, true),
        Events::Uncheck(types) => set(types, false),
    }
}

fn list(arguments: &Listing) -> Result<Exit, Failure> {
    let home = Home::open(&arguments.of.home)?;
    let captured = Control::open(&home.control_path())?.captured()?;
    let all = EventType::ALL.into_iter().map(|event_type| (event_type, captured.contains(event_type)));
    if arguments.json {
        let value = |(t, checked): (EventType, bool)| json!({ "type": t.key(), "title": t.title(), "note": t.note(), "checked": checked });
        say(Value::Array(all.map(value).collect()));
        return Ok(Exit::Done);
    }
    for (event_type, checked) in all {
        let mark = if checked { 'x' } else { ' ' };
        say(format_args!("[{mark}] {:<14} {:<34} {}", event_type.key(), event_type.title(), event_type.note()));
    }
    Ok(Exit::Done)
}

fn set(arguments: &EventTypes, on: bool) -> Result<Exit, Failure> {
    let home = Home::open(&arguments.of.home)?;
    let control = Control::open(&home.control_path())?;
    // clap has let known names through alone.
    for event_type in arguments.types.iter().filter_map(|key| EventType::from_key(key)) {
        control.set_captured(event_type, on)?;
        match on {
            true => say(format_args!("{}: captured and sent to clients that ask for them", event_type.title())),
            false => say(format_args!("{}: neither captured nor sent; what is archived stays", event_type.title())),
        }
    }
    Ok(Exit::Done)
}
