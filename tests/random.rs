//! Random numbers: known answers, the numbers of JAX (written by `golden/make_random.py`), statistics, reproducibility, fusion.

mod engines;

use std::collections::BTreeMap;

use cotangent::prelude::*;
use cotangent::scalar::{Plain, math};
use engines::engines;

/// What JAX draws: name, element type, shape and numbers.
fn golden() -> BTreeMap<&'static str, (DType, Vec<f64>)> {
    let line = |line: &'static str| {
        let mut words = line.split(' ');
        let mut next = || words.next().expect("a line has a name, a type and a shape");
        let (name, dtype, _) = (next(), next().parse().unwrap(), next());
        let number = |w: &str| match w {
            "true" => 1.0,
            "false" => 0.0,
            w => w.parse().unwrap(),
        };
        (name, (dtype, words.map(number).collect()))
    };
    include_str!("golden/random.txt").lines().map(line).collect()
}

/// The inputs of programs that have none.
const NOTHING: &[(&str, &Array)] = &[];

/// The tensor that `f` builds, computed once by each engine, which must agree.
fn draw(f: impl for<'g> Fn(&'g Builder) -> Tensor<'g>) -> Array {
    let g = Builder::new();
    let y = f(&g);
    let program = g.program(&[("y", y)]);
    let mut results = engines().into_iter().map(|engine| {
        let mut executable = program.compile(&Options::engine(engine)).unwrap_or_else(|e| panic!("{e}"));
        executable.run(NOTHING).unwrap_or_else(|e| panic!("{e}")).first().clone()
    });
    let first = results.next().expect("there is an engine");
    assert!(results.all(|r| r == first), "engines draw different numbers");
    first
}

#[test]
fn known_answers() {
    // From the file kat_vectors of Random123.
    let table = [
        ([0, 0], [0, 0], [0x6b20_0159, 0x99ba_4efe]),
        ([u32::MAX; 2], [u32::MAX; 2], [0x1cb9_96fc, 0xbb00_2be7]),
        ([0x1319_8a2e, 0x0370_7344], [0x243f_6a88, 0x85a3_08d3], [0xc492_3a9c, 0x483d_f7a0]),
    ];
    for (key, counter, words) in table {
        let words_of = |w: [u32; 2]| w.map(|w| w as i32);
        let actual = math::threefry2x32(&mut Plain::<f32>::default(), words_of(key), words_of(counter));
        assert_eq!(actual.map(|w| w as u32), words);
    }
}

#[test]
fn keys_and_draws_are_those_of_jax() {
    let golden = golden();
    for seed in [0, 42, (1 << 40) + 5] {
        let check = |name: &str, relative: f64, actual: Array| {
            let (dtype, expected) = &golden[format!("{name}_{seed}").as_str()];
            assert_eq!(actual.dtype(), *dtype, "{name}");
            let actual = actual.to_f64_vec();
            assert_eq!(actual.len(), expected.len(), "{name}");
            for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
                let distance = (a - e).abs();
                assert!(distance <= relative * e.abs(), "{name} of seed {seed} at {i}: {a:?}, JAX has {e:?}");
            }
        };
        let shape = [3, 5];
        check("key", 0.0, draw(|g| g.key(seed).tensor()));
        check("split", 0.0, draw(|g| g.stack(&g.key(seed).split::<3>().map(|k| k.tensor()), 0)));
        check(
            "split",
            0.0,
            draw(|g| {
                let keys: Vec<_> = g.key(seed).split_into(3).into_iter().map(|k| k.tensor()).collect();
                g.stack(&keys, 0)
            }),
        );
        check("fold_in", 0.0, draw(|g| g.key(seed).fold_in(g.constant(Array::scalar(7i64))).tensor()));
        check("bits", 0.0, draw(|g| g.key(seed).bits(shape)));
        check("uniform_f32", 0.0, draw(|g| g.key(seed).uniform(f32(shape), 0.0, 1.0)));
        check("uniform_f64", 0.0, draw(|g| g.key(seed).uniform(f64(shape), 0.0, 1.0)));
        check("range_f32", 1e-6, draw(|g| g.key(seed).uniform(f32(shape), -2.0, 3.0)));
        check("normal_f32", 2e-6, draw(|g| g.key(seed).normal(f32(shape))));
        check("normal_f64", 1e-14, draw(|g| g.key(seed).normal(f64(shape))));
        check("bernoulli", 0.0, draw(|g| g.key(seed).bernoulli(shape, 0.3)));
        check("gumbel_f32", 1e-5, draw(|g| g.key(seed).gumbel(f32(shape))));
        check("exponential_f32", 1e-5, draw(|g| g.key(seed).exponential(f32(shape))));
        check("truncated_f32", 1e-5, draw(|g| g.key(seed).truncated_normal(f32(shape), -1.0, 2.0)));
    }
}

