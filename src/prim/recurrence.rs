//! Linear recurrences along an axis.

use crate::array::Array;
use crate::graph::{DType, NodeId, OpErrorKind, TensorType};

use super::cumulative::{scan, shift};
use super::routine::{Lanes, evaluate};
use super::{AttrError, Attrs, Batch, Call, Cotangents, Jvp, Lowering, Primitive, Vjp, Workspace, arity};

/// `y[k] = a[k] y[k - 1] + b[k]` along an axis, beginning with `y[0] = b[0]`; if `reverse`, `y[k] = a[k] y[k + 1] + b[k]`, beginning with the last `b`.
///
/// The operands are `a` and `b`, floats of one shape. The factor of the first element is not used. Single precision is accumulated in double precision.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Recurrence {
    /// The axis.
    pub axis: usize,
    /// Whether it runs from the end to the beginning.
    pub reverse: bool,
}

impl Primitive for Recurrence {
    fn name(&self) -> &'static str {
        "recurrence"
    }

    fn accepts(name: &str) -> bool {
        name == "recurrence"
    }

    fn attrs(&self) -> Attrs {
        Attrs::new().word("axis", self.axis).word("reverse", self.reverse)
    }

    fn parse(_: &str, attrs: &mut Attrs, _: &TensorType) -> Result<Self, AttrError> {
        Ok(Recurrence {
            axis: attrs.take_word("axis", "an axis number")?,
            reverse: attrs.take_word("reverse", "true or false")?,
        })
    }

    fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, OpErrorKind> {
        arity(operands, 2)?;
        let (a, b) = (operands[0], operands[1]);
        if !a.dtype.is_float() {
            return Err(OpErrorKind::DType { position: 0, expected: "a float type".to_owned(), actual: a.dtype });
        }
        if b.dtype != a.dtype {
            return Err(OpErrorKind::DType { position: 1, expected: a.dtype.name().to_owned(), actual: b.dtype });
        }
        if b.shape != a.shape {
            return Err(OpErrorKind::Shape { position: 1, expected: a.shape.clone(), actual: b.shape.clone() });
        }
        if self.axis >= a.shape.rank() {
            return Err(OpErrorKind::Axis { axis: self.axis as isize, rank: a.shape.rank() });
        }
        Ok(a.clone())
    }

    /// The cotangent of `b` is a recurrence in the other direction, `r[k] = g[k] + a[k + 1] r[k + 1]`; that of `a[k]` is `r[k] y[k - 1]`.
    fn vjp(&self, cx: &mut Vjp<'_>) -> Cotangents {
        let (a, y, g, e) = (cx.operands[0], cx.output, cx.cotangent, &mut *cx.emit);
        let next = shift(e, a, self.axis, self.reverse, 0.0);
        let r = e.emit(Recurrence { axis: self.axis, reverse: !self.reverse }.into(), &[next, g]);
        let before = shift(e, y, self.axis, !self.reverse, 0.0);
        let da = e.mul(r, before);
        Cotangents::from_slice(&[Some(da), Some(r)])
    }

    /// The recurrence of `a[k]' y[k - 1] + b[k]'`.
    fn jvp(&self, cx: &mut Jvp<'_>) -> Option<NodeId> {
        let (a, y, tangents, e) = (cx.operands[0], cx.output, cx.tangents.clone(), &mut *cx.emit);
        let of_a = tangents[0].map(|da| {
            let before = shift(e, y, self.axis, !self.reverse, 0.0);
            e.mul(da, before)
        });
        let input = match (of_a, tangents[1]) {
            (Some(of_a), Some(db)) => e.add(of_a, db),
            (of_a, db) => of_a.or(db)?,
        };
        Some(e.emit(self.clone().into(), &[a, input]))
    }

    fn batch(&self, cx: &mut Batch<'_>) -> NodeId {
        cx.apply(Recurrence { axis: self.axis + 1, reverse: self.reverse })
    }

    fn eval(&self, operands: &[&Array], ty: &TensorType) -> Array {
        evaluate(self, operands, ty)
    }

    fn lowering(&self, _: &[&TensorType], _: &TensorType) -> Lowering {
        Lowering::Routine { workspace: Workspace::NONE }
    }

    fn run(&self, call: Call<'_>) {
        let ty = call.ty();
        let lanes = Lanes::new(&ty.shape, self.axis);
        macro_rules! run {
            ($T:ident) => {{
                let (a, b) = (call.operand::<$T>(0), call.operand::<$T>(1));
                let out = call.result::<$T>();
                scan(&lanes, self.reverse, 0.0f64, |y, at, first| {
                    let b = f64::from(b[at]);
                    *y = if first { b } else { f64::from(a[at]) * *y + b };
                    out[at] = *y as $T;
                });
            }};
        }
        match ty.dtype {
            DType::F32 => run!(f32),
            DType::F64 => run!(f64),
            _ => {}
        }
    }
}
