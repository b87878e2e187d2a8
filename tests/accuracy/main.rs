//! The elementary functions against exact values: golden files for both formats, and for f32 a sweep over all bit
//! patterns.
//!
//! Errors are counted in units in the last place of the exact result. Each function has a bound for f32 and one for
//! f64, the ones its documentation gives; the largest errors met are printed (`cargo test --test accuracy --
//! --nocapture`). The sweep takes every `SWEEP_STRIDE`-th bit pattern (an environment variable); its reference is the
//! standard library in f64, or the f64 version of the function itself, which the golden values hold to a few f64 ulps.
//! The page `src/accuracy.md` is made of all this (see `page.rs`).

mod activations;
mod exact;
mod page;

use std::collections::BTreeMap;

use cotangent::scalar::{Plain, ScalarFn, Value, math};

/// A function of one argument, its f64 reference and its bounds in ulp.
struct Unary {
    name: &'static str,
    f32: fn(f32) -> f32,
    f64: fn(f64) -> f64,
    reference: fn(f64) -> f64,
    bound32: f64,
    bound64: f64,
}

/// A function of two arguments, its f64 reference and its bounds in ulp.
struct Binary {
    name: &'static str,
    f32: fn(f32, f32) -> f32,
    f64: fn(f64, f64) -> f64,
    reference: fn(f64, f64) -> f64,
    bound32: f64,
    bound64: f64,
}

/// Functions of `math`, then whole rows.
macro_rules! unary {
    ($($name:ident: $bound32:literal, $bound64:literal, $reference:expr;)* $(=> $row:expr;)*) => {
        &[$(Unary {
            name: stringify!($name),
            f32: |x| math::$name(&mut Plain::<f32>::default(), x),
            f64: |x| math::$name(&mut Plain::<f64>::default(), x),
            reference: $reference,
            bound32: $bound32,
            bound64: $bound64,
        },)* $($row),*]
    };
}

macro_rules! binary {
    ($($name:ident: $bound32:literal, $bound64:literal, $reference:expr;)*) => {
        &[$(Binary {
            name: stringify!($name),
            f32: |x, y| math::$name(&mut Plain::<f32>::default(), x, y),
            f64: |x, y| math::$name(&mut Plain::<f64>::default(), x, y),
            reference: $reference,
            bound32: $bound32,
            bound64: $bound64,
        }),*]
    };
}

/// A function whose record in the table of scalar functions is all there is of it.
macro_rules! recorded {
    ($float:ident, $f:ident) => {
        |x| ScalarFn::$f.apply(&mut Plain::<$float>::default(), &[Value::F(x)]).f()
    };
}

/// The f64 version itself, where the standard library has none.
macro_rules! own {
    ($name:ident) => {
        |x| math::$name(&mut Plain::<f64>::default(), x)
    };
}

const UNARY: &[Unary] = unary! {
    exp: 0.9, 0.85, f64::exp;
    exp2: 0.9, 0.85, f64::exp2;
    expm1: 1.35, 1.3, f64::exp_m1;
    sigmoid: 2.5, 0.95, own!(sigmoid);
    log: 0.95, 0.85, f64::ln;
    log1p: 0.96, 0.95, f64::ln_1p;
    tanh: 1.4, 1.4, f64::tanh;
    rsqrt: 1.5, 1.5, |x| 1.0 / x.sqrt();
    erf: 0.97, 0.95, own!(erf);
    sin: 0.8, 0.8, f64::sin;
    cos: 0.8, 0.8, f64::cos;
    log2: 1.7, 1.6, f64::log2;
    log10: 1.9, 1.3, f64::log10;
    softplus: 1.7, 1.6, own!(softplus);
    sinh: 1.65, 1.5, f64::sinh;
    cosh: 1.35, 1.3, f64::cosh;
    asinh: 1.85, 1.6, own!(asinh);
    acosh: 2.05, 2.0, own!(acosh);
    atanh: 1.65, 1.7, own!(atanh);
    tan: 2.3, 2.1, f64::tan;
    asin: 2.0, 1.8, f64::asin;
    acos: 1.2, 1.2, f64::acos;
    atan: 1.4, 1.5, f64::atan;
    cbrt: 0.85, 0.8, f64::cbrt;
    erfc: 2.65, 2.6, own!(erfc);
    lgamma: 1.95, 2.6, own!(lgamma);
    digamma: 2.2, 4.0, own!(digamma);
    trigamma: 3.1, 3.3, own!(trigamma);
    erf_inv: 5.0, 3.0, own!(erf_inv);
    softsign: 1.5, 1.5, |x| if x.is_infinite() { x.signum() } else { x / (1.0 + x.abs()) };
    => Unary {
        name: "logit",
        f32: recorded!(f32, Logit),
        f64: recorded!(f64, Logit),
        reference: recorded!(f64, Logit),
        bound32: 1.9,
        bound64: 1.8,
    };
};

