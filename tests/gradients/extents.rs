//! Rows of the gradient table: tensors without elements, axes of extent 1, and indices of narrow types.

use super::*;

type F = for<'g> fn(Tensor<'g>) -> Tensor<'g>;

/// The first axis that has elements, and the last otherwise.
fn filled(x: Tensor<'_>) -> isize {
    x.shape().iter().position(|&n| n > 0).unwrap_or(1) as isize
}

/// As many indices as the first axis has extent, that count up modulo it.
fn rows_of<'g>(x: Tensor<'g>, dtype: DType) -> Tensor<'g> {
    let n = x.shape()[0];
    x.builder().iota(TensorType::new(dtype, [n + 1]), 0).slice(0, 0..n)
}

/// A matrix that is positive definite, with as many rows as `x` has columns.
fn definite(x: Tensor<'_>) -> Tensor<'_> {
    let n = x.shape()[1];
    x.t().dot(x) + x.builder().eye(f64([n, n]), 0) * 3.0
}

/// Functions of two axes, whatever their extents are.
const FUNCTIONS: &[(&str, F)] = &[
    ("sum of columns", |x| x.sum_over(0)),
    ("sum of rows", |x| x.sum_over(1)),
    ("sum that keeps", |x| x.sum_keep([0, 1])),
    ("prod of columns", |x| x.prod_over(0)),
    ("prod", |x| x.prod()),
    ("max", |x| x.max_over(filled(x))),
    ("argmax", |x| x.argmax(filled(x)).eq(0).select(x.sum_over(filled(x)), 2.0)),
    ("norm", |x| x.norm_over(0, 2.0)),
    ("logsumexp", |x| x.logsumexp_over(filled(x))),
    ("softmax", |x| x.softmax(filled(x))),
    ("layer_norm", |x| x.layer_norm_over(filled(x), 0.5)),
    ("cumsum", |x| x.cumsum(0)),
    ("cumprod", |x| x.cumprod(1)),
    ("cummax", |x| x.cummax(0)),
    ("logcumsumexp", |x| x.logcumsumexp(1)),
    ("recurrence", |x| x.recurrence(x.sin(), 0, false)),
    ("recurrence in reverse", |x| x.recurrence(x.cos(), 1, true)),
    ("sort", |x| x.sort(0, false)),
    ("sort of rows", |x| x.sort(1, true)),
    ("reshape", |x| x.reshape([x.shape().numel()])),
    ("transpose", |x| x.t()),
    ("flip", |x| x.flip([0, 1])),
    ("slice of nothing", |x| x.slice(0, 0..0)),
    ("slice by steps", |x| x.slice_step(1, .., -2)),
    ("pad", |x| x.pad(&[(1, 2), (0, 1)], 0.5)),
    ("concat", |x| x.builder().concat(&[x, x.sin(), x.slice(0, 0..0)], 0)),
    ("broadcast", |x| x.expand(0).broadcast_to([2, x.shape()[0], x.shape()[1]])),
    ("broadcast to nothing", |x| x.expand(0).broadcast_to([0, x.shape()[0], x.shape()[1]])),
    ("cast", |x| x.cast(DType::F32).cast(DType::F64) * 0.0 + x),
    ("dot", |x| x.dot(x.t())),
    ("dot of columns", |x| x.t().dot(x)),
    ("outer", |x| x.sum_over(1).outer(x.sum_over(0))),
    ("take", |x| x.take(rows_of(x, DType::I32), 0)),
    ("take nothing", |x| x.take(rows_of(x, DType::I64).slice(0, 0..0), 0)),
    ("scatter add", |x| x.scatter(Combine::Add, rows_of(x, DType::I32), x.sin(), 0)),
    ("scatter set", |x| x.scatter(Combine::Set, rows_of(x, DType::I32), x.sin(), 0)),
    ("scatter mul", |x| x.scatter(Combine::Mul, rows_of(x, DType::I32), x.sin(), 0)),
    ("scatter max", |x| x.scatter(Combine::Max, rows_of(x, DType::I32), x * 0.5 - 1.0, 0)),
    ("scatter nothing", |x| x.scatter(Combine::Add, rows_of(x, DType::I32).slice(0, 0..0), x.slice(0, 0..0), 0)),
    ("windows of one", |x| x.pad(&[(1, 0), (0, 1)], 0.5).unfold(0, 1, 1)),
    ("windows", |x| x.pad(&[(1, 1), (0, 1)], 0.5).unfold(0, 2, 1)),
    ("barrier", |x| x.builder().try_push(Barrier, &[x, x.sum()]).unwrap()),
    ("checkpoint", |x| x.builder().checkpoint(|| x.sin() * x)),
    ("custom_vjp", |x| x.builder().custom_vjp("square", &[x], |x| x[0] * x[0], |x, _, u| vec![u * x[0] * 2.0])),
    ("scan", |x| {
        let g = x.builder();
        let (last, all) = g.scan(g.zeros(f64([x.shape()[1]])), x, |h, x| (h * x + x.sin(), h));
        last.sum() + all.sum_over(1).square()
    }),
    ("cholesky", |x| definite(x).cholesky()),
    ("inverse", |x| definite(x).inverse()),
    ("triangular_solve", |x| definite(x).triangular_solve(x.t(), TriangularOptions::default())),
    ("solve of a batch", |x| {
        let m = definite(x);
        let n = x.shape()[1];
        m.expand(0).broadcast_to([1, n, n]).solve(x.t().expand(0))
    }),
];

pub fn extents() -> Vec<Row> {
    let mut rows = Vec::new();
    for shape in [[0usize, 3], [3, 0], [0, 0], [1, 1], [1, 3], [3, 1]] {
        let array = apart(&shape);
        for &(name, f) in FUNCTIONS {
            // Nothing has no extreme.
            let chooses = ["max", "argmax", "logsumexp", "softmax", "layer_norm"].contains(&name);
            if !(chooses && shape == [0, 0]) {
                rows.push(unary(&format!("{name} of {shape:?}"), &array, f));
            }
        }
        rows.push(row(&format!("unwindow of {shape:?}"), std::slice::from_ref(&array), |g, x| {
            let windows = Windows {
                axes: Dims::from_slice(&[0]),
                sizes: Dims::from_slice(&[1]),
                strides: Dims::from_slice(&[1]),
                dilations: Dims::from_slice(&[1]),
            };
            let extents = Dims::from_slice(&[x[0].shape()[0]]);
            let low = Dims::from_slice(&[0]);
            g.try_push(Unwindow { windows, low, extents }, &[x[0].expand(-1)]).unwrap()
        }));
    }
    rows
}

/// Indices of every integer type, of one number and of several, which repeat.
pub fn narrow_indices() -> Vec<Row> {
    let mut rows = Vec::new();
    for dtype in [DType::U8, DType::I32, DType::U32, DType::I64] {
        let name = |what: &str| format!("{what} by {dtype}");
        rows.extend([
            row(&name("take"), &[x(&[4, 3]), integers(&[5], &[3, 0, 3, 1, 2])], move |_, x| {
                x[0].take(x[1].cast(dtype), 0)
            }),
            row(&name("take_along_axis"), &[x(&[2, 4]), integers(&[2, 3], &[3, 0, 3, 1, 1, 2])], move |_, x| {
                x[0].take_along_axis(x[1].cast(dtype), 1)
            }),
            row(&name("gather_nd"), &[x(&[3, 4]), integers(&[2, 2], &[2, 3, 0, 1])], move |_, x| {
                x[0].gather_nd(x[1].cast(dtype))
            }),
            row(&name("scatter"), &[x(&[4, 2]), integers(&[3], &[3, 0, 3]), x(&[3, 2])], move |_, x| {
                x[0].scatter(Combine::Add, x[1].cast(dtype), x[2], 0)
            }),
            row(&name("cross_entropy"), &[x(&[3, 4]), integers(&[3], &[3, 0, 3])], move |_, x| {
                x[0].cross_entropy(x[1].cast(dtype))
            }),
        ]);
    }
    rows
}
