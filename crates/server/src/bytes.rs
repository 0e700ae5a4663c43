//! Sizes as people write them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

/// A number of bytes, which may be given as `20GB`, `512 MiB` or `1000000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Bytes(pub u64);

/// Units, the largest first, and their bytes. `K`, `M`, `G` and `T` alone are decimal, as disks are sold.
const UNITS: [(&str, u64); 8] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
];

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Bytes, String> {
        let wrong = || format!("\"{text}\" is no size; write it as \"20GB\", \"512MiB\" or a number of bytes");
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let unit = unit.trim();
        let same =
            |name: &str| name.eq_ignore_ascii_case(unit) || name.len() == 2 && name[..1].eq_ignore_ascii_case(unit);
        let factor = match unit {
            "" | "B" => 1,
            _ => UNITS.iter().find(|(name, _)| same(name)).map(|(_, bytes)| *bytes).ok_or_else(wrong)?,
        };
        number.checked_mul(factor).map(Bytes).ok_or_else(wrong)
    }
}

impl fmt::Display for Bytes {
    /// In the largest unit of which there is at least one, with one decimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimal = UNITS.iter().filter(|(name, _)| name.len() == 2);
        for (name, bytes) in decimal {
            if self.0 >= *bytes {
                let tenths = u128::from(self.0) * 10 / u128::from(*bytes);
                let (whole, part) = (tenths / 10, tenths % 10);
                return if part == 0 { write!(f, "{whole} {name}") } else { write!(f, "{whole}.{part} {name}") };
            }
        }
        write!(f, "{} bytes", self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as \"20GB\", or a number of bytes")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Bytes, E> {
                u64::try_from(number).map(Bytes).map_err(|_| E::custom(format!("{number} is no size")))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Bytes, E> {
                Ok(Bytes(number))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("17B", 17),
            ("20GB", 20_000_000_000),
            ("20 gb", 20_000_000_000),
            ("3g", 3_000_000_000),
            ("2GiB", 2 << 30),
            ("512MiB", 512 << 20),
            ("1 TB", 1_000_000_000_000),
            ("5kb", 5000),
        ] {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
        for text in ["", "GB", "-1", "1.5GB", "1 GBit", "20 %", "99999999TB", "é"] {
            assert!(text.parse::<Bytes>().unwrap_err().contains("20GB"), "{text}");
        }
    }

    #[test]
    fn sizes_are_told_as_people_read_them() {
        let told = [0, 999, 1000, 1_550_000, 20_000_000_000, u64::MAX].map(|n| Bytes(n).to_string());
        assert_eq!(told, ["0 bytes", "999 bytes", "1 KB", "1.5 MB", "20 GB", "18446744 TB"]);
    }
}
