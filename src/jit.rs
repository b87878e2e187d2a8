//! The JIT: native code for this machine, and the memory that it runs on.

use std::sync::{Arc, LazyLock, Mutex};

use cranelift_codegen::Context;
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings::{self, Configurable};
use cranelift_jit::{ArenaMemoryProvider, JITBuilder, JITModule};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::array::{Array, ArrayView};
use crate::codegen::{self, Observer, Settings, Sharing, Symbols, Vectors, table_len};
use crate::compile::CompileError;
use crate::graph::{DType, Name};
use crate::plan::{ARENA_ALIGN, Packed, Place, Plan};
use crate::runtime::team::Team;
use crate::runtime::{Params, Stages, Store, pages};

/// Address space reserved for each program's code, so that all of it lies within reach of a relative call.
const CODE_RESERVE: usize = 256 << 20;

/// The error with all that caused it.
fn failed(error: impl std::error::Error) -> CompileError {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    CompileError::Codegen(text)
}

/// Compiled functions. Their memory is given back when the last owner is gone.
struct Code {
    module: Option<JITModule>,
    step: unsafe extern "C" fn(*const *mut u8),
}

// SAFETY: the module is not used after compilation but to free its memory, and the code itself is never written again.
unsafe impl Send for Code {}
// SAFETY: as above; running code only reads it.
unsafe impl Sync for Code {}

impl Drop for Code {
    fn drop(&mut self) {
        if let Some(module) = self.module.take() {
            // SAFETY: the functions are reachable through this `Code` only, which nobody has any more.
            unsafe { module.free_memory() };
        }
    }
}

/// Adds up the size of the code.
#[derive(Default)]
struct CodeSize(usize);

impl Observer for CodeSize {
    fn before(&mut self, _: &str, _: &mut Context) {}

    fn after(&mut self, _: &str, context: &Context) {
        self.0 += context.compiled_code().map_or(0, |c| c.code_buffer().len());
    }

    fn wide(&mut self, _: &str, _: u32, _: &str, bytes: usize) {
        self.0 += bytes;
    }
}

/// Has the clock read between calls.
struct WithClock;

impl Observer for WithClock {
    fn before(&mut self, _: &str, _: &mut Context) {}

    fn after(&mut self, _: &str, _: &Context) {}

    fn wide(&mut self, _: &str, _: u32, _: &str, _: usize) {}

    fn wants_clock(&self) -> bool {
        true
    }
}

/// Keeps the text of each function.
struct Listing {
    text: String,
    /// Machine code rather than CLIF.
    assembly: bool,
}

impl Observer for Listing {
    fn before(&mut self, name: &str, context: &mut Context) {
        context.set_disasm(self.assembly);
        if !self.assembly {
            self.text += &format!("; {name}\n{}\n", context.func.display());
        }
    }

    fn after(&mut self, name: &str, context: &Context) {
        if self.assembly {
            let code = context.compiled_code().and_then(|c| c.vcode.clone()).unwrap_or_default();
            self.text += &format!("; {name}\n{code}\n");
        }
    }

    fn wants_listing(&self) -> bool {
        self.assembly
    }

    fn wide(&mut self, name: &str, bits: u32, listing: &str, _: usize) {
        if self.assembly {
            self.text += &format!("; {name}, {bits}-bit vectors\n{listing}\n");
        } else {
            self.text += &format!(
                "; {name} is machine code for {bits}-bit vectors and has no CLIF; with COTANGENT_ISA=clif128 it would have\n\n"
            );
        }
    }
}

/// The code that the environment asks for: the widest vectors of this machine, unless `COTANGENT_ISA` names others.
pub(crate) fn settings_by_environment() -> Result<Settings, CompileError> {
    let word = std::env::var("COTANGENT_ISA").unwrap_or_default();
    Ok(Settings { vectors: vectors_named(&word)?, sharing: Sharing::WherePaid })
}

