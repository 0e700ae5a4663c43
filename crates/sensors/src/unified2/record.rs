//! Records: how bytes split into them, and what packets and extra data say.

use thiserror::Error;

use super::cursor::Cursor;
use super::{Event, MAX_RECORD};

/// Numbers of the record types.
pub mod kind {
    /// A packet of an event.
    pub const PACKET: u32 = 2;
    /// A reassembled buffer of an event: a packet record without packet
    /// headers (Snort 3).
    pub const BUFFER: u32 = 3;
    /// Event, IPv4, first layout.
    pub const EVENT_V1: u32 = 7;
    /// Event, IPv6, first layout.
    pub const EVENT_V1_IPV6: u32 = 72;
    /// Event, IPv4, with an MPLS label.
    pub const EVENT_MPLS: u32 = 99;
    /// Event, IPv6, with an MPLS label.
    pub const EVENT_MPLS_IPV6: u32 = 100;
    /// Event, IPv4, with MPLS label and VLAN: what Snort 2.9 writes.
    pub const EVENT_V2: u32 = 104;
    /// Event, IPv6, with MPLS label and VLAN: what Snort 2.9 writes.
    pub const EVENT_V2_IPV6: u32 = 105;
    /// Extra data of an event.
    pub const EXTRA_DATA: u32 = 110;
    /// Event, IPv4, with an application name (Snort 2.9 with OpenAppID).
    pub const EVENT_APP: u32 = 111;
    /// Event, IPv6, with an application name (Snort 2.9 with OpenAppID).
    pub const EVENT_APP_IPV6: u32 = 112;
    /// Event of either family (Snort 3).
    pub const EVENT_V3: u32 = 114;
    /// Event, IPv4, with policy, user and zone data after the known fields.
    pub const EVENT_NG: u32 = 207;
    /// Event, IPv6, with policy, user and zone data after the known fields.
    pub const EVENT_NG_IPV6: u32 = 208;
}

/// Values of [`ExtraData::kind`] (Snort Users Manual, "Unified2 Extra Data").
pub mod extra {
    /// True client address (X-Forwarded-For), IPv4.
    pub const XFF_IPV4: u32 = 1;
    /// True client address (X-Forwarded-For), IPv6.
    pub const XFF_IPV6: u32 = 2;
    /// HTTP body, decompressed.
    pub const GZIP: u32 = 4;
    /// Names of the attached files of a mail.
    pub const SMTP_FILENAME: u32 = 5;
    /// `MAIL FROM` of a mail.
    pub const SMTP_MAIL_FROM: u32 = 6;
    /// `RCPT TO` of a mail.
    pub const SMTP_RCPT_TO: u32 = 7;
    /// Headers of a mail.
    pub const SMTP_HEADERS: u32 = 8;
    /// URI of an HTTP request.
    pub const HTTP_URI: u32 = 9;
    /// `Host` of an HTTP request.
    pub const HTTP_HOSTNAME: u32 = 10;
    /// IPv6 source address, when the event record cannot hold it.
    pub const IPV6_SOURCE: u32 = 11;
    /// IPv6 destination address, when the event record cannot hold it.
    pub const IPV6_DESTINATION: u32 = 12;
    /// JavaScript, normalised.
    pub const JAVASCRIPT: u32 = 13;
}

/// Why bytes are not a unified2 record.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RecordError {
    /// The body ends inside a field.
    #[error(
        "unified2 record type {record_type}: field {field} at offset {offset} needs {wanted} bytes, the record has {left} left"
    )]
    Short {
        /// Type number of the record.
        record_type: u32,
        /// Name of the field.
        field: &'static str,
        /// File offset of the field.
        offset: u64,
        /// Bytes the field takes.
        wanted: usize,
        /// Bytes the record still has.
        left: usize,
    },
    /// A field has a value it cannot have.
    #[error("unified2 record type {record_type}: field {field} at offset {offset} is {value}, but {rule}")]
    Invalid {
        /// Type number of the record.
        record_type: u32,
        /// Name of the field.
        field: &'static str,
        /// File offset of the field.
        offset: u64,
        /// What the field says.
        value: u64,
        /// What it should have said.
        rule: &'static str,
    },
    /// The header's length cannot be true: the next record cannot be found.
    #[error(
        "unified2 record type {record_type} at offset {offset} claims {length} bytes, more than the {MAX_RECORD} allowed"
    )]
    TooLong {
        /// Type number of the record.
        record_type: u32,
        /// File offset of the record's header.
        offset: u64,
        /// The claimed length of the body.
        length: u32,
    },
    /// A header of zeros, which is what a crash leaves at the end of a file.
    #[error("zeros instead of a unified2 record header at offset {offset}")]
    Zeros {
        /// File offset of the zeros.
        offset: u64,
    },
}

