//! A program ready to run.

use std::fmt;
use std::ops::Index;
use std::time::Instant;

use rustc_hash::FxHashMap;

use crate::array::{Array, ArrayElement, ArrayError, ArrayView};
use crate::build::Tensor;
use crate::compile::{CompileError, Options};
use crate::graph::{DType, Graph, Name, NodeId, TensorType};
use crate::interp;
use crate::jit::Compiled;
use crate::prim::Op;
use crate::spelling::hint;

use super::choice::{self, Choice};
use super::profile::{self, Profile};
use super::{Inputs, Params, Report};

/// Inputs that a run refuses. Nothing has been computed or changed then.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// An input was not given.
    #[error("input `{name}` ({ty}) is missing")]
    Missing {
        /// The input's name.
        name: Name,
        /// Its type.
        ty: TensorType,
    },
    /// A name that no input has on which a result or an update depends.
    #[error("there is no input called `{name}` that what is computed depends on; the inputs are: {}{}", .known.join(", "), hint(.name, .known))]
    Unknown {
        /// The name given.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// An input given twice.
    #[error("input `{name}` is given twice")]
    Duplicate {
        /// The name.
        name: Name,
    },
    /// An array typed unlike its input.
    #[error("input `{name}` is {expected}, the array given is {given}")]
    Type {
        /// The input's name.
        name: Name,
        /// Its type.
        expected: TensorType,
        /// The array's type.
        given: TensorType,
    },
    /// An input that chooses elements holds a number that chooses none.
    #[error(
        "input `{name}` holds {value} at position {position}, but it chooses among {extent} elements; in range: {allowed} ({user})"
    )]
    Index {
        /// The input's name.
        name: Name,
        /// The number.
        value: i64,
        /// Its position in row-major order.
        position: usize,
        /// Extent of the axis chosen from.
        extent: usize,
        /// The numbers that choose: `0 to 9`, `-100 or 0 to 9`.
        allowed: String,
        /// Where the choice was built.
        user: String,
    },
    /// There is no result of this name.
    #[error("there is no output called `{name}`; the outputs are: {}{}", .known.join(", "), hint(.name, .known))]
    UnknownOutput {
        /// The name given.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// A result read as what it is not.
    #[error("output `{name}`: {error}")]
    Output {
        /// The output's name.
        name: Name,
        /// What is wrong.
        error: ArrayError,
    },
    /// A result that is not a scalar read as one.
    #[error("output `{name}` is {ty}, not a scalar")]
    NotScalar {
        /// The output's name.
        name: Name,
        /// Its type.
        ty: TensorType,
    },
}

crate::error::debug_as_display!(RunError);

/// An input as a run sees it.
#[derive(Clone, Debug)]
pub(crate) struct InputSpec {
    pub(crate) name: Name,
    pub(crate) node: NodeId,
    pub(crate) ty: TensorType,
    /// The choices that the input's numbers make, from the smallest extent on.
    choices: Vec<Choice>,
}

/// What runs an executable.
pub(crate) enum Backend {
    /// The reference interpreter on the graph as written.
    Interp,
    /// Native code.
    Jit(Box<Compiled>),
}

/// A program ready to run: its code, its memory and a handle on its parameters.
///
/// Under the JIT a run allocates nothing, however many inputs it is given, but for the shapes of inputs of more than four axes. Executables are [`Send`]; those that share [`Params`] take turns if one of them updates parameters.
pub struct Executable {
    /// The graph as written, with outputs and updates.
    source: Graph,
    inputs: Vec<InputSpec>,
    /// The position of each input by name.
    input_numbers: FxHashMap<Name, usize>,
    /// The position of each output by name.
    output_numbers: FxHashMap<Name, usize>,
    backend: Backend,
    params: Params,
    builder: u64,
    options: Options,
    report: Report,
    results: Vec<Array>,
    /// Memory for the list of a run's inputs, empty between runs.
    scratch: Views<'static>,
}

