//! Lines of a collector's log: in eNcore's shape, which people and their tools search, or as JSON objects.

use jiff::Zoned;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};
use std::fmt;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// `2020-05-28 16:02:56,957 Diagnostics  INFO     Connection successful`, in local time.
pub(super) struct Encore;

/// `{"time": …, "level": …, "logger": …, "message": …}`, in UTC.
pub(super) struct Json;

/// eNcore's name for a part of the program. Names without colons are given where a line is written.
fn logger(target: &str) -> &str {
    let parts: [(&str, &str); 12] = [
        ("collector::connect", "Connection"),
        ("collector::run", "Connection"),
        ("collector::intake", "Subscriber"),
        ("collector::work", "Transformer"),
        ("collector::resolve", "Decorator"),
        ("collector::deliver", "Writer"),
        ("collector::checkpoint", "Bookmark"),
        ("collector::encore", "Bookmark"),
        ("collector::c", "Settings"),
        ("outputs", "Writer"),
        ("pki", "Connection"),
        ("estreamer", "Controller"),
    ];
    match target.contains("::") || target.chars().next().is_some_and(char::is_lowercase) {
        false => target,
        true => parts.iter().find(|(start, _)| target.starts_with(start)).map_or("Service", |(_, name)| name),
    }
}

/// eNcore's name of a level.
fn level(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG => "DEBUG",
        Level::TRACE => "TRACE",
    }
}

/// Message and fields of an event.
#[derive(Default)]
struct Content {
    message: String,
    fields: Map<String, Value>,
}

impl Content {
    fn of(event: &Event<'_>) -> Content {
        let mut content = Content::default();
        event.record(&mut content);
        content
    }
}

impl Visit for Content {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.message = text,
            // What the log crate adds about where a line was written.
            name if name.starts_with("log.") => {}
            name => {
                self.fields.insert(name.to_owned(), text.into());
            }
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = value.to_owned(),
            name if name.starts_with("log.") => {}
            name => {
                self.fields.insert(name.to_owned(), value.into());
            }
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.fields.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fields.insert(field.name().to_owned(), value.into());
    }
}

impl<S, N> FormatEvent<S, N> for Encore
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let content = Content::of(event);
        let meta = event.metadata();
        let head = head(&Zoned::now(), logger(meta.target()), level(meta.level()));
        // One line an event, whatever the message holds.
        write!(writer, "{head}{}", content.message.replace('\r', "\\r").replace('\n', "\\n"))?;
        for (name, value) in &content.fields {
            write!(writer, " {name}={value}")?;
        }
        writer.write_char('\n')
    }
}

fn head(now: &Zoned, logger: &str, level: &str) -> String {
    let millisecond = now.subsec_nanosecond() / 1_000_000;
    format!("{},{millisecond:03} {logger:<12} {level:<8} ", now.strftime("%Y-%m-%d %H:%M:%S"))
}

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let content = Content::of(event);
        let meta = event.metadata();
        let now = Zoned::now().with_time_zone(TimeZone::UTC);
        let mut object = Map::new();
        let millisecond = now.subsec_nanosecond() / 1_000_000;
        object.insert("time".into(), format!("{}.{millisecond:03}Z", now.strftime("%Y-%m-%dT%H:%M:%S")).into());
        object.insert("level".into(), level(meta.level()).into());
        object.insert("logger".into(), logger(meta.target()).into());
        object.insert("message".into(), content.message.into());
        object.extend(content.fields);
        writeln!(writer, "{}", Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_columns_of_encore() {
        let time: Zoned = "2020-05-28T16:02:56.957+02:00[+02:00]".parse().unwrap();
        assert_eq!(
            head(&time, "Diagnostics", "INFO") + "Connection successful",
            "2020-05-28 16:02:56,957 Diagnostics  INFO     Connection successful"
        );
        assert_eq!(head(&time, "Monitor", "WARNING"), "2020-05-28 16:02:56,957 Monitor      WARNING  ");
    }

    #[test]
    fn parts_have_the_names_people_search_for() {
        let cases = [
            ("Monitor", "Monitor"),
            ("collector::run", "Connection"),
            ("collector::config::output", "Settings"),
            ("collector::credentials", "Settings"),
            ("outputs::sender::worker", "Writer"),
            ("estreamer::commands::collect", "Controller"),
            ("rustls::conn", "Service"),
            ("rustls", "Service"),
        ];
        for (target, name) in cases {
            assert_eq!(logger(target), name, "{target}");
        }
    }
}
