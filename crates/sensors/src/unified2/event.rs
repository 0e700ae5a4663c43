//! Event records, every layout of them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::cursor::Cursor;
use super::{RecordError, kind};

/// A rule or a preprocessor has fired.
///
/// The layouts differ in the size of the addresses and in what follows
/// `blocked`; fields that a layout lacks are 0 or `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Type number of the record, see [`kind`].
    pub record_type: u32,
    /// Number of the sensor, 0 unless configured.
    pub sensor_id: u32,
    /// The event's number, unique for one run of the sensor. The packets and
    /// extra data of the event carry the same number.
    pub event_id: u32,
    /// When the event happened, Unix seconds.
    pub event_second: u32,
    /// When the event happened, microseconds of the second.
    pub event_microsecond: u32,
    /// Number of the rule (SID).
    pub signature_id: u32,
    /// Number of the part of Snort that fired (GID): 1 is a text rule, 3 a
    /// shared object rule, others are preprocessors and the decoder.
    pub generator_id: u32,
    /// Revision of the rule.
    pub signature_revision: u32,
    /// Number of the classification, by its place in `classification.config`;
    /// 0 is none.
    pub classification_id: u32,
    /// Priority, 1 is the highest.
    pub priority_id: u32,
    /// Source address. `::` when a Snort 3 event is about no IP packet.
    pub ip_source: IpAddr,
    /// Destination address. `::` when a Snort 3 event is about no IP packet.
    pub ip_destination: IpAddr,
    /// Source port, or type of an ICMP message.
    pub sport_itype: u16,
    /// Destination port, or code of an ICMP message.
    pub dport_icode: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// Flags; 0x20 is set when the packet was dropped or would have been.
    pub impact_flag: u8,
    /// Impact; Snort itself writes 0.
    pub impact: u8,
    /// 0 not blocked, 1 blocked, 2 would have been blocked, 3 could not be.
    pub blocked: u8,
    /// MPLS label, 0 when there is none.
    pub mpls_label: u32,
    /// VLAN number, 0 when there is none.
    pub vlan_id: u16,
    /// Padding in the public layout; some sensors put a policy number here.
    pub pad: u16,
    /// Application as Snort names it, where the layout has one.
    pub app_name: Option<AppName>,
    /// What Snort 3 alone says.
    pub snort3: Option<Snort3>,
    /// Bytes after the known fields.
    pub trailing: usize,
}

impl Event {
    /// Reads an event; `None` when `record_type` is no event.
    pub(crate) fn read(c: Cursor<'_>, record_type: u32) -> Result<Option<Self>, RecordError> {
        let layout = match record_type {
            kind::EVENT_V1 => Layout::new(Family::V4, Tail::None),
            kind::EVENT_V1_IPV6 => Layout::new(Family::V6, Tail::None),
            kind::EVENT_MPLS => Layout::new(Family::V4, Tail::Mpls),
            kind::EVENT_MPLS_IPV6 => Layout::new(Family::V6, Tail::Mpls),
            kind::EVENT_V2 | kind::EVENT_NG => Layout::new(Family::V4, Tail::Vlan),
            kind::EVENT_V2_IPV6 | kind::EVENT_NG_IPV6 => Layout::new(Family::V6, Tail::Vlan),
            kind::EVENT_APP => Layout::new(Family::V4, Tail::App),
            kind::EVENT_APP_IPV6 => Layout::new(Family::V6, Tail::App),
            kind::EVENT_V3 => return Self::read_v3(c, record_type).map(Some),
            _ => return Ok(None),
        };
        Self::read_v2(c, record_type, layout).map(Some)
    }

    fn read_v2(mut c: Cursor<'_>, record_type: u32, layout: Layout) -> Result<Self, RecordError> {
        let mut event = Self::read_common(&mut c, record_type)?;
        event.ip_source = layout.family.read(&mut c, "ip_source")?;
        event.ip_destination = layout.family.read(&mut c, "ip_destination")?;
        event.sport_itype = c.u16("sport_itype")?;
        event.dport_icode = c.u16("dport_icode")?;
        event.protocol = c.u8("protocol")?;
        event.impact_flag = c.u8("impact_flag")?;
        event.impact = c.u8("impact")?;
        event.blocked = c.u8("blocked")?;
        if layout.tail != Tail::None {
            event.mpls_label = c.u32("mpls_label")?;
        }
        // MPLS events were written both with and without the VLAN fields.
        let vlan = match layout.tail {
            Tail::None => false,
            Tail::Mpls => c.left().len() >= 4,
            Tail::Vlan | Tail::App => true,
        };
        if vlan {
            event.vlan_id = c.u16("vlan_id")?;
            event.pad = c.u16("pad")?;
        }
        if layout.tail == Tail::App {
            event.app_name = AppName::new(&c.array::<16>("app_name")?);
        }
        event.trailing = c.left().len();
        Ok(event)
    }

