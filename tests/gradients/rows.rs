//! Rows of the gradient table: scalar functions, the plain ones of every structural operation, composites, rules of one's own, and loops.

use super::*;

pub fn scalar_functions() -> Vec<Row> {
    let mut rows = Vec::new();
    for &f in ScalarFn::ALL {
        let record = f.record();
        let (low, high) = record.domain;
        for shape in [&[7][..], &[], &[2, 0, 3], &[2, 1, 5]] {
            let mut draw = Draw::new(3 + shape.len() as u64);
            let mut operand = || draw.uniform(&f64(shape), low, high);
            let name = format!("{} {shape:?}", record.name);
            match record.signature {
                // What it gives is not what its derivative says, by design; tested exactly below.
                _ if f == ScalarFn::StopGradient => {}
                Signature::Number | Signature::Float => {
                    let inputs: Vec<Array> = (0..record.arity).map(|_| operand()).collect();
                    rows.push(row(&name, &inputs, move |g, x| g.try_push(Map { f }, x).unwrap()));
                }
                Signature::Compare => {
                    let inputs = [operand(), operand()];
                    rows.push(row(&name, &inputs, move |g, x| {
                        g.try_push(Map { f }, x).unwrap().select(x[0] * x[1], x[0].sin())
                    }));
                }
                Signature::Test => {
                    rows.push(row(&name, &[operand()], move |g, x| {
                        g.try_push(Map { f }, x).unwrap().select(x[0], x[0] * x[0])
                    }));
                }
                Signature::Words => {
                    let inputs = [operand(), operand(), operand()];
                    rows.push(row(&name, &inputs, move |g, x| {
                        let words: Vec<Tensor<'_>> = x.iter().map(|x| g.full(u32(x.shape()), 7.0)).collect();
                        let result = g.try_push(Map { f }, &words).unwrap();
                        (result >> 31).eq(0).select(x[0] * x[1], x[2].sin())
                    }));
                }
                Signature::Int => {
                    let inputs = [operand(), operand()];
                    rows.push(row(&name, &inputs, move |g, x| {
                        let bits = [x[0].cast(DType::I32), x[1].cast(DType::I32)];
                        let result = g.try_push(Map { f }, &bits).unwrap();
                        result.gt(2).select(x[0] * x[1], x[0] + x[1])
                    }));
                }
                Signature::Logic => {
                    let inputs = [operand(), operand()];
                    rows.push(row(&name, &inputs, move |g, x| {
                        let conditions = [x[0].gt(0.5), x[1].gt(0.5)];
                        let condition = g.try_push(Map { f }, &conditions[..f.arity()]).unwrap();
                        condition.select(x[0] * x[1], x[0] + x[1])
                    }));
                }
                Signature::Select => {
                    let inputs = [operand(), operand(), operand()];
                    rows.push(row(&name, &inputs, |g, x| {
                        let condition = x[0].gt(0.0);
                        g.try_push(Map { f: ScalarFn::Select }, &[condition, x[1].exp(), x[2] * x[0]]).unwrap()
                    }));
                }
            }
        }
    }
    rows
}