/// One record as it lies in the file: type and body, not yet understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Type number, see [`kind`].
    pub record_type: u32,
    /// File offset of the header.
    pub offset: u64,
    /// The bytes after the header.
    pub body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Bytes of a record's header.
    pub const HEADER: usize = HEADER;

    /// Takes the record at the start of `bytes`, which lies at `offset` in its
    /// file. `None` means that the record is not complete: more bytes may come.
    ///
    /// # Errors
    /// [`RecordError::TooLong`] or [`RecordError::Zeros`] when the header
    /// cannot be one; nothing after it can be found.
    pub fn split(bytes: &'a [u8], offset: u64) -> Result<Option<Self>, RecordError> {
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let [t0, t1, t2, t3, l0, l1, l2, l3] = *header;
        let record_type = u32::from_be_bytes([t0, t1, t2, t3]);
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        if length > MAX_RECORD {
            return Err(RecordError::TooLong { record_type, offset, length });
        }
        if record_type == 0 && length == 0 {
            return Err(RecordError::Zeros { offset });
        }
        Ok(rest.get(..length as usize).map(|body| Self { record_type, offset, body }))
    }

    /// Bytes the record takes in the file, header included.
    #[must_use]
    pub fn size(&self) -> usize {
        Self::HEADER + self.body.len()
    }

    /// Reads the body.
    ///
    /// # Errors
    /// [`RecordError::Short`] or [`RecordError::Invalid`] when the body does
    /// not fit its type. The next record is still where the length says.
    pub fn decode(&self) -> Result<Record<'a>, RecordError> {
        let at = self.offset.saturating_add(Self::HEADER as u64);
        let cursor = Cursor::new(self.body, at, self.record_type);
        match self.record_type {
            kind::PACKET | kind::BUFFER => Packet::read(cursor, self.record_type).map(Record::Packet),
            kind::EXTRA_DATA => ExtraData::read(cursor).map(Record::ExtraData),
            _ => match Event::read(cursor, self.record_type)? {
                Some(event) => Ok(Record::Event(event)),
                None => Ok(Record::Unknown { record_type: self.record_type, bytes: self.body }),
            },
        }
    }
}

/// Two numbers: type and length.
const HEADER: usize = 8;

/// What one record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Record<'a> {
    /// A rule or a preprocessor has fired.
    Event(Event),
    /// A packet of an event, which comes before it in the file.
    Packet(Packet<'a>),
    /// More about an event.
    ExtraData(ExtraData<'a>),
    /// A type this version does not know, kept as it is.
    Unknown {
        /// Type number.
        record_type: u32,
        /// The whole body.
        bytes: &'a [u8],
    },
}

impl Record<'_> {
    /// Bytes after the known fields of the record; 0 for unknown records.
    #[must_use]
    pub fn trailing(&self) -> usize {
        match self {
            Self::Event(event) => event.trailing,
            Self::Packet(packet) => packet.trailing,
            Self::ExtraData(extra) => extra.trailing,
            Self::Unknown { .. } => 0,
        }
    }
}

/// A packet (type 2) or buffer (type 3) of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// [`kind::PACKET`] or [`kind::BUFFER`].
    pub record_type: u32,
    /// Number of the sensor, 0 unless configured.
    pub sensor_id: u32,
    /// The event's number, unique for one run of the sensor.
    pub event_id: u32,
    /// The event's time, Unix seconds.
    pub event_second: u32,
    /// When the packet was seen, Unix seconds.
    pub packet_second: u32,
    /// When the packet was seen, microseconds of the second.
    pub packet_microsecond: u32,
    /// Link type as in pcap files: 1 is Ethernet.
    pub linktype: u32,
    /// The packet from its link header on.
    pub data: &'a [u8],
    /// Bytes after the packet.
    pub trailing: usize,
}

impl<'a> Packet<'a> {
    fn read(mut c: Cursor<'a>, record_type: u32) -> Result<Self, RecordError> {
        Ok(Self {
            record_type,
            sensor_id: c.u32("sensor_id")?,
            event_id: c.u32("event_id")?,
            event_second: c.u32("event_second")?,
            packet_second: c.u32("packet_second")?,
            packet_microsecond: c.u32("packet_microsecond")?,
            linktype: c.u32("linktype")?,
            data: {
                let length = c.u32("packet_length")?;
                c.take(length as usize, "packet_data")?
            },
            trailing: c.left().len(),
        })
    }
}

/// Extra data of an event (type 110), such as the URI of an HTTP request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtraData<'a> {
    /// Type in the inner header; Snort always writes 4.
    pub event_type: u32,
    /// Length in the inner header: of the whole body, inner header included.
    pub event_length: u32,
    /// Number of the sensor, 0 unless configured.
    pub sensor_id: u32,
    /// The event's number, unique for one run of the sensor.
    pub event_id: u32,
    /// The event's time, Unix seconds.
    pub event_second: u32,
    /// What the data is, see [`extra`].
    pub kind: u32,
    /// How the data is written; Snort always writes 1, "blob".
    pub data_type: u32,
    /// The data.
    pub data: &'a [u8],
    /// Bytes after the data.
    pub trailing: usize,
}

impl<'a> ExtraData<'a> {
    /// `blob_length` counts itself and `data_type`.
    const BLOB_OVERHEAD: u32 = 8;

    fn read(mut c: Cursor<'a>) -> Result<Self, RecordError> {
        Ok(Self {
            event_type: c.u32("event_type")?,
            event_length: c.u32("event_length")?,
            sensor_id: c.u32("sensor_id")?,
            event_id: c.u32("event_id")?,
            event_second: c.u32("event_second")?,
            kind: c.u32("type")?,
            data_type: c.u32("data_type")?,
            data: {
                let offset = c.offset();
                let length = c.u32("blob_length")?;
                let Some(length) = length.checked_sub(Self::BLOB_OVERHEAD) else {
                    return Err(RecordError::Invalid {
                        record_type: kind::EXTRA_DATA,
                        field: "blob_length",
                        offset,
                        value: length.into(),
                        rule: "it counts itself and data_type, 8 bytes",
                    });
                };
                c.take(length as usize, "data")?
            },
            trailing: c.left().len(),
        })
    }
}
