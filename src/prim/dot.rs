//! Sum of products over any axes, with batch axes.

use smallvec::SmallVec;

use crate::array::Array;
use crate::graph::{DType, Dims, NodeId, OpErrorKind, Shape, TensorType};

use super::rules::behind_batch;
use super::{
    AttrError, Attrs, Batch, Cotangents, Emit, Jvp, Lowering, Primitive, Strided, Transpose, Vjp, arity, array,
    elements,
};

/// Sum of products: `out[b, m, n] = sum over k of lhs[b, m, k] * rhs[b, k, n]`, where each letter stands for any number of axes, in any places.
///
/// The result has the batch axes first, in the order of `lhs_batch`, then the other axes of the left operand, then those of the right.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dot {
    /// Batch axes of the left operand.
    pub lhs_batch: Dims,
    /// The axes of the right operand that go with them, one by one.
    pub rhs_batch: Dims,
    /// Axes of the left operand that are summed over.
    pub lhs_contract: Dims,
    /// The axes of the right operand that go with them, one by one.
    pub rhs_contract: Dims,
}

impl Dot {
    /// The product of matrices: the last axis of the left operand with the first of the right.
    pub fn matmul(lhs_rank: usize) -> Dot {
        Dot {
            lhs_batch: Dims::new(),
            rhs_batch: Dims::new(),
            lhs_contract: SmallVec::from_slice(&[lhs_rank - 1]),
            rhs_contract: SmallVec::from_slice(&[0]),
        }
    }

    /// The axes of the left operand that are neither batch axes nor summed over, ascending.
    pub fn lhs_free(&self, rank: usize) -> Dims {
        (0..rank).filter(|a| !self.lhs_batch.contains(a) && !self.lhs_contract.contains(a)).collect()
    }

    /// The axes of the right operand that are neither batch axes nor summed over, ascending.
    pub fn rhs_free(&self, rank: usize) -> Dims {
        (0..rank).filter(|a| !self.rhs_batch.contains(a) && !self.rhs_contract.contains(a)).collect()
    }
}

/// Checks one operand's axis lists.
fn check_axes(batch: &Dims, contract: &Dims, rank: usize) -> Result<(), OpErrorKind> {
    let mut all: Dims = batch.iter().chain(contract).copied().collect();
    if let Some(&axis) = all.iter().find(|&&a| a >= rank) {
        return Err(OpErrorKind::Axis { axis: axis as isize, rank });
    }
    all.sort_unstable();
    if all.windows(2).any(|w| w[0] == w[1]) {
        return Err(OpErrorKind::AxisOrder { axes: all });
    }
    Ok(())
}

fn pick<T: Copy>(of: &[T], axes: &[usize]) -> Dims<T>
where
    [T; 4]: smallvec::Array<Item = T>,
{
    axes.iter().map(|&a| of[a]).collect()
}

/// The cotangent of one operand: the result's cotangent times the other operand, with its axes put in the operand's order.
///
/// `g`'s axes are batch, then `own` free axes, then the other's free axes, or with the last two exchanged if `own_last`.
#[allow(
    clippy::too_many_arguments,
    reason = "the two operands are mirror images of each other, and the parameters say which"
)]
fn operand_cotangent(
    e: &mut dyn Emit,
    g: NodeId,
    other: NodeId,
    (own_batch, own_contract, own_free): (&Dims, &Dims, &Dims),
    (other_batch, other_contract, other_free): (&Dims, &Dims, &Dims),
    own_last: bool,
) -> NodeId {
    let b = own_batch.len();
    let first_other = if own_last { b } else { b + own_free.len() };
    let g_batch: Dims = (0..b).collect();
    let g_contract: Dims = (first_other..first_other + other_free.len()).collect();
    // The contracted axes of the other operand are what is left of it; they come out in ascending order.
    let mut left = other_contract.clone();
    left.sort_unstable();
    let place_of = |k: usize| left.iter().position(|&a| a == other_contract[k]).expect("a contracted axis is left");
    // Axes come out as batch, free, contracted when g is the left factor, else as batch, contracted, free.
    let (free_at, contract_at) = if own_last { (b + left.len(), b) } else { (b, b + own_free.len()) };
    let product = if own_last {
        let dot = Dot {
            lhs_batch: other_batch.clone(),
            rhs_batch: g_batch,
            lhs_contract: other_free.clone(),
            rhs_contract: g_contract,
        };
        e.dot(dot, other, g)
    } else {
        let dot = Dot {
            lhs_batch: g_batch,
            rhs_batch: other_batch.clone(),
            lhs_contract: g_contract,
            rhs_contract: other_free.clone(),
        };
        e.dot(dot, g, other)
    };
    let rank = own_batch.len() + own_contract.len() + own_free.len();
    let mut permutation: Dims = SmallVec::from_elem(0, rank);
    own_batch.iter().enumerate().for_each(|(i, &a)| permutation[a] = i);
    own_free.iter().enumerate().for_each(|(i, &a)| permutation[a] = free_at + i);
    own_contract.iter().enumerate().for_each(|(k, &a)| permutation[a] = contract_at + place_of(k));
    e.transpose(product, Transpose { permutation }.permutation)
}

