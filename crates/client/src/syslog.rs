//! Intrusion events as syslog lines, in the words of the SDK's client.
//!
//! `AlertPriority P SourceIp A DestinationIp B sfAlertCount N SourcePort X DestinationPort Y EventMessage Sourcefire Alert
//! TEXT`, framed as RFC 3164 has it: `<PRI>Mmm dd hh:mm:ss HOST estreamer: ` by UDP, without the host to a socket of this
//! machine, as its C library writes there. [`Alerts`] says which events are sent at once and which together.

use crate::alert::{Alert, Alerts};
use crate::output::{Output, OutputError};
use crate::receiver::Receiver;
use crate::text::cut;
use jiff::Zoned;
use std::path::Path;
use std::time::Duration;
use wire::decode::Record;

/// The socket of this machine's syslog service.
pub const LOCAL: &str = "/dev/log";

/// The longest line RFC 3164 allows.
const LIMIT: usize = 1024;

/// Facilities by their names, in the order of their numbers.
pub const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// Severities by their names, in the order of their numbers.
pub const SEVERITIES: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

/// Facility and severity of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Priority(u8);

impl Priority {
    /// `FACILITY.SEVERITY` by their names, as the command `logger` takes it.
    pub fn parse(text: &str) -> Option<Priority> {
        let (facility, severity) = text.split_once('.')?;
        let number = |names: &[&str], name: &str| names.iter().position(|known| *known == name);
        let number = 8 * number(&FACILITIES, facility)? + number(&SEVERITIES, severity)?;
        u8::try_from(number).ok().map(Priority)
    }
}

impl Default for Priority {
    /// `user.notice`, as `logger` has it.
    fn default() -> Self {
        Priority(13)
    }
}

/// Sends lines.
#[derive(Debug)]
pub struct Syslog {
    receiver: Receiver,
    alerts: Alerts,
    priority: Priority,
    host: String,
}

impl Syslog {
    /// Sends to a server by UDP (port 514 unless it says another), or to a socket of this machine if it is a path. Events
    /// of low priority are collected for `collect`.
    ///
    /// # Errors
    /// If there is no such receiver.
    pub fn new(receiver: &str, priority: Priority, collect: Duration) -> Result<Self, OutputError> {
        let receiver = match receiver.starts_with('/') {
            true => Receiver::local(Path::new(receiver))?,
            false => Receiver::udp(receiver, 514)?,
        };
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Ok(Syslog { receiver, alerts: Alerts::new(collect), priority, host })
    }

    fn send(&mut self, alerts: &[Alert]) -> Result<(), OutputError> {
        let host = (!self.receiver.is_local()).then_some(self.host.as_str());
        for alert in alerts {
            self.receiver.send(line(alert, self.priority, &Zoned::now(), host).as_bytes())?;
        }
        Ok(())
    }
}

impl Output for Syslog {
    fn record(&mut self, record: &Record<'_>) -> Result<bool, OutputError> {
        let (taken, alerts) = self.alerts.take(record);
        self.send(&alerts)?;
        Ok(taken)
    }

    fn flush(&mut self) -> Result<(), OutputError> {
        let alerts = self.alerts.due();
        self.send(&alerts)
    }

    fn finish(&mut self) -> Result<u64, OutputError> {
        let alerts = self.alerts.rest();
        self.send(&alerts)?;
        Ok(self.receiver.refused)
    }
}

fn line(alert: &Alert, priority: Priority, now: &Zoned, host: Option<&str>) -> String {
    let mut line = format!(
        "<{}>{} {}{}estreamer: AlertPriority {} SourceIp {} DestinationIp {} sfAlertCount {} SourcePort {} \
         DestinationPort {} EventMessage Sourcefire Alert {}",
        priority.0,
        now.strftime("%b %e %H:%M:%S"),
        host.unwrap_or_default(),
        if host.is_some() { " " } else { "" },
        alert.priority,
        alert.source,
        alert.destination,
        alert.count,
        alert.source_port,
        alert.destination_port,
        alert.message
    );
    cut(&mut line, LIMIT);
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::tests::{alert, event};
    use std::net::UdpSocket;
    use wire::decode::Decoder;

    #[test]
    fn the_line_of_the_sdk() {
        let now = "2023-11-04T09:08:07Z".parse::<jiff::Timestamp>().unwrap().to_zoned(jiff::tz::TimeZone::UTC);
        let words = "AlertPriority 2 SourceIp 192.0.2.1 DestinationIp 198.51.100.2 sfAlertCount 1 SourcePort 1024 \
                     DestinationPort 443 EventMessage Sourcefire Alert MALWARE-CNC beacon";
        let alert = alert();
        let text = line(&alert, Priority::default(), &now, Some("sensor1"));
        assert_eq!(text, format!("<13>Nov  4 09:08:07 sensor1 estreamer: {words}"));
        let local = line(&alert, Priority::parse("local7.debug").unwrap(), &now, None);
        assert_eq!(local, format!("<191>Nov  4 09:08:07 estreamer: {words}"));
        let long = Alert { message: "\u{e9}".repeat(2000), ..alert };
        assert!((LIMIT - 1..=LIMIT).contains(&line(&long, Priority(0), &now, None).len()));
    }

    #[test]
    fn priorities_by_name() {
        assert_eq!(Priority::parse("kern.emerg"), Some(Priority(0)));
        assert_eq!(Priority::parse("local0.warning"), Some(Priority(132)));
        for wrong in ["", "user", "user.", "user.notices", "USER.notice"] {
            assert_eq!(Priority::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn lines_by_udp_and_what_is_collected_at_the_end() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let name = server.local_addr().unwrap().to_string();
        let mut syslog = Syslog::new(&name, Priority::default(), Duration::from_secs(60)).unwrap();
        let mut buffer = [0; 2048];
        let mut next = || {
            let n = server.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..n].to_vec()).unwrap()
        };
        for (priority, address) in [(3, "192.0.2.3"), (1, "192.0.2.1"), (3, "192.0.2.4")] {
            let item = event(104, address, "198.51.100.2", &[("priorityId", priority)]);
            assert!(syslog.record(&Decoder::new().decode(&item).unwrap()).unwrap());
        }
        syslog.flush().unwrap();
        assert!(next().contains("AlertPriority 1 SourceIp 192.0.2.1 "));
        assert_eq!(syslog.finish().unwrap(), 0);
        let collected = next();
        assert!(collected.contains("AlertPriority 3 SourceIp 192.0.2.3 ") && collected.contains(" sfAlertCount 2 "));
    }
}
