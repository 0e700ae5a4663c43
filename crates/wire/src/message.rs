//! The message header and the framing of a byte stream.
//!
//! Every message, in both directions, starts with u16 header version (always 1), u16 message type and u32 message length,
//! the bytes that follow (eStreamer Integration Guide 5.3.1 p.2-7). Some builds between 6.1.0.3 and 6.2 send another
//! version (Cisco bug CSCve44987): the stream cannot be trusted then, so it is an error.

use crate::cursor::{Short, u16_at, u32_at};
use thiserror::Error;

/// Size of the message header.
pub const HEADER: usize = 8;

/// The only header version there is.
pub const VERSION: u16 = 1;

/// The service id of eStreamer in streaming information and streaming requests (5.3.1 p.2-29).
pub const ESTREAMER_SERVICE: u32 = 6667;

/// Message types (5.3.1 p.2-6, table 2-2). An unknown number is kept as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageType(pub u16);

impl MessageType {
    /// No data: keep-alive of a server, acknowledgement of a client.
    pub const NULL: Self = Self(0);
    /// Error code and text; the sender closes.
    pub const ERROR: Self = Self(1);
    /// The mandatory first message of a client.
    pub const EVENT_STREAM_REQUEST: Self = Self(2);
    /// One record.
    pub const EVENT_DATA: Self = Self(4);
    /// A client asks for hosts of the network map.
    pub const HOST_DATA_REQUEST: Self = Self(5);
    /// The host asked for.
    pub const SINGLE_HOST_DATA: Self = Self(6);
    /// One of the hosts asked for; empty at the end.
    pub const MULTIPLE_HOST_DATA: Self = Self(7);
    /// The event types and versions a client wants (extended request).
    pub const STREAMING_REQUEST: Self = Self(2049);
    /// The services a server offers (extended request).
    pub const STREAMING_INFORMATION: Self = Self(2051);
    /// Several event data messages.
    pub const BUNDLE: Self = Self(4002);

    /// The name the guides use.
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::NULL => "Null",
            Self::ERROR => "Error",
            Self::EVENT_STREAM_REQUEST => "Event Stream Request",
            Self::EVENT_DATA => "Event Data",
            Self::HOST_DATA_REQUEST => "Host Data Request",
            Self::SINGLE_HOST_DATA => "Single Host Data",
            Self::MULTIPLE_HOST_DATA => "Multiple Host Data",
            Self::STREAMING_REQUEST => "Streaming Request",
            Self::STREAMING_INFORMATION => "Streaming Information",
            Self::BUNDLE => "Message Bundle",
            _ => return None,
        })
    }
}

impl std::fmt::Display for MessageType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", self.0),
            None => write!(f, "message type {}", self.0),
        }
    }
}

/// One message of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// What it is.
    pub kind: MessageType,
    /// What follows the header.
    pub body: &'a [u8],
}

impl Message<'_> {
    /// Bytes the message takes in the stream.
    pub fn size(&self) -> usize {
        HEADER + self.body.len()
    }
}

/// A byte stream that is not made of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The header version is not 1.
    #[error(
        "message header version {version} instead of 1: the other side does not speak eStreamer, or is a management center with the defect CSCve44987 (6.1.0.3 to 6.2), for which Cisco has a hotfix"
    )]
    Version {
        /// The version found.
        version: u16,
    },
    /// The length is beyond what the receiver accepts.
    #[error("{kind} announces {length} bytes, more than the {limit} accepted here")]
    Length {
        /// Message type.
        kind: MessageType,
        /// Announced length.
        length: u32,
        /// Longest accepted.
        limit: u32,
    },
}

/// The first message in `input`, or `None` when more bytes are needed. A body longer than `limit` is refused as soon as
/// its header is there, so nobody waits for it or makes room for it.
pub fn first(input: &[u8], limit: u32) -> Result<Option<Message<'_>>, FrameError> {
    let (Some(version), Some(kind), Some(length)) = (u16_at(input, 0), u16_at(input, 2), u32_at(input, 4)) else {
        // A wrong version is seen from the first two bytes.
        return match u16_at(input, 0) {
            Some(version) if version != VERSION => Err(FrameError::Version { version }),
            _ => Ok(None),
        };
    };
    if version != VERSION {
        return Err(FrameError::Version { version });
    }
    let kind = MessageType(kind);
    if length > limit {
        return Err(FrameError::Length { kind, length, limit });
    }
    Ok(input.get(HEADER..HEADER + length as usize).map(|body| Message { kind, body }))
}

/// How many bytes the first message in `input` takes in all, once its header is there.
pub fn announced(input: &[u8]) -> Option<usize> {
    (input.len() >= HEADER).then(|| u32_at(input, 4).map(|length| HEADER + length as usize)).flatten()
}

/// Appends a message header.
pub fn push_header(out: &mut Vec<u8>, kind: MessageType, length: u32) {
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&kind.0.to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
}

/// Appends a whole message.
pub fn push(out: &mut Vec<u8>, kind: MessageType, body: &[u8]) {
    push_header(out, kind, body.len() as u32);
    out.extend_from_slice(body);
}

