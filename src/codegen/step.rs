//! The step: one function that runs all kernels, products and routines of a plan in order. A strip has a function of its own, which does one piece.

use std::ops::Range;
use std::sync::Arc;

use cranelift_codegen::ir::{
    AbiParam, FuncRef, Function, GlobalValue, InstBuilder, MemFlagsData, Signature, StackSlot, StackSlotData,
    StackSlotKind,
};
use cranelift_codegen::ir::{Value as Clif, types};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_module::{DataDescription, DataId, FuncId, Linkage, Module, ModuleError};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::graph::DType;
use crate::plan::kernel::{Access, Kernel};
use crate::plan::nested::Nested;
use crate::plan::strip::{Cut, Family, Strip};
use crate::plan::{Action, Alpha, Buffer, BufferId, KernelId, Plan, Product};
use crate::runtime::{gemm, profile, routine, team};

use super::Compiled;
use super::loops::counting;
use super::share::{self, Sharing};
use super::{Symbols, first_packed, first_routine, table_index};

pub(super) struct Step<'a, 'f> {
    pub(super) plan: &'a Plan,
    pub(super) b: FunctionBuilder<'f>,
    table: Clif,
    /// The pointers that a kernel or a routine is given; in a function that has a list of them, those of several calls.
    slots: StackSlot,
    arguments: Option<Arguments>,
    /// The arena's pointer, once it has been loaded.
    arena: Option<Clif>,
    /// In the function of a strip, the piece that is worked on.
    piece: Option<Piece>,
    imported: FxHashMap<FuncId, FuncRef>,
}

/// The piece that the function of a strip works on.
#[derive(Clone, Copy)]
struct Piece {
    /// From the arena to the thread's own part of it, in bytes.
    shadow: Clif,
    number: Clif,
}

/// The pointers that kernels and routines are given, call by call. They are looked up in a list, many at a time, since code for each of them would be most
/// of the function, and compiling it takes far longer than the list.
struct Arguments {
    /// For each pointer, the byte of its entry in the table and the byte within the memory there.
    list: GlobalValue,
    /// Where the pointers of each call end in the list.
    ends: Vec<usize>,
    /// The next call.
    next: usize,
    /// Those that are in the frame.
    there: Range<usize>,
}

/// So many pointers are looked up at a time, if a call does not have more.
const ARGUMENTS: usize = 512;

/// What the functions of a plan call, and where they are defined.
pub(super) struct Surroundings<'a> {
    pub(super) plan: &'a Plan,
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
    step.list_arguments(cx, name)?;
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
            Action::Kernel { kernel, args } => step.kernel(cx, *kernel, args),
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

