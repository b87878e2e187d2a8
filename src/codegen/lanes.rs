//! Lanes made of Cranelift values: one lane, or a 128-bit vector of them.
//!
//! A single lane of truth values is an `i8` of 0 or 1. In vectors a truth value is a lane of integers as wide as the floats, all ones or all zeros, which
//! is what comparisons give and what `bitselect` takes.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{AbiParam, Endianness, FuncRef, InstBuilder, MemFlagsData, Signature, Type, Value, types};
use cranelift_frontend::FunctionBuilder;
use cranelift_module::{Linkage, Module};
use rustc_hash::FxHashMap;

use crate::scalar::{Lanes, Slow, Slow2};

use super::Symbols;

/// What the emission of lanes needs to know of the world outside of the function: how to call others.
pub(super) struct Calls<'a> {
    pub(super) module: &'a mut dyn Module,
    pub(super) symbols: &'a mut Symbols,
    /// Functions imported into the function under construction.
    imported: FxHashMap<(&'static str, u32), FuncRef>,
}

impl<'a> Calls<'a> {
    pub(super) fn new(module: &'a mut dyn Module, symbols: &'a mut Symbols) -> Calls<'a> {
        Calls { module, symbols, imported: FxHashMap::default() }
    }

    /// A function of some floats of `bits` bits to one of them, imported from this program.
    fn import(
        &mut self,
        b: &mut FunctionBuilder<'_>,
        name: &'static str,
        bits: u32,
        (arity, address): (usize, *const u8),
    ) -> FuncRef {
        *self.imported.entry((name, bits)).or_insert_with(|| {
            let name = symbol(name, bits);
            let signature = signature(self.module, arity, bits);
            let id = self
                .module
                .declare_function(&name, Linkage::Import, &signature)
                .expect("one signature belongs to a name");
            self.symbols.insert(name, address);
            self.module.declare_func_in_func(id, b.func)
        })
    }
}

/// The name by which a function of floats of `bits` bits is imported.
pub(super) fn symbol(name: &str, bits: u32) -> String {
    format!("cotangent_{name}_f{bits}")
}

/// The signature of a function of `arity` floats of `bits` bits to one.
pub(super) fn signature(module: &dyn Module, arity: usize, bits: u32) -> Signature {
    let ty = if bits == 32 { types::F32 } else { types::F64 };
    let mut signature = Signature::new(module.isa().default_call_conv());
    signature.params.resize(arity, AbiParam::new(ty));
    signature.returns.push(AbiParam::new(ty));
    signature
}

/// A group of `count` lanes of `bits` bits in the function that `b` builds. `count` is 1, or fills 128 bits.
pub(super) struct Clif<'c, 'f, 'm> {
    pub(super) b: &'c mut FunctionBuilder<'f>,
    pub(super) calls: &'c mut Calls<'m>,
    pub(super) bits: u32,
    pub(super) count: u32,
}

/// Flags of a cast between vectors of other lanes.
pub(super) const REINTERPRET: MemFlagsData = MemFlagsData::new().with_endianness(Endianness::Little);

