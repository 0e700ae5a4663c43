//! The durable, time-indexed, append-only event log that an eStreamer server streams from.
//!
//! Any number of [`Archive`]s (writers) in any number of processes on one machine append to the archive of a
//! network map; any number of [`Reader`]s read it without locks. The archive knows nothing of what is in an item
//! beyond its item header and the place of its archival second. Each rule below is named, and the tests that hold
//! it cite that name.
//!
//! # On disk
//!
//! All integers are big-endian. All checksums are CRC-32C.
//!
//! * **D1** `<root>/netmap_<id>/` has `lock`, `head`, and one segment `unified2.<start second>` for each hour of
//!   archival time, or less if it got large. The start second is the archival second of the segment's first commit.
//! * **D2** A segment begins with 24 bytes: magic `eSsg`, u32 version (1), u32 network map, u32 start second,
//!   u32 zero, u32 checksum of the 20 bytes before. Then come batches without gaps.
//! * **D3** A batch is a header of 40 bytes and a body:
//!
//!   | offset | type | field |
//!   |---:|---|---|
//!   | 0 | 4 bytes | magic `eSbt` |
//!   | 4 | u32 | bytes of the body |
//!   | 8 | u32 | checksum of the body |
//!   | 12 | u32 | archival second of the whole batch |
//!   | 16 | u32 | number of items or positions |
//!   | 20 | u32 | flags: 1 sticky, 2 snapshot, 4 positions, 8 last batch of a commit, 16 first batch of a commit |
//!   | 24 | u64 | sequence number of the first event in or behind this batch; events alone are counted, from 0 |
//!   | 32 | u32 | bytes of keys at the end of a sticky body, else 0 |
//!   | 36 | u32 | checksum of network map (u32), start second (u32), file offset of the batch (u64), bytes 0..36 |
//!
//! * **D4** The header checksum binds a batch to its place, so nothing that merely looks like a batch (within an
//!   event, or in a recycled block) is taken for one. The header can be trusted without reading the body.
//! * **D5** The body of an event batch is its items, back to back, each exactly an eStreamer bundle item: u32 4,
//!   u32 length, `length` bytes. A reader sends them as they are.
//! * **D6** The body of a sticky batch is its items, then for each item its key as u32 length and bytes. The body of a
//!   positions batch is, for each source, its name and its position, both as u32 length and bytes.
//! * **D7** A body has at most [`MAX_BATCH`] bytes, unless it is a single item, which may have [`MAX_ITEM`].
//! * **D8** `head` is 40 bytes: magic `eShd`, u32 network map, u32 start second of the newest segment, u32 archival
//!   second of the last commit, u64 committed bytes of that segment, u64 next sequence number, u32 start second of a
//!   segment about to be created (else 0), u32 checksum of the 36 bytes before.
//!
//! # A commit, in this order
//!
//! ```text
//!  flock(lock) ─> catch up ─> pwrite(batches) ─> fdatasync(segment) ─> [fsync(directory)] ─> pwrite(head) ─> unlock
//!                                     │                    │                                      │
//!                  crash: cut off or, if it               durable from here                     visible from here
//!                  got there whole, kept
//! ```
//!
//! * **C1** All of a commit is one contiguous write: sticky items, events, positions. The first batch has the
//!   first flag and the last one the last flag; a commit is there when all of it is there, and else not at all.
//!   So events and the position of their source become durable together.
//! * **C2** `head` is written only after the sync, and readers go no further than `head`: nothing is visible that a
//!   power cut could take away. How often to commit is up to the caller.
//! * **C3** Catching up reads what others appended since. When nobody did, it compares the head, and the length of
//!   the segment, with what is known: its cost does not depend on the size of the archive.
//! * **C4** The archival second is the clock's, but never less than the last one: if the clock steps back, the last
//!   second is repeated (and a log line says so).
//! * **C5** A new segment begins when the old one is as old or as large as [`Options`] say, and only with a commit
//!   whose second is greater than the last. So a second is never in two segments, and a segment may get larger.
//! * **C6** A new segment begins with a snapshot of all sticky items and positions, in the same commit as what
//!   follows. So each segment stands alone, and old ones can be deleted.
//! * **C7** A sticky item or position that the archive has already, byte for byte, is not written.
//! * **C8** If a write or a sync fails, the segment is cut back to its known end (a new one is removed) and the error
//!   reported; the writer can be used again. If the cut fails too, the writer keeps the lock until it succeeds, so
//!   that nobody takes the failed commit for one that was made.
//! * **C9** Before a segment is created, `head` says so; a writer that finds such a head looks for a newer segment.
//!
//! # Recovery
//!
//! It happens whenever a writer catches up, and in [`Archive::open`], which takes the lock only if it is free: if it
//! is not, there is a live writer and nothing to repair. Bytes before the head's committed end are *committed*.
//!
//! * **R1** Behind the committed end, whole commits are kept (the writer died after its write) and published after a
//!   sync; the rest is cut off.
//! * **R2** Damage behind the committed end that is followed by the first batch of another commit is not a torn
//!   write, since that commit was begun after a sync. It is kept and reported, and what is good of the damaged commit
//!   counts. This matters when the head is lost.
//! * **R3** Damage in committed bytes is reported and never cut off. Bodies of committed event batches are not read.
//! * **R4** A newest segment without a whole commit is removed, unless the head vouches for it.
//! * **R5** A head that is missing, corrupt or stale is written anew. It is never synced, so a power cut may do that.
//! * **R6** If the head has more than the file, what is gone is reported, the file is cut to its last whole batch and
//!   the head set back. Sequence numbers and seconds continue from the head: they are never used twice. If the head's segment is gone, the next commit
//!   begins a newer one.
//! * **R7** A damaged segment header costs nothing but a report. A damaged snapshot is filled in from older segments.
//! * **R8** A segment of another version, or with a valid header that names another place, is an error; nothing
//!   is changed.
//!
//! # Reading
//!
//! * **Q1** Everything committed is given exactly once and in order, from whatever second a reader starts; and first,
//!   if that is within a segment, the sticky batches of this segment from before. [`Start`] has the rest.
//! * **Q2** A damaged batch is skipped up to the next valid one and reported as [`Read::Lost`].
//! * **Q3** If segments are deleted before they are read, the gap in the sequence numbers is reported. A segment that
//!   is open is read to its end even if it was deleted.
//! * **Q4** A reader finds its start in an index of seconds, made from batch headers when first needed and shared
//!   through a [`Catalog`], which says why there is no index file.
//! * **Q5** [`Commits`] gives all this commit by commit, with the names of the sources whose position each has moved.
//!
//! * **Q5** What lies before a place that cannot be read is given. The error comes with each call until the place can be
//!   read or is cut out; other readers are not concerned.
//!
//! # Care
//!
//! * **K1** [`check`] finds whatever is not as it was written: segment headers, headers and bodies of batches, gaps in the
//!   numbers, numbers or seconds that go back, items that are none, copies at the beginning of a segment that lack
//!   something, the head. Each finding says where, how many bytes, how many events, and what follows ([`Severity`]).
//! * **K2** It changes nothing and needs nobody to stop: it looks at what was committed when it began. Only to tell an
//!   unfinished commit from one at work it shares the lock for a moment.
//! * **K3** [`repair`] makes good what loses nothing: what a crash left behind (R1 to R6), segment headers, and incomplete
//!   copies, which are filled in from older segments.
//! * **K4** With `cut` it also cuts damage out of a segment. Every good batch stays, with its sequence numbers and second.
//!   The bytes go to `unified2.N.damaged-OFFSET`, zeros where they cannot be read; a file that is there is never
//!   overwritten. Where numbers are missing comes a positions batch of the source `estreamer store repair`, whose position
//!   is the first missing number and the first one behind (both u64); so the gap is known, and readers still tell it.
//! * **K5** A segment is replaced only when nobody appends to it: if it is the newest, a new one is begun under the lock.
//!   The copy is written to `unified2.N.repair`, synced, and renamed, so a crash leaves the old one or the new one; the
//!   damaged bytes are durable before. A lock on the segment keeps a second repair away. Readers that have the old one open
//!   read it to its end (Q3); writers notice nothing.
//! * **K6** [`Retention`] deletes oldest segments first, never the newest of a network map, with what repairs left beside
//!   them. Space that a reader still holds ([`Catalog::held`]) counts as free, so that a slow reader costs no more
//!   segments.
//!
//! # Example
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let root = tempfile::tempdir()?;
//! # let root = root.path();
//! use archive::{Archive, Batch, Options, Read, Reader, Start};
//!
//! let (mut archive, _recovery) = Archive::open(root, 0, Options::default())?;
//! let mut batch = Batch::new();
//! // Item header (type 4, 20 bytes follow), 16-byte record header, 4 bytes of data.
//! let mut item = vec![0, 0, 0, 4, 0, 0, 0, 20];
//! item.extend_from_slice(&[0; 20]);
//! batch.push_event(&item)?;
//! batch.set_position(b"sensor-1", b"file 7, offset 1234")?;
//! let commit = archive.commit(&mut batch)?;
//!
//! let mut reader = Reader::open(root, 0, Start::Second(commit.second))?;
//! let mut items = Vec::new();
//! let Read::Batch(info) = reader.next(&mut items)? else { panic!("nothing there") };
//! assert_eq!((info.items, items.len()), (1, 28));
//! assert_eq!(items[archive::SECOND_AT..][..4], commit.second.to_be_bytes());
//! # Ok(())
//! # }
//! ```

mod batch;
mod catalog;
mod check;
mod clock;
mod commits;
mod compose;
mod disk;
mod error;
#[cfg(test)]
mod faults;
mod findings;
mod format;
mod head;
mod index;
mod layout;
mod mend;
mod reader;
mod recover;
mod retain;
mod scan;
mod tail;
mod walk;
mod writer;

pub use batch::Batch;
pub use catalog::Catalog;
pub use check::check;
pub use clock::Clock;
pub use commits::{Commitment, Commits, Step};
pub use error::{Error, Result};
pub use findings::{Checked, Finding, MOST_FINDINGS, Severity, What};
pub use format::{MAX_BATCH, MAX_FIELD, MAX_ITEM, MIN_EVENT, MIN_STICKY, SECOND_AT};
pub use head::Head;
pub use layout::{Size, netmaps, size, span};
pub use mend::{Mended, repair};
pub use reader::{BatchInfo, Cause, Kind, Lag, Lost, Position, Read, Reader, Start};
pub use recover::{Recovery, Repair};
pub use retain::{Keep, Removal, Retention, Room, Why, room};
pub use tail::Tail;
pub use walk::Examine;
pub use writer::{Archive, Commit, Options};