/// Builds the function of a strip, which does one piece: `(table, shadow, piece)`.
pub(super) fn build_strip(
    cx: &mut Surroundings<'_>,
    strip: &Strip,
    (function, context): (&mut Function, &mut FunctionBuilderContext),
) -> Result<(), Box<ModuleError>> {
    let mut step = Step::begin(cx.plan, function, context, true);
    for (s, &cut) in cx.plan.steps[strip.steps.clone()].iter().zip(&strip.cuts) {
        match (&s.action, cut) {
            (Action::Kernel { kernel, args }, Cut::Rows) => step.kernel(cx, *kernel, args),
            (Action::Product(product), Cut::Axis(family)) => step.product(cx, product, Some(family))?,
            _ => panic!("strips are of kernels, by rows, and of products, by axes"),
        }
    }
    step.finish(cx)
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
fn define_words(name: &str, words: &[usize], module: &mut dyn Module) -> Result<DataId, Box<ModuleError>> {
    let id = module.declare_data(name, Linkage::Local, false, false).map_err(Box::new)?;
    let mut data = DataDescription::new();
    data.set_align(align_of::<usize>() as u64);
    data.define(words.iter().flat_map(|w| w.to_ne_bytes()).collect());
    module.define_data(id, &data).map_err(Box::new)?;
    Ok(id)
}

/// The buffers whose addresses are handed over as pointers, one behind the other, by what a step does.
fn arguments(action: &Action) -> Option<SmallVec<[BufferId; 8]>> {
    match action {
        Action::Kernel { args, .. } => Some(SmallVec::from_slice(args)),
        Action::Routine(call) => Some(call.buffers().collect()),
        Action::Product(_) | Action::Loop(_) => None,
    }
}

/// The [`arguments`] of each kernel and routine that is in no strip.
fn own_arguments(plan: &Plan) -> impl Iterator<Item = SmallVec<[BufferId; 8]>> + '_ {
    let mut strips = plan.strips.iter().peekable();
    let own = plan.steps.iter().enumerate().filter(move |(i, _)| {
        strips.next_if(|strip| strip.steps.end <= *i);
        strips.peek().is_none_or(|strip| !strip.steps.contains(i))
    });
    own.filter_map(|(_, step)| arguments(&step.action))
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
        let most = plan.steps.iter().filter_map(|s| arguments(&s.action)).map(|a| a.len()).max().unwrap_or(0);
        let room = if of_strip { most } else { most.max(ARGUMENTS).min(own_arguments(plan).map(|a| a.len()).sum()) };
        let slots = b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, room as u32 * 8, 3));
        let piece = of_strip.then(|| Piece { shadow: params[1], number: params[2] });
        let imported = FxHashMap::default();
        Step { plan, b, table: params[0], slots, arguments: None, arena: None, piece, imported }
    }

    /// Defines the list of all pointers that the plan's own kernels and routines are given.
    fn list_arguments(&mut self, cx: &mut Surroundings<'_>, name: &str) -> Result<(), Box<ModuleError>> {
        let mut words: Vec<usize> = Vec::new();
        let mut ends: Vec<usize> = Vec::new();
        for buffers in own_arguments(self.plan) {
            for buffer in buffers {
                let (entry, bytes) = table_index(self.plan, self.plan.buffer(buffer).place);
                words.extend([entry * 8, bytes]);
            }
            ends.push(words.len() / 2);
        }
        if !ends.is_empty() {
            let id = define_words(&format!("{name}_arguments"), &words, cx.module)?;
            let list = cx.module.declare_data_in_func(id, self.b.func);
            self.arguments = Some(Arguments { list, ends, next: 0, there: 0..0 });
        }
        Ok(())
    }

    /// The address of the pointers of the next call in the list. They are put in the frame, with those of as many calls after it as there is room for, unless
    /// they are there.
    fn next_arguments(&mut self) -> Clif {
        let Some(Arguments { list, ends, next, there }) = &mut self.arguments else {
            panic!("a step that calls something with pointers has a list of them");
        };
        let call = *next;
        *next += 1;
        let begin = if call == 0 { 0 } else { ends[call - 1] };
        let mut look_up = None;
        if there.end < ends[call] {
            let fit = ends[call..].partition_point(|end| end - begin <= ARGUMENTS).max(1);
            *there = begin..ends[call + fit - 1];
            look_up = Some((*list, there.clone()));
        }
        let offset = (begin - there.start) as i32 * 8;
        if let Some((list, range)) = look_up {
            self.look_up(list, range);
        }
        self.b.ins().stack_addr(types::I64, self.slots, offset)
    }

    /// Emits the loop that puts a part of the list of pointers in the frame.
    fn look_up(&mut self, list: GlobalValue, range: Range<usize>) {
        let list = self.b.ins().symbol_value(types::I64, list);
        let list = self.b.ins().iadd_imm_s(list, range.start as i64 * 16);
        let slots = self.b.ins().stack_addr(types::I64, self.slots, 0);
        let (begin, end) = (self.int(0), self.int(range.len() as i64));
        let constant = MemFlagsData::trusted().with_readonly();
        counting(
            self,
            |s| &mut s.b,
            (begin, end, 1),
            true,
            |s, n| {
                let (in_list, in_slots) = (s.b.ins().ishl_imm_u(n, 4), s.b.ins().ishl_imm_u(n, 3));
                let (from, to) = (s.b.ins().iadd(list, in_list), s.b.ins().iadd(slots, in_slots));
                let entry = s.b.ins().load(types::I64, constant, from, 0);
                let bytes = s.b.ins().load(types::I64, constant, from, 8);
                let entry = s.b.ins().iadd(s.table, entry);
                let memory = s.b.ins().load(types::I64, constant, entry, 0);
                let pointer = s.b.ins().iadd(memory, bytes);
                s.b.ins().store(MemFlagsData::trusted(), pointer, to, 0);
            },
        );
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
    fn kernel(&mut self, cx: &mut Surroundings<'_>, id: KernelId, args: &[BufferId]) {
        let Compiled { id: function, grain, .. } = cx.kernels[id.index()];
        let function = self.import(cx, function);
        let kernel = self.plan.kernel(id);
        if let Some(Piece { number, .. }) = self.piece {
            let own = |slot: usize| kernel.slots[slot].access == Access::Scratch;
            let slots = self.pointers_of_piece(args.iter().enumerate().map(|(i, &b)| (b, own(i))));
            let end = self.b.ins().iadd_imm_s(number, 1);
            self.b.ins().call(function, &[slots, number, end]);
            return;
        }
        let slots = self.next_arguments();
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
        self.pointer_behind(buffer, 0)
    }

    /// Address of so many elements behind the beginning of a buffer.
    fn pointer_behind(&mut self, buffer: BufferId, elements: isize) -> Clif {
        let Buffer { place, dtype, .. } = *self.plan.buffer(buffer);
        let (entry, bytes) = table_index(self.plan, place);
        let bytes = bytes as i64 + elements as i64 * dtype.size() as i64;
        let base = match (entry, self.arena) {
            (0, Some(arena)) => arena,
            (0, None) => {
                let arena = self.entry(0);
                *self.arena.insert(arena)
            }
            _ => self.entry(entry),
        };
        if bytes == 0 { base } else { self.b.ins().iadd_imm_s(base, bytes) }
    }

    /// Address of so many elements behind the beginning of a buffer, for the piece that is worked on, if there is one: it is such that the elements of the
    /// piece lie where the whole buffer has them. Memory that is a thread's `own` lies in its shadow.
    fn pointer_of_piece(&mut self, buffer: BufferId, elements: isize, own: bool) -> Clif {
        let pointer = self.pointer_behind(buffer, elements);
        let Some(Piece { shadow, number }) = self.piece else { return pointer };
        let Buffer { pieces, .. } = *self.plan.buffer(buffer);
        if pieces == 1 && !own {
            return pointer;
        }
        let pointer = self.b.ins().iadd(pointer, shadow);
        if pieces == 1 {
            return pointer;
        }
        let before = self.b.ins().imul_imm_s(number, self.plan.buffer(buffer).bytes() as i64);
        self.b.ins().isub(pointer, before)
    }

    /// Stores the addresses of buffers for the piece that is worked on, which may be a thread's own, one behind the other; returns where.
    fn pointers_of_piece(&mut self, buffers: impl Iterator<Item = (BufferId, bool)>) -> Clif {
        for (i, (buffer, own)) in buffers.enumerate() {
            let pointer = self.pointer_of_piece(buffer, 0, own);
            self.b.ins().stack_store(types::I64, pointer, self.slots, i as i32 * 8);
        }
        self.b.ins().stack_addr(types::I64, self.slots, 0)
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
        let grain = cut.is_none().then(|| share::product_grain(&table, product.dtype, cx.sharing)).flatten();
        let function = import_product(product.dtype, grain.is_some(), cx.module, cx.symbols);
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
        let size = product.dtype.size() as i64;
        let axis = cut.map(|family| family.of(&product.axes)[0]);
        let strides = [axis.map_or(0, |x| x.a), axis.map_or(0, |x| x.b), axis.map_or(0, |x| x.c)];
        let mut args = vec![self.b.ins().symbol_value(types::I64, data)];
        let packed = [None, product.packed, None];
        for ((matrix, stride), packed) in [product.a, product.b, product.c].into_iter().zip(strides).zip(packed) {
            if let Some(number) = packed {
                args.push(self.entry(first_packed(self.plan) + number));
                continue;
            }
            let pointer = self.pointer_of_piece(matrix.buffer, matrix.offset, false);
            args.push(match self.piece {
                Some(Piece { number, .. }) if stride != 0 => {
                    let moved = self.b.ins().imul_imm_s(number, stride as i64 * size);
                    self.b.ins().iadd(pointer, moved)
                }
                _ => pointer,
            });
        }
        args.push(match product.workspace {
            Some(workspace) => self.pointer_of_piece(workspace, 0, true),
            None => self.int(0),
        });
        let chunks = table.chunks();
        let numbers = match grain {
            None => [0, chunks],
            Some(grain) => [chunks, grain],
        };
        let [first, second] = numbers.map(|v| self.int(v as i64));
        args.extend([alpha, first, second]);
        self.b.ins().call(function, &args);
        Ok(())
    }
}
