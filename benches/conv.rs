//! Convolutions and their two gradients against the processor's limit, in one run: `cargo bench --bench conv [PART OF A NAME]`.
//!
//! Figures are GFLOP/s of the fastest of many runs of a compiled program that does nothing else, on one thread, counted by the multiplications of the
//! mathematical definition. The limit is that of `cargo bench --bench gemm`. Beside them stands the time of a run, so that padding, groups and strides,
//! which keep the arithmetic small, can be compared.
//!
//! On one core of an AMD Zen 4 server with AVX2 (limit 92 GFLOP/s), the products alone reached 53 (1 -> 8, 5x5), 78 (8 -> 16, 5x5) and 78 (64 -> 64, 3x3)
//! forward, and 38, 68 and 72 by the weight. While windows were packed, the first two took 24 and 60, and 11 and 26 by the weight.

use std::num::NonZero;
use std::time::{Duration, Instant};

use cotangent::prelude::*;
use cotangent::testing::Gemm;

/// A convolution of images.
struct Case {
    name: &'static str,
    /// Examples, channels, height and width.
    images: [usize; 4],
    filters: usize,
    size: usize,
    options: fn() -> Conv,
}

const CASES: &[Case] = &[
    Case { name: "1 -> 8, 5x5", images: [32, 1, 28, 28], filters: 8, size: 5, options: Conv::new },
    Case { name: "8 -> 16, 5x5", images: [32, 8, 12, 12], filters: 16, size: 5, options: Conv::new },
    Case { name: "3 -> 32, 3x3", images: [16, 3, 32, 32], filters: 32, size: 3, options: same },
    Case { name: "64 -> 64, 3x3", images: [4, 64, 28, 28], filters: 64, size: 3, options: same },
    Case { name: "64 -> 128, 3x3 by 2", images: [4, 64, 28, 28], filters: 128, size: 3, options: by_two },
    Case { name: "64 -> 64, 3x3 dilated", images: [4, 64, 28, 28], filters: 64, size: 3, options: dilated },
    Case { name: "64 -> 128, 1x1", images: [4, 64, 28, 28], filters: 128, size: 1, options: Conv::new },
    Case { name: "64 -> 64, 4 groups", images: [4, 64, 28, 28], filters: 64, size: 3, options: || same().groups(4) },
    Case { name: "64 depthwise, 3x3", images: [4, 64, 28, 28], filters: 64, size: 3, options: || same().groups(64) },
    Case {
        name: "64 -> 64, 3x3 last",
        images: [4, 64, 28, 28],
        filters: 64,
        size: 3,
        options: || same().channels_last(),
    },
];

fn same() -> Conv {
    Conv::new().padding(Padding::Same)
}

fn by_two() -> Conv {
    Conv::new().padding(1).strides(2)
}

fn dilated() -> Conv {
    Conv::new().padding(2).dilation(2)
}

fn array(shape: &[usize]) -> Array {
    let count: usize = shape.iter().product();
    let numbers: Vec<f32> = (0..count).map(|i| (i * 7919 % 1009) as f32 / 1009.0 - 0.5).collect();
    Array::new(shape.to_vec(), numbers).expect("as many numbers as elements")
}

/// Seconds of the fastest run.
fn fastest(mut run: impl FnMut()) -> f64 {
    let (mut best, start) = (f64::MAX, Instant::now());
    run();
    while start.elapsed() < Duration::from_millis(150) {
        let start = Instant::now();
        run();
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}

fn main() {
    let filter = std::env::args().skip(1).find(|a| !a.starts_with('-')).unwrap_or_default();
    println!("{:24} {:>6} {:>20} {:>20} {:>20}", "GFLOP/s, us", "limit", "forward", "by the weight", "by the operand");
    for case in CASES.iter().filter(|c| c.name.contains(&filter)) {
        let (options, last) = ((case.options)(), case.name.ends_with("last"));
        let [examples, channels, height, width] = case.images;
        let groups = match case.name {
            name if name.contains("depthwise") => channels,
            name if name.contains("groups") => 4,
            _ => 1,
        };
        let (images, weight) = if last {
            ([examples, height, width, channels], [case.size, case.size, channels / groups, case.filters])
        } else {
            (case.images, [case.filters, channels / groups, case.size, case.size])
        };
        let places: usize = {
            let g = Builder::new();
            let y = g.input("x", f32(images)).conv(g.input("w", f32(weight)), &options);
            y.shape().iter().product::<usize>() / case.filters
        };
        let flops = 2.0 * (places * case.filters * channels / groups * case.size * case.size) as f64;
        let widest = Gemm::instruction_sets()[0];
        let limit = Gemm::limit(widest, 4000) * 1e-9 / fastest(|| _ = Gemm::limit(widest, 4000));
        print!("{:24} {limit:6.1}", case.name);
        for what in 0..3 {
            let g = Builder::new();
            let (x, w) = (g.input("x", f32(images)), g.input("w", f32(weight)));
            let y = x.conv(w, &options);
            let cotangent = g.input("g", TensorType::new(DType::F32, y.shape().clone()));
            let result = match what {
                0 => y,
                1 => g.vjp(&[(y, cotangent)], &[w])[0],
                _ => g.vjp(&[(y, cotangent)], &[x])[0],
            };
            let options = Options { threads: NonZero::new(1), ..Options::default() };
            let mut step = g.program(&[("result", result)]).compile(&options).expect("it compiles");
            let arrays = [("x", array(&images)), ("w", array(&weight)), ("g", array(&cotangent.shape()))];
            // Each of the three is a product of two.
            let unused = ["g", "w", "x"][what];
            let arrays: Vec<(&str, &Array)> =
                arrays.iter().filter(|(name, _)| *name != unused).map(|(name, array)| (*name, array)).collect();
            let seconds = fastest(|| _ = step.run(&arrays).expect("the inputs fit"));
            print!(" {:10.1} {:9.1}", flops / seconds * 1e-9, seconds * 1e6);
        }
        println!();
    }
}
