//! Code generation: from a plan to functions of native code, for any [`Module`].
//!
//! ```text
//!   Plan --kernel--> one function for each different kernel, over a range of its outermost loop
//!        --step--->  one function `step(table)` that calls them, the products and the routines in order
//!        --nested->  a function like it for each nested plan, called once a trip with a table of its own
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
mod nested;
mod step;
#[cfg(test)]
mod tests;

use cranelift_codegen::Context;
use cranelift_codegen::ir::{AbiParam, Signature, types};
use cranelift_frontend::FunctionBuilderContext;
use cranelift_module::{FuncId, Linkage, Module, ModuleError};
use rustc_hash::FxHashMap;

use crate::plan::kernel::Kernel;
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
    first_routine(plan) + plan.routine_calls().len()
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
    let mut signature = Signature::new(module.isa().default_call_conv());
    signature.params.push(AbiParam::new(pointer));
    let mut defined: FxHashMap<&Kernel, FuncId> = FxHashMap::default();
    let mut nested: FxHashMap<*const Plan, FuncId> = FxHashMap::default();
    // Nested plans come behind the plans that they are in, and one may be in several.
    let mut plans: Vec<&Plan> = Vec::new();
    for plan in plan.all().into_iter().rev() {
        if !plans.iter().any(|&p| std::ptr::eq(p, plan)) {
            plans.push(plan);
        }
    }
    let mut tables = step::Tables::default();
    let mut step = None;
    for (number, &part) in plans.iter().rev().enumerate().rev() {
        let mut kernels = Vec::with_capacity(part.kernels.len());
        for kernel in &part.kernels {
            let id = match defined.get(kernel) {
                Some(&id) => id,
                None => {
                    let name = format!("kernel_{}", defined.len());
                    let mut signature = Signature::new(module.isa().default_call_conv());
                    signature.params.extend([
                        AbiParam::new(pointer),
                        AbiParam::new(types::I64),
                        AbiParam::new(types::I64),
                    ]);
                    let id = module.declare_function(&name, Linkage::Local, &signature).map_err(Box::new)?;
                    context.func.signature = signature;
                    kernel::build(kernel, &mut context.func, &mut builder, module, symbols);
                    finish(id, &name, &mut context, module, observer)?;
                    defined.insert(kernel, id);
                    id
                }
            };
            kernels.push(id);
        }
        let (name, linkage) = match number {
            0 => ("step".to_owned(), Linkage::Export),
            n => (format!("trip_{n}"), Linkage::Local),
        };
        let id = module.declare_function(&name, linkage, &signature).map_err(Box::new)?;
        context.func.signature = signature.clone();
        step::build(part, &kernels, &nested, &mut tables, (&mut context.func, &mut builder), module, symbols)?;
        finish(id, &name, &mut context, module, observer)?;
        nested.insert(std::ptr::from_ref(part), id);
        step = Some(id);
    }
    Ok(step.expect("the plan itself is the last"))
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
