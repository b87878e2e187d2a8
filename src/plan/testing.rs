//! Small plans built by hand, for the tests of what reads plans.

use std::sync::Arc;

use crate::array::Array;
use crate::graph::{DType, Dims, NodeId, Origin, TensorType};
use crate::scalar::ScalarFn;

use super::kernel::*;
use crate::runtime::gemm::workspace_len;

use super::{ARENA_ALIGN, Action, Alpha, Axes, Axis, Buffer, BufferId, KernelId, Matrix, Place, Plan, Product, Step};

pub fn affine(offset: isize, coefs: &[isize]) -> Affine {
    Affine { offset, coefs: Dims::from_slice(coefs) }
}

pub fn at(offset: isize, coefs: &[isize]) -> Index {
    Index { affine: affine(offset, coefs), choice: None }
}

/// An index with a choice.
pub fn chosen(offset: isize, coefs: &[isize], value: ValueId, stride: isize, extent: usize) -> Index {
    let choice = Some(Choice { value, stride, extent });
    Index { choice, ..at(offset, coefs) }
}

/// A kernel under construction. Values, stores and folds go to the last phase.
pub struct Body(pub Kernel);

impl Body {
    pub fn new(loops: &[usize], rows: usize) -> Body {
        Body(Kernel {
            loops: Dims::from_slice(loops),
            rows,
            serial: false,
            slots: Vec::new(),
            values: Vec::new(),
            phases: vec![Phase::default()],
        })
    }

    pub fn slot(&mut self, dtype: DType, access: Access) -> SlotId {
        self.0.slots.push(Slot { dtype, access });
        SlotId(self.0.slots.len() as u32 - 1)
    }

    pub fn phase(&mut self) {
        self.0.phases.push(Phase::default());
    }

    pub fn last(&mut self) -> &mut Phase {
        self.0.phases.last_mut().expect("a body has a phase")
    }

    fn value(&mut self, inst: Inst, dtype: DType) -> ValueId {
        self.0.values.push(Value { inst, dtype });
        ValueId(self.0.values.len() as u32 - 1)
    }

    pub fn row(&mut self, inst: Inst, dtype: DType) -> ValueId {
        let id = self.value(inst, dtype);
        self.last().row.push(id);
        id
    }

    pub fn inner(&mut self, inst: Inst, dtype: DType) -> ValueId {
        let id = self.value(inst, dtype);
        self.last().inner.push(id);
        id
    }

    pub fn load(&mut self, slot: SlotId, index: Index) -> ValueId {
        let dtype = self.0.slots[slot.index()].dtype;
        let fill = 0;
        self.inner(Inst::Load { slot, index, fill }, dtype)
    }

    pub fn map(&mut self, f: ScalarFn, args: &[ValueId]) -> ValueId {
        let types: Vec<DType> = args.iter().map(|&a| self.0.value(a).dtype).collect();
        let dtype = f.result_dtype(&types).expect("well typed");
        self.inner(Inst::Map(f, Dims::from_slice(args)), dtype)
    }

    pub fn store_as(&mut self, slot: SlotId, index: Index, value: ValueId, mode: StoreMode) {
        self.last().stores.push(Store { slot, index, value, mode });
    }

    pub fn store(&mut self, slot: SlotId, index: Index, value: ValueId) {
        self.store_as(slot, index, value, StoreMode::Set);
    }

    pub fn row_store(&mut self, slot: SlotId, index: Index, value: ValueId) {
        self.last().row_stores.push(Store { slot, index, value, mode: StoreMode::Set });
    }

    /// Adds a fold and returns its position.
    pub fn fold(&mut self, kind: FoldKind, value: ValueId) -> usize {
        self.last().folds.push(Fold { kind, value });
        self.last().folds.len() - 1
    }
}

/// `softmax` of the rows of a matrix, as in the documentation of kernels: slots `x` read, result written, scratch.
pub fn softmax(rows: usize, columns: usize) -> Kernel {
    let n = columns as isize;
    let mut k = Body::new(&[rows, columns], 1);
    let x = k.slot(DType::F32, Access::Read);
    let out = k.slot(DType::F32, Access::Write);
    let scratch = k.slot(DType::F32, Access::Scratch);
    let v = k.load(x, at(0, &[n, 1]));
    let from = f64::NEG_INFINITY.to_bits();
    k.fold(FoldKind::Combine(ScalarFn::Max, from), v);
    k.phase();
    let max = k.row(Inst::Fold { phase: 0, fold: 0 }, DType::F32);
    let v = k.load(x, at(0, &[n, 1]));
    let v = k.map(ScalarFn::Sub, &[v, max]);
    let v = k.map(ScalarFn::Exp, &[v]);
    k.store(scratch, at(0, &[0, 1]), v);
    k.fold(FoldKind::Combine(ScalarFn::Add, 0), v);
    k.phase();
    let sum = k.row(Inst::Fold { phase: 1, fold: 0 }, DType::F32);
    let v = k.load(scratch, at(0, &[0, 1]));
    let v = k.map(ScalarFn::Div, &[v, sum]);
    k.store(out, at(0, &[n, 1]), v);
    k.0
}

