//! The step: one function that runs all kernels, products and routines of a plan in order. A strip has a function of its own, which does one piece.

use std::sync::Arc;

use cranelift_codegen::ir::{AbiParam, FuncRef, Function, InstBuilder, MemFlagsData, Signature};
use cranelift_codegen::ir::{Value as Clif, types};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_module::{DataDescription, DataId, FuncId, Linkage, Module, ModuleError};
use rustc_hash::FxHashMap;

use crate::graph::DType;
use crate::plan::kernel::{Access, Kernel};
use crate::plan::nested::Nested;
use crate::plan::strip::{Cut, Family, Strip};
use crate::plan::{self, Action, Alpha, BufferId, KernelId, Plan, Product};
use crate::runtime::{gemm, profile, routine, team};

use super::Compiled;
use super::arguments::Arguments;
use super::share::{self, Sharing};
use super::{Symbols, first_routine, table_index};

pub(super) struct Step<'a, 'f> {
    pub(super) plan: &'a Plan,
    pub(super) b: FunctionBuilder<'f>,
    pub(super) table: Clif,
    /// The pointers that are handed over, if there are any.
    pub(super) arguments: Option<Arguments>,
    /// The arena's pointer, once it has been loaded.
    arena: Option<Clif>,
    /// In the function of a strip, the piece that is worked on.
    pub(super) piece: Option<Piece>,
    imported: FxHashMap<FuncId, FuncRef>,
}

/// The piece that the function of a strip works on.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    /// From the arena to the thread's own part of it, in bytes.
    pub(super) shadow: Clif,
    pub(super) number: Clif,
}

/// What the functions of a plan call, and where they are defined.
pub(super) struct Surroundings<'a> {
    pub(super) plan: &'a Plan,
    /// The entry of the first packed factor.
    pub(super) packed: usize,
    /// The functions of the plan's kernels.
    pub(super) kernels: &'a [Compiled],
    pub(super) sharing: Sharing,
    /// The functions of nested plans.
    pub(super) nested: &'a FxHashMap<*const Plan, FuncId>,
    /// The functions of the plan's strips, as far as they are declared.
    pub(super) strips: Vec<FuncId>,
    pub(super) tables: &'a mut Tables,
    pub(super) module: &'a mut dyn Module,
    pub(super) symbols: &'a mut Symbols,
}

/// Builds the step function of this name. With `clock`, it reads the clock before each call and after the last.
pub(super) fn build(
    cx: &mut Surroundings<'_>,
    name: &str,
    clock: bool,
    (function, context): (&mut Function, &mut FunctionBuilderContext),
) -> Result<(), Box<ModuleError>> {
    let plan = cx.plan;
    let mut step = Step::begin(plan, function, context, false);
    step.list_arguments(cx, name, outside_strips(plan).map(|s| (&s.action, None)))?;
    let mut next_routine = first_routine(plan);
    let mark = clock.then(|| {
        let id = import_mark(cx.module, cx.symbols);
        cx.module.declare_func_in_func(id, step.b.func)
    });
    let (mut number, mut strips) = (0, plan.strips.iter().enumerate().peekable());
    while let Some(s) = plan.steps.get(number) {
        step.mark(mark, number);
        if let Some((i, strip)) = strips.next_if(|(_, strip)| strip.steps.start == number) {
            step.strip(cx, cx.strips[i], strip.pieces, cx.is_shared(strip));
            number = strip.steps.end;
            continue;
        }
        match &s.action {
            Action::Kernel { kernel, .. } => step.kernel(cx, *kernel),
            Action::Product(product) => step.product(cx, product, None)?,
            Action::Routine(_) => {
                step.routine(cx, next_routine);
                next_routine += 1;
            }
            Action::Loop(l) => {
                let functions: Vec<FuncRef> =
                    l.nested().map(|n: &Nested| step.import(cx, cx.nested[&Arc::as_ptr(&n.plan)])).collect();
                step.repeat(l, &functions, next_routine);
                next_routine += l.nested().map(|n| n.plan.routine_calls().len()).sum::<usize>();
            }
        }
        number += 1;
    }
    step.mark(mark, plan.steps.len());
    step.finish(cx)
}

