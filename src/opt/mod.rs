//! The optimizer: graphs into smaller, numerically stabler graphs with the same results.
//!
//! ```text
//!   Graph --dedup--> --loops--> --tidy--> --stabilize--> --simplify, until nothing fires--> Graph
//! ```
//!
//! Each pass is one walk of the [rewriter](rewrite) under some families of rules; equal nodes are merged and dead ones dropped in each. What the rules
//! are stands in their tables: [`fold`], [`arith`], [`logic`], [`reduce`], [`dot`], [`movement`], [`shift`], [`stable`], [`index`],
//! [`window`]. A rule has a name, a
//! [`Law`] that says how its result compares with what it replaces, and a file in `tests/filetests/optimize` in which it fires.
//!
//! The measure by which no rule makes a graph worse, in this order: numerical range (the stability rules may add nodes for it), elements computed by
//! expensive functions, elements computed at all, nodes. Movements count nothing but as nodes. A rule that saves only if a node goes away asks whether it
//! has another user.
//!
//! Why in this order: `dedup` first, since rules that count uses would take two equal nodes for two uses of none. `tidy` clears movements away, which the
//! builder's and the VJP rules' uniform patterns leave behind in numbers. The stability rules then see formulas as their authors, and differentiation,
//! wrote them; general algebra, which runs last, would take some apart.
//!
//! The pass `loops` optimizes bodies; it comes early, so that what it moves out of them goes through the rest.
//!
//! Fusion, views and schedules are the planner's business. `stop_gradient` is dropped here, so differentiate before optimizing.

pub mod arith;
pub mod dot;
pub mod fold;
pub mod index;
pub mod logic;
mod loops;
pub(crate) mod matchers;
pub mod movement;
pub mod reduce;
pub mod rewrite;
pub mod shift;
mod sign;
pub mod stable;
mod vanish;
pub mod window;

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, Instant};

use crate::graph::Graph;

pub use rewrite::{Law, Rewriter, Rule};
use rewrite::{RuleSet, rewrite};

/// How much the optimizer may change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing: the graph as it was written.
    O0,
    /// What gives the same bits: [`Law::Exact`].
    O1,
    /// Everything but [`Law::Finite`]. Where the formula as written overflows or underflows on the way, the result may be the finite one that the mathematics
    /// has: `log(1 + exp(x))` is `x` for a large `x`. What is undefined in mathematics stays undefined: `x b / b` is NaN where `b` is 0, but `x exp(b) / exp(b)`
    /// is `x`, since an exponential is positive. A NaN never becomes a number but where the factor that was NaN has gone by such a cancellation.
    #[default]
    O2,
}

/// What the optimizer may do, and who watches.
#[derive(Clone, Copy, Default)]
pub struct OptOptions<'a> {
    /// How much it may change.
    pub level: Level,
    /// Allows rules of [`Law::Finite`] also, which take for granted that no infinity and no NaN occurs.
    pub assume_finite: bool,
    /// Only these rules, by name, whatever the level says.
    pub only: Option<&'a [&'a str]>,
    /// Checks each pass's result also in release builds.
    pub verify: bool,
    /// Sees each pass after it has run.
    pub on_pass: Option<&'a dyn Fn(&PassRecord<'_>)>,
}

impl fmt::Debug for OptOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OptOptions")
            .field("level", &self.level)
            .field("assume_finite", &self.assume_finite)
            .field("only", &self.only)
            .field("verify", &self.verify)
            .field("on_pass", &self.on_pass.is_some())
            .finish()
    }
}

/// One pass that has run, with the graphs on both sides of it.
pub struct PassRecord<'a> {
    /// What it did.
    pub pass: &'a PassReport,
    /// The graph before.
    pub before: &'a Graph,
    /// The graph after.
    pub after: &'a Graph,
}

/// What one pass did.
#[derive(Clone, Debug)]
pub struct PassReport {
    /// Name of the pass.
    pub name: &'static str,
    /// How often each rule fired, those that did not left out.
    pub fired: Vec<(&'static str, usize)>,
    /// Nodes before.
    pub nodes_before: usize,
    /// Nodes after.
    pub nodes_after: usize,
    /// Time taken.
    pub time: Duration,
}

/// What the optimizer did, pass by pass.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The passes in the order in which they ran.
    pub passes: Vec<PassReport>,
}

impl Report {
    /// How often a rule fired in all passes.
    pub fn fired(&self, rule: &str) -> usize {
        let all = self.passes.iter().flat_map(|p| &p.fired);
        all.filter(|(name, _)| *name == rule).map(|(_, n)| n).sum()
    }

    /// How often each rule fired that did, most often first.
    pub fn fired_rules(&self) -> Vec<(&'static str, usize)> {
        let mut counts: std::collections::BTreeMap<&'static str, usize> = std::collections::BTreeMap::new();
        for (rule, n) in self.passes.iter().flat_map(|p| &p.fired) {
            *counts.entry(rule).or_default() += n;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|&(rule, n)| (std::cmp::Reverse(n), rule));
        counts
    }

    /// Time taken by all passes.
    pub fn time(&self) -> Duration {
        self.passes.iter().map(|p| p.time).sum()
    }
}

