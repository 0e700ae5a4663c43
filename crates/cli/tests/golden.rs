//! `estreamer decode` against eNcore 5.2.11 on the same bytes: every line, field by field and key by key. Where the two
//! differ is written down here, with the reason.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value};
use support::{Finished, gunzip, run};

/// The messages of the stream.
const ALL: RangeInclusive<u64> = 0..=1751;

/// Those of them that are no event messages.
const NO_EVENTS: RangeInclusive<u64> = 1141..=1144;

/// A place where we differ from eNcore.
struct Exception {
    /// Numbers of messages.
    messages: RangeInclusive<u64>,
    /// Path of the value, keys with dots between; `*` stands for anything.
    path: &'static str,
    how: How,
    why: &'static str,
}

/// How a value may differ.
#[derive(Debug, Clone, Copy)]
enum How {
    /// In any way.
    Any,
    /// Only we print it.
    OnlyOurs,
    /// Only eNcore prints it.
    OnlyTheirs,
    /// The same IPv6 address; eNcore writes out all of its eight groups.
    LongAddress,
    /// The same IPv6 address; eNcore prints the end of it dotted.
    DottedAddress,
    /// The same time; only ours has a zone.
    Zoned,
    /// eNcore cuts `::ffff:` off.
    CutAddress,
    /// eNcore prints a String block as a map where we print its text, or nothing if there is none.
    BlockForText,
    /// eNcore takes the header of a block for that of a list with one item.
    ListForBlock,
}

const fn except(messages: RangeInclusive<u64>, path: &'static str, how: How, why: &'static str) -> Exception {
    Exception { messages, path, how, why }
}

const fn at(message: u64, path: &'static str, how: How, why: &'static str) -> Exception {
    except(message..=message, path, how, why)
}

use How::{Any, BlockForText, CutAddress, DottedAddress, ListForBlock, LongAddress, OnlyOurs, OnlyTheirs, Zoned};

const GUESSED: &str = "eNcore reads a block that does not belong there with the layout of the expected one";
const NO_ADDRESS: &str = "a discovery header without an address: eNcore takes the bytes that follow for one";
const ODD_TEXT: &str =
    "a String block that is shorter than its header or of another type: eNcore accepts it, we say so";
const TRAILING: &str = "eNcore drops what follows the known fields";
const TEXT_PACKET: &str = "a packet is no text, even when it happens to be valid UTF-8";
const MAP_FOR_NAME: &str = "eNcore prints the String block of the user as a map, this is the name";
const NOT_IP: &str = "the protocol of a user record is no IP protocol";
const BITS: &str = "eNcore looks bit masks up as one number; these are the names of the bits";
const MORE: &str = "eNcore does not look into metadata 111, and names no type when the data is empty";

