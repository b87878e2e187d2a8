//! Kernels of known forms: what random kernels try too seldom, or cannot compare exactly.

use crate::array::Array;
use crate::codegen::Vectors;
use crate::graph::{DType, TensorType};
use crate::plan::kernel::{Access, FoldKind, Inst, Kernel, StoreMode};
use crate::plan::testing::{Body, at, chosen, softmax};
use crate::prim::Extremum;
use crate::runtime::{Declaration, Stages};
use crate::scalar::ScalarFn;
use crate::testing::Draw;

use super::{Both, Single, all_settings, run};

fn floats(seed: u64, len: usize) -> Array {
    Draw::new(seed).uniform(&TensorType::new(DType::F32, [len]), -2.0, 2.0)
}

/// The kernel's only result, compiled and evaluated, for each kind of code, one behind the other.
fn both(mut single: Single, kernel: Kernel) -> (Vec<f64>, Vec<f64>) {
    crate::plan::testing::call(&mut single.plan, kernel, &single.args);
    let mut all = (Vec::new(), Vec::new());
    for settings in all_settings() {
        let Both { compiled, evaluated } = run(&single.plan, &single.inputs, &single.params, settings);
        all.0.extend(compiled[0].to_f64_vec());
        all.1.extend(evaluated[0].to_f64_vec());
    }
    all
}

#[track_caller]
fn assert_close(compiled: &[f64], evaluated: &[f64], relative: f64) {
    for (i, (c, e)) in compiled.iter().zip(evaluated).enumerate() {
        assert!((c - e).abs() <= relative * e.abs(), "element {i}: compiled {c}, evaluated {e}");
    }
}

#[test]
fn softmax_of_rows_of_every_length() {
    for (rows, columns) in [(1, 1), (3, 4), (50, 10), (7, 33), (64, 100), (1, 1000), (130, 3)] {
        let mut single = Single::new();
        single.reads(floats(1, rows * columns)).writes(DType::F32, rows * columns).scratch(DType::F32, columns);
        let (compiled, evaluated) = both(single, softmax(rows, columns));
        assert_close(&compiled, &evaluated, 1e-6);
    }
}

/// `sums[r] = sum of x[r, ..]` or `sums[c] = sum of x[.., c]`.
fn sum(dtype: DType, [rows, columns]: [usize; 2], by_columns: bool, x: Array) -> (Vec<f64>, Vec<f64>) {
    let n = columns as isize;
    let (loops, strides, len) =
        if by_columns { ([columns, rows], [1, n], columns) } else { ([rows, columns], [n, 1], rows) };
    let mut single = Single::new();
    single.reads(x).writes(dtype, len);
    let mut k = Body::new(&loops, 1);
    let (x, y) = (k.slot(dtype, Access::Read), k.slot(dtype, Access::Write));
    let v = k.load(x, at(0, &strides));
    k.fold(FoldKind::Combine(ScalarFn::Add, 0), v);
    k.phase();
    let sum = k.row(Inst::Fold { phase: 0, fold: 0 }, dtype);
    k.row_store(y, at(0, &[1, 0]), sum);
    both(single, k.0)
}

#[test]
fn long_sums_keep_their_digits() {
    for shape in [[1, 1_000_000], [2, 300_001], [1_000_000, 1], [100_000, 5], [30_000, 40], [1, 1000]] {
        for by_columns in [false, true] {
            let len = shape[0] * shape[1];
            // All equal, so that the errors of rounding do not cancel; and evenly spread about a number.
            let equal = Array::full(&TensorType::new(DType::F32, [len]), 0.1);
            let spread = Draw::new(7).uniform(&TensorType::new(DType::F32, [len]), 0.0, 2.0);
            for x in [equal, spread] {
                let (compiled, evaluated) = sum(DType::F32, shape, by_columns, x);
                assert_close(&compiled, &evaluated, 1e-6);
            }
        }
    }
    let x = Array::full(&TensorType::new(DType::F64, [1_000_000]), 0.1);
    let (compiled, evaluated) = sum(DType::F64, [1, 1_000_000], false, x);
    assert_close(&compiled, &evaluated, 1e-11);
}