pub fn movement() -> Vec<Row> {
    vec![
        row("broadcast row and column", &[x(&[3, 1]), x(&[4])], |_, x| (x[0] * x[1]).sin()),
        row("broadcast a scalar", &[x(&[]), x(&[2, 3])], |_, x| x[0] * x[1] * x[0]),
        row("broadcast middle axes", &[x(&[2, 1, 3, 1]), x(&[4, 1, 5])], |_, x| x[0] * x[1]),
        row("broadcast to no elements", &[x(&[1, 3]), x(&[0, 3])], |_, x| x[0] * x[1]),
        unary("broadcast_to", &x(&[3]), |x| x.broadcast_to([2, 4, 3]).exp()),
        unary("reshape", &x(&[4, 3]), |x| x.reshape([2, 6]).sin() * x.reshape([2, 6])),
        unary("reshape of a transpose", &x(&[4, 3]), |x| x.t().reshape([2, 6]).exp()),
        unary("reshape of no elements", &x(&[0, 3]), |x| x.reshape([5, 0]).exp()),
        unary("reshape to a scalar", &x(&[1, 1]), |x| x.reshape([]).exp()),
        unary("expand and squeeze", &x(&[2, 3]), |x| x.expand(1).exp().squeeze(1)),
        unary("transpose of three axes", &x(&[2, 3, 4]), |x| x.transpose([2, 0, 1]).exp()),
        unary("transpose by negative axes", &x(&[2, 3, 4]), |x| x.transpose([-1, -3, -2]).exp()),
        unary("t", &x(&[2, 3, 4]), |x| x.t().exp()),
        unary("slice", &x(&[5, 4]), |x| x.slice(0, 1..4).exp()),
        unary("slice of nothing", &x(&[5, 4]), |x| x.slice(-1, 2..2).exp()),
        unary("slice with a step", &x(&[8, 2]), |x| x.slice_step(0, 1..8, 3).exp()),
        unary("slice with a negative step", &x(&[8, 2]), |x| x.slice_step(0, 1..8, -3).exp()),
        unary("slice with a step that leaves a rest", &x(&[9]), |x| x.slice_step(0, 0..8, 2).exp()),
        unary("slice of one element backwards", &x(&[9]), |x| x.slice_step(0, 4..5, -2).exp()),
        unary("flip", &x(&[3, 4]), |x| x.flip([0, -1]).exp() * x),
        unary("pad", &x(&[2, 3]), |x| x.pad(&[(1, 0), (0, 2)], 0.5).sin()),
        unary("pad of no elements", &x(&[0, 3]), |x| x.pad(&[(1, 1), (0, 0)], 0.5).sin()),
        row("pad between elements", &[x(&[3, 2])], |g, x| {
            let dims = |v: [usize; 2]| Dims::from_slice(&v);
            let pad = Pad { low: dims([1, 0]), high: dims([0, 2]), interior: dims([2, 1]), value: 0.25f64.to_bits() };
            g.try_push(pad, x).unwrap().exp()
        }),
        row("concat", &[x(&[2, 3]), x(&[2, 1]), x(&[2, 0])], |g, x| g.concat(&[x[0], x[1], x[2], x[0]], 1).exp()),
        row("concat of the first axis", &[x(&[1, 3]), x(&[4, 3])], |g, x| g.concat(x, 0).sin()),
        row("stack", &[x(&[2, 3]), between(&[2, 3], 0.5, 1.0)], |g, x| g.stack(x, 1).sin()),
        row("stack at the end", &[x(&[2]), between(&[2], 0.5, 1.0)], |g, x| g.stack(x, -1).sin()),
        row("iota", &[x(&[3, 4])], |g, x| x[0] * g.iota(f64([3, 4]), 1) + g.iota(f64([3, 4]), 0)),
        row("constant", &[x(&[2])], |g, x| x[0] * g.constant(Array::new([2], vec![2.0, 3.0f64]).unwrap()).exp()),
        row("cast there and back", &[x(&[3])], |_, x| {
            // Conversion to an integer and back is flat.
            x[0] * x[0].cast(DType::I32).cast(DType::F64)
        }),
        unary("cast of truth values", &x(&[5]), |x| x.gt(0.0).cast(DType::F64) * x * x),
    ]
}

pub fn reductions() -> Vec<Row> {
    let mut rows = Vec::new();
    let shape = [2, 3, 4];
    for axes in [&[0][..], &[1], &[2], &[-1], &[0, 2], &[1, 2], &[2, 0], &[0, 1, 2], &[]] {
        let name = |op: &str| format!("{op} over {axes:?}");
        let (a, b) = (axes.to_vec(), axes.to_vec());
        rows.push(unary(&name("sum"), &x(&shape), move |x| x.sin().sum_over(&a[..]).exp()));
        rows.push(unary(&name("prod"), &x(&shape), move |x| x.prod_over(&b[..])));
        let (a, b) = (axes.to_vec(), axes.to_vec());
        rows.push(unary(&name("max"), &apart(&shape), move |x| x.max_over(&a[..]).exp()));
        rows.push(unary(&name("min"), &apart(&shape), move |x| x.min_over(&b[..]).exp()));
        let (a, b) = (axes.to_vec(), axes.to_vec());
        rows.push(unary(&name("mean"), &x(&shape), move |x| x.mean_over(&a[..]).exp()));
        rows.push(unary(&name("sum that keeps axes"), &x(&shape), move |x| x / (x.square().sum_keep(&b[..]) + 1.0)));
        let (a, b) = (axes.to_vec(), axes.to_vec());
        rows.push(unary(&name("variance"), &x(&shape), move |x| x.variance_over(&a[..], 0).exp()));
        rows.push(unary(&name("logsumexp"), &x(&shape), move |x| x.logsumexp_over(&b[..])));
    }
    rows.extend([
        unary("sum of all", &x(&[3, 4]), |x| x.square().sum()),
        unary("sum of a scalar", &x(&[]), |x| x.square().sum()),
        unary("sum of nothing", &x(&[0, 3]), |x| x.sum_over(0).exp()),
        unary("sum over an axis of extent 1", &x(&[1, 3]), |x| x.sum_over(0).exp()),
        unary("prod of all", &x(&[2, 5]), |x| x.prod()),
        unary("prod of one", &x(&[3, 1]), |x| x.prod_over(1).exp()),
        unary("prod of nothing", &x(&[3, 0]), |x| x.prod_over(1).exp()),
        unary("prod of seven", &x(&[7]), |x| x.prod()),
        unary("prod with a zero", &Array::new([4], vec![0.0, 1.5, -2.0, 0.5f64]).unwrap(), |x| x.prod()),
        unary("prod with two zeros", &Array::new([4], vec![0.0, 1.5, 0.0, 0.5f64]).unwrap(), |x| x.prod()),
        unary("prod that keeps axes", &x(&[2, 3]), |x| x * x.prod_keep(1)),
        unary("max of all", &apart(&[3, 3]), |x| x.square().max()),
        unary("max that keeps axes", &apart(&[3, 4]), |x| x * x.max_keep(0)),
        unary("min that keeps axes", &apart(&[3, 4]), |x| x * x.min_keep([0, 1])),
        unary("mean that keeps axes", &x(&[3, 4]), |x| x * x.mean_keep(1)),
        // The place of an extreme has no derivative; what it chooses has.
        unary("argmax", &apart(&[3, 4]), |x| x.exp().pick(x.argmax(-1))),
        unary("argmin", &apart(&[3, 4]), |x| x.exp().take(x.argmin(0), 0)),
    ]);
    rows
}