/// Every difference there is. The faults of eNcore named here are not to be repeated; the rest is what we add.
const EXCEPTIONS: &[Exception] = &[
    // Broken and special records.
    at(1069, "packetData", Any, TEXT_PACKET),
    at(1069, "@computed.originalPacket", OnlyOurs, TEXT_PACKET),
    at(1069, "@computed.packet", OnlyOurs, TEXT_PACKET),
    at(1092, "hostIpAddr", Any, "eNcore reads it 8 bytes too far after a short record header"),
    at(1094, "*", OnlyOurs, "the same: eNcore loses the rest of the discovery header"),
    except(1105..=1106, "*", Any, NO_ADDRESS),
    except(1107..=1111, "hostIpAddr", OnlyTheirs, NO_ADDRESS),
    at(1112, "*", Any, GUESSED),
    at(1114, "*", Any, GUESSED),
    except(1116..=1119, "*", Any, GUESSED),
    except(1120..=1123, "@trailing", OnlyOurs, TRAILING),
    at(1130, "@trailing", OnlyOurs, TRAILING),
    at(1132, "name", OnlyTheirs, ODD_TEXT),
    at(1132, "@trailing", OnlyOurs, ODD_TEXT),
    at(1132, "@problem", OnlyOurs, ODD_TEXT),
    at(1135, "@problem", OnlyOurs, "the block is longer than its record, and we say so"),
    at(1136, "username", OnlyTheirs, ODD_TEXT),
    at(1136, "@trailing", OnlyOurs, ODD_TEXT),
    at(1136, "@problem", OnlyOurs, ODD_TEXT),
    // Values.
    except(790..=1751, "*vpnSession", ListForBlock, "eNcore reads the header of block 166 as a list header"),
    except(910..=1750, "@computed.clientIp", LongAddress, "eNcore prints it in eight groups, even IPv4"),
    at(843, "@computed.originalSrcIP", LongAddress, "the same"),
    except(241..=1747, "*", DottedAddress, "IPv4-compatible addresses are not dotted any more (RFC 5952)"),
    except(296..=1346, "*", CutAddress, "eNcore cuts `::ffff:` off as a text, also where it does not mean IPv4"),
    except(
        1054..=1076,
        "@computed.packet",
        Any,
        "eNcore leaves the TCP and UDP headers in, and assumes Ethernet and IPv4 without options whatever the frame is",
    ),
    // Names.
    except(854..=1745, "@computed.sourceUser", BlockForText, MAP_FOR_NAME),
    except(854..=1745, "@computed.destinationUser", BlockForText, MAP_FOR_NAME),
    except(870..=1742, "@computed.agentUser", BlockForText, MAP_FOR_NAME),
    except(123..=1434, "@computed.transportProtocol", OnlyTheirs, NOT_IP),
    except(125..=1437, "@computed.protocol", OnlyOurs, NOT_IP),
    at(930, "@computed.protocol", OnlyTheirs, NOT_IP),
    except(
        1732..=1735,
        "@computed.detection",
        OnlyTheirs,
        "metadata 511 has named this hash with an empty text; eNcore stores those names where it never finds them",
    ),
    // What only we name.
    except(0..=1751, "@computed.domain", OnlyOurs, "eNcore never looks at the netmap id of a record"),
    except(502..=1736, "@computed.user", OnlyOurs, "eNcore looks for no user in 71, 400, 500 and 502"),
    except(
        991..=1736,
        "@computed.detection",
        OnlyOurs,
        "eNcore stores the names of hashes (511) where it never finds them",
    ),
    except(854..=1744, "@computed.eventType", OnlyOurs, "eNcore keys the table of correlation event types by text"),
    except(502..=1724, "@computed.monitorRule8", OnlyOurs, "eNcore resolves monitor rules 1 to 7 only"),
    except(521..=1334, "@computed.firewallRuleReason", OnlyOurs, BITS),
    except(510..=1328, "@computed.sslFlowFlags", OnlyOurs, BITS),
    except(502..=1320, "@computed.sslFlowMessages", OnlyOurs, BITS),
    except(838..=1089, "@computed.extraDataType", OnlyOurs, MORE),
    except(849..=850, "@computed.xffType", OnlyOurs, MORE),
    except(841..=842, "@computed.originalSrcIP", OnlyOurs, "eNcore has no IPv6 address of exactly 16 bytes"),
    except(
        0..=1751,
        "@computed.eventDateTime",
        Zoned,
        "eNcore prints local time without a word of the zone; here it is UTC",
    ),
    at(844, "@computed.originalSrcIP", OnlyOurs, "eNcore takes type 2 alone for an address"),
];

/// What becomes of a message for which eNcore prints nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// All of it is printed.
    Whole,
    /// What is not known is printed as bytes.
    Bytes,
    /// What could be read is printed, with the problem; standard error tells of it too.
    Part,
    /// There is no record: a line on standard error only.
    Error,
    /// Nothing: it is no event.
    Nothing,
}

