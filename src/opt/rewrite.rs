//! The rewriter: one walk over a graph that builds another, node by node, through a hash-consing constructor that tries named rules.
//!
//! ```text
//!   old graph, topological order          new graph
//!   node --operands mapped--> request --known?--------------------------------> its node
//!                                |  no
//!                                +--a rule applies--> requests of the rule ---> the last one's node
//!                                |  none does                 (same constructor, so rules cascade)
//!                                +--------------------------> push
//! ```
//!
//! Equal requests give one node, so common subexpressions are merged by construction. A request is an operation with its operands; those of a
//! commutative function are compared without regard to their order, and the node keeps the order of whoever asked first. Nodes that no output or update
//! needs are not visited, and what rules made and then left unused is swept out at the end. Inputs and parameters stay even if nothing uses them: a
//! program is called with them by name, whatever the optimizer finds out.
//!
//! Cost: each node of the old graph may set off at most `FUEL` rule applications, nested at most `DEPTH` deep, so a walk is linear in the graph and
//! its stack is bounded. When either runs out, the request is pushed as it stands, which is always correct; the next round goes on from there. Hashing a
//! constant reads all of its elements, once in each walk.
//!
//! Why not an e-graph: extraction with a cost model needs all forms of a node at once and time that is not linear. The price is that the order of
//! the rules matters where two apply to one node; their tables are ordered for it.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use hashbrown::HashTable;
use rustc_hash::{FxHashMap, FxHasher};
use smallvec::SmallVec;

use crate::graph::{Graph, Node, NodeId, Operands, Origin};
use crate::prim::{Emit, Op};

/// Rule applications that one node of the old graph may set off.
const FUEL: u32 = 64;

/// Depth to which rule applications nest.
const DEPTH: u32 = 16;

/// How a rule's result compares with what it replaces. Integers and truth values are always exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Law {
    /// The same bits, any NaN standing for any other.
    Exact,
    /// The same numbers, but a zero may have the other sign.
    ZeroSign,
    /// Other rounding errors, of the same order.
    Rounding,
    /// As [`Law::Rounding`], and where intermediate results of the old form overflow, underflow or lose their digits, the new one may have the value that
    /// exact arithmetic gives. Where exact arithmetic gives none, as for 0 / 0, the new form has none either.
    Range,
    /// As [`Law::Rounding`] for finite numbers; infinities and NaN among the operands may give other results.
    Finite,
}

/// A named rewrite.
pub struct Rule {
    /// The name, as it stands in origins and reports.
    pub name: &'static str,
    /// How the result compares with what it replaces, for floats.
    pub law: Law,
    /// What is replaced by what.
    pub doc: &'static str,
    /// Mnemonics of the operations to which the rule may apply; empty for all.
    pub on: &'static [&'static str],
    /// Makes the replacement of a node with this operation and these operands, or `None` if the rule does not apply. It decides before it emits.
    pub apply: fn(&mut Rewriter<'_>, &Op, &[NodeId]) -> Option<NodeId>,
}

/// The rules of a walk, in the order in which they are tried.
pub(super) struct RuleSet {
    rules: Vec<&'static Rule>,
    by_op: FxHashMap<&'static str, Vec<usize>>,
    anywhere: Vec<usize>,
    strongest: Law,
}

impl RuleSet {
    /// Rules whose law goes beyond `strongest` apply to integers and truth values only.
    pub(super) fn new(rules: impl IntoIterator<Item = &'static Rule>, strongest: Law) -> RuleSet {
        let mut set = RuleSet { rules: Vec::new(), by_op: FxHashMap::default(), anywhere: Vec::new(), strongest };
        for (number, rule) in rules.into_iter().enumerate() {
            set.rules.push(rule);
            if rule.on.is_empty() {
                set.by_op.values_mut().chain([&mut set.anywhere]).for_each(|list| list.push(number));
            }
            for &on in rule.on {
                set.by_op.entry(on).or_insert_with(|| set.anywhere.clone()).push(number);
            }
        }
        set
    }

    fn of(&self, op: &Op) -> &[usize] {
        self.by_op.get(op.name()).unwrap_or(&self.anywhere)
    }

    /// How often each rule fired, the others left out.
    pub(super) fn counts(&self, fired: &[usize]) -> Vec<(&'static str, usize)> {
        let pairs = self.rules.iter().zip(fired);
        pairs.filter(|(_, n)| **n > 0).map(|(r, &n)| (r.name, n)).collect()
    }
}

/// What a node computes, apart from where it comes from.
struct Request<'a> {
    op: &'a Op,
    /// Those of a commutative function are in ascending order.
    operands: Operands,
    hash: u64,
}