pub fn products() -> Vec<Row> {
    vec![
        row("matrix by matrix", &[x(&[3, 4]), x(&[4, 2])], |_, x| x[0].dot(x[1])),
        row("matrix by vector", &[x(&[3, 4]), x(&[4])], |_, x| x[0].dot(x[1]).exp()),
        row("vector by matrix", &[x(&[4]), x(&[4, 2])], |_, x| x[0].dot(x[1]).sin()),
        row("vector by vector", &[x(&[4]), between(&[4], 0.0, 1.0)], |_, x| x[0].dot(x[1]).exp()),
        row("matrix by itself", &[x(&[3, 3])], |_, x| x[0].dot(x[0])),
        row("matrix by its transpose", &[x(&[3, 4])], |_, x| x[0].dot(x[0].t())),
        row("transposed operands", &[x(&[4, 3]), x(&[2, 4])], |_, x| x[0].t().dot(x[1].t())),
        row("features of rank 3 by matrix", &[x(&[2, 3, 4]), x(&[4, 2])], |_, x| x[0].dot(x[1])),
        row("batches", &[x(&[2, 3, 4]), x(&[2, 4, 3])], |_, x| x[0].dot(x[1])),
        row("batches that broadcast", &[x(&[3, 4]), x(&[2, 4, 3])], |_, x| x[0].dot(x[1])),
        row("two batch axes", &[x(&[2, 1, 2, 3]), x(&[3, 3, 2])], |_, x| x[0].dot(x[1])),
        row("vector by batches", &[x(&[4]), x(&[2, 4, 3])], |_, x| x[0].dot(x[1])),
        row("contraction of two axes, crossed", &[x(&[2, 3, 4]), x(&[4, 5, 2])], |_, x| {
            x[0].contract(x[1], &[(0, 2), (2, 0)], &[])
        }),
        row("contraction with batch axes in the middle", &[x(&[3, 2, 4]), x(&[4, 3, 2])], |_, x| {
            x[0].contract(x[1], &[(2, 0)], &[(1, 2)])
        }),
        row("two batch axes, crossed", &[x(&[2, 3, 4]), x(&[3, 5, 2])], |_, x| {
            x[0].contract(x[1], &[], &[(0, 2), (1, 0)])
        }),
        row("outer product", &[x(&[3]), x(&[4])], |_, x| x[0].contract(x[1], &[], &[])),
        row("product of batches only", &[x(&[2, 3]), x(&[3, 2])], |_, x| x[0].contract(x[1], &[], &[(0, 1), (1, 0)])),
        row("contraction over no elements", &[x(&[3, 0]), x(&[0, 2])], |_, x| x[0].dot(x[1])),
        row("contraction of all", &[x(&[2, 3]), between(&[2, 3], 0.0, 1.0)], |_, x| {
            x[0].contract(x[1], &[(0, 0), (1, 1)], &[]).exp()
        }),
        row("linear", &[x(&[3, 4]), x(&[4, 2]), x(&[2])], |_, x| x[0].linear(x[1], x[2]).tanh()),
    ]
}

pub fn indexing() -> Vec<Row> {
    let index = integers(&[2, 2], &[3, 0, 3, 1]);
    let outside = integers(&[4], &[-1, 2, 9, 2]);
    vec![
        row("take", &[x(&[4, 3]), index.clone()], |_, x| x[0].take(x[1], 0).exp()),
        row("take along the last axis", &[x(&[3, 4]), index.clone()], |_, x| x[0].take(x[1], -1).exp()),
        row("take along a middle axis", &[x(&[2, 4, 3]), index.clone()], |_, x| x[0].take(x[1], 1).exp()),
        row("take by a scalar", &[x(&[4, 3]), integers(&[], &[2])], |_, x| x[0].take(x[1], 0).exp()),
        row("take of nothing", &[x(&[4, 3]), integers(&[0], &[])], |_, x| x[0].take(x[1], 0).exp()),
        row("gather out of range", &[x(&[4, 3]), outside.clone()], |g, x| {
            let fill = 0.5f64.to_bits();
            g.try_push(Gather { batch: 0, fill }, x).unwrap().exp()
        }),
        row("gather in batches", &[x(&[2, 4, 3]), index.clone()], |g, x| g.try_push(Gather::new(1), x).unwrap().exp()),
        row("pick", &[x(&[3, 4]), labels(&[3, 0, 2])], |_, x| x[0].pick(x[1]).exp()),
        row("scatter_add", &[x(&[4, 3]), index.clone(), x(&[2, 2, 3])], |_, x| x[0].scatter_add(x[1], x[2]).exp()),
        row("scatter_add out of range", &[x(&[4]), outside.clone(), between(&[4], 0.0, 1.0)], |_, x| {
            x[0].scatter_add(x[1], x[2]).exp()
        }),
        row("scatter_set", &[x(&[4, 3]), index.clone(), x(&[2, 2, 3])], |_, x| x[0].scatter_set(x[1], x[2]).exp()),
        row("scatter_set out of range", &[x(&[4]), outside, between(&[4], 0.0, 1.0)], |_, x| {
            x[0].scatter_set(x[1], x[2]).exp()
        }),
        row("scatter_set in batches", &[x(&[2, 4, 3]), index.clone(), x(&[2, 2, 3])], |g, x| {
            let combine = Combine::Set;
            g.try_push(Scatter { batch: 1, combine }, x).unwrap().exp()
        }),
        row("scatter_add in batches", &[x(&[2, 4, 3]), index, x(&[2, 2, 3])], |g, x| {
            let combine = Combine::Add;
            g.try_push(Scatter { batch: 1, combine }, x).unwrap().exp()
        }),
        row("one_hot", &[x(&[3, 4]), labels(&[3, 7, 2])], |_, x| x[0] * x[1].one_hot(4, DType::F64) * x[0]),
    ]
}

