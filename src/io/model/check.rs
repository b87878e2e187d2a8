//! Checks of a model: whether all ways to run it agree, and whether its gradient is one.
//!
//! | check | what is compared |
//! |---|---|
//! | `plan` | the proof of [`plan::check`], that every read sees the value that was meant |
//! | `plan evaluated` | the plan, run in plain Rust on real bytes, with the interpreter |
//! | `jit O0`, `jit O1`, `jit O2` | native code at each level of the optimizer with the interpreter |
//! | `gradient by NAME` | differentiation with central differences along a random direction, in double precision where the graph can be so computed |
//!
//! Engines round in different orders. Where they differ by more than roundings of the results, as where large terms cancel, they agree if the results move about as
//! much when all arrays are moved by a rounding.
//!
//! A check is skipped where these arrays give nothing to compare: where all outputs are NaN or have no elements, where no output is a scalar to differentiate, or for a gradient where the loss does not depend on the name, is not
//! a finite number, has the gradient 0 in all entries, or is so large or bends so much that its differences do not tell a right gradient from a wrong one.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::array::{Array, ArrayView};
use crate::build::Program;
use crate::compile::{Engine, Options};
use crate::graph::{DType, Graph, Name, NodeId, TensorType};
use crate::interp;
use crate::opt::{Level, OptOptions, optimize};
use crate::plan::{self, Plan};
use crate::prim::{Body, Cast, Const, Input, Iota, Loop, LoopSpec, Op, Param};
use crate::runtime::Shortage;
use crate::runtime::room::{self, Needs};
use crate::testing::Draw;

use super::agreement::{Agreement, agreement, noise_of, of_type};
use super::{Model, ModelError, inputs_of};

/// What one check found.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// What was checked.
    pub name: String,
    /// Whether it holds.
    pub verdict: Verdict,
    /// What was compared, where it differs, or why nothing could be compared.
    pub detail: String,
    /// True if it is a proof about the program, which no arrays are needed for.
    pub is_proof: bool,
}

impl Check {
    fn new(name: impl Into<String>, verdict: Verdict, detail: impl Into<String>) -> Check {
        Check { name: name.into(), verdict, detail: detail.into(), is_proof: false }
    }

    /// True if something was compared, and not only proved.
    pub fn compares(&self) -> bool {
        self.verdict != Verdict::Skip && !self.is_proof
    }
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// What was compared agrees.
    Pass,
    /// It does not.
    Fail,
    /// For these arrays there is nothing to compare.
    Skip,
}

impl Verdict {
    fn of(agrees: bool) -> Verdict {
        if agrees { Verdict::Pass } else { Verdict::Fail }
    }
}

impl fmt::Display for Verdict {
    /// `PASS`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Pass => "PASS",
            Verdict::Fail => "FAIL",
            Verdict::Skip => "SKIP",
        })
    }
}

impl fmt::Display for Check {
    /// `PASS  jit O2: 3 outputs`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}: {}", self.verdict, self.name, self.detail)
    }
}

impl Model {
    /// The same model with a value for each parameter and an array for each input: those given, and random ones where none is.
    ///
    /// # Errors
    /// If an array that is given fits no input or parameter, the model has no outputs, or there is not memory enough for those that are not given.
    pub fn with_random(
        &self,
        arrays: &BTreeMap<String, Array>,
        seed: u64,
    ) -> Result<(Model, BTreeMap<String, Array>), ModelError> {
        self.check_arrays(arrays)?;
        self.expect_outputs()?;
        self.expect_room_for_random(arrays)?;
        let (mut model, mut all, mut draw) = (self.clone(), arrays.clone(), Draw::new(seed));
        for (name, ty) in self.params() {
            match arrays.get(&*name) {
                Some(value) => model.set_param(&name, value.clone())?,
                None if self.unset.contains(&name) => model.set_param(&name, random(&mut draw, &ty))?,
                None => {}
            }
        }
        for (name, ty) in self.inputs() {
            all.entry(name.to_string()).or_insert_with(|| random(&mut draw, &ty));
        }
        Ok((model, all))
    }

