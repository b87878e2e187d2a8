//! Code for a target that is not the host's, down to its bytes, which nobody runs.

use std::str::FromStr;

use cranelift_codegen::Context;
use cranelift_codegen::isa::{self, OwnedTargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::default_libcall_names;
use target_lexicon::Triple;

use crate::codegen::{Isa, Observer, Settings, Sharing, Symbols, Vectors, define};
use crate::opt::{OptOptions, optimize};
use crate::plan::strip::Strips;
use crate::plan::{Plan, plan_with};
use crate::runtime::Stages;
use crate::testing::{Draw, generate};

use super::random::make;

/// Counts functions and the bytes of their code.
#[derive(Default)]
struct Count {
    functions: usize,
    bytes: usize,
}

impl Observer for Count {
    fn before(&mut self, _: &str, _: &mut Context) {}

    fn after(&mut self, name: &str, context: &Context) {
        let code = context.compiled_code().unwrap_or_else(|| panic!("{name} has been compiled"));
        self.functions += 1;
        self.bytes += code.code_buffer().len();
    }

    fn wide(&mut self, name: &str, bits: u32, _: &str, _: usize) {
        panic!("{name} is for vectors of {bits} bits");
    }
}

fn aarch64() -> OwnedTargetIsa {
    let mut flags = settings::builder();
    for (name, value) in [("opt_level", "speed"), ("is_pic", "false")] {
        flags.set(name, value).expect("Cranelift has the setting");
    }
    let triple = Triple::from_str("aarch64-unknown-linux-gnu").expect("a target");
    let builder = isa::lookup(triple).expect("Cranelift has the target");
    builder.finish(settings::Flags::new(flags)).expect("the settings fit")
}

/// Compiles all functions of a plan.
fn compile(plan: &Plan, isa: &OwnedTargetIsa, count: &mut Count) {
    let mut module = JITModule::new(JITBuilder::with_isa(isa.clone(), default_libcall_names()));
    let (settings, mut symbols) =
        (Settings { vectors: Vectors::Clif128, sharing: Sharing::WherePaid }, Symbols::default());
    let defined = define(plan, &mut module, &mut symbols, (settings, 1, &**isa), &mut Stages::default(), count);
    if let Err(error) = defined {
        panic!("{error} in\n{plan}");
    }
    // SAFETY: no function of the module is called.
    unsafe { module.free_memory() };
}

#[test]
fn random_kernels_and_programs_compile_for_aarch64() {
    let (isa, mut count) = (aarch64(), Count::default());
    assert!(!Vectors::Wide(Isa::Avx2).is_supported(&*isa) && !Vectors::Wide(Isa::Avx512).is_supported(&*isa));
    for seed in 0..300 {
        let (kernel, mut single) = make(&mut Draw::new(seed));
        crate::plan::testing::call(&mut single.plan, kernel.0, &single.args);
        compile(&single.plan, &isa, &mut count);
    }
    for seed in 0..100 {
        let graph = optimize(&generate(seed).program.graph, &OptOptions::default()).graph;
        compile(&plan_with(&graph, Strips::WhereverPossible), &isa, &mut count);
    }
    assert!(count.functions > 800 && count.bytes > 100_000, "{} functions, {} bytes", count.functions, count.bytes);
}