impl<'a> Request<'a> {
    fn new(op: &'a Op, operands: &[NodeId]) -> Request<'a> {
        let operands = in_order(op, operands);
        let mut hasher = FxHasher::default();
        (op, &operands).hash(&mut hasher);
        Request { op, operands, hash: hasher.finish() }
    }
}

/// The operands without the order that a commutative function does not care for.
fn in_order(op: &Op, operands: &[NodeId]) -> Operands {
    let mut operands = Operands::from_slice(operands);
    if let Op::Map(map) = op
        && map.f.record().commutative
    {
        operands.sort_unstable();
    }
    operands
}

/// A request with its answer.
struct Answer {
    hash: u64,
    node: NodeId,
    /// The request that rules answered with this node; `None` if the node is what was asked for.
    of: Option<Box<(Op, Operands)>>,
}

impl Answer {
    /// True if it is the answer to this request. `operands` has those of all nodes.
    fn is_to(&self, request: &Request<'_>, graph: &Graph, operands: &[Operands]) -> bool {
        match &self.of {
            Some(of) => of.0 == *request.op && of.1 == request.operands,
            None => {
                let op = graph.op(self.node);
                op == request.op && in_order(op, &operands[self.node.index()]) == request.operands
            }
        }
    }
}

/// The graph under construction, as rules see it.
pub struct Rewriter<'r> {
    graph: Graph,
    operands: Vec<Operands>,
    /// For each node, the uses that the old nodes have which it stands for.
    uses: Vec<u32>,
    answers: HashTable<Answer>,
    rules: &'r RuleSet,
    fired: Vec<usize>,
    /// The old node that is being replaced, with its origin.
    old: (NodeId, Arc<Origin>),
    /// The innermost rule that is being applied.
    firing: Option<usize>,
    /// The origin of what a rule has made in place of the old node.
    made: Option<(usize, Arc<Origin>)>,
    depth: u32,
    fuel: u32,
}

/// Rebuilds what is live in `graph` under the rules. Returns the new graph and how often each rule fired.
pub(super) fn rewrite(graph: &Graph, rules: &RuleSet) -> (Graph, Vec<usize>) {
    let live = graph.live();
    let uses = count_uses(graph, &live);
    let mut rewriter = Rewriter {
        graph: Graph::with_capacity(graph.len()),
        operands: Vec::with_capacity(graph.len()),
        uses: Vec::with_capacity(graph.len()),
        answers: HashTable::with_capacity(graph.len()),
        rules,
        fired: vec![0; rules.rules.len()],
        old: (NodeId::new(0), Arc::default()),
        firing: None,
        made: None,
        depth: 0,
        fuel: 0,
    };
    let mut map: Vec<Option<NodeId>> = vec![None; graph.len()];
    for id in graph.ids() {
        let node = graph.node(id);
        if !live[id.index()] && node.op.leaf_name().is_none() {
            continue;
        }
        let mut operands = graph.operands(id);
        operands.iter_mut().for_each(|o| *o = mapped(&map, *o));
        rewriter.old = (id, node.origin.clone());
        rewriter.made = None;
        rewriter.fuel = FUEL;
        let new = rewriter.request(&node.op, &operands, |this| this.copy(node, &operands));
        debug_assert_eq!(rewriter.graph.ty(new), &node.ty, "a rewrite keeps the type of {id} ({})", node.op.name());
        rewriter.uses[new.index()] += uses[id.index()];
        map[id.index()] = Some(new);
    }
    let mut new = rewriter.graph;
    copy_results(graph, &mut new, &map);
    (sweep(new), rewriter.fired)
}

fn mapped(map: &[Option<NodeId>], old: NodeId) -> NodeId {
    map[old.index()].expect("what a live node needs is live, and comes before it")
}

/// For each node, how many operands of live nodes, outputs and updates it is.
fn count_uses(graph: &Graph, live: &[bool]) -> Vec<u32> {
    let mut uses = vec![0; graph.len()];
    for id in graph.ids().filter(|id| live[id.index()]) {
        graph.operands_from_last(id).for_each(|o| uses[o.index()] += 1);
    }
    graph.outputs().iter().for_each(|o| uses[o.node.index()] += 1);
    graph.updates().iter().for_each(|u| uses[u.value.index()] += 1);
    uses
}

/// Gives `new` the outputs and updates of `old`.
fn copy_results(old: &Graph, new: &mut Graph, map: &[Option<NodeId>]) {
    for output in old.outputs() {
        let added = new.add_output(output.name.clone(), mapped(map, output.node));
        added.expect("the names of a graph's outputs differ");
    }
    for update in old.updates() {
        let added = new.add_update(mapped(map, update.param), mapped(map, update.value));
        added.expect("a rewrite keeps parameters and types");
    }
}

/// The graph without what nothing needs. Inputs and parameters stay.
fn sweep(graph: Graph) -> Graph {
    let mut stays = graph.live();
    for id in graph.ids() {
        stays[id.index()] |= graph.op(id).leaf_name().is_some();
    }
    if stays.iter().all(|&s| s) { graph } else { graph.retain(&stays) }
}