    /// Checks that there is memory for the arrays that [`Model::with_random`] makes.
    fn expect_room_for_random(&self, arrays: &BTreeMap<String, Array>) -> Result<(), Shortage> {
        let mut needs = Needs::default();
        let unset = self.params().into_iter().filter(|(name, _)| self.unset.contains(name));
        for (name, ty) in self.inputs().into_iter().chain(unset).filter(|(name, _)| !arrays.contains_key(&**name)) {
            // They are drawn as `f64`, and converted.
            needs.add(ty.bytes(), || format!("a random array for `{name}` : {ty}"));
            needs.add_beside(ty.shape.numel().saturating_mul(DType::F64.size()));
        }
        needs.expect_room()
    }

    /// The outputs that are float scalars.
    fn losses(&self) -> Vec<Name> {
        let is_loss = |ty: &TensorType| ty.dtype.is_float() && ty.shape.numel() == 1;
        self.outputs().into_iter().filter(|(_, ty)| is_loss(ty)).map(|(name, _)| name).collect()
    }

    /// The only output that is a float scalar, if there is only one.
    pub fn only_loss(&self) -> Option<Name> {
        match &self.losses()[..] {
            [loss] => Some(loss.clone()),
            _ => None,
        }
    }

    /// Checks the model on these arrays, random ones where none is given: see the module. Gradients are of the output `loss`, or if it is not given, of the
    /// only one that is a scalar; without any, none is checked.
    ///
    /// # Errors
    /// If an array fits no input or parameter, there is no such loss, or the model cannot be compiled.
    pub fn check(&self, loss: Option<&str>, arrays: &BTreeMap<String, Array>) -> Result<Vec<Check>, ModelError> {
        let (model, arrays) = self.with_random(arrays, 0)?;
        let mut checks = engines(&model.program, &arrays)?;
        let loss = match loss {
            Some(loss) => Some(Name::from(loss)),
            None => model.only_loss(),
        };
        if let Some(loss) = loss {
            let leaves = model.inputs().into_iter().chain(model.params());
            let wrt: Vec<Name> = leaves.filter(|(_, ty)| ty.dtype.is_float()).map(|(name, _)| name).collect();
            let names: Vec<&str> = wrt.iter().map(|n| &**n).collect();
            let gradient = model.gradient_program(&loss, &names)?;
            let of_gradient = engines(&gradient, &arrays)?;
            let named = |check: Check| Check { name: format!("{}, with gradients", check.name), ..check };
            checks.extend(of_gradient.into_iter().map(named));
            checks.extend(gradients(&model, &loss, &wrt, &arrays)?);
        } else {
            let losses = model.losses();
            let why = match losses.is_empty() {
                true => "no output is a float scalar".to_owned(),
                false => {
                    let names: Vec<&str> = losses.iter().map(|name| &**name).collect();
                    format!("several outputs are float scalars, {}, and none is named as the loss", names.join(", "))
                }
            };
            checks.push(Check::new("gradient", Verdict::Skip, format!("not checked ({why})")));
        }
        Ok(checks)
    }
}

/// A random array: numbers of -1 to 1, zeros for integers, which choose elements whatever there is to choose from.
fn random(draw: &mut Draw, ty: &TensorType) -> Array {
    if ty.dtype.is_int() { Array::zeros(ty) } else { draw.uniform(ty, -1.0, 1.0) }
}

