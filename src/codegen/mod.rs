//! Code generation: from a plan to functions of native code, for any [`Module`].
//!
//! ```text
//!   Plan --kernel--> one function for each different kernel, over a range of its outermost loop
//!        --step--->  one function `step(table)` that calls them, the products and the routines in order,
//!                    and one for each strip, which does so for one piece
//!        --nested->  a function like it for each nested plan, called once a trip with a table of its own
//! ```
//!
//! The table holds a pointer for each piece of memory: the arena, then the inputs, parameters, constants and outputs, in the plan's order
//! ([`table_index`]), then one for each call of a routine ([`first_routine`]). Scalar mathematics is written over the [`lanes`] of Cranelift values.

mod arguments;
mod choose;
mod convert;
mod emit;
mod fold;
mod functions;
mod kernel;
mod lanes;
mod loops;
mod memory;
mod nested;
mod share;
mod step;
#[cfg(test)]
mod tests;
mod wide;

use cranelift_codegen::Context;
use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::ir::{AbiParam, Signature, types};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::FunctionBuilderContext;
use cranelift_module::{FuncId, Linkage, Module, ModuleError, ModuleReloc, ModuleRelocTarget};
use rustc_hash::FxHashMap;

use crate::plan::kernel::Kernel;
use crate::plan::{Place, Plan};
use crate::runtime::Stages;

use choose::Dependencies;
use functions::Built;
pub(crate) use share::Sharing;
pub(crate) use wide::Isa;

/// Addresses of the functions that compiled code imports, by name.
#[derive(Debug, Default)]
pub(crate) struct Symbols(FxHashMap<String, usize>);

impl Symbols {
    fn insert(&mut self, name: String, address: *const u8) {
        self.0.insert(name, address as usize);
    }

    /// The address of a function.
    pub(crate) fn get(&self, name: &str) -> Option<*const u8> {
        self.0.get(name).map(|&a| a as *const u8)
    }
}

/// Position of a place in the table of pointers, and the byte within the memory there.
pub(crate) fn table_index(plan: &Plan, place: Place) -> (usize, usize) {
    let inputs = 1;
    let params = inputs + plan.inputs.len();
    let constants = params + plan.params.len();
    let outputs = constants + plan.constants.len();
    match place {
        Place::Arena(at) => (0, at),
        Place::Input(i) => (inputs + i, 0),
        Place::Param(i) => (params + i, 0),
        Place::Const(i) => (constants + i, 0),
        Place::Output(i) => (outputs + i, 0),
    }
}

/// Position of the first routine in the table of pointers. Each call of a routine has an entry, which leads to the description of the routine.
pub(crate) fn first_routine(plan: &Plan) -> usize {
    1 + plan.inputs.len() + plan.params.len() + plan.constants.len() + plan.outputs.len()
}

/// Position of the first packed factor in the table of pointers.
pub(crate) fn first_packed(plan: &Plan) -> usize {
    first_routine(plan) + plan.routine_calls().len()
}

/// Length of the table of pointers.
pub(crate) fn table_len(plan: &Plan) -> usize {
    first_packed(plan) + plan.packed.len()
}

/// The vectors that kernels may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vectors {
    /// Cranelift's, of 128 bits.
    Clif128,
    /// Wider ones, by the backend for them.
    Wide(Isa),
}

impl Vectors {
    /// All, the narrowest first.
    pub(crate) const ALL: [Vectors; 3] = [Vectors::Clif128, Vectors::Wide(Isa::Avx2), Vectors::Wide(Isa::Avx512)];

    /// The name by which the environment asks for them.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Vectors::Clif128 => "clif128",
            Vectors::Wide(Isa::Avx2) => "avx2",
            Vectors::Wide(Isa::Avx512) => "avx512",
        }
    }

    /// True if the target has them.
    pub(crate) fn is_supported(self, isa: &dyn TargetIsa) -> bool {
        match self {
            Vectors::Clif128 => true,
            Vectors::Wide(wide) => wide.is_supported(isa),
        }
    }
}

