//! What is wrong with a line.

use std::fmt;
use thiserror::Error;

/// Why a line is not a record, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineError {
    /// Its record type, where that much was clear.
    pub record_type: Option<u16>,
    /// The field, with the blocks and list places it is in: `vpnSession.items[1].groupPolicy`. Empty for the line itself.
    pub field: String,
    /// The value that stands there, shortened when it is long.
    pub value: Option<String>,
    /// What is wrong with it, and what is allowed.
    pub flaw: Flaw,
}

impl LineError {
    pub(crate) fn new(flaw: Flaw) -> Self {
        LineError { record_type: None, field: String::new(), value: None, flaw }
    }

    /// The same of this value.
    pub(crate) fn of(self, value: impl Into<String>) -> Self {
        LineError { value: self.value.or(Some(value.into())), ..self }
    }

    /// The same, within this field.
    pub(crate) fn within(mut self, field: &str) -> Self {
        self.field = match self.field.as_str() {
            "" => field.to_owned(),
            inner if inner.starts_with('[') => format!("{field}{inner}"),
            inner => format!("{field}.{inner}"),
        };
        self
    }
}

impl From<Flaw> for LineError {
    fn from(flaw: Flaw) -> Self {
        LineError::new(flaw)
    }
}

impl std::error::Error for LineError {}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(record) = self.record_type {
            write!(f, "record {record}")?;
            f.write_str(if self.field.is_empty() { ": " } else { ", " })?;
        }
        if !self.field.is_empty() {
            write!(f, "field {}: ", self.field)?;
        }
        if let Some(value) = &self.value {
            write!(f, "{value} ")?;
        }
        write!(f, "{}", self.flaw)
    }
}

/// What can be wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Flaw {
    /// It is longer than a line may be.
    #[error("a line of {length} bytes is too long; a line has at most {most}")]
    TooLong {
        /// Its length.
        length: usize,
        /// The limit.
        most: usize,
    },
    /// It is not JSON.
    #[error("this is not JSON: {detail}")]
    Json {
        /// What the parser says.
        detail: String,
    },
    /// It is JSON of another kind.
    #[error("must be an object{}", if *.or_list { " or a list" } else { "" })]
    NotObject {
        /// A list is allowed too.
        or_list: bool,
    },
    /// No record type.
    #[error("recordType is missing; give the number of a record type, such as 112 (estreamer schema list has them)")]
    NoRecordType,
    /// Neither a number nor the name of a record type.
    #[error("is no record type: give its number, 0 to 65535, or its name{}", hint(.nearest))]
    RecordType {
        /// The name that may be meant.
        nearest: Option<String>,
    },
    /// A record type of which only bytes can be given.
    #[error("has no known fields: give its octets in hex as \"data\"")]
    OnlyData,
    /// A line that tells of damage.
    #[error("the line was printed of a damaged record, so that it is not all there: {problem}")]
    Damaged {
        /// What was printed.
        problem: String,
    },
    /// A key that is no field.
    #[error("{layout} has no such field{}", hint(.nearest))]
    UnknownField {
        /// Where it was looked for.
        layout: String,
        /// The field that may be meant.
        nearest: Option<String>,
    },
    /// A field under both of its names.
    #[error("is the same field as {other}, which is given too")]
    Twice {
        /// The other name.
        other: String,
    },
    /// A field on a condition that does not hold.
    #[error("is there only when {condition} is not 0")]
    Absent {
        /// The field that decides.
        condition: String,
    },
    /// No number.
    #[error("must be a whole number, 0 to {most}{}", if *.named { ", or one of its names" } else { "" })]
    NotNumber {
        /// The largest number.
        most: u64,
        /// Its numbers have names.
        named: bool,
    },
    /// A number that is too large.
    #[error("is too large for {bytes} bytes: 0 to {most} is allowed")]
    Range {
        /// Size of the field.
        bytes: u8,
        /// The largest number.
        most: u64,
    },
    /// No name of this enumeration.
    #[error("is neither a number nor a name of {enumeration}{}", hint(.nearest))]
    UnknownName {
        /// The enumeration.
        enumeration: &'static str,
        /// The name that may be meant.
        nearest: Option<String>,
    },
    /// A name of several numbers.
    #[error("is the name of several numbers of {enumeration}: {numbers}. Give the number")]
    Ambiguous {
        /// The enumeration.
        enumeration: &'static str,
        /// The numbers.
        numbers: String,
    },
    /// No text.
    #[error("must be a text, or {{\"hex\": \"…\"}} with octets in hex")]
    NotText,
    /// Octets, address or identifier in another form than it must have.
    #[error("must be {what}")]
    Form {
        /// What is allowed.
        what: String,
    },
    /// A text longer than the field that holds its length can say.
    #[error("has {length} octets; at most {most} can be written here")]
    TextLength {
        /// Its octets.
        length: usize,
        /// The most.
        most: u64,
    },
    /// Any block may stand here.
    #[error("can be any block, so blockType must say which")]
    NoBlockType,
    /// Another block than belongs there.
    #[error("is the block {is}, and {belongs} belongs here: {allowed}")]
    WrongBlock {
        /// Title of the block.
        is: &'static str,
        /// Title of the right ones.
        belongs: &'static str,
        /// Their block types.
        allowed: String,
    },
    /// A block nobody knows.
    #[error("block type {number} of series {series} has no known fields: give its octets in hex as \"data\"{allowed}")]
    UnknownBlock {
        /// The series.
        series: u8,
        /// The block type.
        number: u64,
        /// What belongs there.
        allowed: String,
    },
    /// More blocks than a record has.
    #[error("the line has too many blocks: with {most} fields in them, set or not, it ends")]
    TooMany {
        /// The most fields.
        most: usize,
    },
    /// The caller's id is not usable.
    #[error("must be a text of 1 to {most} bytes or a number, to be an id")]
    Id {
        /// The most bytes.
        most: usize,
    },
    /// The record is larger than one can be.
    #[error("the record would have {length} bytes; {most} are possible")]
    Size {
        /// Its bytes.
        length: usize,
        /// The most.
        most: usize,
    },
}

fn hint(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or(String::new(), |name| format!("; is {name} meant?"))
}
