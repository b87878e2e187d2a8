//! Loop nests: which group a placed node joins, and what groups become one.

use smallvec::SmallVec;

use crate::graph::{DType, Dims, NodeId, Shape};
use crate::plan::expr::{Expr, ExprId};
use crate::plan::group::{Coords, GroupId, Loops, Member, Reach, Role, address};
use crate::plan::kernel::FoldKind;
use crate::prim::{Op, Reshape, Strided};

use super::{Fused, Home, Kind, MAX_MEMBERS, MAX_WEIGHT};

impl Fused<'_> {
    /// The groups of loops that `body` might join: those of the highest level among its leaves. None if some leaf of that level can only be read from
    /// memory.
    pub(super) fn candidates(&self, body: ExprId) -> (u32, SmallVec<[GroupId; 2]>) {
        let mut level = 0;
        self.exprs.leaves(body, &mut |source, _, _| level = level.max(self.level_of(source)));
        let mut groups: SmallVec<[GroupId; 2]> = SmallVec::new();
        let mut possible = level > 0;
        self.exprs.leaves(body, &mut |source, _, chosen| {
            if self.late.get(&source).is_some_and(|late| late.level == level) {
                possible = false;
            }
            let Some(group) = self.group_of(source).filter(|g| self.groups[g.index()].level == level) else {
                return;
            };
            if chosen || !matches!(self.groups[group.index()].kind, Kind::Loops(_)) {
                possible = false;
            } else if !groups.contains(&group) {
                groups.push(group);
            }
        });
        if !possible {
            groups.clear();
        }
        (level, groups)
    }

    pub(super) fn loops(&self, id: GroupId) -> &Loops {
        match &self.groups[id.index()].kind {
            Kind::Loops(loops) => loops,
            _ => panic!("candidates are loop nests"),
        }
    }

    pub(super) fn loops_mut(&mut self, id: GroupId) -> &mut Loops {
        match &mut self.groups[id.index()].kind {
            Kind::Loops(loops) => loops,
            _ => panic!("candidates are loop nests"),
        }
    }

    /// The address of a member of a group.
    pub(super) fn address_in(&self, group: GroupId, node: NodeId) -> &[isize] {
        let members = &self.loops(group).members;
        let member = members.iter().rev().find(|m| m.node == node).expect("a node is a member of its home");
        &member.address
    }

    /// The coordinates at which `body` reads the group's values in the turn in which they are computed, with the new inner dimensions that this takes.
    pub(super) fn fit(&self, group: GroupId, body: ExprId) -> Option<(Coords, Dims)> {
        let loops = self.loops(group);
        let mut leaves: SmallVec<[(NodeId, Strided); 4]> = SmallVec::new();
        self.exprs.leaves(body, &mut |source, view, _| {
            if self.group_of(source) == Some(group) {
                leaves.push((source, view.clone()));
            }
        });
        // A full member fixes all coordinates; row members leave some open.
        let moves = |n: NodeId| self.address_in(group, n).iter().filter(|&&f| f != 0).count();
        let lead = leaves.iter().max_by_key(|(n, _)| moves(*n))?;
        let (coords, new) = loops.coords_reading(&lead.1, self.address_in(group, lead.0))?;
        if new.is_empty() {
            let agree = |(n, view): &(NodeId, Strided)| loops.reads_own(view, &coords, self.address_in(group, *n));
            return leaves.iter().all(agree).then_some((coords, new));
        }
        let mut extended =
            Loops { dims: loops.dims.clone(), inner: loops.inner.clone(), members: Vec::new(), weight: 0 };
        extended.extend(&new);
        let agree = |(n, view): &(NodeId, Strided)| extended.reads_own(view, &coords, self.address_in(group, *n));
        leaves.iter().all(agree).then_some((coords, new))
    }

    /// Merges groups of one level, if the loops of all are the same and `body` ties their dimensions together one to one. Returns the group.
    pub(super) fn merge(&mut self, groups: &[GroupId], body: ExprId) -> Option<GroupId> {
        let (&first, others) = groups.split_first()?;
        if others.is_empty() {
            return Some(first);
        }
        let (coords, new) = self.fit(first, body)?;
        if !new.is_empty() {
            return None;
        }
        let mut weight = self.loops(first).weight;
        let mut count = self.loops(first).members.len();
        let mut maps: Vec<Dims> = Vec::new();
        for &other in others {
            let (theirs, new) = self.fit(other, body)?;
            let (a, b) = (self.loops(first), self.loops(other));
            if !new.is_empty() || a.dims.len() != b.dims.len() {
                return None;
            }
            let mut map: Dims = SmallVec::from_elem(usize::MAX, b.dims.len());
            for (ours, theirs) in coords.iter().zip(&theirs) {
                if ours.len() != theirs.len() {
                    return None;
                }
                for (&(d, k), &(e, l)) in ours.iter().zip(theirs) {
                    if k != l || a.dims[d] != b.dims[e] || a.inner[d] != b.inner[e] {
                        return None;
                    }
                    map[e] = d;
                }
            }
            if map.contains(&usize::MAX) {
                return None;
            }
            weight += b.weight;
            count += b.members.len();
            maps.push(map);
        }
        if weight > MAX_WEIGHT || count > MAX_MEMBERS {
            return None;
        }
        for (&other, map) in others.iter().zip(&maps) {
            let kind = std::mem::replace(&mut self.groups[other.index()].kind, Kind::Merged(first));
            let Kind::Loops(theirs) = kind else { panic!("candidates are loop nests") };
            let ours = self.loops_mut(first);
            ours.weight += theirs.weight;
            for mut member in theirs.members {
                let old = std::mem::take(&mut member.address);
                member.address = SmallVec::from_elem(0, map.len());
                old.iter().enumerate().for_each(|(e, &f)| member.address[map[e]] = f);
                member.coords.iter_mut().flatten().for_each(|term| term.0 = map[term.0]);
                ours.members.push(member);
            }
        }
        Some(first)
    }

    /// Places a node whose value is `body`.
    pub(super) fn place_map(&mut self, id: NodeId, body: ExprId) -> ExprId {
        let shape = self.graph.shape(id).clone();
        let (level, groups) = self.candidates(body);
        if let Some(group) = self.merge(&groups, body)
            && let Some((coords, new)) = self.fit(group, body)
            && self.has_room(group, body)
        {
            let dims = self.loops(group).dims.len() + new.len();
            let own = address(&shape.strides(), &coords, dims);
            let loops = self.loops_mut(group);
            // With new dimensions the member is full, and what was there becomes row values.
            let reach = if new.is_empty() { loops.extent_of(&own) } else { Some(Reach::Full) };
            if reach.is_some() {
                loops.extend(&new);
                return self.join(group, Member { node: id, role: Role::Map, body, coords, address: own });
            }
        }
        let (loops, coords) = Loops::over(&shape, &[]);
        let own = address(&shape.strides(), &coords, loops.dims.len());
        self.begin(id, level + 1, Kind::Loops(loops));
        let group = GroupId(self.groups.len() as u32 - 1);
        self.join(group, Member { node: id, role: Role::Map, body, coords, address: own })
    }

    /// Places a node whose value is a fold of `body`, of shape `shape`, over `axes`.
    pub(super) fn place_fold(
        &mut self,
        id: NodeId,
        body: ExprId,
        shape: &Shape,
        axes: &[usize],
        kind: FoldKind,
    ) -> ExprId {
        let result_strides = |coords: &Coords, dims: usize| {
            let kept: Shape = shape.without(axes);
            let kept_coords: Coords =
                coords.iter().enumerate().filter(|(a, _)| !axes.contains(a)).map(|(_, t)| t.clone()).collect();
            address(&kept.strides(), &kept_coords, dims)
        };
        if axes.iter().all(|&a| shape[a] == 1) {
            // A fold over one element is the element, and its position 0.
            return match kind {
                FoldKind::Position(_) => self.exprs.push(Expr::Const(0.0f64.to_bits()), DType::I32),
                FoldKind::Combine(..) => {
                    let squeeze: Op = Reshape { shape: shape.without(axes) }.into();
                    self.exprs.moved(body, &squeeze).expect("axes of extent 1 can always be dropped")
                }
            };
        }
        let (level, groups) = self.candidates(body);
        if let Some(group) = self.merge(&groups, body)
            && let Some((coords, new)) = self.fit(group, body)
            && self.has_room(group, body)
        {
            let loops = self.loops(group);
            let dims = loops.dims.len() + new.len();
            let mut folded: Dims<bool> = SmallVec::from_elem(false, dims);
            axes.iter().flat_map(|&a| &coords[a]).for_each(|&(d, _)| folded[d] = true);
            let covered = coords.iter().map(|t| t.len()).sum::<usize>() == dims;
            let inner_now: Dims<bool> = loops.inner.iter().copied().chain(new.iter().map(|_| true)).collect();
            let has_inner = inner_now.contains(&true);
            // Folded dimensions are the inner ones, or become them if they move through memory the fastest.
            let fits = if has_inner { inner_now == folded } else { axes_are_last(shape, axes) };
            // A position counts along its axis, which must not be cut into loops that another fold wants in another order.
            let fits = fits && (matches!(kind, FoldKind::Combine(..)) || folded.iter().filter(|&&f| f).count() == 1);
            if covered && fits && folded.contains(&true) {
                let own = result_strides(&coords, dims);
                let loops = self.loops_mut(group);
                loops.extend(&new);
                loops.inner = folded;
                return self.join(group, Member { node: id, role: Role::Fold(kind), body, coords, address: own });
            }
        }
        let (loops, coords) = Loops::over(shape, axes);
        let own = result_strides(&coords, loops.dims.len());
        self.begin(id, level + 1, Kind::Loops(loops));
        let group = GroupId(self.groups.len() as u32 - 1);
        self.join(group, Member { node: id, role: Role::Fold(kind), body, coords, address: own })
    }

    pub(super) fn has_room(&self, group: GroupId, body: ExprId) -> bool {
        let loops = self.loops(group);
        loops.members.len() < MAX_MEMBERS && loops.weight.saturating_add(self.exprs.get(body).weight) <= MAX_WEIGHT
    }

    /// Adds a member to a group.
    pub(super) fn join(&mut self, group: GroupId, member: Member) -> ExprId {
        let (node, weight) = (member.node, self.exprs.get(member.body).weight);
        let loops = self.loops_mut(group);
        loops.weight = loops.weight.saturating_add(weight + 1);
        loops.members.push(member);
        self.homes[node.index()] = Some(Home::Group(group));
        self.leaf(node)
    }
}

/// True if the folded axes are the last ones of the shape, axes of extent 1 left aside.
fn axes_are_last(shape: &Shape, axes: &[usize]) -> bool {
    let folded: Dims<bool> = (0..shape.rank()).filter(|&a| shape[a] != 1).map(|a| axes.contains(&a)).collect();
    folded.windows(2).all(|w| !w[0] || w[1])
}
