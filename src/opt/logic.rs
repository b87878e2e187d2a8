//! Comparisons, truth values, selections, extremes and conversions.

use crate::graph::{DType, NodeId};
use crate::prim::{Cast, Emit, Map, Op};
use crate::scalar::ScalarFn::{And, Eq, Ge, Gt, IsNan, Le, Lt, Max, Min, Ne, Not, Or, Select, Xor};

use super::arith::function;
use super::rewrite::{Law, Rewriter, Rule};
use super::vanish::select_of_vanishing;

/// The rules of this family.
pub const RULES: &[Rule] = &[
    Rule {
        name: "select-constant",
        law: Law::Exact,
        doc: "A selection by a constant is the branch it takes.",
        on: &["select"],
        apply: |r, _, x| r.splat(x[0]).map(|c| if c != 0.0 { x[1] } else { x[2] }),
    },
    Rule {
        name: "select-same",
        law: Law::Exact,
        doc: "A selection between equals is either.",
        on: &["select"],
        apply: |_, _, x| (x[1] == x[2]).then_some(x[1]),
    },
    Rule {
        name: "select-not",
        law: Law::Exact,
        doc: "A selection by not(c) is one by c with the branches exchanged.",
        on: &["select"],
        apply: |r, _, x| r.unary(x[0], Not).map(|c| r.select(c, x[2], x[1])),
    },
    Rule {
        name: "select-nested",
        law: Law::Exact,
        doc: "A branch that selects by the same condition is the branch it takes.",
        on: &["select"],
        apply: select_nested,
    },
    Rule {
        name: "select-of-vanishing",
        law: Law::ZeroSign,
        doc: "select(c, 0, x) is x if x is zero in any case where c holds: a product of select(c, 0, y) with what the formula shows to be bounded there.",
        on: &["select"],
        apply: select_of_vanishing,
    },
    Rule {
        name: "or-of-complement",
        law: Law::Exact,
        doc: "a or (not(a) and b) is a or b.",
        on: &["or"],
        apply: or_of_complement,
    },
    Rule {
        name: "select-of-truth",
        law: Law::Exact,
        doc: "select(c, true, false) is c, select(c, false, true) is not(c).",
        on: &["select"],
        apply: select_of_truth,
    },
    Rule {
        name: "relu-mask",
        law: Law::Exact,
        doc: "The mask z <= 0 of a gradient, if z is used only for it and for h = select(z <= 0, 0, z), is h <= 0: z need not outlive h.",
        on: &["select"],
        apply: relu_mask,
    },
    Rule {
        name: "sum-of-disjoint-selects",
        law: Law::ZeroSign,
        doc: "select(c, a, 0) + select(c, 0, b) is select(c, a, b).",
        on: &["add"],
        apply: sum_of_disjoint_selects,
    },
    Rule {
        name: "not-not",
        law: Law::Exact,
        doc: "not(not(x)) is x.",
        on: &["not"],
        apply: |r, _, x| r.unary(x[0], Not),
    },
    Rule {
        name: "not-of-comparison",
        law: Law::Exact,
        doc: "not(a == b) is a != b, and for types without NaN not(a < b) is a >= b and so on.",
        on: &["not"],
        apply: not_of_comparison,
    },
    Rule {
        name: "compare-self",
        law: Law::Exact,
        doc: "x < x and x > x are false; x != x is is_nan(x), or false for types without NaN; x <= x and x == x are true for those.",
        on: &["eq", "ne", "lt", "le", "gt", "ge"],
        apply: compare_self,
    },
    Rule {
        name: "compare-with-truth",
        law: Law::Exact,
        doc: "For truth values, x == true and x != false are x, x == false and x != true are not(x).",
        on: &["eq", "ne"],
        apply: compare_with_truth,
    },
    Rule {
        name: "logic-constant",
        law: Law::Exact,
        doc: "and, or and xor with a constant of which all bits are equal.",
        on: &["and", "or", "xor"],
        apply: logic_constant,
    },
    Rule {
        name: "logic-self",
        law: Law::Exact,
        doc: "x and x, x or x are x; x xor x is false, or 0.",
        on: &["and", "or", "xor"],
        apply: |r, op, x| match (x[0] == x[1], function(op)?) {
            (true, Xor) => Some(r.full_like(x[0], 0.0)),
            (true, _) => Some(x[0]),
            _ => None,
        },
    },
    Rule {
        name: "extreme-of-same",
        law: Law::Exact,
        doc: "max(x, x) and min(x, x) are x.",
        on: &["max", "min"],
        apply: |_, _, x| (x[0] == x[1]).then_some(x[0]),
    },
    Rule {
        name: "extreme-with-infinity",
        law: Law::Exact,
        doc: "max(x, -inf) and min(x, inf) are x.",
        on: &["max", "min"],
        apply: |r, op, x| {
            let bound = if function(op) == Some(Max) { f64::NEG_INFINITY } else { f64::INFINITY };
            r.with_splat(x[0], x[1]).filter(|&(_, c)| r.is_splat(c, bound)).map(|(x, _)| x)
        },
    },
    Rule {
        name: "extreme-absorbs",
        law: Law::ZeroSign,
        doc: "max(max(a, b), b) is max(a, b), and max(max(x, c), d) with constants is max(x, max(c, d)); likewise min.",
        on: &["max", "min"],
        apply: extreme_absorbs,
    },
    Rule {
        name: "cast-of-cast",
        law: Law::Exact,
        doc: "A conversion through a type that holds all values is a direct one; one back to the first type is none.",
        on: &["cast"],
        apply: cast_of_cast,
    },
    Rule {
        name: "cast-to-same",
        law: Law::Exact,
        doc: "A conversion to the type that a tensor has is none.",
        on: &["cast"],
        apply: |r, op, x| matches!(op, Op::Cast(c) if c.dtype == r.graph().ty(x[0]).dtype).then_some(x[0]),
    },
];