/// Builds the function of this name for a strip, which does one piece: `(table, shadow, piece)`.
pub(super) fn build_strip(
    cx: &mut Surroundings<'_>,
    name: &str,
    strip: &Strip,
    (function, context): (&mut Function, &mut FunctionBuilderContext),
) -> Result<(), Box<ModuleError>> {
    let plan = cx.plan;
    let family = |cut: Cut| match cut {
        Cut::Rows => None,
        Cut::Axis(family) => Some(family),
    };
    let actions = plan.steps[strip.steps.clone()].iter().map(|s| &s.action);
    let actions = actions.zip(strip.cuts.iter().map(|&cut| family(cut)));
    let mut step = Step::begin(plan, function, context, true);
    step.list_arguments(cx, name, actions.clone())?;
    for action in actions {
        match action {
            (Action::Kernel { kernel, .. }, None) => step.kernel(cx, *kernel),
            (Action::Product(product), Some(family)) => step.product(cx, product, Some(family))?,
            _ => panic!("strips are of kernels, by rows, and of products, by axes"),
        }
    }
    step.finish(cx)
}

/// The steps of a plan that are in no strip.
fn outside_strips(plan: &Plan) -> impl Iterator<Item = &plan::Step> {
    let mut strips = plan.strips.iter().peekable();
    let outside = plan.steps.iter().enumerate().filter(move |(i, _)| {
        strips.next_if(|strip| strip.steps.end <= *i);
        strips.peek().is_none_or(|strip| !strip.steps.contains(i))
    });
    outside.map(|(_, step)| step)
}

/// The signature of the function of a strip.
pub(super) fn strip_signature(module: &dyn Module) -> Signature {
    let mut signature = Signature::new(module.isa().default_call_conv());
    let pointer = AbiParam::new(module.target_config().pointer_type());
    signature.params.extend([pointer, AbiParam::new(types::I64), AbiParam::new(types::I64)]);
    signature
}

impl Surroundings<'_> {
    /// True if the pieces of a strip are worth several threads.
    fn is_shared(&self, strip: &Strip) -> bool {
        let time = |action: &Action| match action {
            Action::Kernel { kernel, .. } => self.kernels[kernel.index()].time,
            Action::Product(p) => gemm::Table::new(&p.axes, p.accumulate).time(p.dtype),
            Action::Routine(_) | Action::Loop(_) => 0.0,
        };
        share::is_worth(self.plan.steps[strip.steps.clone()].iter().map(|s| time(&s.action)).sum(), self.sharing)
    }
}

/// The function of the runtime that multiplies matrices of this type, on several threads if they are to share the work.
fn import_product(dtype: DType, shared: bool, module: &mut dyn Module, symbols: &mut Symbols) -> FuncId {
    let (name, address) = match (dtype, shared) {
        (DType::F64, false) => ("cotangent_gemm_f64", gemm::multiply_f64 as *const u8),
        (_, false) => ("cotangent_gemm_f32", gemm::multiply_f32 as *const u8),
        (DType::F64, true) => ("cotangent_product_f64", team::product_f64 as *const u8),
        (_, true) => ("cotangent_product_f32", team::product_f32 as *const u8),
    };
    symbols.insert(name.to_owned(), address);
    let pointer = AbiParam::new(module.target_config().pointer_type());
    let int = AbiParam::new(types::I64);
    let mut signature = Signature::new(module.isa().default_call_conv());
    signature.params.extend([pointer; 5]);
    signature.params.extend([AbiParam::new(types::F64), int, int]);
    module.declare_function(name, Linkage::Import, &signature).expect("one signature belongs to a name")
}

/// The function of the runtime that hands the rows of a kernel to several threads.
fn import_rows(module: &mut dyn Module, symbols: &mut Symbols) -> FuncId {
    let name = "cotangent_rows";
    symbols.insert(name.to_owned(), team::rows as *const u8);
    let pointer = AbiParam::new(module.target_config().pointer_type());
    let int = AbiParam::new(types::I64);
    let mut signature = Signature::new(module.isa().default_call_conv());
    signature.params.extend([pointer, pointer, int, int, int, int]);
    module.declare_function(name, Linkage::Import, &signature).expect("one signature belongs to a name")
}

/// The function of the runtime that hands the pieces of a strip to several threads.
fn import_pieces(module: &mut dyn Module, symbols: &mut Symbols) -> FuncId {
    let name = "cotangent_pieces";
    symbols.insert(name.to_owned(), team::pieces as *const u8);
    let pointer = AbiParam::new(module.target_config().pointer_type());
    let int = AbiParam::new(types::I64);
    let mut signature = Signature::new(module.isa().default_call_conv());
    signature.params.extend([pointer, pointer, int, int]);
    module.declare_function(name, Linkage::Import, &signature).expect("one signature belongs to a name")
}

