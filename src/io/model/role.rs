//! Which parameters are trained: by what they are for, and as asked by name.

use std::fmt;

use crate::prim::{Op, ParamKind};

use super::{Model, ModelError};

/// What training does with a floating-point parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It is trained.
    Trained,
    /// It follows the statistics of the batches.
    Followed,
    /// It stays as it is.
    Held(Hold),
}

/// Why a parameter stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hold {
    /// A scalar of an ONNX model counts as a number of an expression.
    Number,
    /// A running mean or variance of a batch normalization.
    Statistics,
    /// The first state of a recurrent layer.
    FirstState,
    /// The text form declares it as a state.
    State,
    /// It was asked for.
    Frozen,
    /// Others were asked for.
    NotChosen,
    /// The loss does not depend on it, or its value decided shapes.
    Unused,
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Hold::Number => "a scalar",
            Hold::Statistics => "statistics of a batch normalization",
            Hold::FirstState => "the first state of a recurrent layer",
            Hold::State => "a state",
            Hold::Frozen => "frozen",
            Hold::NotChosen => "not chosen",
            Hold::Unused => "the loss does not depend on it",
        })
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Role::Trained => f.write_str("trained"),
            Role::Followed => f.write_str("follows the batches"),
            Role::Held(why) => write!(f, "held: {why}"),
        }
    }
}

/// The roles of a model's parameters where nothing is asked for.
pub(super) fn roles_of(model: &Model) -> Vec<(String, Role)> {
    let graph = &model.program().graph;
    let role = |id| match graph.op(id) {
        Op::Param(p) if p.ty.dtype.is_float() => {
            let role = match p.kind {
                ParamKind::State => Role::Held(Hold::State),
                ParamKind::Trainable => Role::Trained,
            };
            Some((p.name.to_string(), role))
        }
        _ => None,
    };
    graph.ids().filter_map(role).collect()
}

/// What was asked of the parameters by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Wishes {
    only: Option<Vec<String>>,
    frozen: Vec<String>,
}

impl Wishes {
    pub(super) fn add_only(&mut self, names: Vec<String>) {
        self.only.get_or_insert_default().extend(names);
    }

    pub(super) fn add_frozen(&mut self, names: Vec<String>) {
        self.frozen.extend(names);
    }

    /// The role of a parameter that has this one where nothing is asked for.
    pub(super) fn apply(&self, name: &str, role: Role) -> Role {
        let among = |names: &Vec<String>| names.iter().any(|n| n == name);
        match (&self.only, role) {
            (_, Role::Held(Hold::Unused)) => role,
            _ if among(&self.frozen) => Role::Held(Hold::Frozen),
            (Some(only), _) if among(only) => Role::Trained,
            (Some(_), Role::Trained) => Role::Held(Hold::NotChosen),
            _ => role,
        }
    }
}

/// The names that these words mean: a name, or several with commas between, each of which may have `*` for any characters.
///
/// # Errors
/// If a word means none.
pub(super) fn expand(words: &[String], known: &[String]) -> Result<Vec<String>, ModelError> {
    let mut names = Vec::new();
    for word in words {
        let several = if known.contains(word) { vec![&**word] } else { word.split(',').map(str::trim).collect() };
        for pattern in several {
            let before = names.len();
            names.extend(known.iter().filter(|name| *name == pattern || matches(pattern, name)).cloned());
            if names.len() == before {
                let (name, known) = (pattern.to_owned(), known.to_vec());
                return Err(ModelError::Unknown { what: "float parameter", name, known });
            }
        }
    }
    Ok(names)
}

/// True if the name is the pattern with some characters in the place of each `*`.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_mean_names_lists_and_patterns() {
        let known = ["fc1.weight", "fc1.bias", "fc2.weight", "a,b"].map(str::to_owned);
        let means = |word: &str| expand(&[word.to_owned()], &known).map_err(|e| e.to_string());
        assert_eq!(means("fc1.bias, fc2.weight").unwrap(), ["fc1.bias", "fc2.weight"]);
        assert_eq!(means("a,b").unwrap(), ["a,b"]);
        assert_eq!(means("fc1.*").unwrap(), ["fc1.weight", "fc1.bias"]);
        assert_eq!(means("*weight").unwrap(), ["fc1.weight", "fc2.weight"]);
        assert_eq!(means("f*1*s").unwrap(), ["fc1.bias"]);
        assert!(means("fc1.wieght").unwrap_err().ends_with("did you mean `fc1.weight`?"));
        for none in ["fc3.*", "weight*", "*fc1.weight.*", "fc1.weigh"] {
            assert!(means(none).is_err(), "{none}");
        }
    }
}
