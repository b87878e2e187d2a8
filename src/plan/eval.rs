//! The plan's evaluator: runs a plan in plain, safe Rust, on memory laid out as the plan says.
//!
//! It is the second oracle. It shares the scalar functions with the interpreter of graphs and nothing with code generation, so a wrong answer belongs to
//! the planner if this evaluator gives it too, and to code generation if not. Its memory makes mistakes of the planner show:
//!
//! - All buffers lie in one array of bytes for the arena, and one for each array outside, so that a value overwritten too early is gone.
//! - Memory that nothing has written holds [`GARBAGE`], scratch memory again at each row.
//! - Rows that may be done in any order are done last first, rows that must be done in order first to last.
//! - An index outside its buffer panics.
//!
//! Sums of floats are accumulated in double precision with compensation, products of matrices in double precision, as in the interpreter of graphs.

mod loops;

use crate::array::{Array, ArrayView};
use crate::graph::{DType, Dims};
use crate::prim::{Extremum, cast_number, with_element};
use crate::scalar::{Number, ScalarFn};

use super::kernel::{Access, Affine, Fold, FoldKind, Index, Inst, Kernel, Store, StoreMode, ValueId};
use super::strip::{Cut, Strip};
use super::{Action, Alpha, Axes, Axis, Buffer, BufferId, Place, Plan, Product, RoutineCall};

/// Each byte of memory that nothing has written: floats made of it are NaN, integers -1.
pub const GARBAGE: u8 = 0xff;

/// Runs the plan once and returns the outputs, in the order of [`Plan::outputs`].
///
/// `inputs` are in the order of [`Plan::inputs`], `params` in the order of [`Plan::params`]; the parameters are updated.
///
/// # Panics
/// If the arrays are not of the element types and counts of the plan's buffers, or the plan reads or writes outside its buffers, writes to an input or
/// a constant, or is not well formed.
pub fn run(plan: &Plan, inputs: &[ArrayView<'_>], params: &mut [Array]) -> Vec<Array> {
    assert_eq!(inputs.len(), plan.inputs.len(), "one array for each input");
    assert_eq!(params.len(), plan.params.len(), "one array for each parameter");
    for (i, buffer) in plan.buffers.iter().enumerate() {
        let array = match buffer.place {
            Place::Input(at) => inputs[at].ty(),
            Place::Param(at) => params[at].ty(),
            Place::Const(at) => plan.constants[at].ty(),
            Place::Arena(_) | Place::Output(_) => continue,
        };
        let fits = array.dtype == buffer.dtype && array.shape.numel() == buffer.len;
        assert!(fits, "b{i} is {} x {}, its array is {array}", buffer.dtype, buffer.len);
    }
    let mut memory = Memory {
        plan,
        arena: vec![GARBAGE; plan.arena_bytes],
        inputs: inputs.iter().map(bytes_of).collect(),
        params: params.iter().map(|p| bytes_of(&p.view())).collect(),
        constants: plan.constants.iter().map(|c| bytes_of(&c.view())).collect(),
        outputs: plan.outputs.iter().map(|(_, ty)| vec![GARBAGE; ty.bytes()]).collect(),
        piece: 0,
    };
    let (mut turn, mut strips) = (0, plan.strips.iter().peekable());
    while turn < plan.steps.len() {
        if let Some(strip) = strips.next_if(|s| s.steps.start == turn) {
            memory.run_strip(strip);
            turn = strip.steps.end;
            continue;
        }
        match &plan.steps[turn].action {
            Action::Kernel { kernel, args } => memory.run_kernel(plan.kernel(*kernel), args, None),
            Action::Product(product) => memory.run_product(product),
            Action::Routine(call) => memory.run_routine(call),
            Action::Loop(l) => memory.run_loop(l),
        }
        turn += 1;
    }
    for (param, bytes) in params.iter_mut().zip(&memory.params) {
        let new = array_of(param.dtype(), bytes).reshaped(param.shape()).expect("a parameter keeps its size");
        param.copy_from(&new.view());
    }
    let outputs = plan.outputs.iter().zip(&memory.outputs);
    outputs
        .map(|((_, ty), bytes)| {
            array_of(ty.dtype, bytes).reshaped(ty.shape.clone()).expect("an output has the size of its type")
        })
        .collect()
}

fn bytes_of(array: &ArrayView<'_>) -> Vec<u8> {
    let size = array.dtype().size();
    let mut bytes = vec![0; array.shape().numel() * size];
    with_element!(array.dtype(), T => {
        let elements = array.as_slice::<T>().expect("asked for the array's own type");
        for (&x, to) in elements.iter().zip(bytes.chunks_exact_mut(size)) {
            Number::from(x).to_memory(to);
        }
    });
    bytes
}

fn array_of(dtype: DType, bytes: &[u8]) -> Array {
    let numbers: Vec<Number> = bytes.chunks_exact(dtype.size()).map(|b| Number::from_memory(dtype, b)).collect();
    macro_rules! array_of {
        ($($variant:ident)*) => {
            match dtype {
                $(DType::$variant => {
                    let element = |&n: &Number| match n {
                        Number::$variant(v) => v,
                        n => panic!("a number of type {} among {dtype}", n.dtype()),
                    };
                    Array::new([numbers.len()], numbers.iter().map(element).collect())
                })*
            }
        };
    }
    array_of!(Bool U8 I32 U32 I64 F16 BF16 F32 F64).expect("the shape is the count of elements")
}

/// Sets `counters` to point number `n`, in row-major order, of loops with these extents.
fn unravel(mut n: usize, extents: &[usize], counters: &mut [usize]) {
    for (counter, extent) in counters.iter_mut().zip(extents).rev() {
        *counter = n % extent;
        n /= extent;
    }
}

/// The value of an affine number.
fn affine(a: &Affine, counters: &[usize]) -> isize {
    let moved: isize = a.coefs.iter().zip(counters).map(|(&c, &n)| c * n as isize).sum();
    a.offset + moved
}

/// All memory of a run.
struct Memory<'a> {
    plan: &'a Plan,
    arena: Vec<u8>,
    inputs: Vec<Vec<u8>>,
    params: Vec<Vec<u8>>,
    constants: Vec<Vec<u8>>,
    outputs: Vec<Vec<u8>>,
    /// The piece of a strip that is worked on.
    piece: usize,
}