const N: usize = 200_000;

/// Mean and central moments 2 to 4.
fn moments(x: &[f64]) -> [f64; 4] {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let central = |k: i32| x.iter().map(|v| (v - mean).powi(k)).sum::<f64>() / n;
    [mean, central(2), central(3), central(4)]
}

/// Within five standard errors, which a correct generator leaves once in two million such checks.
fn near(what: &str, actual: f64, expected: f64, variance: f64) {
    let error = (variance / N as f64).sqrt();
    assert!((actual - expected).abs() <= 5.0 * error, "{what}: {actual}, not {expected} +- {error}");
}

#[test]
fn moments_are_those_of_the_distributions() {
    for dtype in [DType::F32, DType::F64] {
        let ty = TensorType::new(dtype, [N]);
        let x = draw(|g| g.key(1).uniform(ty.clone(), 0.0, 1.0)).to_f64_vec();
        assert!(x.iter().all(|v| (0.0..1.0).contains(v)));
        let [mean, variance, ..] = moments(&x);
        near("uniform mean", mean, 0.5, 1.0 / 12.0);
        near("uniform variance", variance, 1.0 / 12.0, 1.0 / 180.0);

        let x = draw(|g| g.key(2).normal(ty.clone())).to_f64_vec();
        let [mean, variance, third, fourth] = moments(&x);
        near("normal mean", mean, 0.0, 1.0);
        near("normal variance", variance, 1.0, 2.0);
        near("normal skewness", third, 0.0, 15.0);
        near("normal kurtosis", fourth, 3.0, 96.0);

        let x = draw(|g| g.key(3).exponential(ty.clone())).to_f64_vec();
        assert!(x.iter().all(|v| *v >= 0.0 && v.is_finite()));
        let [mean, variance, ..] = moments(&x);
        near("exponential mean", mean, 1.0, 1.0);
        near("exponential variance", variance, 1.0, 8.0);

        let x = draw(|g| g.key(4).gumbel(ty.clone())).to_f64_vec();
        let [mean, variance, ..] = moments(&x);
        let expected = std::f64::consts::PI.powi(2) / 6.0;
        near("gumbel mean", mean, 0.577_215_664_901_532_9, expected);
        near("gumbel variance", variance, expected, 4.4 * expected * expected);

        let x = draw(|g| g.key(5).truncated_normal(ty.clone(), -1.0, 2.0)).to_f64_vec();
        assert!(x.iter().all(|v| (-1.0..=2.0).contains(v)));
        // SciPy: truncnorm(-1, 2).stats()
        let [mean, variance, ..] = moments(&x);
        near("truncated mean", mean, 0.229_637_179_091_329, 0.519_763);
        near("truncated variance", variance, 0.519_762_539_211_534, 0.35);
    }
}

/// Pearson's statistic of counts against equal expectations, as standard deviations from its mean.
fn chi_square(counts: &[f64], expected: &[f64]) -> f64 {
    let statistic: f64 = counts.iter().zip(expected).map(|(c, e)| (c - e).powi(2) / e).sum();
    let freedom = counts.len() as f64 - 1.0;
    (statistic - freedom) / (2.0 * freedom).sqrt()
}

fn counts(x: &[f64], cells: usize) -> Vec<f64> {
    let mut counts = vec![0.0; cells];
    x.iter().for_each(|&v| counts[v as usize] += 1.0);
    counts
}

