//! Evaluation of scalar functions on whole arrays, by plain numbers.

use crate::array::{Array, ArrayElement};
use crate::graph::{DType, TensorType};
use crate::prim::{array, elements};

use super::{Lanes, Plain, ScalarFn, Value};

/// An element type as lanes of a [`Plain`] machine.
trait PlainElement<L: Lanes>: ArrayElement {
    fn load(self) -> Value<L>;
    fn store(value: Value<L>) -> Self;
}

macro_rules! plain_element {
    ($lanes:ty, $float:ident, $int:ident) => {
        impl PlainElement<$lanes> for $float {
            fn load(self) -> Value<$lanes> {
                Value::F(self)
            }
            fn store(value: Value<$lanes>) -> $float {
                value.f()
            }
        }
        impl PlainElement<$lanes> for $int {
            fn load(self) -> Value<$lanes> {
                Value::I(self)
            }
            fn store(value: Value<$lanes>) -> $int {
                value.i()
            }
        }
        impl PlainElement<$lanes> for bool {
            fn load(self) -> Value<$lanes> {
                Value::M(self)
            }
            fn store(value: Value<$lanes>) -> bool {
                value.m()
            }
        }
    };
}
macro_rules! unsigned_element {
    ($($uint:ident)*) => {$(
        impl PlainElement<Plain<f32>> for $uint {
            fn load(self) -> Value<Plain<f32>> {
                Value::U(self as i32)
            }
            fn store(value: Value<Plain<f32>>) -> $uint {
                value.i() as $uint
            }
        }
    )*};
}
// A lane of 32 bits wraps to a narrower type when it is stored.
unsigned_element!(u8 u32);
plain_element!(Plain<f32>, f32, i32);
plain_element!(Plain<f64>, f64, i64);

/// `f` of operands of type `T`, the first of which may be a condition, with results of type `R`.
fn run<L: Lanes + Default, T: PlainElement<L>, R: PlainElement<L>>(f: ScalarFn, x: &[&Array], ty: &TensorType) -> Array
where
    bool: PlainElement<L>,
{
    let l = &mut L::default();
    let out: Vec<R> = match *x {
        [a] => elements::<T>(a).iter().map(|&a| R::store(f.apply(l, &[a.load()]))).collect(),
        [a, b] => {
            let pairs = elements::<T>(a).iter().zip(elements::<T>(b));
            pairs.map(|(&a, &b)| R::store(f.apply(l, &[a.load(), b.load()]))).collect()
        }
        [c, a, b] if c.dtype() == T::DTYPE && T::DTYPE != DType::Bool => {
            let triples = elements::<T>(c).iter().zip(elements::<T>(a)).zip(elements::<T>(b));
            triples.map(|((&c, &a), &b)| R::store(f.apply(l, &[c.load(), a.load(), b.load()]))).collect()
        }
        [c, a, b] => {
            let triples = elements::<bool>(c).iter().zip(elements::<T>(a)).zip(elements::<T>(b));
            triples.map(|((&c, &a), &b)| R::store(f.apply(l, &[c.load(), a.load(), b.load()]))).collect()
        }
        _ => panic!("scalar functions take one to three operands"),
    };
    array(ty, out)
}

impl ScalarFn {
    /// The function of each element. `ty` is the type of the result.
    pub(crate) fn eval(self, operands: &[&Array], ty: &TensorType) -> Array {
        let result_is_truth = ty.dtype == DType::Bool;
        // The type of the operands, the condition of a select left aside.
        let dtype = operands[operands.len() - 1].dtype();
        match (dtype, result_is_truth) {
            (DType::F32, false) => run::<Plain<f32>, f32, f32>(self, operands, ty),
            (DType::F32, true) => run::<Plain<f32>, f32, bool>(self, operands, ty),
            (DType::F64, false) => run::<Plain<f64>, f64, f64>(self, operands, ty),
            (DType::F64, true) => run::<Plain<f64>, f64, bool>(self, operands, ty),
            (DType::U8, false) => run::<Plain<f32>, u8, u8>(self, operands, ty),
            (DType::U8, true) => run::<Plain<f32>, u8, bool>(self, operands, ty),
            (DType::U32, false) => run::<Plain<f32>, u32, u32>(self, operands, ty),
            (DType::U32, true) => run::<Plain<f32>, u32, bool>(self, operands, ty),
            (DType::I32, false) => run::<Plain<f32>, i32, i32>(self, operands, ty),
            (DType::I32, true) => run::<Plain<f32>, i32, bool>(self, operands, ty),
            (DType::I64, false) => run::<Plain<f64>, i64, i64>(self, operands, ty),
            (DType::I64, true) => run::<Plain<f64>, i64, bool>(self, operands, ty),
            (DType::F16 | DType::BF16, _) => {
                panic!("{} of elements of type {dtype}, which is for storage", self.name())
            }
            (DType::Bool, _) => run::<Plain<f32>, bool, bool>(self, operands, ty),
        }
    }
}