fn floored(x: f64, y: f64) -> f64 {
    let r = x % y;
    if r == 0.0 {
        0.0f64.copysign(y)
    } else if (r < 0.0) != (y < 0.0) {
        r + y
    } else {
        r
    }
}

const BINARY: &[Binary] = binary! {
    pow: 1.1, 1.1, f64::powf;
    atan2: 1.6, 1.4, f64::atan2;
    hypot: 1.05, 1.05, f64::hypot;
    logaddexp: 2.8, 1.6, |x, y| math::logaddexp(&mut Plain::<f64>::default(), x, y);
    polygamma: 0.6, 12.0, |x, y| math::polygamma(&mut Plain::<f64>::default(), x, y);
    fmod: 0.0, 0.0, |x, y| x % y;
    floored_mod: 0.501, 0.501, floored;
};

/// A format as the tests see it.
trait Format: Copy + PartialEq + std::fmt::LowerExp {
    fn parse(hex: &str) -> Self;
    fn wide(self) -> f64;
    /// One unit in the last place at `x`.
    fn ulp(x: f64) -> f64;
    /// The least magnitude that rounds to infinity.
    const OVERFLOW: f64;
}

impl Format for f32 {
    fn parse(hex: &str) -> f32 {
        f32::from_bits(u32::from_str_radix(hex, 16).expect("hexadecimal bits"))
    }
    fn wide(self) -> f64 {
        self.into()
    }
    fn ulp(x: f64) -> f64 {
        let exponent = ((x.to_bits() >> 52) & 0x7ff) as i64 - 1023;
        2f64.powi((exponent.clamp(-126, 127) - 23) as i32)
    }
    const OVERFLOW: f64 = 3.402_823_567_797_336_6e38;
}

impl Format for f64 {
    fn parse(hex: &str) -> f64 {
        f64::from_bits(u64::from_str_radix(hex, 16).expect("hexadecimal bits"))
    }
    fn wide(self) -> f64 {
        self
    }
    fn ulp(x: f64) -> f64 {
        let exponent = ((x.to_bits() >> 52) & 0x7ff).max(1) as i64 - 1023;
        if exponent > -970 { 2f64.powi((exponent - 52) as i32) } else { f64::from_bits(1u64 << (exponent + 1022)) }
    }
    const OVERFLOW: f64 = f64::INFINITY;
}

/// The magnitude whose last place is the unit of the error where it is larger than the result: what cancels inside the
/// function.
fn scale(name: &str, x: f64, y: f64) -> f64 {
    match name {
        "lgamma" if x < 0.0 => math::lgamma(&mut Plain::<f64>::default(), -x).abs().max(1.0),
        "digamma" if x < 0.0 => math::digamma(&mut Plain::<f64>::default(), -x).abs().max(1.0),
        "trigamma" if x < 0.0 => math::trigamma(&mut Plain::<f64>::default(), 1.0 - x),
        "polygamma" if y < 0.0 => math::polygamma(&mut Plain::<f64>::default(), x, (y - y.round()).abs()).abs(),
        "logaddexp" => x.max(y).abs().max((-(x - y).abs()).exp().ln_1p()),
        _ => 0.0,
    }
}

/// How far `got` lies from `near + rest`, with `rest` in ulps of `near`, in ulps of the larger of `near` and `scale`;
/// infinite when one is NaN or infinite and the other not.
fn error<T: Format>(got: T, near: f64, rest: f64, scale: f64) -> f64 {
    let got = got.wide();
    if near.is_nan() || got.is_nan() {
        return if near.is_nan() && got.is_nan() { 0.0 } else { f64::INFINITY };
    }
    if near.abs() >= T::OVERFLOW || got.is_infinite() {
        return if near.abs() >= T::OVERFLOW && got.is_infinite() && (near > 0.0) == (got > 0.0) {
            0.0
        } else {
            f64::INFINITY
        };
    }
    let unit = T::ulp(near);
    let error = ((got - near) / unit - rest).abs();
    if scale.is_finite() && scale > near.abs() { error * (unit / T::ulp(scale)) } else { error }
}

/// The largest error of each function and where it was met.
#[derive(Default)]
struct Worst(BTreeMap<String, (f64, f64, String, usize)>);

impl Worst {
    fn note(&mut self, name: &str, bound: f64, error: f64, place: impl Fn() -> String) {
        if !self.0.contains_key(name) {
            self.0.insert(name.to_owned(), (bound, 0.0, String::new(), 0));
        }
        let row = self.0.get_mut(name).expect("was just put in");
        row.3 += 1;
        if error > row.1 {
            (row.1, row.2) = (error, place());
        }
    }

