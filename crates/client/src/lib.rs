//! The reference client: what `ssl_test.pl` of Cisco's SDK does, for trying out a server and for small jobs.
//!
//! It connects once, asks for what its output needs, hands every record to that output and ends with the connection. It
//! keeps a bookmark and nothing else; a collector that must lose nothing is the crate `collector`.
//!
//! * [`identity`] is the PKCS#12 file, [`endpoint`] the server and the way to it;
//! * [`stream`] drives a session of records, [`hosts`] one of host data requests;
//! * [`mod@print`], [`csv`], [`pcap`], [`snmp`] and [`syslog`] are the outputs, [`alert`] is what the last two send;
//! * [`bookmark`] is the second to go on from.

pub mod alert;
pub mod bookmark;
mod connection;
pub mod csv;
pub mod endpoint;
pub mod hosts;
pub mod identity;
pub mod output;
pub mod password;
pub mod pcap;
pub mod print;
mod receiver;
pub mod snmp;
pub mod stream;
pub mod syslog;
mod text;

pub use connection::SessionError;
pub use output::{Output, OutputError, Plugin};
