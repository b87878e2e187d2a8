//! Code generation: from a plan to functions of native code, for any [`Module`].
//!
//! ```text
//!   Plan --kernel--> one function for each different kernel, over a range of its outermost loop
//!        --step--->  one function `step(table)` that calls them, the products and the routines in order
//! ```
//!
//! The table holds a pointer for each piece of memory: the arena, then the inputs, parameters, constants and outputs, in the plan's order
//! ([`table_index`]), then one for each call of a routine ([`first_routine`]). Scalar mathematics is written over the [`lanes`] of Cranelift values.

mod choose;
mod convert;
mod emit;
mod fold;
mod kernel;
mod lanes;
mod loops;
mod memory;
mod step;
#[cfg(test)]
mod tests;

use cranelift_codegen::Context;
use cranelift_codegen::ir::{AbiParam, Signature, types};
use cranelift_frontend::FunctionBuilderContext;
use cranelift_module::{FuncId, Linkage, Module, ModuleError};
use rustc_hash::FxHashMap;

use crate::plan::{Place, Plan};

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

/// Length of the table of pointers.
pub(crate) fn table_len(plan: &Plan) -> usize {
    first_routine(plan) + plan.routine_calls().count()
}

/// What is told of each function that is defined.
pub(crate) trait Observer {
    /// A function is about to be compiled. The observer may ask the context for a disassembly.
    fn before(&mut self, name: &str, context: &mut Context);
    /// A function has been compiled.
    fn after(&mut self, name: &str, context: &Context);
}

/// Defines all functions of the plan in `module` and returns the step function.
///
/// Functions that must be found when the module is linked are put in `symbols`.
pub(crate) fn define(
    plan: &Plan,
    module: &mut dyn Module,
    symbols: &mut Symbols,
    observer: &mut dyn Observer,
) -> Result<FuncId, Box<ModuleError>> {
    let mut context = module.make_context();
    let mut builder = FunctionBuilderContext::new();
    let pointer = module.target_config().pointer_type();
    let mut kernels = Vec::with_capacity(plan.kernels.len());
    for (i, kernel) in plan.kernels.iter().enumerate() {
        let name = format!("kernel_{i}");
        let mut signature = Signature::new(module.isa().default_call_conv());
        signature.params.extend([AbiParam::new(pointer), AbiParam::new(types::I64), AbiParam::new(types::I64)]);
        let id = module.declare_function(&name, Linkage::Local, &signature).map_err(Box::new)?;
        context.func.signature = signature;
        kernel::build(kernel, &mut context.func, &mut builder, module, symbols);
        finish(id, &name, &mut context, module, observer)?;
        kernels.push(id);
    }
    let mut signature = Signature::new(module.isa().default_call_conv());
    signature.params.push(AbiParam::new(pointer));
    let id = module.declare_function("step", Linkage::Export, &signature).map_err(Box::new)?;
    context.func.signature = signature;
    step::build(plan, &kernels, &mut context.func, &mut builder, module, symbols)?;
    finish(id, "step", &mut context, module, observer)?;
    Ok(id)
}

fn finish(
    id: FuncId,
    name: &str,
    context: &mut Context,
    module: &mut dyn Module,
    observer: &mut dyn Observer,
) -> Result<(), Box<ModuleError>> {
    observer.before(name, context);
    module.define_function(id, context).map_err(Box::new)?;
    observer.after(name, context);
    module.clear_context(context);
    Ok(())
}