impl Memory<'_> {
    /// The bytes of an element within its space.
    fn range(&self, id: BufferId, index: isize) -> std::ops::Range<usize> {
        let buffer = self.plan.buffer(id);
        let element = usize::try_from(index).ok().filter(|&i| i < buffer.len);
        let element = element.unwrap_or_else(|| panic!("index {index} is outside b{} of {}", id.0, buffer.len));
        let size = buffer.dtype.size();
        let base = match buffer.place {
            Place::Arena(at) => at,
            _ => 0,
        };
        let element = match buffer.pieces {
            1 => element,
            pieces => {
                let (part, piece) = (buffer.len / pieces, self.piece);
                let inside = element.checked_sub(part * piece).filter(|&i| i < part);
                inside.unwrap_or_else(|| panic!("index {index} of b{} is not in piece {piece} of {pieces}", id.0))
            }
        };
        base + element * size..base + (element + 1) * size
    }

    fn read(&self, id: BufferId, index: isize) -> Number {
        let range = self.range(id, index);
        Number::from_memory(self.plan.buffer(id).dtype, &self.space(id)[range])
    }

    fn space(&self, id: BufferId) -> &[u8] {
        match self.plan.buffer(id).place {
            Place::Arena(_) => &self.arena,
            Place::Input(i) => &self.inputs[i],
            Place::Param(i) => &self.params[i],
            Place::Const(i) => &self.constants[i],
            Place::Output(i) => &self.outputs[i],
        }
    }

    fn bytes_mut(&mut self, id: BufferId, range: std::ops::Range<usize>) -> &mut [u8] {
        let space = match self.plan.buffer(id).place {
            Place::Arena(_) => &mut self.arena,
            Place::Param(i) => &mut self.params[i],
            Place::Output(i) => &mut self.outputs[i],
            Place::Input(_) | Place::Const(_) => panic!("b{} is written, but it is an input or a constant", id.0),
        };
        &mut space[range]
    }

    fn write(&mut self, id: BufferId, index: isize, value: Number) {
        let buffer = self.plan.buffer(id);
        assert_eq!(value.dtype(), buffer.dtype, "b{} holds {} only", id.0, buffer.dtype);
        let range = self.range(id, index);
        value.to_memory(self.bytes_mut(id, range));
    }

    fn spoil(&mut self, id: BufferId) {
        let Buffer { len, pieces, .. } = *self.plan.buffer(id);
        let (part, piece) = (len / pieces, if pieces > 1 { self.piece } else { 0 });
        if part > 0 {
            let (first, last) = (part * piece, part * (piece + 1) - 1);
            let range = self.range(id, first as isize).start..self.range(id, last as isize).end;
            self.bytes_mut(id, range).fill(GARBAGE);
        }
    }

    /// Does the pieces of a strip, the last first. What has memory for one piece only is spoilt in between.
    fn run_strip(&mut self, strip: &Strip) {
        let plan = self.plan;
        let steps = || plan.steps[strip.steps.clone()].iter().zip(&strip.cuts);
        let mut own: Vec<BufferId> = steps().flat_map(|(step, _)| step.written(plan)).collect();
        own.retain(|&b| plan.buffer(b).pieces > 1);
        for piece in (0..strip.pieces).rev() {
            self.piece = piece;
            own.iter().for_each(|&b| self.spoil(b));
            for (step, &cut) in steps() {
                match (&step.action, cut) {
                    (Action::Kernel { kernel, args }, Cut::Rows) => {
                        self.run_kernel(plan.kernel(*kernel), args, Some(piece));
                    }
                    (Action::Product(product), Cut::Axis(family)) => self.run_product(&product.piece(family, piece)),
                    _ => panic!("strips are of kernels, by rows, and of products, by axes"),
                }
            }
        }
    }

    /// Runs all rows of a kernel, or those of one turn of its outermost loop.
    fn run_kernel(&mut self, kernel: &Kernel, args: &[BufferId], turn: Option<usize>) {
        assert_eq!(kernel.slots.len(), args.len(), "one buffer for each slot");
        for (slot, &id) in kernel.slots.iter().zip(args) {
            let dtype = self.plan.buffer(id).dtype;
            assert_eq!(slot.dtype, dtype, "b{} is of the slot's type", id.0);
        }
        let rows = kernel.row_count();
        let mut point = Point {
            kernel,
            args,
            memory: self,
            counters: Dims::from_elem(0, kernel.loops.len()),
            values: vec![None; kernel.values.len()],
            folds: Vec::new(),
        };
        let of_turn = turn.map_or(0..rows, |turn| {
            let rows = rows / kernel.loops[0];
            turn * rows..(turn + 1) * rows
        });
        for n in of_turn.clone() {
            let row = if kernel.serial { n } else { of_turn.start + of_turn.end - 1 - n };
            unravel(row, &kernel.loops[..kernel.rows], &mut point.counters[..kernel.rows]);
            point.run_row();
        }
    }

    /// The workspace is spoilt rather than used, so that a value which lies there by mistake is gone.
    fn run_routine(&mut self, call: &RoutineCall) {
        let routine = &call.routine;
        let operands: Vec<Array> = call.operands.iter().map(|&id| self.array(id)).collect();
        let shaped = operands.into_iter().zip(&routine.operands);
        let shaped: Result<Vec<Array>, _> = shaped.map(|(a, ty)| a.reshaped(ty.shape.clone())).collect();
        let shaped = shaped.expect("operands fill their buffers");
        call.workspace.iter().for_each(|&id| self.spoil(id));
        let result = routine.op.eval(&shaped.iter().collect::<Vec<_>>(), &routine.ty);
        assert_eq!(self.plan.buffer(call.result).len, routine.ty.shape.numel(), "the result fills its buffer");
        with_element!(routine.ty.dtype, T => {
            for (i, &x) in result.as_slice::<T>().expect("of the routine's type").iter().enumerate() {
                self.write(call.result, i as isize, Number::from(x));
            }
        });
    }

    /// The value of a buffer.
    fn array(&self, id: BufferId) -> Array {
        let Buffer { dtype, len, .. } = *self.plan.buffer(id);
        let mut bytes = Vec::with_capacity(len * dtype.size());
        for i in 0..len {
            let mut element = [0; 8];
            self.read(id, i as isize).to_memory(&mut element[..dtype.size()]);
            bytes.extend_from_slice(&element[..dtype.size()]);
        }
        array_of(dtype, &bytes)
    }

    fn run_product(&mut self, p: &Product) {
        if let Some(workspace) = p.workspace {
            self.spoil(workspace);
        }
        let alpha = match p.alpha {
            Alpha::Const(alpha) => cast_number(alpha.into(), p.dtype).to_f64(),
            Alpha::Buffer { buffer, sign } => sign * self.read(buffer, 0).to_f64(),
        };
        let Axes { batch, rows, columns, contracted } = &p.axes;
        let results: Vec<Axis> = [&batch[..], rows, columns].concat();
        let (mut at, mut step) = (Dims::from_elem(0, results.len()), Dims::from_elem(0, contracted.len()));
        let extents = |axes: &[Axis]| axes.iter().map(|x| x.extent).collect::<Dims>();
        let (outer, inner) = (extents(&results), extents(contracted));
        let place = |axes: &[Axis], index: &[usize], stride: fn(&Axis) -> isize| -> isize {
            axes.iter().zip(index).map(|(x, &i)| stride(x) * i as isize).sum()
        };
        for n in 0..outer.iter().product() {
            unravel(n, &outer, &mut at);
            let [a, b, c] = [|x: &Axis| x.a, |x: &Axis| x.b, |x: &Axis| x.c].map(|side| place(&results, &at, side));
            let mut sum = 0.0;
            for k in 0..inner.iter().product() {
                unravel(k, &inner, &mut step);
                let a = p.a.offset + a + place(contracted, &step, |x| x.a);
                let b = p.b.offset + b + place(contracted, &step, |x| x.b);
                sum += self.read(p.a.buffer, a).to_f64() * self.read(p.b.buffer, b).to_f64();
            }
            let c = p.c.offset + c;
            let before = if p.accumulate { self.read(p.c.buffer, c).to_f64() } else { 0.0 };
            self.write(p.c.buffer, c, cast_number((before + alpha * sum).into(), p.dtype));
        }
    }
}

