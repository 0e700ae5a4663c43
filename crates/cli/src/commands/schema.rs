//! `estreamer schema`: the record reference at hand.

use crate::arguments::Schema;
use crate::exit::{Exit, Failure};
use std::io::Write;
use wire::{layout, reference};

pub(crate) fn run(arguments: &Schema) -> Result<Exit, Failure> {
    let text = match arguments {
        Schema::List => format!(
            "Record types\n\n{}\nData blocks of series 1\n\n{}\nData blocks of series 2\n\n{}",
            reference::record_list(),
            reference::block_list(1),
            reference::block_list(2)
        ),
        Schema::Show { name } => show(name)?,
    };
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(Exit::Done),
    }
}

fn show(name: &str) -> Result<String, Failure> {
    let nothing = || {
        Failure::new(format!(
            "{name} is neither a record type (71) nor a data block (1:174, series and number) of the schema; `estreamer schema list` has all"
        ))
    };
    if let Some((series, number)) = name.split_once(':') {
        let series = series.parse().ok().filter(|s| matches!(s, 1 | 2)).ok_or_else(nothing)?;
        let number = number.parse().map_err(|_| nothing())?;
        return Ok(reference::block(layout::block(series, number).ok_or_else(nothing)?));
    }
    let record = layout::record(name.parse().map_err(|_| nothing())?).ok_or_else(nothing)?;
    let mut text = reference::record(record);
    if let Some((_, expected)) = record.inline_block() {
        // Every version of the block, the newest first.
        let versions: Vec<_> = reference::numbered(expected.series).filter(|l| l.title == expected.title).collect();
        for block in versions.into_iter().rev() {
            text.push('\n');
            text.push_str(&reference::block(block));
        }
    }
    Ok(text)
}