    fn read_v3(mut c: Cursor<'_>, record_type: u32) -> Result<Self, RecordError> {
        let mut event = Self::read_common(&mut c, record_type)?;
        let mut snort3 = Snort3 {
            policy_context: c.u32("policy_id_context")?,
            policy_inspect: c.u32("policy_id_inspect")?,
            policy_detect: c.u32("policy_id_detect")?,
            status: 0,
            action: 0,
        };
        let source: [u8; 16] = c.array("pkt_src_ip")?;
        let destination: [u8; 16] = c.array("pkt_dst_ip")?;
        event.mpls_label = c.u32("pkt_mpls_label")?;
        event.sport_itype = c.u16("pkt_src_port_itype")?;
        event.dport_icode = c.u16("pkt_dst_port_icode")?;
        event.vlan_id = c.u16("pkt_vlan_id")?;
        event.pad = c.u16("unused")?;
        // High half the source's IP version, low half the destination's.
        let versions = c.u8("pkt_ip_ver")?;
        event.ip_source = mapped(source, versions >> 4);
        event.ip_destination = mapped(destination, versions & 0xf);
        event.protocol = c.u8("pkt_ip_proto")?;
        snort3.status = c.u8("snort_status")?;
        snort3.action = c.u8("snort_action")?;
        event.impact_flag = if snort3.status == 0 { 0 } else { 0x20 };
        // Snort 3 counts 0 allow, 1 cannot block, 2 would block, 3 block.
        event.blocked = match snort3.status {
            1 => 3,
            2 => 2,
            3 => 1,
            _ => 0,
        };
        event.app_name = AppName::new(&c.array::<64>("app_name")?);
        event.snort3 = Some(snort3);
        event.trailing = c.left().len();
        Ok(event)
    }

    /// The first nine fields, the same in every layout.
    fn read_common(c: &mut Cursor<'_>, record_type: u32) -> Result<Self, RecordError> {
        let sensor_id = c.u32("sensor_id")?;
        let event_id = c.u32("event_id")?;
        let event_second = c.u32("event_second")?;
        let event_microsecond = c.u32("event_microsecond")?;
        // Snort 3 writes the generator before the signature.
        let (signature_id, generator_id) = if record_type == kind::EVENT_V3 {
            let gid = c.u32("rule_gid")?;
            (c.u32("rule_sid")?, gid)
        } else {
            (c.u32("signature_id")?, c.u32("generator_id")?)
        };
        Ok(Self {
            record_type,
            sensor_id,
            event_id,
            event_second,
            event_microsecond,
            signature_id,
            generator_id,
            signature_revision: c.u32("signature_revision")?,
            classification_id: c.u32("classification_id")?,
            priority_id: c.u32("priority_id")?,
            ip_source: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            ip_destination: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            sport_itype: 0,
            dport_icode: 0,
            protocol: 0,
            impact_flag: 0,
            impact: 0,
            blocked: 0,
            mpls_label: 0,
            vlan_id: 0,
            pad: 0,
            app_name: None,
            snort3: None,
            trailing: 0,
        })
    }
}

/// What a Snort 3 event (type 114) says beyond the older layouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snort3 {
    /// Number of the network policy.
    pub policy_context: u32,
    /// Number of the inspection policy.
    pub policy_inspect: u32,
    /// Number of the detection policy.
    pub policy_detect: u32,
    /// 0 allowed, 1 could not block, 2 would block, 3 blocked.
    pub status: u8,
    /// What was decided, as Snort 3 numbers its actions; 0 is pass.
    pub action: u8,
}

/// An application name as it lies in a record, at most 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AppName {
    bytes: [u8; 64],
    len: u8,
}

impl AppName {
    /// The name up to its first zero byte; `None` when that leaves nothing.
    fn new(field: &[u8]) -> Option<Self> {
        let name = field.split(|byte| *byte == 0).next().unwrap_or(field);
        let mut bytes = [0; 64];
        bytes.get_mut(..name.len())?.copy_from_slice(name);
        let len = u8::try_from(name.len()).ok()?;
        (len > 0).then_some(Self { bytes, len })
    }

    /// The bytes of the name; nothing promises UTF-8.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len.into()).unwrap_or_default()
    }
}

impl fmt::Display for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

impl fmt::Debug for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AppName({:?})", String::from_utf8_lossy(self.as_bytes()))
    }
}

#[derive(Clone, Copy)]
struct Layout {
    family: Family,
    tail: Tail,
}

impl Layout {
    const fn new(family: Family, tail: Tail) -> Self {
        Self { family, tail }
    }
}

#[derive(Clone, Copy)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn read(self, c: &mut Cursor<'_>, field: &'static str) -> Result<IpAddr, RecordError> {
        match self {
            Self::V4 => c.array::<4>(field).map(IpAddr::from),
            Self::V6 => c.array::<16>(field).map(IpAddr::from),
        }
    }
}

/// What follows `blocked`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tail {
    None,
    Mpls,
    Vlan,
    App,
}

/// An address of Snort 3: 16 bytes, of which IPv4 takes the last four.
fn mapped(bytes: [u8; 16], version: u8) -> IpAddr {
    let [.., a, b, c, d] = bytes;
    match version {
        4 => Ipv4Addr::new(a, b, c, d).into(),
        _ => Ipv6Addr::from(bytes).into(),
    }
}