/// The function of the runtime that reads the clock.
fn import_mark(module: &mut dyn Module, symbols: &mut Symbols) -> FuncId {
    let name = "cotangent_mark";
    symbols.insert(name.to_owned(), profile::mark as *const u8);
    let mut signature = Signature::new(module.isa().default_call_conv());
    signature.params.push(AbiParam::new(types::I64));
    module.declare_function(name, Linkage::Import, &signature).expect("one signature belongs to a name")
}

/// The function of the runtime that runs routines.
fn import_routine(module: &mut dyn Module, symbols: &mut Symbols) -> FuncId {
    let name = "cotangent_routine";
    symbols.insert(name.to_owned(), routine::call as *const u8);
    let pointer = AbiParam::new(module.target_config().pointer_type());
    let mut signature = Signature::new(module.isa().default_call_conv());
    signature.params.extend([pointer, pointer]);
    module.declare_function(name, Linkage::Import, &signature).expect("one signature belongs to a name")
}

/// Tables of products in the module's memory; equal ones are one.
#[derive(Default)]
pub(super) struct Tables(FxHashMap<Vec<usize>, DataId>);

impl Tables {
    fn define(&mut self, table: &gemm::Table, module: &mut dyn Module) -> Result<DataId, Box<ModuleError>> {
        let words = table.words();
        if let Some(&id) = self.0.get(&words) {
            return Ok(id);
        }
        let id = define_words(&format!("product_{}", self.0.len()), &words, module)?;
        self.0.insert(words, id);
        Ok(id)
    }
}

/// Defines words in the module's memory.
pub(super) fn define_words(name: &str, words: &[usize], module: &mut dyn Module) -> Result<DataId, Box<ModuleError>> {
    let id = module.declare_data(name, Linkage::Local, false, false).map_err(Box::new)?;
    let mut data = DataDescription::new();
    data.set_align(align_of::<usize>() as u64);
    data.define(words.iter().flat_map(|w| w.to_ne_bytes()).collect());
    module.define_data(id, &data).map_err(Box::new)?;
    Ok(id)
}

impl<'a, 'f> Step<'a, 'f> {
    /// Begins the function of a step, or of a strip.
    fn begin(
        plan: &'a Plan,
        function: &'f mut Function,
        context: &'f mut FunctionBuilderContext,
        of_strip: bool,
    ) -> Step<'a, 'f> {
        let mut b = FunctionBuilder::new(function, context);
        let entry = b.create_block();
        b.append_block_params_for_function_params(entry);
        b.switch_to_block(entry);
        let params = b.block_params(entry).to_vec();
        let piece = of_strip.then(|| Piece { shadow: params[1], number: params[2] });
        Step { plan, b, table: params[0], arguments: None, arena: None, piece, imported: FxHashMap::default() }
    }

    fn finish(mut self, cx: &Surroundings<'_>) -> Result<(), Box<ModuleError>> {
        self.b.ins().return_(&[]);
        self.b.seal_all_blocks();
        self.b.finalize(cx.module.target_config());
        Ok(())
    }

    fn import(&mut self, cx: &mut Surroundings<'_>, id: FuncId) -> FuncRef {
        *self.imported.entry(id).or_insert_with(|| cx.module.declare_func_in_func(id, self.b.func))
    }

    /// Calls a kernel: in a strip for the rows of the piece, else for all, on several threads if they are to share them.
    fn kernel(&mut self, cx: &mut Surroundings<'_>, id: KernelId) {
        let Compiled { id: function, grain, .. } = cx.kernels[id.index()];
        let function = self.import(cx, function);
        let kernel = self.plan.kernel(id);
        let slots = self.next_arguments();
        if let Some(Piece { number, .. }) = self.piece {
            let end = self.b.ins().iadd_imm_s(number, 1);
            self.b.ins().call(function, &[slots, number, end]);
            return;
        }
        match grain {
            None => {
                let rows = if kernel.rows > 0 { kernel.loops[0] } else { 1 };
                let (begin, end) = (self.int(0), self.int(rows as i64));
                self.b.ins().call(function, &[slots, begin, end]);
            }
            Some(grain) => {
                let share = import_rows(cx.module, cx.symbols);
                let share = self.import(cx, share);
                self.shared(kernel, function, share, slots, grain);
            }
        }
    }

    /// Calls the function that hands the pieces of a strip to the threads of the run, if it is worth that.
    fn strip(&mut self, cx: &mut Surroundings<'_>, function: FuncId, pieces: usize, shared: bool) {
        let (function, share) = (self.import(cx, function), import_pieces(cx.module, cx.symbols));
        let share = self.import(cx, share);
        let address = self.b.ins().func_addr(types::I64, function);
        let [pieces, shared] = [pieces as i64, i64::from(shared)].map(|v| self.int(v));
        self.b.ins().call(share, &[address, self.table, pieces, shared]);
    }

