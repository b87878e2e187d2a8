//! The elementary functions against exact values: golden files for both formats, and for f32 a sweep over all bit
//! patterns.
//!
//! Errors are counted in units in the last place of the exact result. Each function has a bound for f32 and one for
//! f64, the ones its documentation gives; the largest errors met are printed (`cargo test --test accuracy --
//! --nocapture`). The sweep takes every `SWEEP_STRIDE`-th bit pattern (an environment variable); its reference is the
//! standard library in f64, or the f64 version of the function itself, which the golden values hold to a few f64 ulps.

use std::collections::BTreeMap;
use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};

use cotangent::scalar::Plain;
use cotangent::scalar::math;

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

macro_rules! unary {
    ($($name:ident: $bound32:literal, $bound64:literal, $reference:expr;)*) => {
        &[$(Unary {
            name: stringify!($name),
            f32: |x| math::$name(&mut Plain::<f32>::default(), x),
            f64: |x| math::$name(&mut Plain::<f64>::default(), x),
            reference: $reference,
            bound32: $bound32,
            bound64: $bound64,
        }),*]
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

/// The f64 version itself, where the standard library has none.
macro_rules! own {
    ($name:ident) => {
        |x| math::$name(&mut Plain::<f64>::default(), x)
    };
}

const UNARY: &[Unary] = unary! {
    exp: 0.87, 0.85, f64::exp;
    exp2: 0.85, 0.85, f64::exp2;
    expm1: 1.35, 1.3, f64::exp_m1;
    sigmoid: 2.5, 0.95, own!(sigmoid);
    log: 0.95, 0.85, f64::ln;
    log1p: 0.96, 0.95, f64::ln_1p;
    tanh: 1.4, 1.4, f64::tanh;
    rsqrt: 1.5, 1.5, |x| 1.0 / x.sqrt();
    erf: 0.95, 0.95, own!(erf);
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
    fn report(&self, title: &str) {
        println!("{title}: largest error in ulp");
        let mut wrong = Vec::new();
        for (name, (bound, error, place, points)) in &self.0 {
            println!("  {name:<10} {error:>8.4} of {bound:<5} {points:>9} points, at {place}");
            if error > bound {
                wrong.push(name.as_str());
            }
        }
        assert!(wrong.is_empty(), "{title}: out of bounds: {wrong:?}");
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
    let mut worst = Worst::default();
    for (name, numbers, rest) in golden::<f64>(include_str!("golden/math_f64.txt")) {
        if let Some(f) = UNARY.iter().find(|f| f.name == name) {
            let e = error((f.f64)(numbers[0]), numbers[1], rest, scale(name, numbers[0], 0.0));
            worst.note(name, f.bound64, e, || format!("{:e}", numbers[0]));
        } else if let Some(f) = BINARY.iter().find(|f| f.name == name) {
            let got = (f.f64)(numbers[0], numbers[1]);
            let e = error(got, numbers[2], rest, scale(name, numbers[0], numbers[1]));
            worst.note(name, f.bound64, e, || format!("{:e}, {:e}", numbers[0], numbers[1]));
        }
    }
    worst.report("f64, golden values");
}

#[test]
fn golden_f32() {
    let mut worst = Worst::default();
    for (name, numbers, rest) in golden::<f32>(include_str!("golden/math_f32.txt")) {
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
    worst.report("f32, sweep");
}

#[test]
fn pairs_f32() {
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
    worst.report("f32, random pairs");
}

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

/// Exact values, the same in both formats: function, argument, result. Any NaN will do for NaN.
const EXACT: &[(&str, f64, f64)] = &[
    ("exp", 0.0, 1.0),
    ("exp", -0.0, 1.0),
    ("exp", INF, INF),
    ("exp", -INF, 0.0),
    ("exp", 1e4, INF),
    ("exp", -1e4, 0.0),
    ("exp2", 10.0, 1024.0),
    ("exp2", -0.0, 1.0),
    ("exp2", -126.0, f32::MIN_POSITIVE as f64),
    ("exp2", -149.0, 1.401_298_464_324_817e-45),
    ("exp2", 127.0, 1.701_411_834_604_692_3e38),
    ("exp2", INF, INF),
    ("exp2", -INF, 0.0),
    ("expm1", 0.0, 0.0),
    ("expm1", -0.0, -0.0),
    ("expm1", INF, INF),
    ("expm1", -INF, -1.0),
    ("expm1", -1e3, -1.0),
    ("expm1", 1e4, INF),
    ("sigmoid", 0.0, 0.5),
    ("sigmoid", -0.0, 0.5),
    ("sigmoid", INF, 1.0),
    ("sigmoid", -INF, 0.0),
    ("sigmoid", 1e3, 1.0),
    ("sigmoid", -1e3, 0.0),
    ("log", 1.0, 0.0),
    ("log", 0.0, -INF),
    ("log", -0.0, -INF),
    ("log", INF, INF),
    ("log", -1.0, NAN),
    ("log", -INF, NAN),
    ("log1p", 0.0, 0.0),
    ("log1p", -0.0, -0.0),
    ("log1p", -1.0, -INF),
    ("log1p", -1.5, NAN),
    ("log1p", INF, INF),
    ("log1p", -INF, NAN),
    ("tanh", 0.0, 0.0),
    ("tanh", -0.0, -0.0),
    ("tanh", INF, 1.0),
    ("tanh", -INF, -1.0),
    ("tanh", 40.0, 1.0),
    ("rsqrt", 4.0, 0.5),
    ("rsqrt", 0.0, INF),
    ("rsqrt", -0.0, -INF),
    ("rsqrt", INF, 0.0),
    ("rsqrt", -1.0, NAN),
    ("erf", 0.0, 0.0),
    ("erf", -0.0, -0.0),
    ("erf", INF, 1.0),
    ("erf", -INF, -1.0),
    ("erf", 7.0, 1.0),
    ("sin", 0.0, 0.0),
    ("sin", -0.0, -0.0),
    ("sin", INF, NAN),
    ("sin", -INF, NAN),
    ("cos", 0.0, 1.0),
    ("cos", -0.0, 1.0),
    ("cos", INF, NAN),
    ("cos", -INF, NAN),
    ("log2", 1.0, 0.0),
    ("log2", 8.0, 3.0),
    ("log2", 0.125, -3.0),
    ("log2", 1.401_298_464_324_817e-45, -149.0),
    ("log2", 0.0, -INF),
    ("log2", -0.0, -INF),
    ("log2", INF, INF),
    ("log2", -2.0, NAN),
    ("log10", 1.0, 0.0),
    ("log10", 0.0, -INF),
    ("log10", -0.0, -INF),
    ("log10", INF, INF),
    ("log10", -2.0, NAN),
    ("softplus", INF, INF),
    ("softplus", -INF, 0.0),
    ("softplus", 1e4, 1e4),
    ("softplus", -1e4, 0.0),
    ("sinh", 0.0, 0.0),
    ("sinh", -0.0, -0.0),
    ("sinh", INF, INF),
    ("sinh", -INF, -INF),
    ("sinh", 1e3, INF),
    ("sinh", -1e3, -INF),
    ("cosh", 0.0, 1.0),
    ("cosh", -0.0, 1.0),
    ("cosh", INF, INF),
    ("cosh", -INF, INF),
    ("cosh", -1e3, INF),
    ("asinh", 0.0, 0.0),
    ("asinh", -0.0, -0.0),
    ("asinh", INF, INF),
    ("asinh", -INF, -INF),
    ("acosh", 1.0, 0.0),
    ("acosh", INF, INF),
    ("acosh", 0.5, NAN),
    ("acosh", -2.0, NAN),
    ("acosh", -INF, NAN),
    ("atanh", 0.0, 0.0),
    ("atanh", -0.0, -0.0),
    ("atanh", 1.0, INF),
    ("atanh", -1.0, -INF),
    ("atanh", 1.5, NAN),
    ("atanh", -1e20, NAN),
    ("atanh", INF, NAN),
    ("tan", 0.0, 0.0),
    ("tan", -0.0, -0.0),
    ("tan", INF, NAN),
    ("tan", -INF, NAN),
    ("asin", 0.0, 0.0),
    ("asin", -0.0, -0.0),
    ("asin", 1.0, FRAC_PI_2),
    ("asin", -1.0, -FRAC_PI_2),
    ("asin", 1.5, NAN),
    ("asin", -INF, NAN),
    ("acos", 1.0, 0.0),
    ("acos", 0.0, FRAC_PI_2),
    ("acos", -0.0, FRAC_PI_2),
    ("acos", -1.0, PI),
    ("acos", -1.5, NAN),
    ("acos", INF, NAN),
    ("atan", 0.0, 0.0),
    ("atan", -0.0, -0.0),
    ("atan", INF, FRAC_PI_2),
    ("atan", -INF, -FRAC_PI_2),
    ("cbrt", 0.0, 0.0),
    ("cbrt", -0.0, -0.0),
    ("cbrt", 27.0, 3.0),
    ("cbrt", -8.0, -2.0),
    ("cbrt", INF, INF),
    ("cbrt", -INF, -INF),
    ("erfc", 0.0, 1.0),
    ("erfc", -0.0, 1.0),
    ("erfc", INF, 0.0),
    ("erfc", -INF, 2.0),
    ("erfc", 30.0, 0.0),
    ("erfc", -30.0, 2.0),
    ("lgamma", 1.0, 0.0),
    ("lgamma", 2.0, 0.0),
    ("lgamma", 0.0, INF),
    ("lgamma", -0.0, INF),
    ("lgamma", -3.0, INF),
    ("lgamma", INF, INF),
    ("lgamma", -INF, INF),
    ("digamma", 0.0, -INF),
    ("digamma", -0.0, INF),
    ("digamma", -3.0, NAN),
    ("digamma", INF, INF),
    ("digamma", -INF, NAN),
    ("trigamma", 0.0, INF),
    ("trigamma", -0.0, INF),
    ("trigamma", -3.0, INF),
    ("trigamma", INF, 0.0),
    ("trigamma", -INF, NAN),
    ("softsign", -0.0, -0.0),
    ("softsign", 1.0, 0.5),
    ("softsign", INF, 1.0),
    ("softsign", -INF, -1.0),
    ("erf_inv", 0.0, 0.0),
    ("erf_inv", -0.0, -0.0),
    ("erf_inv", 1.0, INF),
    ("erf_inv", -1.0, -INF),
    ("erf_inv", 1.5, NAN),
    ("erf_inv", -INF, NAN),
];

/// Exact values of the functions of two arguments.
const EXACT_PAIRS: &[(&str, f64, f64, f64)] = &[
    ("pow", NAN, 0.0, 1.0),
    ("pow", NAN, -0.0, 1.0),
    ("pow", INF, 0.0, 1.0),
    ("pow", 0.0, 0.0, 1.0),
    ("pow", 1.0, NAN, 1.0),
    ("pow", 1.0, INF, 1.0),
    ("pow", 1.0, -INF, 1.0),
    ("pow", -1.0, INF, 1.0),
    ("pow", -1.0, -INF, 1.0),
    ("pow", NAN, 1.0, NAN),
    ("pow", 2.0, NAN, NAN),
    ("pow", -1.0, NAN, NAN),
    ("pow", 0.0, 3.0, 0.0),
    ("pow", -0.0, 3.0, -0.0),
    ("pow", -0.0, 2.0, 0.0),
    ("pow", -0.0, 2.5, 0.0),
    ("pow", 0.0, -3.0, INF),
    ("pow", -0.0, -3.0, -INF),
    ("pow", -0.0, -2.0, INF),
    ("pow", -0.0, -2.5, INF),
    ("pow", 0.0, -INF, INF),
    ("pow", -0.0, -INF, INF),
    ("pow", 0.0, INF, 0.0),
    ("pow", -0.0, INF, 0.0),
    ("pow", 0.5, INF, 0.0),
    ("pow", -0.5, INF, 0.0),
    ("pow", 0.5, -INF, INF),
    ("pow", -0.5, -INF, INF),
    ("pow", 1.5, INF, INF),
    ("pow", -1.5, INF, INF),
    ("pow", 1.5, -INF, 0.0),
    ("pow", -1.5, -INF, 0.0),
    ("pow", INF, 2.5, INF),
    ("pow", INF, -2.5, 0.0),
    ("pow", INF, INF, INF),
    ("pow", INF, -INF, 0.0),
    ("pow", -INF, 3.0, -INF),
    ("pow", -INF, 2.0, INF),
    ("pow", -INF, 2.5, INF),
    ("pow", -INF, -3.0, -0.0),
    ("pow", -INF, -2.0, 0.0),
    ("pow", -INF, -2.5, 0.0),
    ("pow", -INF, INF, INF),
    ("pow", -INF, -INF, 0.0),
    ("pow", -8.0, 0.5, NAN),
    ("pow", -8.0, 3.0, -512.0),
    ("pow", -8.0, -1.0, -0.125),
    ("pow", 3.0, 2.0, 9.0),
    ("pow", 3.0, 5.0, 243.0),
    ("pow", 10.0, 3.0, 1000.0),
    ("pow", 0.25, -0.5, 2.0),
    ("pow", 2.0, -149.0, 1.401_298_464_324_817e-45),
    ("pow", 2.0, 1e9, INF),
    ("pow", 2.0, -1e9, 0.0),
    ("pow", -2.0, 1e30, INF),
    ("pow", 0.999, 1e38, 0.0),
    ("pow", -1.0, 1e38, 1.0),
    ("pow", -1.0, 16_777_215.0, -1.0),
    ("atan2", 0.0, 0.0, 0.0),
    ("atan2", -0.0, 0.0, -0.0),
    ("atan2", 0.0, -0.0, PI),
    ("atan2", -0.0, -0.0, -PI),
    ("atan2", 0.0, 2.0, 0.0),
    ("atan2", -0.0, 2.0, -0.0),
    ("atan2", 0.0, -2.0, PI),
    ("atan2", -0.0, -2.0, -PI),
    ("atan2", 2.0, 0.0, FRAC_PI_2),
    ("atan2", -2.0, -0.0, -FRAC_PI_2),
    ("atan2", 2.0, INF, 0.0),
    ("atan2", -2.0, INF, -0.0),
    ("atan2", 2.0, -INF, PI),
    ("atan2", -2.0, -INF, -PI),
    ("atan2", INF, 2.0, FRAC_PI_2),
    ("atan2", -INF, -2.0, -FRAC_PI_2),
    ("atan2", NAN, 1.0, NAN),
    ("atan2", 1.0, NAN, NAN),
    ("hypot", 3.0, -4.0, 5.0),
    ("hypot", 0.0, -0.0, 0.0),
    ("hypot", 0.0, -2.0, 2.0),
    ("hypot", INF, NAN, INF),
    ("hypot", NAN, -INF, INF),
    ("hypot", -INF, 1.0, INF),
    ("hypot", NAN, 1.0, NAN),
    ("hypot", 1.0, NAN, NAN),
    ("hypot", 3e-45, 0.0, 3e-45),
    ("logaddexp", -INF, -INF, -INF),
    ("logaddexp", -INF, 3.0, 3.0),
    ("logaddexp", 3.0, -INF, 3.0),
    ("logaddexp", INF, -INF, INF),
    ("logaddexp", INF, INF, INF),
    ("logaddexp", INF, 1.0, INF),
    ("logaddexp", NAN, 1.0, NAN),
    ("logaddexp", 1.0, NAN, NAN),
    ("logaddexp", NAN, INF, NAN),
    ("logaddexp", NAN, -INF, NAN),
    ("polygamma", 0.0, 0.0, -INF),
    ("polygamma", 1.0, -2.0, INF),
    ("polygamma", 2.0, 0.0, NAN),
    ("polygamma", 2.0, -2.0, NAN),
    ("polygamma", 3.0, -2.0, INF),
    ("polygamma", 2.0, INF, 0.0),
    ("polygamma", 3.0, -INF, NAN),
    ("polygamma", -1.0, 2.0, NAN),
    ("polygamma", NAN, 2.0, NAN),
    ("polygamma", 2.0, NAN, NAN),
    ("fmod", 7.5, -2.0, 1.5),
    ("fmod", -7.5, 2.0, -1.5),
    ("fmod", -6.0, 2.0, -0.0),
    ("fmod", 0.0, -1.0, 0.0),
    ("fmod", 1.0, INF, 1.0),
    ("fmod", INF, 1.0, NAN),
    ("fmod", 1.0, 0.0, NAN),
    ("fmod", NAN, 1.0, NAN),
    ("fmod", 1.0, NAN, NAN),
    ("floored_mod", 7.5, -2.0, -0.5),
    ("floored_mod", -7.5, 2.0, 0.5),
    ("floored_mod", -6.0, 2.0, 0.0),
    ("floored_mod", 6.0, -2.0, -0.0),
    ("floored_mod", -1.0, INF, INF),
    ("floored_mod", 1.0, INF, 1.0),
    ("floored_mod", INF, 1.0, NAN),
    ("floored_mod", 1.0, 0.0, NAN),
];

/// Equal bits, or both NaN.
fn same(got: f64, want: f64) -> bool {
    got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan()
}

#[test]
fn exact_values() {
    let mut wrong = Vec::new();
    let mut check = |text: String, got: f64, want: f64| {
        if !same(got, want) {
            wrong.push(format!("{text} = {got:?}, not {want:?}"));
        }
    };
    for f in UNARY {
        check(format!("{}(NaN)", f.name), (f.f64)(NAN), NAN);
        check(format!("{}(NaN) in f32", f.name), (f.f32)(f32::NAN).into(), NAN);
        check(format!("{}(-NaN)", f.name), (f.f64)(-NAN), NAN);
        check(format!("{}(-NaN) in f32", f.name), (f.f32)(-f32::NAN).into(), NAN);
        assert!(EXACT.iter().any(|e| e.0 == f.name), "{} has no exact values", f.name);
    }
    for &(name, x, want) in EXACT {
        let f = UNARY.iter().find(|f| f.name == name).expect("a function of the table");
        check(format!("{name}({x:?})"), (f.f64)(x), want);
        check(format!("{name}({x:?}) in f32"), (f.f32)(x as f32).into(), f64::from(want as f32));
    }
    for f in BINARY {
        assert!(EXACT_PAIRS.iter().any(|e| e.0 == f.name), "{} has no exact values", f.name);
    }
    for &(name, x, y, want) in EXACT_PAIRS {
        let f = BINARY.iter().find(|f| f.name == name).expect("a function of the table");
        check(format!("{name}({x:?}, {y:?})"), (f.f64)(x, y), want);
        check(format!("{name}({x:?}, {y:?}) in f32"), (f.f32)(x as f32, y as f32).into(), f64::from(want as f32));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The least arguments that overflow and the last that do not, to the bit.
#[test]
fn thresholds() {
    let f32s = |name: &str| UNARY.iter().find(|f| f.name == name).expect("a function of the table").f32;
    let f64s = |name: &str| UNARY.iter().find(|f| f.name == name).expect("a function of the table").f64;
    let table32: &[(&str, u32)] = &[
        ("exp", 0x42b1_7217),
        ("expm1", 0x42b1_7217),
        ("exp2", 0x42ff_ffff),
        ("sinh", 0x42b2_d4fc),
        ("cosh", 0x42b2_d4fc),
    ];
    for &(name, last) in table32 {
        assert!(f32s(name)(f32::from_bits(last)).is_finite(), "{name} is finite at {last:x}");
        assert_eq!(f32s(name)(f32::from_bits(last + 1)), f32::INFINITY, "{name} overflows after {last:x}");
    }
    let table64: &[(&str, u64)] = &[
        ("exp", 0x4086_2e42_fefa_39ef),
        ("expm1", 0x4086_2e42_fefa_39ef),
        ("exp2", 0x408f_ffff_ffff_ffff),
        ("sinh", 0x4086_33ce_8fb9_f87d),
        ("cosh", 0x4086_33ce_8fb9_f87d),
    ];
    for &(name, last) in table64 {
        assert!(f64s(name)(f64::from_bits(last)).is_finite(), "{name} is finite at {last:x}");
        assert_eq!(f64s(name)(f64::from_bits(last + 1)), f64::INFINITY, "{name} overflows after {last:x}");
    }
    // Half of the least subnormal is a tie and goes to zero.
    assert_eq!(f32s("exp")(f32::from_bits(0xc2cf_f1b4)), f32::from_bits(1));
    assert_eq!(f32s("exp")(f32::from_bits(0xc2cf_f1b5)), 0.0);
    assert_eq!(f32s("exp2")(-150.0), 0.0);
    assert_eq!(f32s("exp2")((-150f32).next_up()), f32::from_bits(1));
    assert_eq!(f64s("exp2")(-1075.0), 0.0);
    assert_eq!(f64s("exp2")((-1075f64).next_up()), f64::from_bits(1));
}

/// Infinite points lie on the diagonals.
#[test]
fn atan2_of_infinities() {
    let (l, d) = (&mut Plain::<f32>::default(), &mut Plain::<f64>::default());
    for (y, x, want) in
        [(INF, INF, FRAC_PI_4), (INF, -INF, 3.0 * FRAC_PI_4), (-INF, INF, -FRAC_PI_4), (-INF, -INF, -3.0 * FRAC_PI_4)]
    {
        assert!(error(math::atan2(d, y, x), want, 0.0, 0.0) <= 1.0);
        assert!(error(math::atan2(l, y as f32, x as f32), want, 0.0, 0.0) <= 1.0);
    }
}

#[test]
fn order_and_sign() {
    let (l, d) = (&mut Plain::<f32>::default(), &mut Plain::<f64>::default());
    for (a, b) in [(1.0, 2.0), (-1.0, 3.0), (-INF, INF), (0.0, 0.0), (5.0, 5.0)] {
        assert_eq!((math::fmax(d, a, b), math::fmin(d, a, b)), (b, a));
        assert_eq!((math::fmax(d, b, a), math::fmin(d, b, a)), (b, a));
        assert_eq!((math::fmax(l, a as f32, b as f32), math::fmin(l, a as f32, b as f32)), (b as f32, a as f32));
    }
    for (a, b) in [(NAN, 1.0), (1.0, NAN), (NAN, NAN)] {
        assert!(math::fmax(d, a, b).is_nan() && math::fmin(d, a, b).is_nan());
        assert!(math::fmax(l, a as f32, b as f32).is_nan() && math::fmin(l, a as f32, b as f32).is_nan());
    }
    for (x, want) in [(3.0, 1.0), (-1e-300, -1.0), (0.0, 0.0), (-0.0, 0.0), (INF, 1.0), (-INF, -1.0), (NAN, NAN)] {
        assert!(same(math::sign(d, x), want));
    }
    assert_eq!(math::sign(l, -f32::from_bits(1)), -1.0);
}
