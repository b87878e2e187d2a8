//! Transformations of transformations, through loops, sorting, linear algebra and rules of one's own: each composition against another way to the same
//! numbers, on every engine.

mod engines;

use cotangent::build::TriangularOptions;
use cotangent::prelude::*;
use cotangent::testing::{Draw, Tolerance, compare};
use engines::engines;

/// Examples of a batch.
const EXAMPLES: usize = 3;

/// A scalar function of a vector and shared weights, both of `N` elements.
type Function = Box<dyn for<'g> Fn(Tensor<'g>, Tensor<'g>) -> Tensor<'g>>;

const N: usize = 4;

fn functions() -> Vec<(&'static str, Function)> {
    fn function(
        name: &'static str,
        f: impl for<'g> Fn(Tensor<'g>, Tensor<'g>) -> Tensor<'g> + 'static,
    ) -> (&'static str, Function) {
        (name, Box::new(f))
    }
    /// A matrix near the identity.
    fn matrix<'g>(x: Tensor<'g>, w: Tensor<'g>) -> Tensor<'g> {
        let part = x.slice(0, 0..2).outer(w.slice(0, 1..3)).tanh();
        part * 0.3 + x.builder().eye(f64([2, 2]), 0)
    }
    vec![
        function("scan", |x, w| {
            let g = x.builder();
            let (last, all) = g.scan(g.zeros(f64([])), (x, w), |h, (x, w)| {
                let h = (h * w + x).tanh();
                (h, h * h)
            });
            last + all.sum()
        }),
        function("scan that keeps carries, in reverse", |x, w| {
            let g = x.builder();
            let scan = Scan::new().reverse().keep(Keep::Carries);
            let (last, all) = g.scan_with(scan, x, w, |h, w| {
                let h = (h * w + x.sin()).tanh();
                (h, h.sum())
            });
            last.sum() * all.square().sum()
        }),
        function("scan inside a scan", |x, w| {
            let g = x.builder();
            g.scan(g.zeros(f64([])), x, |h, x| {
                let inner = g.scan(h, w, |k, w| ((k * w + x).sin(), ())).0;
                (inner + x * h, ())
            })
            .0
        }),
        function("while", |x, w| {
            let g = x.builder();
            // Newton's iteration for the square root.
            let a = (x * w).square().sum() + 1.0;
            g.while_loop(a, 60, |y| (y * y - a).abs().gt(1e-13 * a), |y| (y + a / y) * 0.5)
        }),
        function("cond", |x, w| {
            let g = x.builder();
            g.cond(x.sum().gt(0.0), || (x * w).exp().sum(), || (x.square() * w).sum())
        }),
        function("sort", |x, w| (x.sort(0, true) * w).square().sum() + x.median(0) * w.sum()),
        function("top_k", |x, w| (x.top_k(2, 0).0.square() * w.slice(0, 0..2)).sum()),
        function("cumulative", |x, w| {
            (x.cumsum(0) * w).square().sum() + (x * w).cumprod(0).sum() + x.cummax(0).square().sum()
        }),
        function("logcumsumexp", |x, w| (x.logcumsumexp(0) * w).sum()),
        function("cholesky", |x, w| {
            let m = matrix(x, w);
            let l = m.matmul(m.t()).cholesky();
            l.square().sum() * x.sum() + m.matmul(m.t()).logdet()
        }),
        function("solve and inverse", |x, w| {
            let m = matrix(x, w);
            m.solve(x.slice(0, 2..4)).square().sum() + m.inverse().sum() * m.det()
        }),
        function("triangular solve", |x, w| {
            let m = matrix(x, w);
            m.triangular_solve(x.reshape([2, 2]), TriangularOptions::default()).square().sum()
        }),
        function("scatter and gather", |x, w| {
            let places = x.builder().constant(Array::from([2i32, 0, 2, 3]));
            (w.scatter(Combine::Add, places, x.square(), 0).take(places, 0) * x).sum()
        }),
        function("a checkpoint inside a scan", |x, w| {
            let g = x.builder();
            g.scan(x, w, |h, a| (g.checkpoint(|| (h * a + w).tanh() + x), ())).0.square().sum()
        }),
        function("a rule of one's own inside a scan", |x, w| {
            let g = x.builder();
            let (last, all) = g.scan(x, w, |h, a| {
                let inner = h * a + w;
                // The hyperbolic tangent, with its slope by its value.
                let h = g.custom_vjp("tanh", &[inner], |z| z[0].tanh(), |_, y, u| vec![u * (1.0 - y * y)]);
                (h, h.sum())
            });
            last.sum() + all.square().sum()
        }),
        function("a rule of one's own of an outer tensor", |x, w| {
            let g = x.builder();
            g.scan(x, w, |h, a| {
                let h = g.custom_vjp(
                    "sine of a product",
                    &[h, w],
                    |z| (z[0] * z[1]).sin(),
                    |z, _, u| {
                        let slope = u * (z[0] * z[1]).cos();
                        vec![slope * z[1], slope * z[0]]
                    },
                );
                (h + a, ())
            })
            .0
            .sum()
        }),
        function("a select of a loop", |x, w| {
            let g = x.builder();
            let (_, all) = g.scan(g.zeros(f64([])), x, |h, x| (h + x * x, h + x));
            x.gt(0.0).select(all.sin(), w).square().sum()
        }),
    ]
}

