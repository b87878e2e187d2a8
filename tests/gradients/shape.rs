//! Rows of the gradient table: shape operations, indexing and reductions beyond the plain ones.

use super::*;

fn indices(shape: &[usize], values: &[i32]) -> Array {
    Array::new(shape, values.to_vec()).unwrap()
}

pub fn shapes() -> Vec<Row> {
    let vector = |values: &[f64]| Array::new([values.len()], values.to_vec()).unwrap();
    let mut rows = vec![
        unary("reshape with an inferred extent", &x(&[4, 3]), |x| x.reshape([2, INFER]).exp()),
        unary("flatten", &x(&[2, 3, 2]), |x| x.flatten(1..).sin()),
        unary("swap_axes", &x(&[2, 3, 4]), |x| x.swap_axes(0, -1).exp()),
        unary("move_axis", &x(&[2, 3, 4]), |x| x.move_axis(0, -1).exp() * x.transpose([1, 2, 0])),
        unary("expand_dims", &x(&[2, 3]), |x| x.expand_dims([0, -1]).exp()),
        unary("open slices", &x(&[5, 4]), |x| x.slice(0, 2..).slice(1, ..=2).exp()),
        unary("slice by every second backwards", &x(&[7]), |x| x.slice_step(0, .., -2).exp()),
        unary("roll", &x(&[5, 2]), |x| x.roll(-2, 0).exp() * x),
        unary("space_to_depth", &x(&[1, 2, 4, 6]), |x| x.space_to_depth(2).exp()),
        unary("depth_to_space", &x(&[1, 8, 2, 1]), |x| x.depth_to_space(2).exp()),
        unary("pixel_shuffle", &x(&[1, 8, 1, 2]), |x| x.pixel_shuffle(2).exp()),
        unary("split", &x(&[5, 2]), |x| {
            let [a, b, c] = x.split(&[2, 1, 2], 0)[..] else { panic!("three parts") };
            a.exp() * b + c.sin()
        }),
        unary("chunk", &x(&[2, 4]), |x| x.chunk(2, 1)[0].exp() * x.chunk(2, 1)[1]),
        unary("tile", &x(&[2, 3]), |x| x.tile(&[2, 1, 3]).exp()),
        unary("repeat", &x(&[2, 3]), |x| x.repeat(3, 0).exp()),
        unary("tril", &x(&[2, 3, 4]), |x| x.tril(0).exp()),
        unary("triu above the diagonal", &x(&[4, 3]), |x| x.triu(1).exp() * x),
        unary("diag", &x(&[2, 3]), |x| x.diag(-1).sin()),
        unary("diag of one", &x(&[1]), |x| x.diag(2).exp()),
        unary("diagonal", &x(&[4, 2, 3]), |x| x.diagonal(-1, 0, 2).exp()),
        unary("trace", &x(&[2, 3, 3]), |x| x.exp().trace().square()),
        unary("dynamic_slice of one axis", &x(&[2, 5, 3]), |x| {
            let at = |n: i32| x.builder().constant(Array::scalar(n));
            x.dynamic_slice(&[at(7), at(9), at(-1)], &[2, 3, 3]).exp()
        }),
        unary("dynamic_slice of all axes", &x(&[3, 4, 2]), |x| {
            let at = |n: i64| x.builder().constant(Array::scalar(n));
            x.dynamic_slice(&[at(1), at(2), at(0)], &[2, 2, 1]).exp()
        }),
        row("dynamic_update_slice of one axis", &[x(&[5, 2]), x(&[2, 2])], |g, x| {
            let (zero, two) = (g.constant(Array::scalar(0i32)), g.constant(Array::scalar(2i32)));
            x[0].dynamic_update_slice(x[1], &[two, zero]).exp() * x[0]
        }),
        row("dynamic_update_slice of two axes", &[x(&[3, 4, 2]), x(&[2, 2, 2])], |g, x| {
            let (zero, two) = (g.constant(Array::scalar(0i32)), g.constant(Array::scalar(2i32)));
            x[0].dynamic_update_slice(x[1], &[zero, two, two]).exp()
        }),
        row("meshgrid", &[x(&[3]), x(&[2])], |g, x| {
            let [a, b] = g.meshgrid(x)[..] else { panic!("two of them") };
            (a * b).exp()
        }),
        row("eye", &[x(&[3, 4])], |g, x| x[0] * (g.eye(f64([3, 4]), 1) + x[0])),
    ];
    for (name, mode) in [
        ("constant", PadMode::Constant(0.5)),
        ("edge", PadMode::Edge),
        ("reflect", PadMode::Reflect),
        ("wrap", PadMode::Wrap),
    ] {
        let inputs = [("", x(&[3, 2]), [(1, 2), (0, 1)]), (" far", x(&[2, 3]), [(5, 4), (-1, 1)])];
        for (word, x, widths) in inputs {
            rows.push(unary(&format!("pad_with {name}{word}"), &x, move |x| x.pad_with(&widths, mode).exp()));
        }
        let one = vector(&[0.5]);
        rows.push(unary(&format!("pad_with {name} of one"), &one, move |x| x.pad_with(&[(2, 1)], mode).exp()));
    }
    rows
}

