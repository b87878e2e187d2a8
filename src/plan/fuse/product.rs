//! Matrix products: as calls of the runtime, as folds if they are small, added to parameters, or added up in windows.

use smallvec::SmallVec;

use crate::graph::{Dims, NodeId, Shape};
use crate::plan::expr::{Expr, ExprId};
use crate::plan::kernel::FoldKind;
use crate::plan::overlap::{self, Overlap};
use crate::prim::{Broadcast, Dot, Op, Reduction, Strided, Transpose};
use crate::scalar::ScalarFn;

use super::{Fused, Home, Kind, Layout, SMALL_PRODUCT};

/// A matrix product, its operands in memory.
#[derive(Clone, Debug)]
pub(in crate::plan) struct ProductGroup {
    /// The node whose value is computed: the product, or the parameter update that it is added to.
    pub(in crate::plan) node: NodeId,
    pub(in crate::plan) dot: Dot,
    pub(in crate::plan) lhs: (NodeId, Strided),
    pub(in crate::plan) rhs: (NodeId, Strided),
    /// Where the result is stored, if not in row-major order of the product's own axes.
    pub(in crate::plan) layout: Option<Layout>,
    /// The parameter that the product is added to, and the factor.
    pub(in crate::plan) accumulate: Option<Accumulate>,
    /// Where the product's elements are added up, if the result is not their matrix. The node is that sum then.
    pub(in crate::plan) overlap: Option<(NodeId, Overlap)>,
}

/// `param + sign * scale * product`.
#[derive(Clone, Debug)]
pub(in crate::plan) struct Accumulate {
    pub(in crate::plan) param: NodeId,
    pub(in crate::plan) sign: f64,
    pub(in crate::plan) scale: Scale,
}

/// The factor of an accumulated product.
#[derive(Clone, Debug)]
pub(in crate::plan) enum Scale {
    /// A number.
    Const(f64),
    /// A scalar in memory.
    Node(NodeId),
}

