//! A value with a derivative of the program's own.
//!
//! ```text
//!   inputs --nodes as ever--> result --+
//!     |                                v
//!     +--------------------------> custom_vjp --> used in place of the result
//! ```
//!
//! The node's value is its first operand. What it adds is a rule: differentiation does not look behind the result but asks the rule for the cotangents of
//! the inputs. The rule is a [`SubGraph`], made when the node was made, so that transformations need nothing but the graph. When differentiation is over,
//! the optimizer puts the result in the node's place.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use smallvec::SmallVec;

use crate::array::Array;
use crate::graph::{Dims, Name, NodeId, OpErrorKind, TensorType};
use crate::transform::SubGraph;

use super::{AttrError, Attrs, Batch, Cotangents, Jvp, Lowering, Mode, Primitive, Vjp};

/// What a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CustomKind {
    /// A derivative of the program's choice. In forward mode it is the transpose of the rule, which has to be linear in the cotangent.
    Vjp,
    /// The derivative that the result has anyway, computed another way. Forward mode goes through the result, and so does reverse mode where the rule is
    /// not known.
    Checkpoint,
}

/// The rule of a [`Custom`] operation. Two are equal if they are the same one.
#[derive(Clone, Debug)]
pub struct CustomRule(Arc<Rule>);

#[derive(Debug)]
struct Rule {
    /// From the inputs, the result, its cotangent and the captured operands to the cotangents of the inputs of float types.
    backward: SubGraph,
    /// From the inputs, the result, the tangents of the inputs of float types and the captured operands to the tangent of the result.
    forward: OnceLock<Option<SubGraph>>,
}

impl CustomRule {
    /// The rule of this sub-graph: from the inputs, the result, its cotangent and the captured operands to the cotangents of the inputs of float types.
    pub fn new(backward: SubGraph) -> CustomRule {
        CustomRule(Arc::new(Rule { backward, forward: OnceLock::new() }))
    }

    /// The transpose of the rule, if it is linear in the cotangent, which is argument number `at`.
    fn forward(&self, at: usize) -> Option<&SubGraph> {
        self.0.forward.get_or_init(|| self.0.backward.transposed(at)).as_ref()
    }
}

impl PartialEq for CustomRule {
    fn eq(&self, other: &CustomRule) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for CustomRule {}

impl Hash for CustomRule {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

/// The first operand, the result, with a derivative of its own by the next `inputs` operands. Further operands are what the rule uses besides.
///
/// The text form has the rule's name only, so what is read from text has no rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Custom {
    /// What the rule is for.
    pub kind: CustomKind,
    /// Name of the rule.
    pub name: Name,
    /// Count of inputs.
    pub inputs: usize,
    /// The rule, if it is known.
    pub rule: Option<CustomRule>,
}

impl Custom {
    /// The operands that are inputs of a float type, by their positions.
    fn float_inputs(&self, ty: impl Fn(usize) -> TensorType) -> Dims {
        (1..=self.inputs).filter(|&i| ty(i).dtype.is_float()).collect()
    }
}

impl Primitive for Custom {
    fn name(&self) -> &'static str {
        match self.kind {
            CustomKind::Vjp => "custom_vjp",
            CustomKind::Checkpoint => "checkpoint",
        }
    }

    fn accepts(name: &str) -> bool {
        matches!(name, "custom_vjp" | "checkpoint")
    }

    fn attrs(&self) -> Attrs {
        Attrs::new().string("rule", &self.name).word("inputs", self.inputs)
    }

    fn parse(name: &str, attrs: &mut Attrs, _: &TensorType) -> Result<Self, AttrError> {
        Ok(Custom {
            kind: if name == "custom_vjp" { CustomKind::Vjp } else { CustomKind::Checkpoint },
            name: attrs.take_string("rule")?.into(),
            inputs: attrs.take_word("inputs", "a count of operands")?,
            rule: None,
        })
    }

    fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, OpErrorKind> {
        let expected = self.inputs.saturating_add(1);
        if operands.len() < expected {
            return Err(OpErrorKind::Arity { expected, given: operands.len() });
        }
        Ok(operands[0].clone())
    }

    fn underivable(&self, mode: Mode) -> Option<String> {
        let Some(rule) = &self.rule else {
            let unknown = format!(
                "the rule `{}` of this {} is not known: the text form does not hold it",
                self.name,
                self.name()
            );
            return (self.kind == CustomKind::Vjp).then_some(unknown);
        };
        let nonlinear =
            mode == Mode::Forward && self.kind == CustomKind::Vjp && rule.forward(self.inputs + 1).is_none();
        nonlinear.then(|| {
            format!(
                "the rule `{}` is not linear in the cotangent, so there is no derivative in forward mode",
                self.name
            )
        })
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Cotangents {
        let mut cotangents: Cotangents = SmallVec::from_elem(None, cx.operands.len());
        let Some(rule) = &self.rule else {
            cotangents[0] = Some(cx.cotangent);
            return cotangents;
        };
        let (inputs, captured) = cx.operands[1..].split_at(self.inputs);
        let arguments: Vec<NodeId> =
            inputs.iter().copied().chain([cx.output, cx.cotangent]).chain(captured.iter().copied()).collect();
        let parts = rule.0.backward.emit(cx.emit, &arguments);
        let places = self.float_inputs(|i| cx.operand_ty(i));
        places.into_iter().zip(parts).for_each(|(i, part)| cotangents[i] = Some(part));
        cotangents
    }

    fn jvp(&self, cx: &mut Jvp<'_>) -> Option<NodeId> {
        let forward = match (&self.rule, self.kind) {
            (Some(rule), CustomKind::Vjp) => rule.forward(self.inputs + 1)?,
            _ => return cx.tangents[0],
        };
        let places = self.float_inputs(|i| cx.operand_ty(i));
        if places.iter().all(|&i| cx.tangents[i].is_none()) {
            return None;
        }
        let tangents: Vec<NodeId> = places.into_iter().map(|i| cx.tangent(i)).collect();
        let (inputs, captured) = cx.operands[1..].split_at(self.inputs);
        let rest = std::iter::once(cx.output).chain(captured.iter().copied());
        let arguments: Vec<NodeId> = inputs.iter().copied().chain(rest).chain(tangents).collect();
        Some(forward.emit(cx.emit, &arguments)[0])
    }

    /// The rule is batched too; the cotangents of inputs that are the same for all examples are added up.
    fn batch(&self, cx: &mut Batch<'_>) -> NodeId {
        let result = cx.with_batch_axis(0);
        let rule = self.rule.as_ref().map(|rule| {
            let (inputs, captured) = cx.batched[1..].split_at(self.inputs);
            let of_arguments: Vec<bool> =
                inputs.iter().copied().chain([true, true]).chain(captured.iter().copied()).collect();
            let places = self.float_inputs(|i| cx.operand_ty(i));
            let summed: Vec<bool> = places.into_iter().map(|i| !cx.batched[i]).collect();
            CustomRule::new(rule.0.backward.batched(cx.size, &of_arguments, &summed))
        });
        let mut operands = cx.operands.clone();
        operands[0] = result;
        cx.emit.emit(Custom { rule, ..self.clone() }.into(), &operands)
    }

    fn eval(&self, operands: &[&Array], _: &TensorType) -> Array {
        operands[0].clone()
    }

    fn takes_halves(&self) -> bool {
        true
    }

    fn lowering(&self, _: &[&TensorType], _: &TensorType) -> Lowering {
        Lowering::Same
    }
}