pub fn linear_algebra() -> Vec<Row> {
    /// A symmetric positive definite matrix made of any.
    fn definite<'g>(g: &'g Builder, x: Tensor<'g>) -> Tensor<'g> {
        let n = x.shape()[x.rank() - 1];
        let identity = g.iota(i32([n, n]), 0).eq(g.iota(i32([n, n]), 1)).cast(DType::F64);
        x.dot(x.t()) + identity
    }
    fn regular<'g>(g: &'g Builder, x: Tensor<'g>) -> Tensor<'g> {
        let n = x.shape()[x.rank() - 1];
        let identity = g.iota(i32([n, n]), 0).eq(g.iota(i32([n, n]), 1)).cast(DType::F64);
        x * 0.3 + identity * 2.0
    }
    let mut rows = Vec::new();
    for shape in [&[3, 3][..], &[1, 1], &[2, 3, 3], &[0, 0], &[2, 1, 2, 2]] {
        let name = |op: &str| format!("{op} {shape:?}");
        let (a, columns) = (x(shape), x(&[shape[shape.len() - 1], 2]));
        rows.push(row(&name("cholesky"), std::slice::from_ref(&a), |g, x| definite(g, x[0]).cholesky().sin()));
        // The derivative is by the lower triangle, which alone is read.
        rows.push(row(&name("cholesky of a lower triangle"), std::slice::from_ref(&a), |g, x| {
            let n = x[0].shape()[x[0].rank() - 1] as f64;
            (regular(g, x[0]) + regular(g, x[0] * 0.0) * n).cholesky().sin()
        }));
        rows.push(row(&name("logdet"), std::slice::from_ref(&a), |g, x| definite(g, x[0]).logdet().sin()));
        rows.push(row(&name("inverse"), std::slice::from_ref(&a), |g, x| regular(g, x[0]).inverse().sin()));
        rows.push(row(&name("det"), std::slice::from_ref(&a), |_, x| (x[0] + 0.1).det().sin()));
        rows.push(row(&name("slogdet"), std::slice::from_ref(&a), |_, x| (x[0] + 0.1).slogdet().1.sin()));
        rows.push(row(&name("solve"), &[a.clone(), columns.clone()], |g, x| regular(g, x[0]).solve(x[1]).sin()));
        for upper in [false, true] {
            for (transpose, unit, right) in [(false, false, false), (true, false, true), (false, true, true)] {
                let options = TriangularOptions { upper, transpose, unit, right };
                rows.push(row(&name(&format!("{options:?}")), &[a.clone(), columns.clone()], move |g, x| {
                    let b = if right { x[1].t() } else { x[1] };
                    regular(g, x[0]).triangular_solve(b, options).sin()
                }));
            }
        }
    }
    rows.push(row("solve for a vector", &[x(&[3, 3]), x(&[3])], |g, x| regular(g, x[0]).solve(x[1]).sin()));
    rows.push(row("solve with matrices that broadcast", &[x(&[2, 1, 2, 2]), x(&[3, 2, 1])], |g, x| {
        regular(g, x[0]).solve(x[1]).sin()
    }));
    rows
}

pub fn einsums() -> Vec<Row> {
    let mut rows = Vec::new();
    let cases: &[(&str, &[&[usize]])] = &[
        ("ij,jk->ik", &[&[3, 4], &[4, 2]]),
        ("ii->i", &[&[3, 3]]),
        ("iij,j->ij", &[&[2, 2, 3], &[3]]),
        ("...ij,...jk->...ki", &[&[2, 1, 3, 2], &[3, 2, 2]]),
        ("ij,jk->ik", &[&[3, 1], &[4, 2]]),
        ("ab,bc,cd->", &[&[2, 3], &[3, 2], &[2, 3]]),
        ("ij,ij->i", &[&[2, 3], &[2, 3]]),
        ("i,j", &[&[2], &[0]]),
    ];
    for &(specification, shapes) in cases {
        let seed = |i: usize, s: &[usize]| between(s, -1.0 - i as f64, 1.0);
        let inputs: Vec<Array> = shapes.iter().enumerate().map(|(i, s)| seed(i, s)).collect();
        rows.push(row(&format!("einsum {specification}"), &inputs, |g, x| g.einsum(specification, x).sin()));
    }
    rows.extend([
        row("kron", &[x(&[2, 2]), x(&[3])], |_, x| x[0].kron(x[1]).sin()),
        row("outer", &[x(&[2, 2]), x(&[3])], |_, x| x[0].outer(x[1]).sin()),
        row("inner", &[x(&[2, 3]), x(&[4, 3])], |_, x| x[0].inner(x[1]).sin()),
        row("vdot", &[x(&[2, 3]), x(&[3, 2])], |_, x| x[0].vdot(x[1]).sin()),
        row("matmul", &[x(&[2, 3]), x(&[4, 3, 2])], |_, x| x[0].matmul(x[1]).sin()),
        row("tensordot", &[x(&[2, 3, 4]), x(&[4, 3, 2])], |_, x| x[0].tensordot(x[1], &[(1, 1), (-1, 0)]).sin()),
    ]);
    rows
}