/// Compares the plan, its evaluation and native code with the interpreter.
fn engines(program: &Program, arrays: &BTreeMap<String, Array>) -> Result<Vec<Check>, ModelError> {
    let value = |name: &Name| arrays.get(&**name).or_else(|| program.initial.get(name).map(|value| &**value));
    room::expect_interpretable(&program.graph)?;
    let zeros: BTreeMap<Name, Array> = leaf_types(&program.graph)
        .filter(|(name, _)| value(name).is_none())
        .map(|(name, ty)| (name.clone(), Array::zeros(ty)))
        .collect();
    let leaf = |name: &Name| value(name).or_else(|| zeros.get(name)).expect("every leaf has a value");
    let expected = interp::run(&program.graph, |_, name| leaf(name));
    let names: Vec<&Name> = program.graph.outputs().iter().map(|o| &o.name).collect();
    let leaves: Vec<&Name> = leaf_types(&program.graph).map(|(name, _)| name).collect();
    let noise = OnceCell::new();
    let noise = || noise.get_or_init(|| noise_of(&program.graph, &leaves, leaf, &expected.outputs));
    let agree = |name: &str, outputs: &[Array]| {
        let mut noisy = Vec::new();
        for (i, (expected, actual)) in expected.outputs.iter().zip(outputs).enumerate() {
            match agreement(expected, actual, || &noise()[i]) {
                Ok(Agreement::Near) => {}
                Ok(Agreement::Cancelled) => noisy.push(format!("`{}`", names[i])),
                Err(mismatch) => {
                    return Check::new(name, Verdict::Fail, format!("output `{}`: {mismatch}", names[i]));
                }
            }
        }
        let plural = if outputs.len() == 1 { "" } else { "s" };
        if expected.outputs.iter().all(|output| output.shape().numel() == 0) {
            return Check::new(name, Verdict::Skip, "no output has an element: give arrays for which they have");
        }
        if expected.outputs.iter().all(is_nan) {
            let detail = "all elements of all outputs are NaN: give arrays for which they are numbers";
            return Check::new(name, Verdict::Skip, detail);
        }
        let within = match &noisy[..] {
            [] => String::new(),
            names => format!("; {} within what rounding the arrays moves it by", names.join(", ")),
        };
        Check::new(name, Verdict::Pass, format!("{} output{plural} as by the interpreter{within}", outputs.len()))
    };

    let mut checks = Vec::new();
    let plan = plan_of(program)?;
    let (passed, detail) = match plan::check::check(&plan) {
        Ok(()) => (
            true,
            format!("{} steps on {} buffers in {} bytes", plan.steps.len(), plan.buffers.len(), plan.arena_bytes),
        ),
        Err(faults) => (false, faults.iter().map(|f| f.to_string()).collect::<Vec<_>>().join("; ")),
    };
    checks.push(Check { is_proof: true, ..Check::new("plan", Verdict::of(passed), detail) });
    if passed {
        let inputs: Vec<ArrayView<'_>> = plan.inputs.iter().map(|name| leaf(name).view()).collect();
        let mut params: Vec<Array> = plan.params.iter().map(|name| leaf(name).clone()).collect();
        checks.push(agree("plan evaluated", &plan::eval::run(&plan, &inputs, &mut params)));
    }
    for (level, name) in [(Level::O0, "jit O0"), (Level::O1, "jit O1"), (Level::O2, "jit O2")] {
        let mut executable = program.compile(&Options { level, ..Options::engine(Engine::Jit) })?;
        let inputs = inputs_of(&executable, arrays)?;
        let outputs: Vec<Array> = executable.run(&inputs)?.iter().map(|(_, array)| array.clone()).collect();
        checks.push(agree(name, &outputs));
    }
    Ok(checks)
}

/// True if there are elements and none of them is a number.
fn is_nan(array: &Array) -> bool {
    array.dtype().is_float() && array.shape().numel() > 0 && array.to_f64_vec().iter().all(|v| v.is_nan())
}

/// The plan of a program, for which there is memory.
fn plan_of(program: &Program) -> Result<Plan, ModelError> {
    let graph = optimize(&program.graph, &OptOptions::default()).graph;
    room::expect_addressable(&graph)?;
    let (plan, mut needs) = (plan::plan(&graph), Needs::default());
    needs.add(plan.arena_bytes, || "the arena of intermediate values".to_owned());
    needs.expect_room()?;
    Ok(plan)
}