/// The messages for which eNcore prints nothing.
const LOST: &[(&[RangeInclusive<u64>], Outcome, &str)] = &[
    (&[224..=225, 1439..=1443], Outcome::Whole, "record 106"),
    (&[245..=245], Outcome::Whole, "impact alert with text that is not UTF-8"),
    (&[310..=317, 494..=501], Outcome::Whole, "block 53"),
    (&[454..=477], Outcome::Whole, "block 55"),
    (&[534..=549], Outcome::Whole, "connection statistics 168"),
    (&[1090..=1091], Outcome::Whole, "record header of 8 bytes"),
    (&[1096..=1098], Outcome::Whole, "record type with flag and domain"),
    (&[1108..=1108], Outcome::Whole, "discovery header without address"),
    (&[1102..=1102, 1104..=1104], Outcome::Bytes, "unknown record type"),
    (&[1113..=1113], Outcome::Bytes, "unknown block type"),
    (&[1115..=1115], Outcome::Bytes, "older block, longer than its fields"),
    (&[1103..=1103], Outcome::Part, "record type of old versions, cut"),
    (&[1124..=1128], Outcome::Part, "cut record"),
    (&[1129..=1129, 1134..=1134], Outcome::Part, "text beyond the end of the record"),
    (&[1133..=1133], Outcome::Part, "String block shorter than its header"),
    (&[1137..=1137], Outcome::Part, "list beyond the end of the record"),
    (&[1138..=1138], Outcome::Error, "record length that fits no message"),
    (&[1139..=1140], Outcome::Error, "no whole record header"),
    (&[NO_EVENTS], Outcome::Nothing, "null, error and unknown messages"),
];

#[test]
fn every_line_agrees_with_encore_but_for_its_faults() {
    let ours = Decoded::stream();
    let (mut used, mut wrong) = (BTreeSet::new(), Vec::new());
    let (mut compared, mut exact) = (0, 0);
    for (number, theirs) in expected().into_iter().filter(|(_, line)| line.starts_with('{')) {
        let Some(line) = ours.lines.get(&number) else {
            wrong.push(format!("{number}: no line"));
            continue;
        };
        compared += 1;
        let found = differences(line, &theirs);
        if found.is_empty() {
            assert_eq!(*line, theirs, "{number}");
            exact += 1;
        }
        for difference in found {
            match EXCEPTIONS.iter().position(|e| e.covers(number, &difference)) {
                Some(exception) => drop(used.insert(exception)),
                None => wrong.push(format!("{number}: {difference}")),
            }
        }
    }
    println!("{compared} lines compared, {exact} of them equal byte for byte");
    assert!(wrong.is_empty(), "{} differences, ours / theirs:\n{}", wrong.len(), wrong.join("\n"));
    for (i, Exception { messages, path, how, why }) in EXCEPTIONS.iter().enumerate() {
        assert!(used.contains(&i), "nothing needs the exception for {messages:?} {path} {how:?} ({why})");
    }
    assert_eq!(compared, 1661);
}

#[test]
fn what_encore_loses_is_printed_or_told() {
    let ours = Decoded::stream();
    let mut counts = BTreeMap::new();
    for (number, error) in expected().into_iter().filter(|(_, line)| !line.starts_with('{')) {
        let class = LOST.iter().find(|(messages, ..)| messages.iter().any(|m| m.contains(&number)));
        let Some((_, outcome, what)) = class else { panic!("{number} ({error}) is in no class") };
        assert_eq!(ours.outcome(number), *outcome, "{number}: {what}");
        *counts.entry(format!("{outcome:?}")).or_insert(0) += 1;
    }
    println!("lost by eNcore: {counts:?}");
    let classes: u64 = LOST.iter().flat_map(|(messages, ..)| *messages).map(|m| m.end() - m.start() + 1).sum();
    assert_eq!(counts.values().sum::<u64>(), classes, "a message that eNcore prints is in a class");

    // Whatever is flawed is told, and nothing else.
    let flawed = |n: &u64| matches!(ours.outcome(*n), Outcome::Part | Outcome::Error);
    let told: Vec<u64> = ours.told.iter().copied().filter(|n| !NO_EVENTS.contains(n)).collect();
    assert_eq!(told, ALL.filter(flawed).collect::<Vec<_>>());

    let field = |number: u64, name: &str| ours.value(number).get(name).cloned().unwrap_or_default();
    assert!((534..=541).all(|n| field(n, "blockType") == 168 && !field(n, "httpResponse").is_null()));
    assert_eq!((field(1090, "blockType"), field(1091, "blockType")), (60.into(), 163.into()));
    let masked = [(1096, 400), (1097, 400), (1098, 71)];
    assert!(masked.iter().all(|(number, record)| field(*number, "recordType") == *record));
    let unknown = concat!(
        r#"{"recordType": 9999, "recordLength": 8, "blockType": 0, "archiveTimestamp": 1714001684, "#,
        r#""checksum": 0, "data": "0000000161626364"}"#
    );
    assert_eq!(ours.lines[&1102], unknown);
    // Cut in the middle of the destination address.
    assert_eq!(
        (field(1124, "sourceIpAddress"), field(1124, "destinationIpAddress"), field(1124, "@trailing")),
        ("100.64.0.1".into(), Value::Null, "0".repeat(20).into())
    );
    assert!(field(1124, "@problem").as_str().unwrap().ends_with("16 bytes are needed, 10 are left"));
}

