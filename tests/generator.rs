//! The generator of random programs: what it covers, and that its error bounds neither accuse correct engines nor acquit wrong ones.

use std::collections::{BTreeMap, BTreeSet};

use cotangent::interp::{self, Results};
use cotangent::prim::{Op, OpKind, Reduction};
use cotangent::scalar::{Cost, ScalarFn};
use cotangent::testing::{Case, Config, Draw, generate, generate_with};
use cotangent::{Array, DType, NodeId};

const SEEDS: u64 = 1500;

/// Runs the case's graph with `wrap` applied to each node's value.
fn run_with(case: &Case, mut wrap: impl FnMut(&Op, &[&Array], Array) -> Array) -> Results {
    let graph = &case.program.graph;
    let live = graph.live();
    let mut values: BTreeMap<NodeId, Array> = BTreeMap::new();
    for id in graph.ids().filter(|id| live[id.index()]) {
        let op = graph.op(id);
        let value = match op.leaf_name() {
            Some(name) => case.leaf(name).clone(),
            None => {
                let operands = graph.operands(id);
                let operands: Vec<&Array> = operands.iter().map(|o| &values[o]).collect();
                wrap(op, &operands, op.eval(&operands, graph.ty(id)))
            }
        };
        values.insert(id, value);
    }
    Results {
        outputs: graph.outputs().iter().map(|o| values[&o.node].clone()).collect(),
        updates: graph.updates().iter().map(|u| values[&u.value].clone()).collect(),
    }
}

/// The value with each inexact float moved by up to `units` units in the last place.
fn jitter(draw: &mut Draw, mut value: Array, units: f64) -> Array {
    let mut shift = |eps: f64| 1.0 + eps * units * (2.0 * draw.unit() - 1.0);
    if let Ok(x) = value.as_mut_slice::<f32>() {
        x.iter_mut().for_each(|x| *x = (f64::from(*x) * shift(f32::EPSILON.into())) as f32);
    } else if let Ok(x) = value.as_mut_slice::<f64>() {
        x.iter_mut().for_each(|x| *x *= shift(f64::EPSILON));
    }
    value
}

/// Single-precision sums in the order of memory, from the end.
fn naive_sum(operand: &Array, reduced: Array) -> Array {
    let Ok(x) = operand.as_slice::<f32>() else {
        return reduced;
    };
    if reduced.shape().rank() != 0 {
        return reduced;
    }
    Array::scalar(x.iter().rev().fold(0.0f32, |s, v| s + v))
}

#[test]
fn every_operation_function_and_type_is_generated() {
    let mut kinds: BTreeMap<OpKind, usize> = BTreeMap::new();
    let mut functions: BTreeMap<(ScalarFn, DType), usize> = BTreeMap::new();
    let (mut nodes, mut updates, mut ranks, mut empty) = (0, 0, BTreeSet::new(), 0);
    for seed in 0..2 * SEEDS {
        let case = generate(seed);
        let graph = &case.program.graph;
        let live = graph.live();
        for id in graph.ids().filter(|id| live[id.index()]) {
            nodes += 1;
            *kinds.entry(graph.op(id).kind()).or_default() += 1;
            ranks.insert(graph.shape(id).rank());
            empty += usize::from(graph.shape(id).numel() == 0);
            if let Op::Map(map) = graph.op(id) {
                let operands = graph.operands(id);
                let dtype = graph.ty(operands[operands.len() - 1]).dtype;
                *functions.entry((map.f, dtype)).or_default() += 1;
            }
        }
        updates += graph.updates().len();
    }
    println!("{} programs, {nodes} live nodes ({empty} of them without elements), {updates} updates", 2 * SEEDS);
    println!("{kinds:?}\n{functions:?}");
    for kind in OpKind::ALL {
        assert!(kinds.get(kind).is_some_and(|&n| n >= 5), "{kind:?} is hardly generated: {kinds:?}");
    }
    for &f in ScalarFn::ALL {
        for dtype in DType::ALL {
            if f.result_dtype(&f.operand_dtypes(dtype)).is_ok() {
                assert!(functions.contains_key(&(f, dtype)), "{f:?} of {dtype} is not generated");
            }
        }
    }
    assert_eq!(ranks.into_iter().collect::<Vec<_>>()[..5], [0, 1, 2, 3, 4]);
    assert!(empty > 10 && updates > 50);
}