/// A kernel at one point of its loops.
struct Point<'a, 'm, 'p> {
    kernel: &'a Kernel,
    args: &'a [BufferId],
    memory: &'m mut Memory<'p>,
    counters: Dims,
    /// The values computed so far in the row.
    values: Vec<Option<Number>>,
    /// The results of the folds, by phase.
    folds: Vec<Vec<Number>>,
}

impl Point<'_, '_, '_> {
    fn run_row(&mut self) {
        let (kernel, rows) = (self.kernel, self.kernel.rows);
        self.values.fill(None);
        self.folds.clear();
        for (slot, &id) in kernel.slots.iter().zip(self.args) {
            if slot.access == Access::Scratch {
                self.memory.spoil(id);
            }
        }
        for phase in &kernel.phases {
            self.counters[rows..].fill(0);
            phase.row.iter().for_each(|&v| self.compute(v));
            phase.row_stores.iter().for_each(|s| self.store(s));
            let mut folds: Vec<Folding> = phase.folds.iter().map(|f| self.begin(f)).collect();
            for n in 0..kernel.inner_count() {
                unravel(n, &kernel.loops[rows..], &mut self.counters[rows..]);
                phase.inner.iter().for_each(|&v| self.compute(v));
                phase.stores.iter().for_each(|s| self.store(s));
                for (fold, folding) in phase.folds.iter().zip(&mut folds) {
                    folding.take(self.value(fold.value));
                }
            }
            self.folds.push(folds.into_iter().map(Folding::finish).collect());
            // Inner values are visible in their own phase only.
            phase.inner.iter().for_each(|v| self.values[v.index()] = None);
        }
    }

    fn value(&self, id: ValueId) -> Number {
        self.values[id.index()].unwrap_or_else(|| panic!("v{} is used before it is computed", id.0))
    }

    fn compute(&mut self, id: ValueId) {
        let value = self.kernel.value(id);
        let constant = |bits: u64| cast_number(f64::from_bits(bits).into(), value.dtype);
        let number = match &value.inst {
            Inst::Const(bits) => constant(*bits),
            Inst::Load { slot, index, fill } => match self.place(index) {
                Some(at) => self.memory.read(self.args[slot.index()], at),
                None => constant(*fill),
            },
            Inst::Counter(a) => cast_number((affine(a, &self.counters) as i64).into(), value.dtype),
            Inst::Map(f, args) => {
                let args: Dims<Number> = args.iter().map(|&a| self.value(a)).collect();
                f.apply_numbers(&args)
            }
            Inst::Cast(arg) => cast_number(self.value(*arg), value.dtype),
            Inst::Fold { phase, fold } => self.folds[*phase][*fold],
        };
        assert_eq!(number.dtype(), value.dtype, "v{} is of its type", id.0);
        self.values[id.index()] = Some(number);
    }

    fn store(&mut self, store: &Store) {
        let Some(at) = self.place(&store.index) else { return };
        let (id, mut value) = (self.args[store.slot.index()], self.value(store.value));
        if let StoreMode::Combine(f) = store.mode {
            value = f.apply_numbers(&[self.memory.read(id, at), value]);
        }
        self.memory.write(id, at, value);
    }

    /// The place of an element, `None` if its choice is out of range.
    fn place(&self, index: &Index) -> Option<isize> {
        let base = affine(&index.affine, &self.counters);
        let Some(choice) = index.choice else { return Some(base) };
        let value = self.value(choice.value);
        let value = value.as_int().unwrap_or_else(|| panic!("v{} chooses, but is no integer", choice.value.0));
        let chosen = usize::try_from(value).ok().filter(|&v| v < choice.extent)?;
        Some(base + chosen as isize * choice.stride)
    }

    fn begin(&self, fold: &Fold) -> Folding {
        let dtype = self.kernel.value(fold.value).dtype;
        match fold.kind {
            FoldKind::Combine(f, from) => {
                let from = cast_number(f64::from_bits(from).into(), dtype);
                match f {
                    ScalarFn::Add if dtype.is_float() => Folding::Sum { dtype, sum: from.to_f64(), lost: 0.0 },
                    ScalarFn::Mul if dtype.is_float() => Folding::Product { dtype, product: from.to_f64() },
                    _ => Folding::Combine { f, number: from },
                }
            }
            FoldKind::Position(extremum) => Folding::Position { extremum, best: None, next: 0 },
        }
    }
}

