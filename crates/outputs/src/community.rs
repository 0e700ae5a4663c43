//! Community ID: one name for a flow, whichever tool saw it (Corelight's specification, version 1, seed 0).

use crate::mapping::item::Flow;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// The Community ID of a flow of TCP, UDP or SCTP.
pub(crate) fn id(flow: &Flow<'_>) -> String {
    let [source, destination] = [flow.source, flow.destination].map(octets);
    let (one, other) = ((source, flow.source_port), (destination, flow.destination_port));
    // Both directions have the same name.
    let ((from, from_port), (to, to_port)) = if one <= other { (one, other) } else { (other, one) };
    let hash = Sha1::new()
        .chain_update([0, 0])
        .chain_update(from)
        .chain_update(to)
        .chain_update([flow.protocol, 0])
        .chain_update(from_port.to_be_bytes())
        .chain_update(to_port.to_be_bytes())
        .finalize();
    let mut text = String::with_capacity(30);
    text.push_str("1:");
    STANDARD.encode_string(hash, &mut text);
    text
}

/// Four octets of an IPv4 address, else sixteen.
fn octets(address: &[u8; 16]) -> &[u8] {
    match address {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, four @ ..] => four,
        all => all,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    fn of(source: &str, destination: &str, source_port: u16, destination_port: u16, protocol: u8) -> String {
        let [source, destination] = [source, destination].map(|address| match address.parse().unwrap() {
            IpAddr::V4(four) => Ipv4Addr::to_ipv6_mapped(&four).octets(),
            IpAddr::V6(six) => six.octets(),
        });
        id(&Flow { source: &source, destination: &destination, source_port, destination_port, protocol })
    }

    #[test]
    fn flows_have_the_names_of_the_specification() {
        assert_eq!(of("128.232.110.120", "66.35.250.204", 34855, 80, 6), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
        assert_eq!(of("66.35.250.204", "128.232.110.120", 80, 34855, 6), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
        assert_eq!(of("192.168.1.52", "8.8.8.8", 54585, 53, 17), "1:d/FP5EW3wiY1vCndhwleRRKHowQ=");
        assert!(of("2001:db8::1", "2001:db8::2", 1, 2, 6).starts_with("1:"));
    }
}