fn select_nested(r: &mut Rewriter<'_>, _: &Op, x: &[NodeId]) -> Option<NodeId> {
    let taken = |r: &Rewriter<'_>, branch: NodeId, first: bool| {
        let (c, a, b) = r.as_select(branch)?;
        (c == x[0]).then_some(if first { a } else { b })
    };
    let (a, b) = (taken(r, x[1], true), taken(r, x[2], false));
    if a.is_none() && b.is_none() {
        return None;
    }
    Some(r.select(x[0], a.unwrap_or(x[1]), b.unwrap_or(x[2])))
}

fn or_of_complement(r: &mut Rewriter<'_>, _: &Op, x: &[NodeId]) -> Option<NodeId> {
    let b = [(x[0], x[1]), (x[1], x[0])].into_iter().find_map(|(a, both)| {
        let (c, d) = r.binary(both, And)?;
        let is_complement = |n| r.unary(n, Not) == Some(a);
        if is_complement(c) { Some([a, d]) } else { is_complement(d).then_some([a, c]) }
    })?;
    Some(r.map(Or, &b))
}

fn select_of_truth(r: &mut Rewriter<'_>, _: &Op, x: &[NodeId]) -> Option<NodeId> {
    if r.graph().ty(x[1]).dtype != DType::Bool {
        return None;
    }
    match (r.splat(x[1])? != 0.0, r.splat(x[2])? != 0.0) {
        (true, false) => Some(x[0]),
        (false, true) => Some(r.map(Not, &x[..1])),
        _ => None,
    }
}

fn relu_mask(r: &mut Rewriter<'_>, _: &Op, x: &[NodeId]) -> Option<NodeId> {
    let (z, zero) = r.binary(x[0], Le)?;
    if !r.is_zero(zero) || z == x[2] || r.uses(z) != 2 {
        return None;
    }
    let h = r.find(Map { f: Select }, &[x[0], zero, z])?;
    let mask = r.map(Le, &[h, zero]);
    Some(r.select(mask, x[1], x[2]))
}