/// How code is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// The vectors that kernels may use; the target has them.
    pub(crate) vectors: Vectors,
    /// Which kernels are handed to several threads.
    pub(crate) sharing: Sharing,
}

/// A kernel that has been declared.
#[derive(Clone, Copy, Debug)]
struct Compiled {
    id: FuncId,
    /// An estimate of the nanoseconds that it takes on one thread.
    time: f64,
    /// If several threads may run it: the rows of the outermost loop that one of them takes at a time.
    grain: Option<usize>,
}

/// Alignment of wide kernels, in bytes: that of the constants behind their code.
const WIDE_ALIGN: u64 = 64;

/// What is told of each function that is defined.
pub(crate) trait Observer {
    /// A function is about to be compiled. The observer may ask the context for a disassembly.
    fn before(&mut self, name: &str, context: &mut Context);
    /// A function has been compiled.
    fn after(&mut self, name: &str, context: &Context);
    /// True if the text of wide kernels is wanted.
    fn wants_listing(&self) -> bool {
        false
    }
    /// True if the step is to call the [clock](crate::runtime::profile::mark) between its calls.
    fn wants_clock(&self) -> bool {
        false
    }
    /// A kernel has been compiled for vectors of so many bits, without Cranelift.
    fn wide(&mut self, name: &str, bits: u32, listing: &str, bytes: usize);
}

/// Defines all functions of the plan in `module` and returns the step function.
///
/// Functions that must be found when the module is linked are put in `symbols`. Cranelift's functions are compiled on up to `threads` threads; `hasty` is
/// the module's target with settings that compile fast, for a function that is hardly worth better ones.
pub(crate) fn define(
    plan: &Plan,
    module: &mut dyn Module,
    symbols: &mut Symbols,
    (settings, threads, hasty): (Settings, usize, &dyn TargetIsa),
    stages: &mut Stages,
    observer: &mut dyn Observer,
) -> Result<FuncId, Box<ModuleError>> {
    let mut functions: Vec<Built> = Vec::new();
    let mut builder = FunctionBuilderContext::new();
    let pointer = module.target_config().pointer_type();
    let mut signature = Signature::new(module.isa().default_call_conv());
    signature.params.push(AbiParam::new(pointer));
    let mut defined: FxHashMap<&Kernel, Compiled> = FxHashMap::default();
    let mut nested: FxHashMap<*const Plan, FuncId> = FxHashMap::default();
    // Nested plans come behind the plans that they are in, and one may be in several.
    let mut plans: Vec<&Plan> = Vec::new();
    for plan in plan.all().into_iter().rev() {
        if !plans.iter().any(|&p| std::ptr::eq(p, plan)) {
            plans.push(plan);
        }
    }
    let mut tables = step::Tables::default();
    let (mut step, mut strips) = (None, 0);
    for (number, &part) in plans.iter().rev().enumerate().rev() {
        let mut kernels = Vec::with_capacity(part.kernels.len());
        for kernel in &part.kernels {
            let compiled = match defined.get(kernel) {
                Some(&compiled) => compiled,
                None => {
                    let name = format!("kernel_{}", defined.len());
                    let builder = (&mut functions, &mut builder);
                    // Trips of loops may be many.
                    let hasty = number == 0 && kernel.row_count() * kernel.inner_count() == 1;
                    let compiled = define_kernel(kernel, (&name, hasty), builder, module, symbols, settings, observer)?;
                    defined.insert(kernel, compiled);
                    compiled
                }
            };
            kernels.push(compiled);
        }
        let (name, linkage) = match number {
            0 => ("step".to_owned(), Linkage::Export),
            n => (format!("trip_{n}"), Linkage::Local),
        };
        let id = module.declare_function(&name, linkage, &signature).map_err(Box::new)?;
        let mut around = step::Surroundings {
            plan: part,
            packed: first_packed(part),
            kernels: &kernels,
            sharing: settings.sharing,
            nested: &nested,
            strips: Vec::new(),
            tables: &mut tables,
            module: &mut *module,
            symbols: &mut *symbols,
        };
        for strip in &part.strips {
            let signature = step::strip_signature(around.module);
            let name = format!("strip_{strips}");
            strips += 1;
            let id = around.module.declare_function(&name, Linkage::Local, &signature).map_err(Box::new)?;
            let mut context = around.module.make_context();
            context.func.signature = signature;
            step::build_strip(&mut around, &name, strip, (&mut context.func, &mut builder))?;
            around.strips.push(id);
            functions.push(Built { id, name, context, hasty: true });
        }
        let mut context = around.module.make_context();
        context.func.signature = signature.clone();
        step::build(&mut around, &name, number == 0 && observer.wants_clock(), (&mut context.func, &mut builder))?;
        functions.push(Built { id, name, context, hasty: number == 0 });
        nested.insert(std::ptr::from_ref(part), id);
        step = Some(id);
    }
    stages.lap("build");
    functions::define(functions, (threads, hasty), module, observer)?;
    stages.lap("compile");
    Ok(step.expect("the plan itself is the last"))
}

