//! Matrix products against the crate `gemm` and against the processor's limit, in one run and by turns: `cargo bench --bench gemm [PART OF A NAME]`.
//!
//! Figures are GFLOP/s of the fastest of many turns. The limit is what multiplying and adding in registers reaches. The
//! shapes are those of common layers, forward (`x w`), backward by the weights (`x^T g`, marked `At`) and backward by the input (`g w^T`, marked `Bt`).
//!
//! On one core of an Intel Sapphire Rapids server with AVX-512 (limit 178 GFLOP/s): 100x784x500 147, 784x100x500 At 157, 512x128x384 169, 512 cubed 158, 1024 cubed 150,
//! 128x1024x1024 Bt 134; with the right factor packed before, 8x1024x1024 goes from 56 to 90, 32x1024x1024 from 79 to 137.
//!
//! On one core of an AMD Zen 4 server with AVX2 (limit 92 GFLOP/s, 60 GB/s from the last cache), by processor time while other programs ran: 100x784x500 80,
//! 784x100x500 At 84, 500x100x10 At 59, 32x64x32 74, 1024x128x1024 At 81, 512x128x384 87, 512 cubed 85; 1x1024x1024 28, which is the cache's limit; the library
//! 0.76 to 1.13 times that, but 0.5 for one narrow row. Packing panels of a wide factor together is worth 8 to 13 of 100 at 128x1024x1024 and 128x784x1024.

use std::time::{Duration, Instant};

use cotangent::testing::Gemm;
use gemm_common::Parallelism;

/// Rows, contraction, columns, and which factors are transposed.
const SHAPES: &[([usize; 3], &str)] = &[
    // Two layers, 784-500-10, batches of 100.
    ([100, 784, 500], ""),
    ([784, 100, 500], "At"),
    ([100, 500, 10], ""),
    ([500, 100, 10], "At"),
    ([100, 10, 500], "Bt"),
    // A small network: 64-32-10, batches of 32.
    ([32, 64, 32], ""),
    ([64, 32, 32], "At"),
    ([32, 32, 10], ""),
    ([32, 32, 10], "At"),
    ([32, 10, 32], "Bt"),
    // 64-100-10, batches of 50.
    ([50, 64, 100], ""),
    ([64, 50, 100], "At"),
    ([50, 100, 10], ""),
    ([100, 50, 10], "At"),
    ([50, 10, 100], "Bt"),
    // 784-1024-1024-10, batches of 128.
    ([128, 784, 1024], ""),
    ([784, 128, 1024], "At"),
    ([128, 1024, 1024], ""),
    ([128, 1024, 1024], "Bt"),
    ([1024, 128, 1024], "At"),
    ([128, 1024, 10], ""),
    ([1024, 128, 10], "At"),
    ([128, 10, 1024], "Bt"),
    // The same for one row.
    ([1, 784, 1024], ""),
    ([1, 1024, 1024], ""),
    ([1, 1024, 1024], "Bt"),
    ([1, 1024, 10], ""),
    // A column.
    ([1024, 1024, 1], ""),
    ([1024, 1024, 1], "At"),
    // A transformer of width 128, 512 positions; heads of 64 x 32.
    ([512, 128, 384], ""),
    ([512, 384, 128], "Bt"),
    ([128, 512, 384], "At"),
    ([512, 128, 512], ""),
    ([512, 512, 128], "Bt"),
    ([512, 128, 65], ""),
    ([128, 512, 65], "At"),
    ([64, 32, 64], "Bt"),
    ([64, 64, 32], ""),
    ([64, 64, 32], "At"),
    // Few rows, as of convolutions with few channels.
    ([8, 25, 576], ""),
    ([16, 200, 64], ""),
    ([8, 1024, 1024], ""),
    // Squares.
    ([256, 256, 256], ""),
    ([512, 512, 512], ""),
    ([1024, 1024, 1024], ""),
];

/// Turns of the limit.
const TURNS: usize = 4000;

/// A measured function and its fastest turn, in seconds.
struct Contestant<'a> {
    run: Box<dyn FnMut() + 'a>,
    best: f64,
}

