//! The page `src/accuracy.md`: the bounds, and the largest errors met.
//!
//! ```text
//! UPDATE_EXPECT=1 SWEEP_STRIDE=503 cargo test --release --test accuracy page
//! ```
//!
//! writes it again, with the errors met at that stride. The test holds the page to the bounds of the tables, which the sweeps hold the functions to.

use std::fmt::Write;
use std::{env, fs};

use cotangent::scalar::{ScalarFn, Signature};

use super::activations::{self, ACTIVATIONS};
use super::{BINARY, UNARY, of_golden_f64, of_pairs, of_sweep, stride};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/accuracy.md");

/// Name, bound in `f32` and bound in `f64` of every function.
fn bounds() -> Vec<(&'static str, f64, f64)> {
    let unary = UNARY.iter().map(|f| (f.name, f.bound32, f.bound64));
    let all = unary.chain(BINARY.iter().map(|f| (f.name, f.bound32, f.bound64)));
    all.chain(ACTIVATIONS.iter().map(|f| (f.name, f.bound32, f.bound64))).collect()
}

fn page() -> String {
    let (mut single, mut double) = (of_sweep().0, of_golden_f64().0);
    single.append(&mut of_pairs().0);
    single.append(&mut activations::of_sweep().0);
    double.append(&mut activations::of_golden().0);
    let mut text = format!(
        "Accuracy of the scalar functions, in units in the last place (ulp) of the exact result.\n\n\
         The bounds hold over the whole range, subnormal arguments and results included; left of zero, those of `lgamma`, `digamma`, `trigamma` and\n\
         `polygamma`, and of `logaddexp` everywhere, are in units of the larger of the terms that cancel. A result that is rounded rightly has an error of 0.5 at most.\n\
         Sums, differences, products, quotients, `sqrt`, `fma`, rounding to integers, `fmod`, `abs`, `sign`, `copysign`, `max`, `min` and conversions are rounded rightly or exact. The\n\
         interpreter and compiled code give the same bits.\n\n\
         Activations, below in the table, are measured as they are compiled: `gelu` and `gelu_tanh` left of zero in units of half of the element, as 1 cancels\n\
         in their gates, and `hard_sigmoid` in units of 1/2; `elu` with 1, `celu` with 1.5, `leaky_relu` with 0.01. Where the gate of `silu` or `mish` is\n\
         subnormal, the unit is that of the element times the least normal number. `relu` and `clamp` are exact, and `prelu` is a product.\n\n\
         In `f32`, functions of one argument are compared at every {}-th of the 2^32 bit patterns with values in double precision, functions of two at\n\
         {} thousand pairs. In `f64` they are compared with exact values made with 96 digits, `points` of them, at random and\n\
         awkward places. The table is made by `UPDATE_EXPECT=1 SWEEP_STRIDE={} cargo test --release --test accuracy page`; every run of the tests holds the\n\
         functions to the bounds at a coarser stride, and the table to the bounds.\n\n\
         | function | `f32`: bound | met | at | `f64`: bound | met | at | points |\n\
         |---|---|---|---|---|---|---|---|\n",
        stride(),
        8_000_000 / stride(),
        stride(),
    );
    for (name, bound32, bound64) in bounds() {
        // The error met and where, and how many points there were.
        let met = |(_, error, place, points): &(f64, f64, String, usize)| match place.is_empty() {
            true => (format!("{error:.3} | everywhere"), *points),
            false => (format!("{error:.3} | `{place}`"), *points),
        };
        let (s, (d, points)) = (met(&single[name]).0, met(&double[name]));
        writeln!(text, "| `{name}` | {bound32} | {s} | {bound64} | {d} | {points} |").expect("a string takes all");
    }
    text
}

#[test]
fn the_page_states_the_bounds() {
    if env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(PATH, page()).unwrap();
    }
    let text = fs::read_to_string(PATH).unwrap();
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|l| l.starts_with("| `"))
        .map(|l| l.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect())
        .collect();
    assert_eq!(rows.len(), bounds().len(), "a row for each function");
    for (row, (name, bound32, bound64)) in rows.iter().zip(bounds()) {
        assert_eq!(row[0], name);
        for (column, bound) in [(1, bound32), (4, bound64)] {
            assert_eq!(row[column].parse::<f64>().unwrap(), bound, "{name}: the page is to be made again");
            assert!(row[column + 1].parse::<f64>().is_ok_and(|met| met <= bound), "{name}");
        }
    }
}

/// Every function that gives floats has a row, or is among those of which the text says that they are exact or rounded rightly.
#[test]
fn the_page_has_every_function() {
    let exact = "add sub mul div neg sqrt floor ceil round trunc abs sign copysign max min stop_gradient";
    let named: Vec<&str> = bounds().iter().map(|b| b.0).chain(exact.split(' ')).collect();
    for f in ScalarFn::ALL {
        // The library's remainders, by the names that the page has for them.
        let name = match f.name() {
            "rem" => "fmod",
            "mod" => "floored_mod",
            name => name,
        };
        if matches!(f.record().signature, Signature::Number | Signature::Float) {
            assert!(named.contains(&name), "{name} has no row in src/accuracy.md");
        }
    }
}
