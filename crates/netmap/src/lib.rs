//! The network map: which hosts there are, what runs on them, and what that makes of an intrusion event.
//!
//! A [`Mapper`] follows the archive of a netmap and learns hosts from it: from connection, file and intrusion events,
//! logins, and from the discovery events others have made. What it finds new it tells as discovery events (record types 10
//! to 44 and others) in the same archive. A [`Map`] reads the result for host data requests, lists and pages; a [`Judge`]
//! computes the impact of intrusion events for a sensor; [`Sightings`] take what a sensor sees and no record can say.
//!
//! Everything is in one SQLite file, `map.db`, for all netmaps. Each rule below has a name, and the tests that hold it cite
//! it.
//!
//! # What becomes a host
//!
//! * **H1** An address in a monitored network ([`Policy::monitored`]) becomes a host when it has sent something: as the
//!   initiator of a connection, as a responder that answered, as the source of an intrusion event, as either end of a file
//!   transfer, by a login, by ARP or DHCP. Being asked, scanned or attacked makes no host.
//! * **H2** A responder serves a port when it answered over UDP, or over TCP with two packets or more and without a bare
//!   reset, or when the application protocol was recognised.
//! * **H3** What others tell by discovery events is taken as it is, outside the monitored networks too.
//! * **H4** There are at most [`Policy::host_limit`] hosts. A host beyond is dropped (record 44, once for an address), or
//!   replaces the one heard of longest ago (record 21), as [`Policy::at_limit`] says.
//! * **H5** What was not heard of for [`Policy::timeout`] seconds is forgotten: hosts (record 19), servers (25, 26) and
//!   client applications (35). The clock is the server's, not that of events, so old events do not expire at once.
//! * **H6** A MAC address is a host's for sure when ARP or DHCP says so. One of frames alone counts as long as no other host
//!   has it; frames of two hosts with one address, or of an IPv4 address elsewhere, come from a router, and what is known as a
//!   router's is no host's because of a frame. A lease moves the address to the host with the MAC
//!   address (records 29, and 20 for a host that had it).
//! * **H7** Of each kind a host has at most 500 parts (64 addresses); what is more is left out.
//!
//! # Telling
//!
//! * **T1** A change is told once, when it is learned, with device and time of the event that showed it.
//! * **T2** Nothing is told of what a simulator or a replay writes: such a source is a whole story with its own discovery
//!   events. The archive knows who made a commit by the position in it; nothing is told of a commit without one either.
//!   Nothing is told either while discovery events are not captured ([`Orders::tell`]), nor later of what was learned then.
//! * **T3** The mapper never learns from what it has told itself: its commits have a position named [`SOURCE`].
//!
//! # Exactly once
//!
//! ```text
//!  read archive ─> learn ─> SQLite transaction ─────────────> archive commit ──────────────> next
//!                           hosts, place read to,             events of outbox n,
//!                           events as outbox n, sightings     position: n, place read to
//! ```
//!
//! * **X1** Hosts, the place up to which the archive was read, the sightings used up and the events that are to be told
//!   become durable in one SQLite transaction.
//! * **X2** The events of outbox n and the number n become durable in one commit of the archive. An outbox is told only if
//!   the archive's number is smaller; the next one is made only after that.
//! * **X3** So after a crash at any moment map and events are what they would have been without it.
//! * **X4** A map that is lost is learned again. Up to the place the archive's position names, nothing is told a second time.
//! * **X5** An archive that is another one than the map was made of is read from its beginning. Hosts stay.

mod db;
mod describe;
mod error;
mod facts;
mod frames;
mod hints;
mod host;
mod judge;
mod learn;
mod locks;
mod map;
mod mapper;
mod memory;
mod outbox;
mod policy;
pub mod profile;
mod rows;
mod sightings;
#[cfg(test)]
mod tests;

pub use describe::{Described, DescribedClient, DescribedServer};
pub use error::{Error, Result};
pub use host::{Address, Client, Evidence, Host, Mac, Protocol, Server, System, User};
pub use judge::{Attack, DROPPED, Impact, Judge, MAPPED, MONITORED, RED, SERVED};
pub use locks::writes;
pub use map::{Map, Named, Page, mac};
pub use mapper::{Came, Mapper, Orders, SOURCE};
pub use policy::{AtLimit, INSIDE, Networks, Policy, WEEK};
pub use sightings::{Fact, Sighting, Sightings, Software};
