//! Expressions: what a node is, in terms of what is computed elsewhere.
//!
//! While the planner walks the graph, each node is an expression over its own axes. Movement is the views of the leaves, so it costs nothing. Cheap
//! elementwise nodes stay expressions and are computed again by each consumer; the others are *placed*: they get a value of their own in some group, and
//! are a leaf from then on.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::graph::{DType, NodeId};
use crate::prim::{Op, Strided};
use crate::scalar::{Cost, ScalarFn};

/// Number of an expression in its [`Exprs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ExprId(u32);

/// An expression over the axes of some node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
    /// Work of computing it at one point, in cheap operations, each as often as the expression names it.
    pub(super) weight: u32,
    /// Count of loads, likewise.
    pub(super) loads: u32,
}

/// Weight of a dear scalar function in cheap operations.
const DEAR: u32 = 16;

/// Expressions of at most this weight and this many loads are computed again by each consumer. Equal loads count once; so do equal parts of truth values, which
/// are moved by the byte.
const INLINE_WEIGHT: u32 = 8;
const INLINE_LOADS: u32 = 3;

/// What is named so many times as often as it weighs is not looked into.
const MOST_NAMED: u32 = 4;

/// All expressions of a planning run. Equal ones are one.
#[derive(Debug, Default)]
pub(super) struct Exprs {
    all: Vec<ExprData>,
    numbers: FxHashMap<(Expr, DType), ExprId>,
}

impl Exprs {
    pub(super) fn get(&self, id: ExprId) -> &ExprData {
        &self.all[id.0 as usize]
    }

    pub(super) fn push(&mut self, expr: Expr, dtype: DType) -> ExprId {
        let key = (expr, dtype);
        if let Some(&id) = self.numbers.get(&key) {
            return id;
        }
        let expr = &key.0;
        let sum = |ids: &[ExprId]| {
            let data = ids.iter().map(|&i| self.get(i));
            data.fold((0u32, 0u32), |(w, l), d| (w.saturating_add(d.weight), l.saturating_add(d.loads)))
        };
        let (weight, loads) = match expr {
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
        self.all.push(ExprData { expr: expr.clone(), dtype, weight, loads });
        let id = ExprId(u32::try_from(self.all.len() - 1).expect("a plan has fewer than 2^32 expressions"));
        self.numbers.insert(key, id);
        id
    }

    /// True if computing the expression again costs no more than loading it.
    pub(super) fn is_cheap(&self, id: ExprId) -> bool {
        let data = self.get(id);
        let named = data.dtype == DType::Bool && data.weight <= MOST_NAMED * INLINE_WEIGHT;
        let light = data.weight <= INLINE_WEIGHT || named && self.distinct_weight(id) <= INLINE_WEIGHT;
        light && (data.loads <= INLINE_LOADS || self.loads_few(id))
    }

    /// The weight of an expression, its equal parts counted once.
    fn distinct_weight(&self, id: ExprId) -> u32 {
        let (mut seen, mut open) = (SmallVec::<[ExprId; 16]>::new(), SmallVec::<[ExprId; 16]>::from_elem(id, 1));
        let mut weight = 0;
        while let Some(id) = open.pop() {
            if seen.contains(&id) {
                continue;
            }
            seen.push(id);
            let own = self.get(id);
            let parts: &[ExprId] = match &own.expr {
                Expr::Map(_, args) => args,
                Expr::Cast(arg) => std::slice::from_ref(arg),
                Expr::Gather { index, .. } => std::slice::from_ref(index),
                Expr::Leaf { .. } | Expr::Const(_) | Expr::Counter(_) => continue,
            };
            weight += own.weight - parts.iter().map(|&p| self.get(p).weight).sum::<u32>();
            open.extend_from_slice(parts);
        }
        weight
    }

    /// True if the expression has a dear function, or as much work.
    pub(super) fn is_dear(&self, id: ExprId) -> bool {
        self.get(id).weight >= DEAR && self.distinct_weight(id) >= DEAR
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