impl Rewriter<'_> {
    /// The operation of a node.
    pub fn op(&self, id: NodeId) -> &Op {
        self.graph.op(id)
    }

    /// The operands of a node.
    pub fn operands(&self, id: NodeId) -> &[NodeId] {
        &self.operands[id.index()]
    }

    /// True if at most one node of the graph used this one when the walk began, so that it goes away with its only user. Nodes made during the walk count
    /// as unused. It is an estimate: later nodes may ask for the same.
    pub fn sole_use(&self, id: NodeId) -> bool {
        self.uses[id.index()] <= 1
    }

    /// How many uses the node had when the walk began.
    pub fn uses(&self, id: NodeId) -> u32 {
        self.uses[id.index()]
    }

    /// The node that computes this, if there is one.
    pub fn find(&self, op: impl Into<Op>, operands: &[NodeId]) -> Option<NodeId> {
        self.known(&Request::new(&op.into(), operands)).map(|answer| answer.node)
    }

    /// The answer to a request, if it has been asked before.
    fn known(&self, request: &Request<'_>) -> Option<&Answer> {
        self.answers.find(request.hash, |answer| answer.is_to(request, &self.graph, &self.operands))
    }

    /// The node that answers a request: the known one, what a rule makes of it, or what is pushed.
    fn request(&mut self, op: &Op, operands: &[NodeId], push: impl FnOnce(&mut Self) -> NodeId) -> NodeId {
        let request = Request::new(op, operands);
        if let Some(answer) = self.known(&request) {
            return answer.node;
        }
        let (node, of) = match self.apply_rules(op, operands) {
            Some(node) => (node, Some(Box::new((op.clone(), request.operands.clone())))),
            None => (push(self), None),
        };
        // A rule may have asked for the same again; what it made of that in the end is the answer.
        let is_same = |answer: &Answer| answer.is_to(&request, &self.graph, &self.operands);
        self.answers.entry(request.hash, is_same, |answer| answer.hash).insert(Answer { hash: request.hash, node, of });
        node
    }

    /// Pushes a node of the old graph.
    fn copy(&mut self, node: &Node, operands: &[NodeId]) -> NodeId {
        let id = self.graph.push_copy(node, operands);
        self.pushed(id, operands)
    }

    /// Pushes what a rule asks for.
    fn push(&mut self, op: Op, operands: &[NodeId]) -> NodeId {
        let (of, origin) = &self.old;
        let origin = match (self.firing, &self.made) {
            (None, _) => origin.clone(),
            (Some(rule), Some((by, made))) if *by == rule => made.clone(),
            (Some(rule), _) => {
                let made = Arc::new(origin.with_rewrite(self.rules.rules[rule].name, *of));
                self.made = Some((rule, made.clone()));
                made
            }
        };
        let name = op.name();
        match self.graph.push(op, operands, origin) {
            Ok(id) => self.pushed(id, operands),
            Err(error) => {
                let rule = self.firing.map_or("no rule", |r| self.rules.rules[r].name);
                panic!("{rule} made an ill-typed {name}: {error}")
            }
        }
    }

    fn pushed(&mut self, id: NodeId, operands: &[NodeId]) -> NodeId {
        self.operands.push(Operands::from_slice(operands));
        self.uses.push(0);
        id
    }

    fn apply_rules(&mut self, op: &Op, operands: &[NodeId]) -> Option<NodeId> {
        let set = self.rules;
        for &index in set.of(op) {
            if self.depth == DEPTH || self.fuel == 0 {
                return None;
            }
            let rule = set.rules[index];
            if rule.law > set.strongest && self.touches_floats(op, operands) {
                continue;
            }
            let outer = self.firing.replace(index);
            self.depth += 1;
            let result = (rule.apply)(self, op, operands);
            self.depth -= 1;
            self.firing = outer;
            if let Some(result) = result {
                debug_assert_eq!(
                    Ok(self.graph.ty(result)),
                    op.infer(&self.types(operands)).as_ref(),
                    "{} keeps the type",
                    rule.name
                );
                self.fuel = self.fuel.saturating_sub(1);
                self.fired[index] += 1;
                return Some(result);
            }
        }
        None
    }

    fn types(&self, operands: &[NodeId]) -> SmallVec<[&crate::graph::TensorType; 3]> {
        operands.iter().map(|&o| self.graph.ty(o)).collect()
    }

    /// True if an operand is a float tensor, or there is none.
    fn touches_floats(&self, op: &Op, operands: &[NodeId]) -> bool {
        let makes_floats = matches!(op, Op::Cast(c) if c.dtype.is_float());
        makes_floats || operands.is_empty() || operands.iter().any(|&o| self.graph.ty(o).dtype.is_float())
    }
}

impl Emit for Rewriter<'_> {
    fn graph(&self) -> &Graph {
        &self.graph
    }

    fn append(&mut self, op: Op, operands: &[NodeId]) -> NodeId {
        self.request(&op, operands, |this| this.push(op.clone(), operands))
    }
}