pub fn cumulative() -> Vec<Row> {
    let mut rows = Vec::new();
    let shape = [2, 4, 3];
    for &reduction in Reduction::ALL {
        for axis in 0..3 {
            for (exclusive, reverse) in [(false, false), (false, true), (true, false), (true, true)] {
                let options = CumulativeOptions { exclusive, reverse };
                let name = format!("{reduction:?} along {axis}, {options:?}");
                // Where an exclusive fold of nothing is infinite, its sine is NaN.
                let begin = usize::from(exclusive && matches!(reduction, Reduction::Max | Reduction::Min));
                let point = if begin == 1 || reduction != Reduction::Prod { apart(&shape) } else { x(&shape) };
                rows.push(unary(&name, &point, move |x| {
                    let folded = x.cumulative(reduction, axis as isize, options);
                    let end = shape[axis];
                    let part = if reverse { 0..end - begin } else { begin..end };
                    folded.slice(axis as isize, part).sin()
                }));
            }
        }
    }
    let zeros = Array::new([2, 5], vec![0.0, 1.5, -2.0, 0.0, 0.5, 1.0, 0.0, 3.0, -1.0, 2.0f64]).unwrap();
    rows.extend([
        unary("cumprod with zeros", &zeros, |x| x.cumprod(1).sin()),
        unary("cumprod with zeros, reverse", &zeros, |x| {
            x.cumulative(Reduction::Prod, 1, CumulativeOptions { exclusive: false, reverse: true }).sin()
        }),
        unary("cumsum of nothing", &x(&[3, 0]), |x| x.cumsum(1).exp()),
        unary("cumprod of one", &x(&[3, 1]), |x| x.cumprod(1).exp()),
        unary("cummax of one", &x(&[1, 3]), |x| x.cummax(0).exp()),
        unary("cummin", &apart(&[3, 4]), |x| x.cummin(1) * x),
        unary("logcumsumexp", &x(&[3, 4]), |x| x.logcumsumexp(1).sin()),
        unary("logcumsumexp of large numbers", &between(&[4, 2], 998.0, 1002.0), |x| x.logcumsumexp(0).sin()),
        row("recurrence", &[x(&[3, 4]), between(&[3, 4], -1.0, 1.0)], |_, x| x[0].recurrence(x[1], 1, false).sin()),
        row("recurrence of the first axis, reverse", &[x(&[4, 2]), between(&[4, 2], -1.0, 1.0)], |_, x| {
            x[0].recurrence(x[1], 0, true).sin()
        }),
        row("recurrence of one factor", &[x(&[5]), between(&[], -1.0, 1.0)], |_, x| {
            x[0].recurrence(x[1].broadcast_to([5]), 0, false).sin()
        }),
    ]);
    rows
}

pub fn sorting() -> Vec<Row> {
    vec![
        // The order has no derivative; what it chooses has.
        unary("argsort", &apart(&[6]), |x| x.exp().take(x.argsort(0, false), 0).slice(0, 1..4)),
        unary("sort", &apart(&[3, 4]), |x| x.sort(1, false).exp() * x),
        unary("sort of the first axis, descending", &apart(&[5, 2]), |x| x.sort(0, true).sin() * x),
        unary("sort of a middle axis", &apart(&[2, 5, 3]), |x| x.sort(1, true).exp().sin()),
        unary("sort of one", &apart(&[3, 1]), |x| x.sort(1, true).exp()),
        unary("sort of nothing", &apart(&[3, 0]), |x| x.sort(1, true).exp()),
        unary("top_k", &apart(&[3, 5]), |x| x.top_k(2, 1).0.square()),
        unary("top_k of the first axis", &apart(&[5, 3]), |x| x.top_k(3, 0).0.exp()),
        unary("median", &apart(&[4, 5]), |x| x.median(0).exp() * x.median(1).slice(0, 0..1)),
        unary("quantile", &apart(&[4, 5]), |x| x.quantile(0.3, 1).exp()),
    ]
}

