//! Tables of records, requests and resolution.

use crate::Result;
use crate::layouts::{Known, Layouts, Source, reference};
use crate::model::{Alternative, Certainty, Field, HostData, Record, Records, Requests, Resolution};
use crate::versions::events;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

pub(crate) fn records(layouts: &mut Layouts<'_>, file: &Records) -> Result<()> {
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
        let ident = format!("R{}", r.r#type);
        let forms = layouts.emit(
            &place,
            &ident,
            Source {
                series: 0,
                number: r.r#type.into(),
                title: &r.name,
                versions: &r.versions,
                source: &r.source,
                certainty: r.certainty,
                status: r.status,
                header: false,
                fields: &r.fields,
                alternatives: &r.alternative,
            },
        )?;
        check_keys(layouts.known, r).map_err(|e| format!("{place}: {e}"))?;
        let forms: String = forms.iter().map(|form| record(r, form, "") + ",").collect();
        table.push_str(&record(r, &ident, &forms));
        table.push(',');
    }
    let out = &mut layouts.out;
    let _ = writeln!(out, "pub(crate) static RECORDS: [RecordLayout; {}] = [{table}];", file.record.len());
    let _ = write!(out, "pub(crate) static RECORD_BY_TYPE: [u16; {}] = [", usize::from(last) + 1);
    for t in 0..=last {
        let _ = write!(out, "{},", by_type.get(&t).map_or(u16::MAX, |i| *i as u16));
    }
    out.push_str("];\n");
    Ok(())
}

fn record(r: &Record, body: &str, forms: &str) -> String {
    let class = match r.class.as_deref() {
        None => "None".to_owned(),
        Some(c) => c[..1].to_uppercase() + &c[1..],
    };
    format!(
        "RecordLayout{{record_type:{},event:{},name:{:?},category:{:?},class:Class::{class},metadata:{},key:&{:?},discovery_header:{},default:{},body:&{body},forms:&[{forms}]}}",
        r.r#type,
        r.form_of.unwrap_or(r.r#type),
        r.name,
        r.category,
        r.metadata,
        r.key,
        r.discovery_header,
        r.default
    )
}

/// The key of a metadata record is among its fields, in all of its forms.
fn check_keys(known: &Known, r: &Record) -> Result<()> {
    let alternatives = |a: &&Alternative| !a.fields.is_empty();
    for fields in [&r.fields].into_iter().chain(r.alternative.iter().filter(alternatives).map(|a| &a.fields)) {
        let names = inline_fields(known, fields)?;
        if let Some(missing) = r.key.iter().find(|key| !names.contains(key.as_str())) {
            return Err(format!("key {missing} is no field of it"));
        }
    }
    match r.metadata && r.key.is_empty() {
        true => Err("metadata needs a key".into()),
        false => Ok(()),
    }
}

/// Names a record's fields, those of its inline blocks included.
fn inline_fields<'a>(known: &'a Known, fields: &'a [Field]) -> Result<HashSet<&'a str>> {
    let mut all = HashSet::new();
    for field in fields {
        match &field.block {
            Some(block) if field.inline => {
                let block = &known[&reference(block)?];
                all.extend(block.fields.iter().map(|f| f.name.as_str()));
            }
            _ => {
                all.insert(field.name.as_str());
            }
        }
    }
    Ok(all)
}

pub(crate) fn requests(out: &mut String, known: &Known, records: &Records, requests: &Requests) -> Result<()> {
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
    out.push_str(&events(known, records, requests)?);
    Ok(())
}

/// The data types of host data requests, in rising order, and the block of the last of them.
pub(crate) fn host_data(out: &mut String, known: &Known, types: &[HostData]) -> Result<()> {
    let mut newest = Err("host data: there must be a data type".to_owned());
    let mut last = None;
    let _ = write!(out, "pub(crate) static HOST_DATA: [HostData; {}] = [", types.len());
    for t in types {
        let place = format!("host data type {}", t.data_type);
        if last >= Some(t.data_type) {
            return Err(format!("{place}: data types must be in rising order"));
        }
        last = Some(t.data_type);
        let (series, number) = reference(&t.block)?;
        if known.get(&(series, number)).is_none_or(|b| b.certainty == Certainty::Gap) {
            return Err(format!("{place}: the fields of block {} are not defined", t.block));
        }
        let layout = format!("&B{series}_{number}");
        let _ = write!(
            out,
            "HostData{{data_type:{},multiple:{},product:{:?},layout:{layout}}},",
            t.data_type, t.multiple, t.product
        );
        newest = Ok(layout);
    }
    let _ = writeln!(out, "];\npub(crate) static NEWEST_HOST: &Layout = {};", newest?);
    Ok(())
}

pub(crate) fn resolution(out: &mut String, known: &Known, records: &Records, file: &Resolution) -> Result<()> {
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
            let only = n.only.iter().map(|whose| match whose.as_str() {
                "ours" => Ok("NamedBy::Ours,"),
                "encore-5" => Ok("NamedBy::Encore5,"),
                "encore-3" => Ok("NamedBy::Encore3,"),
                other => Err(format!("resolution: only {other:?}: it is neither ours, encore-5 nor encore-3")),
            });
            let only = only.collect::<Result<String>>()?;
            let (name, table, key) = (&n.r#as, &n.table, &n.key);
            let _ = write!(names, "Named{{name:{name:?},table:{table:?},rule:{rule},key:&{key:?},only:&[{only}]}},");
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
        Some("block") => "Rule::Block",
        Some("lookup-if") => "Rule::LookupIf",
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
