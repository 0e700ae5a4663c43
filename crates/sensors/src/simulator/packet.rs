//! Ethernet frames with IPv4 or IPv6 and TCP, UDP or ICMP: lengths and checksums are right.

/// ICMP.
pub(crate) const ICMP: u8 = 1;
/// TCP.
pub(crate) const TCP: u8 = 6;
/// UDP.
pub(crate) const UDP: u8 = 17;

/// What a frame says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment<'a> {
    pub(crate) source_mac: [u8; 6],
    pub(crate) destination_mac: [u8; 6],
    /// IPv6 or IPv4-mapped addresses, both of the same family.
    pub(crate) source: [u8; 16],
    pub(crate) destination: [u8; 16],
    /// Ports; for ICMP type and code.
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) protocol: u8,
    pub(crate) sequence: u32,
    pub(crate) acknowledgement: u32,
    /// IPv4 identification, ICMP identifier.
    pub(crate) identification: u16,
    /// At most an Ethernet frame's worth.
    pub(crate) payload: &'a [u8],
}

/// Writes the frame into `out`, which is emptied first.
pub(crate) fn frame(segment: &Segment, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&segment.destination_mac);
    out.extend_from_slice(&segment.source_mac);
    let length = transport_header(segment.protocol) + segment.payload.len();
    let v4 = segment.source.starts_with(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
    if v4 {
        out.extend_from_slice(&0x0800u16.to_be_bytes());
        ipv4(segment, length, out);
    } else {
        out.extend_from_slice(&0x86ddu16.to_be_bytes());
        ipv6(segment, length, out);
    }
    let start = out.len();
    match segment.protocol {
        TCP => tcp(segment, out),
        UDP => udp(segment, length, out),
        _ => icmp(segment, out),
    }
    out.extend_from_slice(segment.payload);
    let pseudo = if segment.protocol == ICMP { 0 } else { pseudo_header(segment, v4, length) };
    let mut checksum = finish(pseudo + sum(&out[start..]));
    if segment.protocol == UDP && checksum == 0 {
        // 0 says that there is no checksum (RFC 768).
        checksum = 0xffff;
    }
    let place = start
        + match segment.protocol {
            TCP => 16,
            UDP => 6,
            _ => 2,
        };
    out[place..place + 2].copy_from_slice(&checksum.to_be_bytes());
}

fn transport_header(protocol: u8) -> usize {
    if protocol == TCP { 20 } else { 8 }
}

fn ipv4(segment: &Segment, length: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0x45, 0]);
    out.extend_from_slice(&(20 + length as u16).to_be_bytes());
    out.extend_from_slice(&segment.identification.to_be_bytes());
    // Do not fragment; time to live; protocol; checksum to come.
    out.extend_from_slice(&[0x40, 0, 61, segment.protocol, 0, 0]);
    out.extend_from_slice(&segment.source[12..]);
    out.extend_from_slice(&segment.destination[12..]);
    let checksum = finish(sum(&out[start..]));
    out[start + 10..start + 12].copy_from_slice(&checksum.to_be_bytes());
}

fn ipv6(segment: &Segment, length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&[0x60, 0, 0, 0]);
    out.extend_from_slice(&(length as u16).to_be_bytes());
    out.extend_from_slice(&[segment.protocol, 61]);
    out.extend_from_slice(&segment.source);
    out.extend_from_slice(&segment.destination);
}

fn tcp(segment: &Segment, out: &mut Vec<u8>) {
    out.extend_from_slice(&segment.source_port.to_be_bytes());
    out.extend_from_slice(&segment.destination_port.to_be_bytes());
    out.extend_from_slice(&segment.sequence.to_be_bytes());
    out.extend_from_slice(&segment.acknowledgement.to_be_bytes());
    // Five words of header, PSH and ACK, window 64240, checksum to come, not urgent.
    out.extend_from_slice(&[0x50, 0x18, 0xfa, 0xf0, 0, 0, 0, 0]);
}