pub fn composites() -> Vec<Row> {
    let targets = Draw::new(5).uniform(&f64([3, 4]), 0.0, 1.0);
    vec![
        unary("relu", &x(&[3, 4]), |x| x.relu().square()),
        unary("gelu", &x(&[3, 4]), |x| x.gelu()),
        unary("gelu_tanh", &x(&[3, 4]), |x| x.gelu_tanh()),
        unary("square", &x(&[3]), |x| x.square()),
        unary("softmax", &x(&[3, 4]), |x| x.softmax(-1)),
        unary("softmax of the first axis", &x(&[3, 4]), |x| x.softmax(0)),
        unary("softmax of large numbers", &between(&[2, 3], 998.0, 1002.0), |x| x.softmax(1)),
        unary("log_softmax", &x(&[3, 4]), |x| x.log_softmax(1)),
        unary("log_softmax of one class", &x(&[3, 1]), |x| x.log_softmax(1)),
        row("cross_entropy", &[x(&[3, 4]), labels(&[0, 3, 1])], |_, x| x[0].cross_entropy(x[1])),
        row("cross_entropy of rank 3", &[x(&[2, 2, 3]), integers(&[2, 2], &[0, 2, 1, 1])], |_, x| {
            x[0].cross_entropy(x[1])
        }),
        row("mse", &[x(&[3, 4]), targets.clone()], |_, x| x[0].mse(x[1])),
        row("bce_with_logits", &[x(&[3, 4]), targets], |_, x| x[0].bce_with_logits(x[1])),
        unary("layer_norm", &x(&[3, 4]), |x| x.layer_norm(1e-5)),
        row("layer_norm with gain and bias", &[x(&[3, 4]), x(&[4]), between(&[4], 0.0, 1.0)], |_, x| {
            (x[0].layer_norm(1e-5) * x[1] + x[2]).tanh()
        }),
        row("two layers", &[x(&[3, 4]), x(&[4, 5]), x(&[5, 2]), labels(&[0, 1, 1])], |_, x| {
            x[0].dot(x[1]).relu().dot(x[2]).cross_entropy(x[3]).mean()
        }),
        row("attention", &[x(&[2, 3, 4]), x(&[2, 5, 4]), between(&[2, 5, 4], 0.0, 1.0)], |_, x| {
            (x[0].dot(x[1].t()) * 0.5).softmax(-1).dot(x[2])
        }),
        // Draws have no derivative; what is made of them has.
        unary("dropout", &x(&[3, 4]), |x| x.dropout(0.4, x.builder().key(3)).exp()),
        row("a draw with a mean and a deviation", &[x(&[2, 1]), x(&[3])], |g, x| {
            (g.key(5).normal(f64([2, 3])) * x[1] + x[0]).sin()
        }),
        row("a node used many times", &[x(&[3])], |_, x| x[0] * x[0] * x[0] + x[0].exp() * x[0] / (x[0] * x[0] + 1.0)),
    ]
}

pub fn rules() -> Vec<Row> {
    vec![
        row("barrier", &[x(&[3]), x(&[2, 2])], |g, x| g.try_push(Barrier, &[x[0].exp(), x[1]]).unwrap() * x[0]),
        row("custom_vjp", &[x(&[3, 4])], |g, x| {
            let softplus = (1.0 + x[0].exp()).log();
            g.custom_vjp("softplus", x, |_| softplus, |x, _, u| vec![u * x[0].sigmoid()]).square()
        }),
        row("custom_vjp of several inputs", &[x(&[3, 4]), labels(&[0, 3, 1]), x(&[4, 2]), x(&[2])], |g, x| {
            let bias = x[3].square();
            let inputs = [x[0].exp(), x[1], x[2]];
            // The rule uses its result, a captured tensor, and inputs with and without cotangents.
            let product = g.custom_vjp(
                "linear",
                &inputs,
                |x| x[0].dot(x[2]) + x[1].cast(DType::F64).expand(1),
                |x, y, u| vec![u.dot(x[2].t()), x[0].t().dot(u) + 0.0 * bias.sum() * y.sum()],
            );
            (product + bias).tanh()
        }),
        row("checkpoint", &[x(&[2, 3]), x(&[3, 4]), x(&[4])], |g, x| {
            g.checkpoint(|| (x[0].dot(x[1]).tanh() * x[2]).exp()).sin()
        }),
        row("checkpoint within a checkpoint", &[x(&[2, 3]), x(&[3, 3])], |g, x| {
            let outer = g.checkpoint(|| {
                let inner = g.checkpoint(|| x[0].dot(x[1]).tanh());
                inner.dot(x[1]).sin()
            });
            outer * x[0]
        }),
    ]
}

