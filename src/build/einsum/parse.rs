//! Specifications of Einstein sums: text to labels.

use crate::graph::{Dims, Shape};

/// A name of an index. Letters stand for themselves, axes under an ellipsis for numbers from 128 on, counted from the right.
pub(super) type Label = u8;

/// The label of the last axis under an ellipsis.
const ELLIPSIS: Label = 128;

/// Why a specification does not fit its operands. Positions are bytes from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EinsumError {
    /// A character that means nothing.
    #[error("unexpected `{character}` at position {position}")]
    Character {
        /// The character.
        character: char,
        /// Where it stands.
        position: usize,
    },
    /// Two ellipses in one operand or result.
    #[error("a second ellipsis at position {position}")]
    Ellipsis {
        /// Where it stands.
        position: usize,
    },
    /// Another count of operands than given.
    #[error("names {named} operands, {given} are given")]
    Operands {
        /// Operands in the specification.
        named: usize,
        /// Operands given.
        given: usize,
    },
    /// Another count of axes than the operand has.
    #[error("operand {operand} at position {position} has {named} axes, its shape is {shape}")]
    Rank {
        /// Which operand.
        operand: usize,
        /// Where it begins.
        position: usize,
        /// Letters in the specification.
        named: usize,
        /// The operand's shape.
        shape: Shape,
    },
    /// An index with two extents.
    #[error("index `{index}` has extent {first}, but {second} in operand {operand}, whose shape is {shape}")]
    Extent {
        /// The letter, or `...`.
        index: String,
        /// The extent so far.
        first: usize,
        /// The other extent.
        second: usize,
        /// The operand with the other extent.
        operand: usize,
        /// Its shape.
        shape: Shape,
    },
    /// An index of the result that no operand has.
    #[error("`{index}` at position {position} of the result is in no operand")]
    UnknownIndex {
        /// The letter.
        index: char,
        /// Where it stands.
        position: usize,
    },
    /// An index twice in the result.
    #[error("`{index}` at position {position} is twice in the result")]
    RepeatedIndex {
        /// The letter.
        index: char,
        /// Where it stands.
        position: usize,
    },
    /// Axes under an ellipsis that the result leaves out.
    #[error("the result has no ellipsis for the {axes} axes under those of the operands")]
    NoEllipsis {
        /// Axes under the ellipses.
        axes: usize,
    },
    /// More axes under an ellipsis than there are labels.
    #[error("{axes} axes are too many for an ellipsis")]
    TooManyAxes {
        /// Axes under the ellipsis.
        axes: usize,
    },
}

/// A specification with the operands' shapes: the label of each axis, and the extent of each label.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    /// The labels of each operand's axes.
    pub(super) operands: Vec<Vec<Label>>,
    /// The labels of the result's axes.
    pub(super) result: Vec<Label>,
    /// The extent of each label, where 1 has stretched; 1 for labels that do not occur.
    pub(super) extents: [usize; 256],
}

/// Letters and at most one ellipsis.
struct Term {
    letters: Vec<(u8, usize)>,
    /// How many letters stand before the ellipsis.
    ellipsis: Option<usize>,
    /// Where the term begins.
    start: usize,
}

/// The letters of `text`, which begins at position `start` of the specification.
fn term(text: &str, start: usize) -> Result<Term, EinsumError> {
    let mut term = Term { letters: Vec::new(), ellipsis: None, start };
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let position = start + text.len() - rest.len();
        if character.is_ascii_alphabetic() {
            term.letters.push((character as u8, position));
        } else if rest.starts_with("...") {
            if term.ellipsis.replace(term.letters.len()).is_some() {
                return Err(EinsumError::Ellipsis { position });
            }
            rest = &rest[3..];
            continue;
        } else if character != ' ' {
            return Err(EinsumError::Character { character, position });
        }
        rest = &rest[character.len_utf8()..];
    }
    Ok(term)
}

/// The labels of `axes` axes under an ellipsis.
fn under_ellipsis(axes: usize) -> impl Iterator<Item = Label> {
    (0..axes).rev().map(|i| ELLIPSIS + i as Label)
}

/// The name of a label in messages.
fn name(label: Label) -> String {
    if label < ELLIPSIS { char::from(label).to_string() } else { "...".to_owned() }
}

