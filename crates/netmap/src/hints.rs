//! Operating systems guessed from what hosts say. The table is data: `hints.toml`.

use std::sync::LazyLock;

use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_128;

use crate::host::Evidence;

/// What kind of text a hint is looked for in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum On {
    UserAgent,
    Ssh,
    HttpServer,
    DhcpClass,
    Smb,
}

impl On {
    pub(crate) fn evidence(self) -> Evidence {
        match self {
            On::UserAgent => Evidence::UserAgent,
            On::Ssh | On::HttpServer => Evidence::Server,
            On::DhcpClass => Evidence::Dhcp,
            On::Smb => Evidence::Smb,
        }
    }
}

/// An operating system.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "(String, String, String)")]
pub(crate) struct Os {
    pub(crate) vendor: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) uuid: [u8; 16],
}

impl From<(String, String, String)> for Os {
    fn from((vendor, name, version): (String, String, String)) -> Os {
        // A UUID that follows from what it identifies (version 8 of RFC 9562).
        let mut uuid = xxh3_128(format!("fingerprint\0{vendor}\0{name}\0{version}").as_bytes()).to_be_bytes();
        let [_, _, _, _, _, _, kind, _, variant, ..] = &mut uuid;
        *kind = *kind & 0x0f | 0x80;
        *variant = *variant & 0x3f | 0x80;
        Os { vendor, name, version, uuid }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    hint: Vec<Hint>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hint {
    on: On,
    contains: String,
    os: Os,
}

static HINTS: LazyLock<Vec<Hint>> = LazyLock::new(|| {
    let table: Result<Table, _> = toml::from_str(include_str!("hints.toml"));
    let mut hints = table.map_or_else(|_| Vec::new(), |table| table.hint);
    hints.iter_mut().for_each(|hint| hint.contains.make_ascii_lowercase());
    hints
});

/// What a text hints at.
pub(crate) fn os(on: On, text: &str) -> Option<&'static Os> {
    let text = text.to_ascii_lowercase();
    HINTS.iter().find(|hint| hint.on == on && text.contains(&hint.contains)).map(|hint| &hint.os)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole_and_its_first_match_counts() {
        assert!(toml::from_str::<Table>(include_str!("hints.toml")).unwrap().hint.len() > 40);
        let agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36";
        let windows = os(On::UserAgent, agent).unwrap();
        assert_eq!((&*windows.vendor, &*windows.name), ("Microsoft", "Windows"));
        assert_eq!(os(On::UserAgent, "x Linux; Android 14; Pixel 8").unwrap().name, "Android");
        assert_eq!(os(On::Ssh, "OpenSSH_9.6p1 Ubuntu-3ubuntu13").unwrap().name, "Ubuntu");
        assert_eq!(os(On::Ssh, "OpenSSH_9.6"), None);
        assert_ne!(windows.uuid, os(On::UserAgent, "Windows NT 5.1").unwrap().uuid);
    }
}