/// A fold under way.
enum Folding {
    /// A sum of floats, with the sum of the digits that were rounded away (Neumaier 1974).
    Sum { dtype: DType, sum: f64, lost: f64 },
    /// A product of floats.
    Product { dtype: DType, product: f64 },
    /// Any other function, in row-major order.
    Combine { f: ScalarFn, number: Number },
    /// The position and value of the best number yet, and the position of the next.
    Position { extremum: Extremum, best: Option<(i32, Number)>, next: i32 },
}

impl Folding {
    fn take(&mut self, x: Number) {
        match self {
            Folding::Sum { sum, lost, .. } => {
                let (x, old) = (x.to_f64(), *sum);
                *sum += x;
                *lost += if old.abs() >= x.abs() { (old - *sum) + x } else { (x - *sum) + old };
            }
            Folding::Product { product, .. } => *product *= x.to_f64(),
            Folding::Combine { f, number } => *number = f.apply_numbers(&[*number, x]),
            Folding::Position { extremum, best, next } => {
                use std::cmp::Ordering::{Greater, Less};
                let wins = match *best {
                    None => true,
                    Some((_, b)) if b.compare(b).is_none() => false,
                    Some((_, b)) => match x.compare(b) {
                        None => true,
                        Some(order) => {
                            order
                                == match extremum {
                                    Extremum::Max => Greater,
                                    Extremum::Min => Less,
                                }
                        }
                    },
                };
                if wins {
                    *best = Some((*next, x));
                }
                *next += 1;
            }
        }
    }

