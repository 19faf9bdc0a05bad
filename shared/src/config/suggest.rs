//! Did you mean …?

/// The candidate closest to `word`, if one is close enough to be a slip of the hand.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    closest(&word.to_ascii_lowercase(), candidates)
}

/// The same for names in upper case.
pub fn nearest_upper<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    closest(&word.to_ascii_uppercase(), candidates)
}

/// As a piece of a sentence: `; did you mean "idle"?`, or nothing.
pub fn sentence<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map(|c| format!("; did you mean {c:?}?")).unwrap_or_default()
}

fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let slips_max = (word.chars().count() / 3).clamp(1, 4);
    let distance = |candidate: &str| strsim::osa_distance(word, candidate);
    let candidates: Vec<_> = candidates.into_iter().collect();
    let near = candidates.iter().map(|c| (distance(c), *c)).filter(|(d, _)| *d <= slips_max).min();
    // Half a name is meant as the whole one: `password` for `password_file`.
    let begun =
        |c: &&&str| c.strip_prefix(word).is_some_and(|rest| !word.is_empty() && rest.starts_with('_'));
    near.map(|(_, c)| c).or_else(|| candidates.iter().find(begun).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        let keys = ["listen", "limits", "timeouts", "idle", "half_closed"];
        for (word, meant) in [
            ("idel", Some("idle")),
            ("Listen", Some("listen")),
            ("timeout", Some("timeouts")),
            ("half", Some("half_closed")),
        ] {
            assert_eq!(nearest(word, keys), meant);
        }
        assert_eq!(nearest("colour", keys), None);
        assert_eq!(nearest("", keys), None);
    }
}
