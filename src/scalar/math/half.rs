//! Conversion between `f32` and the types of 16 bits, which are kept in the low bits of 32-bit lanes.
//!
//! To the narrower type the nearest number is taken, ties to even; what is too large becomes infinite, what is too small a subnormal number or zero. A
//! NaN stays one of its sign. To the wider type nothing is lost.

use half::{bf16, f16};

use super::super::{Lanes, Plain};
use crate::graph::DType;

/// The `f32` that equals the number of type `from` whose bits these are.
///
/// # Panics
/// If `from` is not `f16` or `bf16`.
pub fn widen<L: Lanes>(l: &mut L, bits: L::I, from: DType) -> L::F {
    match from {
        DType::F16 => from_f16(l, bits),
        DType::BF16 => from_bf16(l, bits),
        _ => panic!("{from} has no 16 bits"),
    }
}

/// The bits of the number of type `to` that is nearest to `x`.
///
/// # Panics
/// If `to` is not `f16` or `bf16`.
pub fn narrow<L: Lanes>(l: &mut L, x: L::F, to: DType) -> L::I {
    match to {
        DType::F16 => to_f16(l, x),
        DType::BF16 => to_bf16(l, x),
        _ => panic!("{to} has no 16 bits"),
    }
}

/// The nearest `f16`.
pub fn f16_of(x: f32) -> f16 {
    f16::from_bits(to_f16(&mut Plain::<f32>::default(), x) as u16)
}

/// The nearest `bf16`.
pub fn bf16_of(x: f32) -> bf16 {
    bf16::from_bits(to_bf16(&mut Plain::<f32>::default(), x) as u16)
}

fn from_bf16<L: Lanes>(l: &mut L, bits: L::I) -> L::F {
    let bits = l.ishl(bits, 16);
    l.from_bits(bits)
}

/// Half of the last place is added, less one unit if the number would be rounded to an odd one.
fn to_bf16<L: Lanes>(l: &mut L, x: L::F) -> L::I {
    let bits = l.to_bits(x);
    let (one, half, quiet) = (l.iconst(1), l.iconst(0x7fff), l.iconst(0x40));
    let high = l.iushr(bits, 16);
    let odd = l.iand(high, one);
    let rounded = l.iadd(bits, half);
    let rounded = l.iadd(rounded, odd);
    let rounded = l.iushr(rounded, 16);
    let nan = l.ior(high, quiet);
    let is_nan = l.fne(x, x);
    l.iselect(is_nan, nan, rounded)
}

/// Exponent and fraction are moved to their places in a single, whose exponent is then too small by 112 for normal and subnormal numbers alike, which a
/// multiplication mends.
fn from_f16<L: Lanes>(l: &mut L, bits: L::I) -> L::F {
    let (magnitude, sign) = (l.iconst(0x7fff), l.iconst(0x8000));
    let magnitude = l.iand(bits, magnitude);
    let magnitude = l.ishl(magnitude, 13);
    let magnitude = l.from_bits(magnitude);
    let scale = l.fconst(2f64.powi(112));
    let value = l.fmul(magnitude, scale);
    // The largest exponent stands for infinity and NaN.
    let beyond = l.fconst(65536.0);
    let special = l.fle(beyond, value);
    let value = l.to_bits(value);
    let exponent = l.iconst(0x7f80_0000);
    let infinite = l.ior(value, exponent);
    let value = l.iselect(special, infinite, value);
    let sign = l.iand(bits, sign);
    let sign = l.ishl(sign, 16);
    let value = l.ior(value, sign);
    l.from_bits(value)
}

