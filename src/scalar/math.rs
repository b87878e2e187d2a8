//! temporary
use super::lanes::{Lanes, Slow};
macro_rules! tmp { ($($n:ident $e:expr;)*) => {$(
/// tmp
pub fn $n<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    extern "C" fn f(x: f64) -> f64 { let f: fn(f64) -> f64 = $e; f(x) }
    extern "C" fn f32_(x: f32) -> f32 { f(x as f64) as f32 }
    let t = l.mconst(true);
    l.rare(t, Slow { f32: f32_, f64: f }, x, x)
})*}}
tmp! { exp f64::exp; expm1 f64::exp_m1; log f64::ln; log1p f64::ln_1p; tanh f64::tanh; sigmoid |x| 1.0/(1.0+(-x).exp()); rsqrt |x| 1.0/x.sqrt(); erf |x| x.tanh(); sin f64::sin; cos f64::cos; softplus |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p(); }
/// tmp
pub fn pow<L: Lanes>(l: &mut L, x: L::F, y: L::F) -> L::F {
    let a = log(l, x);
    let b = l.fmul(a, y);
    exp(l, b)
}
/// tmp
pub fn fmax<L: Lanes>(l: &mut L, x: L::F, y: L::F) -> L::F {
    let m = l.flt(y, x);
    let r = l.fselect(m, x, y);
    let n = l.fne(x, x);
    l.fselect(n, x, r)
}
/// tmp
pub fn fmin<L: Lanes>(l: &mut L, x: L::F, y: L::F) -> L::F {
    let m = l.flt(x, y);
    let r = l.fselect(m, x, y);
    let n = l.fne(x, x);
    l.fselect(n, x, r)
}
