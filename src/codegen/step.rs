//! The step: one function that runs all kernels, products and routines of a plan in order.

use std::sync::Arc;

use cranelift_codegen::ir::{
    AbiParam, FuncRef, Function, GlobalValue, InstBuilder, MemFlagsData, Signature, StackSlot, StackSlotData,
    StackSlotKind,
};
use cranelift_codegen::ir::{Value as Clif, types};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_module::{DataDescription, DataId, FuncId, Linkage, Module, ModuleError};
use rustc_hash::FxHashMap;

use crate::graph::DType;
use crate::plan::kernel::{Access, Kernel};
use crate::plan::nested::Nested;
use crate::plan::{Action, Alpha, BufferId, Plan, Product, RoutineCall};
use crate::runtime::{gemm, profile, routine, team};

use super::Compiled;
use super::share::{self, Sharing};
use super::{Symbols, first_routine, table_index};

pub(super) struct Step<'a, 'f> {
    pub(super) plan: &'a Plan,
    pub(super) b: FunctionBuilder<'f>,
    table: Clif,
    /// The pointers that a kernel or a routine is given.
    slots: StackSlot,
    /// The arena's pointer, once it has been loaded.
    arena: Option<Clif>,
}

/// Builds the step function. `kernels` and `nested` are the functions of the plan's kernels and of nested plans; with `clock`, it reads the clock before
/// each call and after the last.
pub(super) fn build(
    plan: &Plan,
    (kernels, sharing, clock): (&[Compiled], Sharing, bool),
    nested: &FxHashMap<*const Plan, FuncId>,
    tables: &mut Tables,
    (function, context): (&mut Function, &mut FunctionBuilderContext),
    module: &mut dyn Module,
    symbols: &mut Symbols,
) -> Result<(), Box<ModuleError>> {
    let mut b = FunctionBuilder::new(function, context);
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    let table = b.block_params(entry)[0];
    let of_kernels = plan.kernels.iter().map(|k| k.slots.len()).max().unwrap_or(0);
    let most = plan.routine_calls().iter().map(|c| c.buffers().count()).max().unwrap_or(0).max(of_kernels);
    let slots = b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, most as u32 * 8, 3));
    let mut step = Step { plan, b, table, slots, arena: None };
    let mut imported: FxHashMap<FuncId, FuncRef> = FxHashMap::default();
    let mut next_routine = first_routine(plan);
    let mark = clock.then(|| {
        let id = import_mark(module, symbols);
        module.declare_func_in_func(id, step.b.func)
    });
    for (number, s) in plan.steps.iter().enumerate() {
        step.mark(mark, number);
        match &s.action {
            Action::Kernel { kernel, args } => {
                let Compiled { id, grain } = kernels[kernel.index()];
                let function = *imported.entry(id).or_insert_with(|| module.declare_func_in_func(id, step.b.func));
                let slots = step.pointers(args.iter().copied());
                let kernel = plan.kernel(*kernel);
                let rows = if kernel.rows > 0 { kernel.loops[0] } else { 1 };
                match grain {
                    None => {
                        let (begin, end) = (step.int(0), step.int(rows as i64));
                        step.b.ins().call(function, &[slots, begin, end]);
                    }
                    Some(grain) => {
                        let id = import_rows(module, symbols);
                        let share = *imported.entry(id).or_insert_with(|| module.declare_func_in_func(id, step.b.func));
                        step.shared(kernel, function, share, slots, grain);
                    }
                }
            }
            Action::Product(product) => {
                let table = gemm::Table::new(&product.axes, product.accumulate);
                let grain = share::product_grain(&table, product.dtype, sharing);
                let id = import_product(product.dtype, grain.is_some(), module, symbols);
                let function = *imported.entry(id).or_insert_with(|| module.declare_func_in_func(id, step.b.func));
                let data = tables.define(&table, module)?;
                let data = module.declare_data_in_func(data, step.b.func);
                step.product(product, (table.chunks(), grain), data, function);
            }
            Action::Routine(call) => {
                let id = import_routine(module, symbols);
                let function = *imported.entry(id).or_insert_with(|| module.declare_func_in_func(id, step.b.func));
                step.routine(call, next_routine, function);
                next_routine += 1;
            }
            Action::Loop(l) => {
                let mut function = |n: &Nested| {
                    let id = nested[&Arc::as_ptr(&n.plan)];
                    *imported.entry(id).or_insert_with(|| module.declare_func_in_func(id, step.b.func))
                };
                let functions: Vec<FuncRef> = l.nested().map(&mut function).collect();
                step.repeat(l, &functions, next_routine);
                next_routine += l.nested().map(|n| n.plan.routine_calls().len()).sum::<usize>();
            }
        }
    }
    step.mark(mark, plan.steps.len());
    step.b.ins().return_(&[]);
    step.b.seal_all_blocks();
    step.b.finalize(module.target_config());
    Ok(())
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
        let name = format!("product_{}", self.0.len());
        let id = module.declare_data(&name, Linkage::Local, false, false).map_err(Box::new)?;
        let mut data = DataDescription::new();
        data.set_align(align_of::<usize>() as u64);
        data.define(words.iter().flat_map(|w| w.to_ne_bytes()).collect());
        module.define_data(id, &data).map_err(Box::new)?;
        self.0.insert(words, id);
        Ok(id)
    }
}

impl Step<'_, '_> {
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

    /// Stores the addresses of buffers one behind the other; returns where.
    fn pointers(&mut self, buffers: impl Iterator<Item = BufferId>) -> Clif {
        for (i, buffer) in buffers.enumerate() {
            let pointer = self.pointer(buffer);
            self.b.ins().stack_store(types::I64, pointer, self.slots, i as i32 * 8);
        }
        self.b.ins().stack_addr(types::I64, self.slots, 0)
    }

    /// Calls the routine that entry number `entry` of the table describes.
    fn routine(&mut self, call: &RoutineCall, entry: usize, function: FuncRef) {
        let pointers = self.pointers(call.buffers());
        let description = self.entry(entry);
        self.b.ins().call(function, &[description, pointers]);
    }

    /// Calls `function` for all chunks of a product, which `table` describes; with a grain, for so many at a time on several threads.
    fn product(
        &mut self,
        product: &Product,
        (chunks, grain): (usize, Option<usize>),
        table: GlobalValue,
        function: FuncRef,
    ) {
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
        let size = product.dtype.size() as i64;
        let mut args = vec![self.b.ins().symbol_value(types::I64, table)];
        for matrix in [product.a, product.b, product.c] {
            let pointer = self.pointer(matrix.buffer);
            args.push(self.b.ins().iadd_imm_s(pointer, matrix.offset as i64 * size));
        }
        args.push(match product.workspace {
            Some(workspace) => self.pointer(workspace),
            None => self.int(0),
        });
        let numbers = match grain {
            None => [0, chunks],
            Some(grain) => [chunks, grain],
        };
        let [first, second] = numbers.map(|v| self.int(v as i64));
        args.extend([alpha, first, second]);
        self.b.ins().call(function, &args);
    }
}
