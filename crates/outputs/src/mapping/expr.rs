//! The language of sources: where a value comes from.
//!
//! ```text
//! expr = term { "|" term }          the first that is there
//! term = path                       a field by the name JSON prints; `.data` is the text of a String block
//!      | "@" name                   a computed name
//!      | "'" text "'"               always that
//!      | number
//!      | function "(" expr { "," expr } ")"
//! template = { text | "{" expr "}" }
//! ```

use thiserror::Error;

/// Alternatives: the first that is there counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Expr(pub(crate) Vec<Term>);

/// One source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Term {
    Path(String),
    Computed(String),
    Text(String),
    Number(u64),
    Call(Function, Vec<Expr>),
}

/// What is made of other values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    /// Seconds to milliseconds.
    Ms,
    /// An address if it is IPv4, else empty.
    Ipv4,
    /// An address if it is IPv6 and not `::`, else empty.
    Ipv6,
    /// `table(name, number)`: the text at that place of a table, beyond it the number.
    Table,
    /// `matrix(priority, impact)`: eNcore's severity.
    Matrix,
    /// `below(x, limit, a, b)`: a when x is below the limit, else b.
    Below,
    /// A tenth, with one decimal.
    Tenths,
    /// A tenth, whole.
    Tenth,
    /// The same, at most 10.
    Score,
    /// What a packet carries, in the configured encoding.
    Payload,
    /// The whole packet in hex.
    Packet,
    /// `only(x)`: x unless it is 0, empty or all zeros.
    Some,
    /// `between(x, low, high)`: x if it is a number between these.
    Between,
    /// `atleast(x, y)`: the larger number.
    AtLeast,
    /// `if(x, y)`: y when x is there and neither 0 nor empty.
    If,
    /// `map(name, x)`: what a map has for a number or text; nothing when it has not.
    Map,
    /// Text in lower case.
    Lower,
    /// Octets as upper-case hex.
    Upper,
    /// A number as text.
    Text,
    /// A MAC address as RFC 7042 writes it: `00-00-5E-00-53-23`.
    Dashed,
    /// A second as `2024-04-24T23:06:45Z`.
    Iso,
    /// `millis(second, microsecond)`: milliseconds.
    Millis,
    /// `sum(x, y)`.
    Sum,
    /// `less(x, y)`: the difference, 0 when y is larger.
    Less,
    /// `community(source, destination, source port, destination port, protocol)`: the Community ID of a flow.
    Community,
}

/// Text with sources in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Template(pub(crate) Vec<Part>);

/// A piece of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Text(String),
    Value(Expr),
}

/// A source that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum ExprError {
    #[error("{0:?} is not expected here")]
    Unexpected(String),
    #[error("there is no function {0}")]
    Function(String),
    #[error("{0} takes {1} values")]
    Arguments(String, usize),
    #[error("{{ without }}")]
    Brace,
}

impl Expr {
    pub(crate) fn parse(text: &str) -> Result<Expr, ExprError> {
        let mut rest = text;
        let expr = expr(&mut rest)?;
        match rest.trim_start() {
            "" => Ok(expr),
            rest => Err(ExprError::Unexpected(rest.to_owned())),
        }
    }
}

impl Template {
    pub(crate) fn parse(mut text: &str) -> Result<Template, ExprError> {
        let mut parts = Vec::new();
        while let Some((before, after)) = text.split_once('{') {
            let (inside, after) = after.split_once('}').ok_or(ExprError::Brace)?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Value(Expr::parse(inside)?));
            text = after;
        }
        parts.push(Part::Text(text.to_owned()));
        parts.retain(|part| *part != Part::Text(String::new()));
        Ok(Template(parts))
    }
}

