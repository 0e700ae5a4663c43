//! What is known of flows that have not ended: the application layer lines that came before the flow line.
//!
//! Bounded by number, by bytes and by age, counted from the first line of a flow. What leaves for one of these reasons
//! is handed out so that a connection event can be made of it.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::Field;
use super::header::{Ends, Stamp};

/// How much may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Flows.
    pub flows: usize,
    /// Bytes of their values, about.
    pub bytes: usize,
    /// Seconds since the first line of a flow.
    pub age: u64,
}

impl Default for Bounds {
    /// 65,536 flows, 64 MiB, an hour.
    fn default() -> Self {
        Bounds { flows: 1 << 16, bytes: 64 << 20, age: 3600 }
    }
}

/// Bytes a flow takes beside its values.
const OVERHEAD: usize = 256;

/// What is known of one flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    /// When its first line was read, in seconds since 1970-01-01 UTC.
    pub(super) since: u64,
    /// Times of its first and its last line.
    pub(super) first: Stamp,
    pub(super) last: Stamp,
    /// When it began, if a line said so.
    pub(super) start: Option<Stamp>,
    /// Initiator and responder.
    pub(super) ends: Option<Ends>,
    /// Application protocol, as Suricata calls it.
    pub(super) application: Option<String>,
    /// Values by the fields of the connection event they go to.
    pub(super) fields: BTreeMap<String, Field>,
    pub(super) user: Option<u32>,
    pub(super) interface: Option<String>,
    /// Intrusion and file events of this flow.
    pub(super) intrusions: u16,
    pub(super) files: u16,
    /// Lines that wait, by event type: those that told something new, and the others.
    pub(super) lines: BTreeMap<String, (u64, u64)>,
}

impl Pending {
    pub(super) fn new(now: u64, time: Stamp) -> Pending {
        Pending {
            since: now,
            first: time,
            last: time,
            start: None,
            ends: None,
            application: None,
            fields: BTreeMap::new(),
            user: None,
            interface: None,
            intrusions: 0,
            files: 0,
            lines: BTreeMap::new(),
        }
    }

    /// Bytes it takes, about.
    fn size(&self) -> usize {
        let fields: usize = self.fields.iter().map(|(name, value)| name.len() + value.size() + 64).sum();
        OVERHEAD + fields + self.lines.keys().map(|name| name.len() + 64).sum::<usize>()
    }
}

/// All flows that have not ended.
#[derive(Debug)]
pub(super) struct Flows {
    bounds: Bounds,
    /// With the place in `order` and the size it is counted with.
    flows: HashMap<u64, (u64, usize, Pending)>,
    /// Oldest first.
    order: BTreeMap<u64, u64>,
    next: u64,
    bytes: usize,
    changed: HashSet<u64>,
}

impl Flows {
    /// What an earlier run left, oldest first.
    pub(super) fn new(bounds: Bounds, earlier: Vec<(u64, Pending)>) -> Flows {
        let mut flows =
            Flows { bounds, flows: HashMap::new(), order: BTreeMap::new(), next: 0, bytes: 0, changed: HashSet::new() };
        for (id, pending) in earlier {
            flows.put(id, pending);
        }
        flows.changed.clear();
        flows
    }

    pub(super) fn get(&self, id: u64) -> Option<&Pending> {
        self.flows.get(&id).map(|(_, _, pending)| pending)
    }

    /// Keeps what is known of a flow now.
    pub(super) fn put(&mut self, id: u64, pending: Pending) {
        let size = pending.size();
        self.bytes += size;
        let place = match self.flows.remove(&id) {
            Some((place, size, _)) => {
                self.bytes -= size;
                place
            }
            None => {
                self.next += 1;
                self.order.insert(self.next, id);
                self.next
            }
        };
        self.flows.insert(id, (place, size, pending));
        self.changed.insert(id);
    }

    /// A flow as it is known, or a new one.
    pub(super) fn copy(&self, id: u64, now: u64, time: Stamp) -> Pending {
        self.get(id).cloned().unwrap_or_else(|| Pending::new(now, time))
    }

    pub(super) fn take(&mut self, id: u64) -> Option<Pending> {
        let (place, size, pending) = self.flows.remove(&id)?;
        self.order.remove(&place);
        self.bytes -= size;
        self.changed.insert(id);
        Some(pending)
    }

    /// The oldest flow, if there are too many or it is too old.
    pub(super) fn surplus(&mut self, now: u64) -> Option<(u64, Pending)> {
        let id = *self.order.values().next()?;
        let since = self.get(id)?.since;
        let over = self.flows.len() > self.bounds.flows || self.bytes > self.bounds.bytes;
        if over || now.saturating_sub(since) >= self.bounds.age { self.take(id).map(|flow| (id, flow)) } else { None }
    }

    /// The oldest flow, if there is one.
    pub(super) fn oldest(&mut self) -> Option<(u64, Pending)> {
        let id = *self.order.values().next()?;
        self.take(id).map(|flow| (id, flow))
    }

    pub(super) fn len(&self) -> usize {
        self.flows.len()
    }

    /// Ids of flows that changed since the last call with what is known of them, `None` for those that are gone.
    pub(super) fn changes(&self) -> impl Iterator<Item = (u64, Option<&Pending>)> {
        self.changed.iter().map(|id| (*id, self.get(*id)))
    }

    pub(super) fn has_changes(&self) -> bool {
        !self.changed.is_empty()
    }

    /// The changes are kept.
    pub(super) fn saved(&mut self) {
        self.changed.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(since: u64) -> Pending {
        Pending::new(since, Stamp { second: 1, microsecond: 0 })
    }

    #[test]
    fn what_is_too_much_or_too_old_is_handed_out_oldest_first() {
        let mut flows = Flows::new(Bounds { flows: 2, bytes: 1 << 20, age: 100 }, vec![(9, pending(5))]);
        assert!(!flows.has_changes());
        flows.put(7, pending(10));
        assert_eq!(flows.surplus(20), None);
        flows.put(8, pending(20));
        assert_eq!(flows.surplus(20).map(|(id, _)| id), Some(9));
        assert_eq!(flows.surplus(109), None);
        // Being put again makes it no younger.
        flows.put(7, pending(10));
        assert_eq!(flows.surplus(110).map(|(id, _)| id), Some(7));
        assert_eq!(flows.surplus(110), None);
        assert_eq!(flows.oldest().map(|(id, _)| id), Some(8));
        assert_eq!((flows.len(), flows.bytes, flows.order.len()), (0, 0, 0));
        assert_eq!(flows.changes().count(), 3);
    }

    #[test]
    fn bytes_are_bounded() {
        let mut flows = Flows::new(Bounds { flows: 1000, bytes: 10_000, age: 100 }, Vec::new());
        for id in 0..10 {
            let mut one = pending(1);
            one.fields.insert("userAgent".to_owned(), Field::Text("x".repeat(2000)));
            flows.put(id, one);
            while flows.surplus(1).is_some() {}
            assert!(flows.bytes <= 10_000);
        }
        assert!(flows.len() > 2);
    }
}