impl Clif<'_, '_, '_> {
    fn wide(&self) -> bool {
        self.count > 1
    }

    fn float(&self) -> Type {
        if self.bits == 32 { types::F32 } else { types::F64 }
    }

    fn int(&self) -> Type {
        if self.bits == 32 { types::I32 } else { types::I64 }
    }

    fn of(&self, lane: Type) -> Type {
        if self.wide() { lane.by(self.count).expect("128 bits of lanes are a vector type") } else { lane }
    }

    fn f(&self) -> Type {
        self.of(self.float())
    }

    fn i(&self) -> Type {
        self.of(self.int())
    }

    /// All lanes set to the low `self.bits` bits of `v`.
    fn constant(&mut self, ty: Type, v: u64) -> Value {
        let mut bytes = Vec::with_capacity(16);
        for _ in 0..self.count {
            bytes.extend_from_slice(&v.to_le_bytes()[..self.bits as usize / 8]);
        }
        let handle = self.b.func.dfg.constants.insert(bytes.into());
        self.b.ins().vconst(ty, handle)
    }

    fn fcmp(&mut self, cc: FloatCC, a: Value, b: Value) -> Value {
        self.b.ins().fcmp(cc, a, b)
    }

    fn select(&mut self, ty: Type, m: Value, a: Value, b: Value) -> Value {
        if self.wide() {
            let m = self.reinterpret(ty, m);
            self.b.ins().bitselect(m, a, b)
        } else {
            self.b.ins().select(m, a, b)
        }
    }

    fn reinterpret(&mut self, ty: Type, v: Value) -> Value {
        if self.b.func.dfg.value_type(v) == ty {
            return v;
        }
        self.b.ins().bitcast(ty, MemFlagsData::new(), v)
    }

    /// `f` of each lane of the operands, which are lanes of any one type; results of type `lane`.
    fn each(&mut self, lane: Type, operands: &[Value], mut f: impl FnMut(&mut Self, &[Value]) -> Value) -> Value {
        if !self.wide() {
            return f(self, operands);
        }
        let mut result = None;
        for l in 0..self.count as u8 {
            let single: smallvec::SmallVec<[Value; 2]> =
                operands.iter().map(|&v| self.b.ins().extractlane(v, l)).collect();
            let value = f(self, &single);
            result = Some(match result {
                None => {
                    let ty = self.of(lane);
                    self.b.ins().scalar_to_vector(ty, value)
                }
                Some(vector) => self.b.ins().insertlane(vector, value, l),
            });
        }
        result.expect("there is a lane")
    }

    /// `a` without its fraction as an integer of 32 bits from 0 to 255, the nearest if it is out of range; 0 for NaN.
    pub(super) fn f_to_u8(&mut self, a: Value) -> Value {
        if self.bits == 64 {
            let wide = self.f_to_i(a);
            let held = self.held_to_u8(wide);
            return self.b.ins().ireduce(types::I32, held);
        }
        let int = self.f_to_i(a);
        self.held_to_u8(int)
    }

    fn held_to_u8(&mut self, v: Value) -> Value {
        let (zero, most) = (self.iconst(0), self.iconst(u8::MAX.into()));
        let below = self.ilt(v, zero);
        let v = self.iselect(below, zero, v);
        let above = self.ilt(most, v);
        self.iselect(above, most, v)
    }

    /// The bits of integers that `mask` has.
    pub(super) fn wrap(&mut self, v: Value, mask: i64) -> Value {
        let mask = self.iconst(mask);
        self.iand(v, mask)
    }

    /// The function at `address` where `rare` holds, elsewhere `fast`; it is called only if `rare` holds anywhere.
    fn call_where(
        &mut self,
        rare: Value,
        name: &'static str,
        address: *const u8,
        args: &[Value],
        fast: Value,
    ) -> Value {
        let any = if self.wide() { self.b.ins().vany_true(rare) } else { rare };
        let (call, done) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(call);
        self.b.append_block_param(done, self.f());
        self.b.ins().brif(any, call, &[], done, &[fast.into()]);

        self.b.switch_to_block(call);
        let function = self.calls.import(self.b, name, self.bits, (args.len(), address));
        let values = self.each(self.float(), args, |c, x| {
            let call = c.b.ins().call(function, x);
            c.b.inst_results(call)[0]
        });
        let values = self.fselect(rare, values, fast);
        self.b.ins().jump(done, &[values.into()]);

        self.b.switch_to_block(done);
        self.b.block_params(done)[0]
    }

    /// Quotient or remainder of single unsigned integers, with a divisor for which the machine does not trap.
    fn divide_unsigned(&mut self, a: Value, b: Value, remainder: bool) -> Value {
        let ty = self.int();
        let (zero, one) = (self.b.ins().iconst(ty, 0), self.b.ins().iconst(ty, 1));
        let by_zero = self.b.ins().icmp_imm_s(IntCC::Equal, b, 0);
        let safe = self.b.ins().select(by_zero, one, b);
        let (result, otherwise) =
            if remainder { (self.b.ins().urem(a, safe), a) } else { (self.b.ins().udiv(a, safe), zero) };
        self.b.ins().select(by_zero, otherwise, result)
    }

    /// Quotient or remainder of single integers, with a divisor for which the machine does not trap.
    fn divide(&mut self, a: Value, b: Value, remainder: bool) -> Value {
        let ins = |c: &mut Self, v: i64| {
            let ty = c.int();
            c.b.ins().iconst(ty, v & if c.bits == 32 { 0xffff_ffff } else { -1 })
        };
        let (zero, one) = (ins(self, 0), ins(self, 1));
        let by_zero = self.b.ins().icmp_imm_s(IntCC::Equal, b, 0);
        let by_minus = self.b.ins().icmp_imm_s(IntCC::Equal, b, -1);
        let unsafe_ = self.b.ins().bor(by_zero, by_minus);
        let safe = self.b.ins().select(unsafe_, one, b);
        if remainder {
            // A remainder by 1 is 0, as by -1.
            let r = self.b.ins().srem(a, safe);
            return self.b.ins().select(by_zero, a, r);
        }
        let q = self.b.ins().sdiv(a, safe);
        let minus = self.b.ins().ineg(a);
        let q = self.b.ins().select(by_minus, minus, q);
        self.b.ins().select(by_zero, zero, q)
    }
}

