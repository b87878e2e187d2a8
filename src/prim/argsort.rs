//! The order of elements along an axis.

use crate::array::Array;
use crate::graph::{DType, NodeId, OpErrorKind, TensorType};

use super::routine::{Lanes, evaluate};
use super::{
    AttrError, Attrs, Batch, Call, Cotangents, Jvp, Lowering, Primitive, Vjp, Workspace, arity, with_computed,
};

/// The positions, as `i32`, at which the elements along an axis stand in ascending or descending order: `x[argsort[i]]` is the `i`-th.
///
/// Equal elements keep their order, also when descending. A NaN is larger than all numbers and equal to any other NaN, as in [`ArgReduce`](super::ArgReduce):
/// NaN comes last in ascending order (as in NumPy) and first in descending order (as in PyTorch). Zeros of both signs are equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Argsort {
    /// The axis.
    pub axis: usize,
    /// Whether the largest element comes first.
    pub descending: bool,
}

/// An element type with an order.
trait Key: Copy {
    /// A number that orders elements as they are sorted.
    fn key(self) -> u64;
    /// Whether keys have at most 32 bits, so that a key and a position fit into one number.
    const SHORT: bool;
}

macro_rules! integer_keys {
    ($($t:ident $unsigned:ident),*) => {$(
        impl Key for $t {
            fn key(self) -> u64 {
                u64::from(self as $unsigned ^ (1 << ($unsigned::BITS - 1)))
            }
            const SHORT: bool = $unsigned::BITS <= 32;
        }
    )*};
}
integer_keys!(i32 u32, i64 u64);

macro_rules! float_keys {
    ($($t:ident $unsigned:ident),*) => {$(
        impl Key for $t {
            /// Bits of negative numbers fall as these rise; all NaN are one, and so are zeros.
            fn key(self) -> u64 {
                if self.is_nan() {
                    return u64::from($unsigned::MAX);
                }
                let bits = (self + 0.0).to_bits();
                let sign = 1 << ($unsigned::BITS - 1);
                u64::from(if bits & sign == 0 { bits | sign } else { !bits })
            }
            const SHORT: bool = $unsigned::BITS <= 32;
        }
    )*};
}
float_keys!(f32 u32, f64 u64);

macro_rules! plain_keys {
    ($($t:ident)*) => {$(
        impl Key for $t {
            fn key(self) -> u64 {
                self.into()
            }
            const SHORT: bool = true;
        }
    )*};
}
plain_keys!(bool u8 u32);

/// Sorts each lane of `x`. `words` holds a word for each element of a lane, two if keys are long.
fn argsort<T: Key>(x: &[T], lanes: &Lanes, descending: bool, out: &mut [i32], words: &mut [i64]) {
    let n = lanes.extent;
    let key = |v: T| {
        let key = if descending { !v.key() } else { v.key() };
        if T::SHORT { key & u64::from(u32::MAX) } else { key }
    };
    for start in lanes.starts() {
        let at = |i: usize| start + i * lanes.stride;
        // The position behind the key makes all words different, so that an unstable sort keeps the order of equal elements.
        if T::SHORT {
            words.iter_mut().enumerate().for_each(|(i, w)| *w = (key(x[at(i)]) << 32 | i as u64) as i64);
            words.sort_unstable_by_key(|&w| w as u64);
            words.iter().enumerate().for_each(|(i, &w)| out[at(i)] = w as i32);
        } else {
            let (keys, order) = words.split_at_mut(n);
            keys.iter_mut().enumerate().for_each(|(i, k)| *k = key(x[at(i)]) as i64);
            order.iter_mut().enumerate().for_each(|(i, o)| *o = i as i64);
            order.sort_unstable_by_key(|&i| (keys[i as usize] as u64, i));
            order.iter().enumerate().for_each(|(i, &o)| out[at(i)] = o as i32);
        }
    }
}

