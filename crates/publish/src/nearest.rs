//! The known name that a misspelled one may mean.

/// The closest of `names`, if one is close.
pub(crate) fn nearest<'n>(wrong: &str, names: impl Iterator<Item = &'n str>) -> Option<String> {
    // Beyond this it is no slip, and comparing long texts costs.
    if wrong.len() > 100 {
        return None;
    }
    let lower = wrong.to_lowercase();
    let scored = names.filter(|name| !name.is_empty()).map(|name| {
        let distance = strsim::damerau_levenshtein(&lower, &name.to_lowercase());
        (distance, name)
    });
    let (distance, name) = scored.min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + wrong.chars().count() / 4).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let names = ["sourcePort", "destinationPort", "url"];
        assert_eq!(nearest("sourcePrt", names.into_iter()).as_deref(), Some("sourcePort"));
        assert_eq!(nearest("SOURCEPORT", names.into_iter()).as_deref(), Some("sourcePort"));
        assert_eq!(nearest("userAgent", names.into_iter()), None);
    }
}