#[test]
fn bundles_and_standard_input_give_the_same_lines() {
    let lines: Vec<String> = Decoded::stream().lines.into_values().collect();
    let print = |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let bundles = decode(&[], &unpacked("bundles.bin").1, b"");
    assert_eq!((bundles.code, bundles.out == print(&lines)), (Some(3), true), "bundles.bin");
    let versioned = decode(&[], &unpacked("bundles_versioned.bin").1, b"").success();
    assert!(versioned == print(&lines[..40]), "bundles_versioned.bin");

    let piped = decode(&[], Path::new("-"), &gunzip(&data("stream.bin")));
    assert_eq!((piped.code, piped.out == print(&lines)), (Some(3), true), "standard input");
    piped.failed(3, &["records of - could not be decoded, or only in part\n"]);
}

/// What the program says of the stream.
struct Decoded {
    /// The lines by the number of their message.
    lines: BTreeMap<u64, String>,
    /// The messages that standard error tells of.
    told: BTreeSet<u64>,
}

impl Decoded {
    fn stream() -> Decoded {
        let (_dir, file) = unpacked("stream.bin");
        let done = decode(&["--format", "json", "--number"], &file, b"");
        done.failed(3, &["stream.bin could not be decoded, or only in part"]);
        let told = |line: &str| line.strip_prefix("message ")?.split_once(':')?.0.parse().ok();
        Decoded { lines: done.out.lines().map(numbered).collect(), told: done.err.lines().filter_map(told).collect() }
    }

    fn value(&self, number: u64) -> Map<String, Value> {
        serde_json::from_str(&self.lines[&number]).unwrap()
    }

    fn outcome(&self, number: u64) -> Outcome {
        if !self.lines.contains_key(&number) {
            return if NO_EVENTS.contains(&number) { Outcome::Nothing } else { Outcome::Error };
        }
        let value = self.value(number);
        let has = |key| value.contains_key(key);
        match (has("@problem"), has("data") || has("@trailing")) {
            (true, _) => Outcome::Part,
            (false, true) => Outcome::Bytes,
            (false, false) => Outcome::Whole,
        }
    }
}

fn decode(arguments: &[&str], file: &Path, input: &[u8]) -> Finished {
    run(Command::new(env!("CARGO_BIN_EXE_estreamer")).arg("decode").args(arguments).arg(file), input)
}

/// A file of the golden data, packed. The stream itself is that of the wire crate's tests.
fn data(name: &str) -> PathBuf {
    let folder = if name == "stream.bin" { "../wire/tests/data" } else { "tests/data/golden" };
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(format!("{name}.gz"))
}

/// A file of the golden data, unpacked to a folder of its own.
fn unpacked(name: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(name);
    fs::write(&file, gunzip(&data(name))).unwrap();
    (dir, file)
}

/// For each message the line eNcore prints, or its error.
fn expected() -> BTreeMap<u64, String> {
    let text = String::from_utf8(gunzip(&data("expected.txt"))).unwrap();
    let lines: BTreeMap<u64, String> = text.lines().map(numbered).collect();
    assert!(lines.keys().copied().eq(ALL));
    lines
}