impl Primitive for Dot {
    fn name(&self) -> &'static str {
        "dot"
    }

    fn accepts(name: &str) -> bool {
        name == "dot"
    }

    fn attrs(&self) -> Attrs {
        let mut attrs = Attrs::new();
        if !self.lhs_batch.is_empty() {
            attrs = attrs.list("lhs_batch", &self.lhs_batch).list("rhs_batch", &self.rhs_batch);
        }
        attrs.list("lhs_contract", &self.lhs_contract).list("rhs_contract", &self.rhs_contract)
    }

    fn parse(_: &str, attrs: &mut Attrs, _: &TensorType) -> Result<Self, AttrError> {
        let axes = "a list of axis numbers";
        let lhs_contract = attrs.take_list("lhs_contract", axes)?;
        let rhs_contract = attrs.take_list("rhs_contract", axes)?;
        let (lhs_batch, rhs_batch) = match attrs.take_list("lhs_batch", axes) {
            Err(AttrError::Missing { .. }) => (Dims::new(), Dims::new()),
            lhs_batch => (lhs_batch?, attrs.take_list("rhs_batch", axes)?),
        };
        Ok(Dot { lhs_batch, rhs_batch, lhs_contract, rhs_contract })
    }

    fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, OpErrorKind> {
        arity(operands, 2)?;
        let (lhs, rhs) = (operands[0], operands[1]);
        if lhs.dtype == DType::Bool {
            return Err(OpErrorKind::DType { position: 0, expected: "a number type".to_owned(), actual: lhs.dtype });
        }
        if rhs.dtype != lhs.dtype {
            return Err(OpErrorKind::DType { position: 1, expected: lhs.dtype.name().to_owned(), actual: rhs.dtype });
        }
        for (attribute, l, r) in
            [("rhs_batch", &self.lhs_batch, &self.rhs_batch), ("rhs_contract", &self.lhs_contract, &self.rhs_contract)]
        {
            if l.len() != r.len() {
                return Err(OpErrorKind::AttributeLength { attribute, expected: l.len(), given: r.len() });
            }
        }
        check_axes(&self.lhs_batch, &self.lhs_contract, lhs.shape.rank())?;
        check_axes(&self.rhs_batch, &self.rhs_contract, rhs.shape.rank())?;
        let pairs = self.lhs_batch.iter().zip(&self.rhs_batch).chain(self.lhs_contract.iter().zip(&self.rhs_contract));
        for (&lhs_axis, &rhs_axis) in pairs {
            let (l, r) = (lhs.shape[lhs_axis], rhs.shape[rhs_axis]);
            if l != r {
                return Err(OpErrorKind::Contraction { lhs_axis, lhs: l, rhs_axis, rhs: r });
            }
        }
        let batch = self.lhs_batch.iter().map(|&a| lhs.shape[a]);
        let lhs_free = self.lhs_free(lhs.shape.rank());
        let rhs_free = self.rhs_free(rhs.shape.rank());
        let free = lhs_free.iter().map(|&a| lhs.shape[a]).chain(rhs_free.iter().map(|&a| rhs.shape[a]));
        Ok(TensorType { dtype: lhs.dtype, shape: batch.chain(free).collect() })
    }

    /// For matrices, `dX = G W^T` and `dW = X^T G`.
    fn vjp(&self, cx: &mut Vjp<'_>) -> Cotangents {
        let (lhs, rhs) = (cx.operands[0], cx.operands[1]);
        if !cx.operand_ty(0).dtype.is_float() {
            return Cotangents::from_slice(&[None, None]);
        }
        let lhs_free = self.lhs_free(cx.operand_ty(0).shape.rank());
        let rhs_free = self.rhs_free(cx.operand_ty(1).shape.rank());
        let left = (&self.lhs_batch, &self.lhs_contract, &lhs_free);
        let right = (&self.rhs_batch, &self.rhs_contract, &rhs_free);
        let d_lhs = operand_cotangent(cx.emit, cx.cotangent, rhs, left, right, false);
        let d_rhs = operand_cotangent(cx.emit, cx.cotangent, lhs, right, left, true);
        Cotangents::from_slice(&[Some(d_lhs), Some(d_rhs)])
    }

    /// `d(X W) = dX W + X dW`.
    fn jvp(&self, cx: &mut Jvp<'_>) -> Option<NodeId> {
        let (lhs, rhs) = (cx.operands[0], cx.operands[1]);
        let by_lhs = cx.tangents[0].map(|t| cx.emit.dot(self.clone(), t, rhs));
        let by_rhs = cx.tangents[1].map(|t| cx.emit.dot(self.clone(), lhs, t));
        match (by_lhs, by_rhs) {
            (Some(a), Some(b)) => Some(cx.emit.add(a, b)),
            (one, other) => one.or(other),
        }
    }

    /// With both operands batched there is one more pair of batch axes. The batch axis of a single one is one more of its free axes, so the other operand
    /// is not repeated.
    fn batch(&self, cx: &mut Batch<'_>) -> NodeId {
        let (lhs, rhs) = (cx.operands[0], cx.operands[1]);
        let lhs_axes = |axes: &Dims| if cx.batched[0] { behind_batch(axes) } else { axes.clone() };
        let rhs_axes = |axes: &Dims| if cx.batched[1] { behind_batch(axes) } else { axes.clone() };
        let mut dot = Dot {
            lhs_batch: lhs_axes(&self.lhs_batch),
            rhs_batch: rhs_axes(&self.rhs_batch),
            lhs_contract: lhs_axes(&self.lhs_contract),
            rhs_contract: rhs_axes(&self.rhs_contract),
        };
        let batch_axis = match (cx.batched[0], cx.batched[1]) {
            (true, true) => {
                dot.lhs_batch.insert(0, 0);
                dot.rhs_batch.insert(0, 0);
                0
            }
            (true, false) => dot.lhs_batch.len(),
            (false, _) => dot.lhs_batch.len() + dot.lhs_free(cx.operand_ty(0).shape.rank()).len(),
        };
        let product = cx.emit.dot(dot, lhs, rhs);
        cx.move_axis(product, batch_axis, 0)
    }

    fn eval(&self, operands: &[&Array], ty: &TensorType) -> Array {
        let order = |x: &Array, groups: [&[usize]; 3]| {
            let strides = x.shape().strides();
            let permutation: Dims = groups.into_iter().flatten().copied().collect();
            Strided {
                shape: pick(x.shape(), &permutation).iter().copied().collect(),
                strides: pick(&strides, &permutation),
                offset: 0,
            }
        };
        let (lhs, rhs) = (operands[0], operands[1]);
        let lhs_free = self.lhs_free(lhs.shape().rank());
        let rhs_free = self.rhs_free(rhs.shape().rank());
        let extent = |shape: &Shape, axes: &[usize]| axes.iter().map(|&a| shape[a]).product::<usize>();
        let lhs_order = order(lhs, [&self.lhs_batch, &lhs_free, &self.lhs_contract]);
        let rhs_order = order(rhs, [&self.rhs_batch, &self.rhs_contract, &rhs_free]);
        let b = extent(lhs.shape(), &self.lhs_batch);
        let (m, k, n) =
            (extent(lhs.shape(), &lhs_free), extent(lhs.shape(), &self.lhs_contract), extent(rhs.shape(), &rhs_free));

        /// Products of row-major matrices, each row accumulated in `A`.
        fn products<T: Copy, A: Copy>(
            (lhs, rhs): (&[T], &[T]),
            [b, m, k, n]: [usize; 4],
            zero: A,
            add: impl Fn(A, T, T) -> A,
            round: impl Fn(A) -> T,
        ) -> Vec<T> {
            let mut out = Vec::with_capacity(b * m * n);
            let mut row = vec![zero; n];
            for i in 0..b * m {
                row.fill(zero);
                for p in 0..k {
                    let x = lhs[i * k + p];
                    let from = (i / m * k + p) * n;
                    row.iter_mut().zip(&rhs[from..from + n]).for_each(|(sum, &y)| *sum = add(*sum, x, y));
                }
                out.extend(row.iter().map(|&sum| round(sum)));
            }
            out
        }
        let sizes = [b, m, k, n];
        macro_rules! operands_of {
            ($t:ty) => {
                (&lhs_order.materialize(elements::<$t>(lhs))[..], &rhs_order.materialize(elements::<$t>(rhs))[..])
            };
        }
        match ty.dtype {
            DType::F32 => array(
                ty,
                products(operands_of!(f32), sizes, 0.0f64, |s, x, y| s + f64::from(x) * f64::from(y), |s| s as f32),
            ),
            DType::F64 => array(ty, products(operands_of!(f64), sizes, 0.0f64, |s, x, y| s + x * y, |s| s)),
            DType::U8 => {
                array(ty, products(operands_of!(u8), sizes, 0u8, |s, x, y| s.wrapping_add(x.wrapping_mul(y)), |s| s))
            }
            DType::U32 => {
                array(ty, products(operands_of!(u32), sizes, 0u32, |s, x, y| s.wrapping_add(x.wrapping_mul(y)), |s| s))
            }
            DType::I32 => {
                array(ty, products(operands_of!(i32), sizes, 0i32, |s, x, y| s.wrapping_add(x.wrapping_mul(y)), |s| s))
            }
            DType::I64 => {
                array(ty, products(operands_of!(i64), sizes, 0i64, |s, x, y| s.wrapping_add(x.wrapping_mul(y)), |s| s))
            }
            DType::Bool | DType::F16 | DType::BF16 => {
                panic!("the shape rule refuses products of truth values and of types for storage")
            }
        }
    }

    fn lowering(&self, _: &[&TensorType], _: &TensorType) -> Lowering {
        Lowering::Dot
    }
}
