//! A mistake in `numbers.toml` stops the build with a message that says where.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code)]
#[path = "../build/model.rs"]
mod model;
#[allow(dead_code)]
#[path = "../build/names.rs"]
mod names;

pub(crate) type Result<T> = std::result::Result<T, String>;

use model::{Field, Numbers};
use names::{Enumerations, Tables};

/// Compiles an enumeration for a block "Thing" of a u8 `small`, a u64 `large` and a string `text`.
fn compile(attributes: &str) -> Result<String> {
    let tables: Tables = toml::from_str("[colours]\n1 = \"Red\"\n2 = \"Green\"").unwrap();
    let head = "[[number]]\nname = \"Colour\"\ntitle = \"A colour\"\nsource = \"here\"\n";
    let numbers: Numbers = toml::from_str(&format!("{head}{attributes}")).map_err(|e| e.to_string())?;
    let mut enumerations = Enumerations::new(numbers.number, &tables)?;
    let field = |name: &str, kind: &str| Field { name: name.into(), r#type: kind.into(), ..Field::default() };
    let fields = [field("small", "u8"), field("large", "u64"), field("text", "string")];
    let of_thing = enumerations.fields("Thing (old)", &fields)?;
    Ok(of_thing + &enumerations.finish(|record| record == 4)?)
}

#[test]
fn a_correct_one_compiles() {
    let text = compile("table = \"colours\"\nfields = [\"small\"]\n[number.names]\n3 = \"Sky-blue\"").unwrap();
    assert!(text.contains("Naming{position:0,when:None,of:&crate::names::COLOUR}"), "{text}");
    assert!(text.contains("open_number!{\"A colour.\" Colour u32 COLOUR}"), "{text}");
    assert!(text.contains("/// 3: Sky-blue.\npub const SKY_BLUE: Colour = Colour(3);"), "{text}");
    let text = compile("fields = [\"Thing.large when small = 7\"]\nkind = \"bits\"").unwrap();
    assert!(text.contains("Naming{position:1,when:Some((0,7)),of:&crate::names::COLOUR}"), "{text}");
    assert!(text.contains("bit_set!{\"A colour.\" Colour u64 COLOUR}"), "{text}");
    // Numbers of one name.
    let text = compile("fields = [\"small\"]\n[number.names]\n1 = \"N/A\"\n2 = \"N/A - more\"").unwrap();
    assert!(text.contains("NOT_APPLICABLE_1: ") && text.contains("NOT_APPLICABLE_2: "), "{text}");
}

#[test]
fn a_mistake_stops_the_build() {
    for (attributes, message) in [
        ("table = \"colors\"\nfields = []", "numbers: Colour: there is no table colors"),
        ("like = [\"Taste\"]\nfields = []", "numbers: Colour: like Taste, of which nothing is known before it"),
        ("fields = [\"tiny\"]", "numbers: Colour: there is no field tiny"),
        ("fields = [\"Other.small\"]", "numbers: Colour: there is no field Other.small"),
        ("fields = [\"text\"]", "text has Colour: it is no integer"),
        ("fields = [\"small when text = 1\"]", "small when text = 1 has Colour: its condition is about no integer"),
        ("fields = [\"small when large\"]", "numbers: Colour: small when large: when field = number"),
        ("fields = [\"small\", \"small\"]", "small has Colour: another one has the same field"),
        ("metadata = [5]\nfields = [\"small\"]", "numbers: Colour: 5 is no metadata record"),
        (
            "table = \"colours\"\nfields = []\n[number.names]\n2 = \"Blue\"",
            "numbers: Colour: 2 has two names, Green and Blue",
        ),
        ("fields = []\n[number.names]\n2 = \"\"", "numbers: Colour: 2 has an empty name"),
        ("fields = []\n[number.names]\ntwo = \"Two\"", "numbers: Colour: two is no number"),
        ("fields = []\nkind = \"bits\"\n[number.names]\n3 = \"Three\"", "numbers: Colour: 3 is not one bit"),
        (
            "fields = [\"small\"]\n[number.names]\n4294967296 = \"a\"",
            "numbers: Colour: 4294967296 does not fit into the fields",
        ),
        (
            "fields = []\n[number.names]\n1 = \"\u{3b1}\"",
            "numbers: Colour: \u{3b1}: no ASCII letter is known for \u{3b1}",
        ),
    ] {
        assert_eq!(compile(attributes), Err(message.to_owned()));
    }
    assert!(compile("fields = []\nfoo = 1").unwrap_err().contains("unknown field `foo`"));
}
