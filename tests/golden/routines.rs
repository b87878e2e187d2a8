//! The operations of `routines.txt` by name and words: `argsort 1 down`.

use cotangent::prelude::*;

/// The operation of a case, if it is one of these.
pub fn apply<'g>(name: &str, x: &[Tensor<'g>]) -> Option<Tensor<'g>> {
    let words: Vec<&str> = name.split(' ').collect();
    let number = |i: usize| words[i].parse::<isize>().unwrap();
    Some(match words[0] {
        "argsort" => x[0].argsort(number(1), words[2] == "down"),
        "sort" => x[0].sort(number(1), words[2] == "down"),
        "top_k" => x[0].top_k(words[1].parse().unwrap(), number(2)).0,
        "top_k_positions" => x[0].top_k(words[1].parse().unwrap(), number(2)).1,
        "median" => x[0].median(number(1)),
        "quantile" => x[0].quantile(words[1].parse().unwrap(), number(2)),
        _ => return None,
    })
}