fn numbered(line: &str) -> (u64, String) {
    let (number, rest) = line.split_once('\t').unwrap();
    (number.parse().unwrap(), rest.to_owned())
}

/// A value that is not the same on both sides, or not there on one.
struct Difference {
    path: String,
    ours: Option<Value>,
    theirs: Option<Value>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |value: &Option<Value>| value.as_ref().map_or("nothing".to_owned(), Value::to_string);
        write!(f, "{}: {} / {}", self.path, text(&self.ours), text(&self.theirs))
    }
}

fn differences(ours: &str, theirs: &str) -> Vec<Difference> {
    let mut found = Vec::new();
    let [ours, theirs] = [ours, theirs].map(|line| serde_json::from_str::<Value>(line).unwrap());
    compare("", Some(&ours), Some(&theirs), &mut found);
    found
}

fn compare(path: &str, ours: Option<&Value>, theirs: Option<&Value>, found: &mut Vec<Difference>) {
    match (ours, theirs) {
        // A list against a block is one difference, not one for each key.
        (Some(Value::Object(a)), Some(Value::Object(b)))
            if a.contains_key("listType") == b.contains_key("listType") =>
        {
            let shared = |map: &Map<String, Value>, other: &Map<String, Value>| -> Value {
                map.keys().filter(|key| other.contains_key(*key)).cloned().collect()
            };
            let (order, their_order) = (shared(a, b), shared(b, a));
            if order != their_order {
                found.push(Difference { path: format!("{path}!order"), ours: Some(order), theirs: Some(their_order) });
            }
            for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare(&path, a.get(key), b.get(key), found);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                compare(&format!("{path}.{i}"), Some(a), Some(b), found);
            }
        }
        _ if ours == theirs => {}
        _ => found.push(Difference { path: path.to_owned(), ours: ours.cloned(), theirs: theirs.cloned() }),
    }
}

impl Exception {
    fn covers(&self, message: u64, difference: &Difference) -> bool {
        let path = match self.path.split_once('*') {
            Some((start, end)) => difference.path.starts_with(start) && difference.path.ends_with(end),
            None => difference.path == self.path,
        };
        self.messages.contains(&message) && path && self.how.covers(difference)
    }
}

impl How {
    fn covers(self, Difference { ours, theirs, .. }: &Difference) -> bool {
        match (self, ours, theirs) {
            (Any, ..) | (OnlyOurs, Some(_), None) | (OnlyTheirs, None, Some(_)) => true,
            (LongAddress, Some(Value::String(a)), Some(Value::String(b))) => b.len() == 39 && same_address(a, b),
            (DottedAddress, Some(Value::String(a)), Some(Value::String(b))) => b.contains('.') && same_address(a, b),
            (Zoned, Some(Value::String(a)), Some(Value::String(b))) => a.strip_suffix('Z') == Some(b),
            (CutAddress, Some(Value::String(a)), Some(Value::String(b))) => a.strip_prefix("::ffff:") == Some(b),
            (BlockForText, text, Some(Value::Object(block))) => {
                let text = text.as_ref().map_or("", |text| text.as_str().unwrap());
                let has = |key: &str, value: Value| block.get(key).is_some_and(|v| *v == value);
                has("blockType", 0.into()) && has("data", text.into())
            }
            (ListForBlock, Some(Value::Object(block)), Some(list)) => {
                let mut block = block.clone();
                let header = [block.shift_remove("blockType"), block.shift_remove("blockLength")];
                // As text: the order counts.
                let [ours, theirs] = [&Value::from(vec![block]), &list["items"]].map(Value::to_string);
                header == [list.get("listType").cloned(), list.get("listLength").cloned()] && ours == theirs
            }
            _ => false,
        }
    }
}

/// Whether an IPv6 address is the one we print, IPv4-mapped ones as IPv4.
fn same_address(ours: &str, theirs: &str) -> bool {
    let address = theirs.parse().map(|ip: Ipv6Addr| ip.to_ipv4_mapped().map_or(ip.into(), IpAddr::V4));
    address.is_ok() && address == ours.parse()
}
