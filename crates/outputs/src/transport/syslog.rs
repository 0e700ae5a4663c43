//! Lines as syslog messages: RFC 5424, or RFC 3164 for old receivers.
//!
//! ```text
//! <134>1 2026-03-01T12:00:00.123456Z collector estreamer 4711 - - {"recordType": 400, ...}
//! <134>Mar  1 13:00:00 collector estreamer[4711]: {"recordType": 400, ...}
//! ```
//!
//! The time is the one of sending; the event's own is in the line. A message that is sent again has a new one.

use super::SetupError;
use std::io::Write;
use std::str::FromStr;

/// Byte order mark, which says that the message is UTF-8 (RFC 5424 6.4).
const BOM: &[u8] = b"\xef\xbb\xbf";

/// How lines are put into what is sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Message {
    /// As they are.
    #[default]
    Plain,
    /// Behind a syslog header.
    Syslog(Syslog),
}

/// What the header of a syslog message has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Syslog {
    /// Form of the message.
    pub format: Format,
    /// Facility; `local0` by default.
    pub facility: Facility,
    /// Severity; `info` by default.
    pub severity: Severity,
    /// Name of this host, 1 to 255 printable ASCII characters (RFC 5424 6.2.4).
    pub host: String,
    /// Name of the program: at most 48 (RFC 5424 6.2.5), or 32 letters and digits as a tag (RFC 3164 4.1.3).
    pub app: String,
    /// Process id, at most 128 characters; `-` for none.
    pub process: String,
    /// Kind of message, at most 32 characters; `-` for none. Not in RFC 3164.
    pub id: String,
    /// Put a byte order mark before the line, as RFC 5424 asks of programs that know that they send UTF-8. Many
    /// receivers take it for a part of the line. Not in RFC 3164.
    pub bom: bool,
    /// Time in UTC in messages of RFC 3164, whose times have no zone and are local by custom.
    pub utc: bool,
}

/// Form of a syslog message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// With structured data (none), microseconds and zone.
    #[default]
    Rfc5424,
    /// The old BSD form.
    Rfc3164,
}

impl Syslog {
    /// A header with the defaults, and the name of this host and process.
    pub fn new(format: Format) -> Syslog {
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let host: String = name.chars().filter(char::is_ascii_graphic).take(255).collect();
        Syslog {
            format,
            facility: Facility(16),
            severity: Severity(6),
            host: if host.is_empty() { "localhost".to_owned() } else { host },
            app: "estreamer".to_owned(),
            process: std::process::id().to_string(),
            id: "-".to_owned(),
            bom: false,
            utc: false,
        }
    }

    /// Whether the header can be written.
    ///
    /// # Errors
    /// [`SetupError::Setting`] for a name that is too long or has other than printable ASCII characters.
    pub fn check(&self) -> Result<(), SetupError> {
        let fields = [
            ("the syslog host name", &self.host, 255),
            ("the syslog program name", &self.app, 48),
            ("the syslog process id", &self.process, 128),
            ("the syslog message id", &self.id, 32),
        ];
        for (name, value, most) in fields {
            if value.is_empty() || value.len() > most || !value.bytes().all(|b| b.is_ascii_graphic()) {
                let problem = format!("it must have 1 to {most} printable ASCII characters and no blank");
                return Err(SetupError::setting(name, value, problem));
            }
        }
        let tag = self.app.len() <= 32 && !self.app.contains([':', '[', ']']);
        if self.format == Format::Rfc3164 && !tag {
            let problem = "in RFC 3164 it must have at most 32 characters, no colon and no bracket";
            return Err(SetupError::setting("the syslog program name", &self.app, problem));
        }
        Ok(())
    }

    /// The header of messages that are sent now.
    fn header(&self, now: jiff::Timestamp) -> Vec<u8> {
        let Syslog { facility, severity, host, app, process, id, .. } = self;
        let priority = u16::from(facility.0) * 8 + u16::from(severity.0);
        let zone = if self.utc { jiff::tz::TimeZone::UTC } else { jiff::tz::TimeZone::system() };
        match self.format {
            Format::Rfc5424 => {
                let time = now.strftime("%Y-%m-%dT%H:%M:%S.%6fZ");
                let bom = String::from_utf8_lossy(if self.bom { BOM } else { b"" });
                format!("<{priority}>1 {time} {host} {app} {process} {id} - {bom}").into_bytes()
            }
            Format::Rfc3164 => {
                let time = now.to_zoned(zone).strftime("%b %e %H:%M:%S").to_string();
                let process = if process == "-" { String::new() } else { format!("[{process}]") };
                format!("<{priority}>{time} {host} {app}{process}: ").into_bytes()
            }
        }
    }
}

/// Where one message ends in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// At a line feed.
    #[default]
    LineFeed,
    /// After as many bytes as the decimal number before it says (RFC 6587 3.4.1, RFC 5425 4.3).
    OctetCounting,
}

impl Message {
    /// Octet counting for syslog, line feeds for plain lines.
    pub fn framing(&self) -> Framing {
        match self {
            Message::Plain => Framing::LineFeed,
            Message::Syslog(_) => Framing::OctetCounting,
        }
    }