pub fn indexing() -> Vec<Row> {
    let outside = indices(&[4], &[-1, 2, 9, 2]);
    let mut rows = vec![
        row("embedding", &[x(&[4, 3]), indices(&[2, 2], &[3, 0, 3, 1])], |_, x| x[0].embedding(x[1]).exp()),
        row("take_along_axis", &[x(&[2, 4, 3]), indices(&[2, 2, 1], &[3, 0, 3, 1])], |_, x| {
            x[0].take_along_axis(x[1], 1).exp()
        }),
        row("take_along_axis of the last", &[x(&[1, 4]), indices(&[3, 2], &[3, 0, 3, 1, 2, 2])], |_, x| {
            x[0].take_along_axis(x[1], -1).exp()
        }),
        row("gather_nd", &[x(&[2, 4, 3]), indices(&[3, 2], &[1, 3, 0, 0, 1, 3])], |_, x| x[0].gather_nd(x[1]).exp()),
        row("gather_nd of elements", &[x(&[2, 4]), indices(&[1, 2, 2], &[1, 3, 0, 2])], |_, x| {
            x[0].gather_nd(x[1]).exp()
        }),
        row("gather_nd of one axis", &[x(&[4, 2]), indices(&[3, 1], &[1, 3, 1])], |_, x| x[0].gather_nd(x[1]).exp()),
        row("index_add", &[x(&[2, 4, 3]), indices(&[3], &[1, 3, 1]), x(&[2, 3, 3])], |_, x| {
            x[0].index_add(x[1], x[2], 1).exp()
        }),
        row("masked_fill", &[x(&[3, 4])], |_, x| x[0].masked_fill(x[0].gt(0.0), 2.0).exp()),
    ];
    for &combine in Combine::ALL {
        let name = |what: &str| format!("scatter {combine} {what}");
        // Numbers far enough apart for extremes to stay where they are.
        let many = apart(&[14]).as_slice::<f64>().unwrap().to_vec();
        let part = |shape: &[usize], from: usize| {
            let n = shape.iter().product::<usize>();
            Array::new(shape, many[from..from + n].to_vec()).unwrap()
        };
        let (base, updates) = (part(&[4], 0), part(&[5], 4));
        let repeated = indices(&[5], &[2, 0, 2, 2, 1]);
        rows.push(row(&name("repeated"), &[base.clone(), repeated, updates], move |_, x| {
            (0.5 * x[0].scatter(combine, x[1], x[2], 0)).exp()
        }));
        rows.push(row(&name("out of range"), &[base, outside.clone(), part(&[4], 4)], move |_, x| {
            (0.5 * x[0].scatter(combine, x[1], x[2], 0)).exp()
        }));
        let index = indices(&[2, 2], &[1, 1, 0, 2]);
        let middle = [part(&[1, 3, 2], 0), index, part(&[1, 2, 2, 2], 6)];
        rows.push(row(&name("along a middle axis"), &middle, move |_, x| {
            (0.5 * x[0].scatter(combine, x[1], x[2], 1)).exp()
        }));
        let lines = [part(&[3, 2], 0), indices(&[2, 2], &[1, 1, 1, 2]), part(&[2, 2], 6)];
        rows.push(row(&name("along an axis"), &lines, move |_, x| {
            (0.5 * x[0].scatter_along_axis(combine, x[1], x[2], 0)).exp()
        }));
        let places = [part(&[2, 3], 0), indices(&[3, 2], &[1, 1, 0, 2, 1, 1]), part(&[3], 6)];
        rows.push(row(&name("nd"), &places, move |_, x| (0.5 * x[0].scatter_nd(combine, x[1], x[2])).exp()));
        let nothing = [part(&[2, 3], 0), indices(&[0], &[]), x(&[0, 3])];
        rows.push(row(&name("nothing"), &nothing, move |_, x| x[0].scatter(combine, x[1], x[2], 0).exp()));
    }
    // Factors of 0 in the tensor, among the updates, and twice at one place.
    let zeros = Array::new([3], vec![0.0, 1.5, -2.0]).unwrap();
    let updates = Array::new([5], vec![0.5, 0.0, -1.5, 0.0, 3.0]).unwrap();
    let index = indices(&[5], &[0, 1, 1, 1, 2]);
    rows.push(row("scatter mul with zeros", &[zeros, index, updates], |_, x| x[0].scatter_mul(x[1], x[2])));
    rows
}

