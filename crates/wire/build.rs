//! Compiles the layout schema (`schema/`) to static tables.
//!
//! A mistake in the schema (an unknown block, a length field that does not precede its text, a name used twice, a
//! lookup of a field nobody has, an enumeration of a field that is no integer) stops the build with a message that
//! names the file, the entry and the field.

#[path = "build/layouts.rs"]
mod layouts;
#[path = "build/model.rs"]
mod model;
#[path = "build/names.rs"]
mod names;
#[path = "build/tables.rs"]
mod tables;
#[path = "build/versions.rs"]
mod versions;

use layouts::{Known, Layouts};
use model::{Block, Blocks, Conversion, Field, Numbers, Records, Requests, Resolution};
use names::{Enumerations, Tables};
use std::path::{Path, PathBuf};

pub(crate) type Result<T> = std::result::Result<T, String>;

fn main() {
    for watched in ["schema", "build", "build.rs"] {
        println!("cargo:rerun-if-changed={watched}");
    }
    if let Err(message) = run() {
        eprintln!("layout schema: {message}");
        std::process::exit(1);
    }
}

fn run() -> Result<()> {
    let folder = PathBuf::from("schema");
    let known = blocks(&folder)?;
    let records: Records = read(&folder.join("records.toml"))?;
    let requests: Requests = read(&folder.join("requests.toml"))?;
    let conversion: Conversion = read(&folder.join("conversion.toml"))?;
    let resolution: Resolution = read(&folder.join("resolution.toml"))?;
    let names: Tables = read(&folder.join("names.toml"))?;
    let numbers: Numbers = read(&folder.join("numbers.toml"))?;

    let mut layouts = Layouts::new(&known, Enumerations::new(numbers.number, &names)?);
    layouts.blocks()?;
    layouts.discovery_header(&records.discovery_header)?;
    tables::records(&mut layouts, &records)?;
    let (mut out, enumerations) = layouts.finish();
    tables::requests(&mut out, &known, &records, &requests)?;
    tables::host_data(&mut out, &known, &requests.host_data)?;
    versions::conversion(&mut out, &known, &conversion)?;
    tables::resolution(&mut out, &known, &records, &resolution)?;
    names::tables(&mut out, &names)?;
    let metadata = |t: u16| records.record.iter().any(|r| r.r#type == t && r.metadata);
    let numbers = enumerations.finish(metadata)?;

    let folder = std::env::var("OUT_DIR").map_err(|e| e.to_string())?;
    for (name, text) in [("tables.rs", out), ("numbers.rs", numbers)] {
        let path = Path::new(&folder).join(name);
        std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(())
}

/// All blocks, those that are `like` another one with all of their fields.
fn blocks(folder: &Path) -> Result<Known> {
    let mut known = Known::new();
    for series in [1, 2] {
        let folder = folder.join(format!("series{series}"));
        let entries = std::fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
        paths.sort();
        let mut waiting: Vec<Block> = Vec::new();
        for path in paths {
            let file: Blocks = read(&path)?;
            for block in file.block {
                let number = block.r#type;
                let defined = known.contains_key(&(series, number)) || waiting.iter().any(|b| b.r#type == number);
                if defined {
                    return Err(format!("{}: block {number}: defined twice", path.display()));
                }
                match block.like {
                    None => drop(known.insert((series, number), block)),
                    Some(_) => waiting.push(block),
                }
            }
        }
        // What is like another block waits until that one is complete.
        while !waiting.is_empty() {
            let ready = |b: &Block| b.like.is_some_and(|like| known.contains_key(&(series, like)));
            let Some(next) = waiting.iter().position(ready) else {
                return Err(format!("series {series}, block {}: like what?", waiting[0].r#type));
            };
            let mut block = waiting.swap_remove(next);
            let base = &known[&(series, block.like.unwrap_or_default())].fields;
            let changed = changed(base, &block.without, &block.change, &block.add);
            block.fields = changed.map_err(|e| format!("series {series}, block {}: {e}", block.r#type))?;
            known.insert((series, block.r#type), block);
        }
    }
    Ok(known)
}

/// Fields with some left out, some in another form and some added.
pub(crate) fn changed(base: &[Field], without: &[String], change: &[Field], add: &[Field]) -> Result<Vec<Field>> {
    let mut fields = base.to_vec();
    let find = |fields: &[Field], name: &str| {
        fields.iter().position(|f| f.name == name).ok_or_else(|| format!("there is no field {name} to change"))
    };
    for name in without {
        let at = find(&fields, name)?;
        fields.remove(at);
    }
    for field in change {
        let at = find(&fields, &field.name)?;
        fields[at] = field.clone();
    }
    let mut next = fields.len();
    for field in add {
        if let Some(name) = &field.after {
            next = find(&fields, name)? + 1;
        }
        fields.insert(next, Field { after: None, ..field.clone() });
        next += 1;
    }
    Ok(fields)
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    toml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
}
