//! How the generator finds operands and attributes for each operation.

use smallvec::SmallVec;

use crate::graph::{DType, Dims, NodeId, Shape, TensorType};
use crate::prim::{
    ArgReduce, Argsort, Barrier, Broadcast, Cast, Cholesky, Combine, Concat, Cumulative, Custom, CustomKind, Dot,
    Extremum, Gather, Iota, Lu, Map, OpKind, Pad, Recurrence, Reduce, Reduction, Reshape, Scatter, Slice, Transpose,
    TriangularSolve, Unwindow, Window, Windows,
};
use crate::scalar::{ScalarFn, Signature};

use super::generate::Generator;

/// How often an operation is tried, relative to the others.
fn weight(kind: OpKind) -> usize {
    match kind {
        OpKind::Input | OpKind::Param | OpKind::Const | OpKind::Iota | OpKind::ArgReduce | OpKind::Custom => 1,
        OpKind::Barrier
        | OpKind::Cast
        | OpKind::Pad
        | OpKind::Concat
        | OpKind::Scatter
        | OpKind::Argsort
        | OpKind::Loop => 2,
        OpKind::Cumulative | OpKind::Recurrence => 2,
        OpKind::Cholesky | OpKind::Lu | OpKind::TriangularSolve => 1,
        OpKind::Window | OpKind::Unwindow => 2,
        OpKind::Gather | OpKind::Slice | OpKind::Broadcast | OpKind::Reshape | OpKind::Transpose => 3,
        OpKind::Dot => 4,
        OpKind::Reduce => 5,
        OpKind::Map => 36,
    }
}