fn leaf_types(graph: &Graph) -> impl Iterator<Item = (&Name, &TensorType)> {
    graph.ids().filter_map(|id| Some((graph.op(id).leaf_name()?, graph.ty(id))))
}

/// Compares the gradient by each leaf with central differences.
fn gradients(
    model: &Model,
    loss: &str,
    wrt: &[Name],
    arrays: &BTreeMap<String, Array>,
) -> Result<Vec<Check>, ModelError> {
    let initial = model.program.initial.iter();
    let mut values: BTreeMap<Name, Array> = initial.map(|(name, value)| (name.clone(), Array::clone(value))).collect();
    values.extend(arrays.iter().map(|(name, array)| (Name::from(&**name), array.clone())));
    let source = model.program.graph.without_results();
    let (mut graph, double) = match in_double(&source) {
        Some(graph) => (graph, true),
        None => (source, false),
    };
    if double {
        values.values_mut().filter(|v| is_shorter(v.dtype())).for_each(|v| *v = doubled(v));
    }
    let loss_node = model.output(loss)?;
    let nodes: Vec<NodeId> = wrt.iter().filter_map(|name| graph.find(name)).collect();
    let appended = crate::grad::grad(&mut graph, loss_node, &nodes).map_err(|error| model.no_gradient(error))?;
    let evaluate = |node: NodeId, values: &BTreeMap<Name, Array>| {
        let mut graph = graph.without_results();
        graph.add_output("result", node).expect("it is the only output");
        interp::run(&graph, |_, name| &values[name]).outputs.remove(0).to_f64_vec()
    };
    let precision = if double { "in double precision" } else { "in the graph's own precision" };
    // Steps of several lengths: a long one meets kinks, a short one rounding.
    let (steps, allowed) = if double { ([1e-3, 1e-4, 1e-5, 1e-6], 1e-5) } else { ([1e-1, 3e-2, 1e-2, 1e-3], 2e-2) };
    let rounding = if double { f64::EPSILON } else { f64::from(f32::EPSILON) };
    room::expect_interpretable(&graph)?;
    let value = evaluate(loss_node, &values)[0];
    let depends = graph.ancestors([loss_node]);
    let mut draw = Draw::new(1);
    let mut checks = Vec::new();
    for (name, (&node, &gradient)) in wrt.iter().zip(nodes.iter().zip(&appended)) {
        let mut found =
            |verdict, detail: String| checks.push(Check::new(format!("gradient by {name}"), verdict, detail));
        if !depends[node.index()] {
            found(Verdict::Skip, "the loss does not depend on it".to_owned());
            continue;
        }
        if !value.is_finite() {
            found(
                Verdict::Skip,
                format!("the loss is {value}, so it has no differences: give arrays for which it is a number"),
            );
            continue;
        }
        let gradient = evaluate(gradient, &values);
        if gradient.is_empty() {
            found(Verdict::Skip, "it has no element".to_owned());
            continue;
        }
        // Of any lengths, so that equal entries do not cancel.
        let direction: Vec<f64> =
            gradient.iter().map(|_| (0.5 + draw.unit()) * if draw.chance(0.5) { 1.0 } else { -1.0 }).collect();
        let along: f64 = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
        let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        let at = |t: f64| {
            let mut moved = values.clone();
            let value = moved.get_mut(name).expect("every leaf has a value");
            *value = shifted(value, &direction, t);
            evaluate(loss_node, &moved)[0]
        };
        let differences = steps.map(|h| {
            let (near, far) = ((at(h) - at(-h)) / (2.0 * h), (at(2.0 * h) - at(-2.0 * h)) / (4.0 * h));
            let best = (4.0 * near - far) / 3.0;
            // Rounding of the loss alone makes differences of the first size; the second bounds what higher derivatives make.
            (best, 16.0 * rounding * value.abs() / h, (best - near).abs())
        });
        let finite = differences.into_iter().filter(|(difference, ..)| difference.is_finite());
        // The length is chosen by what is known without the gradient: the nearest difference would be near to wrong ones too.
        let Some((best, noise, bend)) = finite.min_by(|a, b| (a.1 + a.2).total_cmp(&(b.1 + b.2))) else {
            found(
                Verdict::Skip,
                "the loss is no number beside these arrays: give others, around which it is one".to_owned(),
            );
            continue;
        };
        let distance = (best - along).abs();
        let size = along.abs().max(norm);
        let agrees = distance <= allowed * size + noise;
        let nonzero = gradient.iter().filter(|&&g| g != 0.0).count();
        if agrees && nonzero == 0 {
            let entries = match gradient.len() {
                1 => "its only entry is 0".to_owned(),
                count => format!("all {count} entries are 0"),
            };
            found(
                Verdict::Skip,
                format!("{entries}, and so are central differences: give arrays for which some are not"),
            );
            continue;
        }
        let hidden = match (noise > allowed * size.max(best.abs()), agrees) {
            (true, _) => Some("rounding of the loss hides it"),
            (false, false) if distance <= allowed * size + noise + bend => Some("the loss bends too much to tell it"),
            _ => None,
        };
        if let Some(why) = hidden {
            found(
                Verdict::Skip,
                format!(
                    "{why}: {along:e} along a random direction, {best:e} by central differences {precision}, loss {value:e}"
                ),
            );
            continue;
        }
        let entries = format!("{nonzero} of {} entries are not 0", gradient.len());
        let detail =
            format!("{along:e} along a random direction, {best:e} by central differences {precision}; {entries}");
        found(Verdict::of(agrees), detail);
    }
    Ok(checks)
}

