//! From words to an expression.

use super::fields::{self, CLASSES, Subject};
use super::lex::{Kind, Token, tokens};
use super::{Expression, FilterError, Operator, Test, Wanted};

/// How deep brackets and `not` may be nested.
const DEPTH: usize = 64;

pub(super) fn parse(text: &str) -> Result<Expression, FilterError> {
    let mut parser = Parser { text, tokens: tokens(text)?, next: 0 };
    let expression = parser.any(0)?;
    match parser.peek() {
        Kind::End => Ok(expression),
        _ => Err(parser.wrong("and, or, or the end of the filter belongs here")),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    next: usize,
}

impl Parser<'_> {
    fn peek(&self) -> &Kind {
        self.tokens.get(self.next).map_or(&Kind::End, |t| &t.kind)
    }

    fn take(&mut self) -> Token {
        let end = Token { at: self.text.len(), kind: Kind::End };
        let token = self.tokens.get(self.next).cloned().unwrap_or(end);
        self.next += 1;
        token
    }

    fn word(&self, word: &str) -> bool {
        matches!(self.peek(), Kind::Word(w) if w == word)
    }

    /// Takes a word if it comes next.
    fn accept(&mut self, word: &str) -> bool {
        let found = self.word(word);
        self.next += usize::from(found);
        found
    }

    /// An error at the next word.
    fn wrong(&self, what: &str) -> FilterError {
        let at = self.tokens.get(self.next).map_or(self.text.len(), |t| t.at);
        FilterError::new(self.text, at, what.to_owned())
    }

    fn any(&mut self, depth: usize) -> Result<Expression, FilterError> {
        let mut parts = vec![self.all(depth)?];
        while self.accept("or") {
            parts.push(self.all(depth)?);
        }
        Ok(one_or(parts, Expression::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Expression, FilterError> {
        let mut parts = vec![self.single(depth)?];
        while self.accept("and") {
            parts.push(self.single(depth)?);
        }
        Ok(one_or(parts, Expression::All))
    }

    fn single(&mut self, depth: usize) -> Result<Expression, FilterError> {
        if depth > DEPTH {
            return Err(self.wrong("brackets are nested too deep"));
        }
        if self.accept("not") {
            return Ok(Expression::Not(Box::new(self.single(depth + 1)?)));
        }
        if *self.peek() == Kind::Open {
            self.next += 1;
            let inner = self.any(depth + 1)?;
            return match self.take().kind {
                Kind::Close => Ok(inner),
                _ => {
                    self.next -= 1;
                    Err(self.wrong("a closing bracket is missing"))
                }
            };
        }
        self.test()
    }

    fn test(&mut self) -> Result<Expression, FilterError> {
        let Kind::Word(name) = self.peek().clone() else {
            return Err(self.wrong("the name of a field belongs here, as in: destinationPort == 443"));
        };
        let subject = fields::find(&name).ok_or_else(|| {
            let hint = fields::nearest(&name).map(|n| format!("; did you mean {n}?")).unwrap_or_default();
            self.wrong(&format!("no record has a field {name}{hint}"))
        })?;
        self.next += 1;
        let negated = self.accept("not");
        let operator = match self.peek().clone() {
            Kind::Operator("==") => (Operator::Equal, false),
            Kind::Operator("!=") => (Operator::Equal, true),
            Kind::Operator("<") => (Operator::Less, false),
            Kind::Operator("<=") => (Operator::Greater, true),
            Kind::Operator(">") => (Operator::Greater, false),
            Kind::Operator(">=") => (Operator::Less, true),
            Kind::Word(w) if w == "in" => (Operator::Equal, false),
            Kind::Word(w) if w == "contains" => (Operator::Contains, false),
            Kind::Word(w) if w == "has" => (Operator::Bits, false),
            _ => return Err(self.wrong("==, !=, <, <=, >, >=, in, contains or has belongs here")),
        };
        let list = self.word("in");
        let ordered = matches!(self.peek(), Kind::Operator("<" | "<=" | ">" | ">="));
        if negated && matches!(self.peek(), Kind::Operator(_)) {
            return Err(self.wrong("in, contains or has belongs after not"));
        }
        self.next += 1;
        let wanted = if list { self.list(&name, &subject)? } else { vec![self.value(&name, &subject)?] };
        let test = Test { subject, operator: operator.0, wanted };
        self.check(&name, &test)?;
        Ok(match (operator.1, negated, ordered) {
            // Not less than, of a field that is there: an event without the field is neither.
            (true, _, true) => Expression::All(vec![
                Expression::Test(Test { operator: Operator::Present, ..test.clone() }),
                Expression::Not(Box::new(Expression::Test(test))),
            ]),
            (true, _, false) | (_, true, _) => Expression::Not(Box::new(Expression::Test(test))),
            _ => Expression::Test(test),
        })
    }

    /// Values in brackets; a single one needs none.
    fn list(&mut self, name: &str, subject: &Subject) -> Result<Vec<Wanted>, FilterError> {
        if *self.peek() != Kind::Open {
            return Ok(vec![self.value(name, subject)?]);
        }
        self.next += 1;
        let mut values = vec![self.value(name, subject)?];
        loop {
            match self.take().kind {
                Kind::Comma => values.push(self.value(name, subject)?),
                Kind::Close => return Ok(values),
                _ => {
                    self.next -= 1;
                    return Err(self.wrong("a comma or a closing bracket belongs here"));
                }
            }
        }
    }

    fn value(&mut self, name: &str, subject: &Subject) -> Result<Wanted, FilterError> {
        let wanted = match self.peek().clone() {
            Kind::Number(n) => Wanted::Range(n, n),
            Kind::Range(from, to) => Wanted::Range(from, to),
            Kind::Address(address) => Wanted::Network(address, if address.is_ipv4() { 32 } else { 128 }),
            Kind::Network(address, prefix) => Wanted::Network(address, prefix),
            Kind::Text(text) | Kind::Word(text) => Wanted::Text(text),
            _ => return Err(self.wrong(&format!("a value to compare {name} with belongs here"))),
        };
        match (subject, &wanted) {
            (Subject::Class, Wanted::Text(class)) if CLASSES.contains(&class.as_str()) => {}
            (Subject::Class, _) => {
                return Err(self.wrong(&format!("the classes are {}", CLASSES.join(", "))));
            }
            (Subject::Type, Wanted::Range(..)) => {}
            (Subject::Type, _) => return Err(self.wrong("a record type is a number: type == 71")),
            (Subject::Address, Wanted::Network(..)) => {}
            (Subject::Address, _) => {
                return Err(self.wrong("an address (192.0.2.1) or network (192.0.2.0/24) belongs here"));
            }
            (Subject::Named(names), Wanted::Text(_) | Wanted::Network(..)) if fields::only_numbers(names) => {
                return Err(self.wrong(&format!("{name} is a number")));
            }
            _ => {}
        }
        self.next += 1;
        Ok(wanted)
    }

    /// Operators that make no sense with a value.
    fn check(&mut self, name: &str, test: &Test) -> Result<(), FilterError> {
        let number = |w: &Wanted| matches!(w, Wanted::Range(a, b) if a == b);
        let fine = match test.operator {
            Operator::Less | Operator::Greater | Operator::Bits => test.wanted.iter().all(number),
            Operator::Contains => test.wanted.iter().all(|w| matches!(w, Wanted::Text(_))),
            Operator::Equal | Operator::Present => true,
        };
        if fine {
            return Ok(());
        }
        self.next -= 1;
        Err(match test.operator {
            Operator::Contains => self.wrong(&format!("{name} can contain a text: put it in quotes")),
            _ => self.wrong(&format!("{name} is compared with a number here")),
        })
    }
}

fn one_or(mut parts: Vec<Expression>, all: impl Fn(Vec<Expression>) -> Expression) -> Expression {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            all(parts)
        }
        None => all(parts),
    }
}
