//! Activations, which are graphs: compiled, against exact values in f64, and in a sweep of f32 against their formulas in f64.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

use cotangent::Array;
use cotangent::prelude::*;
use cotangent::scalar::{Plain, math};

use super::{Format, Worst, error, golden, stride};

/// An activation, its f64 reference and its bounds in ulp.
pub struct Activation {
    pub name: &'static str,
    f: for<'g> fn(Tensor<'g>) -> Tensor<'g>,
    reference: fn(f64) -> f64,
    /// The magnitude whose last place is the unit of the error where it is larger than the result, from the element and the least normal number: what
    /// cancels, or a gate that has left the normal numbers.
    scale: fn(f64, f64) -> f64,
    pub bound32: f64,
    pub bound64: f64,
}

fn plain() -> Plain<f64> {
    Plain::default()
}

fn elu(x: f64, alpha: f64) -> f64 {
    if x > 0.0 { x } else { alpha * (x / alpha).exp_m1() }
}

fn half_of_negative(x: f64, least: f64) -> f64 {
    if x < 0.0 { x.abs() / 2.0 } else { least }
}

fn of_gate(x: f64, least: f64) -> f64 {
    if x.is_finite() { x.abs() * least } else { least }
}

pub const ACTIVATIONS: &[Activation] = &[
    Activation {
        name: "gelu",
        f: |x| x.gelu(),
        reference: |x| if x < -1e3 { 0.0 } else { x * 0.5 * math::erfc(&mut plain(), -x * FRAC_1_SQRT_2) },
        scale: half_of_negative,
        bound32: 2.0,
        bound64: 1.6,
    },
    Activation {
        name: "gelu_tanh",
        f: |x| x.gelu_tanh(),
        reference: |x| {
            let inner = FRAC_2_PI.sqrt() * (x + 0.044715 * x * x * x);
            if x < -1e3 { 0.0 } else { x * math::sigmoid(&mut plain(), 2.0 * inner) }
        },
        scale: half_of_negative,
        bound32: 2.5,
        bound64: 1.6,
    },
    Activation {
        name: "silu",
        f: |x| x.silu(),
        reference: |x| if x < -1e3 { 0.0 } else { x * math::sigmoid(&mut plain(), x) },
        scale: of_gate,
        bound32: 3.0,
        bound64: 1.5,
    },
    Activation {
        name: "mish",
        f: |x| x.mish(),
        reference: |x| if x < -1e3 { 0.0 } else { x * math::softplus(&mut plain(), x).tanh() },
        scale: of_gate,
        bound32: 3.6,
        bound64: 3.0,
    },
    Activation {
        name: "elu",
        f: |x| x.elu(1.0),
        reference: |x| elu(x, 1.0),
        scale: |_, _| 0.0,
        bound32: 1.4,
        bound64: 1.35,
    },
    Activation {
        name: "celu",
        f: |x| x.celu(1.5),
        reference: |x| elu(x, 1.5),
        scale: |_, _| 0.0,
        bound32: 2.6,
        bound64: 2.2,
    },
    Activation {
        name: "selu",
        f: |x| x.selu(),
        reference: |x| {
            let alpha = 1.673_263_242_354_377_2;
            1.050_700_987_355_480_5 * if x > 0.0 { x } else { alpha * x.exp_m1() }
        },
        scale: |_, _| 0.0,
        bound32: 2.8,
        bound64: 2.4,
    },
    Activation {
        name: "log_sigmoid",
        f: |x| x.log_sigmoid(),
        reference: |x| -math::softplus(&mut plain(), -x),
        scale: |_, _| 0.0,
        bound32: 1.75,
        bound64: 1.7,
    },
    Activation {
        name: "hard_sigmoid",
        f: |x| x.hard_sigmoid(),
        reference: |x| (x / 6.0 + 0.5).clamp(0.0, 1.0),
        scale: |_, _| 0.5,
        bound32: 0.75,
        bound64: 0.75,
    },
    Activation {
        name: "hard_swish",
        f: |x| x.hard_swish(),
        reference: |x| match x {
            _ if x <= -3.0 => 0.0,
            _ if x >= 3.0 => x,
            _ => x * (x + 3.0) / 6.0,
        },
        scale: |_, least| least,
        bound32: 2.5,
        bound64: 2.0,
    },
    Activation {
        name: "leaky_relu",
        f: |x| x.leaky_relu(0.01),
        reference: |x| if x > 0.0 { x } else { x * 0.01 },
        scale: |_, _| 0.0,
        bound32: 0.9,
        bound64: 0.9,
    },
];

/// The activation compiled for `x` of this type.
fn compiled(activation: &Activation, ty: TensorType) -> Executable {
    let g = Builder::new();
    let y = (activation.f)(g.input("x", ty));
    g.program(&[("y", y)]).compile(&Options::default()).unwrap()
}

/// Against exact values in f64.
pub fn of_golden() -> Worst {
    let mut worst = Worst::default();
    for activation in ACTIVATIONS {
        let lines = golden::<f64>(include_str!("../golden/math_f64.txt")).filter(|l| l.0 == activation.name);
        let lines: Vec<(Vec<f64>, f64)> = lines.map(|l| (l.1, l.2)).collect();
        let x = Array::from(lines.iter().map(|l| l.0[0]).collect::<Vec<f64>>());
        let y = compiled(activation, x.ty()).run(&[("x", &x)]).unwrap().first().to_f64_vec();
        assert!(!y.is_empty(), "{} has no exact values", activation.name);
        for ((numbers, rest), &got) in lines.iter().zip(&y) {
            let scale = (activation.scale)(numbers[0], f64::MIN_POSITIVE);
            let e = error(got, numbers[1], *rest, scale);
            worst.note(activation.name, activation.bound64, e, || format!("{:e}", numbers[0]));
        }
    }
    worst.report("f64, activations")
}

/// Against the formulas, in f32 at every `SWEEP_STRIDE`-th bit pattern.
pub fn of_sweep() -> Worst {
    /// So many elements at a time.
    const CHUNK: usize = 1 << 16;
    let mut worst = Worst::default();
    for activation in ACTIVATIONS {
        let mut run = compiled(activation, f32([CHUNK]));
        let mut patterns = (0..=u32::MAX).step_by(stride() as usize);
        let (mut top, mut points) = ((0.0, 0.0f32), 0);
        loop {
            let mut x: Vec<f32> = patterns.by_ref().take(CHUNK).map(f32::from_bits).collect();
            let count = x.len();
            if count == 0 {
                break;
            }
            // The last ones are as many as the others, so that the same code runs.
            x.resize(CHUNK, 0.0);
            let x = Array::from(x);
            let outputs = run.run(&[("x", &x)]).unwrap();
            let (x, y) = (x.as_slice::<f32>().unwrap(), outputs.first().as_slice::<f32>().unwrap());
            for (&x, &y) in x[..count].iter().zip(y) {
                let scale = (activation.scale)(x.wide(), f32::MIN_POSITIVE.into());
                let e = error(y, (activation.reference)(x.wide()), 0.0, scale);
                if e > top.0 {
                    top = (e, x);
                }
            }
            points += count;
        }
        worst.note(activation.name, activation.bound32, top.0, || format!("{:e}", top.1));
        worst.0.get_mut(activation.name).expect("was just put in").3 = points;
    }
    worst.report("f32, sweep of activations")
}

#[test]
fn activations_f64() {
    of_golden();
}

#[test]
fn activations_f32() {
    of_sweep();
}