/// Normal numbers are rounded as by [`to_bf16`]. What is smaller than them is added to 1/2, whose last place is that of the subnormal numbers, so that the
/// addition rounds.
fn to_f16<L: Lanes>(l: &mut L, x: L::F) -> L::I {
    let magnitude = l.fabs(x);
    let bits = l.to_bits(magnitude);
    let one = l.iconst(1);
    let odd = l.iushr(bits, 13);
    let odd = l.iand(odd, one);
    let bias = l.iconst(i64::from(0xfff - (112 << 23)));
    let normal = l.iadd(bits, bias);
    let normal = l.iadd(normal, odd);
    let normal = l.iushr(normal, 13);

    let half = l.fconst(0.5);
    let shifted = l.fadd(magnitude, half);
    let shifted = l.to_bits(shifted);
    let half = l.to_bits(half);
    let subnormal = l.isub(shifted, half);

    let (least, beyond) = (l.fconst(2f64.powi(-14)), l.fconst(65536.0));
    let (infinite, nan) = (l.iconst(0x7c00), l.iconst(0x7e00));
    let is_small = l.flt(magnitude, least);
    let is_large = l.fle(beyond, magnitude);
    let is_nan = l.fne(x, x);
    let result = l.iselect(is_small, subnormal, normal);
    let result = l.iselect(is_large, infinite, result);
    let result = l.iselect(is_nan, nan, result);
    let bits = l.to_bits(x);
    let sign = l.iconst(0x8000);
    let high = l.iushr(bits, 16);
    let sign = l.iand(high, sign);
    l.ior(result, sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn widened(bits: u16, from: DType) -> f32 {
        widen(&mut Plain::<f32>::default(), bits.into(), from)
    }

    #[test]
    fn every_number_of_16_bits_widens_to_itself_and_comes_back() {
        for bits in 0..=u16::MAX {
            let (f, b) = (f16::from_bits(bits), bf16::from_bits(bits));
            if f.is_nan() {
                assert!(widened(bits, DType::F16).is_nan() && f16_of(widened(bits, DType::F16)).is_nan(), "{bits:#x}");
            } else {
                assert_eq!(widened(bits, DType::F16).to_bits(), f.to_f32().to_bits(), "{bits:#x}");
                assert_eq!(f16_of(f.to_f32()).to_bits(), bits);
            }
            if b.is_nan() {
                assert!(
                    widened(bits, DType::BF16).is_nan() && bf16_of(widened(bits, DType::BF16)).is_nan(),
                    "{bits:#x}"
                );
            } else {
                assert_eq!(widened(bits, DType::BF16).to_bits(), b.to_f32().to_bits(), "{bits:#x}");
                assert_eq!(bf16_of(b.to_f32()).to_bits(), bits);
            }
        }
    }

    /// The middle between two neighbours, and the singles beside it, at each of the 65,536 numbers.
    #[test]
    fn the_nearest_is_taken_and_of_two_the_even_one() {
        for bits in 0..=u16::MAX {
            for base in [f16::from_bits(bits).to_f32(), bf16::from_bits(bits).to_f32()] {
                if base.is_nan() {
                    continue;
                }
                for moved in [0, 1, 0xfff, 0x1000, 0x1001, 0x1fff, 0x7fff, 0x8000, 0x8001, 0xffff] {
                    let x = f32::from_bits(base.to_bits().wrapping_add(moved));
                    if !x.is_nan() {
                        assert_eq!(f16_of(x).to_bits(), f16::from_f32(x).to_bits(), "f16 of {x:e}");
                        assert_eq!(bf16_of(x).to_bits(), bf16::from_f32(x).to_bits(), "bf16 of {x:e}");
                    }
                }
            }
        }
        // Between the subnormal numbers of f16, whose steps are wider than those above.
        for n in 0..2048 {
            for part in [0.25, 0.5, 0.75, 0.499999, 0.500001] {
                let x = (n as f32 + part) * 2f32.powi(-24);
                assert_eq!(f16_of(x).to_bits(), f16::from_f32(x).to_bits(), "f16 of {x:e}");
            }
        }
    }

    #[test]
    fn a_nan_stays_one_whatever_its_bits() {
        for bits in [0x7f80_0001u32, 0x7fff_ffff, 0xff80_0001, 0xffff_ffff, 0x7fc0_0000] {
            let x = f32::from_bits(bits);
            assert!(f16_of(x).is_nan() && bf16_of(x).is_nan(), "{bits:#x}");
            assert_eq!(f16_of(x).is_sign_negative(), bits >> 31 == 1);
            assert_eq!(bf16_of(x).is_sign_negative(), bits >> 31 == 1);
        }
    }
}
