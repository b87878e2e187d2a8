//! Rematerialisation: less memory for more work.
//!
//! A value that is computed early and read again late, as activations are by a backward pass, takes memory all the time in between. Where a plan needs more
//! memory than it may, the turn of its peak is looked at: of the values that only wait there for later turns, some are given up and computed again when the
//! first of those turns comes. What they are computed from has to be there then: inputs and parameters, values that are read still later, or others that
//! are computed again too. The graph is rewritten so ([`recompute`]), with barriers that keep the second computation late and apart from the first, and
//! planned again, until the plan fits or nothing helps any more.
//!
//! Which values: the cheapest to compute again for the bytes that they free. Elementwise chains come first; folds only if those do not suffice, matrix
//! products last (cf. Jain et al. 2020, whose exact optimum takes an integer program; this is a greedy choice that is checked against the real plan each
//! time).

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::graph::{Graph, NodeId, Operands, Origin};
use crate::prim::{Barrier, Op};

use super::expand::expand;
use super::strip::Strips;
use super::timeline::{Effort, Timeline};
use super::{Packing, Plan, plan_and, planned};

/// How often the graph is rewritten.
const ROUNDS: usize = 64;
/// How many of the turns that need the most memory are tried.
const PEAKS: usize = 4;
/// At most so many values that are not in memory are computed again for the sake of one that is.
const MAX_CONE: usize = 24;

/// A plan that fits a budget, and the graph that it is a plan of.
#[derive(Debug)]
pub struct Fitted {
    /// The graph, if it had to be rewritten.
    pub graph: Option<Graph>,
    /// Its plan.
    pub plan: Plan,
    /// How many values are computed again.
    pub recomputed: usize,
}

/// No plan that was found fits the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the step needs an arena of {least} bytes even with all that can be computed again, and may have {budget}")]
pub struct OverBudget {
    /// The budget in bytes.
    pub budget: usize,
    /// The least arena that was reached, in bytes.
    pub least: usize,
}

/// Plans a run of the graph in an arena of at most `budget` bytes, and rewrites the graph for it if it must. A plan that fits as it is stays so; one that is
/// made to fit has no strips, which are not looked through for what waits in memory.
///
/// # Errors
/// If no plan that is found fits.
pub fn fit(graph: &Graph, budget: usize) -> Result<Fitted, OverBudget> {
    let graph = &*expand(graph);
    let (plan, ()) = plan_and(graph, (Strips::WherePaid, Packing::EachRun), |_, _, _| ());
    if plan.arena_bytes <= budget {
        return Ok(Fitted { graph: None, plan, recomputed: 0 });
    }
    // To give up no more than the budget asks for is best if it leads there. If it does not, the way to the least memory is gone, as far as it must be.
    let mut least = usize::MAX;
    for goal in [budget, 0] {
        let fitted = reduce(graph, budget, goal);
        if fitted.plan.arena_bytes <= budget {
            return Ok(fitted);
        }
        least = least.min(fitted.plan.arena_bytes);
    }
    Err(OverBudget { budget, least })
}

/// Rewrites the graph towards an arena of `goal` bytes, until it fits `budget` or nothing helps any more.
fn reduce(graph: &Graph, budget: usize, goal: usize) -> Fitted {
    let (plan, mut timeline) = planned(graph);
    let mut fitted = Fitted { graph: None, plan, recomputed: 0 };
    for _ in 0..ROUNDS {
        let arena = fitted.plan.arena_bytes;
        if arena <= budget {
            break;
        }
        let current = fitted.graph.as_ref().unwrap_or(graph);
        let Some((graph, plan, next, count)) = improve(current, &timeline, arena, arena - goal) else { break };
        timeline = next;
        fitted = Fitted { graph: Some(graph), plan, recomputed: fitted.recomputed + count };
    }
    fitted
}

/// A graph whose plan needs less than `arena` bytes, with its plan, timeline and the count of values given up; about `excess` bytes less, if that can be.
fn improve(graph: &Graph, timeline: &Timeline, arena: usize, excess: usize) -> Option<(Graph, Plan, Timeline, usize)> {
    let attempts =
        [(Effort::Map, excess), (Effort::Fold, excess), (Effort::Product, excess), (Effort::Product, usize::MAX)];
    for turn in timeline.peaks().into_iter().take(PEAKS) {
        let mut tried: Vec<Vec<NodeId>> = Vec::new();
        for (limit, wanted) in attempts {
            let chosen = choose(timeline, turn, wanted, limit);
            if chosen == tried {
                continue;
            }
            // If all together do not help, because what is given up is wanted again at one time, fewer may.
            let mut count = chosen.len();
            while count > 0 {
                let given_up: FxHashSet<NodeId> = chosen[..count].iter().flatten().copied().collect();
                let rewritten = recompute(graph, timeline, turn, &given_up);
                let (plan, next) = planned(&rewritten);
                if plan.arena_bytes < arena {
                    return Some((rewritten, plan, next, given_up.len()));
                }
                count /= 2;
            }
            tried = chosen;
        }
    }
    None
}

