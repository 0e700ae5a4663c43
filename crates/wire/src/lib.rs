//! The eStreamer protocol as bytes and values: no sockets, no TLS, no files.
//!
//! eStreamer is the TLS protocol (TCP 8302) by which a Cisco Secure Firewall Management Center streams security events
//! to other programs. This crate reads and writes everything inside the TLS connection:
//!
//! * [`message`]: the eight-byte message header, message types, framing of a byte stream;
//! * [`record`]: the record header of event data, and [`decode`]: a record decoded in place, without an allocation a field;
//! * [`event`]: owned events that can be built, changed, encoded and converted between versions;
//! * [`layout`]: the layouts of all records and data blocks, compiled from data files at build time;
//! * [`request`]: what a client sends; [`versions`]: event types, their versions and the records of each;
//!   [`subscription`]: what a request selects;
//! * [`plan`]: conversion between versions from bytes to bytes;
//! * [`hosts`]: host data, asked for and answered;
//! * [`client`] and [`server`]: both sides of a session as state machines that take bytes and give bytes;
//! * [`mod@reference`]: all of these layouts as text;
//! * [`resolution`] and [`names`]: which metadata names what.
//!
//! All integers on the wire are unsigned and big-endian unless said otherwise; text is UTF-8
//! (eStreamer Integration Guide 5.3 p.17).

pub mod client;
mod convert;
pub mod cursor;
pub mod decode;
pub mod event;
pub mod hosts;
pub mod layout;
pub mod message;
pub mod names;
pub mod plan;
pub mod record;
pub mod reference;
pub mod request;
pub mod resolution;
pub mod server;
pub mod subscription;
pub mod versions;
mod view;