impl fmt::Display for Report {
    /// A line for each pass: `simplify: 40 -> 31 nodes in 52 us; mul-one 2, add-zero 1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for p in &self.passes {
            write!(f, "{}: {} -> {} nodes in {:.0?}", p.name, p.nodes_before, p.nodes_after, p.time)?;
            for (i, (rule, n)) in p.fired.iter().enumerate() {
                write!(f, "{} {rule} {n}", if i == 0 { ";" } else { "," })?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// The optimized graph, and how it came about.
#[derive(Clone, Debug)]
pub struct Optimized {
    /// The graph, with the same inputs, parameters, outputs and updates, by name.
    pub graph: Graph,
    /// What was done.
    pub report: Report,
}

/// The families of rules, each in the order in which its rules are tried.
pub const FAMILIES: &[&[Rule]] = &[
    fold::RULES,
    movement::RULES,
    shift::RULES,
    stable::RULES,
    logic::RULES,
    arith::RULES,
    reduce::RULES,
    dot::RULES,
    index::RULES,
    window::MOVEMENT,
    window::RULES,
];

/// All rules.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    FAMILIES.iter().copied().flatten()
}

/// Times that a pass of the last kind runs at most.
const ROUNDS: usize = 3;

/// Rewrites the graph. Inputs and parameters stay even where nothing needs them any more; all other dead nodes go.
///
/// # Panics
/// If `options.only` names a rule that does not exist, or a pass breaks an invariant of graphs, which is an error in a rule.
pub fn optimize(graph: &Graph, options: &OptOptions<'_>) -> Optimized {
    let strongest = if options.assume_finite { Law::Finite } else { Law::Range };
    let mut run = Passes { graph: Cow::Borrowed(graph), report: Report::default(), options };
    match (options.only, options.level) {
        (Some(names), _) => {
            let find =
                |name: &&str| rules().find(|r| r.name == *name).unwrap_or_else(|| panic!("there is no rule `{name}`"));
            run.loops();
            run.until_stable("only", &RuleSet::new(names.iter().map(find), Law::Finite));
        }
        (None, Level::O0) => {}
        (None, Level::O1) => {
            run.pass("dedup", &RuleSet::new([], Law::Exact));
            run.loops();
            run.until_stable("exact", &RuleSet::new(rules(), Law::Exact));
        }
        (None, Level::O2) => {
            run.pass("dedup", &RuleSet::new([], Law::Exact));
            run.loops();
            let tidy = || movement::RULES.iter().chain(window::MOVEMENT).chain(fold::RULES);
            let lasting = |rule: &&Rule| !shift::SHIFTS.contains(&rule.name);
            run.pass("tidy", &RuleSet::new(tidy(), strongest));
            run.pass("stabilize", &RuleSet::new(shift::RULES.iter().chain(stable::RULES).chain(tidy()), strongest));
            run.until_stable("simplify", &RuleSet::new(rules().filter(lasting), strongest));
        }
    }
    Optimized { graph: run.graph.into_owned(), report: run.report }
}

/// The optimizer at work.
struct Passes<'o> {
    graph: Cow<'o, Graph>,
    report: Report,
    options: &'o OptOptions<'o>,
}

impl Passes<'_> {
    /// Runs a pass until no rule fires, [`ROUNDS`] times at most.
    fn until_stable(&mut self, name: &'static str, rules: &RuleSet) {
        for _ in 0..ROUNDS {
            if !self.pass(name, rules) {
                break;
            }
        }
    }

    /// The one way to run a pass: logs, times, verifies and shows it. Returns whether a rule fired.
    fn pass(&mut self, name: &'static str, rules: &RuleSet) -> bool {
        let start = Instant::now();
        let (after, fired) = rewrite(&self.graph, rules);
        self.passed(name, start, after, rules.counts(&fired))
    }

    /// The pass over loops, if there are any.
    fn loops(&mut self) {
        let start = Instant::now();
        if let Some(remade) = loops::optimize_loops(&self.graph, self.options) {
            self.report.passes.extend(remade.passes);
            self.passed("loops", start, remade.graph, remade.done);
        }
    }

    fn passed(&mut self, name: &'static str, start: Instant, after: Graph, fired: Vec<(&'static str, usize)>) -> bool {
        let report =
            PassReport { name, fired, nodes_before: self.graph.len(), nodes_after: after.len(), time: start.elapsed() };
        if cfg!(debug_assertions) || self.options.verify {
            if let Err(violations) = crate::graph::verify(&after) {
                panic!("pass {name} broke the graph:\n{violations}");
            }
            let names = |g: &Graph| (g.outputs().iter().map(|o| o.name.clone()).collect::<Vec<_>>(), g.updates().len());
            assert_eq!(names(&self.graph), names(&after), "{name} keeps the outputs and updates");
        }
        if let Some(show) = self.options.on_pass {
            show(&PassRecord { pass: &report, before: &self.graph, after: &after });
        }
        let any = !report.fired.is_empty();
        self.graph = Cow::Owned(after);
        self.report.passes.push(report);
        any
    }
}