/// Values to give up in this turn, the best first, each with what has to be computed again for it.
fn choose(timeline: &Timeline, turn: usize, excess: usize, limit: Effort) -> Vec<Vec<NodeId>> {
    struct Candidate {
        effort: Effort,
        /// Work for each byte, in 64ths.
        price: u64,
        bytes: usize,
        cone: Vec<NodeId>,
    }
    let mut candidates: Vec<Candidate> = Vec::new();
    for (&node, value) in &timeline.stored {
        let Some(wanted) = value.waits_through(turn).filter(|_| !timeline.kept.contains(&node)) else {
            continue;
        };
        let Some((effort, work, cone)) = cone(timeline, node, wanted, limit) else { continue };
        candidates.push(Candidate {
            effort,
            price: work.saturating_mul(64) / value.bytes as u64,
            bytes: value.bytes,
            cone,
        });
    }
    candidates.sort_by_key(|c| (c.effort, c.price, c.cone[0]));
    let mut freed = 0;
    let mut chosen = Vec::new();
    for candidate in candidates {
        if freed >= excess {
            break;
        }
        freed += candidate.bytes;
        chosen.push(candidate.cone);
    }
    chosen
}

/// What has to be computed again to have `node` in turn `wanted`, itself first, with the effort and the work. `None` if it is more than the limits allow.
fn cone(timeline: &Timeline, node: NodeId, wanted: usize, limit: Effort) -> Option<(Effort, u64, Vec<NodeId>)> {
    let mut cone = vec![node];
    let (mut effort, mut work) = (Effort::Map, 0u64);
    let mut next = 0;
    while next < cone.len() {
        let placed = timeline.placed.get(&cone[next])?;
        if placed.effort > limit || cone.len() > MAX_CONE {
            return None;
        }
        effort = effort.max(placed.effort);
        work = work.saturating_add(placed.work);
        for source in &placed.sources {
            let is_there = timeline.kept.contains(source)
                || !timeline.placed.contains_key(source)
                || timeline.stored.get(source).is_some_and(|s| s.reads.last().is_some_and(|&last| last >= wanted));
            if !is_there && !cone.contains(source) {
                cone.push(*source);
            }
        }
        next += 1;
    }
    Some((effort, work, cone))
}

/// The graph in which what is computed behind `turn` reads values of `given_up` that are computed again then.
fn recompute(graph: &Graph, timeline: &Timeline, turn: usize, given_up: &FxHashSet<NodeId>) -> Graph {
    let live = graph.live();
    let mut rewrite = Rewrite {
        old: graph,
        timeline,
        given_up,
        reaches: vec![false; graph.len()],
        new: Graph::new(),
        copies: vec![None; graph.len()],
        again: FxHashMap::default(),
    };
    // The last node made so far that is computed late, for what nothing else says when it is wanted.
    let mut latest: Option<(usize, NodeId)> = None;
    for id in graph.ids() {
        let leaf = graph.op(id).leaf_name().is_some();
        if !live[id.index()] && !leaf {
            continue;
        }
        let operands = graph.operands(id);
        rewrite.reaches[id.index()] = given_up.contains(&id)
            || (!timeline.placed.contains_key(&id) && operands.iter().any(|o| rewrite.reaches[o.index()]));
        let when = timeline.placed.get(&id).map(|p| p.turn).filter(|&t| t > turn);
        let operands: Operands = match when {
            Some(when) if operands.iter().any(|o| rewrite.reaches[o.index()]) => {
                let token = rewrite.latest_source(id, turn).or(latest.filter(|l| l.0 < when).map(|l| l.1));
                rewrite.late_operands(&operands, token)
            }
            _ => operands.iter().map(|&o| rewrite.copy(o)).collect(),
        };
        let node = graph.node(id);
        rewrite.copies[id.index()] = Some(rewrite.push(node.op.clone(), &operands, node.origin.clone()));
        if let Some(when) = when
            && latest.is_none_or(|l| l.0 < when)
        {
            latest = Some((when, rewrite.copy(id)));
        }
    }
    let Rewrite { mut new, copies, .. } = rewrite;
    let copy = |id: NodeId| copies[id.index()].expect("what is live has been copied");
    for output in graph.outputs() {
        new.add_output(output.name.clone(), copy(output.node)).expect("the names of a graph's outputs differ");
    }
    for update in graph.updates() {
        new.add_update(copy(update.param), copy(update.value)).expect("copies keep parameters and types");
    }
    new
}

/// A graph that is copied, with some values computed again.
struct Rewrite<'a> {
    old: &'a Graph,
    timeline: &'a Timeline,
    given_up: &'a FxHashSet<NodeId>,
    /// Nodes that are given up, and those within expressions that read such a node.
    reaches: Vec<bool>,
    new: Graph,
    /// Each node's copy.
    copies: Vec<Option<NodeId>>,
    /// The second computation of nodes for late uses.
    again: FxHashMap<NodeId, NodeId>,
}