macro_rules! same_instruction {
    ($($name:ident $ins:ident ($($arg:ident),*);)*) => {$(
        fn $name(&mut self, $($arg: Value),*) -> Value {
            self.b.ins().$ins($($arg),*)
        }
    )*};
}

impl Lanes for Clif<'_, '_, '_> {
    type F = Value;
    type I = Value;
    type M = Value;

    fn bits(&self) -> u32 {
        self.bits
    }

    fn fconst(&mut self, v: f64) -> Value {
        if self.wide() {
            let bits = if self.bits == 32 { u64::from((v as f32).to_bits()) } else { v.to_bits() };
            self.constant(self.f(), bits)
        } else if self.bits == 32 {
            self.b.ins().f32const(v as f32)
        } else {
            self.b.ins().f64const(v)
        }
    }

    same_instruction! {
        fadd fadd(a, b);
        fsub fsub(a, b);
        fmul fmul(a, b);
        fdiv fdiv(a, b);
        fma fma(a, b, c);
        fneg fneg(a);
        fabs fabs(a);
        fsqrt sqrt(a);
        ffloor floor(a);
        fceil ceil(a);
        ftrunc trunc(a);
        fround nearest(a);
        iadd iadd(a, b);
        isub isub(a, b);
        imul imul(a, b);
        iand band(a, b);
        ior bor(a, b);
        ixor bxor(a, b);
        mand band(a, b);
        mor bor(a, b);
        mxor bxor(a, b);
    }

    fn feq(&mut self, a: Value, b: Value) -> Value {
        self.fcmp(FloatCC::Equal, a, b)
    }

    fn fne(&mut self, a: Value, b: Value) -> Value {
        self.fcmp(FloatCC::NotEqual, a, b)
    }

    fn flt(&mut self, a: Value, b: Value) -> Value {
        self.fcmp(FloatCC::LessThan, a, b)
    }

    fn fle(&mut self, a: Value, b: Value) -> Value {
        self.fcmp(FloatCC::LessThanOrEqual, a, b)
    }

    fn fselect(&mut self, m: Value, a: Value, b: Value) -> Value {
        self.select(self.f(), m, a, b)
    }

    fn to_bits(&mut self, a: Value) -> Value {
        self.reinterpret(self.i(), a)
    }

    fn from_bits(&mut self, a: Value) -> Value {
        self.reinterpret(self.f(), a)
    }

    fn i_to_f(&mut self, a: Value) -> Value {
        let float = self.float();
        if self.wide() && self.bits == 64 {
            // Machines with 128-bit vectors have no such instruction for doubles.
            return self.each(float, &[a], |c, a| c.b.ins().fcvt_from_sint(float, a[0]));
        }
        let ty = self.f();
        self.b.ins().fcvt_from_sint(ty, a)
    }

    fn f_to_i(&mut self, a: Value) -> Value {
        let int = self.int();
        if self.wide() && self.bits == 32 {
            let ty = self.i();
            return self.b.ins().fcvt_to_sint_sat(ty, a);
        }
        // Machines with 128-bit vectors have no such instruction for doubles.
        self.each(int, &[a], |c, a| c.b.ins().fcvt_to_sint_sat(int, a[0]))
    }

    fn iconst(&mut self, v: i64) -> Value {
        if self.wide() {
            self.constant(self.i(), v as u64)
        } else if self.bits == 32 {
            self.b.ins().iconst(types::I32, i64::from(v as u32))
        } else {
            self.b.ins().iconst(types::I64, v)
        }
    }

    fn idiv(&mut self, a: Value, b: Value) -> Value {
        self.each(self.int(), &[a, b], |c, x| c.divide(x[0], x[1], false))
    }

    fn irem(&mut self, a: Value, b: Value) -> Value {
        self.each(self.int(), &[a, b], |c, x| c.divide(x[0], x[1], true))
    }

    fn iudiv(&mut self, a: Value, b: Value) -> Value {
        self.each(self.int(), &[a, b], |c, x| c.divide_unsigned(x[0], x[1], false))
    }

    fn iurem(&mut self, a: Value, b: Value) -> Value {
        self.each(self.int(), &[a, b], |c, x| c.divide_unsigned(x[0], x[1], true))
    }

    // Vectors are shifted by one distance for all lanes, so lanes with their own are shifted one by one.
    fn ishl_by(&mut self, a: Value, by: Value) -> Value {
        self.each(self.int(), &[a, by], |c, x| c.b.ins().ishl(x[0], x[1]))
    }

    fn iushr_by(&mut self, a: Value, by: Value) -> Value {
        self.each(self.int(), &[a, by], |c, x| c.b.ins().ushr(x[0], x[1]))
    }

    fn isshr_by(&mut self, a: Value, by: Value) -> Value {
        self.each(self.int(), &[a, by], |c, x| c.b.ins().sshr(x[0], x[1]))
    }

    fn ishl(&mut self, a: Value, by: u32) -> Value {
        self.b.ins().ishl_imm_u(a, i64::from(by))
    }

    fn iushr(&mut self, a: Value, by: u32) -> Value {
        self.b.ins().ushr_imm_u(a, i64::from(by))
    }

    fn isshr(&mut self, a: Value, by: u32) -> Value {
        self.b.ins().sshr_imm_u(a, i64::from(by))
    }

    fn ieq(&mut self, a: Value, b: Value) -> Value {
        self.b.ins().icmp(IntCC::Equal, a, b)
    }

    fn ilt(&mut self, a: Value, b: Value) -> Value {
        self.b.ins().icmp(IntCC::SignedLessThan, a, b)
    }

    fn iult(&mut self, a: Value, b: Value) -> Value {
        self.b.ins().icmp(IntCC::UnsignedLessThan, a, b)
    }

    fn iselect(&mut self, m: Value, a: Value, b: Value) -> Value {
        self.select(self.i(), m, a, b)
    }

    fn mconst(&mut self, v: bool) -> Value {
        if self.wide() {
            self.constant(self.i(), if v { u64::MAX } else { 0 })
        } else {
            self.b.ins().iconst(types::I8, i64::from(v))
        }
    }

    fn mnot(&mut self, a: Value) -> Value {
        if self.wide() { self.b.ins().bnot(a) } else { self.b.ins().bxor_imm_u(a, 1) }
    }

    fn rare(&mut self, rare: Value, slow: Slow, x: Value, fast: Value) -> Value {
        let address = if self.bits == 32 { slow.f32 as *const u8 } else { slow.f64 as *const u8 };
        self.call_where(rare, slow.name, address, &[x], fast)
    }

    fn rare2(&mut self, rare: Value, slow: Slow2, x: Value, y: Value, fast: Value) -> Value {
        let address = if self.bits == 32 { slow.f32 as *const u8 } else { slow.f64 as *const u8 };
        self.call_where(rare, slow.name, address, &[x, y], fast)
    }
}
