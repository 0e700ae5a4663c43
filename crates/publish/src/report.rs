//! What has become of the lines of a caller.

use crate::error::LineError;
use serde::Serialize;

/// No more errors than this are told in one answer; all are counted.
pub const MAX_ERRORS: usize = 100;

/// What has become of some lines. It is true of the archive as soon as the lines are committed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Records that are in the archive now.
    pub accepted: u64,
    /// Records whose id was known: they were accepted before.
    pub known: u64,
    /// Records that were left out, because their event type is not captured. Their ids are known from now on.
    #[serde(skip_serializing_if = "is_zero")]
    pub discarded: u64,
    /// Lines that are no records.
    pub rejected: u64,
    /// Why, for the first of them.
    pub errors: Vec<Rejected>,
}

/// Nothing is left out as long as everything is captured, and then nobody has to know of it.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A line that is no record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejected {
    /// Its number, the first line being 1.
    pub line: u64,
    /// Its record type, where that much was clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_type: Option<u16>,
    /// The field, with the blocks and places it is in.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
    /// What stands there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What is wrong, in a sentence, and what is allowed.
    pub error: String,
}

impl Report {
    /// Adds what has become of further lines.
    pub(crate) fn add(&mut self, more: Report) {
        self.accepted += more.accepted;
        self.known += more.known;
        self.discarded += more.discarded;
        self.rejected += more.rejected;
        let room = MAX_ERRORS.saturating_sub(self.errors.len());
        self.errors.extend(more.errors.into_iter().take(room));
    }

    /// Counts a line that is no record.
    pub(crate) fn reject(&mut self, line: u64, error: &LineError) {
        self.rejected += 1;
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(Rejected {
                line,
                record_type: error.record_type,
                field: error.field.clone(),
                value: error.value.clone(),
                error: error.to_string(),
            });
        }
    }
}
