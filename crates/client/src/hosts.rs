//! Host data: which hosts are asked for, and the session that asks.

use crate::connection::{Connection, SessionError, Step};
use crate::endpoint::Endpoint;
use crate::identity::Identity;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use thiserror::Error;
use wire::client::{ClientEvent, ClientRequest};
use wire::decode::{Decoder, View};
use wire::hosts::{HostForm, HostRequest};
use wire::message::MessageType;
use wire::request::{Start, flag};

/// How often the stop flag is looked at.
const PAUSE: Duration = Duration::from_millis(200);

/// One host, or all hosts between two addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Query {
    /// One address.
    One(IpAddr),
    /// From the first to the last address, both included; both of the same family.
    Range(IpAddr, IpAddr),
}

/// Text that names no hosts.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum QueryError {
    /// Not an IP address.
    #[error("\"{0}\" is no IPv4 or IPv6 address; give 192.0.2.7, 192.0.2.0-192.0.2.99 or 192.0.2.0/24")]
    Address(String),
    /// The number after the slash.
    #[error("\"/{prefix}\" is no prefix length of {address}: it has 0 to {longest} bits")]
    Prefix {
        /// The text behind the slash.
        prefix: String,
        /// The address before it.
        address: IpAddr,
        /// The longest there is.
        longest: u8,
    },
    /// A range that is none.
    #[error("{first} to {last} is no range: both ends must be IPv4 or both IPv6, and the first not above the last")]
    Range {
        /// The first address.
        first: IpAddr,
        /// The last address.
        last: IpAddr,
    },
}

/// Reads a list of addresses, ranges (`a-b`) and blocks (`a/n`) with commas between. Two plain addresses are one range,
/// as for the SDK's client.
///
/// # Errors
/// If an item is none of these.
pub fn parse(text: &str) -> Result<Vec<Query>, QueryError> {
    let queries = text.split(',').map(|item| one(item.trim())).collect::<Result<Vec<_>, _>>()?;
    if let [Query::One(first), Query::One(last)] = queries[..] {
        return Ok(vec![range(first, last)?]);
    }
    Ok(queries)
}

fn one(item: &str) -> Result<Query, QueryError> {
    let address = |text: &str| -> Result<IpAddr, QueryError> {
        let text = text.trim();
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        bare.parse::<IpAddr>().map(|ip| ip.to_canonical()).map_err(|_| QueryError::Address(text.to_owned()))
    };
    if let Some((first, last)) = item.split_once('-') {
        return range(address(first)?, address(last)?);
    }
    if let Some((network, prefix)) = item.split_once('/') {
        return block(address(network)?, prefix.trim());
    }
    Ok(Query::One(address(item)?))
}

fn range(first: IpAddr, last: IpAddr) -> Result<Query, QueryError> {
    if first.is_ipv4() != last.is_ipv4() || first > last {
        return Err(QueryError::Range { first, last });
    }
    Ok(Query::Range(first, last))
}

/// All addresses that have the first `prefix` bits of this one.
fn block(address: IpAddr, prefix: &str) -> Result<Query, QueryError> {
    let longest: u8 = if address.is_ipv4() { 32 } else { 128 };
    let wrong = || QueryError::Prefix { prefix: prefix.to_owned(), address, longest };
    let bits: u8 = prefix.parse().ok().filter(|bits| *bits <= longest).ok_or_else(wrong)?;
    let query = match address {
        IpAddr::V4(v4) => {
            let host = u32::MAX.checked_shr(bits.into()).unwrap_or(0);
            let first = v4.to_bits() & !host;
            (Ipv4Addr::from_bits(first).into(), Ipv4Addr::from_bits(first | host).into())
        }
        IpAddr::V6(v6) => {
            let host = u128::MAX.checked_shr(bits.into()).unwrap_or(0);
            let first = v6.to_bits() & !host;
            (Ipv6Addr::from_bits(first).into(), Ipv6Addr::from_bits(first | host).into())
        }
    };
    Ok(Query::Range(query.0, query.1))
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Query::One(host) => write!(f, "{host}"),
            Query::Range(first, last) => write!(f, "{first}-{last}"),
        }
    }
}