impl Spec {
    /// Reads a specification for operands of these shapes.
    pub(super) fn parse(text: &str, shapes: &[Shape]) -> Result<Spec, EinsumError> {
        let (inputs, result) = match text.find("->") {
            Some(arrow) => (&text[..arrow], Some(term(&text[arrow + 2..], arrow + 2)?)),
            None => (text, None),
        };
        let mut terms = Vec::new();
        let mut start = 0;
        for part in inputs.split(',') {
            terms.push(term(part, start)?);
            start += part.len() + 1;
        }
        if terms.len() != shapes.len() {
            return Err(EinsumError::Operands { named: terms.len(), given: shapes.len() });
        }
        let mut spec = Spec { operands: Vec::new(), result: Vec::new(), extents: [1; 256] };
        let mut most_under = 0;
        for (operand, (term, shape)) in terms.iter().zip(shapes).enumerate() {
            let (labels, under) = labels(term, operand, shape)?;
            most_under = most_under.max(under);
            spec.add_extents(&labels, operand, shape)?;
            spec.operands.push(labels);
        }
        spec.result = match result {
            Some(term) => spec.explicit(&term, most_under)?,
            None => spec.implicit(most_under),
        };
        Ok(spec)
    }

    /// Takes in the extents of an operand. An extent of 1 stretches to that of other operands.
    fn add_extents(&mut self, labels: &[Label], operand: usize, shape: &Shape) -> Result<(), EinsumError> {
        let fault = |label, first, second| {
            Err(EinsumError::Extent { index: name(label), first, second, operand, shape: shape.clone() })
        };
        for (axis, &label) in labels.iter().enumerate() {
            // The axes of a diagonal do not stretch.
            let twin = labels[..axis].iter().position(|&l| l == label);
            if let Some(twin) = twin.filter(|&t| shape[t] != shape[axis]) {
                return fault(label, shape[twin], shape[axis]);
            }
            let known = &mut self.extents[usize::from(label)];
            match (*known, shape[axis]) {
                (1, extent) => *known = extent,
                (first, second) if first != second && second != 1 => return fault(label, first, second),
                _ => {}
            }
        }
        Ok(())
    }

    /// The result's labels as written.
    fn explicit(&self, term: &Term, under: usize) -> Result<Vec<Label>, EinsumError> {
        for (i, &(letter, position)) in term.letters.iter().enumerate() {
            let index = char::from(letter);
            if term.letters[..i].iter().any(|&(l, _)| l == letter) {
                return Err(EinsumError::RepeatedIndex { index, position });
            }
            if !self.operands.iter().any(|o| o.contains(&letter)) {
                return Err(EinsumError::UnknownIndex { index, position });
            }
        }
        let letters = |part: &[(u8, usize)]| part.iter().map(|l| l.0).collect::<Vec<Label>>();
        match term.ellipsis {
            None if under > 0 => Err(EinsumError::NoEllipsis { axes: under }),
            None => Ok(letters(&term.letters)),
            Some(at) => {
                let (before, behind) = term.letters.split_at(at);
                Ok(letters(before).into_iter().chain(under_ellipsis(under)).chain(letters(behind)).collect())
            }
        }
    }

    /// The result's labels where none are written: axes under ellipses, then the letters that occur once, in alphabetical order.
    fn implicit(&self, under: usize) -> Vec<Label> {
        let count = |letter: Label| self.operands.iter().flatten().filter(|&&l| l == letter).count();
        under_ellipsis(under).chain((0..ELLIPSIS).filter(|&l| count(l) == 1)).collect()
    }
}

/// The labels of an operand's axes, and how many are under its ellipsis.
fn labels(term: &Term, operand: usize, shape: &Shape) -> Result<(Vec<Label>, usize), EinsumError> {
    let named = term.letters.len();
    let fits = if term.ellipsis.is_some() { named <= shape.rank() } else { named == shape.rank() };
    if !fits {
        return Err(EinsumError::Rank { operand, position: term.start, named, shape: shape.clone() });
    }
    let under = shape.rank() - named;
    if under > usize::from(u8::MAX - ELLIPSIS) {
        return Err(EinsumError::TooManyAxes { axes: under });
    }
    let at = term.ellipsis.unwrap_or(named);
    let letters = |part: &[(u8, usize)]| part.iter().map(|l| l.0).collect::<Vec<Label>>();
    let (before, behind) = term.letters.split_at(at);
    Ok((letters(before).into_iter().chain(under_ellipsis(under)).chain(letters(behind)).collect(), under))
}

/// The places of `labels` in `among`.
pub(super) fn places(labels: &[Label], among: &[Label]) -> Dims {
    labels.iter().map(|l| among.iter().position(|a| a == l).expect("the label is there")).collect()
}