impl Executable {
    pub(crate) fn new(
        source: Graph,
        inputs: Vec<InputSpec>,
        backend: Backend,
        params: Params,
        builder: u64,
        options: Options,
        report: Report,
    ) -> Executable {
        let mut backend = backend;
        if let Backend::Jit(compiled) = &mut backend {
            compiled.attach(&params);
        }
        let results = source.outputs().iter().map(|o| Array::zeros(source.ty(o.node))).collect();
        let input_numbers = inputs.iter().enumerate().map(|(i, input)| (input.name.clone(), i)).collect();
        let output_numbers = source.outputs().iter().enumerate().map(|(i, o)| (o.name.clone(), i)).collect();
        let scratch = Views::with_capacity(inputs.len());
        Executable {
            source,
            inputs,
            input_numbers,
            output_numbers,
            backend,
            params,
            builder,
            options,
            report,
            results,
            scratch,
        }
    }

    /// Runs the program once: computes the outputs, then stores the updates.
    ///
    /// Inputs are given by name, in any order, as views of arrays that are read in place; `&[]` where there are none.
    ///
    /// # Errors
    /// If an input is missing, unknown, given twice or typed unlike the graph's, or chooses elements that there are not. Parameters are unchanged then.
    ///
    /// NaN and infinities in an input are no errors: they spread by the rules of IEEE 754, in a training step to the parameters too, except
    /// where the optimizer's rules cancel them ([`Level::O2`](crate::opt::Level::O2)). Check the loss.
    pub fn run<'a>(&mut self, inputs: impl Inputs<'a>) -> Result<Outputs<'_>, RunError> {
        let mut views = reused(std::mem::take(&mut self.scratch));
        let checked = self.check(inputs, &mut views);
        if checked.is_ok() {
            self.run_with(&views);
        }
        self.scratch = reused(views);
        checked.map(|()| Outputs { executable: self })
    }

    /// Checks inputs once and keeps them for many runs: [`Bound::run`] looks up no name, checks nothing and allocates nothing. The arrays stay borrowed,
    /// so what has been checked stays true.
    ///
    /// ```
    /// use cotangent::prelude::*;
    ///
    /// let g = Builder::new();
    /// let x = g.input("x", f32([2]));
    /// let w = g.param("w", init::ones([2]));
    /// let mut step = Sgd::new(0.25).minimize((w - x).square().sum()).compile(&Options::default())?;
    ///
    /// let x = Array::from([3.0f32, 5.0]);
    /// let mut bound = step.bind(&[("x", &x)])?;
    /// let losses: Vec<f32> = (0..3).map(|_| bound.run().scalar()).collect::<Result<_, _>>()?;
    /// assert_eq!(losses, [20.0, 5.0, 1.25]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Executable::run`].
    pub fn bind<'e, 'a>(&'e mut self, inputs: impl Inputs<'a>) -> Result<Bound<'e, 'a>, RunError> {
        let mut views = Views::with_capacity(self.inputs.len());
        self.check(inputs, &mut views)?;
        Ok(Bound { executable: self, views })
    }

    /// Checks the arrays given for the inputs and puts them into an empty list, in the order of the inputs.
    fn check<'a>(&self, inputs: impl Inputs<'a>, views: &mut Views<'a>) -> Result<(), RunError> {
        views.resize_with(self.inputs.len(), || None);
        inputs.each(&mut |name, view| {
            let at = self.input_number(name)?;
            let spec = &self.inputs[at];
            if views[at].is_some() {
                return Err(RunError::Duplicate { name: spec.name.clone() });
            }
            check_input(spec, &view)?;
            views[at] = Some(view);
            Ok(())
        })?;
        if let Some(at) = views.iter().position(Option::is_none) {
            let spec = &self.inputs[at];
            return Err(RunError::Missing { name: spec.name.clone(), ty: spec.ty.clone() });
        }
        Ok(())
    }

    fn input_number(&self, name: &str) -> Result<usize, RunError> {
        self.input_numbers.get(name).copied().ok_or_else(|| {
            let known = self.inputs.iter().map(|i| i.name.to_string()).collect();
            RunError::Unknown { name: name.to_owned(), known }
        })
    }

    /// Runs the program on arrays that have been checked.
    fn run_with(&mut self, views: &Views<'_>) {
        match &mut self.backend {
            Backend::Jit(compiled) => compiled.run(views.iter().flatten(), &mut self.results),
            Backend::Interp => self.interpret(views),
        }
    }

    fn interpret(&mut self, views: &Views<'_>) {
        let arrays: Vec<Array> = views.iter().flatten().map(ArrayView::to_array).collect();
        let mut store = self.params.write();
        let given: FxHashMap<NodeId, &Array> = self.inputs.iter().map(|i| i.node).zip(&arrays).collect();
        let leaf = |id: NodeId, name: &Name| match given.get(&id) {
            Some(&array) => array,
            None => store.get(name).expect("parameters are declared at compilation"),
        };
        let results = interp::run(&self.source, leaf);
        for (update, value) in self.source.updates().iter().zip(&results.updates) {
            let name = self.source.op(update.param).leaf_name().expect("updates are of parameters");
            store.get_mut(name).expect("parameters are declared at compilation").copy_from(&value.view());
        }
        self.results = results.outputs;
    }

    /// The parameters: readable and settable at any time, shared with every executable compiled with them.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// What the compilation did and how long it took.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Names and types of the inputs that a run must be given, in the order of their declaration.
    pub fn inputs(&self) -> impl Iterator<Item = (&Name, &TensorType)> {
        self.inputs.iter().map(|i| (&i.name, &i.ty))
    }

    /// Names and types of the outputs.
    pub fn outputs(&self) -> impl Iterator<Item = (&Name, &TensorType)> {
        self.source.outputs().iter().map(|o| (&o.name, self.source.ty(o.node)))
    }

    /// The graph as written, with outputs and updates.
    pub fn graph(&self) -> &Graph {
        &self.source
    }

    /// A function that computes `tensor` alone and shares this executable's parameters: a predictor beside a training step. Its only output is called
    /// `output`.
    ///
    /// # Errors
    /// If compilation fails.
    ///
    /// # Panics
    /// If the tensor belongs to another builder than this executable's.
    #[track_caller]
    pub fn forward(&self, tensor: Tensor<'_>) -> Result<Executable, CompileError> {
        self.function(&[("output", tensor)])
    }

    /// A function that computes these results and shares this executable's parameters.
    ///
    /// # Errors
    /// If compilation fails.
    ///
    /// # Panics
    /// If a tensor belongs to another builder than this executable's, the list is empty, or two results have one name.
    #[track_caller]
    pub fn function(&self, outputs: &[(&str, Tensor<'_>)]) -> Result<Executable, CompileError> {
        let builder = outputs.first().expect("function: takes at least one output").1.builder();
        assert!(builder.token() == self.builder, "function: the tensor belongs to another builder than the executable");
        builder.program(outputs).into_executable(&self.options, &self.params)
    }

    /// How the program was compiled.
    pub fn options(&self) -> &Options {
        &self.options
    }
}

impl fmt::Debug for Executable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Executable({}, {} inputs, {} outputs)", self.report.engine, self.inputs.len(), self.results.len())
    }
}