/// The vectors of this name; the widest of this machine for an empty one.
fn vectors_named(word: &str) -> Result<Vectors, CompileError> {
    let here = vectors();
    if word.is_empty() {
        return Ok(*here.last().unwrap_or(&Vectors::Clif128));
    }
    let known = Vectors::ALL.into_iter().find(|v| v.name() == word);
    let names = |all: &[Vectors]| all.iter().map(|v| format!("`{}`", v.name())).collect::<Vec<_>>().join(", ");
    match known {
        Some(v) if here.contains(&v) => Ok(v),
        Some(_) => Err(CompileError::Codegen(format!(
            "COTANGENT_ISA is `{word}`, which this machine has not got: it has {}",
            names(here)
        ))),
        None => Err(CompileError::Codegen(format!("COTANGENT_ISA is `{word}`: none of {}", names(&Vectors::ALL)))),
    }
}

/// The vectors of this machine, the narrowest first.
pub(crate) fn vectors() -> &'static [Vectors] {
    static HERE: LazyLock<Vec<Vectors>> = LazyLock::new(|| match isa() {
        Ok(isa) => Vectors::ALL.into_iter().filter(|v| v.is_supported(&*isa)).collect(),
        Err(_) => vec![Vectors::Clif128],
    });
    &HERE
}

/// This machine, as Cranelift describes it, with settings that make fast code. Asked once: what a processor has takes a while to tell on virtual machines.
fn isa() -> Result<OwnedTargetIsa, CompileError> {
    static ISA: LazyLock<Result<OwnedTargetIsa, String>> = LazyLock::new(|| isa_with(&[("opt_level", "speed")]));
    ISA.clone().map_err(CompileError::Codegen)
}

/// This machine, with settings that compile fast.
fn hasty_isa() -> Result<OwnedTargetIsa, CompileError> {
    static ISA: LazyLock<Result<OwnedTargetIsa, String>> =
        LazyLock::new(|| isa_with(&[("opt_level", "none"), ("regalloc_algorithm", "single_pass")]));
    ISA.clone().map_err(CompileError::Codegen)
}

fn isa_with(settings: &[(&str, &str)]) -> Result<OwnedTargetIsa, String> {
    let mut flags = settings::builder();
    let verify = if cfg!(debug_assertions) { "true" } else { "false" };
    for (flag, value) in settings.iter().chain(&[("enable_verifier", verify), ("is_pic", "false")]) {
        flags.set(flag, value).map_err(|error| error.to_string())?;
    }
    cranelift_native::builder()?.finish(settings::Flags::new(flags)).map_err(|error| error.to_string())
}

fn module(symbols: Arc<Mutex<Symbols>>) -> Result<JITModule, CompileError> {
    let mut builder = JITBuilder::with_isa(isa()?, cranelift_module::default_libcall_names());
    builder.memory_provider(Box::new(ArenaMemoryProvider::new_with_size(CODE_RESERVE).map_err(failed)?));
    builder.symbol_lookup_fn(Box::new(move |name| {
        let symbols = symbols.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        symbols.get(name)
    }));
    Ok(JITModule::new(builder))
}

/// Defines the plan's functions in a new module, watched by `observer`.
fn define(
    plan: &Plan,
    settings: (Settings, usize),
    stages: &mut Stages,
    observer: &mut dyn Observer,
) -> Result<(JITModule, cranelift_module::FuncId), CompileError> {
    let shared = Arc::new(Mutex::new(Symbols::default()));
    let mut module = module(shared.clone())?;
    let hasty = hasty_isa()?;
    stages.lap("setup");
    let mut symbols = Symbols::default();
    let settings = (settings.0, settings.1, &*hasty);
    let result = codegen::define(plan, &mut module, &mut symbols, settings, stages, observer);
    *shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = symbols;
    match result {
        Ok(step) => Ok((module, step)),
        Err(error) => {
            // SAFETY: no function of the module has been called or handed out.
            unsafe { module.free_memory() };
            Err(failed(error))
        }
    }
}

fn compile_code(
    plan: &Plan,
    settings: (Settings, usize),
    stages: &mut Stages,
    observer: &mut dyn Observer,
) -> Result<Code, CompileError> {
    let (mut module, step) = define(plan, settings, stages, observer)?;
    if let Err(error) = module.finalize_definitions() {
        // SAFETY: no function of the module has been called or handed out.
        unsafe { module.free_memory() };
        return Err(failed(error));
    }
    stages.lap("link");
    let address = module.get_finalized_function(step);
    // SAFETY: the address is that of a function with this signature in the host's calling convention: `codegen::define` declares it so.
    let step = unsafe { std::mem::transmute::<*const u8, unsafe extern "C" fn(*const *mut u8)>(address) };
    Ok(Code { module: Some(module), step })
}