fn sum_of_disjoint_selects(r: &mut Rewriter<'_>, _: &Op, x: &[NodeId]) -> Option<NodeId> {
    let (c, a, b) = r.as_select(x[0])?;
    let (d, e, f) = r.as_select(x[1])?;
    if c != d {
        return None;
    }
    if r.is_zero(b) && r.is_zero(e) {
        return Some(r.select(c, a, f));
    }
    (r.is_zero(a) && r.is_zero(f)).then(|| r.select(c, e, b))
}

fn not_of_comparison(r: &mut Rewriter<'_>, _: &Op, x: &[NodeId]) -> Option<NodeId> {
    let Op::Map(Map { f }) = r.op(x[0]) else { return None };
    let (opposite, total_order) = match f {
        Eq => (Ne, false),
        Ne => (Eq, false),
        Lt => (Ge, true),
        Le => (Gt, true),
        Gt => (Le, true),
        Ge => (Lt, true),
        _ => return None,
    };
    let (a, b) = (r.operands(x[0])[0], r.operands(x[0])[1]);
    (!total_order || !r.is_float(a)).then(|| r.map(opposite, &[a, b]))
}

fn compare_self(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    if x[0] != x[1] {
        return None;
    }
    let truth = r.graph().ty(x[0]).with_dtype(DType::Bool);
    match (function(op)?, r.is_float(x[0])) {
        (Lt | Gt, _) | (Ne, false) => Some(r.full(&truth, 0.0)),
        (Eq | Le | Ge, false) => Some(r.full(&truth, 1.0)),
        (Ne, true) => Some(r.map(IsNan, &x[..1])),
        _ => None,
    }
}

fn compare_with_truth(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let (x, c) = r.with_splat(x[0], x[1])?;
    if r.graph().ty(x).dtype != DType::Bool {
        return None;
    }
    let kept = (function(op)? == Eq) == (r.splat(c)? != 0.0);
    Some(if kept { x } else { r.map(Not, &[x]) })
}

fn logic_constant(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let (x, c) = r.with_splat(x[0], x[1])?;
    let all_bits = match r.graph().ty(x).dtype {
        DType::Bool => 1.0,
        DType::U8 => u8::MAX.into(),
        DType::U32 => u32::MAX.into(),
        _ => -1.0,
    };
    let constant = r.splat(c)?;
    if constant != 0.0 && constant != all_bits {
        return None;
    }
    match (function(op)?, constant != 0.0) {
        (And, true) | (Or | Xor, false) => Some(x),
        (And, false) | (Or, true) => Some(c),
        (Xor, true) => Some(r.map(Not, &[x])),
        _ => None,
    }
}

fn extreme_absorbs(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let f = function(op)?;
    debug_assert!(f == Max || f == Min);
    for (inner, other) in [(x[0], x[1]), (x[1], x[0])] {
        let Some((a, b)) = r.binary(inner, f) else { continue };
        if a == other || b == other {
            return Some(inner);
        }
        if r.splat_source(other).is_some()
            && let Some((y, c)) = r.with_splat(a, b)
        {
            let shape = r.graph().shape(y).clone();
            let bound = r.fold_splats(f, &[c, other], &shape);
            return Some(r.map(f, &[y, bound]));
        }
    }
    None
}

/// True if every value of the one type is a value of the other, and converts to it and back unchanged.
fn holds(from: DType, to: DType) -> bool {
    use DType::{BF16, Bool, F16, F32, F64, I32, I64, U8, U32};
    let wider: &[DType] = match from {
        Bool => &DType::ALL,
        U8 => &[I32, U32, I64, F16, BF16, F32, F64],
        I32 | U32 => &[I64, F64],
        F16 | BF16 => &[F32, F64],
        F32 => &[F64],
        I64 | F64 => &[],
    };
    from == to || wider.contains(&to)
}

fn cast_of_cast(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let Op::Cast(Cast { dtype }) = *op else { return None };
    let Op::Cast(Cast { dtype: through }) = *r.op(x[0]) else {
        return None;
    };
    let source = r.operands(x[0])[0];
    holds(r.graph().ty(source).dtype, through).then(|| r.cast(source, dtype))
}
