//! The machine code of wide kernels, decoded again by another program. Every instruction is one that machines with the instruction set have, and the one that
//! the listing names: so that what this machine cannot run is at least well-formed.

use iced_x86::{CpuidFeature, Decoder, DecoderOptions};

use super::{Isa, WideCode, compile};
use crate::codegen::choose::{self, Dependencies};
use crate::codegen::tests::{map_kernel, random_kernel};
use crate::graph::DType;
use crate::plan::kernel::{Access, FoldKind, Inst, Kernel};
use crate::plan::testing::{Body, at};
use crate::scalar::ScalarFn;

fn code(kernel: &Kernel, isa: Isa) -> Option<WideCode> {
    let dependencies = Dependencies::of(kernel);
    let choice = choose::choose(kernel, &dependencies, isa.vector_bits());
    compile(kernel, &dependencies, choice, isa, true)
}

/// Asserts that each line of the listing is an instruction of the set, one behind the other.
fn check(code: &WideCode, isa: Isa) {
    let mut decoder = Decoder::new(64, &code.bytes, DecoderOptions::NONE);
    for line in code.listing.lines().filter(|l| l.starts_with("  ")) {
        let instruction = decoder.decode();
        assert!(!instruction.is_invalid(), "`{line}` is no instruction, in\n{}", code.listing);
        let features = instruction.cpuid_features();
        let has = |f: &CpuidFeature| match f {
            CpuidFeature::AVX512F | CpuidFeature::AVX512DQ | CpuidFeature::AVX512VL => isa == Isa::Avx512,
            f => {
                let base = [CpuidFeature::INTEL8086, CpuidFeature::INTEL186, CpuidFeature::INTEL386, CpuidFeature::X64];
                let wide = [CpuidFeature::AVX, CpuidFeature::AVX2, CpuidFeature::FMA];
                base.contains(f) || wide.contains(f)
            }
        };
        assert!(features.iter().all(has), "{instruction:?} is not for {isa:?}: {features:?}");
        let name = format!("{:?}", instruction.mnemonic()).to_lowercase();
        let listed = line.trim().split([' ', '{', '(']).next().unwrap_or_default();
        let fused = listed == "vfma" && (name.starts_with("vfmadd") || name.starts_with("vfnmadd"));
        assert!(fused || name.starts_with(listed), "`{line}` is {name}");
    }
    let last = decoder.position();
    assert_eq!(code.bytes[last - 1], 0xc3, "the last instruction returns");
}

#[test]
fn random_kernels_are_instructions_of_their_set() {
    for isa in [Isa::Avx2, Isa::Avx512] {
        let codes: Vec<WideCode> = (0..300).filter_map(|seed| code(&random_kernel(seed), isa)).collect();
        assert!(codes.len() > 100, "{isa:?} has code for {} of 300 kernels", codes.len());
        codes.iter().for_each(|c| check(c, isa));
    }
}

/// Functions and conversions that no vector instructions are made for.
#[test]
fn what_is_left_to_cranelift() {
    for isa in [Isa::Avx2, Isa::Avx512] {
        let mut left = Vec::new();
        let numbers = || DType::ALL.into_iter().filter(|d| !d.is_half());
        for dtype in numbers() {
            for &f in ScalarFn::ALL {
                let types = f.operand_dtypes(dtype);
                let Ok(result) = f.result_dtype(&types) else { continue };
                match code(&map_kernel(&types, result, 200, |args| Inst::Map(f, args)), isa) {
                    Some(code) => check(&code, isa),
                    None => left.push(f.record().name),
                }
            }
            for from in numbers() {
                let cast = map_kernel(&[from], dtype, 200, |args| Inst::Cast(args[0]));
                let code = code(&cast, isa).unwrap_or_else(|| panic!("{from} to {dtype} has no code for {isa:?}"));
                check(&code, isa);
            }
        }
        left.sort_unstable();
        left.dedup();
        assert_eq!(left, ["div", "mod", "rem"], "{isa:?}");
    }
}

/// Short distances are moved by whole vectors, but for what AVX2 stores.
#[test]
fn near_elements_are_not_gathered() {
    for isa in [Isa::Avx2, Isa::Avx512] {
        for (step, near) in [(-4, true), (-1, true), (2, true), (3, true), (4, true), (5, false), (-7, false)] {
            let mut k = Body::new(&[100], 1);
            let (x, y) = (k.slot(DType::F32, Access::Read), k.slot(DType::F32, Access::Write));
            let first = if step < 0 { -99 * step } else { 0 };
            let v = k.row(Inst::Load { slot: x, index: at(first, &[step]), fill: 0 }, DType::F32);
            let v = k.row(Inst::Map(ScalarFn::Exp, std::iter::once(v).collect()), DType::F32);
            k.row_store(y, at(first, &[step]), v);
            let code = code(&k.0, isa).expect("there is code");
            check(&code, isa);
            let moves = |name: &str| code.listing.contains(name);
            assert_eq!(moves("vgatherdps"), !near, "loads {step} apart:\n{}", code.listing);
            assert_eq!(moves("vscatterdps"), !near && isa == Isa::Avx512, "stores {step} apart:\n{}", code.listing);
        }
    }
}

/// The loops over a window are written out, those over more or over dear functions are not.
#[test]
fn loops_of_few_turns_are_written_out() {
    let jumps = |window: usize, f: ScalarFn| {
        let mut k = Body::new(&[64, window, window], 1);
        let (x, y) = (k.slot(DType::F32, Access::Read), k.slot(DType::F32, Access::Write));
        let v = k.load(x, at(0, &[1, 64, 200]));
        let v = k.map(f, &[v]);
        k.fold(FoldKind::Combine(ScalarFn::Max, f64::NEG_INFINITY.to_bits()), v);
        k.phase();
        let v = k.row(Inst::Fold { phase: 0, fold: 0 }, DType::F32);
        k.row_store(y, at(0, &[1, 0, 0]), v);
        let code = code(&k.0, Isa::Avx512).expect("there is code");
        check(&code, Isa::Avx512);
        ["j(NotZero)", "j(Less)"].map(|jump| code.listing.matches(jump).count()).iter().sum::<usize>()
    };
    let rows = jumps(2, ScalarFn::Neg);
    assert_eq!(jumps(3, ScalarFn::Neg), rows);
    assert!(jumps(4, ScalarFn::Neg) > rows);
    assert!(jumps(3, ScalarFn::Exp) > rows);
}

/// Exponentials are scaled by one instruction where there is one, and masks of a rest stay in registers.
#[test]
fn instructions_of_avx512_are_used() {
    let mut k = Body::new(&[20, 37], 1);
    let (x, y) = (k.slot(DType::F32, Access::Read), k.slot(DType::F32, Access::Write));
    let v = k.load(x, at(0, &[37, 1]));
    let v = k.map(ScalarFn::Exp, &[v]);
    k.store(y, at(0, &[37, 1]), v);
    let listing = code(&k.0, Isa::Avx512).expect("there is code").listing;
    assert!(listing.contains("vscalefps"), "{listing}");
    let body = listing.split("L0:").nth(1).expect("there is a loop");
    assert!(!body.contains("kmovw"), "a mask is made in the loop:\n{listing}");
    assert!(!code(&k.0, Isa::Avx2).expect("there is code").listing.contains("vscalef"));
}