/// The size of the code of all functions.
pub(crate) fn code_bytes(
    plan: &Plan,
    settings: Settings,
    threads: usize,
    stages: &mut Stages,
) -> Result<usize, CompileError> {
    let mut size = CodeSize::default();
    let (module, _) = define(plan, (settings, threads), stages, &mut size)?;
    // SAFETY: no function of the module has been called or handed out.
    unsafe { module.free_memory() };
    Ok(size.0)
}

/// The CLIF of all functions.
pub(crate) fn clif_text(plan: &Plan) -> Result<String, CompileError> {
    listing(plan, false)
}

/// The machine code of all functions.
pub(crate) fn assembly_text(plan: &Plan) -> Result<String, CompileError> {
    listing(plan, true)
}

fn listing(plan: &Plan, assembly: bool) -> Result<String, CompileError> {
    let mut listing = Listing { text: String::new(), assembly };
    let (module, _) = define(plan, (settings_by_environment()?, 1), &mut Stages::default(), &mut listing)?;
    // SAFETY: no function of the module has been called or handed out.
    unsafe { module.free_memory() };
    Ok(listing.text)
}

/// The parameters that some step of a plan writes, by their numbers in the plan.
fn written_params(plan: &Plan) -> FxHashSet<usize> {
    let written = plan.steps.iter().flat_map(|step| step.written(plan));
    let param = |b| match plan.buffer(b).place {
        Place::Param(at) => Some(at),
        _ => None,
    };
    written.filter_map(param).collect()
}

/// Zeroed memory, aligned for the widest vectors. What is never touched takes none of the machine's.
struct Arena(Vec<u8>);

impl Arena {
    fn new(bytes: usize) -> Arena {
        Arena(vec![0; bytes + ARENA_ALIGN])
    }

    /// The arena will be used whole, soon.
    fn prepare(&mut self) {
        pages::prepare(self.0.as_mut_ptr(), self.0.len());
    }

    fn as_mut_ptr(&mut self) -> *mut u8 {
        let start = self.0.as_mut_ptr();
        start.wrapping_add(start.addr().next_multiple_of(ARENA_ALIGN) - start.addr())
    }
}

/// A parameter that a step touches.
#[derive(Clone, Copy)]
struct Link {
    /// Its entry of the table.
    entry: usize,
    /// Its number among the parameters.
    number: usize,
    /// Whether the step changes it.
    written: bool,
}

/// Native code with the memory of one executable.
pub(crate) struct Compiled {
    code: Arc<Code>,
    code_bytes: usize,
    settings: Settings,
    plan: Plan,
    arena: Arena,
    /// The arena's shadows, one for each thread but the first.
    shadows: Vec<Arena>,
    team: Team,
    /// A pointer for each piece of memory, as [`codegen::table_index`] numbers them.
    table: Vec<*mut u8>,
    /// For each input of the executable, its entry of the table.
    inputs: Vec<Option<usize>>,
    /// Memory for packed factors, and the version that lies there of each.
    packed: Vec<Arena>,
    packed_versions: Vec<Option<u64>>,
    /// The parameters, once they are known.
    params: Params,
    /// The parameters that the step touches.
    links: Vec<Link>,
    /// The numbers, among the parameters, of those that are packed; `None` for constants.
    packed_numbers: Vec<Option<usize>>,
    updates: bool,
    /// Whether there has been a run. What is compiled and never run takes no memory for its values.
    has_run: bool,
}

// SAFETY: the pointers in the table lead to the arena and the constants, which the executable owns, to parameters, which are used under their lock, and
// to inputs and outputs, which are set anew for each run, and to descriptions of routines, which the plan owns and nobody changes.
unsafe impl Send for Compiled {}

