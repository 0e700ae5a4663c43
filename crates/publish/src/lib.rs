//! Records from other programs: lines of JSON that become records of an archive.
//!
//! [`parse`] reads a line along the layout schema; there is no code for a particular record. What the JSON format
//! prints can be published again. A [`Publisher`] brings what was read into the archive, each id of a caller once; a
//! [`Service`] takes lines by a Unix socket and by HTTP.

mod block;
mod error;
mod http;
mod known;
mod line;
mod lines;
mod nearest;
mod publisher;
mod report;
mod service;
mod socket;
mod sources;
mod tree;
mod values;

pub use error::{Flaw, LineError};
pub use http::{MAX_BODY, MAX_LINES};
pub use known::KNOWN_IDS;
pub use line::{Defaults, Line, MAX_ID, MAX_LINE, parse};
pub use lines::Lines;
pub use pki::{TokenError, Tokens};
pub use publisher::{PublishError, Publisher, Settings};
pub use report::{MAX_ERRORS, Rejected, Report};
pub use service::{Service, ServiceError};
