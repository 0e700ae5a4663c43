//! Intrusion events as rows, in the columns of the SDK's client.
//!
//! The columns are joined by `|`. All values are decimal numbers and addresses, in which there is no `|`, no quote and no
//! line end, so nothing needs quoting. A value that the form of the event does not have is empty.

use crate::output::{Output, OutputError};
use crate::text::ip;
use std::fmt::Write as _;
use std::io::Write;
use wire::decode::Record;
use wire::layout::Class;

/// The columns and the fields they show. Events without impact flags have a reserved octet in their place.
pub const COLUMNS: [(&str, &[&str]); 16] = [
    ("sensor_id", &["deviceId"]),
    ("event_id", &["eventId"]),
    ("event_sec", &["eventSecond"]),
    ("event_usec", &["eventMicrosecond"]),
    ("sid", &["ruleId"]),
    ("gen", &["generatorId"]),
    ("rev", &["ruleRevision"]),
    ("class", &["classificationId"]),
    ("priority", &["priorityId"]),
    ("src_addr", &["sourceIpAddress"]),
    ("dst_addr", &["destinationIpAddress"]),
    ("src_port", &["sourcePortOrIcmpType"]),
    ("dst_port", &["destinationPortOrIcmpType"]),
    ("ip_proto", &["ipProtocolId"]),
    ("impact_flag", &["impactFlags", "reserved"]),
    ("pad", &["pad"]),
];

/// Writes rows.
#[derive(Debug)]
pub struct Csv<W> {
    out: W,
    name: String,
    row: String,
}

impl<W: Write> Csv<W> {
    /// Writes to `out`, which errors call `name`; the line of column names first.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn new(out: W, name: &str) -> Result<Self, OutputError> {
        let mut csv = Csv { out, name: name.to_owned(), row: COLUMNS.map(|(column, _)| column).join("|") };
        csv.write()?;
        Ok(csv)
    }

    fn write(&mut self) -> Result<(), OutputError> {
        self.row.push('\n');
        self.out.write_all(self.row.as_bytes()).map_err(OutputError::write(&self.name))
    }
}

impl<W: Write> Output for Csv<W> {
    fn record(&mut self, record: &Record<'_>) -> Result<bool, OutputError> {
        if record.layout.is_none_or(|l| l.class != Class::Intrusion) || record.opaque() {
            return Ok(false);
        }
        self.row.clear();
        for (i, (_, fields)) in COLUMNS.iter().enumerate() {
            if i > 0 {
                self.row.push('|');
            }
            let Some(value) = fields.iter().find_map(|field| record.field(field)) else { continue };
            let _ = match (value.as_uint(), ip(value)) {
                (Some(number), _) => write!(self.row, "{number}"),
                (_, Some(address)) => write!(self.row, "{address}"),
                _ => Ok(()),
            };
        }
        self.write()?;
        Ok(true)
    }

    fn flush(&mut self) -> Result<(), OutputError> {
        self.out.flush().map_err(OutputError::write(&self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::tests::event;
    use proptest::prelude::*;
    use std::net::IpAddr;
    use wire::decode::Decoder;

    fn rows(items: &[Vec<u8>]) -> Vec<String> {
        let mut csv = Csv::new(Vec::new(), "test").unwrap();
        for item in items {
            csv.record(&Decoder::new().decode(item).unwrap()).unwrap();
        }
        String::from_utf8(csv.out).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_columns_of_the_sdk() {
        let packet = [&2u32.to_be_bytes()[..], &28u32.to_be_bytes(), &[0; 28]].concat();
        let rows = rows(&[event(104, "192.0.2.1", "198.51.100.2", &[("impactFlags", 7)]), packet]);
        assert_eq!(
            rows,
            [
                "sensor_id|event_id|event_sec|event_usec|sid|gen|rev|class|priority|src_addr|dst_addr|src_port|dst_port|ip_proto|impact_flag|pad",
                "1|2|1700000000|250000|2003|1|5|33|2|192.0.2.1|198.51.100.2|1024|443|6|7|0",
            ]
        );
    }

    proptest! {
        #[test]
        fn rows_read_back(record in prop::sample::select(vec![1u16, 7, 72, 104, 105, 207, 208, 400]), source: u128, second: u32, port: u16) {
            let v6 = matches!(record, 72 | 105 | 208 | 400);
            let source = match v6 {
                true => wire::event::address(&source.to_be_bytes()),
                false => IpAddr::from((source as u32).to_be_bytes()),
            };
            let numbers = [("eventSecond", second.into()), ("sourcePortOrIcmpType", port.into())];
            let rows = rows(&[event(record, &source.to_string(), "10.0.0.1", &numbers)]);
            let values: Vec<&str> = rows[1].split('|').collect();
            prop_assert_eq!(values.len(), COLUMNS.len());
            prop_assert_eq!(values[2].parse(), Ok(second));
            prop_assert_eq!(values[9].parse(), Ok(source));
            prop_assert_eq!(values[11].parse(), Ok(port));
        }
    }
}
