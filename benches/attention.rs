//! Causal self-attention, forward alone and with its gradient, from one tensor of queries, keys and values.

mod engines;

use cotangent::prelude::*;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Batch, positions, heads, features of a head.
const SIZES: [[usize; 4]; 3] = [[8, 64, 4, 32], [4, 256, 4, 32], [1, 1024, 4, 64]];

/// The sum of the attention of `[batch, positions, 3 heads features]`, with its gradient if `backward`.
fn program(g: &Builder, [batch, positions, heads, features]: [usize; 4], backward: bool) -> Program {
    let width = heads * features;
    let qkv = g.input("qkv", f32([batch, positions, 3 * width]));
    let part = |i: usize| {
        let part = qkv.slice(-1, i * width..(i + 1) * width);
        part.reshape([batch, positions, heads, features]).swap_axes(1, 2)
    };
    let seen = part(0).attention(part(1), part(2), Attention::new().causal());
    let seen = seen.swap_axes(1, 2).reshape([batch, positions, width]);
    if !backward {
        return g.program(&[("seen", seen)]);
    }
    let [gradient] = g.grad(seen.square().sum(), [qkv]);
    g.program(&[("gradient", gradient)])
}

fn attention(c: &mut Criterion) {
    for (name, backward) in [("attention", false), ("attention and gradient", true)] {
        let mut group = c.benchmark_group(name);
        for size in SIZES {
            let [batch, positions, heads, features] = size;
            let products = if backward { 7 } else { 2 };
            let flops = 2 * products * batch * heads * positions * positions * features;
            group.throughput(Throughput::Elements(flops as u64));
            let g = Builder::new();
            let program = program(&g, size, backward);
            let qkv = init::normal([batch, positions, 3 * heads * features], 0.0, 1.0, 0).array();
            engines::bench(&mut group, format!("{batch}x{positions}x{heads}x{features}"), &program, &[("qkv", &qkv)]);
        }
        group.finish();
    }
}

criterion_group!(benches, attention);
criterion_main!(benches);