impl Query {
    /// The request. `data_type` names a pair of data types, as either of the two: the even one asks for one host, the odd
    /// one for a range (eStreamer Integration Guide 5.3.1 p.2-26). Without it the newest is asked for. The pairs before
    /// that of 5.0 are asked for in the form their servers know, with addresses of four bytes.
    pub fn request(&self, data_type: Option<u32>, flags: u32) -> HostRequest {
        let mut request = match *self {
            Query::One(host) => HostRequest::single(host, flags),
            Query::Range(first, last) => HostRequest::range(first, last, flags),
        };
        if let Some(number) = data_type {
            request.data_type = number & !1 | u32::from(matches!(self, Query::Range(..)));
            if number < 6 {
                request.form = HostForm::Legacy;
            }
        }
        request
    }
}

/// What is asked of each host.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// One of a pair of data types, 0 to 7; the newest without it.
    pub data_type: Option<u32>,
    /// [`wire::hosts::NOTES`] and [`wire::hosts::BANNERS`].
    pub flags: u32,
}

/// An answer to a query.
#[derive(Debug, Clone, Copy)]
pub enum Answer<'a> {
    /// A host.
    Host {
        /// Single or multiple host data.
        kind: MessageType,
        /// Its full host profile.
        block: View<'a>,
    },
    /// There is none, or no further one: how many came.
    End(u64),
}