impl Fused<'_> {
    /// Places a dot: as a matrix product, or, if it is small or of integers, as a fold of the product of its operands.
    pub(super) fn place_dot(&mut self, id: NodeId, dot: &Dot, lhs: NodeId, rhs: NodeId) -> ExprId {
        let (l, r, ty) = (self.graph.ty(lhs).clone(), self.graph.ty(rhs).clone(), self.graph.ty(id).clone());
        let k: usize = dot.lhs_contract.iter().map(|&a| l.shape[a]).product();
        if k == 0 {
            return self.exprs.push(Expr::Const(0.0f64.to_bits()), ty.dtype);
        }
        if self.is_folded_product(id) {
            return self.place_product_fold(id, dot, (lhs, &l.shape), (rhs, &r.shape));
        }
        let (lhs, rhs) = (self.in_memory(lhs), self.in_memory(rhs));
        let level = self.level_of(lhs.0).max(self.level_of(rhs.0)) + 1;
        let product =
            ProductGroup { node: id, dot: dot.clone(), lhs, rhs, layout: None, accumulate: None, overlap: None };
        self.begin(id, level, Kind::Product(Box::new(product)))
    }

    /// True for dots that are no products of matrices in memory: small ones, and those of integers.
    pub(super) fn is_folded_product(&self, id: NodeId) -> bool {
        let (ty, operands) = (self.graph.ty(id), self.graph.operands(id));
        let Op::Dot(dot) = self.graph.op(id) else { return false };
        let lhs = self.graph.shape(operands[0]);
        let k: usize = dot.lhs_contract.iter().map(|&a| lhs[a]).product();
        !ty.dtype.is_float() || ty.shape.numel().saturating_mul(k) <= SMALL_PRODUCT
    }

    /// A dot as a fold over the axes `[batch, m, n, k]` of the product of its operands.
    pub(super) fn place_product_fold(
        &mut self,
        id: NodeId,
        dot: &Dot,
        lhs: (NodeId, &Shape),
        rhs: (NodeId, &Shape),
    ) -> ExprId {
        let (lhs_free, rhs_free) = (dot.lhs_free(lhs.1.rank()), dot.rhs_free(rhs.1.rank()));
        let (b, m, n, k) = (dot.lhs_batch.len(), lhs_free.len(), rhs_free.len(), dot.lhs_contract.len());
        let extents = |shape: &Shape, axes: &[usize]| axes.iter().map(|&a| shape[a]).collect::<Vec<_>>();
        let shape: Shape = [
            extents(lhs.1, &dot.lhs_batch),
            extents(lhs.1, &lhs_free),
            extents(rhs.1, &rhs_free),
            extents(lhs.1, &dot.lhs_contract),
        ]
        .concat()
        .into();
        let dtype = self.graph.ty(id).dtype;
        let spread = |this: &mut Self, operand: NodeId, order: Dims, new: Dims| {
            let transpose: Op = Transpose { permutation: order }.into();
            let broadcast: Op = Broadcast { shape: shape.clone(), axes: new }.into();
            let def = this.def(operand);
            let moved = this.exprs.moved(def, &transpose).expect("a transpose is a view");
            this.exprs.moved(moved, &broadcast).expect("a broadcast is a view")
        };
        let order = |parts: [&Dims; 3]| parts.into_iter().flatten().copied().collect::<Dims>();
        let a =
            spread(self, lhs.0, order([&dot.lhs_batch, &lhs_free, &dot.lhs_contract]), (b + m..b + m + n).collect());
        let c = spread(self, rhs.0, order([&dot.rhs_batch, &rhs_free, &dot.rhs_contract]), (b..b + m).collect());
        let body = self.exprs.push(Expr::Map(ScalarFn::Mul, SmallVec::from_slice(&[a, c])), dtype);
        let axes: Dims = (b + m + n..b + m + n + k).collect();
        let kind = FoldKind::Combine(ScalarFn::Add, Reduction::Sum.neutral(dtype).to_bits());
        self.place_fold(id, body, &shape, &axes, kind)
    }

    /// Places the sum of a product's windows. A product that serves nothing else is not computed as a matrix.
    pub(super) fn place_overlap(&mut self, id: NodeId) -> ExprId {
        let Some((dot, overlap)) = overlap::matched(self.graph, id) else {
            panic!("{} is to be expanded before it is planned", self.graph.op(id).name());
        };
        let group = self.group_of(dot).expect("a product has a group");
        let alone = self.serves_only(dot, id);
        let level = self.groups[group.index()].level;
        let Kind::Product(p) = &mut self.groups[group.index()].kind else { panic!("a large dot is a product") };
        if alone {
            (p.node, p.layout, p.overlap) = (id, None, Some((dot, overlap)));
            self.homes[id.index()] = Some(Home::Group(group));
            return self.leaf(id);
        }
        let overlap = Some((dot, overlap));
        let product = ProductGroup { node: id, layout: None, accumulate: None, overlap, ..(**p).clone() };
        self.begin(id, level, Kind::Product(Box::new(product)))
    }

    /// If the update of `param` is `param +- scale * product`, and the product serves nothing else, lets the product add itself to the parameter.
    pub(super) fn accumulate_product(&mut self, id: NodeId, param: NodeId) -> bool {
        if self.outputs.contains(&id) {
            return false;
        }
        let Some((product, accumulate)) = self.match_accumulation(id, param) else {
            return false;
        };
        let group = self.group_of(product).expect("a product has a group");
        let Kind::Product(p) = &mut self.groups[group.index()].kind else { panic!("matched a product") };
        p.accumulate = Some(accumulate);
        p.node = id;
        if let Some(layout) = &mut p.layout {
            layout.memory = id;
        }
        self.homes[id.index()] = Some(Home::Group(group));
        let leaf = self.leaf(id);
        self.defs[id.index()] = Some(leaf);
        true
    }

    fn match_accumulation(&self, id: NodeId, param: NodeId) -> Option<(NodeId, Accumulate)> {
        let whole = |e: ExprId| match &self.exprs.get(e).expr {
            Expr::Leaf { source, view } if view.is_contiguous() => Some(*source),
            _ => None,
        };
        let Expr::Map(f, args) = &self.exprs.get(self.def(id)).expr else {
            return None;
        };
        let (term, sign) = match (f, args.as_slice()) {
            (ScalarFn::Sub, &[p, x]) if whole(p) == Some(param) => (x, -1.0),
            (ScalarFn::Add, &[p, x]) if whole(p) == Some(param) => (x, 1.0),
            (ScalarFn::Add, &[x, p]) if whole(p) == Some(param) => (x, 1.0),
            _ => return None,
        };
        let product_of = |e: ExprId| {
            let node = whole(e)?;
            let group = self.group_of(node)?;
            match &self.groups[group.index()].kind {
                Kind::Product(p) if p.node == node && p.accumulate.is_none() && p.overlap.is_none() => Some(node),
                _ => None,
            }
        };
        let scale_of = |e: ExprId| match &self.exprs.get(e).expr {
            Expr::Const(bits) => Some(Scale::Const(f64::from_bits(*bits))),
            Expr::Leaf { source, view }
                if view.offset == 0 && self.graph.shape(self.memory_of(*source)).numel() == 1 =>
            {
                Some(Scale::Node(*source))
            }
            _ => None,
        };
        let (product, scale) = match &self.exprs.get(term).expr {
            Expr::Leaf { .. } => (product_of(term)?, Scale::Const(1.0)),
            Expr::Map(ScalarFn::Mul, args) => match args.as_slice() {
                &[a, b] => match (product_of(a), product_of(b)) {
                    (Some(p), _) => (p, scale_of(b)?),
                    (_, Some(p)) => (p, scale_of(a)?),
                    _ => return None,
                },
                _ => return None,
            },
            _ => return None,
        };
        let group = self.group_of(product)?;
        let Kind::Product(p) = &self.groups[group.index()].kind else {
            return None;
        };
        // The parameter must not be a factor, and the scale must be there in time.
        let reads_param = [p.lhs.0, p.rhs.0].iter().any(|&n| self.memory_of(n) == param);
        let scale_is_late = match scale {
            Scale::Node(n) => self.level_of(n) >= self.groups[group.index()].level || self.memory_of(n) == param,
            Scale::Const(_) => false,
        };
        let only_use = self.serves_only(product, id) && self.graph.shape(product) == self.graph.shape(id);
        (!reads_param && !scale_is_late && only_use).then_some((product, Accumulate { param, sign, scale }))
    }

    /// True if every path of users from `node` goes through single uses to `to`.
    pub(super) fn serves_only(&self, mut node: NodeId, to: NodeId) -> bool {
        while node != to {
            let wanted = self.is_wanted(node);
            let mut users = self.graph.users(node).filter(|(u, _)| self.live[u.index()]);
            match (users.next(), users.next()) {
                (Some((user, _)), None) if !wanted && user <= to => node = user,
                _ => return false,
            }
        }
        true
    }
}