fn check(name: &str, f: &Function) {
    let g = Builder::new();
    let (x, v) = (g.input("x", f64([EXAMPLES, N])), g.input("v", f64([EXAMPLES, N])));
    let w = g.input("w", f64([N]));

    // By one example at a time.
    let mut singles = Vec::new();
    for i in 0..EXAMPLES {
        let (x, v) = (x.slice(0, i..i + 1).reshape([N]), v.slice(0, i..i + 1).reshape([N]));
        let y = f(x, w);
        let [dx, dw] = g.grad(y, [x, w]);
        let hessian = g.hessian(y, x);
        singles.push([y, dx, dw, hessian, g.jvp(&[y], &[(x, v)])[0], g.hvp(y, &[(x, v)])[0]]);
    }
    let stacked: Vec<Tensor<'_>> =
        (0..6).map(|k| g.stack(&singles.iter().map(|s| s[k]).collect::<Vec<_>>(), 0)).collect();
    let [_, dx, dw, hessian, slope, curved] = stacked[..] else { unreachable!() };

    // By batches of all of them.
    let batched = g.vmap([x, v], |[x, v]| {
        let y = f(x, w);
        let [dx, dw] = g.grad(y, [x, w]);
        [y, dx, dw, g.hessian(y, x), g.jvp(&[y], &[(x, v)])[0], g.hvp(y, &[(x, v)])[0]]
    });
    let [values] = g.vmap([x], |[x]| [f(x, w)]);
    let [of_batch, of_shared] = g.grad(values.sum(), [x, w]);
    let forward_of_batch = g.jvp(&[values], &[(x, v)])[0];
    let [second] = g.grad((of_batch * v).sum(), [x]);
    let forward_hessian = g.vmap([x], |[x]| {
        let y = f(x, w);
        [g.jacobian_reverse(g.grad(y, [x])[0], x)]
    })[0];

    let mut pairs: Vec<(&str, Tensor<'_>, Tensor<'_>)> = Vec::new();
    let names = ["value", "gradient", "gradient by what is shared", "hessian", "jvp", "hvp"];
    for ((what, one), many) in names.into_iter().zip(stacked.iter().copied()).zip(batched) {
        pairs.push((what, one, many));
    }
    pairs.extend([
        ("grad of vmap", dx, of_batch),
        ("grad of vmap by what is shared", dw.sum_over(0), of_shared),
        ("jvp of vmap", slope, forward_of_batch),
        ("jvp and gradient", slope, (dx * v).sum_over(1)),
        ("grad of grad", curved, second),
        ("hvp and hessian", curved, (hessian * v.expand(1)).sum_over(2)),
        ("hessian is symmetric", hessian, hessian.transpose([0, 2, 1])),
        ("reverse over reverse", hessian, forward_hessian),
    ]);
    let labels: Vec<String> = (0..2 * pairs.len()).map(|i| i.to_string()).collect();
    let both = pairs.iter().flat_map(|p| [p.1, p.2]);
    let outputs: Vec<(&str, Tensor<'_>)> = labels.iter().map(String::as_str).zip(both).collect();
    let program = g.program(&outputs);
    let draw = |seed: u64, shape: &[usize]| Draw::new(seed).uniform(&f64(shape), -1.2, 1.2);
    let (xs, vs, ws) = (draw(1, &[EXAMPLES, N]), draw(2, &[EXAMPLES, N]), draw(3, &[N]));
    let mut failures = Vec::new();
    for engine in engines() {
        let mut run = program.compile(&Options::engine(engine)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let results = run.run(&[("x", &xs), ("v", &vs), ("w", &ws)]).unwrap();
        let arrays: Vec<Array> = results.iter().map(|(_, a)| a.clone()).collect();
        for (i, (what, ..)) in pairs.iter().enumerate() {
            // A converged iteration has converged derivatives, which are a few digits behind.
            let tolerance = Tolerance { relative: 1e-9, scaled: 1e-9, absolute: 1e-11 };
            assert!(arrays[2 * i].to_f64_vec().iter().all(|v| v.is_finite()), "{name}, {what}: {}", arrays[2 * i]);
            if let Err(e) = compare(&arrays[2 * i], &arrays[2 * i + 1], tolerance) {
                failures.push(format!("{engine:?} {name}, {what}: {e}"));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn compositions_agree() {
    let failures: Vec<&str> = functions()
        .iter()
        .filter(|(name, f)| std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(name, f))).is_err())
        .map(|(name, _)| *name)
        .collect();
    assert!(failures.is_empty(), "{failures:?}");
}

/// The gradients themselves, by central differences.
#[test]
fn gradients_are_those_of_differences() {
    for (name, f) in functions() {
        let inputs = [4, 5].map(|seed| Draw::new(seed).uniform(&f64([N]), -1.2, 1.2));
        cotangent::testing::check_gradient(&inputs, |_, x| f(x[0], x[1])).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

/// The second derivative of a square root that a loop finds.
#[test]
fn hessian_of_a_while_loop() {
    let g = Builder::new();
    let x = g.input("x", f64([2]));
    let a = x.sum();
    let root = g.while_loop(a, 60, |y| (y * y - a).abs().gt(1e-14 * a), |y| (y + a / y) * 0.5);
    let hessian = g.hessian(root, x);
    for engine in engines() {
        let mut run = g.program(&[("hessian", hessian)]).compile(&Options::engine(engine)).unwrap();
        let result = run.run(&[("x", &Array::from([1.0, 3.0]))]).unwrap().first().to_f64_vec();
        assert!(result.iter().all(|d| (d + 1.0 / 32.0).abs() < 1e-9), "{result:?}");
    }
}