    /// Prints the table; panics if a bound does not hold.
    fn report(self, title: &str) -> Worst {
        println!("{title}: largest error in ulp");
        let mut wrong = Vec::new();
        for (name, (bound, error, place, points)) in &self.0 {
            println!("  {name:<10} {error:>8.4} of {bound:<5} {points:>9} points, at {place}");
            if error > bound {
                wrong.push(name.as_str());
            }
        }
        assert!(wrong.is_empty(), "{title}: out of bounds: {wrong:?}");
        self
    }
}

/// Every line of a golden file as (function, arguments and result, rest).
fn golden<T: Format>(text: &str) -> impl Iterator<Item = (&str, Vec<T>, f64)> {
    text.lines().map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let [name, numbers @ .., rest] = words.as_slice() else { panic!("a golden line has several words: {line}") };
        (*name, numbers.iter().map(|w| T::parse(w)).collect(), rest.parse().expect("a decimal"))
    })
}

#[test]
fn golden_f64() {
    of_golden_f64();
}

fn of_golden_f64() -> Worst {
    let mut worst = Worst::default();
    for (name, numbers, rest) in golden::<f64>(include_str!("../golden/math_f64.txt")) {
        if let Some(f) = UNARY.iter().find(|f| f.name == name) {
            let e = error((f.f64)(numbers[0]), numbers[1], rest, scale(name, numbers[0], 0.0));
            worst.note(name, f.bound64, e, || format!("{:e}", numbers[0]));
        } else if let Some(f) = BINARY.iter().find(|f| f.name == name) {
            let got = (f.f64)(numbers[0], numbers[1]);
            let e = error(got, numbers[2], rest, scale(name, numbers[0], numbers[1]));
            worst.note(name, f.bound64, e, || format!("{:e}, {:e}", numbers[0], numbers[1]));
        }
    }
    worst.report("f64, golden values")
}

#[test]
fn golden_f32() {
    let mut worst = Worst::default();
    for (name, numbers, rest) in golden::<f32>(include_str!("../golden/math_f32.txt")) {
        if let Some(f) = UNARY.iter().find(|f| f.name == name) {
            let e = error((f.f32)(numbers[0]), numbers[1].into(), rest, scale(name, numbers[0].into(), 0.0));
            worst.note(name, f.bound32, e, || format!("{:e}", numbers[0]));
        } else if let Some(f) = BINARY.iter().find(|f| f.name == name) {
            let unit = scale(name, numbers[0].into(), numbers[1].into());
            let e = error((f.f32)(numbers[0], numbers[1]), numbers[2].into(), rest, unit);
            worst.note(name, f.bound32, e, || format!("{:e}, {:e}", numbers[0], numbers[1]));
        }
    }
    worst.report("f32, golden values");
}

fn stride() -> u32 {
    std::env::var("SWEEP_STRIDE").ok().and_then(|s| s.parse().ok()).unwrap_or(20_011)
}

#[test]
fn sweep_f32() {
    of_sweep();
}

fn of_sweep() -> Worst {
    let only = std::env::var("SWEEP_ONLY").unwrap_or_default();
    let mut worst = Worst::default();
    for f in UNARY.iter().filter(|f| only.is_empty() || only.split(',').any(|o| o == f.name)) {
        let mut top = (0.0, 0.0f32);
        let mut points = 0;
        for bits in (0..=u32::MAX).step_by(stride() as usize) {
            let x = f32::from_bits(bits);
            let e = error((f.f32)(x), (f.reference)(x.into()), 0.0, scale(f.name, x.into(), 0.0));
            points += 1;
            if e > top.0 {
                top = (e, x);
            }
        }
        worst.note(f.name, f.bound32, top.0, || format!("{:e}", top.1));
        worst.0.get_mut(f.name).expect("was just put in").3 = points;
    }
    worst.report("f32, sweep")
}

#[test]
fn pairs_f32() {
    of_pairs();
}

fn of_pairs() -> Worst {
    let mut worst = Worst::default();
    let mut state = 1u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for f in BINARY {
        let mut top = (0.0, 0.0f32, 0.0f32);
        let points = 8_000_000_000 / u64::from(stride());
        for i in 0..points {
            let r = random();
            let mut x = f32::from_bits(r as u32);
            let mut y = f32::from_bits((r >> 32) as u32);
            if i % 4 != 0 {
                // Magnitudes near each other and near 1, where results are finite.
                let near = |v: f32| f32::from_bits(v.to_bits() & 0x83ff_ffff | 0x3c00_0000);
                (x, y) = (near(x), near(y));
                if i % 4 == 1 {
                    (x, y) = (x.abs(), y * 20.0);
                }
            }
            let unit = scale(f.name, x.into(), y.into());
            let e = error((f.f32)(x, y), (f.reference)(x.into(), y.into()), 0.0, unit);
            if e > top.0 {
                top = (e, x, y);
            }
        }
        worst.note(f.name, f.bound32, top.0, || format!("{:e}, {:e}", top.1, top.2));
        worst.0.get_mut(f.name).expect("was just put in").3 = points as usize;
    }
    worst.report("f32, random pairs")
}