/// Appends an error message (type 1): i32 code, u16 text length, text. The text is sent with a terminating NUL that its
/// length counts, as in the guide's example (5.3.1 p.2-10); a text beyond 65534 bytes is cut.
pub fn push_error(out: &mut Vec<u8>, code: i32, text: &str) {
    let mut end = text.len().min(65534);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = text.get(..end).unwrap_or_default();
    push_header(out, MessageType::ERROR, 7 + text.len() as u32);
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(&(text.len() as u16 + 1).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}

/// Reads the body of an error message. NULs are stripped; a text shorter than announced is taken as far as it goes.
pub fn parse_error(body: &[u8]) -> Result<(i32, String), Short> {
    let mut cursor = crate::cursor::Cursor::new(body);
    let code = cursor.u32()? as i32;
    let length = usize::from(cursor.u16()?);
    let rest = cursor.rest();
    let text = String::from_utf8_lossy(rest.get(..length).unwrap_or(rest)).replace('\0', "");
    Ok((code, text))
}

/// The items of a message bundle (type 4002).
#[derive(Debug, Clone, Copy)]
pub struct Bundle<'a> {
    /// Unique per connection.
    pub connection: u32,
    /// 1 for the first bundle of a connection, then rising by 1.
    pub sequence: u32,
    /// The items back to back.
    pub items: Items<'a>,
}

impl<'a> Bundle<'a> {
    /// Reads the body of a message bundle (5.3.1 p.2-36).
    pub fn parse(body: &'a [u8]) -> Result<Self, Short> {
        let mut cursor = crate::cursor::Cursor::new(body);
        Ok(Bundle { connection: cursor.u32()?, sequence: cursor.u32()?, items: Items { rest: cursor.rest() } })
    }
}

/// Iterates over items: u32 message type (or u16 version 1 and u16 type: servers differ from the guide), u32 length, body.
#[derive(Debug, Clone, Copy)]
pub struct Items<'a> {
    rest: &'a [u8],
}

impl<'a> Items<'a> {
    /// The items in `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Items { rest: bytes }
    }
}

impl<'a> Iterator for Items<'a> {
    /// A message, or the error of an item that reaches beyond the bundle; nothing follows that.
    type Item = Result<Message<'a>, Short>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let mut cursor = crate::cursor::Cursor::new(self.rest);
        let item = (|| {
            let kind = MessageType((cursor.u32()? & 0xffff) as u16);
            let length = cursor.u32()? as usize;
            Ok(Message { kind, body: cursor.take(length)? })
        })();
        self.rest = if item.is_ok() { cursor.rest() } else { &[] };
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_from_a_stream() {
        let mut stream = Vec::new();
        push(&mut stream, MessageType::NULL, &[]);
        push(&mut stream, MessageType::EVENT_DATA, &[1, 2, 3]);
        let one = first(&stream, 100).unwrap().unwrap();
        assert_eq!((one.kind, one.size()), (MessageType::NULL, 8));
        let two = first(&stream[8..], 100).unwrap().unwrap();
        assert_eq!(two.body, [1, 2, 3]);
        for cut in 8..stream.len() - 1 {
            assert_eq!(first(&stream[8..cut], 100), Ok(None));
        }
    }

    #[test]
    fn a_stream_that_is_no_estreamer_is_refused_at_once() {
        assert_eq!(first(b"GE", 100), Err(FrameError::Version { version: 0x4745 }));
        let error = first(&[0, 1, 0, 4, 0xff, 0xff, 0xff, 0xff], 1000).unwrap_err();
        assert_eq!(error.to_string(), "Event Data (4) announces 4294967295 bytes, more than the 1000 accepted here");
    }

    #[test]
    fn the_documented_error_message() {
        // eStreamer Integration Guide 5.3.1 p.2-9/2-10: code 19, "No space", nine bytes.
        let mut out = Vec::new();
        push_error(&mut out, 19, "No space");
        assert_eq!(out, b"\x00\x01\x00\x01\x00\x00\x00\x0f\x00\x00\x00\x13\x00\x09No space\x00");
        assert_eq!(parse_error(&out[8..]), Ok((19, "No space".into())));
        // A client's own error.
        assert_eq!(parse_error(b"\xff\xff\xff\xff\x00\x03bye"), Ok((-1, "bye".into())));
        assert!(parse_error(&[0; 5]).is_err());
    }

    #[test]
    fn bundles_with_both_item_headers() {
        let mut body = vec![0, 0, 0, 7, 0, 0, 0, 1];
        body.extend([0, 0, 0, 4, 0, 0, 0, 1, 9]);
        body.extend([0, 1, 0, 4, 0, 0, 0, 0]);
        body.extend([0, 0, 0, 4, 0, 0, 0, 9, 1]);
        let bundle = Bundle::parse(&body).unwrap();
        assert_eq!((bundle.connection, bundle.sequence), (7, 1));
        let items: Vec<_> = bundle.items.collect();
        assert_eq!(items[0], Ok(Message { kind: MessageType::EVENT_DATA, body: &[9] }));
        assert_eq!(items[1], Ok(Message { kind: MessageType::EVENT_DATA, body: &[] }));
        assert!(items[2].is_err() && items.len() == 3);
    }
}
