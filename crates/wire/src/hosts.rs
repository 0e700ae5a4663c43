//! Host data: what a client asks of the network map (message 5) and what it gets (messages 6 and 7).
//!
//! A request names a data type, which stands for the product version whose block answers, and one address or a range.
//! Each host comes in a message of its own: the full host profile block right behind the message header, without a
//! record header. The first message answers for a single host, empty when there is no such host; a range ends with an
//! empty message (eStreamer Integration Guide 5.3.1 p.2-24 to 2-27, guide 5.3 p.51). The data types are data:
//! `schema/requests.toml`.

use crate::cursor::{Cursor, Short};
use crate::event::{Block, Value, address, sixteen};
use crate::layout::{self, Layout};
use crate::message::{self, MessageType};
use std::net::IpAddr;
use thiserror::Error;

/// Flag: fill the notes of a host (5.3.1 p.2-26).
pub const NOTES: u32 = 1;

/// Flag: fill the banners of its servers (5.3.1 p.2-27).
pub const BANNERS: u32 = 2;

/// Bytes of a banner that are sent: the first of the first packet of a service (5.3.1 p.2-27).
pub const BANNER_BYTES: usize = 256;

/// A data type of host data requests.
#[derive(Debug)]
pub struct HostData {
    /// Its number.
    pub data_type: u32,
    /// It asks for a range of hosts.
    pub multiple: bool,
    /// Product versions whose answer it asks for.
    pub product: &'static str,
    /// The data block of the answer.
    pub layout: &'static Layout,
}

/// All data types, oldest product version first.
pub fn host_data() -> &'static [HostData] {
    &layout::HOST_DATA
}

/// A host data request (type 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostRequest {
    /// Data type, 0 to 7 as far as known: see [`host_data`].
    pub data_type: u32,
    /// [`NOTES`] and [`BANNERS`].
    pub flags: u32,
    /// The address, or the first of a range; IPv4 as `::ffff:a.b.c.d`.
    pub start: [u8; 16],
    /// The last address of a range; a request for a single host repeats the first.
    pub end: [u8; 16],
    /// How the addresses are written.
    pub form: HostForm,
}

/// How a host data request writes its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostForm {
    /// In 16 bytes each.
    #[default]
    Current,
    /// As IPv4 addresses in 4 bytes each; servers still answer it (5.3.1 p.2-26).
    Legacy,
}

/// A host data request that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a host data request has 16 bytes (IPv4) or 40 bytes, not {0}")]
pub struct HostRequestLength(pub usize);

impl HostRequest {
    /// Asks for one host, in the newest layout.
    pub fn single(host: IpAddr, flags: u32) -> Self {
        HostRequest { data_type: newest(false), ..HostRequest::range(host, host, flags) }
    }

    /// Asks for all hosts from one address to another, both included, in the newest layout.
    pub fn range(first: IpAddr, last: IpAddr, flags: u32) -> Self {
        let (start, end) = (sixteen(first), sixteen(last));
        HostRequest { data_type: newest(true), flags, start, end, form: HostForm::Current }
    }

    /// Reads the body: 40 bytes in the current form, 16 in the legacy form.
    pub fn parse(body: &[u8]) -> Result<Self, HostRequestLength> {
        let form = match body.len() {
            16 => HostForm::Legacy,
            40 => HostForm::Current,
            other => return Err(HostRequestLength(other)),
        };
        let mut cursor = Cursor::new(body);
        let mut read = || -> Result<Self, Short> {
            let (data_type, flags) = (cursor.u32()?, cursor.u32()?);
            let mut address = || match form {
                HostForm::Current => cursor.array(),
                HostForm::Legacy => cursor.array::<4>().map(|v4| sixteen(v4.into())),
            };
            Ok(HostRequest { data_type, flags, start: address()?, end: address()?, form })
        };
        read().map_err(|_| HostRequestLength(body.len()))
    }

    /// Appends the message, in the current form where the legacy form is asked for and an address is not IPv4.
    pub fn push(&self, out: &mut Vec<u8>) {
        let v4 = |octets| match address(octets) {
            IpAddr::V4(v4) if self.form == HostForm::Legacy => Some(v4.octets()),
            _ => None,
        };
        let addresses = match (v4(&self.start), v4(&self.end)) {
            (Some(start), Some(end)) => [start, end].concat(),
            _ => [self.start, self.end].concat(),
        };
        message::push_header(out, MessageType::HOST_DATA_REQUEST, 8 + addresses.len() as u32);
        out.extend_from_slice(&self.data_type.to_be_bytes());
        out.extend_from_slice(&self.flags.to_be_bytes());
        out.extend_from_slice(&addresses);
    }

