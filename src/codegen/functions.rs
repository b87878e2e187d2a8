//! Functions that have been built and wait for Cranelift: they are compiled side by side, since none needs another's code, and defined in order.

use std::sync::Mutex;

use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::isa::TargetIsa;
use cranelift_module::{FuncId, Module, ModuleError, ModuleReloc};

use super::Observer;

/// A function in Cranelift's intermediate form.
pub(super) struct Built {
    pub(super) id: FuncId,
    pub(super) name: String,
    pub(super) context: Context,
    /// True if none of its instructions runs more than a few times a run: it is compiled in less time, to code that takes more.
    pub(super) hasty: bool,
}

/// From so many functions on, starting a thread for each processor is paid back.
const WORTH: usize = 3;

/// Compiles all functions, on up to `threads` threads, and defines them in the module. `hasty` is the module's target with settings that compile fast.
pub(super) fn define(
    mut functions: Vec<Built>,
    (threads, hasty): (usize, &dyn TargetIsa),
    module: &mut dyn Module,
    observer: &mut dyn Observer,
) -> Result<(), Box<ModuleError>> {
    for function in &mut functions {
        observer.before(&function.name, &mut function.context);
    }
    let threads = if functions.len() < WORTH { 1 } else { threads.min(functions.len()) };
    compile(&mut functions, threads, [module.isa(), hasty])?;
    for Built { id, name, context, .. } in &functions {
        let code = context.compiled_code().expect("the function has been compiled");
        let isa = module.isa();
        let smallest = u64::from(isa.function_alignment().minimum).max(isa.symbol_alignment());
        let alignment = u64::from(code.buffer.alignment).max(smallest);
        let relocations: Vec<ModuleReloc> =
            code.buffer.relocs().iter().map(|r| ModuleReloc::from_mach_reloc(r, &context.func, *id)).collect();
        module.define_function_bytes(*id, alignment, code.code_buffer(), &relocations).map_err(Box::new)?;
        observer.after(name, context);
    }
    Ok(())
}

/// Compiles all functions. The threads take one after the other, so long ones do not hold up the rest; the last ones, which are the longest, go first.
fn compile(functions: &mut [Built], threads: usize, [isa, hasty]: [&dyn TargetIsa; 2]) -> Result<(), Box<ModuleError>> {
    let waiting = Mutex::new(functions.iter_mut().rev());
    let failed = Mutex::new(None);
    let next = || waiting.lock().expect("nobody panics while taking a function").next();
    let work = || {
        while let Some(function) = next() {
            let isa = if function.hasty { hasty } else { isa };
            if let Err(error) = function.context.compile(isa, &mut ControlPlane::default()) {
                *failed.lock().expect("nobody panics while failing") = Some(Box::new(ModuleError::from(error)));
            }
        }
    };
    std::thread::scope(|scope| {
        (1..threads).for_each(|_| drop(scope.spawn(work)));
        work();
    });
    failed.into_inner().expect("nobody panics while failing").map_or(Ok(()), Err)
}