/// Numbers apart from each other, in magnitude too, and from 0.
fn distinct(shape: &[usize]) -> Array {
    let apart = apart(shape);
    Array::new(shape, apart.as_slice::<f64>().unwrap().iter().map(|v| v + 0.03).collect()).unwrap()
}

pub fn reductions() -> Vec<Row> {
    let shape = [2, 3, 4];
    let mut rows = Vec::new();
    for axes in [&[0][..], &[-1], &[0, 2], &[0, 1, 2], &[]] {
        let name = |op: &str| format!("{op} over {axes:?}");
        let axes = axes.to_vec();
        macro_rules! both {
            ($name:literal, $x:expr, |$y:ident, $a:ident| $over:expr, $keep:expr) => {
                let ($a, b) = (axes.clone(), axes.clone());
                rows.push(unary(&name($name), &$x, move |$y| $over));
                let $a = b;
                rows.push(unary(&name(concat!($name, " that keeps axes")), &$x, move |$y| $y * $keep));
            };
        }
        both!("variance", x(&shape), |x, a| x.variance_over(&a[..], 0).exp(), x.variance_keep(&a[..], 0));
        both!("logsumexp", x(&shape), |x, a| x.logsumexp_over(&a[..]), x.logsumexp_keep(&a[..]));
        both!("norm 1", distinct(&shape), |x, a| x.norm_over(&a[..], 1.0).sin(), x.norm_keep(&a[..], 1.0));
        both!("norm 2", distinct(&shape), |x, a| x.norm_over(&a[..], 2.0).sin(), x.norm_keep(&a[..], 2.0));
        both!("norm 3", distinct(&shape), |x, a| x.norm_over(&a[..], 3.0).sin(), x.norm_keep(&a[..], 3.0));
        let largest = between(&shape, 1.0, 3.0);
        let a = axes.clone();
        rows.push(unary(&name("norm inf"), &distinct(&shape), move |x| x.norm_over(&a[..], f64::INFINITY).sin()));
        let a = axes.clone();
        rows.push(unary(&name("norm 1.5"), &largest, move |x| x.norm_over(&a[..], 1.5)));
        if !axes.is_empty() {
            let a = axes.clone();
            rows.push(unary(&name("std"), &distinct(&shape), move |x| x.std_over(&a[..], 1).exp()));
        }
        let a = axes;
        rows.push(unary(&name("any and all"), &distinct(&shape), move |x| {
            let positive = x.gt(0.0);
            let counted = positive.count_nonzero_keep(&a[..]).cast(DType::F64);
            positive.any_keep(&a[..]).select(x * x, x) + positive.all_keep(&a[..]).select(x.exp(), counted)
        }));
    }
    rows.extend([
        unary("variance of a sample", &x(&[5]), |x| x.variance(1)),
        unary("std of all", &x(&[2, 5]), |x| x.std(0)),
        unary("logsumexp of all", &x(&[2, 5]), |x| x.logsumexp()),
        unary("logsumexp of nothing", &x(&[2, 0]), |x| x.logsumexp_over(1).exp() + x.sum_over(1).exp()),
        unary("norm of all", &x(&[2, 5]), |x| x.norm(2.0)),
        unary("norm of nothing", &x(&[3, 0]), |x| x.norm_over(1, 2.0) + x.sum_over(1).exp()),
    ]);
    rows
}