/// Lets all run by turns until the time is over.
fn measure(contestants: &mut [Contestant<'_>], flops: f64, time: Duration) {
    let repeats = (1e7 / flops).ceil() as u32;
    let start = Instant::now();
    while start.elapsed() < time {
        for Contestant { run, best } in contestants.iter_mut() {
            let start = Instant::now();
            (0..repeats).for_each(|_| run());
            *best = best.min(start.elapsed().as_secs_f64() / f64::from(repeats));
        }
    }
}

/// The product by the crate `gemm`.
fn library([m, k, n]: [usize; 3], transposed: &str, a: &[f32], b: &[f32], c: &mut [f32]) {
    let (a_row, a_step) = if transposed.contains("At") { (1, m as isize) } else { (k as isize, 1) };
    let (b_step, b_column) = if transposed.contains("Bt") { (1, k as isize) } else { (n as isize, 1) };
    assert!(a.len() >= m * k && b.len() >= k * n && c.len() >= m * n);
    // The library is made for column-major results, so it computes the transposed product.
    // SAFETY: the slices hold the matrices.
    unsafe {
        gemm_f32::gemm::f32::get_gemm_fn()(
            n,
            m,
            k,
            c.as_mut_ptr(),
            n as isize,
            1,
            false,
            b.as_ptr(),
            b_step,
            b_column,
            a.as_ptr(),
            a_row,
            a_step,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

fn main() {
    let filter = std::env::args().skip(1).find(|a| !a.starts_with('-')).unwrap_or_default();
    let sets = Gemm::instruction_sets();
    print!("{:20} {:>8} {:>8} {:>8}", "m x k x n", "limit", "library", "packed");
    sets.iter().for_each(|name| print!(" {name:>8}"));
    println!(" {:>9} {:>9}", "of limit", "library =");
    for &(shape, transposed) in SHAPES {
        let [m, k, n] = shape;
        let name = format!("{m}x{k}x{n} {transposed}");
        if !name.contains(&filter) {
            continue;
        }
        let flops = 2.0 * (m * k * n) as f64;
        let limit_flops = Gemm::limit(sets[0], TURNS);
        let ours = Gemm::new(shape, transposed.contains("At"), transposed.contains("Bt"));
        let (a, b) = (ours.a().to_vec(), ours.b().to_vec());
        let mut c = vec![0.0; m * n];
        // With the right factor packed before, as of weights that do not change.
        let mut packed = ours.clone().packed(sets[0]);
        let mut by_set = vec![ours; sets.len()];
        let mut contestants: Vec<Contestant<'_>> = Vec::new();
        contestants.push(Contestant { run: Box::new(|| library(shape, transposed, &a, &b, &mut c)), best: f64::MAX });
        contestants.push(Contestant { run: Box::new(|| _ = packed.run(sets[0])), best: f64::MAX });
        for (ours, set) in by_set.iter_mut().zip(&sets) {
            contestants.push(Contestant { run: Box::new(|| _ = ours.run(set)), best: f64::MAX });
        }
        // The clock follows the load, so the limit is measured beside each shape.
        let mut limits = [Contestant { run: Box::new(|| _ = Gemm::limit(sets[0], TURNS)), best: f64::MAX }];
        measure(&mut limits, limit_flops, Duration::from_millis(20));
        measure(&mut contestants, flops, Duration::from_millis(300));
        measure(&mut limits, limit_flops, Duration::from_millis(20));
        let limit = limit_flops / limits[0].best * 1e-9;
        let speeds: Vec<f64> = contestants.iter().map(|c| flops / c.best * 1e-9).collect();
        drop(contestants);
        let reference = by_set[0].run(sets[0]);
        let off = reference.iter().zip(&c).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
        assert!(off < 1e-3, "{name}: the results differ by {off}");
        print!("{name:20} {limit:8.1}");
        speeds.iter().for_each(|s| print!(" {s:8.1}"));
        println!(" {:8.0}% {:8.2}x", 100.0 * speeds[2] / limit, speeds[2] / speeds[0]);
    }
}