/// `f(x, y)` element by element, from two slots to a third.
pub fn zip(f: ScalarFn, n: usize) -> Kernel {
    let mut k = Body::new(&[n], 1);
    let slots = [Access::Read, Access::Read, Access::Write].map(|a| k.slot(DType::F32, a));
    let (a, b) = (k.load(slots[0], at(0, &[1])), k.load(slots[1], at(0, &[1])));
    let v = k.map(f, &[a, b]);
    k.store(slots[2], at(0, &[1]), v);
    k.0
}

/// One slot copied to a region of another.
pub fn copy(n: usize, to: isize) -> Kernel {
    let mut k = Body::new(&[n], 1);
    let slots = [Access::Read, Access::Write].map(|a| k.slot(DType::F32, a));
    let v = k.load(slots[0], at(0, &[1]));
    k.store(slots[1], at(to, &[1]), v);
    k.0
}

/// The row-major product of matrices `a b` in buffers of those numbers.
pub fn product(a: u32, b: u32, c: u32, [m, k, n]: [usize; 3]) -> Product {
    let matrix = |buffer| Matrix { buffer: BufferId(buffer), offset: 0 };
    let axis = |extent, [a, b, c]: [usize; 3]| vec![Axis { extent, a: a as isize, b: b as isize, c: c as isize }];
    let axes = Axes {
        batch: Vec::new(),
        rows: axis(m, [k, 0, n]),
        columns: axis(n, [0, 1, 1]),
        contracted: axis(k, [1, n, 0]),
    };
    Product {
        dtype: DType::F32,
        a: matrix(a),
        b: matrix(b),
        c: matrix(c),
        axes,
        alpha: Alpha::Const(1.0),
        accumulate: false,
        workspace: None,
        packed: None,
    }
}

/// Adds a buffer. Scratch memory is in the arena without a node.
pub fn buffer(plan: &mut Plan, dtype: DType, len: usize, place: Place) -> u32 {
    let id = plan.buffers.len();
    if let Place::Arena(at) = place {
        plan.arena_bytes = plan.arena_bytes.max(at + len * dtype.size());
    }
    let names = |list: &mut Vec<Arc<str>>, i: usize, kind: &str| {
        while list.len() <= i {
            list.push(format!("{kind}{}", list.len()).into());
        }
    };
    match place {
        Place::Input(i) => names(&mut plan.inputs, i, "x"),
        Place::Param(i) => names(&mut plan.params, i, "w"),
        Place::Output(i) => {
            assert_eq!(i, plan.outputs.len(), "outputs are added in order");
            plan.outputs.push((format!("y{i}").into(), TensorType::new(dtype, [len])));
        }
        Place::Const(i) => assert!(i < plan.constants.len()),
        Place::Arena(_) => {}
    }
    plan.buffers.push(Buffer { dtype, len, pieces: 1, place, node: Some(NodeId::new(id)) });
    id as u32
}

/// Adds a step that runs a kernel, which is added unless an equal one is there.
pub fn call(plan: &mut Plan, kernel: Kernel, args: &[u32]) {
    let known = plan.kernels.iter().position(|k| *k == kernel);
    let id = known.unwrap_or_else(|| {
        plan.kernels.push(kernel);
        plan.kernels.len() - 1
    });
    let action = Action::Kernel { kernel: KernelId(id as u32), args: args.iter().map(|&a| BufferId(a)).collect() };
    step(plan, action);
}

/// Adds a step that multiplies, in a workspace behind what the arena has.
pub fn multiply(plan: &mut Plan, mut product: Product) {
    let len = workspace_len(&product.axes);
    if len > 0 {
        let at = plan.arena_bytes.next_multiple_of(ARENA_ALIGN);
        let workspace = buffer(plan, product.dtype, len, Place::Arena(at));
        plan.buffers[workspace as usize].node = None;
        product.workspace = Some(BufferId(workspace));
    }
    step(plan, Action::Product(Box::new(product)));
}

/// Adds a step.
pub fn step(plan: &mut Plan, action: Action) {
    plan.steps.push(Step { action, origins: Vec::<Arc<Origin>>::new() });
}

/// `y = softmax(x w)`, and `w` takes the value `w + v`, in place; `v` is a parameter too.
pub fn example() -> Plan {
    let mut p = Plan::default();
    let x = buffer(&mut p, DType::F32, 6, Place::Input(0));
    let w = buffer(&mut p, DType::F32, 12, Place::Param(0));
    let v = buffer(&mut p, DType::F32, 12, Place::Param(1));
    let logits = buffer(&mut p, DType::F32, 8, Place::Arena(0));
    let scratch = buffer(&mut p, DType::F32, 4 * SCRATCH_ROWS, Place::Arena(64));
    p.buffers[scratch as usize].node = None;
    let y = buffer(&mut p, DType::F32, 8, Place::Output(0));
    let new_w = buffer(&mut p, DType::F32, 12, Place::Param(0));
    multiply(&mut p, product(x, w, logits, [2, 3, 4]));
    call(&mut p, softmax(2, 4), &[logits, y, scratch]);
    call(&mut p, zip(ScalarFn::Add, 12), &[w, v, new_w]);
    p.live_bytes = 1344;
    p
}

/// An `f32` array of one axis.
pub fn array(elements: &[f32]) -> Array {
    Array::new([elements.len()], elements.to_vec()).expect("the shape is the count of elements")
}