    /// Emits the call that hands the rows of a kernel to several threads, `grain` at a time.
    fn shared(&mut self, kernel: &Kernel, function: FuncRef, share: FuncRef, slots: Clif, grain: usize) {
        let own = kernel.slots.iter().enumerate().filter(|(_, s)| s.access == Access::Scratch);
        let scratch = own.fold(0i64, |bits, (i, _)| bits | 1 << i);
        let address = self.b.ins().func_addr(types::I64, function);
        let numbers = [kernel.slots.len() as i64, scratch, kernel.loops[0] as i64, grain as i64].map(|v| self.int(v));
        let [count, scratch, rows, grain] = numbers;
        self.b.ins().call(share, &[address, slots, count, scratch, rows, grain]);
    }

    /// Calls the clock, if there is one, before call number `next`.
    fn mark(&mut self, clock: Option<FuncRef>, next: usize) {
        if let Some(clock) = clock {
            let next = self.int(next as i64);
            self.b.ins().call(clock, &[next]);
        }
    }

    pub(super) fn int(&mut self, v: i64) -> Clif {
        self.b.ins().iconst(types::I64, v)
    }

    /// An entry of the table, which does not change during a step.
    pub(super) fn entry(&mut self, entry: usize) -> Clif {
        let flags = MemFlagsData::trusted().with_readonly();
        self.b.ins().load(types::I64, flags, self.table, (entry * 8) as i32)
    }

    /// Address of a buffer. The arena's pointer is kept; many others at once would only be spilled, and allocating registers to all of them takes more
    /// than linear time.
    pub(super) fn pointer(&mut self, buffer: BufferId) -> Clif {
        let (entry, bytes) = table_index(self.plan, self.plan.buffer(buffer).place);
        let base = match (entry, self.arena) {
            (0, Some(arena)) => arena,
            (0, None) => {
                let arena = self.entry(0);
                *self.arena.insert(arena)
            }
            _ => self.entry(entry),
        };
        if bytes == 0 { base } else { self.b.ins().iadd_imm_s(base, bytes as i64) }
    }

    /// Calls the routine that entry number `entry` of the table describes.
    fn routine(&mut self, cx: &mut Surroundings<'_>, entry: usize) {
        let function = import_routine(cx.module, cx.symbols);
        let function = self.import(cx, function);
        let pointers = self.next_arguments();
        let description = self.entry(entry);
        self.b.ins().call(function, &[description, pointers]);
    }

    /// Computes a product, on several threads if they are to share it; or the piece of a strip, which is cut along the first axis of a family.
    fn product(
        &mut self,
        cx: &mut Surroundings<'_>,
        product: &Product,
        cut: Option<Family>,
    ) -> Result<(), Box<ModuleError>> {
        let axes = cut.map_or_else(|| product.axes.clone(), |family| product.piece(family, 0).axes);
        let table = product.table(&axes);
        let least = cut.is_none().then(|| share::least_chunks(&table, product.dtype, cx.sharing)).flatten();
        let function = import_product(product.dtype, least.is_some(), cx.module, cx.symbols);
        let function = self.import(cx, function);
        let data = cx.tables.define(&table, cx.module)?;
        let data = cx.module.declare_data_in_func(data, self.b.func);
        let alpha = match product.alpha {
            Alpha::Const(v) => self.b.ins().f64const(v),
            Alpha::Buffer { buffer, sign } => {
                let at = self.pointer(buffer);
                let flags = MemFlagsData::trusted();
                let v = if product.dtype == DType::F64 {
                    self.b.ins().load(types::F64, flags, at, 0)
                } else {
                    let v = self.b.ins().load(types::F32, flags, at, 0);
                    self.b.ins().fpromote(types::F64, v)
                };
                if sign < 0.0 { self.b.ins().fneg(v) } else { v }
            }
        };
        let pointers = self.next_arguments();
        let mut args = vec![self.b.ins().symbol_value(types::I64, data)];
        for i in 0..3 + i32::from(product.workspace.is_some()) {
            args.push(self.b.ins().load(types::I64, MemFlagsData::trusted(), pointers, i * 8));
        }
        if product.workspace.is_none() {
            args.push(self.int(0));
        }
        let chunks = table.chunks();
        let numbers = match least {
            None => [0, chunks],
            Some(least) => [chunks, least],
        };
        let [first, second] = numbers.map(|v| self.int(v as i64));
        args.extend([alpha, first, second]);
        self.b.ins().call(function, &args);
        Ok(())
    }
}
