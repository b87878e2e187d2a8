//! Matrix products: every way to lay matrices out and to loop over them. The numbers are small integers, so that all sums are exact.

use crate::graph::{DType, Dims, TensorType};
use crate::plan::testing::{buffer, step};
use crate::plan::{Action, Alpha, Matrix, Place, Plan, Product};
use crate::testing::Draw;
use crate::{Array, ArrayView};

use super::{Both, run};

fn integers(d: &mut Draw, dtype: DType, len: usize) -> Array {
    d.fill(&TensorType::new(dtype, [len]), |d| d.between(0, 8) as f64 - 4.0)
}

/// A matrix, row-major or column-major or with gaps, for each turn of the loops that it moves along, and the length of its buffer.
fn matrix(d: &mut Draw, buffer: u32, [rows, columns]: [usize; 2], loops: &[usize], moves: &[bool]) -> (Matrix, usize) {
    let gap = d.of(&[1, 1, 1, 2]) as isize;
    let (rows, columns) = (rows.max(1) as isize, columns.max(1) as isize);
    let (mut row, mut column) = if d.chance(0.5) { (columns * gap, gap) } else { (gap, rows * gap) };
    let mut stride = rows * columns * gap;
    let mut offset = d.below(3) as isize;
    let mut strides: Dims<isize> = Dims::from_elem(0, loops.len());
    for axis in (0..loops.len()).filter(|&axis| moves[axis]) {
        strides[axis] = stride;
        stride *= loops[axis] as isize;
    }
    if d.chance(0.2) {
        // Rows upside down.
        offset += row * (rows - 1);
        row = -row;
    }
    if d.chance(0.1) {
        offset += column * (columns - 1);
        column = -column;
    }
    let len = (stride + 3) as usize;
    (Matrix { buffer: crate::plan::BufferId(buffer), offset, row, column, loops: strides }, len)
}

fn check(seed: u64) {
    let d = &mut Draw::new(seed);
    let dtype = d.of(&[DType::F32, DType::F64]);
    let extent = |d: &mut Draw| d.of(&[1, 1, 2, 3, 4, 7, 8, 10, 16, 17, 33, 70]);
    let [m, n, mut k] = [0; 3].map(|_| extent(d));
    if d.chance(0.05) {
        k = 0;
    }
    let loops: Dims = (0..d.below(3)).map(|_| d.between(1, 4)).collect();
    let moving = |d: &mut Draw, often: f64| -> Vec<bool> { loops.iter().map(|_| d.chance(often)).collect() };
    let mut plan = Plan::default();
    let (a_moves, b_moves, c_moves) = (moving(d, 0.7), moving(d, 0.7), moving(d, 0.6));
    let (a, a_len) = matrix(d, 0, [m, k], &loops, &a_moves);
    let (b, b_len) = matrix(d, 1, [k, n], &loops, &b_moves);
    let (c, c_len) = matrix(d, 2, [m, n], &loops, &c_moves);
    buffer(&mut plan, dtype, a_len, Place::Input(0));
    buffer(&mut plan, dtype, b_len, Place::Input(1));
    buffer(&mut plan, dtype, c_len, Place::Param(0));
    let factor = buffer(&mut plan, dtype, 1, Place::Input(2));
    let alpha = match d.below(3) {
        0 => Alpha::Const(1.0),
        1 => Alpha::Const(d.of(&[-1.0, 0.5, 2.0, 0.0])),
        _ => Alpha::Buffer { buffer: crate::plan::BufferId(factor), sign: d.of(&[1.0, -1.0]) },
    };
    let accumulate = d.chance(0.5);
    let product = Product { dtype, m, n, k, a, b, c, loops, alpha, accumulate };
    step(&mut plan, Action::Product(Box::new(product)));
    let inputs = [integers(d, dtype, a_len), integers(d, dtype, b_len), integers(d, dtype, 1)];
    let params = [integers(d, dtype, c_len)];
    let Both { compiled, evaluated } = run(&plan, &inputs, &params);
    let numbers = |a: &Array| ArrayView::from(a).to_array().to_f64_vec();
    assert_eq!(numbers(&compiled[0]), numbers(&evaluated[0]), "seed {seed}\n{plan}");
}

#[test]
fn random_products() {
    (0..300).for_each(check);
}