impl Compiled {
    /// Compiles a plan. `inputs` names the arrays that a run is given, in order.
    pub(crate) fn new<'a>(
        plan: Plan,
        inputs: impl Iterator<Item = &'a Name>,
        settings: Settings,
        threads: usize,
        stages: &mut Stages,
    ) -> Result<Compiled, CompileError> {
        let mut size = CodeSize::default();
        let code = compile_code(&plan, (settings, threads), stages, &mut size)?;
        let number_of: FxHashMap<&Name, usize> = plan.inputs.iter().enumerate().map(|(i, n)| (n, i)).collect();
        let entry = |name: &Name| number_of.get(name).map(|&at| codegen::table_index(&plan, Place::Input(at)).0);
        let inputs = inputs.map(entry).collect();
        Ok(Compiled::with_code((code, size.0), plan, inputs, settings, threads))
    }

    /// Code for the same plan that reads the [clock](crate::runtime::profile::mark) between its calls.
    pub(crate) fn with_clock(&self) -> Result<Compiled, CompileError> {
        let threads = self.shadows.len() + 1;
        let code = compile_code(&self.plan, (self.settings, threads), &mut Stages::default(), &mut WithClock)?;
        Ok(Compiled::with_code((code, 0), self.plan.clone(), self.inputs.clone(), self.settings, threads))
    }

    /// Gives code and its size the memory to run on.
    fn with_code(
        (code, code_bytes): (Code, usize),
        plan: Plan,
        inputs: Vec<Option<usize>>,
        settings: Settings,
        threads: usize,
    ) -> Compiled {
        let code = Arc::new(code);
        let mut arena = Arena::new(plan.arena_bytes);
        let mut shadows: Vec<Arena> = (1..threads).map(|_| Arena::new(plan.arena_bytes)).collect();
        let base = arena.as_mut_ptr().addr();
        let team = Team::new(shadows.iter_mut().map(|s| s.as_mut_ptr().addr().wrapping_sub(base) as isize).collect());
        let mut table = vec![std::ptr::null_mut(); table_len(&plan)];
        for (i, constant) in plan.constants.iter().enumerate() {
            table[codegen::table_index(&plan, Place::Const(i)).0] = Array::as_ptr(constant).cast_mut();
        }
        for (i, call) in plan.routine_calls().into_iter().enumerate() {
            table[codegen::first_routine(&plan) + i] = Arc::as_ptr(&call.routine).cast_mut().cast();
        }
        let mut packed: Vec<Arena> = plan.packed.iter().map(|p| Arena::new(p.bytes())).collect();
        for (i, memory) in packed.iter_mut().enumerate() {
            table[codegen::first_packed(&plan) + i] = memory.as_mut_ptr();
        }
        let updates = !written_params(&plan).is_empty();
        let (params, links, packed_numbers) = (Params::new(), Vec::new(), Vec::new());
        let packed_versions = vec![None; packed.len()];
        Compiled {
            code,
            code_bytes,
            settings,
            plan,
            arena,
            shadows,
            team,
            table,
            inputs,
            packed,
            packed_versions,
            params,
            links,
            packed_numbers,
            updates,
            has_run: false,
        }
    }

    /// Sets the parameters of all runs from now on. Those of the plan have been declared.
    pub(crate) fn attach(&mut self, params: &Params) {
        let mut touched: Vec<usize> = Vec::new();
        touched.extend(self.plan.buffers.iter().filter_map(|b| match b.place {
            Place::Param(at) => Some(at),
            _ => None,
        }));
        touched.sort_unstable();
        touched.dedup();
        let first = codegen::table_index(&self.plan, Place::Param(0)).0;
        let store = params.read();
        let number = |name: &Name| store.number(name).expect("parameters are declared at compilation");
        let written = written_params(&self.plan);
        let link = |at: usize| {
            let (entry, number, written) = (first + at, number(&self.plan.params[at]), written.contains(&at));
            Link { entry, number, written }
        };
        self.links = touched.into_iter().map(link).collect();
        let factor = |packed: &Packed| match self.plan.buffer(packed.product.b.buffer).place {
            Place::Param(at) => Some(number(&self.plan.params[at])),
            _ => None,
        };
        self.packed_numbers = self.plan.packed.iter().map(factor).collect();
        drop(store);
        self.params = params.clone();
        self.packed_versions.fill(None);
    }

    /// Packs the factors that have changed since they were packed last. The pointers of parameters are in the table, and their lock is held.
    fn pack(&self, store: &Store, versions: &mut [Option<u64>]) {
        for (i, packed) in self.plan.packed.iter().enumerate() {
            let version = Some(self.packed_numbers[i].map_or(0, |number| store.version(number)));
            if std::mem::replace(&mut versions[i], version) == version {
                continue;
            }
            let matrix = packed.product.b;
            let from = self.table[codegen::table_index(&self.plan, self.plan.buffer(matrix.buffer).place).0];
            let to = self.table[codegen::first_packed(&self.plan) + i];
            let table = packed.table();
            // SAFETY: the factor is a parameter, whose lock is held, or a constant, of the size that the plan was made for; the product reads the elements of its
            // axes. The memory behind `to` is as long as the packed factor and belongs to it alone.
            match packed.product.dtype {
                DType::F64 => unsafe { table.pack_f64(from.cast::<f64>().wrapping_offset(matrix.offset), to.cast()) },
                _ => unsafe { table.pack_f32(from.cast::<f32>().wrapping_offset(matrix.offset), to.cast()) },
            }
        }
    }

    /// Runs the step once. The inputs are those named at compilation, of the graph's types; `results` has one array for each output, of its type.
    pub(crate) fn run<'a, 'b: 'a>(&mut self, inputs: impl Iterator<Item = &'a ArrayView<'b>>, results: &mut [Array]) {
        if !std::mem::replace(&mut self.has_run, true) {
            self.arena.prepare();
            self.packed.iter_mut().for_each(Arena::prepare);
        }
        self.table[0] = self.arena.as_mut_ptr();
        for (view, entry) in inputs.zip(&self.inputs) {
            if let Some(entry) = entry {
                self.table[*entry] = view.as_ptr().cast_mut();
            }
        }
        let first_output = codegen::table_index(&self.plan, Place::Output(0)).0;
        for (i, result) in results.iter_mut().enumerate() {
            self.table[first_output + i] = result.as_mut_ptr();
        }
        // SAFETY (both calls): the table leads to live memory of the sizes that the plan was made for: the arena is as long as the plan says, inputs and
        // results have been checked against the graph's types, parameters keep theirs. Inputs and constants are only read. The plan's steps stay within
        // their buffers, or in the same places of the shadows of the arena, which are as long. Routines are described by the plan. Nothing else touches
        // parameters while their lock is held.
        let mut versions = std::mem::take(&mut self.packed_versions);
        if self.updates {
            let mut store = self.params.write();
            for link in &self.links {
                self.table[link.entry] = match link.written {
                    true => store.value_mut(link.number).as_mut_ptr(),
                    false => store.values()[link.number].as_ptr().cast_mut(),
                };
            }
            self.pack(&store, &mut versions);
            self.packed_versions = versions;
            self.team.enter(|| unsafe { (self.code.step)(self.table.as_ptr()) });
        } else {
            let store = self.params.read();
            for link in &self.links {
                self.table[link.entry] = store.values()[link.number].as_ptr().cast_mut();
            }
            self.pack(&store, &mut versions);
            self.packed_versions = versions;
            self.team.enter(|| unsafe { (self.code.step)(self.table.as_ptr()) });
        }
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn code_bytes(&self) -> usize {
        self.code_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_by_name() {
        assert_eq!(vectors_named("clif128").expect("every machine has them"), Vectors::Clif128);
        assert_eq!(vectors_named("").expect("the widest"), *vectors().last().expect("there are some"));
        for v in Vectors::ALL {
            match vectors_named(v.name()) {
                Ok(named) => assert!(named == v && vectors().contains(&v)),
                Err(error) => {
                    assert!(!vectors().contains(&v));
                    let text = error.to_string();
                    assert!(text.contains(&format!("`{}`, which this machine has not got", v.name())), "{text}");
                }
            }
        }
        let text = vectors_named("avx1024").expect_err("nobody has them").to_string();
        assert!(text.contains("`avx1024`: none of `clif128`, `avx2`, `avx512`"), "{text}");
    }
}
