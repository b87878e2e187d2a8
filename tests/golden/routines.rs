//! The operations of `routines.txt` by name and words: `argsort 1 down`.

use cotangent::build::{CumulativeOptions, TriangularOptions};
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
        "cumulative" => {
            let reduction = words[1].parse().unwrap();
            let options = CumulativeOptions { exclusive: words[3] == "exclusive", reverse: words[4] == "reverse" };
            x[0].cumulative(reduction, number(2), options)
        }
        "logcumsumexp" => x[0].logcumsumexp(number(1)),
        "recurrence" => x[1].recurrence(x[0], number(1), words[2] == "reverse"),
        "cholesky" => x[0].cholesky(),
        "logdet" => x[0].logdet(),
        "inverse" => x[0].inverse(),
        "det" => x[0].det(),
        "slogdet" => x[0].slogdet().1,
        "slogdet_sign" => x[0].slogdet().0,
        "solve" => x[0].solve(x[1]),
        "triangular_solve" => {
            let (upper, transpose) = (words[1] == "upper", words[2] == "transposed");
            let options = TriangularOptions { upper, transpose, unit: words[3] == "unit", right: words[4] == "right" };
            x[0].triangular_solve(x[1], options)
        }
        "einsum" => x[0].builder().einsum(words[1], x),
        "matmul" => x[0].matmul(x[1]),
        "outer" => x[0].outer(x[1]),
        "inner" => x[0].inner(x[1]),
        "vdot" => x[0].vdot(x[1]),
        "kron" => x[0].kron(x[1]),
        "tensordot" => x[0].tensordot(x[1], &[(1, 1), (-1, 0)]),
        _ => return None,
    })
}