/// The value moved by `t` along a direction.
fn shifted(value: &Array, direction: &[f64], t: f64) -> Array {
    let moved = value.to_f64_vec().into_iter().zip(direction).map(|(v, d)| v + t * d);
    of_type(value, moved)
}

fn doubled(array: &Array) -> Array {
    Array::new(array.shape(), array.to_f64_vec()).expect("as many elements as before")
}

/// True for floats of fewer digits than `f64` has.
fn is_shorter(dtype: DType) -> bool {
    dtype.is_float() && dtype != DType::F64
}

/// The same graph with `f64` in the place of all shorter floats, so that nothing is rounded to them; nodes keep their numbers. None if there is an operation that is not for `f64`, such as a rule of a program's
/// own, which is written in the types that it has.
fn in_double(graph: &Graph) -> Option<Graph> {
    let wide = |ty: &TensorType| if is_shorter(ty.dtype) { ty.with_dtype(DType::F64) } else { ty.clone() };
    let mut double = Graph::default();
    for id in graph.ids() {
        let node = graph.node(id);
        let op = match &node.op {
            Op::Input(i) => Input { ty: wide(&i.ty), ..(**i).clone() }.into(),
            Op::Param(p) => Param { ty: wide(&p.ty), ..(**p).clone() }.into(),
            Op::Const(c) if is_shorter(c.value.dtype()) => Const { value: Arc::new(doubled(&c.value)) }.into(),
            Op::Iota(i) => Iota { ty: wide(&i.ty), ..(**i).clone() }.into(),
            Op::Cast(c) if is_shorter(c.dtype) => Cast { dtype: DType::F64 }.into(),
            Op::Loop(l) => {
                let body = Body::new(&in_double(l.spec.body.graph())?).ok()?;
                let spec = LoopSpec { body: Arc::new(body), ..LoopSpec::clone(&l.spec) };
                Op::from(Loop { spec: Arc::new(spec), ..l.clone() })
            }
            Op::Custom(_) => return None,
            op => op.clone(),
        };
        double.push(op, &graph.operands(id), node.origin.clone()).ok()?;
    }
    for update in graph.updates() {
        double.add_update(update.param, update.value).expect("both are as wide as each other");
    }
    Some(double)
}