/// Arrays for all inputs of an executable, in their order; all are there once they are checked.
type Views<'a> = Vec<Option<ArrayView<'a>>>;

/// An empty list for other arrays, in the same memory.
///
/// `collect` keeps the memory where elements come out as large as they go in. The standard library does so and does not promise it; without it a run allocates
/// and is as right. `a_run_with_many_inputs_allocates_nothing` of `tests/resources.rs` notices.
fn reused<'b>(mut views: Views<'_>) -> Views<'b> {
    views.clear();
    views.into_iter().map(|_| None).collect()
}

/// An executable with the arrays that its runs are given, made by [`Executable::bind`].
pub struct Bound<'e, 'a> {
    executable: &'e mut Executable,
    views: Views<'a>,
}

impl<'a> Bound<'_, 'a> {
    /// Runs the program once: computes the outputs, then stores the updates.
    pub fn run(&mut self) -> Outputs<'_> {
        self.executable.run_with(&self.views);
        Outputs { executable: self.executable }
    }

    /// Exchanges the array of one input.
    ///
    /// # Errors
    /// If there is no such input, or the array is typed unlike it or chooses elements that there are not. The array stays as it was then.
    pub fn set(&mut self, name: &str, array: impl Into<ArrayView<'a>>) -> Result<(), RunError> {
        let (at, view) = (self.executable.input_number(name)?, array.into());
        check_input(&self.executable.inputs[at], &view)?;
        self.views[at] = Some(view);
        Ok(())
    }

    /// Runs the program `runs` times, after one run that is not measured, by code that reads the clock between its calls. The runs are runs like any
    /// others: they update parameters. The interpreter gives a profile without calls.
    ///
    /// # Errors
    /// If the code with the clock cannot be compiled.
    ///
    /// # Panics
    /// If `runs` is 0.
    pub fn profile(&mut self, runs: usize) -> Result<Profile, CompileError> {
        assert!(runs > 0, "profile: at least one run is measured");
        match &self.executable.backend {
            Backend::Jit(compiled) => {
                let mut clocked = compiled.with_clock()?;
                clocked.attach(&self.executable.params);
                clocked.run(self.views.iter().flatten(), &mut self.executable.results);
                let times = profile::measure(clocked.plan().steps.len(), runs, || {
                    clocked.run(self.views.iter().flatten(), &mut self.executable.results);
                });
                Ok(Profile::new(clocked.plan(), runs, &times))
            }
            Backend::Interp => {
                self.executable.run_with(&self.views);
                let start = Instant::now();
                (0..runs).for_each(|_| self.executable.run_with(&self.views));
                Ok(Profile { runs, time: profile::mean(start.elapsed(), runs), calls: Vec::new() })
            }
        }
    }

    /// The executable's parameters.
    pub fn params(&self) -> &Params {
        &self.executable.params
    }
}

