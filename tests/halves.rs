//! The types for storage, `f16` and `bf16`: numbers of 16 bits, computed with in `f32`.

mod engines;

use cotangent::half::{bf16, f16};
use cotangent::opt::Level;
use cotangent::prelude::*;
use engines::engines;

/// The results of a program on every engine at every level, which agree bit for bit.
fn run(inputs: &[(&str, Array)], f: impl for<'g> Fn(&'g Builder, &[Tensor<'g>]) -> Vec<Tensor<'g>>) -> Vec<Array> {
    let g = Builder::new();
    let tensors: Vec<Tensor<'_>> = inputs.iter().map(|(name, a)| g.input(name, a.ty())).collect();
    let results = f(&g, &tensors);
    let names: Vec<String> = (0..results.len()).map(|i| format!("y{i}")).collect();
    let outputs: Vec<_> = names.iter().map(String::as_str).zip(results).collect();
    let program = g.program(&outputs);
    let given: Vec<(&str, &Array)> = inputs.iter().map(|(n, a)| (*n, a)).collect();
    let mut all: Vec<Vec<Array>> = Vec::new();
    for engine in engines() {
        for level in [Level::O0, Level::O1, Level::O2] {
            let mut run = program.compile(&Options { level, ..Options::engine(engine) }).unwrap();
            all.push(run.run(&given).unwrap().iter().map(|(_, a)| a.clone()).collect());
        }
    }
    assert!(all.iter().all(|one| *one == all[0]), "{all:?}");
    all.swap_remove(0)
}

fn bf(values: &[f32]) -> Array {
    Array::from(values.iter().map(|&v| bf16::from_f32(v)).collect::<Vec<_>>())
}

fn hf(values: &[f32]) -> Array {
    Array::from(values.iter().map(|&v| f16::from_f32(v)).collect::<Vec<_>>())
}

#[test]
fn each_operation_computes_in_single_precision_and_rounds_once() {
    let numbers: Vec<f32> = (0..100).map(|i| (i as f32 * 0.37).sin() * 3.0 + 3.5).collect();
    let results = run(&[("x", bf(&numbers)), ("y", bf(&numbers[..1]))], |_, x| {
        vec![x[0] * x[0] + x[1], x[0] * 0.1, x[0].exp(), x[0].gt(x[1]), x[0].argmax(0)]
    });
    let x: Vec<f32> = bf(&numbers).to_f64_vec().iter().map(|&v| v as f32).collect();
    let rounded = |f: &dyn Fn(f32) -> f32| bf(&x.iter().map(|&v| f(v)).collect::<Vec<f32>>());
    let product = |v: f32| bf16::from_f32(v * v).to_f32();
    assert_eq!(results[0], rounded(&|v| product(v) + x[0]));
    // The number beside the tensor is that of single precision.
    assert_eq!(results[1], rounded(&|v| v * 0.1));
    assert_eq!(results[2].dtype(), DType::BF16);
    assert_eq!(results[3], Array::from(x.iter().map(|&v| v > x[0]).collect::<Vec<bool>>()));
    assert_eq!(results[4].dtype(), DType::I32);
}

#[test]
fn conversions_go_to_the_nearest() {
    let numbers = [0.0, -0.0, 1.0, 65504.0, 65519.0, 65520.0, 1e-7, -2.9e-8, 3e-8, 1e30, f32::INFINITY, f32::NAN];
    let results = run(&[("x", Array::from(numbers))], |_, x| {
        let (h, b) = (x[0].cast(DType::F16), x[0].cast(DType::BF16));
        vec![h, b, h.cast(DType::F32), b.cast(DType::F64), h.cast(DType::I32), b.cast(DType::Bool)]
    });
    let nan = numbers.len() - 1;
    for (i, &number) in numbers[..nan].iter().enumerate() {
        let (h, b) = (f16::from_f32(number), bf16::from_f32(number));
        assert_eq!(results[0].as_slice::<f16>().unwrap()[i].to_bits(), h.to_bits());
        assert_eq!(results[1].as_slice::<bf16>().unwrap()[i].to_bits(), b.to_bits());
        assert_eq!(results[2].as_slice::<f32>().unwrap()[i].to_bits(), h.to_f32().to_bits());
        assert_eq!(results[3].get_f64(i).to_bits(), b.to_f64().to_bits());
        assert_eq!(results[4].as_slice::<i32>().unwrap()[i], h.to_f32() as i32);
        assert_eq!(results[5].as_slice::<bool>().unwrap()[i], number != 0.0);
    }
    assert!((0..4).all(|k| results[k].get_f64(nan).is_nan()));
}

#[test]
fn a_composite_rounds_at_its_end_only() {
    // The sum is beyond the largest f16, the mean is not; the squares are beyond it, the deviation is not.
    let numbers: Vec<f32> = (0..4096).map(|i| 1000.0 + 300.0 * (i % 2) as f32).collect();
    let results =
        run(&[("x", hf(&numbers))], |_, x| vec![x[0].mean(), x[0].std(0), x[0].layer_norm(1e-5), x[0].norm(2.0)]);
    assert_eq!(results[0], Array::scalar(f16::from_f32(1150.0)));
    assert_eq!(results[1], Array::scalar(f16::from_f32(150.0)));
    assert_eq!(results[2].get_f64(0), -1.0);
    assert!(results[3].get_f64(0).is_infinite());
}

#[test]
fn sums_of_gradients_inside_a_composite_are_not_rounded() {
    let numbers: Vec<f32> = (0..64).map(|i| (i as f32 * 0.7).cos()).collect();
    let weights: Vec<f32> = (0..64).map(|i| (i as f32 * 1.3).sin()).collect();
    let results = run(&[("x", bf(&numbers)), ("w", bf(&weights))], |g, x| {
        let [half] = g.grad((x[0].softmax(0) * x[1]).sum(), [x[0]]);
        let wide = x[0].cast(DType::F32);
        let weights = x[1].cast(DType::F32);
        let y = wide.softmax(0);
        let expected = g.vjp(&[(y, weights)], &[wide])[0].cast(DType::BF16);
        vec![half, expected]
    });
    assert_eq!(results[0], results[1]);
}

#[test]
fn movement_indexing_and_loops_take_them_as_they_are() {
    let numbers: Vec<f32> = (0..12).map(|i| i as f32 / 8.0).collect();
    let results = run(&[("x", bf(&numbers)), ("i", Array::from([2i32, 0, 7, 2]))], |g, x| {
        let m = x[0].reshape([3, 4]);
        let shifted = g.concat(&[m.flip([1]), m], 0).pad(&[(1, 0), (0, 2)], 1.5);
        let taken = m.take(x[1] + 0, 0);
        let [sums] = g.grad((taken * taken).sum(), [x[0]]);
        let last = g.scan(m.slice(0, 0..1).reshape([4]), m, |h, x| {
            let h = h * 0.5 + x;
            (h, h)
        });
        vec![m.transpose([1, 0]), shifted, taken, sums, last.0, last.1]
    });
    assert!(results.iter().all(|r| r.dtype() == DType::BF16), "{results:?}");
    assert_eq!(results[1].shape()[..], [7, 6]);
    assert_eq!(results[1].get_f64(0), 1.5);
    // Row 2 is taken twice: 2 * 2 x; row 7 is not there.
    let sums: Vec<f64> = (0..12).map(|i| [2.0, 0.0, 4.0][i / 4] * i as f64 / 8.0).collect();
    assert!(results[2].get_f64(8).is_nan());
    assert_eq!(results[3].to_f64_vec(), sums);
}

#[test]
fn a_net_trains_with_weights_in_single_and_activations_in_half_precision() {
    let losses = |dtype: Option<DType>| -> Vec<f64> {
        let g = Builder::new();
        let (x, y) = (g.input("x", f32([64, 8])), g.input("y", i32([64])));
        // The optimizer keeps and updates the f32 weights; each step computes with their rounded copies.
        let (w, v) = (g.param("w", init::he([8, 32], 1)), g.param("v", init::he([32, 4], 2)));
        let [xs, ws, vs] = [x, w, v].map(|t| dtype.map_or(t, |d| t.cast(d)));
        let logits = xs.dot(ws).relu().dot(vs).cast(DType::F32);
        let loss = logits.cross_entropy(y).mean();
        let mut step = Sgd::new(0.1).minimize(loss).compile(&Options::default()).unwrap();
        let mut d = cotangent::testing::Draw::new(5);
        let xs = d.uniform(&f32([64, 8]), -1.0, 1.0);
        let ys = Array::new(
            [64],
            xs.to_f64_vec().chunks(8).map(|r| i32::from(r[0] > 0.0) + 2 * i32::from(r[1] > 0.0)).collect(),
        )
        .unwrap();
        (0..60).map(|_| step.run(&[("x", &xs), ("y", &ys)]).unwrap()["loss"].get_f64(0)).collect()
    };
    let single = losses(None);
    assert!(single[59] < 0.6 * single[0], "{single:?}");
    for dtype in [DType::F16, DType::BF16] {
        let half = losses(Some(dtype));
        assert!((half[59] - single[59]).abs() < 0.03, "{dtype}: {} against {}", half[59], single[59]);
    }
}

#[test]
fn random_numbers_and_initial_values() {
    let g = Builder::new();
    let key = g.key(7);
    let w = g.param("w", init::normal([1000], 0.0, 1.0, 3).dtype(DType::BF16));
    let results = [
        key.normal(f16([1000])),
        key.uniform(bf16([1000]), -1.0, 1.0),
        w * 1.0,
        key.normal(f32([1000])).cast(DType::F16),
    ];
    let outputs: Vec<_> = ["a", "b", "c", "d"].into_iter().zip(results).collect();
    let mut run = g.program(&outputs).compile(&Options::default()).unwrap();
    let out = run.run(&[]).unwrap();
    assert_eq!(out["a"], out["d"]);
    for name in ["a", "b", "c"] {
        let values = out[name].to_f64_vec();
        let mean = values.iter().sum::<f64>() / 1000.0;
        assert!(
            mean.abs() < 0.12 && values.iter().any(|v| *v < -0.9) && values.iter().any(|v| *v > 0.9),
            "{name}: {mean}"
        );
    }
}

#[test]
fn types_do_not_mix() {
    let refused = |f: fn(&Builder)| {
        let result = std::panic::catch_unwind(|| f(&Builder::new()));
        *result.expect_err("is refused").downcast::<String>().expect("a message")
    };
    let text = refused(|g| {
        let _ = g.input("x", bf16([2])) + g.input("y", f32([2]));
    });
    assert!(text.contains("add(bf16[2], f32[2])"), "{text}");
    let text = refused(|g| {
        let _ = g.input("x", bf16([2])) + g.input("y", f16([2]));
    });
    assert!(text.contains("add(bf16[2], f16[2])"), "{text}");
    let text = refused(|g| {
        let _ = g.iota(bf16([4]), 0);
    });
    assert!(text.contains("type for storage"), "{text}");
}

#[test]
fn arrays_print_and_compare() {
    let a = hf(&[1.0, -0.5, 0.1]);
    assert_eq!(a.to_string(), "[ 1.0      -0.5       0.099976]");
    assert_eq!(format!("{a:?}"), "f16[3] [1.0, -0.5, 0.099975586]");
    assert_eq!(a.get_f64(2), f16::from_f32(0.1).to_f64());
    assert_ne!(hf(&[0.0]), hf(&[-0.0]));
    assert_eq!(bf(&[f32::NAN]), bf(&[f32::NAN]));
    assert_eq!(f16([2, 3]).bytes(), 12);
}
