//! The JSON of a line: objects keep their order, and a key that comes twice is an error.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::collections::HashSet;
use std::fmt;

/// The longest piece of a value that is repeated in an error.
const EXCERPT: usize = 80;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tree {
    Null,
    Bool(bool),
    Uint(u64),
    /// A number that is negative, not whole or too large.
    Odd(String),
    Text(String),
    List(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl Tree {
    /// The value as it may stand in an error, cut when it is long.
    pub(crate) fn excerpt(&self) -> String {
        match self {
            Tree::Null => "null".to_owned(),
            Tree::Bool(value) => value.to_string(),
            Tree::Uint(number) => number.to_string(),
            Tree::Odd(number) => number.clone(),
            Tree::Text(text) => {
                let mut cut: String = text.chars().take(EXCERPT).collect();
                if cut.len() < text.len() {
                    cut.push('…');
                }
                format!("{cut:?}")
            }
            Tree::List(items) => format!("a list of {}", items.len()),
            Tree::Object(entries) => format!("an object with {} keys", entries.len()),
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Tree, E> {
        Ok(Tree::Uint(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Tree, E> {
        Ok(u64::try_from(number).map_or_else(|_| Tree::Odd(number.to_string()), Tree::Uint))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Tree, E> {
        Ok(Tree::Odd(number.to_string()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Tree, E> {
        Ok(Tree::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries: Vec<(String, Tree)> = Vec::new();
        let mut keys = HashSet::new();
        while let Some((key, value)) = map.next_entry::<String, Tree>()? {
            if !keys.insert(key.clone()) {
                return Err(A::Error::custom(format!("the key {key:?} comes twice")));
            }
            entries.push((key, value));
        }
        Ok(Tree::Object(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_all_their_bits_and_keys_come_once() {
        let tree: Tree = serde_json::from_str(r#"{"b": 18446744073709551615, "a": [-1, 1.5, null, "x"]}"#).unwrap();
        let list = vec![Tree::Odd("-1".into()), Tree::Odd("1.5".into()), Tree::Null, Tree::Text("x".into())];
        assert_eq!(tree, Tree::Object(vec![("b".into(), Tree::Uint(u64::MAX)), ("a".into(), Tree::List(list))]));
        let twice = serde_json::from_str::<Tree>(r#"{"a": 1, "a": 1}"#).unwrap_err();
        assert!(twice.to_string().starts_with(r#"the key "a" comes twice"#), "{twice}");
        assert!(serde_json::from_str::<Tree>(&"[".repeat(1000)).is_err(), "no stack is deep enough for any nesting");
    }
}
