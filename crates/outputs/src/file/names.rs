//! Names of the files of one output, and which names are its own.

use super::settings::Compression;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where the stamp goes.
pub(super) const PLACE: &str = "{0}";

/// Digits of a second; epoch seconds have as many from 2001 to 2286.
const DIGITS: usize = 10;

/// What stands for `{0}`: the second at which the name was chosen, and a number when that name was taken. Stamps sort as
/// the files follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp {
    pub(super) second: u64,
    pub(super) number: u64,
}

impl Stamp {
    /// The one to try when this is taken.
    pub(super) fn next(self) -> Stamp {
        Stamp { number: self.number + 1, ..self }
    }
}

/// The names of one output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) folder: PathBuf,
    pub(super) pattern: String,
}

/// A file that an output made, as its name tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Own {
    /// `NAME`
    Plain(Stamp),
    /// `NAME.gz`, `NAME.zst`
    Packed(Stamp),
    /// `.NAME.part`: being written, or left by a life whose state is lost.
    Partial,
    /// `.NAME.gz.tmp`: left by a compression that was interrupted.
    Temporary,
}

impl Names {
    /// There is a next name.
    pub(super) fn rotate(&self) -> bool {
        self.pattern.contains(PLACE)
    }

    /// The file with this stamp.
    pub(super) fn path(&self, stamp: Stamp) -> PathBuf {
        self.folder.join(self.name(stamp))
    }

    fn name(&self, Stamp { second, number }: Stamp) -> String {
        let text = if number == 0 { format!("{second:010}") } else { format!("{second:010}_{number:04}") };
        self.pattern.replace(PLACE, &text)
    }

    /// The stamp of a file of these names.
    pub(super) fn stamp(&self, path: &Path) -> Option<Stamp> {
        let name = path.file_name()?.to_str()?;
        (path.parent() == Some(&self.folder)).then(|| self.read(name)).flatten()
    }

    /// These could be the names of that file.
    pub(super) fn own(&self, path: &Path) -> bool {
        match self.rotate() {
            true => self.stamp(path).is_some(),
            false => path == self.folder.join(&self.pattern),
        }
    }

    /// What a file in the folder is, `None` for those of others.
    pub(super) fn kind(&self, name: &str) -> Option<Own> {
        if let Some(stamp) = self.read(name) {
            return Some(Own::Plain(stamp));
        }
        let unpacked = |name: &str| {
            let plain = Compression::ALL.iter().find_map(|c| name.strip_suffix(c.suffix()));
            plain.and_then(|name| self.read(name))
        };
        if let Some(stamp) = unpacked(name) {
            return Some(Own::Packed(stamp));
        }
        let hidden = name.strip_prefix('.')?;
        if let Some(name) = hidden.strip_suffix(".part") {
            return self.read(name).map(|_| Own::Partial);
        }
        hidden.strip_suffix(".tmp").and_then(unpacked).map(|_| Own::Temporary)
    }

    fn read(&self, name: &str) -> Option<Stamp> {
        let (before, _) = self.pattern.split_once(PLACE)?;
        let rest = name.strip_prefix(before)?;
        let (second, rest) = rest.split_at_checked(DIGITS)?;
        let second = digits(second)?;
        let bare = Stamp { second, number: 0 };
        if self.name(bare) == name {
            return Some(bare);
        }
        // What follows the number may begin with digits too, so that its end cannot be seen.
        let rest = rest.strip_prefix('_')?;
        let length = rest.bytes().take_while(u8::is_ascii_digit).count();
        (4..=length.min(18)).find_map(|length| {
            let stamp = Stamp { second, number: digits(rest.get(..length)?)? };
            (self.name(stamp) == name).then_some(stamp)
        })
    }
}

fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// `.NAME.SUFFIX` beside `NAME`.
pub(super) fn hidden(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".");
    name.push(suffix);
    path.with_file_name(name)
}

/// `NAMESUFFIX` beside `NAME`.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(pattern: &str) -> Names {
        Names { folder: "/data".into(), pattern: pattern.into() }
    }

    #[test]
    fn only_what_the_pattern_could_give_is_own() {
        let json = names("encore.{0}.json");
        let stamp = |number| Stamp { second: 1_700_000_000, number };
        assert_eq!(json.path(stamp(0)), Path::new("/data/encore.1700000000.json"));
        assert_eq!(json.path(stamp(12)), Path::new("/data/encore.1700000000_0012.json"));
        for (name, kind) in [
            ("encore.1700000000.json", Some(Own::Plain(stamp(0)))),
            ("encore.1700000000_0012.json", Some(Own::Plain(stamp(12)))),
            ("encore.1700000000_12345.json.gz", Some(Own::Packed(stamp(12345)))),
            ("encore.1700000000.json.zst", Some(Own::Packed(stamp(0)))),
            (".encore.1700000000.json.part", Some(Own::Partial)),
            (".encore.1700000000.json.gz.tmp", Some(Own::Temporary)),
            ("encore.1700000000.log", None),
            ("encore.17000000000.json", None),
            ("encore.170000000.json", None),
            ("encore.1700000000_012.json", None),
            ("encore.1700000000_00012.json", None),
            ("encore.1700000000_0000.json", None),
            ("encore.1700000000-8b0f.json", None),
            ("encore.+170000000.json", None),
            ("encore.1700000000.json.bak", None),
            ("encore.1700000000.json.gz.tmp", None),
            (".encore.1700000000.json", None),
            ("encore.170000000é.json", None),
            ("", None),
        ] {
            assert_eq!(json.kind(name), kind, "{name}");
        }
        assert_eq!(json.stamp(Path::new("/data/encore.1700000000.json")), Some(stamp(0)));
        assert_eq!(json.stamp(Path::new("/other/encore.1700000000.json")), None);
        // Neither is a file of the other.
        assert_eq!(names("e{0}").kind(&names("e1{0}").name(stamp(0))), None);
        assert!(names("fixed").own(Path::new("/data/fixed")) && names("fixed").kind("fixed").is_none());
    }

    proptest! {
        #[test]
        fn names_are_read_back_and_sort(
            pattern in "[a-z0-9_.é]{0,4}\\{0\\}[a-z0-9_.]{0,6}(\\{0\\}[0-9_]{0,5})?",
            a in (0u64..9_999_999_999, 0u64..20_000), b in (0u64..9_999_999_999, 0u64..9_999),
        ) {
            let names = names(&pattern);
            let stamp = Stamp { second: a.0, number: a.1 };
            prop_assert_eq!(names.read(&names.name(stamp)), Some(stamp));
            let simple = self::names("e{0}");
            let (a, b) = (Stamp { second: a.0, number: a.1.min(9_999) }, Stamp { second: b.0, number: b.1 });
            prop_assert_eq!(a.cmp(&b), simple.name(a).cmp(&simple.name(b)));
        }

        #[test]
        fn any_name_is_looked_at_without_panic(name: String, pattern: String) {
            names(&pattern).kind(&name);
        }
    }
}
