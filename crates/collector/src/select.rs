//! Which record types are written (eNcore `handler.records`).

use wire::layout::{self, Class};

/// Which record types are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Correlation, file, malware, impact alert and extra data records.
    pub core: bool,
    /// Metadata records as records of their own.
    pub metadata: bool,
    /// Connection statistics.
    pub connections: bool,
    /// Packets.
    pub packets: bool,
    /// Intrusion events.
    pub intrusion: bool,
    /// User activity.
    pub rua: bool,
    /// Discovery events.
    pub rna: bool,
    /// Record types always written.
    pub include: Vec<u16>,
    /// Record types never written; beats `include`.
    pub exclude: Vec<u16>,
}

impl Default for Selection {
    /// Everything eNcore writes by default.
    fn default() -> Self {
        Selection {
            core: true,
            metadata: true,
            connections: true,
            packets: true,
            intrusion: true,
            rua: true,
            rna: true,
            include: Vec::new(),
            exclude: Vec::new(),
        }
    }
}

impl Selection {
    /// Whether records of this type are written. A type nobody knows is: dropping it would lose data.
    pub fn writes(&self, record_type: u16) -> bool {
        if self.exclude.contains(&record_type) {
            return false;
        }
        let by_class = match layout::record(record_type) {
            None => true,
            Some(record) => match record.class {
                Class::Connection => self.connections,
                Class::Discovery => self.rna,
                Class::Vpn => true,
                Class::User => self.rua,
                Class::Metadata => self.metadata,
                Class::Packet => self.packets,
                Class::Intrusion => self.intrusion,
                Class::File | Class::Correlation | Class::Event => self.core,
                Class::None => false,
            },
        };
        by_class || self.include.contains(&record_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_include_and_exclude() {
        let mut selection =
            Selection { connections: false, exclude: vec![400], include: vec![18, 71, 400], ..Default::default() };
        assert!(selection.writes(71) && selection.writes(18), "included");
        assert!(!selection.writes(400), "exclude beats include");
        assert!(!selection.writes(53) && selection.writes(170) && selection.writes(3000));
        selection.metadata = false;
        assert!(!selection.writes(123) && selection.writes(145), "145 sits in the core class");
    }
}
