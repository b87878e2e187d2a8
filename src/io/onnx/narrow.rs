//! Floats of 4, 6 and 8 bits, held in single precision, which has all their numbers.
//!
//! ```text
//!   float8e4m3fn float8e4m3fnuz float8e5m2 float8e5m2fnuz    a sign, exponent and fraction
//!   float6e2m3 float6e3m2 float4e2m1                         the same without infinities and NaN
//!   float8e8m0                                               an exponent alone: powers of two
//! ```
//!
//! A tensor that is held has numbers of its own type only: what becomes one is [rounded](Format::rounded). The derivative of that is zero, as that of any
//! rounding.
//!
//! Numbers of double precision and integers become numbers of single precision first, as in onnxruntime and ONNX's reference. Where those leave the
//! specification (float8e8m0 of infinities, and of numbers below its smallest), the specification holds.

use crate::build::Tensor;
use crate::graph::DType;
use crate::scalar::ScalarFn;

use super::checked::{Checked, Made};

/// A type of narrow floats.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Format {
    pub name: &'static str,
    /// The bits of an element.
    pub bits: u32,
    /// The bits of the fraction.
    fraction: i32,
    /// The exponent of the smallest normal number.
    lowest: i32,
    /// The exponent of the largest number.
    highest: i32,
    ends: Ends,
}

/// What a format has besides numbers with a sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    /// Infinities, and NaN beyond them.
    Infinities,
    /// NaN of both signs, in the place of the largest fraction.
    LastIsNan,
    /// One NaN, in the place of -0.
    NoMinusZero,
    /// Nothing.
    Numbers,
    /// One NaN, and neither a sign nor 0.
    Powers,
}

pub(super) const E4M3FN: Format =
    Format { name: "float8e4m3fn", bits: 8, fraction: 3, lowest: -6, highest: 8, ends: Ends::LastIsNan };
pub(super) const E4M3FNUZ: Format =
    Format { name: "float8e4m3fnuz", bits: 8, fraction: 3, lowest: -7, highest: 7, ends: Ends::NoMinusZero };
pub(super) const E5M2: Format =
    Format { name: "float8e5m2", bits: 8, fraction: 2, lowest: -14, highest: 15, ends: Ends::Infinities };
pub(super) const E5M2FNUZ: Format =
    Format { name: "float8e5m2fnuz", bits: 8, fraction: 2, lowest: -15, highest: 15, ends: Ends::NoMinusZero };
pub(super) const E2M1: Format =
    Format { name: "float4e2m1", bits: 4, fraction: 1, lowest: 0, highest: 2, ends: Ends::Numbers };
pub(super) const E2M3: Format =
    Format { name: "float6e2m3", bits: 6, fraction: 3, lowest: 0, highest: 2, ends: Ends::Numbers };
pub(super) const E3M2: Format =
    Format { name: "float6e3m2", bits: 6, fraction: 2, lowest: -2, highest: 4, ends: Ends::Numbers };
pub(super) const E8M0: Format =
    Format { name: "float8e8m0", bits: 8, fraction: 0, lowest: -127, highest: 127, ends: Ends::Powers };

/// In which direction a number between two powers of two is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Toward {
    Up,
    Down,
    Nearest,
}

/// How a float becomes a narrow one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rounding {
    /// Whether what is too large becomes the largest number.
    pub saturate: bool,
    /// The direction, of powers of two only: others round to the nearest, ties to even.
    pub toward: Toward,
}

impl Default for Rounding {
    fn default() -> Rounding {
        Rounding { saturate: true, toward: Toward::Up }
    }
}

fn two_to(exponent: i32) -> f64 {
    f64::from(exponent).exp2()
}

impl Format {
    /// True if 0 is among the numbers.
    pub fn has_zero(&self) -> bool {
        self.ends != Ends::Powers
    }

    /// The largest number.
    fn largest(&self) -> f64 {
        let fraction = match self.ends {
            Ends::LastIsNan => 2.0 - two_to(1 - self.fraction),
            _ => 2.0 - two_to(-self.fraction),
        };
        fraction * two_to(self.highest)
    }