#[test]
fn products_of_floats_and_folds_that_begin_anywhere() {
    for n in [1, 3, 17, 40] {
        for (f, from) in [(ScalarFn::Mul, 3.0), (ScalarFn::Add, 2.5), (ScalarFn::Max, 0.25), (ScalarFn::Min, -0.5)] {
            let mut single = Single::new();
            single.reads(floats(n as u64, 5 * n)).writes(DType::F32, 5);
            let mut k = Body::new(&[5, n], 1);
            let (x, y) = (k.slot(DType::F32, Access::Read), k.slot(DType::F32, Access::Write));
            let v = k.load(x, at(0, &[n as isize, 1]));
            k.fold(FoldKind::Combine(f, f64::to_bits(from)), v);
            k.phase();
            let v = k.row(Inst::Fold { phase: 0, fold: 0 }, DType::F32);
            k.row_store(y, at(0, &[1, 0]), v);
            let (compiled, evaluated) = both(single, k.0);
            assert_close(&compiled, &evaluated, 1e-5);
        }
    }
}

#[test]
fn positions_of_the_first_extreme_and_of_nan() {
    let nan = f32::NAN;
    let rows: [&[f32]; 6] = [
        &[1.0, 5.0, 5.0, 2.0, 5.0, -3.0, -3.0],
        &[1.0, nan, 9.0, nan, 0.0, -9.0, 1.0],
        &[f32::NEG_INFINITY; 7],
        &[f32::INFINITY; 7],
        &[nan; 7],
        &[0.0, -0.0, 0.0, -0.0, 1.0, 1.0, 1.0],
    ];
    for by_rows in [false, true] {
        for extremum in [Extremum::Max, Extremum::Min] {
            let (r, c) = (rows.len(), 7);
            let mut elements = vec![0.0; r * c];
            for (i, row) in rows.iter().enumerate() {
                for (j, &x) in row.iter().enumerate() {
                    elements[if by_rows { j * r + i } else { i * c + j }] = x;
                }
            }
            let strides = if by_rows { [1, r as isize] } else { [c as isize, 1] };
            let mut single = Single::new();
            single.reads(Array::new([r * c], elements).expect("as many")).writes(DType::I32, r);
            let mut k = Body::new(&[r, c], 1);
            let (x, y) = (k.slot(DType::F32, Access::Read), k.slot(DType::I32, Access::Write));
            let v = k.load(x, at(0, &strides));
            k.fold(FoldKind::Position(extremum), v);
            k.phase();
            let v = k.row(Inst::Fold { phase: 0, fold: 0 }, DType::I32);
            k.row_store(y, at(0, &[1, 0]), v);
            single.check(k);
        }
    }
}

/// `out[index[r], ..] += x[r, ..]`, with indices that meet and indices out of range.
#[test]
fn scatter_adds_rows_in_order() {
    for columns in [1, 3, 4, 19, 64] {
        let rows = 40;
        let mut d = Draw::new(columns as u64);
        let index = d.fill(&TensorType::new(DType::I64, [rows]), |d| d.between(0, 8) as f64 - 2.0);
        let mut single = Single::new();
        single.reads(index).reads(floats(2, rows * columns)).changes(floats(3, 5 * columns));
        let mut k = Body::new(&[rows, columns], 2);
        k.0.serial = true;
        let index = k.slot(DType::I64, Access::Read);
        let (x, out) = (k.slot(DType::F32, Access::Read), k.slot(DType::F32, Access::ReadWrite));
        let n = columns as isize;
        let i = k.row(Inst::Load { slot: index, index: at(0, &[1, 0]), fill: 0 }, DType::I64);
        let v = k.load(x, at(0, &[n, 1]));
        k.store_as(out, chosen(0, &[0, 1], i, n, 5), v, StoreMode::Combine(ScalarFn::Add));
        single.check(k);
    }
}