    /// What its data type means; `None` when nobody knows it.
    pub fn data(&self) -> Option<&'static HostData> {
        host_data().iter().find(|d| d.data_type == self.data_type)
    }

    /// Whether it asks for a range. All known data types that do are odd, so an unknown odd one is taken so, too.
    pub fn multiple(&self) -> bool {
        self.data().map_or(self.data_type % 2 == 1, |d| d.multiple)
    }

    /// The block that answers; for a data type nobody knows the newest.
    pub fn layout(&self) -> &'static Layout {
        self.data().map_or(layout::NEWEST_HOST, |d| d.layout)
    }

    /// The first and the last address asked for. Ends in the wrong order are put right; for a single host only the
    /// first address counts.
    pub fn ends(&self) -> (IpAddr, IpAddr) {
        let end = if self.multiple() { self.end } else { self.start };
        (address(&self.start.min(end)), address(&self.start.max(end)))
    }

    /// Whether it asks for this address. Addresses are ordered as 16 octets, so IPv4 has its place among IPv6
    /// (`::ffff:0.0.0.0` to `::ffff:255.255.255.255`) and a range may begin in the one and end in the other.
    pub fn contains(&self, host: IpAddr) -> bool {
        let (first, last) = self.ends();
        (sixteen(first)..=sixteen(last)).contains(&sixteen(host))
    }

    /// Whether it asks for this host: a full host profile block of any version, known under one address or several.
    pub fn wants(&self, host: &Block) -> bool {
        addresses(host).into_iter().any(|address| self.contains(address))
    }

    /// A host as this request wants it: in the layout of its data type, with notes and banners only where the flags
    /// ask for them.
    ///
    /// Old layouts have one IPv4 address: the first that was asked for, else the first there is. An IPv6 host has
    /// 0.0.0.0 there.
    pub fn answer(&self, host: &Block) -> Block {
        let target = self.layout();
        let mut answer = if host.layout() == target { host.clone() } else { self.convert(host, target) };
        answer.each_value(&mut |field, value| match field.name {
            "notes" if self.flags & NOTES == 0 => *value = Value::Unset,
            "banner" if self.flags & BANNERS == 0 => *value = Value::Unset,
            "banner" => {
                if let Value::Octets(octets) = value {
                    octets.truncate(BANNER_BYTES);
                }
            }
            _ => {}
        });
        answer
    }

    fn convert(&self, host: &Block, target: &'static Layout) -> Block {
        let mut block = host.convert(target);
        if host.named("ipAddress").is_none()
            && let Some(position) = target.position("ipAddress")
        {
            let asked = addresses(host).into_iter().find(|a| a.is_ipv4() && self.contains(*a));
            if let Some(IpAddr::V4(asked)) = asked {
                block.set_at(position, asked.octets());
            }
        }
        if host.named("vlanPresence").is_none()
            && let Some(position) = target.position("vlanPresence")
        {
            // 0 means that there is a VLAN, 1 that there is none.
            let set = |name| matches!(host.named(name), Some(Value::Uint(1..)));
            block.set_at(position, u8::from(!["vlanId", "vlanType", "vlanPriority"].into_iter().any(set)));
        }
        block
    }
}

/// The addresses of a host: a full host profile block of any version.
pub fn addresses(host: &Block) -> Vec<IpAddr> {
    let of = |block: &Block| match block.named("ipAddress") {
        Some(Value::Octets(octets)) => match <[u8; 16]>::try_from(octets.as_slice()) {
            Ok(sixteen) => Some(address(&sixteen)),
            Err(_) => <[u8; 4]>::try_from(octets.as_slice()).ok().map(IpAddr::from),
        },
        _ => None,
    };
    let found = match host.named("ipAddresses") {
        Some(Value::List(items)) => items.iter().filter_map(of).collect(),
        _ => Vec::from_iter(of(host)),
    };
    found.into_iter().filter(|address: &IpAddr| !address.is_unspecified()).collect()
}

/// The data type of the newest answer.
fn newest(multiple: bool) -> u32 {
    host_data().iter().rfind(|d| d.multiple == multiple).map_or(0, |d| d.data_type)
}