/// Defines the function of a kernel, if there is wide code for it, or builds it for Cranelift, which may compile it hastily.
fn define_kernel(
    kernel: &Kernel,
    (name, hasty): (&str, bool),
    (functions, builder): (&mut Vec<Built>, &mut FunctionBuilderContext),
    module: &mut dyn Module,
    symbols: &mut Symbols,
    settings: Settings,
    observer: &mut dyn Observer,
) -> Result<Compiled, Box<ModuleError>> {
    let pointer = module.target_config().pointer_type();
    let mut signature = Signature::new(module.isa().default_call_conv());
    signature.params.extend([AbiParam::new(pointer), AbiParam::new(types::I64), AbiParam::new(types::I64)]);
    let id = module.declare_function(name, Linkage::Local, &signature).map_err(Box::new)?;
    let dependencies = Dependencies::of(kernel);
    if let Vectors::Wide(isa) = settings.vectors {
        let choice = choose::choose(kernel, &dependencies, isa.vector_bits());
        if let Some(code) = wide::compile(kernel, &dependencies, choice, isa, observer.wants_listing()) {
            let relocations = relocations(&code, module, symbols)?;
            module.define_function_bytes(id, WIDE_ALIGN, &code.bytes, &relocations).map_err(Box::new)?;
            observer.wide(name, isa.vector_bits(), &code.listing, code.bytes.len());
            return Ok(Compiled {
                id,
                time: share::time(choice),
                grain: share::grain(kernel, choice, settings.sharing),
            });
        }
    }
    let choice = choose::choose(kernel, &dependencies, choose::VECTOR_BITS);
    let mut context = module.make_context();
    context.func.signature = signature;
    kernel::build(kernel, &dependencies, choice.vector, &mut context.func, builder, module, symbols);
    functions.push(Built { id, name: name.to_owned(), context, hasty });
    Ok(Compiled { id, time: share::time(choice), grain: share::grain(kernel, choice, settings.sharing) })
}

/// The addresses that wide code waits for, its functions declared.
fn relocations(
    code: &wide::WideCode,
    module: &mut dyn Module,
    symbols: &mut Symbols,
) -> Result<Vec<ModuleReloc>, Box<ModuleError>> {
    let calls = code.calls.iter().map(|(at, function)| {
        let name = lanes::symbol(function.name, function.bits);
        let signature = lanes::signature(module, function.arity, function.bits);
        let id = module.declare_function(&name, Linkage::Import, &signature).map_err(Box::new)?;
        symbols.insert(name, function.address as *const u8);
        Ok(ModuleReloc { offset: *at as u32, kind: Reloc::Abs8, name: ModuleRelocTarget::from(id), addend: 0 })
    });
    calls.collect()
}