    fn finish(self) -> Number {
        match self {
            // An infinite sum has lost nothing that counts.
            Folding::Sum { dtype, sum, lost } => {
                cast_number((if sum.is_finite() { sum + lost } else { sum }).into(), dtype)
            }
            Folding::Product { dtype, product } => cast_number(product.into(), dtype),
            Folding::Combine { number, .. } => number,
            Folding::Position { best, .. } => Number::I32(best.expect("no loop is empty").0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::prim::Combine;

    #[test]
    fn a_product_a_softmax_and_an_update_in_place() {
        let x = [1.0, -2.0, 0.5, 3.0, 0.0, 1.0];
        let (w, v): (Vec<f32>, Vec<f32>) = ((0..12).map(|i| i as f32 * 0.25).collect(), vec![0.5; 12]);
        let mut params = [array(&w), array(&v)];
        let y = run(&example(), &[array(&x).view()], &mut params);
        for row in 0..2 {
            let logit = |j: usize| (0..3).map(|k| x[row * 3 + k] * w[k * 4 + j]).sum::<f32>();
            let sum: f64 = (0..4).map(|j| f64::from(logit(j)).exp()).sum();
            for j in 0..4 {
                let expected = f64::from(logit(j)).exp() / sum;
                assert!((y[0].get_f64(row * 4 + j) - expected).abs() < 1e-6);
            }
        }
        assert_eq!(params[0], array(&w.iter().map(|w| w + 0.5).collect::<Vec<f32>>()));
        assert_eq!(params[1], array(&v));
    }

    #[test]
    fn memory_that_nothing_wrote_is_seen_as_nan() {
        let mut p = Plan::default();
        let nothing = buffer(&mut p, DType::F32, 2, Place::Arena(0));
        let y = buffer(&mut p, DType::F32, 2, Place::Output(0));
        call(&mut p, copy(2, 0), &[nothing, y]);
        assert!(run(&p, &[], &mut [])[0].to_f64_vec().iter().all(|y| y.is_nan()));
    }

    #[test]
    #[should_panic(expected = "index 3 is outside b1 of 3")]
    fn an_index_outside_panics() {
        let mut p = Plan::default();
        let x = buffer(&mut p, DType::F32, 3, Place::Input(0));
        let y = buffer(&mut p, DType::F32, 3, Place::Output(0));
        call(&mut p, copy(3, 1), &[x, y]);
        run(&p, &[array(&[1.0, 2.0, 3.0]).view()], &mut []);
    }

    /// Gathers or scatters five numbers, with two indices out of range, by a kernel of one serial row loop.
    fn choose(scatter: Option<Combine>) -> Vec<f64> {
        let mut k = super::super::testing::Body::new(&[5], 1);
        k.0.serial = scatter.is_some();
        let target = if scatter.is_some() { Access::ReadWrite } else { Access::Write };
        let index = k.slot(DType::I64, Access::Read);
        let x = k.slot(DType::F32, Access::Read);
        let out = k.slot(DType::F32, target);
        let i = k.load(index, at(0, &[1]));
        let place = chosen(0, &[0], i, 1, 3);
        match scatter {
            Some(combine) => {
                let v = k.load(x, at(0, &[1]));
                let mode = StoreMode::of(combine, DType::F32);
                k.store_as(out, place, v, mode);
            }
            None => {
                let inst = Inst::Load { slot: x, index: place, fill: (-1.0f64).to_bits() };
                let v = k.inner(inst, DType::F32);
                k.store(out, at(0, &[1]), v);
            }
        }
        let mut p = Plan::default();
        let index = buffer(&mut p, DType::I64, 5, Place::Input(0));
        let x = buffer(&mut p, DType::F32, 5, Place::Input(1));
        let out = buffer(&mut p, DType::F32, 5, Place::Output(0));
        if scatter.is_some() {
            call(&mut p, copy(5, 0), &[x, out]);
        }
        call(&mut p, k.0, &[index, x, out]);
        let indices = Array::new([5], vec![2i64, 0, -1, 3, 2]).unwrap();
        let x = array(&[10.0, 20.0, 30.0, 40.0, 50.0]);
        run(&p, &[indices.view(), x.view()], &mut [])[0].to_f64_vec()
    }

    #[test]
    fn choices_out_of_range_fill_or_store_nothing() {
        assert_eq!(choose(None), [30.0, 10.0, -1.0, -1.0, 30.0]);
        assert_eq!(choose(Some(Combine::Set)), [20.0, 20.0, 50.0, 40.0, 50.0]);
        assert_eq!(choose(Some(Combine::Add)), [30.0, 20.0, 90.0, 40.0, 50.0]);
        assert_eq!(choose(Some(Combine::Mul)), [200.0, 20.0, 15000.0, 40.0, 50.0]);
        assert_eq!(choose(Some(Combine::Max)), [20.0, 20.0, 50.0, 40.0, 50.0]);
        assert_eq!(choose(Some(Combine::Min)), [10.0, 20.0, 10.0, 40.0, 50.0]);
    }

    #[test]
    fn folds_are_accurate_and_positions_come_first() {
        let mut k = Body::new(&[4], 0);
        let x = k.slot(DType::F64, Access::Read);
        let outs = [DType::F64, DType::I32, DType::I32].map(|t| k.slot(t, Access::Write));
        let v = k.load(x, at(0, &[1]));
        k.fold(FoldKind::Combine(ScalarFn::Add, 0), v);
        k.fold(FoldKind::Position(Extremum::Max), v);
        k.fold(FoldKind::Position(Extremum::Min), v);
        k.phase();
        for (fold, out) in outs.into_iter().enumerate() {
            let dtype = k.0.slots[out.index()].dtype;
            let v = k.row(Inst::Fold { phase: 0, fold }, dtype);
            k.row_store(out, at(0, &[0]), v);
        }
        let mut p = Plan::default();
        let x = buffer(&mut p, DType::F64, 4, Place::Input(0));
        let sum = buffer(&mut p, DType::F64, 1, Place::Output(0));
        let most = buffer(&mut p, DType::I32, 1, Place::Output(1));
        let least = buffer(&mut p, DType::I32, 1, Place::Output(2));
        call(&mut p, k.0, &[x, sum, most, least]);
        let run = |x: [f64; 4]| -> [f64; 3] {
            let y = run(&p, &[Array::new([4], x.to_vec()).unwrap().view()], &mut []);
            [0, 1, 2].map(|i| y[i].get_f64(0))
        };
        assert_eq!(run([1e100, 1.0, -1e100, 1e100]), [1e100, 0.0, 2.0]);
        assert_eq!(run([1e100, 1.0, -1e100, 1.0]), [2.0, 0.0, 2.0]);
        assert_eq!(run([3.0, f64::NAN, 5.0, f64::NAN])[1..], [1.0, 1.0]);
        assert_eq!(run([f64::INFINITY, 1.0, 1.0, 1.0])[0], f64::INFINITY);
    }

    #[test]
    fn products_accumulate_and_sum_over_several_axes() {
        let mut p = Plan::default();
        let a = buffer(&mut p, DType::F32, 4, Place::Input(0));
        let b = buffer(&mut p, DType::F32, 4, Place::Input(1));
        let c = buffer(&mut p, DType::F32, 1, Place::Param(0));
        let lr = buffer(&mut p, DType::F32, 1, Place::Param(1));
        let mut product = product(a, b, c, [1, 2, 1]);
        product.axes.contracted.insert(0, Axis { extent: 2, a: 2, b: 2, c: 0 });
        product.accumulate = true;
        product.alpha = Alpha::Buffer { buffer: BufferId(lr), sign: -1.0 };
        step(&mut p, Action::Product(Box::new(product)));
        let mut params = [array(&[100.0]), array(&[0.5])];
        let (a, b) = (array(&[1.0, 2.0, 3.0, 4.0]), array(&[1.0, 10.0, 100.0, 1000.0]));
        run(&p, &[a.view(), b.view()], &mut params);
        assert_eq!(params[0].get_f64(0), 100.0 - 0.5 * 4321.0);
    }
}
