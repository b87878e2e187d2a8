//! Which known name a misspelt one may have meant.

/// The known name that is nearest to `name` by insertions, deletions and substitutions of characters and exchanges of neighbours, if it is near enough to be
/// meant. Letters of either case are the same.
pub(crate) fn nearest<S: AsRef<str>>(name: &str, known: impl IntoIterator<Item = S>) -> Option<S> {
    const LONGEST: usize = 64;
    let folded = |text: &str| text.chars().flat_map(char::to_lowercase).collect::<Vec<char>>();
    let name = folded(name);
    if name.len() > LONGEST {
        return None;
    }
    let most = (name.len() / 3).max(1);
    let ranked = known.into_iter().filter_map(|candidate| {
        let other = folded(candidate.as_ref());
        // One letter in place of another is no misspelling.
        let distance = (other.len() <= LONGEST).then(|| distance(&name, &other))?;
        (distance <= most && distance < name.len().max(other.len())).then_some((distance, candidate))
    });
    ranked.min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

/// `; did you mean ...?`, or nothing.
pub(crate) fn hint<S: AsRef<str>>(name: &str, known: impl IntoIterator<Item = S>) -> String {
    nearest(name, known).map_or_else(String::new, |near| format!("; did you mean `{}`?", near.as_ref()))
}

/// The optimal string alignment distance (Damerau 1964).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &y) in b.iter().enumerate() {
            let mut least = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && x == b[j - 1] && a[i - 1] == y {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        (before, last) = (last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_is_meant() {
        let known = ["reduce", "reshape", "mul", "log", "exp"];
        for (name, meant) in [
            ("redcue", Some("reduce")),
            ("Reduce", Some("reduce")),
            ("reshap", Some("reshape")),
            ("mull", Some("mul")),
            ("lgo", Some("log")),
            ("softmax", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known), meant, "{name}");
        }
        assert_eq!(nearest("x", ["y"]), None);
    }
}