impl fmt::Debug for Bound<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bound").field(&self.executable).finish()
    }
}

/// The results of a run, valid until the next.
#[derive(Clone, Copy)]
pub struct Outputs<'a> {
    executable: &'a Executable,
}

impl<'a> Outputs<'a> {
    /// The result called `name`.
    ///
    /// # Errors
    /// If there is none.
    pub fn get(&self, name: &str) -> Result<&'a Array, RunError> {
        Ok(&self.executable.results[self.position(name)?])
    }

    fn position(&self, name: &str) -> Result<usize, RunError> {
        self.executable.output_numbers.get(name).copied().ok_or_else(|| {
            let known = self.executable.source.outputs().iter().map(|o| o.name.to_string()).collect();
            RunError::UnknownOutput { name: name.to_owned(), known }
        })
    }

    /// The first result.
    ///
    /// # Panics
    /// If the program has no outputs.
    #[track_caller]
    pub fn first(&self) -> &'a Array {
        let first = self.executable.results.first();
        first.expect("first: the program has no outputs; it only updates parameters")
    }

    /// The only element of the first result.
    ///
    /// # Errors
    /// If it has more elements than one or is of another type than `T`.
    ///
    /// # Panics
    /// If the program has no outputs.
    #[track_caller]
    pub fn scalar<T: ArrayElement>(&self) -> Result<T, RunError> {
        self.first();
        self.scalar_at(0)
    }

    /// The only element of the result called `name`.
    ///
    /// # Errors
    /// If there is no such result, it has more elements than one or is of another type than `T`.
    pub fn get_scalar<T: ArrayElement>(&self, name: &str) -> Result<T, RunError> {
        self.scalar_at(self.position(name)?)
    }

    fn scalar_at<T: ArrayElement>(&self, at: usize) -> Result<T, RunError> {
        let (array, output) = (&self.executable.results[at], &self.executable.source.outputs()[at]);
        let fail = |error| RunError::Output { name: output.name.clone(), error };
        match array.as_slice::<T>().map_err(fail)? {
            [value] => Ok(*value),
            _ => Err(RunError::NotScalar { name: output.name.clone(), ty: array.ty() }),
        }
    }

    /// Names and values, in the order of the program's outputs.
    pub fn iter(&self) -> impl Iterator<Item = (&'a Name, &'a Array)> + use<'a> {
        let executable = self.executable;
        executable.source.outputs().iter().map(|o| &o.name).zip(&executable.results)
    }
}