/// Connects and asks for each query in turn; hands over every host and the end of each answer. Gives how many hosts could
/// be decoded only in part.
///
/// # Errors
/// If the connection cannot be opened or breaks, an answer does not come within `patience`, or `take` fails.
pub fn ask(
    endpoint: &Endpoint,
    identity: &Identity,
    queries: &[Query],
    wanted: Wanted,
    patience: Duration,
    take: &mut dyn FnMut(&Query, Answer<'_>) -> Result<(), SessionError>,
    stop: &AtomicBool,
) -> Result<u64, SessionError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(SessionError::System)?;
    runtime.block_on(async {
        // As the SDK's client asks. With "now" nothing of the archive comes between.
        let request = ClientRequest { timestamp: Start::Now.into(), flags: flag::METADATA, events: Vec::new() };
        let mut connection = Connection::open(endpoint, identity, request).await?;
        let mut flawed = 0;
        for query in queries {
            connection.session.request_hosts(&query.request(wanted.data_type, wanted.flags));
            flawed += answer(&mut connection, query, patience, take, stop).await?;
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
        connection.close().await;
        Ok(flawed)
    })
}

async fn answer(
    connection: &mut Connection,
    query: &Query,
    patience: Duration,
    take: &mut dyn FnMut(&Query, Answer<'_>) -> Result<(), SessionError>,
    stop: &AtomicBool,
) -> Result<u64, SessionError> {
    let (mut count, mut flawed, mut done) = (0, 0, false);
    let mut decoder = Decoder::new();
    let mut heard = Instant::now();
    while !done {
        if stop.load(Ordering::Relaxed) {
            return Ok(flawed);
        }
        let closed = connection.step(PAUSE).await? == Step::Closed;
        connection.messages(|event| {
            match event {
                ClientEvent::Host { multiple, block } => {
                    let kind = if multiple { MessageType::MULTIPLE_HOST_DATA } else { MessageType::SINGLE_HOST_DATA };
                    let block = decoder.decode_block(1, block);
                    if let Some(problem) = block.problem() {
                        flawed += 1;
                        tracing::warn!("{problem}");
                    }
                    take(query, Answer::Host { kind, block })?;
                    count += 1;
                    heard = Instant::now();
                    // The first message is the whole answer for a single host.
                    done = matches!(query, Query::One(_));
                }
                ClientEvent::HostsEnd { .. } => done = true,
                _ => {}
            }
            Ok::<_, SessionError>(!done)
        })?;
        if done {
            take(query, Answer::End(count))?;
        } else if closed {
            return Err(SessionError::Lost(format!(
                "The server closed the connection before it had answered {query}."
            )));
        } else if heard.elapsed() >= patience {
            return Err(SessionError::NoAnswer { query: query.to_string(), seconds: patience.as_secs() });
        }
    }
    Ok(flawed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(text: &str) -> Vec<String> {
        parse(text).unwrap().iter().map(Query::to_string).collect()
    }

    #[test]
    fn addresses_ranges_and_blocks() {
        assert_eq!(texts("192.0.2.7"), ["192.0.2.7"]);
        assert_eq!(texts("10.0.0.0,10.255.255.255"), ["10.0.0.0-10.255.255.255"], "two addresses are the SDK's range");
        assert_eq!(texts("10.0.0.1, 10.0.0.2,10.0.0.9"), ["10.0.0.1", "10.0.0.2", "10.0.0.9"]);
        assert_eq!(texts("10.1.2.3/8,192.0.2.1"), ["10.0.0.0-10.255.255.255", "192.0.2.1"]);
        assert_eq!(texts("0.0.0.0/0"), ["0.0.0.0-255.255.255.255"]);
        assert_eq!(texts("192.0.2.7/32"), ["192.0.2.7-192.0.2.7"]);
        assert_eq!(texts("2001:db8::5/64"), ["2001:db8::-2001:db8::ffff:ffff:ffff:ffff"]);
        assert_eq!(texts("::/0"), ["::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]);
        assert_eq!(texts("[2001:db8::1]-2001:db8::ff"), ["2001:db8::1-2001:db8::ff"]);
        assert_eq!(texts("::ffff:192.0.2.7"), ["192.0.2.7"]);
        for wrong in ["", "10.0.0", "10.0.0.1,", "host", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.9-10.0.0.1"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(matches!(parse("::1-10.0.0.1"), Err(QueryError::Range { .. })));
    }

    #[test]
    fn the_requests_of_the_sdk_and_of_today() {
        let bytes = |query: &str, data_type| {
            let mut out = Vec::new();
            parse(query).unwrap()[0].request(data_type, 3).push(&mut out);
            out
        };
        let today = bytes("192.0.2.7", None);
        assert_eq!(today[..16], [0, 1, 0, 5, 0, 0, 0, 40, 0, 0, 0, 6, 0, 0, 0, 3]);
        assert_eq!(bytes("192.0.2.0/24", None)[11], 7);
        let sdk = [0, 1, 0, 5, 0, 0, 0, 16, 0, 0, 0, 5, 0, 0, 0, 3, 10, 0, 0, 0, 10, 255, 255, 255];
        assert_eq!(bytes("10.0.0.0/8", Some(4)), sdk);
        assert_eq!(bytes("10.0.0.1", Some(5))[..12], [0, 1, 0, 5, 0, 0, 0, 16, 0, 0, 0, 4]);
    }

    proptest! {
        #[test]
        fn a_block_has_the_addresses_that_share_its_bits(address: u32, other: u32, bits in 0u8..=32) {
            let network = Ipv4Addr::from_bits(address);
            let Query::Range(first, last) = parse(&format!("{network}/{bits}")).unwrap()[0] else { panic!() };
            let inside = (first..=last).contains(&IpAddr::from(Ipv4Addr::from_bits(other)));
            let shares = bits == 0 || (address ^ other) >> (32 - bits) == 0;
            prop_assert_eq!(inside, shares);
        }

        #[test]
        fn no_text_makes_it_fail_otherwise(text: String) {
            let _ = parse(&text);
        }

        #[test]
        fn what_is_shown_is_read_again(first: u128, last: u128) {
            let (first, last) = (first.min(last), first.max(last));
            let (first, last) = (Ipv6Addr::from_bits(first | 1 << 127), Ipv6Addr::from_bits(last | 1 << 127));
            let query = Query::Range(first.into(), last.into());
            prop_assume!(first <= last);
            prop_assert_eq!(parse(&query.to_string()), Ok(vec![query]));
        }
    }
}
