//! Scalar functions: compiled code gives the bits that plain numbers give.

use crate::array::Array;
use crate::graph::{DType, Dims};
use crate::plan::kernel::{Access, Inst, Kernel};
use crate::plan::testing::{Body, at};
use crate::scalar::ScalarFn;
use crate::testing::Draw;

use super::Single;

/// Numbers on which functions tend to fail.
fn special(dtype: DType) -> Vec<f64> {
    let mut all =
        vec![0.0, 1.0, 2.0, 3.0, 7.0, 0.5, 0.1, 1e-3, 88.0, 89.0, 103.9, 709.0, 710.0, 745.0, 1e5, 1e9, 1e18, 1e30];
    match dtype {
        DType::Bool => all = vec![0.0, 1.0],
        DType::U8 => all.extend([8.0, 31.0, 128.0, 200.0, 255.0, 256.0]),
        DType::U32 => all.extend([31.0, 32.0, 2f64.powi(31), f64::from(i32::MAX), f64::from(u32::MAX), 2f64.powi(32)]),
        DType::I32 => all.extend([f64::from(i32::MAX), 1.0 + f64::from(i32::MAX), 1e4]),
        DType::I64 => all.extend([i64::MAX as f64, 2f64.powi(62), 2f64.powi(32), 2f64.powi(31)]),
        DType::F16 => {
            all.extend([65504.0, 65519.0, 65520.0, 6.1e-5, 5.9e-8, 2.9e-8, 3e-8, 1.00048828125, 1.00146484375])
        }
        DType::BF16 => all.extend([3.3895e38, 3.4e38, 9.2e-41, 4.5e-41, 1.00390625, 1.01171875]),
        DType::F32 => {
            all.extend([f32::MAX, f32::MIN_POSITIVE, f32::from_bits(1), f32::from_bits(77777)].map(f64::from))
        }
        DType::F64 => all.extend([f64::MAX, f64::MIN_POSITIVE, f64::from_bits(1), 1e-310, 1e300]),
    }
    if dtype.is_float() {
        all.extend([
            f64::INFINITY,
            f64::NAN,
            2f64.powi(31),
            2f64.powi(63),
            8388607.5,
            2.5,
            3.5,
            1.4999999,
            4503599627370495.5,
        ]);
    }
    let negative: Vec<f64> = all.iter().map(|v| -v).collect();
    all.extend(negative);
    all
}

fn number(d: &mut Draw, special: &[f64]) -> f64 {
    match d.below(4) {
        0 => d.of(special),
        1 => (d.unit() - 0.5) * 20.0,
        2 => (d.unit() - 0.5) * 2.0,
        _ => {
            let exponent = (d.unit() - 0.5) * 80.0;
            (d.unit() - 0.5) * exponent.exp()
        }
    }
}

fn array(d: &mut Draw, dtype: DType, n: usize) -> Array {
    let special = special(dtype);
    d.fill(&crate::TensorType::new(dtype, [n]), |d| number(d, &special))
}

/// A map of arrays of `n` elements.
pub(in crate::codegen) fn map_kernel(
    types: &[DType],
    result: DType,
    n: usize,
    make: impl FnOnce(Dims<crate::plan::kernel::ValueId>) -> Inst,
) -> Kernel {
    let mut k = Body::new(&[n], 1);
    let mut args = Dims::new();
    for &t in types {
        let slot = k.slot(t, Access::Read);
        args.push(k.load(slot, at(0, &[1])));
    }
    let slot = k.slot(result, Access::Write);
    let v = k.inner(make(args), result);
    k.store(slot, at(0, &[1]), v);
    k.0
}

/// Checks a map of arrays of `n` elements, by vectors along rows with a rest.
fn check_map(
    d: &mut Draw,
    types: &[DType],
    result: DType,
    n: usize,
    make: impl FnOnce(Dims<crate::plan::kernel::ValueId>) -> Inst,
) {
    let mut single = Single::new();
    for &t in types {
        single.reads(array(d, t, n));
    }
    single.writes(result, n);
    single.check(Body(map_kernel(types, result, n, make)));
}

#[test]
fn every_function_of_every_type() {
    let mut d = Draw::new(3);
    for &f in ScalarFn::ALL {
        for dtype in DType::ALL {
            let types = f.operand_dtypes(dtype);
            let Ok(result) = f.result_dtype(&types) else { continue };
            // A vector or two and scalars, and the two by themselves.
            for n in [1, 3, 4, 64, 2051] {
                check_map(&mut d, &types, result, n, |args| Inst::Map(f, args));
            }
        }
    }
}

#[test]
fn every_cast() {
    let mut d = Draw::new(4);
    for from in DType::ALL {
        for to in DType::ALL {
            for n in [1, 7, 1033] {
                check_map(&mut d, &[from], to, n, |args| Inst::Cast(args[0]));
            }
        }
    }
}

#[test]
fn every_length() {
    let mut d = Draw::new(5);
    for half in [DType::F16, DType::BF16] {
        for n in 1..=80 {
            check_map(&mut d, &[half], DType::F32, n, |args| Inst::Cast(args[0]));
            check_map(&mut d, &[DType::F32], half, n, |args| Inst::Cast(args[0]));
        }
    }
    for dtype in DType::ALL.into_iter().filter(|d| !d.is_half()) {
        let f = if dtype == DType::Bool { ScalarFn::Xor } else { ScalarFn::Sub };
        for n in 1..=80 {
            check_map(&mut d, &[dtype, dtype], dtype, n, |args| Inst::Map(f, args));
        }
    }
}
