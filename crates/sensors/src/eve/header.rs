//! What all lines have in common.

use std::net::IpAddr;

use serde_json::Value;

use super::mapping::{Mapping, text_at, uint_at};

/// A second and a microsecond of it, since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Stamp {
    pub(super) second: u32,
    pub(super) microsecond: u32,
}

impl Stamp {
    /// Reads `2022-11-18T00:15:50.679879+0100`, the form Suricata writes, and RFC 3339.
    pub(super) fn parse(text: &str) -> Option<Stamp> {
        let time = jiff::Timestamp::strptime("%Y-%m-%dT%H:%M:%S%.f%z", text).or_else(|_| text.parse()).ok()?;
        let second = u32::try_from(time.as_second()).ok()?;
        // 0 is no time: it is what a sensor writes that has none.
        let microsecond = u32::try_from(time.subsec_microsecond()).ok()?;
        (second != 0).then_some(Stamp { second, microsecond })
    }
}

/// Both ends of a connection or packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Ends {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// Ports, or type and code of ICMP.
    pub(super) source_port: u16,
    pub(super) destination_port: u16,
    pub(super) protocol: u8,
}

impl Ends {
    /// The other way round.
    pub(super) fn turned(self) -> Ends {
        Ends {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            protocol: self.protocol,
        }
    }

    /// Initiator first, as far as ports tell: services have low ones.
    pub(super) fn guessed(self) -> Ends {
        let service = self.source_port < self.destination_port && self.source_port < 1024;
        if service { self.turned() } else { self }
    }
}

/// The common part of a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) time: Stamp,
    pub(super) flow: Option<u64>,
    pub(super) ends: Option<Ends>,
}

impl Header {
    /// Reads it, or says what is wrong.
    pub(super) fn read(line: &Value, mapping: &Mapping) -> Result<Header, &'static str> {
        let time = text_at(line, "timestamp").and_then(Stamp::parse).ok_or("no timestamp, or an absurd one")?;
        let flow = uint_at(line, "flow_id");
        if flow.is_none() && line.get("flow_id").is_some_and(|id| !id.is_null()) {
            return Err("flow_id is not a number of 64 bits");
        }
        Ok(Header { time, flow, ends: ends(line, mapping)? })
    }
}

fn ends(line: &Value, mapping: &Mapping) -> Result<Option<Ends>, &'static str> {
    let (Some(source), Some(destination)) = (address(line, "src_ip")?, address(line, "dest_ip")?) else {
        return Ok(None);
    };
    let icmp = line.get("icmp_type").is_some();
    let (first, second) = if icmp { ("icmp_type", "icmp_code") } else { ("src_port", "dest_port") };
    Ok(Some(Ends {
        source,
        destination,
        source_port: port(line, first)?,
        destination_port: port(line, second)?,
        protocol: protocol(line, mapping),
    }))
}

fn address(line: &Value, key: &str) -> Result<Option<IpAddr>, &'static str> {
    let Some(text) = text_at(line, key) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| "an address that is none")
}

fn port(line: &Value, key: &str) -> Result<u16, &'static str> {
    match line.get(key) {
        None | Some(Value::Null) => Ok(0),
        Some(value) => value.as_u64().and_then(|port| u16::try_from(port).ok()).ok_or("a port that is none"),
    }
}

/// The number of a protocol; 0 when its name is not known.
fn protocol(line: &Value, mapping: &Mapping) -> u8 {
    let Some(name) = text_at(line, "proto") else { return 0 };
    let known = mapping.number("protocol", name).and_then(|number| u8::try_from(number).ok());
    known.or_else(|| name.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_their_offset() {
        let at = |text| Stamp::parse(text);
        let expected = Some(Stamp { second: 1_668_726_950, microsecond: 679_879 });
        assert_eq!(at("2022-11-18T00:15:50.679879+0100"), expected);
        assert_eq!(at("2022-11-17T23:15:50.679879Z"), expected);
        assert_eq!(at("2022-11-17T18:15:50.679879-0500"), expected);
        for wrong in
            ["", "2022-11-18", "1970-01-01T00:00:00.5+0000", "1969-12-31T00:00:00.0+0000", "9999-01-01T00:00:00.0+0000"]
        {
            assert_eq!(at(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn absurd_values_are_told() {
        let mapping = Mapping::load().unwrap();
        let read = |text: &str| Header::read(&serde_json::from_str(text).unwrap(), mapping);
        let time = "\"timestamp\":\"2022-11-18T00:15:50.679879+0100\"";
        for (rest, reason) in [
            ("\"src_port\":70000,\"src_ip\":\"::1\",\"dest_ip\":\"::1\"", "a port that is none"),
            ("\"src_ip\":\"300.1.1.1\"", "an address that is none"),
            ("\"flow_id\":-4", "flow_id is not a number of 64 bits"),
        ] {
            assert_eq!(read(&format!("{{{time},{rest}}}")).unwrap_err(), reason);
        }
        let icmp = read(&format!(
            "{{{time},\"src_ip\":\"10.0.0.1\",\"dest_ip\":\"10.0.0.2\",\"proto\":\"ICMP\",\"icmp_type\":8,\"icmp_code\":1}}"
        ));
        let ends = icmp.unwrap().ends.unwrap();
        assert_eq!((ends.source_port, ends.destination_port, ends.protocol), (8, 1, 1));
    }
}