#[test]
fn counts_are_those_of_the_distributions() {
    let even = |cells: usize| vec![N as f64 / cells as f64; cells];
    let fits = |what: &str, counts: Vec<f64>, expected: &[f64]| {
        let deviation = chi_square(&counts, expected);
        assert!(deviation.abs() < 5.0, "{what}: {deviation} standard deviations, {counts:?}");
    };
    let bits = draw(|g| g.key(6).bits([N]));
    let bits = bits.as_slice::<u32>().unwrap();
    for shift in [0, 8, 16, 24] {
        let bytes: Vec<f64> = bits.iter().map(|b| f64::from((b >> shift) & 255)).collect();
        fits("bytes", counts(&bytes, 256), &even(256));
    }
    // Neighbours are independent.
    let pairs: Vec<f64> = bits.windows(2).step_by(2).map(|w| f64::from((w[0] >> 28) * 16 + (w[1] >> 28))).collect();
    fits("pairs", counts(&pairs, 256), &vec![pairs.len() as f64 / 256.0; 256]);
    for dtype in [DType::U8, DType::I32, DType::U32, DType::I64] {
        let x = draw(|g| g.key(7).integers(TensorType::new(dtype, [N]), 3, 13));
        assert_eq!(x.dtype(), dtype);
        let x: Vec<f64> = x.to_f64_vec().iter().map(|v| v - 3.0).collect();
        fits("integers", counts(&x, 10), &even(10));
    }
    let x = draw(|g| g.key(7).integers(i32([N]), -5, 5)).to_f64_vec();
    assert!(x.contains(&-5.0) && x.contains(&4.0) && x.iter().all(|v| (-5.0..5.0).contains(v)));
    let held = draw(|g| g.key(8).bernoulli([N], 0.3)).to_f64_vec();
    near("bernoulli", moments(&held)[0], 0.3, 0.21);
    assert!(draw(|g| g.key(8).bernoulli([1000], 1.0)).to_f64_vec().iter().all(|v| *v == 1.0));
    assert!(draw(|g| g.key(8).bernoulli([1000], 0.0)).to_f64_vec().iter().all(|v| *v == 0.0));

    let logits = [0.0f32, 1.0, -1.0, 2.0, f32::NEG_INFINITY];
    let x = draw(|g| {
        let logits = g.constant(Array::new([5], logits.to_vec()).unwrap());
        g.key(9).categorical(logits.broadcast_to([N, 5]), -1)
    });
    let weights: Vec<f64> = logits[..4].iter().map(|&l| f64::from(l).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let expected: Vec<f64> = weights.iter().map(|w| w / sum * N as f64).collect();
    let counted = counts(&x.to_f64_vec(), 5);
    assert_eq!(counted[4], 0.0, "what is impossible is not drawn");
    fits("categorical", counted[..4].to_vec(), &expected);
}

#[test]
fn permutations_hold_every_number_once_and_have_no_favourites() {
    for n in [0, 1, 2, 1000] {
        let mut x = draw(|g| g.key(10).permutation(n)).to_f64_vec();
        x.sort_by(f64::total_cmp);
        assert_eq!(x, (0..n).map(|i| i as f64).collect::<Vec<_>>());
    }
    // All six orders of three numbers, over many keys.
    let g = Builder::new();
    let number = g.input("number", i64([]));
    let program = g.program(&[("y", g.key(11).fold_in(number).permutation(3))]);
    let mut step = program.compile(&Options::default()).unwrap();
    let mut orders: BTreeMap<Vec<i32>, f64> = BTreeMap::new();
    for i in 0..3000i64 {
        let results = step.run(&[("number", &Array::scalar(i))]).unwrap();
        *orders.entry(results.first().as_slice::<i32>().unwrap().to_vec()).or_default() += 1.0;
    }
    assert_eq!(orders.len(), 6);
    let counted: Vec<f64> = orders.into_values().collect();
    assert!(chi_square(&counted, &[500.0; 6]).abs() < 5.0, "{counted:?}");
}

#[test]
fn keys_of_one_key_are_independent() {
    let g = Builder::new();
    let ty = f32([N]);
    let key = g.key(12);
    let [a, b] = key.split();
    let [c] = a.split();
    let folded = key.fold_in(g.constant(Array::scalar(1u8)));
    let keys = [key, a, b, c, g.key(13)];
    let draws = keys.map(|k| k.normal(ty.clone()));
    let same = b.normal(ty.clone()).eq(folded.normal(ty));
    let names = ["0", "1", "2", "3", "4"];
    let mut outputs: Vec<(&str, Tensor<'_>)> = names.into_iter().zip(draws).collect();
    outputs.push(("same", same.cast(DType::I32).min()));
    let mut step = g.program(&outputs).compile(&Options::default()).unwrap();
    let results = step.run(NOTHING).unwrap();
    let x: Vec<Vec<f64>> = names.iter().map(|n| results.get(n).unwrap().to_f64_vec()).collect();
    for i in 0..x.len() {
        for j in 0..i {
            let products: Vec<f64> = x[i].iter().zip(&x[j]).map(|(a, b)| a * b).collect();
            near("correlation", moments(&products)[0], 0.0, 1.0);
            // One behind the other.
            let products: Vec<f64> = x[i].iter().zip(&x[j][1..]).map(|(a, b)| a * b).collect();
            near("correlation of neighbours", moments(&products)[0], 0.0, 1.0);
        }
    }
    assert_eq!(results.get("same").unwrap().get_f64(0), 1.0, "a split is a fold");
}

#[test]
fn dropout_keeps_the_mean_and_drops_the_same_in_the_gradient() {
    let g = Builder::new();
    let x = g.input("x", f32([N]));
    let y = x.dropout(0.25, g.key(14));
    let [dx] = g.grad((y * 3.0).sum(), [x]);
    let outputs = [("y", y), ("dx", dx), ("all", x.dropout(1.0, g.key(1))), ("none", x.dropout(0.0, g.key(1)))];
    let program = g.program(&outputs);
    for engine in engines() {
        let mut step = program.compile(&Options::engine(engine)).unwrap();
        let ones = Array::full(&f32([N]), 2.0);
        let results = step.run(&[("x", &ones)]).unwrap();
        let (y, dx) = (results.get("y").unwrap().to_f64_vec(), results.get("dx").unwrap().to_f64_vec());
        let kept = f64::from(2.0f32 * (1.0 / 0.75) as f32);
        assert!(y.iter().all(|&v| v == 0.0 || (v - kept).abs() < 1e-6));
        assert!(y.iter().zip(&dx).all(|(y, dx)| (*y == 0.0) == (*dx == 0.0) && *dx <= 4.01));
        near("dropout mean", moments(&y)[0], 2.0, 4.0 / 3.0);
        assert!(results.get("all").unwrap().to_f64_vec().iter().all(|v| *v == 0.0));
        assert!(results.get("none").unwrap().to_f64_vec().iter().all(|v| *v == 2.0));
    }
}

/// A draw takes no memory and no kernel of its own: it is computed where it is used.
#[test]
fn dropout_fuses_with_its_neighbours() {
    let kernels = |dropout: bool| {
        let g = Builder::new();
        let (x, b) = (g.input("x", f32([64, 100])), g.input("b", f32([100])));
        let h = (x + b).relu();
        let h = if dropout { h.dropout(0.5, g.key(0)) } else { h };
        let step = g.program(&[("y", h * 2.0)]).compile(&Options::default()).unwrap();
        (step.report().kernels, step.report().arena_bytes)
    };
    assert_eq!(kernels(true), kernels(false));
}

#[test]
fn a_step_draws_anew_in_each_run_and_alike_from_the_same_state() {
    let g = Builder::new();
    let state = g.state("key", Array::new([2], vec![0u32, 42]).unwrap());
    let [key, next] = Key::new(state).split();
    let draws = key.uniform(f32([8]), 0.0, 1.0);
    let program = g.program_with_updates(&[("y", draws)], &[(state, next.tensor())]);
    let run = |engine| {
        let mut step = program.compile(&Options::engine(engine)).unwrap();
        (0..3).map(|_| step.run(NOTHING).unwrap().first().clone()).collect::<Vec<Array>>()
    };
    let first = run(engines()[0]);
    assert!(first[0] != first[1] && first[1] != first[2]);
    for engine in engines() {
        assert_eq!(run(engine), first);
    }
}

#[test]
#[should_panic(expected = "a key is u32[2]")]
fn a_key_is_two_words() {
    let g = Builder::new();
    Key::new(g.input("k", u32([3])));
}

#[test]
#[should_panic(expected = "are floats")]
fn distributions_are_of_floats() {
    let g = Builder::new();
    g.key(0).normal(i32([3]));
}

#[test]
#[should_panic(expected = "300")]
fn integers_fit_their_type() {
    let g = Builder::new();
    g.key(0).integers(u8([3]), 0, 301);
}
