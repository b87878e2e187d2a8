//! Values that are exact: at zeros, infinities, NaN, at the ends of domains, and where results begin to overflow.

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};

use cotangent::scalar::{Plain, math};

use super::{BINARY, UNARY, error};

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
    ("logit", 0.5, 0.0),
    ("logit", 0.0, -INF),
    ("logit", -0.0, -INF),
    ("logit", 1.0, INF),
    ("logit", 1.5, NAN),
    ("logit", -0.5, NAN),
    ("logit", INF, NAN),
    ("logit", -INF, NAN),
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
