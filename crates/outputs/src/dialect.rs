//! Whose output a format reproduces.

use std::fmt;
use std::str::FromStr;
use thiserror::Error;
use wire::resolution::Naming;

/// Whose output a format reproduces. eNcore's own output changed between its versions, and parsers depend on all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Dialect {
    /// eNcore 5.2, byte for byte, its defects included.
    Encore5,
    /// eNcore 3.5: the keys that the published Splunk dashboards and most parsers expect.
    Encore3,
    /// Ours: every field, correct escaping, names resolved, UTC.
    #[default]
    Standard,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Dialect; 3] = [Dialect::Encore5, Dialect::Encore3, Dialect::Standard];

    /// As it is written in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::Encore5 => "encore-5",
            Dialect::Encore3 => "encore-3",
            Dialect::Standard => "standard",
        }
    }

    /// How its lines name what has a number.
    pub fn naming(self) -> Naming {
        match self {
            Dialect::Encore5 => Naming::Encore5,
            Dialect::Encore3 => Naming::Encore3,
            Dialect::Standard => Naming::Ours,
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A dialect that nobody speaks.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there is no dialect {0:?}; write encore-5, encore-3 or standard")]
pub struct UnknownDialect(String);

impl FromStr for Dialect {
    type Err = UnknownDialect;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Dialect::ALL.into_iter().find(|d| d.name() == text).ok_or_else(|| UnknownDialect(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for dialect in Dialect::ALL {
            assert_eq!(dialect.to_string().parse(), Ok(dialect));
        }
        let error = "encore5".parse::<Dialect>().unwrap_err().to_string();
        assert!(error.contains("encore5") && Dialect::ALL.iter().all(|d| error.contains(d.name())), "{error}");
    }
}
