//! The trap of an alert: what `mib/ESTREAMER-ALERT-MIB.txt` says, as a PDU.

use super::ber::{INTEGER, OCTETS, SEQUENCE, TIME_TICKS, TRAP, UNSIGNED, number, of, oid, tlv};
use crate::alert::Alert;
use jiff::{Timestamp, tz::TimeZone};
use std::net::IpAddr;

/// estreamerAlertMIB: below `experimental`, at a number that is not assigned to anybody.
pub const ROOT: [u32; 6] = [1, 3, 6, 1, 3, 8302];

const SYS_UP_TIME: [u32; 9] = [1, 3, 6, 1, 2, 1, 1, 3, 0];
const TRAP_OID: [u32; 11] = [1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0];

/// The OID of sfEvent.
fn sf_event() -> Vec<u8> {
    oid(&[&ROOT[..], &[0, 1]].concat())
}

/// The PDU of an alert. `uptime` is in hundredths of a second since this program has started.
pub(super) fn pdu(alert: &Alert, request: i32, uptime: u32) -> Vec<u8> {
    let mut bindings = vec![
        of(SEQUENCE, &[oid(&SYS_UP_TIME), number(TIME_TICKS, uptime.into())]),
        of(SEQUENCE, &[oid(&TRAP_OID), sf_event()]),
    ];
    let objects = objects(alert);
    bindings.extend(objects.into_iter().zip(1..).map(|(value, object)| {
        // The instance of a scalar is 0.
        of(SEQUENCE, &[oid(&[&ROOT[..], &[1, object, 0]].concat()), value])
    }));
    let head = [number(INTEGER, request.into()), number(INTEGER, 0), number(INTEGER, 0)].concat();
    of(TRAP, &[head, of(SEQUENCE, &bindings)])
}

/// The values of the objects, in the order of their numbers.
fn objects(alert: &Alert) -> [Vec<u8>; 14] {
    let integer = |n: i64| number(INTEGER, n);
    let unsigned = |n: u32| number(UNSIGNED, n.into());
    let text = |text: &str| tlv(OCTETS, text.as_bytes());
    [
        // Its syntax has no room for more.
        integer(alert.priority.min(i32::MAX as u32).into()),
        text(&alert.source.to_string()),
        text(&alert.destination.to_string()),
        unsigned(alert.count),
        tlv(OCTETS, &date_and_time(alert.second, alert.microsecond)),
        unsigned(alert.generator),
        unsigned(alert.signature),
        unsigned(alert.revision),
        integer(alert.protocol.into()),
        integer(alert.source_port.into()),
        integer(alert.destination_port.into()),
        address(alert.source),
        address(alert.destination),
        text(&alert.message),
    ]
}

fn address(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => tlv(OCTETS, &v4.octets()),
        IpAddr::V6(v6) => tlv(OCTETS, &v6.octets()),
    }
}

/// DateAndTime (RFC 2579) in UTC: year in two octets, month, day, hour, minute, second, tenth, and the offset `+ 0 0`.
fn date_and_time(second: u32, microsecond: u32) -> [u8; 11] {
    let time = Timestamp::from_second(second.into()).unwrap_or_default().to_zoned(TimeZone::UTC);
    let [high, low] = (time.year() as u16).to_be_bytes();
    let tenth = (microsecond / 100_000).min(9) as u8;
    let [month, day, hour, minute, second] =
        [time.month(), time.day(), time.hour(), time.minute(), time.second()].map(|part| part as u8);
    [high, low, month, day, hour, minute, second, tenth, b'+', 0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::tests::alert;

    #[test]
    fn a_pdu_byte_for_byte() {
        let object = |n: u8, value: &[u8]| {
            let name = [6, 9, 0x2b, 6, 1, 3, 0xc0, 0x6e, 1, n, 0];
            [&[0x30, (name.len() + value.len()) as u8], &name[..], value].concat()
        };
        let bindings = [
            vec![0x30, 14, 6, 8, 0x2b, 6, 1, 2, 1, 1, 3, 0, 0x43, 2, 1, 0],
            [&[0x30, 22, 6, 10, 0x2b, 6, 1, 6, 3, 1, 1, 4, 1, 0], &[6, 8, 0x2b, 6, 1, 3, 0xc0, 0x6e, 0, 1][..]]
                .concat(),
            object(1, &[2, 1, 2]),
            object(2, b"\x04\x09192.0.2.1"),
            object(3, b"\x04\x0c198.51.100.2"),
            object(4, &[0x42, 1, 1]),
            object(5, &[4, 11, 0x07, 0xe7, 11, 14, 22, 13, 20, 2, b'+', 0, 0]),
            object(6, &[0x42, 1, 1]),
            object(7, &[0x42, 2, 0x07, 0xd3]),
            object(8, &[0x42, 1, 5]),
            object(9, &[2, 1, 6]),
            object(10, &[2, 2, 4, 0]),
            object(11, &[2, 2, 1, 0xbb]),
            object(12, &[4, 4, 192, 0, 2, 1]),
            object(13, &[4, 4, 198, 51, 100, 2]),
            object(14, b"\x04\x12MALWARE-CNC beacon"),
        ]
        .concat();
        let length = (bindings.len() as u16).to_be_bytes();
        let whole = (bindings.len() as u16 + 4 + 9).to_be_bytes();
        let expected = [
            &[0xa7, 0x82, whole[0], whole[1], 2, 1, 77, 2, 1, 0, 2, 1, 0, 0x30, 0x82, length[0], length[1]][..],
            &bindings,
        ];
        assert_eq!(pdu(&alert(), 77, 256), expected.concat());
    }
}
