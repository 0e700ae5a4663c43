//! `classification.config`: the classes of attack, as
//! `config classification: name,description,priority`.

use super::lines::{Lines, Warnings, brief};

/// A class of attack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classification {
    /// Its number in events: its place in the file, counted from 1.
    pub id: u32,
    /// Its short name, as rules name it.
    pub name: String,
    /// What it means.
    pub description: String,
    /// The priority of its rules, 1 is the highest.
    pub priority: u32,
}

/// The classes of one file.
#[derive(Debug, Default)]
pub(crate) struct Classifications {
    list: Vec<Classification>,
}

impl Classifications {
    pub(crate) fn by_id(&self, id: u32) -> Option<&Classification> {
        let index = id.checked_sub(1)?;
        self.list.get(usize::try_from(index).ok()?)
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<&Classification> {
        self.list.iter().find(|known| known.name.eq_ignore_ascii_case(name))
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    fn add(&mut self, line: &str) -> Result<(), String> {
        let (name, description, priority) = split(line)?;
        // Snort ignores a second class of the same name, which then takes no
        // number either.
        if self.by_name(name).is_some() {
            return Err(format!("classification {:?} is there already: the first one counts", brief(name)));
        }
        let id = u32::try_from(self.list.len() + 1).map_err(|_| "too many classifications")?;
        self.list.push(Classification { id, name: name.to_owned(), description: description.to_owned(), priority });
        Ok(())
    }
}

pub(crate) fn parse(lines: Lines<'_>, warnings: &mut Warnings) -> Classifications {
    let mut classes = Classifications::default();
    for (number, text) in lines.iter() {
        if let Err(reason) = classes.add(&text) {
            warnings.add(number, reason);
        }
    }
    classes
}

fn split(line: &str) -> Result<(&str, &str, u32), String> {
    const FORM: &str = "not of the form \"config classification: name,description,priority\"";
    let (keyword, value) = line.split_once(':').ok_or(FORM)?;
    if !keyword.split_ascii_whitespace().eq(["config", "classification"]) {
        return Err(FORM.to_owned());
    }
    let (name, rest) = value.split_once(',').ok_or(FORM)?;
    // A description may have commas of its own.
    let (description, priority) = rest.rsplit_once(',').ok_or(FORM)?;
    let (name, priority) = (name.trim(), priority.trim());
    if name.is_empty() {
        return Err("the classification has no name".to_owned());
    }
    let priority = priority.parse().map_err(|_| format!("priority {:?} is not a number", brief(priority)))?;
    Ok((name, description.trim(), priority))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn classes_are_numbered_by_their_place() {
        let mut warnings = Warnings::new(Path::new("classification.config"));
        let text = b"# c\nconfig classification: one,The first,3\r\n\
            config  classification :two , Commas, too , 2\n\
            config classification: bad,No number,x\n\
            config classification: ONE,Again,1\n\
            config reference: x y\n\
            config classification: three\n\
            config classification: ,d,1\n\
            config classification: four,,1\n";
        let map = parse(Lines::new(text), &mut warnings);
        assert_eq!(map.len(), 3);
        assert_eq!(map.by_id(0), None);
        assert_eq!(map.by_id(1).unwrap().name, "one");
        let two = map.by_id(2).unwrap();
        assert_eq!((two.id, two.name.as_str(), two.description.as_str(), two.priority), (2, "two", "Commas, too", 2));
        assert_eq!(map.by_id(3).unwrap().name, "four");
        assert_eq!(map.by_id(4), None);
        assert_eq!(map.by_name("TWO").unwrap().id, 2);
        let lines: Vec<_> = warnings.list().iter().map(|w| w.line).collect();
        assert_eq!(lines, [4, 5, 6, 7, 8]);
    }
}