pub fn windows() -> Vec<Row> {
    let list = |v: [usize; 2]| Dims::from_slice(&v);
    let windows = move |axes, sizes, strides, dilations| Windows {
        axes: list(axes),
        sizes: list(sizes),
        strides: list(strides),
        dilations: list(dilations),
    };
    let small = between(&[2, 1, 3, 2], 0.2, 1.0);
    let mut rows = vec![
        unary("unfold", &x(&[2, 5]), |x| x.unfold(1, 3, 1).exp()),
        unary("unfold of the first axis", &x(&[7, 2]), |x| x.unfold(0, 2, 3).exp()),
        unary("unfold with a window of one", &x(&[4]), |x| x.unfold(0, 1, 2).exp()),
        row("window", &[x(&[6, 2, 5])], move |g, x| {
            g.try_push(Window { windows: windows([0, 2], [2, 3], [2, 1], [3, 2]) }, x).unwrap().exp()
        }),
        row("window of no elements", &[x(&[0, 4, 3])], move |g, x| {
            g.try_push(Window { windows: windows([1, 2], [2, 3], [1, 1], [1, 1]) }, x).unwrap().exp()
        }),
    ];
    // Whole steps, steps and phases, no overlap; results that are shorter and longer than what the windows cover.
    for (strides, dilations) in
        [([1, 1], [1, 2]), ([2, 3], [1, 1]), ([2, 2], [4, 3]), ([3, 1], [1, 1]), ([4, 2], [2, 1])]
    {
        for (low, extents) in [([0, 0], [7, 5]), ([1, 2], [4, 3]), ([0, 3], [12, 12]), ([9, 9], [2, 2])] {
            let name = format!("unwindow {strides:?} {dilations:?} {low:?} {extents:?}");
            rows.push(row(&name, &[x(&[3, 2, 2, 3, 2])], move |g, x| {
                let windows = windows([0, 2], [3, 2], strides, dilations);
                let low = list(low);
                g.try_push(Unwindow { windows, low, extents: list(extents) }, x).unwrap().sin()
            }));
        }
    }
    let conv = |name: &str, x: &[usize], w: &[usize], options: Conv| {
        let inputs = [self::x(x), between(w, -1.0, 1.0)];
        row(name, &inputs, move |_, x| x[0].conv(x[1], &options).sin())
    };
    let transposed = |name: &str, x: &[usize], w: &[usize], options: Conv| {
        let inputs = [self::x(x), between(w, -1.0, 1.0)];
        row(name, &inputs, move |_, x| x[0].conv_transpose(x[1], &options).sin())
    };
    rows.extend([
        conv("conv of one dimension", &[2, 2, 5], &[3, 2, 3], Conv::new()),
        conv("conv", &[2, 2, 4, 3], &[3, 2, 3, 2], Conv::new().padding([(1, 0), (0, 2)])),
        conv("conv with strides", &[1, 2, 5, 4], &[2, 2, 2, 2], Conv::new().strides([2, 3]).padding(1)),
        conv("conv with dilation", &[1, 2, 5, 5], &[2, 2, 2, 3], Conv::new().dilation([3, 1]).padding(Padding::Same)),
        conv("conv in groups", &[2, 4, 3, 3], &[2, 2, 2, 2], Conv::new().groups(2)),
        conv("depthwise conv", &[1, 3, 4, 4], &[3, 1, 3, 3], Conv::new().groups(3).padding(1)),
        conv("conv of a window each", &[2, 2, 3, 3], &[2, 2, 3, 3], Conv::new()),
        conv("conv of three dimensions", &[1, 1, 3, 3, 3], &[2, 1, 2, 2, 2], Conv::new().strides([1, 2, 1])),
        conv("conv of no examples", &[0, 2, 3, 3], &[2, 2, 2, 2], Conv::new()),
        conv("conv, channels last", &[2, 4, 3, 2], &[2, 2, 2, 3], Conv::new().channels_last().padding(1)),
        conv("conv in groups, channels last", &[1, 3, 3, 4], &[2, 2, 2, 2], Conv::new().channels_last().groups(2)),
        transposed("conv_transpose", &[1, 2, 3, 3], &[2, 2, 3, 2], Conv::new()),
        transposed(
            "conv_transpose with strides",
            &[1, 2, 3, 2],
            &[2, 2, 3, 2],
            Conv::new().strides([2, 3]).padding([1, 0]).output_padding([1, 2]),
        ),
        transposed(
            "conv_transpose in groups, channels last",
            &[1, 2, 3, 4],
            &[2, 2, 4, 1],
            Conv::new().strides(2).padding(Padding::Same).groups(2).channels_last(),
        ),
    ]);
    rows.extend([
        unary("max_pool", &apart(&[2, 2, 4, 4]), |x| x.max_pool(&Pool::new(2)).exp()),
        unary("max_pool with overlap", &apart(&[1, 2, 5, 6]), |x| {
            x.max_pool(&Pool::new(3).strides(2).padding(1)).sin()
        }),
        unary("avg_pool", &x(&[2, 2, 5]), |x| x.avg_pool(&Pool::new(3).strides(1).padding(1)).exp()),
        unary("avg_pool of what is there", &x(&[1, 2, 5, 4]), |x| {
            x.avg_pool(&Pool::new(2).padding(1).ceil_mode(true).count_include_pad(false)).exp()
        }),
        unary("lp_pool", &small, |x| x.lp_pool(3.0, &Pool::new(2).strides(1))),
        unary("lp_pool of order 2", &small, |x| x.lp_pool(2.0, &Pool::new([2, 1]))),
        unary("lp_pool of order 1", &small, |x| x.lp_pool(1.0, &Pool::new([2, 1])).exp()),
        unary("global pools", &apart(&[2, 2, 3, 2]), |x| {
            x.global_max_pool(Layout::ChannelsFirst) * x.global_avg_pool(Layout::ChannelsFirst)
        }),
        unary("adaptive_avg_pool", &x(&[1, 2, 5, 4]), |x| x.adaptive_avg_pool([3, 2], Layout::ChannelsFirst).exp()),
    ]);
    use Interpolation::{Linear, LinearAligned, Nearest, NearestExact};
    for interpolation in [Nearest, NearestExact, Linear, LinearAligned] {
        for size in [[6, 2], [5, 3], [1, 7]] {
            let name = format!("resize to {size:?}, {interpolation:?}");
            rows.push(unary(&name, &x(&[1, 2, 3, 4]), move |x| {
                x.resize(size, interpolation, Layout::ChannelsFirst).exp()
            }));
        }
    }
    rows
}