impl Primitive for Argsort {
    fn name(&self) -> &'static str {
        "argsort"
    }

    fn accepts(name: &str) -> bool {
        name == "argsort"
    }

    fn attrs(&self) -> Attrs {
        Attrs::new().word("axis", self.axis).word("descending", self.descending)
    }

    fn parse(_: &str, attrs: &mut Attrs, _: &TensorType) -> Result<Self, AttrError> {
        Ok(Argsort {
            axis: attrs.take_word("axis", "an axis number")?,
            descending: attrs.take_word("descending", "true or false")?,
        })
    }

    fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, OpErrorKind> {
        arity(operands, 1)?;
        let shape = &operands[0].shape;
        if self.axis >= shape.rank() {
            return Err(OpErrorKind::Axis { axis: self.axis as isize, rank: shape.rank() });
        }
        if i32::try_from(shape[self.axis]).is_err() {
            return Err(OpErrorKind::Other(format!("axis {} has more elements than i32 can number", self.axis)));
        }
        Ok(TensorType { dtype: DType::I32, shape: shape.clone() })
    }

    fn vjp(&self, _: &mut Vjp<'_>) -> Cotangents {
        Cotangents::from_slice(&[None])
    }

    fn jvp(&self, _: &mut Jvp<'_>) -> Option<NodeId> {
        None
    }

    fn batch(&self, cx: &mut Batch<'_>) -> NodeId {
        cx.apply(Argsort { axis: self.axis + 1, descending: self.descending })
    }

    fn eval(&self, operands: &[&Array], ty: &TensorType) -> Array {
        evaluate(self, operands, ty)
    }

    fn lowering(&self, operands: &[&TensorType], _: &TensorType) -> Lowering {
        let n = operands[0].shape[self.axis];
        let words = if operands[0].dtype.size() <= 4 { n } else { 2 * n };
        Lowering::Routine { workspace: Workspace::of::<i64>(words) }
    }

    fn run(&self, call: Call<'_>) {
        let ty = call.operand_ty(0);
        let lanes = Lanes::new(&ty.shape, self.axis);
        with_computed!(ty.dtype, T => {
            let x = call.operand::<T>(0);
            let (out, words) = call.result_and_workspace();
            argsort(x, &lanes, self.descending, out, words);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(x: Array, axis: usize, descending: bool) -> Vec<i32> {
        let op = Argsort { axis, descending };
        let ty = op.infer(&[&x.ty()]).unwrap();
        op.eval(&[&x], &ty).as_slice().unwrap().to_vec()
    }

    #[test]
    fn equal_elements_keep_their_order_and_nan_is_the_largest() {
        let inf = f64::INFINITY;
        let x = [f64::NAN, 0.0, -0.0, inf, -1.0, -inf, -f64::NAN, 2.0, -1.0];
        let ascending = [5, 4, 8, 1, 2, 7, 3, 0, 6];
        let descending = [0, 6, 3, 7, 1, 2, 4, 8, 5];
        let doubles = || Array::new([9], x.to_vec()).unwrap();
        let singles = || Array::new([9], x.iter().map(|&v| v as f32).collect()).unwrap();
        assert_eq!(order(doubles(), 0, false), ascending);
        assert_eq!(order(singles(), 0, false), ascending);
        assert_eq!(order(doubles(), 0, true), descending);
        assert_eq!(order(singles(), 0, true), descending);
    }

    #[test]
    fn integers_truth_values_and_lanes() {
        let extreme = vec![i64::MAX, 0, i64::MIN, -1, 1];
        assert_eq!(order(Array::new([5], extreme).unwrap(), 0, false), [2, 3, 1, 4, 0]);
        let extreme = vec![i32::MAX, 0, i32::MIN, -1, 1];
        assert_eq!(order(Array::new([5], extreme).unwrap(), 0, true), [0, 4, 1, 3, 2]);
        assert_eq!(order(Array::new([4], vec![true, false, true, false]).unwrap(), 0, false), [1, 3, 0, 2]);
        let table = Array::new([2, 3], vec![3, 1, 2, 0, 5, 2i32]).unwrap();
        assert_eq!(order(table.clone(), 0, false), [1, 0, 0, 0, 1, 1]);
        assert_eq!(order(table, 1, false), [1, 2, 0, 0, 2, 1]);
        assert_eq!(order(Array::new([0, 2], Vec::<f32>::new()).unwrap(), 0, false), [0i32; 0]);
    }
}
