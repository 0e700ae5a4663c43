//! Compiles the layout schema (`schema/*.toml`) to static tables.
//!
//! A mistake in the schema (an unknown block, a length field that does not precede its text, a name used twice, a
//! lookup of a field nobody has) stops the build with a message that names the file, the entry and the field.

use serde::Deserialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

type Result<T> = std::result::Result<T, String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Blocks {
    block: Vec<Block>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Block {
    r#type: u32,
    title: String,
    #[serde(default)]
    versions: String,
    source: String,
    fields: Vec<Field>,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
struct Field {
    #[serde(default)]
    name: String,
    r#type: String,
    encore: Option<String>,
    length_field: Option<String>,
    block: Option<String>,
    #[serde(default)]
    inline: bool,
    kind: Option<String>,
    of: Option<String>,
    present_if: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Records {
    record: Vec<Record>,
    discovery_header: Vec<Field>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    r#type: u16,
    name: String,
    category: String,
    class: Option<String>,
    #[serde(default)]
    metadata: bool,
    #[serde(default)]
    key: Vec<String>,
    #[serde(default)]
    discovery_header: bool,
    #[serde(default = "yes")]
    default: bool,
    fields: Vec<Field>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Requests {
    flag: Vec<Flag>,
    event: Vec<Event>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Flag {
    bit: u8,
    name: String,
    words: String,
    #[serde(default)]
    records: Vec<u16>,
    event: Option<u16>,
    version: Option<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    code: u16,
    name: String,
    records: Vec<u16>,
    version: Vec<Version>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Version {
    version: u16,
    product: String,
    block: Option<String>,
    #[serde(default)]
    words: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resolution {
    store: Vec<Store>,
    lookup: Vec<Lookup>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Store {
    record: u16,
    table: String,
    key: Vec<String>,
    value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lookup {
    records: Vec<u16>,
    names: Vec<Named>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    r#as: String,
    #[serde(default)]
    table: String,
    rule: Option<String>,
    key: Vec<String>,
}

fn yes() -> bool {
    true
}

fn main() {
    println!("cargo:rerun-if-changed=schema");
    println!("cargo:rerun-if-changed=build.rs");
    if let Err(message) = run() {
        eprintln!("layout schema: {message}");
        std::process::exit(1);
    }
}

fn run() -> Result<()> {
    let folder = PathBuf::from("schema");
    let mut out = String::new();
    let mut known = BTreeMap::new();
    for series in [1, 2] {
        let file: Blocks = read(&folder, &format!("series{series}.toml"))?;
        for block in file.block {
            let place = format!("series {series}, block {}", block.r#type);
            if known.insert((series, block.r#type), block).is_some() {
                return Err(format!("{place}: defined twice"));
            }
        }
    }
    let records: Records = read(&folder, "records.toml")?;
    let requests: Requests = read(&folder, "requests.toml")?;
    let resolution: Resolution = read(&folder, "resolution.toml")?;
    let names: BTreeMap<String, BTreeMap<String, String>> = read(&folder, "names.toml")?;

    let mut index = 0;
    for ((series, number), block) in &known {
        let place = format!("series {series}, block {number}");
        emit_layout(
            &mut out,
            &known,
            &place,
            &format!("B{series}_{number}"),
            &mut index,
            LayoutText {
                series: *series,
                number: *number,
                title: &block.title,
                versions: &block.versions,
                source: &block.source,
                header: true,
                fields: &block.fields,
            },
        )?;
    }
    emit_block_tables(&mut out, &known);
    emit_layout(
        &mut out,
        &known,
        "discovery header",
        "DISCOVERY_HEADER_LAYOUT",
        &mut index,
        LayoutText {
            series: 0,
            number: 0,
            title: "Discovery Event Header",
            versions: "",
            source: "eStreamer Integration Guide 5.3.1 p.4-32",
            header: false,
            fields: &records.discovery_header,
        },
    )?;
    emit_records(&mut out, &known, &records, &mut index)?;
    emit_requests(&mut out, &known, &requests)?;
    emit_resolution(&mut out, &known, &records, &resolution)?;
    emit_names(&mut out, &names)?;
    let _ = writeln!(
        out,
        "/// How many layouts there are; every `Layout::index` is below it.\npub const LAYOUT_COUNT: usize = {index};"
    );

    let path = Path::new(&std::env::var("OUT_DIR").map_err(|e| e.to_string())?).join("tables.rs");
    std::fs::write(&path, out).map_err(|e| format!("{}: {e}", path.display()))
}

fn read<T: serde::de::DeserializeOwned>(folder: &Path, name: &str) -> Result<T> {
    let path = folder.join(name);
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    toml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
}

struct LayoutText<'a> {
    series: u32,
    number: u32,
    title: &'a str,
    versions: &'a str,
    source: &'a str,
    header: bool,
    fields: &'a [Field],
}

type Known = BTreeMap<(u32, u32), Block>;

fn emit_layout(
    out: &mut String,
    known: &Known,
    place: &str,
    ident: &str,
    index: &mut u32,
    l: LayoutText,
) -> Result<()> {
    let position = |name: &str| l.fields.iter().position(|f| f.name == name);
    let mut fields = String::new();
    let mut seen = HashSet::new();
    let mut minimum = 0;
    for (i, field) in l.fields.iter().enumerate() {
        let at = || format!("{place}, field {i} ({})", field.name);
        if field.name.is_empty() && !field.inline {
            return Err(format!("{}: needs a name", at()));
        }
        if !field.name.is_empty() && !seen.insert(&field.name) {
            return Err(format!("{}: the name is used twice", at()));
        }
        let kind = kind(known, field, i, &position).map_err(|e| format!("{}: {e}", at()))?;
        let fixed = fixed_size(&field.r#type);
        let present_if = match &field.present_if {
            None => "None".to_owned(),
            Some(name) => match position(name) {
                Some(p) if p < i => format!("Some({p})"),
                _ => return Err(format!("{}: present_if names no earlier field", at())),
            },
        };
        let counts = l.fields.iter().position(|f| f.length_field.as_deref() == Some(&field.name));
        if field.present_if.is_none() {
            minimum += match field.r#type.as_str() {
                "text" | "octets" => 0,
                _ if fixed > 0 => fixed,
                _ => 8,
            };
        }
        let encore = field.encore.as_deref().unwrap_or(&field.name);
        let _ = write!(
            fields,
            "Field{{name:{:?},encore:{encore:?},kind:{kind},fixed:{fixed},present_if:{present_if},counts:{counts:?}}},",
            field.name
        );
    }
    let mut sorted: Vec<usize> = (0..l.fields.len()).filter(|i| !l.fields[*i].name.is_empty()).collect();
    sorted.sort_by_key(|i| &l.fields[*i].name);
    let _ = writeln!(
        out,
        "pub(crate) static {ident}: Layout = Layout{{index:{index},series:{},number:{},title:{:?},versions:{:?},source:{:?},header:{},minimum:{minimum},fields:&[{fields}],by_name:&{sorted:?}}};",
        l.series, l.number, l.title, l.versions, l.source, l.header
    );
    *index += 1;
    Ok(())
}

fn fixed_size(kind: &str) -> u32 {
    match kind {
        "u8" => 1,
        "u16" => 2,
        "u32" | "ipv4" => 4,
        "mac" => 6,
        "u64" => 8,
        "hex16" | "uuid" | "ipv6" => 16,
        "hex20" => 20,
        "hex32" => 32,
        _ => 0,
    }
}

fn kind(known: &Known, field: &Field, at: usize, position: &dyn Fn(&str) -> Option<usize>) -> Result<String> {
    Ok(match field.r#type.as_str() {
        "u8" | "u16" | "u32" | "u64" => "Kind::Uint".into(),
        "hex16" | "hex20" | "hex32" => "Kind::Hex".into(),
        "uuid" => "Kind::Uuid".into(),
        "ipv4" => "Kind::Ipv4".into(),
        "ipv6" => "Kind::Ipv6".into(),
        "mac" => "Kind::Mac".into(),
        "string" => "Kind::String".into(),
        "blob" => "Kind::Blob".into(),
        t @ ("text" | "octets") => {
            let name = field.length_field.as_deref().ok_or("needs a length_field")?;
            match position(name) {
                Some(p) if p < at => format!("Kind::Counted{{length:{p},text:{}}}", t == "text"),
                _ => return Err(format!("length_field {name} is no earlier field")),
            }
        }
        "block" => {
            let layout = layout_ident(known, field.block.as_deref().ok_or("needs block = \"series:type\"")?)?;
            format!("Kind::Block{{expected:&{layout},inline:{}}}", field.inline)
        }
        "list" => {
            let of = layout_ident(known, field.of.as_deref().ok_or("needs of = \"series:type\"")?)?;
            let generic = match field.kind.as_deref() {
                Some("list") => false,
                Some("generic") => true,
                _ => return Err("needs kind = \"list\" or \"generic\"".into()),
            };
            format!("Kind::List{{of:&{of},generic:{generic}}}")
        }
        other => return Err(format!("unknown type {other}")),
    })
}

fn parse_ref(text: &str) -> Result<(u32, u32)> {
    let (series, number) = text.split_once(':').ok_or_else(|| format!("{text} is not series:type"))?;
    Ok((
        series.parse().map_err(|_| format!("bad series in {text}"))?,
        number.parse().map_err(|_| format!("bad type in {text}"))?,
    ))
}

fn layout_ident(known: &Known, text: &str) -> Result<String> {
    let (series, number) = parse_ref(text)?;
    if !known.contains_key(&(series, number)) {
        return Err(format!("block {text} is not defined"));
    }
    Ok(format!("B{series}_{number}"))
}

fn emit_block_tables(out: &mut String, known: &Known) {
    for series in [1, 2] {
        let top = known.keys().filter(|k| k.0 == series).map(|k| k.1).max().unwrap_or(0);
        let _ = write!(out, "pub(crate) static SERIES_{series}: [Option<&Layout>; {}] = [", top + 1);
        for number in 0..=top {
            if known.contains_key(&(series, number)) {
                let _ = write!(out, "Some(&B{series}_{number}),");
            } else {
                out.push_str("None,");
            }
        }
        out.push_str("];\n");
    }
}

fn emit_records(out: &mut String, known: &Known, file: &Records, index: &mut u32) -> Result<()> {
    let mut table = String::new();
    let mut last = 0;
    let mut by_type = HashMap::new();
    for (i, r) in file.record.iter().enumerate() {
        let place = format!("record {}", r.r#type);
        if r.r#type <= last {
            return Err(format!("{place}: records must be in rising order"));
        }
        last = r.r#type;
        if r.fields.len() > 1 && r.fields.iter().any(|f| f.inline) {
            return Err(format!("{place}: an inline block must be the only field"));
        }
        by_type.insert(r.r#type, i);
        emit_layout(
            out,
            known,
            &place,
            &format!("R{}", r.r#type),
            index,
            LayoutText {
                series: 0,
                number: r.r#type.into(),
                title: &r.name,
                versions: "",
                source: "",
                header: false,
                fields: &r.fields,
            },
        )?;
        let fields = inline_fields(known, &r.fields)?;
        for key in &r.key {
            if !fields.contains(key.as_str()) {
                return Err(format!("{place}: key {key} is no field of it"));
            }
        }
        if r.metadata && r.key.is_empty() {
            return Err(format!("{place}: metadata needs a key"));
        }
        let class = match r.class.as_deref() {
            None => "Class::None".to_owned(),
            Some(c) => {
                let mut name = c.to_owned();
                name[..1].make_ascii_uppercase();
                format!("Class::{name}")
            }
        };
        let _ = write!(
            table,
            "RecordLayout{{record_type:{},name:{:?},category:{:?},class:{class},metadata:{},key:&{:?},discovery_header:{},default:{},body:&R{}}},",
            r.r#type, r.name, r.category, r.metadata, r.key, r.discovery_header, r.default, r.r#type
        );
    }
    let _ = writeln!(out, "pub(crate) static RECORDS: [RecordLayout; {}] = [{table}];", file.record.len());
    let _ = write!(out, "pub(crate) static RECORD_BY_TYPE: [u16; {}] = [", usize::from(last) + 1);
    for t in 0..=last {
        let _ = write!(out, "{},", by_type.get(&t).map_or(u16::MAX, |i| *i as u16));
    }
    out.push_str("];\n");
    Ok(())
}

/// Names a record's fields, those of its inline blocks included.
fn inline_fields<'a>(known: &'a Known, fields: &'a [Field]) -> Result<HashSet<&'a str>> {
    let mut all = HashSet::new();
    for field in fields {
        match &field.block {
            Some(block) if field.inline => {
                let block = &known[&parse_ref(block)?];
                all.extend(block.fields.iter().map(|f| f.name.as_str()));
            }
            _ => {
                all.insert(field.name.as_str());
            }
        }
    }
    Ok(all)
}

fn emit_requests(out: &mut String, known: &Known, requests: &Requests) -> Result<()> {
    let _ = write!(out, "pub(crate) static FLAGS: [Flag; {}] = [", requests.flag.len());
    for f in &requests.flag {
        let event = match (f.event, f.version) {
            (Some(code), Some(version)) => format!("Some(EventVersion{{code:{code},version:{version}}})"),
            (None, None) => "None".into(),
            _ => return Err(format!("flag {}: event and version go together", f.bit)),
        };
        let _ = write!(
            out,
            "Flag{{bit:{},name:{:?},words:{:?},records:&{:?},event:{event}}},",
            f.bit, f.name, f.words, f.records
        );
    }
    out.push_str("];\n");
    let _ = write!(out, "pub(crate) static EVENTS: [EventType; {}] = [", requests.event.len());
    for e in &requests.event {
        let mut versions = String::new();
        for v in &e.version {
            let (block, layout) = match &v.block {
                None => ("None".to_owned(), "None".to_owned()),
                Some(text) => {
                    let key = parse_ref(text)?;
                    let layout =
                        if known.contains_key(&key) { format!("Some(&B{}_{})", key.0, key.1) } else { "None".into() };
                    (format!("Some({})", key.1), layout)
                }
            };
            let _ = write!(
                versions,
                "Version{{version:{},product:{:?},block:{block},layout:{layout},words:{:?}}},",
                v.version, v.product, v.words
            );
        }
        let _ = write!(
            out,
            "EventType{{code:{},name:{:?},records:&{:?},versions:&[{versions}]}},",
            e.code, e.name, e.records
        );
    }
    out.push_str("];\n");
    Ok(())
}

fn emit_resolution(out: &mut String, known: &Known, records: &Records, file: &Resolution) -> Result<()> {
    let mut tables: Vec<&str> = Vec::new();
    for store in &file.store {
        tables.push(&store.table);
    }
    for lookup in &file.lookup {
        tables.extend(lookup.names.iter().map(|n| n.table.as_str()));
    }
    let find =
        |t: u16| records.record.iter().find(|r| r.r#type == t).ok_or_else(|| format!("resolution: no record {t}"));
    let _ = write!(out, "pub(crate) static STORES: [Store; {}] = [", file.store.len());
    for s in &file.store {
        let fields = inline_fields(known, &find(s.record)?.fields)?;
        let known_field = |k: &str| k.parse::<u64>().is_ok() || k.starts_with('=') || fields.contains(k);
        if let Some(bad) = s.key.iter().chain([&s.value]).find(|k| !known_field(k)) {
            return Err(format!("resolution: record {} has no field {bad}", s.record));
        }
        let _ = write!(out, "Store{{record:{},table:{:?},key:&{:?},value:{:?}}},", s.record, s.table, s.key, s.value);
    }
    out.push_str("];\n");
    let _ = write!(out, "pub(crate) static LOOKUPS: [Lookup; {}] = [", file.lookup.len());
    for l in &file.lookup {
        for t in &l.records {
            find(*t)?;
        }
        let mut names = String::new();
        for n in &l.names {
            let rule = rule(n.rule.as_deref())?;
            let _ = write!(names, "Named{{name:{:?},table:{:?},rule:{rule},key:&{:?}}},", n.r#as, n.table, n.key);
        }
        let _ = write!(out, "Lookup{{records:&{:?},names:&[{names}]}},", l.records);
    }
    out.push_str("];\n");
    Ok(())
}

fn rule(name: Option<&str>) -> Result<&'static str> {
    Ok(match name {
        None => "Rule::Lookup",
        Some("bits") => "Rule::Bits",
        Some("number") => "Rule::Number",
        Some("na-when-zero") => "Rule::NaWhenZero",
        Some("is-set") => "Rule::IsSet",
        Some("impact-level") => "Rule::ImpactLevel",
        Some("alert-text") => "Rule::AlertText",
        Some("packet") => "Rule::Packet",
        Some("payload") => "Rule::Payload",
        Some("extra-data-address") => "Rule::ExtraDataAddress",
        Some("extra-data-uri") => "Rule::ExtraDataUri",
        Some("copy") => "Rule::Copy",
        Some("address") => "Rule::Address",
        Some("discovery-event") => "Rule::DiscoveryEvent",
        Some(other) => return Err(format!("resolution: unknown rule {other}")),
    })
}

fn emit_names(out: &mut String, names: &BTreeMap<String, BTreeMap<String, String>>) -> Result<()> {
    let _ = write!(out, "pub(crate) static NAMES: [NameTable; {}] = [", names.len());
    for (table, entries) in names {
        let mut list: Vec<(&String, &String)> = entries.iter().collect();
        list.sort_by_key(|(k, _)| (k.parse::<u64>().unwrap_or(u64::MAX), (*k).clone()));
        let _ = write!(out, "NameTable{{table:{table:?},entries:&[");
        for (key, name) in list {
            // A hash of digits alone is no number.
            let number = if key.len() <= 20 { key.parse::<u64>().ok() } else { None };
            let key = match number {
                Some(n) => format!("NameKey::Number({n})"),
                None => {
                    let hex: String = key.chars().filter(|c| *c != '-').collect();
                    if !hex.len().is_multiple_of(2) || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
                        return Err(format!("names: {table}: key {key} is neither a number nor hex"));
                    }
                    let bytes: Vec<u8> =
                        (0..hex.len()).step_by(2).filter_map(|i| u8::from_str_radix(&hex[i..i + 2], 16).ok()).collect();
                    format!("NameKey::Octets(&{bytes:?})")
                }
            };
            let _ = write!(out, "({key},{name:?}),");
        }
        out.push_str("]},");
    }
    out.push_str("];\n");
    Ok(())
}
