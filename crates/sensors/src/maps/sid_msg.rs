//! `sid-msg.map`: what each rule says.
//!
//! Version 1: `sid || msg || reference || ...`. Version 2, marked by `#v2` in
//! the first line:
//! `gid || sid || rev || classification || priority || msg || reference || ...`.

use std::collections::HashMap;

use super::RuleMessage;
use super::lines::{Lines, Warnings, fields, message, number, references};

/// Text rules.
const TEXT: u32 = 1;
/// Shared object rules, which version 1 lists among the text rules.
const SHARED_OBJECT: u32 = 3;

/// The rules of one file.
#[derive(Debug, Default)]
pub(crate) struct SidMessages {
    rules: HashMap<(u32, u32), RuleMessage>,
    /// The file tells generators apart.
    generators: bool,
}

impl SidMessages {
    pub(crate) fn message(&self, gid: u32, sid: u32) -> Option<&RuleMessage> {
        let gid = match gid {
            SHARED_OBJECT if !self.generators => TEXT,
            gid => gid,
        };
        self.rules.get(&(gid, sid))
    }

    pub(crate) fn len(&self) -> usize {
        self.rules.len()
    }
}

pub(crate) fn parse(lines: Lines<'_>, warnings: &mut Warnings) -> SidMessages {
    let generators = is_v2(&lines.first());
    let line = if generators { line_v2 } else { line_v1 };
    let mut rules: HashMap<(u32, u32), RuleMessage> = HashMap::new();
    for (number, text) in lines.iter() {
        match line(&text) {
            Ok((key, rule)) => {
                // Of several revisions the newest counts, else the last line.
                let newer = rules.get(&key).is_none_or(|known| known.revision <= rule.revision);
                if newer {
                    rules.insert(key, rule);
                }
            }
            Err(reason) => warnings.add(number, reason),
        }
    }
    SidMessages { rules, generators }
}

fn is_v2(first: &str) -> bool {
    first.strip_prefix('#').is_some_and(|rest| rest.trim().eq_ignore_ascii_case("v2"))
}

type Line = Result<((u32, u32), RuleMessage), String>;

fn line_v1(line: &str) -> Line {
    let mut fields = fields(line);
    let sid = number(fields.next(), "sid")?;
    let rule =
        RuleMessage { message: message(fields.next())?, references: references(fields), ..RuleMessage::default() };
    Ok(((TEXT, sid), rule))
}

fn line_v2(line: &str) -> Line {
    let mut fields = fields(line);
    let gid = number(fields.next(), "gid")?;
    let sid = number(fields.next(), "sid")?;
    let rule = RuleMessage {
        revision: fields.next().and_then(|field| field.parse().ok()),
        classification: fields.next().and_then(class).map(str::to_owned),
        priority: fields.next().and_then(|field| field.parse().ok()).filter(|priority| *priority > 0),
        message: message(fields.next())?,
        references: references(fields),
    };
    Ok(((gid, sid), rule))
}

/// Rules without a classification are marked `NOCLASS`.
fn class(field: &str) -> Option<&str> {
    (!field.is_empty() && !field.eq_ignore_ascii_case("NOCLASS")).then_some(field)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::maps::MAX_WARNINGS;

    fn parsed(text: &[u8]) -> (SidMessages, Warnings) {
        let mut warnings = Warnings::new(Path::new("sid-msg.map"));
        let map = parse(Lines::new(text), &mut warnings);
        (map, warnings)
    }

    #[test]
    fn version_1_is_for_generators_1_and_3() {
        let (map, warnings) =
            parsed(b"# comment\r\n\r\n  103||  A message  || cve,1999-0660||url,a.b/c,d ||\r\n104 || B \xff\r\n");
        assert_eq!(warnings.list(), []);
        let rule = map.message(1, 103).unwrap();
        assert_eq!(rule.message, "A message");
        let references: Vec<_> = rule.references.iter().map(ToString::to_string).collect();
        assert_eq!(references, ["cve,1999-0660", "url,a.b/c,d"]);
        assert_eq!((rule.revision, rule.priority), (None, None));
        assert_eq!(map.message(3, 103), Some(rule));
        assert_eq!(map.message(116, 103), None);
        assert_eq!(map.message(1, 104).unwrap().message, "B \u{fffd}");
    }

    #[test]
    fn version_2_names_generator_revision_class_and_priority() {
        let (map, warnings) = parsed(
            b"\xef\xbb\xbf# V2 \r\n# made by a program\n\
              1 || 19 || 4 || attempted-admin || 1 || New || cve,2001-1\n\
              1 || 19 || 3 || attempted-admin || 2 || Old\n\
              3 || 19 || 1 || NOCLASS || 0 || Shared || loose\n",
        );
        assert_eq!(warnings.list(), []);
        let rule = map.message(1, 19).unwrap();
        assert_eq!(rule.message, "New");
        assert_eq!((rule.revision, rule.priority), (Some(4), Some(1)));
        assert_eq!(rule.classification.as_deref(), Some("attempted-admin"));
        let shared = map.message(3, 19).unwrap();
        assert_eq!(shared.message, "Shared");
        assert_eq!((&shared.classification, shared.priority), (&None, None));
        assert_eq!(shared.references[0].to_string(), "loose");
        assert_eq!(map.message(3, 20), None);
    }

    #[test]
    fn bad_lines_are_reported_and_skipped() {
        let (map, warnings) = parsed(b"x || y\n5\n6 ||  \n-7 || m\n8 || fine");
        assert_eq!(map.len(), 1);
        let said: Vec<_> = warnings.list().iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "sid-msg.map:1: sid \"x\" is not a number",
                "sid-msg.map:2: no message",
                "sid-msg.map:3: no message",
                "sid-msg.map:4: sid \"-7\" is not a number",
            ]
        );
    }

    #[test]
    fn warnings_are_bounded() {
        let (_, warnings) = parsed("bad\n".repeat(MAX_WARNINGS + 7).as_bytes());
        assert_eq!(warnings.list().len(), MAX_WARNINGS);
        assert_eq!(warnings.dropped(), 7);
    }
}