impl Function {
    /// Its name, and how many values it takes.
    const ALL: [(&str, Function, usize); 25] = [
        ("ms", Function::Ms, 1),
        ("ipv4", Function::Ipv4, 1),
        ("ipv6", Function::Ipv6, 1),
        ("table", Function::Table, 2),
        ("matrix", Function::Matrix, 2),
        ("below", Function::Below, 4),
        ("tenths", Function::Tenths, 1),
        ("tenth", Function::Tenth, 1),
        ("score", Function::Score, 1),
        ("payload", Function::Payload, 1),
        ("packet", Function::Packet, 1),
        ("some", Function::Some, 1),
        ("between", Function::Between, 3),
        ("atleast", Function::AtLeast, 2),
        ("if", Function::If, 2),
        ("map", Function::Map, 2),
        ("lower", Function::Lower, 1),
        ("upper", Function::Upper, 1),
        ("text", Function::Text, 1),
        ("dashed", Function::Dashed, 1),
        ("iso", Function::Iso, 1),
        ("millis", Function::Millis, 2),
        ("sum", Function::Sum, 2),
        ("less", Function::Less, 2),
        ("community", Function::Community, 5),
    ];
}

fn expr(rest: &mut &str) -> Result<Expr, ExprError> {
    let mut terms = vec![term(rest)?];
    while eat(rest, '|') {
        terms.push(term(rest)?);
    }
    Ok(Expr(terms))
}

fn term(rest: &mut &str) -> Result<Term, ExprError> {
    if eat(rest, '\'') {
        let (text, after) = rest.split_once('\'').ok_or_else(|| ExprError::Unexpected((*rest).to_owned()))?;
        *rest = after;
        return Ok(Term::Text(text.to_owned()));
    }
    if eat(rest, '@') {
        return word(rest).map(|name| Term::Computed(name.to_owned()));
    }
    let name = word(rest)?;
    if let Ok(number) = name.parse() {
        return Ok(Term::Number(number));
    }
    if !eat(rest, '(') {
        return Ok(Term::Path(name.to_owned()));
    }
    let found = Function::ALL.iter().find(|(n, ..)| *n == name);
    let (_, function, count) = found.ok_or_else(|| ExprError::Function(name.to_owned()))?;
    let mut arguments = vec![expr(rest)?];
    while eat(rest, ',') {
        arguments.push(expr(rest)?);
    }
    if !eat(rest, ')') {
        return Err(ExprError::Unexpected((*rest).to_owned()));
    }
    match arguments.len() == *count {
        true => Ok(Term::Call(*function, arguments)),
        false => Err(ExprError::Arguments(name.to_owned(), *count)),
    }
}

fn word<'a>(rest: &mut &'a str) -> Result<&'a str, ExprError> {
    let text = rest.trim_start();
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '_').unwrap_or(text.len());
    let (word, after) = text.split_at(end);
    *rest = after;
    match word {
        "" => Err(ExprError::Unexpected(text.to_owned())),
        word => Ok(word),
    }
}

fn eat(rest: &mut &str, c: char) -> bool {
    match rest.trim_start().strip_prefix(c) {
        Some(after) => {
            *rest = after;
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources() {
        let path = |p: &str| Term::Path(p.to_owned());
        assert_eq!(
            Expr::parse(" @a | ms( b.data ) | 'c d'").unwrap().0,
            [
                Term::Computed("a".into()),
                Term::Call(Function::Ms, vec![Expr(vec![path("b.data")])]),
                Term::Text("c d".into())
            ]
        );
        let call = Expr::parse("below(x, 4, 3, 7)").unwrap();
        assert!(matches!(&call.0[..], [Term::Call(Function::Below, a)] if a[1].0 == [Term::Number(4)]));
        assert_eq!(
            Template::parse("A:{x}:{@y | 'z'}").unwrap().0,
            [
                Part::Text("A:".into()),
                Part::Value(Expr(vec![path("x")])),
                Part::Text(":".into()),
                Part::Value(Expr::parse("@y | 'z'").unwrap())
            ]
        );
    }

    #[test]
    fn faults() {
        for bad in ["", "|", "a |", "a b", "ms(a", "ms()", "'a", "@", "a)", "ms(a, b)", "nothing(a)"] {
            assert!(Expr::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Template::parse("a{b"), Err(ExprError::Brace));
    }
}