impl Rewrite<'_> {
    fn copy(&self, id: NodeId) -> NodeId {
        self.copies[id.index()].expect("operands come before their users")
    }

    fn push(&mut self, op: Op, operands: &[NodeId], origin: impl Into<Arc<Origin>>) -> NodeId {
        self.new.push(op, operands, origin).expect("the node was well typed before")
    }

    /// The copy of the last computed among the late values that a node reads beside those given up.
    fn latest_source(&self, id: NodeId, turn: usize) -> Option<NodeId> {
        let sources = self.timeline.placed[&id].sources.iter();
        let late = sources.filter(|s| !self.given_up.contains(s)).filter_map(|s| {
            let when = self.timeline.placed.get(s).map(|p| p.turn).filter(|&t| t > turn)?;
            Some((when, self.copies[s.index()]?))
        });
        late.max().map(|(_, copy)| copy)
    }

    /// The operands of a late node, with what is given up computed again behind `token`. The nodes that this takes are found first, then made in the order
    /// of their numbers.
    fn late_operands(&mut self, operands: &[NodeId], token: Option<NodeId>) -> Operands {
        // Nodes to make again, and whether their sources are to be read late.
        let mut wanted: FxHashMap<NodeId, bool> = FxHashMap::default();
        let mut open: Vec<(NodeId, bool)> = operands.iter().map(|&o| (o, false)).collect();
        while let Some((id, behind)) = open.pop() {
            let given_up = self.given_up.contains(&id);
            let makes = given_up || behind || self.reaches[id.index()];
            if !makes || (given_up && self.again.contains_key(&id)) {
                continue;
            }
            let behind = behind || given_up;
            match wanted.get_mut(&id) {
                Some(known) if *known || !behind => continue,
                Some(known) => *known = true,
                None => {
                    wanted.insert(id, behind);
                }
            }
            if given_up || !self.is_source(id) {
                open.extend(self.old.operands(id).into_iter().map(|o| (o, behind)));
            }
        }
        let mut order: Vec<NodeId> = wanted.into_keys().collect();
        order.sort_unstable();
        let mut local: FxHashMap<NodeId, NodeId> = FxHashMap::default();
        for id in order {
            let node = self.old.node(id);
            let (op, origin) = (node.op.clone(), node.origin.with_rewrite("recompute", id));
            if !self.given_up.contains(&id) && self.is_source(id) {
                let late: Operands = std::iter::once(self.copy(id)).chain(token).collect();
                let barrier = self.push(Barrier.into(), &late, origin);
                local.insert(id, barrier);
                continue;
            }
            let operands: Operands = self.old.operands(id).iter().map(|&o| self.made(&local, o)).collect();
            let made = self.push(op, &operands, origin);
            local.insert(id, made);
            if self.given_up.contains(&id) {
                self.again.insert(id, made);
            }
        }
        operands.iter().map(|&o| self.made(&local, o)).collect()
    }

    /// True if the node's value is read from memory: placed, or an input, a parameter or a constant.
    fn is_source(&self, id: NodeId) -> bool {
        self.timeline.placed.contains_key(&id) || self.old.operands(id).is_empty()
    }

    /// The late form of a node: computed again, behind a barrier, or its copy.
    fn made(&self, local: &FxHashMap<NodeId, NodeId>, id: NodeId) -> NodeId {
        local.get(&id).or_else(|| self.again.get(&id)).copied().unwrap_or_else(|| self.copy(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::plan;
    use crate::prelude::*;

    /// Attention in many heads, which is done as a strip.
    fn attention<'g>(q: Tensor<'g>, k: Tensor<'g>) -> Tensor<'g> {
        q.dot(k.transpose([0, 2, 1])).softmax(-1).dot(k)
    }

    fn strips(plan: &Plan) -> usize {
        plan.all().iter().map(|p| p.strips.len()).sum()
    }

    #[test]
    fn a_plan_that_fits_stays_as_it_is() {
        let g = Builder::new();
        let [q, k] = ["q", "k"].map(|name| g.input(name, f32([64, 64, 32])));
        let graph = g.program(&[("o", attention(q, k))]).graph;
        let free = plan(&graph);
        // The scores of one head are in memory at a time.
        assert!(strips(&free) == 1 && free.arena_bytes < planned(&expand(&graph)).0.arena_bytes);
        let fitted = fit(&graph, free.arena_bytes).expect("the plan fits as it is");
        assert!(fitted.graph.is_none() && fitted.recomputed == 0);
        assert_eq!(fitted.plan.to_string(), free.to_string());
    }

    #[test]
    fn a_plan_made_to_fit_has_no_strips_in_loops_either() {
        let g = Builder::new();
        let [q, k] = ["q", "k"].map(|name| g.input(name, f32([64, 64, 32])));
        let xs = g.input("xs", f32([4, 64, 64, 32]));
        let (last, _) = g.scan(q, xs, |q, x| (attention(q, k) + x, q.tanh()));
        let graph = expand(&g.program(&[("last", last)]).graph).into_owned();
        assert_eq!((strips(&plan(&graph)), strips(&planned(&graph).0)), (1, 0));
    }
}