    pub(super) fn check(&self) -> Result<(), SetupError> {
        match self {
            Message::Plain => Ok(()),
            Message::Syslog(syslog) => syslog.check(),
        }
    }

    /// What comes before each line that is sent now.
    pub(super) fn header(&self) -> Vec<u8> {
        match self {
            Message::Plain => Vec::new(),
            Message::Syslog(syslog) => syslog.header(jiff::Timestamp::now()),
        }
    }
}

impl Framing {
    /// Appends a message to what is sent.
    pub(super) fn push(self, header: &[u8], line: &[u8], out: &mut Vec<u8>) {
        if self == Framing::OctetCounting {
            // Writing to a vector cannot fail.
            let _ = write!(out, "{} ", header.len() + line.len());
        }
        out.extend_from_slice(header);
        out.extend_from_slice(line);
        if self == Framing::LineFeed {
            out.push(b'\n');
        }
    }
}

/// A syslog facility, 0 to 23 (RFC 5424 6.2.1). As text its name, as in `local0`, or its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facility(u8);

/// A syslog severity, 0 to 7 (RFC 5424 6.2.1). As text its name, as in `info`, or its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Severity(u8);

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

const SEVERITIES: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

impl FromStr for Facility {
    type Err = SetupError;

    fn from_str(text: &str) -> Result<Facility, SetupError> {
        let known = number(text, &FACILITIES);
        let problem = "the facilities are kern, user, mail, daemon, auth, syslog ... local0 to local7";
        known.map(Facility).ok_or_else(|| SetupError::setting("the syslog facility", text, problem))
    }
}

impl FromStr for Severity {
    type Err = SetupError;

    fn from_str(text: &str) -> Result<Severity, SetupError> {
        let known = number(text, &SEVERITIES);
        let problem = "the severities are emerg, alert, crit, err, warning, notice, info and debug";
        known.map(Severity).ok_or_else(|| SetupError::setting("the syslog severity", text, problem))
    }
}

fn number(text: &str, names: &[&str]) -> Option<u8> {
    let named = names.iter().position(|name| name.eq_ignore_ascii_case(text));
    let number = named.or_else(|| text.parse().ok().filter(|n| *n < names.len()));
    number.and_then(|n| u8::try_from(n).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn syslog(format: Format) -> Syslog {
        let process = "4711".to_owned();
        Syslog { host: "collector".to_owned(), process, utc: true, ..Syslog::new(format) }
    }

    fn header(syslog: &Syslog) -> String {
        let time = jiff::Timestamp::new(1_772_366_400, 123_456_789).unwrap();
        String::from_utf8(syslog.header(time)).unwrap()
    }

    #[test]
    fn headers() {
        let mut new = syslog(Format::Rfc5424);
        assert_eq!(header(&new), "<134>1 2026-03-01T12:00:00.123456Z collector estreamer 4711 - - ");
        new.bom = true;
        new.facility = "local7".parse().unwrap();
        new.severity = "0".parse().unwrap();
        new.id = "event".to_owned();
        assert_eq!(header(&new), "<184>1 2026-03-01T12:00:00.123456Z collector estreamer 4711 event - \u{feff}");
        let mut old = syslog(Format::Rfc3164);
        assert_eq!(header(&old), "<134>Mar  1 12:00:00 collector estreamer[4711]: ");
        old.process = "-".to_owned();
        assert_eq!(header(&old), "<134>Mar  1 12:00:00 collector estreamer: ");
    }

    #[test]
    fn names_that_break_the_header_are_refused() {
        assert!(Syslog::new(Format::Rfc5424).check().is_ok() && Syslog::new(Format::Rfc3164).check().is_ok());
        for host in ["", "a b", "a\nb", "ü", &"x".repeat(256)] {
            assert!(Syslog { host: host.to_owned(), ..syslog(Format::Rfc5424) }.check().is_err(), "{host:?}");
        }
        let app = "a:b".to_owned();
        assert!(Syslog { app: app.clone(), ..syslog(Format::Rfc5424) }.check().is_ok());
        assert!(Syslog { app, ..syslog(Format::Rfc3164) }.check().is_err());
    }

    #[test]
    fn facilities_and_severities() {
        assert_eq!("LOCAL0".parse::<Facility>().unwrap(), Facility(16));
        assert_eq!("23".parse::<Facility>().unwrap(), Facility(23));
        assert_eq!("debug".parse::<Severity>().unwrap(), Severity(7));
        assert!(
            "24".parse::<Facility>().is_err() && "8".parse::<Severity>().is_err() && "x".parse::<Severity>().is_err()
        );
    }

    #[test]
    fn octets_are_counted_not_characters() {
        let mut out = Vec::new();
        Framing::OctetCounting.push(b"<1>", "ü".as_bytes(), &mut out);
        Framing::OctetCounting.push(b"<1>", b"", &mut out);
        assert_eq!(out, b"5 <1>\xc3\xbc3 <1>");
    }
}
