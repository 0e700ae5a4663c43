//! `gen-msg.map`: what preprocessors and the decoder say, as
//! `gid || sid || msg`.

use std::collections::HashMap;

use super::RuleMessage;
use super::lines::{Lines, Warnings, fields, message, number, references};

pub(crate) fn parse(lines: Lines<'_>, warnings: &mut Warnings) -> HashMap<(u32, u32), RuleMessage> {
    let mut rules = HashMap::new();
    for (number, text) in lines.iter() {
        match line(&text) {
            Ok((key, rule)) => {
                rules.insert(key, rule);
            }
            Err(reason) => warnings.add(number, reason),
        }
    }
    rules
}

fn line(line: &str) -> Result<((u32, u32), RuleMessage), String> {
    let mut fields = fields(line);
    let gid = number(fields.next(), "gid")?;
    let sid = number(fields.next(), "sid")?;
    let rule =
        RuleMessage { message: message(fields.next())?, references: references(fields), ..RuleMessage::default() };
    Ok(((gid, sid), rule))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn lines_are_read_and_bad_ones_reported() {
        let mut warnings = Warnings::new(Path::new("gen-msg.map"));
        let text = b"# x\n1 || 1 || snort general alert\r\n116||54 ||a: b\n116 || x || y\n9\n\n1 || 2 ||";
        let map = parse(Lines::new(text), &mut warnings);
        assert_eq!(map.len(), 2);
        assert_eq!(map[&(1, 1)].message, "snort general alert");
        assert_eq!(map[&(116, 54)].message, "a: b");
        let said: Vec<_> = warnings.list().iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "gen-msg.map:4: sid \"x\" is not a number",
                "gen-msg.map:5: no sid: the line has too few fields",
                "gen-msg.map:7: no message",
            ]
        );
    }
}
