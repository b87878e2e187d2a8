//! Expressions: what a node is, in terms of what is computed elsewhere.
//!
//! While the planner walks the graph, each node is an expression over its own axes. Movement is the views of the leaves, so it costs nothing. Cheap
//! elementwise nodes stay expressions and are computed again by each consumer; the others are *placed*: they get a value of their own in some group, and
//! are a leaf from then on.

use smallvec::SmallVec;

use crate::graph::{DType, NodeId};
use crate::prim::{Op, Strided};
use crate::scalar::{Cost, ScalarFn};

/// Number of an expression in its [`Exprs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ExprId(u32);

/// An expression over the axes of some node.
#[derive(Clone, Debug)]
pub(super) enum Expr {
    /// The element of a placed node's value that the view leads to.
    Leaf { source: NodeId, view: Strided },
    /// A number: the bits of an `f64`.
    Const(u64),
    /// The place that the view leads to, as a number.
    Counter(Strided),
    /// A scalar function.
    Map(ScalarFn, SmallVec<[ExprId; 3]>),
    /// A conversion to this expression's type.
    Cast(ExprId),
    /// The element of a placed node's value that the view and `index * stride` lead to, if `0 <= index < extent`, else `fill`.
    Gather { source: NodeId, view: Strided, index: ExprId, stride: isize, extent: usize, fill: u64 },
}

/// An expression with what is known of it.
#[derive(Clone, Debug)]
pub(super) struct ExprData {
    pub(super) expr: Expr,
    pub(super) dtype: DType,
    /// Work of computing it at one point, in cheap operations.
    pub(super) weight: u32,
    /// Count of loads.
    pub(super) loads: u32,
}

/// Weight of a dear scalar function in cheap operations.
const DEAR: u32 = 16;

/// Expressions of at most this weight and this many loads are computed again by each consumer.
const INLINE_WEIGHT: u32 = 8;
const INLINE_LOADS: u32 = 3;

/// All expressions of a planning run.
#[derive(Debug, Default)]
pub(super) struct Exprs(Vec<ExprData>);

impl Exprs {
    pub(super) fn get(&self, id: ExprId) -> &ExprData {
        &self.0[id.0 as usize]
    }

    pub(super) fn push(&mut self, expr: Expr, dtype: DType) -> ExprId {
        let sum = |ids: &[ExprId]| {
            let data = ids.iter().map(|&i| self.get(i));
            data.fold((0u32, 0u32), |(w, l), d| (w.saturating_add(d.weight), l.saturating_add(d.loads)))
        };
        let (weight, loads) = match &expr {
            Expr::Leaf { .. } => (0, 1),
            Expr::Const(_) | Expr::Counter(_) => (0, 0),
            Expr::Map(f, args) => {
                let (w, l) = sum(args);
                let own = if f.record().cost == Cost::Cheap { 1 } else { DEAR };
                (w.saturating_add(own), l)
            }
            Expr::Cast(arg) => {
                let (w, l) = sum(&[*arg]);
                (w.saturating_add(1), l)
            }
            Expr::Gather { index, .. } => {
                let (w, l) = sum(&[*index]);
                (w.saturating_add(2), l.saturating_add(1))
            }
        };
        self.0.push(ExprData { expr, dtype, weight, loads });
        ExprId(u32::try_from(self.0.len() - 1).expect("a plan has fewer than 2^32 expressions"))
    }

    /// True if computing the expression again costs no more than loading it.
    pub(super) fn is_cheap(&self, id: ExprId) -> bool {
        let data = self.get(id);
        data.weight <= INLINE_WEIGHT && (data.loads <= INLINE_LOADS || self.loads_few(id))
    }

    /// True if the expression has a dear function, or as much work.
    pub(super) fn is_dear(&self, id: ExprId) -> bool {
        self.get(id).weight >= DEAR
    }

    /// True if an expression that is not heavy loads few different elements, some of them several times.
    fn loads_few(&self, id: ExprId) -> bool {
        let mut loaded: SmallVec<[(NodeId, Strided); INLINE_LOADS as usize + 1]> = SmallVec::new();
        let mut chooses = false;
        self.leaves(id, &mut |source, view, chosen| {
            chooses |= chosen;
            let known = loaded.iter().any(|(s, v)| *s == source && v == view);
            if !known && loaded.len() <= INLINE_LOADS as usize {
                loaded.push((source, view.clone()));
            }
        });
        !chooses && loaded.len() <= INLINE_LOADS as usize
    }

    /// Calls `f` with each leaf: source, view, and whether it is chosen from by a value.
    ///
    /// Recursion is bounded: placed nodes are leaves, and what is not placed is small.
    pub(super) fn leaves(&self, id: ExprId, f: &mut dyn FnMut(NodeId, &Strided, bool)) {
        match &self.get(id).expr {
            Expr::Leaf { source, view } => f(*source, view, false),
            Expr::Const(_) | Expr::Counter(_) => {}
            Expr::Map(_, args) => args.iter().for_each(|&a| self.leaves(a, f)),
            Expr::Cast(arg) => self.leaves(*arg, f),
            Expr::Gather { source, view, index, .. } => {
                f(*source, view, true);
                self.leaves(*index, f);
            }
        }
    }

    /// The expression moved by `op`, or `None` if a view cannot say that.
    pub(super) fn moved(&mut self, id: ExprId, op: &Op) -> Option<ExprId> {
        let ExprData { expr, dtype, .. } = self.get(id).clone();
        let expr = match expr {
            Expr::Const(_) => return Some(id),
            Expr::Leaf { source, view } => Expr::Leaf { source, view: op.view(&view)? },
            Expr::Counter(view) => Expr::Counter(op.view(&view)?),
            Expr::Map(f, args) => Expr::Map(f, args.iter().map(|&a| self.moved(a, op)).collect::<Option<_>>()?),
            Expr::Cast(arg) => Expr::Cast(self.moved(arg, op)?),
            Expr::Gather { source, view, index, stride, extent, fill } => {
                Expr::Gather { source, view: op.view(&view)?, index: self.moved(index, op)?, stride, extent, fill }
            }
        };
        Some(self.push(expr, dtype))
    }
}