fn udp(segment: &Segment, length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&segment.source_port.to_be_bytes());
    out.extend_from_slice(&segment.destination_port.to_be_bytes());
    out.extend_from_slice(&(length as u16).to_be_bytes());
    out.extend_from_slice(&[0, 0]);
}

fn icmp(segment: &Segment, out: &mut Vec<u8>) {
    out.extend_from_slice(&[segment.source_port as u8, segment.destination_port as u8, 0, 0]);
    out.extend_from_slice(&segment.identification.to_be_bytes());
    out.extend_from_slice(&(segment.sequence as u16).to_be_bytes());
}

fn pseudo_header(segment: &Segment, v4: bool, length: usize) -> u32 {
    let from = if v4 { 12 } else { 0 };
    sum(&segment.source[from..]) + sum(&segment.destination[from..]) + u32::from(segment.protocol) + length as u32
}

/// The sum of all 16-bit words (RFC 1071).
fn sum(octets: &[u8]) -> u32 {
    let (words, rest) = octets.as_chunks::<2>();
    let last = rest.first().map_or(0, |octet| u32::from(*octet) << 8);
    words.iter().fold(last, |sum, word| sum + u32::from(u16::from_be_bytes(*word)))
}

fn finish(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}

/// Why a frame is not what it should be; `Ok` gives protocol, source and destination port (ICMP: type and code).
#[cfg(test)]
pub(crate) fn check(frame: &[u8]) -> Result<(u8, u16, u16), String> {
    let u16_at = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    let (protocol, addresses, start, end) = match u16_at(12) {
        0x0800 => {
            if finish(sum(&frame[14..34])) != 0 {
                return Err("IPv4 header checksum".into());
            }
            (frame[23], &frame[26..34], 34, 14 + usize::from(u16_at(16)))
        }
        0x86dd => (frame[20], &frame[22..54], 54, 54 + usize::from(u16_at(18))),
        other => return Err(format!("EtherType {other:#x}")),
    };
    if end != frame.len() {
        return Err(format!("the IP packet ends at {end}, the frame at {}", frame.len()));
    }
    if protocol == UDP && usize::from(u16_at(start + 4)) != end - start {
        return Err("UDP length".into());
    }
    let pseudo = if protocol == ICMP { 0 } else { sum(addresses) + u32::from(protocol) + (end - start) as u32 };
    if finish(pseudo + sum(&frame[start..])) != 0 {
        return Err(format!("checksum of protocol {protocol}"));
    }
    Ok(match protocol {
        TCP | UDP => (protocol, u16_at(start), u16_at(start + 2)),
        _ => (protocol, frame[start].into(), frame[start + 1].into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ICMPV6: u8 = 58;

    #[test]
    fn a_known_ipv4_header_has_its_known_checksum() {
        // RFC 1071's method on the header of a widely used example: checksum b861.
        let header = [0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7];
        assert_eq!(finish(sum(&header)), 0);
    }

    proptest! {
        #[test]
        fn lengths_and_checksums_are_right(
            v4: bool,
            protocol in prop::sample::select(vec![ICMP, TCP, UDP, ICMPV6]),
            mut source: [u8; 16],
            mut destination: [u8; 16],
            ports: (u8, u8),
            identification: u16,
            payload in prop::collection::vec(any::<u8>(), 0..1200),
        ) {
            for address in [&mut source, &mut destination] {
                address[0] = 0x20;
                if v4 {
                    address[..12].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
                }
            }
            let segment = Segment {
                source_mac: [2; 6],
                destination_mac: [4; 6],
                source,
                destination,
                source_port: ports.0.into(),
                destination_port: ports.1.into(),
                protocol,
                sequence: 1,
                acknowledgement: 2,
                identification,
                payload: &payload,
            };
            let mut out = vec![1, 2, 3];
            frame(&segment, &mut out);
            prop_assert_eq!(check(&out), Ok((protocol, ports.0.into(), ports.1.into())));
            prop_assert!(out.ends_with(&payload));
            if let Some(last) = out.last_mut() {
                *last ^= 1;
            }
            prop_assert!(check(&out).is_err());
        }
    }
}
