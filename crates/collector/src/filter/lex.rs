//! Words of a filter.

use super::FilterError;
use std::net::IpAddr;

/// A word with its place: bytes from the start of the filter.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) at: usize,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// A name or bare word.
    Word(String),
    /// A text in quotes.
    Text(String),
    Number(u64),
    /// Both ends belong to it.
    Range(u64, u64),
    Address(IpAddr),
    /// Address and prefix length.
    Network(IpAddr, u8),
    Operator(&'static str),
    Open,
    Close,
    Comma,
    End,
}

/// What a word may be made of: names, numbers, addresses, networks, ranges.
fn in_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | ':' | '/' | '-' | '@')
}

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, FilterError> {
    let wrong = |at, what: String| FilterError::new(text, at, what);
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let at = text.len() - rest.len();
        let Some(first) = rest.chars().next() else { break };
        let operators = ["==", "!=", "<=", ">=", "<", ">"];
        let (kind, size) = match first {
            '(' => (Kind::Open, 1),
            ')' => (Kind::Close, 1),
            ',' => (Kind::Comma, 1),
            '"' | '\'' => {
                let (content, size) = quoted(rest, first)
                    .ok_or_else(|| wrong(at, format!("this text has no end; it needs another {first}")))?;
                (Kind::Text(content), size)
            }
            _ if operators.iter().any(|o| rest.starts_with(o)) => {
                let operator = operators.iter().find(|o| rest.starts_with(**o)).copied().unwrap_or("==");
                (Kind::Operator(operator), operator.len())
            }
            '=' => return Err(wrong(at, "equal is written ==".into())),
            '&' | '|' | '!' => return Err(wrong(at, "the words are and, or, not".into())),
            c if in_word(c) => {
                let size = rest.find(|c| !in_word(c)).unwrap_or(rest.len());
                let (word, _) = rest.split_at_checked(size).unwrap_or((rest, ""));
                (classify(word).map_err(|what| wrong(at, what))?, size)
            }
            other => return Err(wrong(at, format!("`{other}` does not belong in a filter; put texts in quotes"))),
        };
        tokens.push(Token { at, kind });
        rest = rest.get(size..).unwrap_or_default();
    }
    tokens.push(Token { at: text.len(), kind: Kind::End });
    Ok(tokens)
}

/// A text in quotes and how many bytes it takes; a backslash takes the next character as it is.
fn quoted(rest: &str, quote: char) -> Option<(String, usize)> {
    let mut content = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => content.push(chars.next()?.1),
            c if c == quote => return Some((content, at + c.len_utf8())),
            c => content.push(c),
        }
    }
    None
}

fn classify(word: &str) -> Result<Kind, String> {
    if let Some(number) = number(word) {
        return Ok(Kind::Number(number));
    }
    if let Ok(address) = word.parse::<IpAddr>() {
        return Ok(Kind::Address(address));
    }
    if let Some((from, to)) = word.split_once("..")
        && let (Some(from), Some(to)) = (number(from), number(to))
    {
        return if from <= to { Ok(Kind::Range(from, to)) } else { Err(format!("the range {word} is upside down")) };
    }
    if let Some((address, prefix)) = word.split_once('/')
        && let Ok(address) = address.parse::<IpAddr>()
    {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.parse().ok().filter(|p| *p <= longest);
        let prefix = prefix.ok_or_else(|| format!("the prefix length of {word} must be 0 to {longest}"))?;
        return Ok(Kind::Network(address, prefix));
    }
    match word.starts_with(|c: char| c.is_ascii_digit()) && !word.contains(|c: char| c.is_alphabetic()) {
        true => Err(format!("{word} is no number, address, network (10.0.0.0/8) or range (1000..2000)")),
        false => Ok(Kind::Word(word.to_owned())),
    }
}

fn number(word: &str) -> Option<u64> {
    match word.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => word.parse().ok(),
    }
}