impl Generator<'_> {
    /// Appends an operation of a random kind, or one of the chains of operations that nets are made of.
    pub(super) fn grow(&mut self) -> Option<NodeId> {
        if self.draw.chance(0.15) {
            return self.chain();
        }
        let total: usize = OpKind::ALL.iter().map(|&k| weight(k)).sum();
        let mut at = self.draw.below(total);
        let chosen = OpKind::ALL.iter().copied().find(|&k| {
            let hit = at < weight(k);
            at = at.saturating_sub(weight(k));
            hit
        });
        self.grow_kind(chosen.expect("the weights add up to the total"))
    }

    fn grow_kind(&mut self, kind: OpKind) -> Option<NodeId> {
        match kind {
            OpKind::Input | OpKind::Param | OpKind::Const => Some(self.leaf_of_any_type()),
            OpKind::Iota => {
                let dtype = self.draw.of(&[DType::U8, DType::I32, DType::U32, DType::I64, DType::F32, DType::F64]);
                let ty = TensorType::new(dtype, self.shape());
                let axis = self.draw.below(ty.shape.rank().max(1));
                self.push(Iota { ty, axis }, &[])
            }
            OpKind::Barrier => {
                let operands: Vec<NodeId> =
                    (0..self.draw.between(1, 3)).map(|_| self.node(|_| true)).collect::<Option<_>>()?;
                self.push(Barrier, &operands)
            }
            OpKind::Custom => {
                let operands: Vec<NodeId> =
                    (0..self.draw.between(1, 3)).map(|_| self.node(|_| true)).collect::<Option<_>>()?;
                let (kind, name, inputs) = (CustomKind::Checkpoint, "random".into(), operands.len() - 1);
                self.push(Custom { kind, name, inputs, rule: None }, &operands)
            }
            OpKind::Map => {
                let f = self.draw.of(ScalarFn::ALL);
                self.grow_map(f)
            }
            OpKind::Loop => self.grow_loop(),
            OpKind::Cast => {
                let x = self.node(|_| true)?;
                let dtype = self.draw.of(&DType::ALL);
                self.push(Cast { dtype }, &[x])
            }
            OpKind::Reduce => {
                let x = self.node(|t| t.shape.rank() > 0)?;
                let ty = self.ty(x);
                let fits: &[Reduction] = match ty.dtype {
                    DType::Bool => &[Reduction::Max, Reduction::Min],
                    _ => Reduction::ALL,
                };
                let reduction = self.draw.of(fits);
                let axes = self.some_axes(ty.shape.rank());
                self.push(Reduce { reduction, axes }, &[x])
            }
            OpKind::ArgReduce => {
                let x = self.node(|t| t.shape.rank() > 0)?;
                let axis = self.draw.below(self.ty(x).shape.rank());
                let extremum = self.draw.of(Extremum::ALL);
                self.push(ArgReduce { extremum, axis }, &[x])
            }
            OpKind::Argsort => {
                let x = self.node(|t| t.shape.rank() > 0)?;
                let axis = self.draw.below(self.ty(x).shape.rank());
                let descending = self.draw.chance(0.5);
                self.push(Argsort { axis, descending }, &[x])
            }
            OpKind::Cholesky | OpKind::Lu | OpKind::TriangularSolve => self.grow_matrices(kind),
            OpKind::Cumulative => {
                let x = self.node(|t| t.shape.rank() > 0)?;
                let ty = self.ty(x);
                let axis = self.draw.below(ty.shape.rank());
                let fits: &[Reduction] = match ty.dtype {
                    DType::Bool => &[Reduction::Max, Reduction::Min],
                    _ => Reduction::ALL,
                };
                let (reduction, reverse) = (self.draw.of(fits), self.draw.chance(0.4));
                self.push(Cumulative { reduction, axis, reverse }, &[x])
            }
            OpKind::Recurrence => {
                let b = self.node(|t| t.dtype.is_float() && t.shape.rank() > 0)?;
                let ty = self.ty(b);
                let axis = self.draw.below(ty.shape.rank());
                let reverse = self.draw.chance(0.4);
                let a = self.of_type(&ty)?;
                self.push(Recurrence { axis, reverse }, &[a, b])
            }
            OpKind::Broadcast => {
                let x = self.node(|t| t.shape.rank() < 4)?;
                let mut shape: Vec<usize> = self.ty(x).shape.to_vec();
                for _ in 0..self.draw.between(1, 4 - shape.len()) {
                    let (at, extent) = (self.draw.below(shape.len() + 1), self.extent());
                    shape.insert(at, extent);
                }
                self.broadcast_somewhere(x, shape.into())
            }
            OpKind::Reshape => {
                let x = self.node(|_| true)?;
                let shape = self.same_count(x);
                self.push(Reshape { shape }, &[x])
            }
            OpKind::Transpose => {
                let x = self.node(|t| t.shape.rank() > 1)?;
                let permutation = self.draw.shuffled((0..self.ty(x).shape.rank()).collect());
                let permutation = permutation.into_iter().collect();
                self.push(Transpose { permutation }, &[x])
            }
            OpKind::Slice => self.grow_slice(),
            OpKind::Pad => {
                let x = self.node(|t| t.shape.rank() > 0)?;
                let rank = self.ty(x).shape.rank();
                let mut widths = |choices: &[usize]| -> Dims { (0..rank).map(|_| self.draw.of(choices)).collect() };
                let (low, high, interior) = (widths(&[0, 0, 1, 2]), widths(&[0, 0, 1, 3]), widths(&[0, 0, 0, 1, 2]));
                let value = self.fill();
                self.push(Pad { low, high, interior, value }, &[x])
            }
            OpKind::Concat => {
                let x = self.node(|t| t.shape.rank() > 0)?;
                let ty = self.ty(x);
                let axis = self.draw.below(ty.shape.rank());
                let mut parts = vec![x];
                for _ in 0..self.draw.between(0, 3) {
                    let mut shape = ty.shape.to_vec();
                    shape[axis] = self.extent();
                    parts.push(self.of_type(&TensorType::new(ty.dtype, shape))?);
                }
                parts = self.draw.shuffled(parts);
                self.push(Concat { axis }, &parts)
            }
            OpKind::Dot => self.grow_dot(),
            OpKind::Gather => {
                let x = self.node(|t| t.shape.rank() > 0)?;
                let (batch, index) = self.choices(x)?;
                let fill = self.fill();
                self.push(Gather { batch, fill }, &[x, index])
            }
            OpKind::Scatter => {
                let x = self.node(|t| t.shape.rank() > 0)?;
                let ty = self.ty(x);
                let (batch, index) = self.choices(x)?;
                let choices = self.ty(index).shape;
                let shape: Shape = choices.iter().chain(&ty.shape[batch + 1..]).copied().collect();
                let update = self.of_type(&TensorType::new(ty.dtype, shape))?;
                let fits: &[Combine] = match ty.dtype {
                    DType::Bool => &[Combine::Set, Combine::Max, Combine::Min],
                    _ => Combine::ALL,
                };
                let combine = self.draw.of(fits);
                // The gradient of a product works on all pairs of updates.
                let pairs = self.ty(update).shape.numel() * choices[batch..].iter().product::<usize>();
                if combine == Combine::Mul && pairs > 4 * self.config.max_elements {
                    return None;
                }
                self.push(Scatter { batch, combine }, &[x, index, update])
            }
            OpKind::Window => {
                let x = self.node(|t| t.shape.rank() > 0 && t.shape.rank() < 4 && t.shape.numel() > 0)?;
                let shape = self.ty(x).shape;
                let axes = self.some_axes(shape.rank());
                let extents: Vec<usize> = axes.iter().map(|&a| shape[a]).collect();
                let windows = self.windows(axes, |i| Some(extents[i]));
                self.push(Window { windows }, &[x])
            }
            OpKind::Unwindow => {
                // Some of the first axes count windows, the last ones their elements.
                let x = self.node(|t| t.dtype != DType::Bool && t.shape.rank() > 1 && !t.shape.contains(&0))?;
                let shape = self.ty(x).shape;
                let count = self.draw.between(1, shape.rank() / 2);
                let rank = shape.rank() - count;
                let mut axes: Dims = self.draw.shuffled((0..rank).collect())[..count].iter().copied().collect();
                axes.sort_unstable();
                let mut windows = self.windows(axes, |_| None);
                windows.sizes = shape[rank..].iter().copied().collect();
                let (mut low, mut extents) = (Dims::new(), Dims::new());
                for (i, &axis) in windows.axes.iter().enumerate() {
                    let covered = windows.covered(i, shape[axis]);
                    low.push(self.draw.of(&[0, 0, 0, 1, 2, covered]));
                    let whole = covered.saturating_sub(low[i]);
                    extents.push(self.draw.of(&[whole, whole, whole + 2, whole.div_ceil(2), 1]));
                }
                self.push(Unwindow { windows, low, extents }, &[x])
            }
        }
    }

    /// Windows on these axes, of any size that fits their extents, where those are known.
    fn windows(&mut self, axes: Dims, extent: impl Fn(usize) -> Option<usize>) -> Windows {
        let mut windows = Windows { sizes: Dims::new(), strides: Dims::new(), dilations: Dims::new(), axes };
        for i in 0..windows.axes.len() {
            let dilation = self.draw.of(&[1, 1, 1, 2, 3, 4]);
            let most = extent(i).map_or(1, |n| n.saturating_sub(1) / dilation + 1);
            let largest = self.draw.between(1, most);
            windows.sizes.push(self.draw.of(&[largest, 2.min(most), 3.min(most)]));
            windows.strides.push(self.draw.of(&[1, 1, 2, 3, 4]));
            windows.dilations.push(dilation);
        }
        windows
    }

    pub(super) fn map(&mut self, f: ScalarFn, operands: &[NodeId]) -> Option<NodeId> {
        self.push(Map { f }, operands)
    }

    pub(super) fn broadcast(&mut self, x: NodeId, shape: Shape, axes: Dims) -> Option<NodeId> {
        if axes.is_empty() { Some(x) } else { self.push(Broadcast { shape, axes }, &[x]) }
    }

    /// A broadcast of `x` to `shape`, whose extents contain those of `x` in order.
    fn broadcast_somewhere(&mut self, x: NodeId, shape: Shape) -> Option<NodeId> {
        let from = self.ty(x).shape;
        let mut axes = Dims::new();
        let mut next = 0;
        for (axis, &extent) in shape.iter().enumerate() {
            let left = shape.rank() - axis;
            let must_keep = from.rank() - next == left;
            if next < from.rank() && extent == from[next] && (must_keep || self.draw.chance(0.5)) {
                next += 1;
            } else {
                axes.push(axis);
            }
        }
        self.broadcast(x, shape, axes)
    }

    /// A shape with as many elements as `x`.
    fn same_count(&mut self, x: NodeId) -> Shape {
        let mut left = self.ty(x).shape.numel();
        if left == 0 {
            return [[0].as_slice(), &[3, 0], &[0, 5, 2]][self.draw.below(3)].into();
        }
        let mut shape = Vec::new();
        while left > 1 && shape.len() < 3 {
            let divisors: Vec<usize> = (2..=left).filter(|d| left.is_multiple_of(*d)).collect();
            let d = self.draw.of(&divisors);
            shape.push(d);
            left /= d;
        }
        if left > 1 {
            shape.push(left);
        }
        if shape.len() < 4 && self.draw.chance(0.3) {
            shape.insert(self.draw.below(shape.len() + 1), 1);
        }
        self.draw.shuffled(shape).into()
    }

    /// What fills gaps: a number that all types hold, and NaN where those occur.
    fn fill(&mut self) -> u64 {
        let specials = self.config.specials && self.draw.chance(0.3);
        let number = self.draw.of(&[0.0, 0.0, 1.0, -3.0, 7.0]);
        if specials { f64::NAN.to_bits() } else { f64::to_bits(number) }
    }

    fn grow_map(&mut self, f: ScalarFn) -> Option<NodeId> {
        let fresh = self.draw.chance(0.3);
        let takes = |dtype: DType| f.result_dtype(&f.operand_dtypes(dtype)).is_ok();
        let x = if self.draw.chance(0.3) { None } else { self.node(|t| takes(t.dtype)) };
        let x = match x {
            Some(x) => x,
            None => {
                let types: Vec<DType> = DType::ALL.into_iter().filter(|&d| takes(d)).collect();
                let ty = TensorType::new(self.draw.of(&types), self.shape());
                self.leaf(&ty)
            }
        };
        let ty = self.ty(x);
        if fresh && ty.dtype.is_float() && f.record().signature != Signature::Select {
            let operands: Vec<NodeId> = (0..f.arity()).map(|_| self.in_domain(f, &ty)).collect();
            return self.map(f, &operands);
        }
        let mut operands = vec![x];
        match f.record().signature {
            Signature::Select => {
                operands.push(self.of_type(&ty)?);
                operands = self.draw.shuffled(operands);
                let condition = self.of_type(&ty.with_dtype(DType::Bool))?;
                operands.insert(0, condition);
            }
            _ => {
                while operands.len() < f.arity() {
                    operands.push(self.of_type(&ty)?);
                }
                operands = self.draw.shuffled(operands);
            }
        }
        // Operands outside the function's domain are replaced.
        self.map(f, &operands).or_else(|| {
            let operands: Vec<NodeId> = (0..f.arity()).map(|_| self.in_domain(f, &ty)).collect();
            self.map(f, &operands)
        })
    }

    fn grow_slice(&mut self) -> Option<NodeId> {
        let x = self.node(|t| t.shape.rank() > 0)?;
        let mut slice = Slice { start: Dims::new(), len: Dims::new(), step: SmallVec::new() };
        for &extent in &self.ty(x).shape[..] {
            let least = usize::from(self.draw.chance(0.95));
            let whole = self.draw.chance(0.4);
            let step: isize = if whole { self.draw.of(&[1, 1, -1]) } else { self.draw.of(&[1, 1, 2, 3, -1, -2]) };
            let most = extent.div_ceil(step.unsigned_abs());
            let len = if whole || extent == 0 { extent } else { self.draw.between(least, most) };
            let span = if len == 0 { 0 } else { (len - 1) * step.unsigned_abs() + 1 };
            let low = self.draw.between(0, extent - span);
            slice.start.push(if step < 0 && len > 0 { low + span - 1 } else { low });
            slice.len.push(len);
            slice.step.push(step);
        }
        self.push(slice, &[x])
    }

    /// Factors of matrices, or the solution of triangular systems: of random matrices with large elements on the diagonal.
    fn grow_matrices(&mut self, kind: OpKind) -> Option<NodeId> {
        let n = self.draw.of(&[0, 1, 2, 3, 4, 5, 17]);
        let batch: Vec<usize> = if self.draw.chance(0.3) { vec![self.draw.between(1, 3)] } else { vec![] };
        let shape: Shape = batch.iter().copied().chain([n, n]).collect();
        let dtype = self.draw.of(&[DType::F32, DType::F64]);
        let ty = TensorType::new(dtype, shape.clone());
        let mut place = 0;
        let value = self.draw.fill(&ty, |d| {
            let (row, column) = (place / n % n, place % n);
            place += 1;
            let x = d.below(9) as f64 / 4.0 - 1.0;
            if row == column { x + 2.0 * n as f64 } else { x }
        });
        let a = self.leaf_with(value);
        match kind {
            OpKind::Cholesky => self.push(Cholesky, &[a]),
            OpKind::Lu => self.push(Lu, &[a]),
            _ => {
                let columns = self.extent();
                let b =
                    self.of_type(&TensorType::new(dtype, batch.into_iter().chain([n, columns]).collect::<Shape>()))?;
                let [lower, transpose, unit] = [0.5, 0.5, 0.3].map(|p| self.draw.chance(p));
                self.push(TriangularSolve { lower, transpose, unit }, &[a, b])
            }
        }
    }

    fn grow_dot(&mut self) -> Option<NodeId> {
        let a = self.node(|t| t.dtype != DType::Bool && t.shape.rank() > 0 && t.shape.rank() < 4)?;
        let ty = self.ty(a);
        let rank = ty.shape.rank();
        let axes: Vec<usize> = self.draw.shuffled((0..rank).collect());
        let contracted = self.draw.of(&[0, 1, 1, 1, 1, 2]).min(rank);
        let batched = self.draw.of(&[0, 0, 0, 1, 1, 2]).min(rank - contracted);
        let contract: Dims = axes[..contracted].iter().copied().collect();
        let batch: Dims = axes[contracted..contracted + batched].iter().copied().collect();
        // The other operand's axes in random order: batch, contracted, free.
        let free = self.draw.of(&[0, 1, 1, 1, 2]);
        let mut other: Vec<(Option<usize>, usize)> =
            batch.iter().chain(&contract).map(|&x| (Some(x), ty.shape[x])).collect();
        for _ in 0..free {
            other.push((None, self.extent()));
        }
        if self.draw.chance(0.6) {
            other = self.draw.shuffled(other);
        }
        let shape: Shape = other.iter().map(|o| o.1).collect();
        if shape.numel() > self.config.max_elements {
            return None;
        }
        let b = self.of_type(&TensorType::new(ty.dtype, shape))?;
        let place =
            |axis: &usize| other.iter().position(|o| o.0 == Some(*axis)).expect("every paired axis has a place");
        let (other_batch, other_contract): (Dims, Dims) =
            (batch.iter().map(place).collect(), contract.iter().map(place).collect());
        if self.draw.chance(0.5) {
            let dot =
                Dot { lhs_batch: batch, rhs_batch: other_batch, lhs_contract: contract, rhs_contract: other_contract };
            self.push(dot, &[a, b])
        } else {
            let dot =
                Dot { lhs_batch: other_batch, rhs_batch: batch, lhs_contract: other_contract, rhs_contract: contract };
            self.push(dot, &[b, a])
        }
    }

    /// A count of batch axes and indices that choose from `x`, a few of them out of range.
    fn choices(&mut self, x: NodeId) -> Option<(usize, NodeId)> {
        let shape = self.ty(x).shape;
        let batch = self.draw.of(&[0, 0, 0, 1, 2]).min(shape.rank() - 1);
        let extent = shape[batch];
        let dtype = self.draw.of(&[DType::U8, DType::I32, DType::U32, DType::I64]);
        let mut index: Vec<usize> = shape[..batch].to_vec();
        for _ in 0..self.draw.of(&[0, 1, 1, 1, 2]) {
            index.push(self.extent());
        }
        let ty = TensorType::new(dtype, index);
        if ty.shape.numel() > self.config.max_elements {
            return None;
        }
        if self.draw.chance(0.3)
            && let Some(index) = self.node(|t| *t == ty)
        {
            return Some((batch, index));
        }
        if extent == 0 || self.draw.chance(0.3) {
            let outside = [-1.0, -7.0, extent as f64, extent as f64 + 5.0, 2147483647.0, -2147483648.0];
            let value = self
                .draw
                .fill(&ty, |d| if extent == 0 || d.chance(0.2) { d.of(&outside) } else { d.below(extent) as f64 });
            let index = if self.draw.chance(0.5) { self.constant(value) } else { self.param(value) };
            return Some((batch, index));
        }
        let value = self.draw.fill(&ty, |d| d.below(extent) as f64);
        Some((batch, self.leaf_with(value)))
    }

    /// One of the chains of operations that nets are made of.
    fn chain(&mut self) -> Option<NodeId> {
        match self.draw.below(8) {
            6 => self.accumulation(),
            5 => self.position_beside_fold(),
            0 => self.softmax(),
            1 => self.normalization(),
            2 => self.layer(),
            3 => self.cross_entropy(),
            4 => self.convolution(),
            _ => self.window_sum(),
        }
    }

    fn float_with_axes(&mut self) -> Option<(NodeId, TensorType, Dims)> {
        let x = self.node(|t| t.dtype.is_float() && t.shape.rank() > 0 && t.shape.numel() > 0)?;
        let ty = self.ty(x);
        let axes = if self.draw.chance(0.6) {
            SmallVec::from_slice(&[ty.shape.rank() - 1])
        } else {
            self.some_axes(ty.shape.rank())
        };
        Some((x, ty, axes))
    }

    fn over(&mut self, f: ScalarFn, x: NodeId, folded: NodeId, ty: &TensorType, axes: &Dims) -> Option<NodeId> {
        let repeated = self.broadcast(folded, ty.shape.clone(), axes.clone())?;
        self.map(f, &[x, repeated])
    }

    fn fold(&mut self, reduction: Reduction, x: NodeId, axes: &Dims) -> Option<NodeId> {
        self.push(Reduce { reduction, axes: axes.clone() }, &[x])
    }

    /// `e^(x - max) / sum`.
    fn softmax(&mut self) -> Option<NodeId> {
        let (x, ty, axes) = self.float_with_axes()?;
        let fixed = self.map(ScalarFn::StopGradient, &[x])?;
        let largest = self.fold(Reduction::Max, fixed, &axes)?;
        let shifted = self.over(ScalarFn::Sub, x, largest, &ty, &axes)?;
        let e = self.map(ScalarFn::Exp, &[shifted])?;
        let sum = self.fold(Reduction::Sum, e, &axes)?;
        self.over(ScalarFn::Div, e, sum, &ty, &axes)
    }

    /// `(x - mean) / sqrt(variance + eps)`.
    fn normalization(&mut self) -> Option<NodeId> {
        let (x, ty, axes) = self.float_with_axes()?;
        let count: usize = axes.iter().map(|&a| ty.shape[a]).product();
        let small = TensorType::new(ty.dtype, ty.shape.without(&axes));
        let share = self.scalar(ty.dtype, 1.0 / count as f64);
        let share = self.broadcast(share, small.shape.clone(), (0..small.shape.rank()).collect())?;
        let sum = self.fold(Reduction::Sum, x, &axes)?;
        let mean = self.map(ScalarFn::Mul, &[sum, share])?;
        let centred = self.over(ScalarFn::Sub, x, mean, &ty, &axes)?;
        let square = self.map(ScalarFn::Mul, &[centred, centred])?;
        let sum = self.fold(Reduction::Sum, square, &axes)?;
        let variance = self.map(ScalarFn::Mul, &[sum, share])?;
        let eps = self.scalar(ty.dtype, 0.125);
        let eps = self.broadcast(eps, small.shape.clone(), (0..small.shape.rank()).collect())?;
        let variance = self.map(ScalarFn::Add, &[variance, eps])?;
        let scale = self.map(ScalarFn::Rsqrt, &[variance])?;
        self.over(ScalarFn::Mul, centred, scale, &ty, &axes)
    }

    /// `f(x W + b)` with new parameters.
    fn layer(&mut self) -> Option<NodeId> {
        let x = self.node(|t| t.dtype.is_float() && (1..4).contains(&t.shape.rank()))?;
        let ty = self.ty(x);
        let rank = ty.shape.rank();
        let (inputs, outputs) = (ty.shape[rank - 1], self.extent());
        let turned = self.draw.chance(0.3);
        let weight_shape = if turned { [outputs, inputs] } else { [inputs, outputs] };
        let weight = self.draw.uniform(&TensorType::new(ty.dtype, weight_shape), -1.0, 1.0);
        let weight = self.param(weight);
        let mut dot = Dot::matmul(rank);
        dot.rhs_contract[0] = usize::from(turned);
        let product = self.push(dot, &[x, weight])?;
        let bias = self.draw.uniform(&TensorType::new(ty.dtype, [outputs]), -1.0, 1.0);
        let bias = self.param(bias);
        let shape = self.ty(product).shape;
        let bias = self.broadcast(bias, shape.clone(), (0..rank - 1).collect())?;
        let z = self.map(ScalarFn::Add, &[product, bias])?;
        let float = |f: &&ScalarFn| f.arity() == 1 && f.record().signature == Signature::Float;
        let functions: Vec<ScalarFn> = ScalarFn::ALL.iter().filter(float).copied().collect();
        if self.draw.chance(0.5) {
            let zero = self.scalar(ty.dtype, 0.0);
            let zero = self.broadcast(zero, shape, (0..rank).collect())?;
            let negative = self.map(ScalarFn::Le, &[z, zero])?;
            return self.map(ScalarFn::Select, &[negative, zero, z]);
        }
        let f = self.draw.of(&functions);
        self.map(f, &[z]).or(Some(z))
    }

    /// `ln(sum e^z) - z[label]`, summed over the rows.
    fn cross_entropy(&mut self) -> Option<NodeId> {
        let x = self.node(|t| t.dtype.is_float() && t.shape.rank() > 0 && t.shape[t.shape.rank() - 1] > 0)?;
        let ty = self.ty(x);
        let last = ty.shape.rank() - 1;
        let axes: Dims = SmallVec::from_slice(&[last]);
        let e = self.map(ScalarFn::Exp, &[x])?;
        let sum = self.fold(Reduction::Sum, e, &axes)?;
        let log = self.map(ScalarFn::Log, &[sum])?;
        let labels_ty = TensorType::new(DType::I32, &ty.shape[..last]);
        let labels = self.draw.fill(&labels_ty, |d| d.below(ty.shape[last]) as f64);
        let labels = self.input(labels);
        let gather = Gather { batch: last, fill: 0.0f64.to_bits() };
        let picked = self.push(gather, &[x, labels])?;
        let losses = self.map(ScalarFn::Sub, &[log, picked])?;
        self.sum_all(losses)
    }

    /// `p + s a b` as the new value of a new parameter: a product that is large enough to be added in place.
    fn accumulation(&mut self) -> Option<NodeId> {
        let dtype = self.draw.of(&[DType::F32, DType::F64]);
        let [m, k, n] = [(); 3].map(|_| self.draw.between(11, 20));
        let (a, b) = (self.of_type(&TensorType::new(dtype, [m, k]))?, self.of_type(&TensorType::new(dtype, [k, n]))?);
        let mut term = self.push(Dot::matmul(2), &[a, b])?;
        if self.draw.chance(0.7) {
            let scale = match self.draw.chance(0.5) {
                true => self.scalar(dtype, 0.125),
                false => self.leaf(&TensorType::new(dtype, [])),
            };
            let scale = self.broadcast(scale, [m, n].into(), [0, 1].into_iter().collect())?;
            term = self.map(ScalarFn::Mul, &[term, scale])?;
        }
        let p = self.draw.uniform(&TensorType::new(dtype, [m, n]), -2.0, 2.0);
        let p = self.param(p);
        let f = self.draw.of(&[ScalarFn::Add, ScalarFn::Sub]);
        let value = self.map(f, &[p, term])?;
        self.update(p, value);
        Some(value)
    }

    /// A position and a fold of the same elements, over the same axis or others.
    fn position_beside_fold(&mut self) -> Option<NodeId> {
        let x = self.node(|t| t.dtype != DType::Bool && t.shape.rank() > 0 && t.shape.numel() > 1)?;
        let ty = self.ty(x);
        let axis = self.draw.below(ty.shape.rank());
        let extremum = self.draw.of(Extremum::ALL);
        let position = self.push(ArgReduce { extremum, axis }, &[x])?;
        let reduction = self.draw.of(&[Reduction::Sum, Reduction::Max, Reduction::Min]);
        let axes = if self.draw.chance(0.5) { Dims::from_slice(&[axis]) } else { self.some_axes(ty.shape.rank()) };
        let folded = self.fold(reduction, x, &axes)?;
        if axes[..] != [axis] {
            return Some(folded);
        }
        let position = self.push(Cast { dtype: ty.dtype }, &[position])?;
        self.map(ScalarFn::Add, &[position, folded])
    }

    /// A convolution of channels and one axis of places, or its transpose, with a new parameter.
    fn convolution(&mut self) -> Option<NodeId> {
        let x = self.node(|t| t.dtype.is_float() && t.shape.rank() > 1 && t.shape.rank() < 4 && t.shape.numel() > 0)?;
        let ty = self.ty(x);
        let axes = self.draw.shuffled((0..ty.shape.rank()).collect());
        let (channel, place) = (axes[0], axes[1]);
        let one = |n| SmallVec::from_slice(&[n]);
        let forward = self.draw.chance(0.5);
        let mut windows = self.windows(one(place), |_| forward.then_some(ty.shape[place]));
        windows.strides[0] = if self.draw.chance(0.6) { 1 } else { windows.strides[0] };
        if !forward {
            windows.sizes[0] = self.draw.between(1, 3);
        }
        let (channels, size, filters) = (ty.shape[channel], windows.sizes[0], self.draw.between(1, 3));
        let weight = self.draw.uniform(&TensorType::new(ty.dtype, [channels, filters, size]), -1.0, 1.0);
        let weight = self.param(weight);
        if forward {
            let view = self.push(Window { windows }, &[x])?;
            let mut dot = Dot::matmul(ty.shape.rank() + 1);
            (dot.lhs_contract, dot.rhs_contract) =
                (SmallVec::from_slice(&[channel, ty.shape.rank()]), SmallVec::from_slice(&[0, 2]));
            return self.push(dot, &[view, weight]);
        }
        let dot = Dot { lhs_contract: one(channel), rhs_contract: one(0), ..Dot::matmul(1) };
        let terms = self.push(dot, &[x, weight])?;
        // What is left of the operand, then filters and elements of windows.
        windows.axes = one(place - usize::from(channel < place));
        let covered = windows.covered(0, ty.shape[place]);
        let low = self.draw.below(covered.min(3));
        let high = self.draw.of(&[0, 0, 1]).min(covered - low);
        self.push(Unwindow { windows, low: one(low), extents: one(covered - low - high) }, &[terms])
    }

    /// Sums of neighbours along the last axis: shifted slices added up, as a convolution has them.
    fn window_sum(&mut self) -> Option<NodeId> {
        let x = self.node(|t| t.dtype != DType::Bool && t.shape.rank() > 0 && t.shape[t.shape.rank() - 1] > 2)?;
        let shape = self.ty(x).shape;
        let last = shape.rank() - 1;
        let part = |from: usize| Slice {
            start: (0..=last).map(|a| if a == last { from } else { 0 }).collect(),
            len: (0..=last).map(|a| shape[a] - if a == last { 2 } else { 0 }).collect(),
            step: SmallVec::from_elem(1, last + 1),
        };
        let (a, b, c) = (self.push(part(0), &[x])?, self.push(part(1), &[x])?, self.push(part(2), &[x])?);
        let sum = self.map(ScalarFn::Add, &[a, b])?;
        self.map(ScalarFn::Add, &[sum, c])
    }
}