#[test]
fn a_seed_means_the_same_program_for_ever() {
    for seed in [0, 1, 99] {
        let (a, b) = (generate(seed), generate(seed));
        let ops = |c: &Case| c.program.graph.ids().map(|i| c.program.graph.op(i).clone()).collect::<Vec<_>>();
        assert_eq!(ops(&a), ops(&b));
        assert_eq!(a.expected.outputs, b.expected.outputs);
    }
}

#[test]
fn the_interpreter_agrees_with_the_expected_results() {
    for seed in 0..SEEDS {
        for specials in [false, true] {
            let case = generate_with(seed, &Config { specials, ..Config::default() });
            let results = interp::run(&case.program.graph, |_, name| case.leaf(name));
            case.check(&results).unwrap_or_else(|e| panic!("{e}"));
        }
    }
}

#[test]
fn engines_that_round_differently_are_not_accused() {
    for seed in 0..SEEDS {
        let case = generate(seed);
        let draw = &mut Draw::new(seed);
        let results = run_with(&case, |op, operands, value| match op {
            Op::Reduce(r) if r.reduction == Reduction::Sum => naive_sum(operands[0], value),
            // A remainder of numbers with few digits is exact.
            Op::Map(m) if m.f.record().cost == Cost::Dear && !matches!(m.f, ScalarFn::Rem | ScalarFn::Mod) => {
                jitter(draw, value, 1.0)
            }
            _ => value,
        });
        case.check(&results).unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn engines_that_are_wrong_are_accused() {
    let (mut tried, mut found) = (0, [0; 2]);
    for seed in 0..SEEDS {
        let case = generate(seed);
        // One operation's result has one element wrong, by a ten-thousandth or a hundredth.
        for (found, factor) in found.iter_mut().zip([1.0001, 1.01]) {
            let draw = &mut Draw::new(seed);
            let target = draw.below(12);
            let (mut at, mut changed) = (0, false);
            let results = run_with(&case, |_, _, mut value| {
                at += 1;
                let n = value.shape().numel();
                if at == target + 1 && n > 0 && value.dtype() == DType::F32 {
                    let x = &mut value.as_mut_slice::<f32>().unwrap()[draw.below(n)];
                    changed = *x != 0.0;
                    *x *= factor;
                }
                value
            });
            tried += usize::from(changed && factor == 1.01);
            *found += usize::from(changed && case.check(&results).is_err());
        }
    }
    println!("of {tried} errors, {} are seen at a ten-thousandth and {} at a hundredth", found[0], found[1]);
    // The others do not reach a result: they are multiplied by 0, sliced away, rounded off.
    assert!(tried > 300 && found[0] * 5 > tried * 2 && found[1] * 2 > tried, "{found:?} of {tried}");
}

#[test]
fn the_allowed_distances_are_small() {
    let (mut shares, mut exact) = (Vec::new(), 0);
    for seed in 0..SEEDS {
        let case = generate(seed);
        for (expected, errors) in case.expected.outputs.iter().zip(&case.output_errors) {
            let largest = expected.to_f64_vec().into_iter().fold(0.0, |m: f64, v| m.max(v.abs()));
            let error = errors.iter().fold(0.0, |m: f64, &e| m.max(e));
            exact += usize::from(error == 0.0);
            if error > 0.0 && expected.dtype() == DType::F32 {
                shares.push(error / largest);
            }
        }
    }
    shares.sort_by(f64::total_cmp);
    let at = |share: f64| shares[(shares.len() as f64 * share) as usize];
    println!(
        "{exact} exact results; of {} inexact single-precision ones the bounds are, as shares of the largest element:",
        shares.len()
    );
    println!("median {:e}, nine of ten below {:e}", at(0.5), at(0.9));
    assert!(at(0.5) < 2e-5 && at(0.9) < 2e-3);
}