    /// The number that bits stand for.
    pub fn decode(&self, code: u8) -> f32 {
        if self.ends == Ends::Powers {
            return if code == 0xff { f32::NAN } else { two_to(i32::from(code) + self.lowest) as f32 };
        }
        let places = self.bits as i32 - 1;
        let (negative, rest) = (code >> places & 1 == 1, i32::from(code) & ((1 << places) - 1));
        let (exponent, fraction) = (rest >> self.fraction, rest & ((1 << self.fraction) - 1));
        let all = (1 << places) - 1;
        let magnitude = match self.ends {
            Ends::Infinities if exponent == all >> self.fraction => {
                if fraction == 0 {
                    f64::INFINITY
                } else {
                    f64::NAN
                }
            }
            Ends::LastIsNan if rest == all => f64::NAN,
            Ends::NoMinusZero if negative && rest == 0 => f64::NAN,
            _ if exponent == 0 => f64::from(fraction) * two_to(self.lowest - self.fraction),
            _ => f64::from((1 << self.fraction) + fraction) * two_to(self.lowest - self.fraction + exponent - 1),
        };
        (if negative { -magnitude } else { magnitude }) as f32
    }

    /// Numbers of single precision as numbers of this type. The result has derivative zero.
    pub fn rounded<'g>(&self, x: Tensor<'g>, how: Rounding) -> Made<'g> {
        let x = x.to(DType::F32)?.f(ScalarFn::StopGradient)?;
        if self.ends == Ends::Powers { self.power(x, how) } else { self.nearest(x, how.saturate) }
    }

    fn nearest<'g>(&self, x: Tensor<'g>, saturate: bool) -> Made<'g> {
        let size = x.f(ScalarFn::Abs)?;
        let unit = unit(size, self.lowest, self.highest)?.with(ScalarFn::Mul, two_to(-self.fraction))?;
        // Quotient and product are exact: the unit is a power of two.
        let rounded = size.f2(ScalarFn::Div, unit)?.f(ScalarFn::Round)?.f2(ScalarFn::Mul, unit)?;
        let largest = self.largest();
        let beyond = match (saturate, self.ends) {
            (true, _) | (_, Ends::Numbers) => largest,
            (false, Ends::Infinities) => f64::INFINITY,
            (false, _) => f64::NAN,
        };
        let within = rounded.with(ScalarFn::Gt, largest)?.choose(x.number(beyond), rounded)?;
        let signed = within.f2(ScalarFn::Copysign, x)?;
        match self.ends {
            Ends::NoMinusZero => within.with(ScalarFn::Eq, 0.0)?.choose(within, signed),
            Ends::Numbers => x.f(ScalarFn::IsNan)?.choose(x.number(0.0), signed),
            _ => Ok(signed),
        }
    }

    /// A power of two beside a number's magnitude.
    fn power<'g>(&self, x: Tensor<'g>, how: Rounding) -> Made<'g> {
        // All magnitudes of single precision have such powers in double precision, where they are normal numbers.
        let size = x.to(DType::F64)?.f(ScalarFn::Abs)?;
        let below = unit(size, f32::MIN_EXP - f32::MANTISSA_DIGITS as i32, self.highest)?;
        let up = match how.toward {
            Toward::Up => size.f2(ScalarFn::Gt, below)?,
            Toward::Nearest => size.f2(ScalarFn::Ge, below.with(ScalarFn::Mul, 1.5)?)?,
            Toward::Down => size.f(ScalarFn::IsInf)?,
        };
        let power = up.choose(below.with(ScalarFn::Mul, 2.0)?, below)?;
        let (smallest, largest) = (two_to(self.lowest), two_to(self.highest));
        let end = |end: f64| power.number(if how.saturate { end } else { f64::NAN });
        let power = power.with(ScalarFn::Gt, largest)?.choose(end(largest), power)?;
        let small = power.with(ScalarFn::Lt, smallest)?.f2(ScalarFn::Or, size.with(ScalarFn::Eq, 0.0)?)?;
        let power = small.choose(end(smallest), power)?;
        size.f(ScalarFn::IsNan)?.choose(size, power)?.to(DType::F32)
    }
}

/// The largest power of two that is at most `size`, but one from `2^lowest` to `2^highest`.
fn unit<'g>(size: Tensor<'g>, lowest: i32, highest: i32) -> Made<'g> {
    let (mut rest, mut unit) = (size, size.filled(two_to(lowest))?);
    let mut step = ((highest - lowest + 1) as u32).next_power_of_two() as i32 / 2;
    while step > 0 {
        let large = rest.with(ScalarFn::Ge, two_to(lowest + step))?;
        rest = large.choose(rest.with(ScalarFn::Mul, two_to(-step))?, rest)?;
        unit = large.choose(unit.with(ScalarFn::Mul, two_to(step))?, unit)?;
        step /= 2;
    }
    // The steps together go beyond the highest exponent.
    unit.with(ScalarFn::Min, two_to(highest))
}
