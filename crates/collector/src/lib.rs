//! The collector: connects to management centers, decodes every record, resolves ids to names, delivers to destinations.
//!
//! ```text
//! connection -> intake -> workers -> delivery -> destinations
//!                 |                     |
//!                 metadata snapshot     checkpoint (what is durable)
//! ```
//!
//! * [`connect`] opens TCP and TLS and explains every way that can fail.
//! * [`intake`] drives the session, keeps the metadata [`tables`], drops what a checkpoint says was delivered already,
//!   and cuts the stream into batches. A batch travels with the metadata as it was at that point of the stream, so
//!   parallel workers resolve names exactly as a serial reader would.
//! * [`work`] decodes, resolves ([`resolve`]) and formats a batch.
//! * [`deliver`] hands the batches to the destinations in their order, makes them durable, and only then moves the
//!   [`checkpoint`]. Everything between is bounded: a slow destination slows the connection.
//! * [`run`] does all that for ever, with reconnection, for any number of management centers at once; [`twins`] delivers
//!   once what several members of a high-availability set send.
//! * [`stats`] counts what became of every record; [`telemetry`] tells it to Prometheus and whoever asks by HTTP.
//! * [`credentials`] and [`encore`] take over what eNcore left: certificate, key and bookmark. [`alive`] tells whether all
//!   of it is still at work.

pub mod alive;
pub mod checkpoint;
pub mod config;
pub mod connect;
pub mod credentials;
pub mod deliver;
pub mod encore;
pub mod filter;
pub mod intake;
mod monitor;
pub mod resolve;
pub mod run;
pub mod select;
pub mod stats;
pub mod tables;
pub mod telemetry;
mod time;
pub mod twins;
mod uid;
mod web;
pub mod work;
