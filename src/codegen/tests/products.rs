//! Matrix products: every way to lay matrices out. The numbers are small integers, so that all sums are exact.

use crate::codegen::{Settings, Sharing, Vectors};
use crate::graph::{DType, TensorType};
use crate::plan::testing::{buffer, step};
use crate::plan::{Action, Alpha, Axes, Axis, BufferId, Matrix, Place, Plan, Product};
use crate::runtime::gemm::workspace_len;
use crate::testing::Draw;
use crate::{Array, ArrayView};

use super::{Both, run};

fn integers(d: &mut Draw, dtype: DType, len: usize) -> Array {
    d.fill(&TensorType::new(dtype, [len]), |d| d.between(0, 8) as f64 - 4.0)
}

/// Strides of axes whose elements are all different, in any order and with gaps; the offset of the first element and the length of the buffer.
fn layout(d: &mut Draw, extents: &[usize]) -> (Vec<isize>, isize, usize) {
    let mut order: Vec<usize> = (0..extents.len()).collect();
    if d.chance(0.6) {
        (1..order.len()).for_each(|i| order.swap(i, d.below(i + 1)));
    }
    let (mut strides, mut offset) = (vec![0; extents.len()], d.below(3) as isize);
    let mut stride = d.of(&[1, 1, 1, 2]);
    for &axis in order.iter().rev() {
        strides[axis] = stride;
        let reach = stride * (extents[axis].max(1) as isize - 1);
        stride = (stride + reach) * d.of(&[1, 1, 1, 1, 2]);
        if d.chance(0.1) {
            // Upside down.
            strides[axis] = -strides[axis];
            offset += reach;
        }
    }
    let len = stride + offset + 3;
    (strides, offset, len as usize)
}

/// Strides of axes that may overlap or stand still, as those of windows and repeated operands.
fn window(d: &mut Draw, extents: &[usize]) -> (Vec<isize>, isize, usize) {
    let strides: Vec<isize> = extents.iter().map(|_| d.of(&[1, 1, 2, 3, 5, 0, -1, -4])).collect();
    let ends = strides.iter().zip(extents).map(|(s, n)| s * (n.max(&1) - 1) as isize);
    let offset = -ends.clone().map(|e| e.min(0)).sum::<isize>();
    let len = offset + ends.map(|e| e.max(0)).sum::<isize>() + 1;
    (strides, offset, len as usize)
}

/// Products are the same in every kind of code.
const SETTINGS: Settings = Settings { vectors: Vectors::Clif128, sharing: Sharing::Always };

fn check(seed: u64) {
    let d = &mut Draw::new(seed);
    let dtype = d.of(&[DType::F32, DType::F64]);
    let family = |d: &mut Draw, extents: &[usize]| -> Vec<usize> {
        match d.below(8) {
            0 => vec![],
            1 | 2 => (0..d.between(2, 4)).map(|_| d.between(1, 5)).collect(),
            _ => vec![d.of(extents)],
        }
    };
    let long = [1, 1, 2, 3, 4, 7, 8, 10, 13, 16, 17, 33, 70, 0];
    let [rows, columns, contracted] = [0; 3].map(|_| family(d, &long));
    let batch: Vec<usize> = (0..d.below(3)).map(|_| d.between(1, 4)).collect();
    let operand = |d: &mut Draw, extents: &[usize]| {
        if d.chance(0.7) { layout(d, extents) } else { window(d, extents) }
    };
    let (a_strides, a_offset, a_len) = operand(d, &[&batch[..], &rows, &contracted].concat());
    let (b_strides, b_offset, b_len) = operand(d, &[&batch[..], &columns, &contracted].concat());
    let (c_strides, c_offset, c_len) = layout(d, &[&batch[..], &rows, &columns].concat());
    let (nb, nr, nc) = (batch.len(), rows.len(), columns.len());
    let axes = |extents: &[usize], strides: &dyn Fn(usize) -> [isize; 3]| -> Vec<Axis> {
        let axis = |(i, &extent): (usize, &usize)| {
            let [a, b, c] = strides(i);
            Axis { extent, a, b, c }
        };
        extents.iter().enumerate().map(axis).collect()
    };
    let axes = Axes {
        batch: axes(&batch, &|i| [a_strides[i], b_strides[i], c_strides[i]]),
        rows: axes(&rows, &|i| [a_strides[nb + i], 0, c_strides[nb + i]]),
        columns: axes(&columns, &|i| [0, b_strides[nb + i], c_strides[nb + nr + i]]),
        contracted: axes(&contracted, &|i| [a_strides[nb + nr + i], b_strides[nb + nc + i], 0]),
    };

    let mut plan = Plan::default();
    let a = Matrix { buffer: BufferId(buffer(&mut plan, dtype, a_len, Place::Input(0))), offset: a_offset };
    let b = Matrix { buffer: BufferId(buffer(&mut plan, dtype, b_len, Place::Input(1))), offset: b_offset };
    let c = Matrix { buffer: BufferId(buffer(&mut plan, dtype, c_len, Place::Param(0))), offset: c_offset };
    let factor = buffer(&mut plan, dtype, 1, Place::Input(2));
    let len = workspace_len(&axes);
    let workspace = (len > 0).then(|| BufferId(buffer(&mut plan, dtype, len, Place::Arena(0))));
    let alpha = match d.below(3) {
        0 => Alpha::Const(1.0),
        1 => Alpha::Const(d.of(&[-1.0, 0.5, 2.0, 0.0])),
        _ => Alpha::Buffer { buffer: BufferId(factor), sign: d.of(&[1.0, -1.0]) },
    };
    let product = Product { dtype, a, b, c, axes, alpha, accumulate: d.chance(0.5), workspace, packed: None };
    step(&mut plan, Action::Product(Box::new(product)));
    let inputs = [integers(d, dtype, a_len), integers(d, dtype, b_len), integers(d, dtype, 1)];
    let params = [integers(d, dtype, c_len)];
    let Both { compiled, evaluated } = run(&plan, &inputs, &params, SETTINGS);
    let numbers = |a: &Array| ArrayView::from(a).to_array().to_f64_vec();
    assert_eq!(numbers(&compiled[0]), numbers(&evaluated[0]), "seed {seed}\n{plan}");
}

#[test]
fn random_products() {
    (0..300).for_each(check);
}