/// Two stores at each point that meet each other: the later of the points wins, and at one point the second store.
#[test]
fn stores_that_meet_take_turns() {
    let n = 20;
    for inner in [false, true] {
        let mut d = Draw::new(5);
        let index = d.fill(&TensorType::new(DType::I32, [n]), |d| d.below(6) as f64);
        let mut single = Single::new();
        single.reads(index).reads(floats(2, n)).changes(floats(3, 9));
        let mut k = Body::new(&[n], usize::from(!inner));
        k.0.serial = !inner;
        let index = k.slot(DType::I32, Access::Read);
        let (x, out) = (k.slot(DType::F32, Access::Read), k.slot(DType::F32, Access::ReadWrite));
        let (i, v) = (k.load(index, at(0, &[1])), k.load(x, at(0, &[1])));
        let w = k.map(ScalarFn::Neg, &[v]);
        k.store(out, chosen(0, &[0], i, 1, 5), v);
        k.store(out, chosen(1, &[0], i, 1, 5), w);
        single.check(k);
    }
}

/// Offsets beyond what an instruction can hold.
#[test]
fn far_offsets() {
    let far = (1usize << 31) / 4 + 10;
    let mut elements = vec![0.0f32; far + 8];
    elements[far..].copy_from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    let mut single = Single::new();
    single.reads(Array::new([far + 8], elements).expect("as many")).writes(DType::F32, 7);
    let mut k = Body::new(&[7], 1);
    let (x, y) = (k.slot(DType::F32, Access::Read), k.slot(DType::F32, Access::Write));
    let v = k.load(x, at(far as isize, &[1]));
    k.store(y, at(0, &[1]), v);
    crate::plan::testing::call(&mut single.plan, k.0, &single.args);
    // The evaluator would copy the memory; only the compiled side runs.
    for settings in all_settings() {
        let shared = crate::runtime::Params::new();
        let (name, ty) = (&single.plan.params[0], &single.params[0].ty());
        shared.declare(&[Declaration { name, ty, initial: None }]).expect("declared once");
        let plan = single.plan.clone();
        let mut code = crate::jit::Compiled::new(plan, single.plan.inputs.iter(), settings, 2, &mut Stages::default())
            .expect("compiles");
        code.attach(&shared);
        code.run([single.inputs[0].view()].iter(), &mut []);
        let results = shared.get(&single.plan.params[0]).expect("declared").to_f64_vec();
        assert_eq!(results, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
    }
}

/// Ordinary kernels are run by the widest vectors that the machine has, and the listing says so.
#[test]
fn softmax_is_wide_where_the_machine_is() {
    let Some(Vectors::Wide(isa)) = super::vectors().last() else { return };
    let mut single = Single::new();
    single.reads(floats(1, 500)).writes(DType::F32, 500).scratch(DType::F32, 10);
    crate::plan::testing::call(&mut single.plan, softmax(50, 10), &single.args);
    let text = crate::jit::assembly_text(&single.plan).expect("compiles");
    assert!(text.contains(&format!("; kernel_0, {}-bit vectors", isa.vector_bits())), "{text}");
    assert!(text.contains("vfma"), "{text}");
}

/// `y[.. i * to ..] = x[.. i * from ..] + 1` for `n` elements, each side as long as its elements reach.
fn spread(dtype: DType, n: usize, [from, to]: [isize; 2]) -> (Body, [usize; 2]) {
    let reach = |step: isize| step.unsigned_abs() * (n - 1) + 1;
    let first = |step: isize| if step < 0 { reach(step) as isize - 1 } else { 0 };
    let mut k = Body::new(&[n], 1);
    let (x, y) = (k.slot(dtype, Access::Read), k.slot(dtype, Access::Write));
    let x = k.row(Inst::Load { slot: x, index: at(first(from), &[from]), fill: 0 }, dtype);
    let one = k.row(Inst::Const(1f64.to_bits()), dtype);
    let sum = k.row(Inst::Map(ScalarFn::Add, [x, one].into_iter().collect()), dtype);
    k.row_store(y, at(first(to), &[to]), sum);
    (k, [reach(from), reach(to)])
}

const STEPS: [isize; 9] = [-5, -4, -3, -2, -1, 2, 3, 4, 5];
const COUNTS: [usize; 12] = [2, 3, 5, 8, 9, 15, 16, 17, 31, 32, 33, 50];

#[test]
fn elements_at_distances_are_moved_and_those_between_stay() {
    for dtype in [DType::F32, DType::F64, DType::I32, DType::I64] {
        for n in COUNTS {
            for (from, to) in
                STEPS.iter().map(|&s| (s, 1)).chain(STEPS.iter().map(|&s| (1, s))).chain([(2, 3), (-1, -1)])
            {
                let (kernel, [read, written]) = spread(dtype, n, [from, to]);
                let numbers = Draw::new(n as u64).fill(&TensorType::new(dtype, [read]), |d| d.between(0, 100) as f64);
                Single::new().reads(numbers).writes(dtype, written).check(kernel);
            }
        }
    }
}

/// Memory that lies between pages that nobody may read.
#[cfg(target_os = "linux")]
struct Fenced {
    pages: *mut u8,
    /// Bytes of a page.
    page: usize,
}

#[cfg(target_os = "linux")]
impl Fenced {
    fn new() -> Fenced {
        // SAFETY: a new mapping of three pages, the outer of which lose all access.
        unsafe {
            let page = usize::try_from(libc::sysconf(libc::_SC_PAGESIZE)).expect("pages have a size");
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let pages = libc::mmap(std::ptr::null_mut(), 3 * page, protection, flags, -1, 0);
            assert_ne!(pages, libc::MAP_FAILED);
            let pages = pages.cast::<u8>();
            for fence in [pages, pages.add(2 * page)] {
                assert_eq!(libc::mprotect(fence.cast(), page, libc::PROT_NONE), 0);
            }
            Fenced { pages, page }
        }
    }

    /// So many numbers at the beginning of the page, or at its end.
    fn numbers(&self, len: usize, at_end: bool) -> &[f32] {
        let skipped = if at_end { self.page / 4 - len } else { 0 };
        // SAFETY: inside of the middle page, which is zeroed and can be read.
        unsafe { std::slice::from_raw_parts(self.pages.add(self.page).cast::<f32>().add(skipped), len) }
    }
}

#[cfg(target_os = "linux")]
impl Drop for Fenced {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's.
        unsafe { libc::munmap(self.pages.cast(), 3 * self.page) };
    }
}