impl Index<&str> for Outputs<'_> {
    type Output = Array;

    /// The result of this name.
    ///
    /// # Panics
    /// If there is none; [`Outputs::get`] gives an error instead.
    #[track_caller]
    fn index(&self, name: &str) -> &Array {
        match self.get(name) {
            Ok(array) => array,
            Err(error) => panic!("{error}"),
        }
    }
}

impl Index<usize> for Outputs<'_> {
    type Output = Array;

    /// The result at this place, in the order of the program's outputs.
    ///
    /// # Panics
    /// If there are not so many.
    #[track_caller]
    fn index(&self, at: usize) -> &Array {
        let results = &self.executable.results;
        match results.get(at) {
            Some(array) => array,
            None => panic!("there is no output number {at}; the program has {}", results.len()),
        }
    }
}

impl fmt::Debug for Outputs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// The inputs that outputs and updates need, with what each chooses from. A predictor made from a training step's graph does not ask for labels.
pub(crate) fn inputs_of(graph: &Graph) -> Vec<InputSpec> {
    let live = graph.live();
    let nodes: Vec<NodeId> = graph.ids().filter(|id| live[id.index()]).collect();
    let mut inputs = Vec::new();
    for &id in &nodes {
        if let Op::Input(input) = graph.op(id) {
            inputs.push(InputSpec { name: input.name.clone(), node: id, ty: input.ty.clone(), choices: Vec::new() });
        }
    }
    for (node, choice) in choice::choices(graph, &nodes) {
        let input = inputs.iter_mut().find(|input| input.node == node).expect("what is live has live operands");
        if input.choices.iter().all(|other| !other.covers(&choice)) {
            input.choices.retain(|other| !choice.covers(other));
            input.choices.push(choice);
        }
    }
    for input in &mut inputs {
        input.choices.sort_by_key(|choice| choice.extent);
    }
    inputs
}

/// The first number of these arrays by the names of inputs that chooses what there is not: the input, the position and the extent chosen from. Shapes are those
/// of any number of examples.
pub(crate) fn outside_choices(graph: &Graph, arrays: &[(String, Array)]) -> Option<(Name, usize, usize)> {
    inputs_of(graph).into_iter().find_map(|spec| {
        let (_, array) = arrays.iter().find(|(name, array)| **name == *spec.name && array.dtype() == spec.ty.dtype)?;
        let error = spec.choices.iter().find_map(|choice| check_choice(&spec, choice, &array.view()).err())?;
        match error {
            RunError::Index { name, position, extent, .. } => Some((name, position, extent)),
            _ => None,
        }
    })
}

/// Checks an array against its input.
fn check_input(spec: &InputSpec, view: &ArrayView<'_>) -> Result<(), RunError> {
    if view.dtype() != spec.ty.dtype || *view.shape() != spec.ty.shape {
        return Err(RunError::Type { name: spec.name.clone(), expected: spec.ty.clone(), given: view.ty() });
    }
    spec.choices.iter().try_for_each(|choice| check_choice(spec, choice, view))
}

fn check_choice(spec: &InputSpec, choice: &Choice, view: &ArrayView<'_>) -> Result<(), RunError> {
    let outside = |v: i64| !choice.allowed.contains(v);
    /// The first index that is outside.
    fn first<T: ArrayElement + Into<i64>>(
        view: &ArrayView<'_>,
        choice: &Choice,
        outside: impl Fn(i64) -> bool,
    ) -> Option<(usize, i64)> {
        let indices = view.as_slice::<T>().ok()?;
        let numbers = indices.iter().map(|&v| v.into()).enumerate();
        numbers.filter(|&(_, v)| outside(v)).find(|&(position, _)| choice.looks_at(view.shape(), position))
    }
    let found = match view.dtype() {
        DType::U8 => first::<u8>(view, choice, outside),
        DType::I32 => first::<i32>(view, choice, outside),
        DType::U32 => first::<u32>(view, choice, outside),
        _ => first::<i64>(view, choice, outside),
    };
    match found {
        None => Ok(()),
        Some((position, value)) => Err(RunError::Index {
            name: spec.name.clone(),
            value,
            position,
            extent: choice.extent,
            allowed: choice.allowed.to_string(),
            user: choice.origin.source.to_string(),
        }),
    }
}