/// A cell: the next state from the state, a slice and a matrix.
fn cell<'g>(h: Tensor<'g>, x: Tensor<'g>, w: Tensor<'g>) -> Tensor<'g> {
    (h.dot(w) + x * h).tanh()
}

pub fn loops() -> Vec<Row> {
    let state = || [x(&[2, 3]), x(&[4, 2, 3]), x(&[3, 3])];
    let mut rows = Vec::new();
    for keep in [Keep::All, Keep::Carries] {
        for (name, scan) in [("scan", Scan::new()), ("reverse scan", Scan::new().reverse())] {
            let scan = scan.keep(keep);
            rows.push(row(&format!("{name}, {keep} kept"), &state(), move |g, x| {
                let (last, all) = g.scan_with(scan, x[0], x[1], |h, s| {
                    let h = cell(h, s, x[2]);
                    (h, h * s)
                });
                last * all.sum_over([0])
            }));
        }
        let scan = Scan::new().keep(keep);
        rows.push(row(&format!("nested scans, {keep} kept"), &[x(&[3]), x(&[2, 4]), x(&[3])], move |g, x| {
            let (last, rows) = g.scan_with(scan, x[0], x[1], |h, numbers| {
                let (h, all) = g.scan_with(scan, h, numbers, |h, n| ((h * n + x[2]).sin(), (h * n).sum()));
                (h, all)
            });
            last * rows.sum()
        }));
        rows.push(row(
            &format!("several carries and slices, {keep} kept"),
            &[x(&[2]), x(&[3]), x(&[5, 2])],
            move |g, x| {
                let count = g.zeros(i32([]));
                let xs = (x[2], x[2].exp());
                let ((a, b, n), ys) = g.scan_with(scan, (x[0], x[1], count), xs, |(a, b, n), (s, e)| {
                    let weight = n.cast(DType::F64) * 0.25 + 1.0;
                    ((a * s + b.sum() * weight * 0.5, (b * e.sum() * 0.125).cos(), n + 1), [a * b.sum()])
                });
                a * b.sum() * n.cast(DType::F64) + ys[0].sum_over([0])
            },
        ));
        rows.push(row(&format!("scan inside cond inside scan, {keep} kept"), &[x(&[2]), x(&[4, 2])], move |g, x| {
            let steps = g.iota(i32([4]), 0);
            let (last, all) = g.scan_with(scan, x[0], (x[1], steps), |h, (s, t)| {
                let inner = || g.scan_with(scan.trips(3), h, (), |h, ()| ((h * s).sin(), ())).0;
                let h = g.cond((t % 2).eq(0), inner, || h * h + s);
                (h, h)
            });
            last + all.sum_over([0])
        }));
    }
    rows.push(row("scan of one slice", &[x(&[3]), x(&[1, 3])], |g, x| {
        g.scan(x[0], x[1], |h, s| ((h * s).exp(), ())).0
    }));
    rows.push(row("scan of no slices", &[x(&[3]), x(&[0, 3])], |g, x| {
        let (last, all) = g.scan(x[0].exp(), x[1], |h, s| ((h * s).exp(), h));
        last + all.sum_over([0])
    }));
    rows.push(row("scan of no elements", &[x(&[0]), x(&[2, 0])], |g, x| {
        let (last, all) = g.scan(x[0], x[1], |h, s| ((h * s).exp(), h.sum()));
        last + all.sum()
    }));
    rows.push(row("scan with one axis of one element", &[x(&[1, 2]), x(&[3, 1, 2])], |g, x| {
        g.scan(x[0], x[1], |h, s| ((h * s).cos(), h.sum())).1
    }));
    rows.push(row("the carry unchanged, the slices transposed", &[x(&[2]), x(&[2, 3])], |g, x| {
        g.scan(x[0], x[1].t(), |h, s| (h, (h * s).exp())).1
    }));
    rows.push(row("while", &[between(&[2], 1.5, 2.0)], |g, x| {
        g.while_loop(x[0], 50, |c| c.sum().lt(100.0), |c| c * x[0])
    }));
    rows.push(row("while at its bound", &[between(&[2], 1.5, 2.0)], |g, x| {
        g.while_loop((x[0], g.zeros(i32([]))), 3, |c| c.1.lt(100), |c| (c.0 * x[0], c.1 + 1)).0
    }));
    for holds in [0.0, 1.0] {
        rows.push(row(&format!("cond {holds}"), &[x(&[3]), x(&[3])], move |g, x| {
            let holds = g.full(bool([]), holds);
            let (a, b) = g.cond(holds, || (x[0].exp(), x[1]), || (x[1] * x[0], x[0]));
            a * b
        }));
    }
    rows
}