#[cfg(target_os = "linux")]
#[test]
fn nothing_outside_of_the_elements_is_touched() {
    let fenced = Fenced::new();
    for vectors in super::vectors() {
        for n in COUNTS {
            for from in STEPS {
                let (kernel, [read, written]) = spread(DType::F32, n, [from, 1]);
                let mut single = Single::new();
                single.reads(floats(0, read)).writes(DType::F32, written);
                crate::plan::testing::call(&mut single.plan, kernel.0, &single.args);
                let settings = crate::codegen::Settings { vectors, sharing: crate::codegen::Sharing::WherePaid };
                let (inputs, name) = (single.plan.inputs.clone(), single.plan.params[0].clone());
                let mut code =
                    crate::jit::Compiled::new(single.plan, inputs.iter(), settings, 1, &mut Stages::default())
                        .expect("the plan compiles");
                let params = crate::runtime::Params::new();
                let initial = &single.params[0];
                let declared = Declaration { name: &name, ty: &initial.ty(), initial: Some(initial) };
                params.declare(&[declared]).expect("it is declared once");
                code.attach(&params);
                for at_end in [false, true] {
                    let view = crate::array::ArrayView::new([read], fenced.numbers(read, at_end)).expect("as many");
                    code.run([view].iter(), &mut []);
                    let sums = params.get(&name).expect("it has been declared");
                    assert!(sums.to_f64_vec().iter().all(|&v| v == 1.0), "{n} elements, {from} apart, {vectors:?}");
                }
            }
        }
    }
}
