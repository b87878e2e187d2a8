//! Texts whose words are numbers: counts of n-grams.

use std::collections::HashMap;

use crate::array::Array;
use crate::build::Tensor;
use crate::graph::{DType, TensorType};
use crate::prim::{Combine, Reduction, Scatter};
use crate::scalar::ScalarFn;

use super::super::checked::{Checked, Made};
use super::super::error::{invalid, unsupported};
use super::super::node::{Node, Results, constant_ints, count_of, counts_of, one};
use super::{Operator, op};

pub(super) const OPERATORS: &[Operator] = &[op("TfIdfVectorizer", 9, tf_idf)];

/// The most lengths and distances of n-grams, times their words.
const MOST_COMPARISONS: usize = 1 << 12;

/// The most places in a result.
const MOST_PLACES: i64 = 1 << 32;

/// N-grams of one length, each once, with their places in the result.
struct Grams {
    words: Vec<i64>,
    places: Vec<i64>,
    /// Their numbers among all n-grams.
    numbers: Vec<usize>,
}

/// What is told of an n-gram.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    /// How often it stands there.
    Tf,
    /// Its weight, if it stands there.
    Idf,
    /// Its weight, as often as it stands there.
    TfIdf,
}

impl Grams {
    /// Those in a row of a pool, the first of which has the number `first`. What stands there twice counts with its last place.
    fn new(pool: &[i64], length: usize, places: &[i64], first: usize) -> Grams {
        let mut last: HashMap<&[i64], usize> = HashMap::new();
        pool.chunks_exact(length).enumerate().for_each(|(i, gram)| {
            last.insert(gram, i);
        });
        let mut grams = Grams { words: Vec::new(), places: Vec::new(), numbers: Vec::new() };
        for (i, gram) in pool.chunks_exact(length).enumerate() {
            if last[gram] == i {
                grams.words.extend(gram);
                grams.places.push(places[i]);
                grams.numbers.push(first + i);
            }
        }
        grams
    }

    /// How often each stands in the rows of `x`, its words `distance` apart: `[rows, grams]`.
    fn count<'g>(&self, x: Tensor<'g>, length: usize, distance: usize) -> Made<'g> {
        let n = self.places.len();
        let span = distance.saturating_mul(length - 1);
        let starts = x.shape()[1].saturating_sub(span);
        let g = x.builder();
        let mut all: Option<Tensor<'g>> = None;
        for i in 0..length {
            let words = self.words.iter().skip(i).step_by(length).copied().collect();
            let words = constant_ints(g, x.dtype(), &[n], words)?;
            let same = x.part(1, i * distance, starts)?.unsqueezed(2)?.f2(ScalarFn::Eq, words)?;
            all = Some(all.map_or(Ok(same), |all| all.f2(ScalarFn::And, same))?);
        }
        match all {
            Some(all) => all.to(DType::F32)?.fold(Reduction::Sum, &[1], false),
            None => invalid("n-grams have no words"),
        }
    }
}

fn tf_idf<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    if node.texts("pool_strings")?.is_some() {
        return unsupported("words that are texts");
    }
    let x = node.input(0)?;
    if !x.dtype().is_int() {
        return invalid(format!("operand 0 is {}, expected integers", x.ty()));
    }
    let x = x.to(DType::I64)?;
    let rows = match x.rank() {
        0 => x.shaped([1, 1])?,
        1 => x.unsqueezed(0)?,
        2 => x,
        _ => return invalid(format!("{} has more than two axes", x.ty())),
    };
    let list = |name: &'static str| match node.ints(name)? {
        Some(list) => Ok(list),
        None => invalid(format!("attribute `{name}` is missing")),
    };
    let (pool, places, starts) = (list("pool_int64s")?, list("ngram_indexes")?, counts_of(&list("ngram_counts")?)?);
    let (least, most) = (count_of(node.int("min_gram_length", 0)?)?, count_of(node.int("max_gram_length", 0)?)?);
    let skips = count_of(node.int("max_skip_count", 0)?)?;
    if least == 0 || most < least {
        return invalid(format!("n-grams of {least} to {most} words"));
    }
    let size = match places.iter().max() {
        Some(&last) if last < MOST_PLACES && places.iter().all(|&place| place >= 0) => last as usize + 1,
        _ => return invalid(format!("the places {places:?} are none of a result")),
    };
    let lengths = least..=most.min(starts.len());
    let comparisons =
        lengths.clone().fold(0usize, |sum, n| sum.saturating_add(n)).saturating_mul(skips.saturating_add(1));
    if comparisons > MOST_COMPARISONS {
        return unsupported(format!("n-grams of {least} to {most} words, {skips} of them skipped"));
    }
    let mode = match node.text("mode", "")? {
        "TF" => Mode::Tf,
        "IDF" => Mode::Idf,
        "TFIDF" => Mode::TfIdf,
        other => return invalid(format!("mode `{other}` is none of TF, IDF and TFIDF")),
    };
    let weights = match node.floats("weights")? {
        Some(weights) if weights.len() == places.len() => Some(weights),
        Some(weights) => return invalid(format!("{} weights for {} n-grams", weights.len(), places.len())),
        None => None,
    };
    let batch = rows.shape()[0];
    let counts = TensorType::new(DType::F32, [size, batch]);
    if !counts.fits_memory() {
        return invalid(format!("{counts} has too many elements"));
    }
    // One row for each place, to which the counts of its n-grams are added.
    let mut sums = node.g().constant(Array::scalar(0.0f32)).broadcast(&counts.shape)?;
    let mut before = 0;
    for (i, &start) in starts.iter().enumerate() {
        let (length, end) = (i + 1, starts.get(i + 1).copied().unwrap_or(pool.len()));
        let Some(own) = pool.get(start..end).filter(|own| own.len() % length == 0) else {
            return invalid(format!("{length}-grams from {start} to {end} of a pool of {}", pool.len()));
        };
        let count = own.len() / length;
        let Some(of_own) = places.get(before..before + count) else {
            return invalid(format!("{} places for more n-grams", places.len()));
        };
        before += count;
        if count == 0 || !lengths.contains(&length) {
            continue;
        }
        let grams = Grams::new(own, length, of_own, before - count);
        let mut found: Option<Tensor<'g>> = None;
        // Single words are the same at all distances.
        for distance in 1..=if length == 1 { 1 } else { skips + 1 } {
            if distance.saturating_mul(length - 1) >= rows.shape()[1] {
                break;
            }
            let counts = grams.count(rows, length, distance)?;
            found = Some(found.map_or(Ok(counts), |found| found.f2(ScalarFn::Add, counts))?);
        }
        let Some(mut found) = found else { continue };
        if mode == Mode::Idf {
            found = found.with(ScalarFn::Min, 1.0)?;
        }
        if let Some(weights) = weights.as_ref().filter(|_| mode != Mode::Tf) {
            let own: Vec<f32> = grams.numbers.iter().map(|&i| weights[i]).collect();
            found = found.f2(ScalarFn::Mul, node.g().constant(Array::from(own)))?;
        }
        let index = constant_ints(node.g(), DType::I64, &[grams.places.len()], grams.places.clone())?;
        let scatter = Scatter { batch: 0, combine: Combine::Add };
        sums = node.g().try_push(scatter, &[sums, index, found.permute(&[1, 0])?])?;
    }
    let mut y = sums.permute(&[1, 0])?;
    if mode == Mode::Idf && weights.is_none() {
        y = y.with(ScalarFn::Min, 1.0)?;
    }
    one(if x.rank() < 2 { y.squeezed(0) } else { Ok(y) })
}
