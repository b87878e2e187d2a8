//! Exponentials, logarithms and what is made of them.

macro_rules! exponential {
    ($($collected:tt)*) => { table! { $($collected)*
    /// `e^a`.
    Exp {
        name: "exp", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (-2.0, 2.0),
        vjp: |e, g, y, _| { let d = e.mul(g, y); all(&[d]) },
        lanes: |l, a| F(math::exp(l, a[0].f())),
    }
    /// `2^a`.
    Exp2 {
        name: "exp2", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (-2.0, 2.0),
        vjp: |e, g, y, _| {
            let slope = e.scale(y, std::f64::consts::LN_2);
            let d = e.mul(g, slope);
            all(&[d])
        },
        lanes: |l, a| F(math::exp2(l, a[0].f())),
    }
    /// `e^a - 1`, accurate near 0.
    Expm1 {
        name: "expm1", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (-2.0, 2.0),
        vjp: |e, g, _, x| {
            let p = e.map(ScalarFn::Exp, &[x[0]]);
            let d = e.mul(g, p);
            all(&[d])
        },
        lanes: |l, a| F(math::expm1(l, a[0].f())),
    }
    /// The natural logarithm: -inf at 0, NaN below.
    Log {
        name: "log", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (0.5, 3.0),
        vjp: |e, g, _, x| { let d = e.div(g, x[0]); all(&[d]) },
        lanes: |l, a| F(math::log(l, a[0].f())),
    }
    /// The logarithm to base 2: -inf at 0, NaN below.
    Log2 {
        name: "log2", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (0.5, 3.0),
        vjp: |e, g, _, x| {
            let slope = e.scale(g, std::f64::consts::LOG2_E);
            let d = e.div(slope, x[0]);
            all(&[d])
        },
        lanes: |l, a| F(math::log2(l, a[0].f())),
    }
    /// The logarithm to base 10: -inf at 0, NaN below.
    Log10 {
        name: "log10", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (0.5, 3.0),
        vjp: |e, g, _, x| {
            let slope = e.scale(g, std::f64::consts::LOG10_E);
            let d = e.div(slope, x[0]);
            all(&[d])
        },
        lanes: |l, a| F(math::log10(l, a[0].f())),
    }
    /// `ln(1 + a)`, accurate near 0.
    Log1p {
        name: "log1p", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (-0.5, 2.0),
        vjp: |e, g, _, x| {
            let one = e.full_like(x[0], 1.0);
            let s = e.add(x[0], one);
            let d = e.div(g, s);
            all(&[d])
        },
        lanes: |l, a| F(math::log1p(l, a[0].f())),
    }
    /// `ln(1 + e^a)`, without overflow.
    Softplus {
        name: "softplus", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (-3.0, 3.0),
        vjp: |e, g, _, x| {
            let s = e.map(ScalarFn::Sigmoid, &[x[0]]);
            let d = e.mul(g, s);
            all(&[d])
        },
        lanes: |l, a| F(math::softplus(l, a[0].f())),
    }
    /// `1 / (1 + e^-a)`.
    Sigmoid {
        name: "sigmoid", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (-3.0, 3.0),
        vjp: |e, g, y, x| {
            // sigmoid(-a) rather than 1 - sigmoid(a), which loses its digits for large a.
            let n = e.neg(x[0]);
            let other = e.map(ScalarFn::Sigmoid, &[n]);
            let slope = e.mul(y, other);
            let d = e.mul(g, slope);
            all(&[d])
        },
        lanes: |l, a| F(math::sigmoid(l, a[0].f())),
    }
    /// The logarithm of the odds `a / (1 - a)`: -inf at 0, inf at 1, NaN outside. Near 1/2, where the logarithms cancel, `2 atanh(2 a - 1)`.
    Logit {
        name: "logit", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (0.1, 0.9),
        vjp: |e, g, _, x| {
            let one = e.full_like(x[0], 1.0);
            let rest = e.sub(one, x[0]);
            let variance = e.mul(x[0], rest);
            let d = e.div(g, variance);
            all(&[d])
        },
        lanes: |l, a| {
            let x = a[0].f();
            let (half, two, least) = (l.fconst(0.5), l.fconst(2.0), l.fconst(-1.0));
            let turned = l.fma(x, two, least);
            let near = math::atanh(l, turned);
            let near = l.fmul(near, two);
            let rest = l.fneg(x);
            let (log, log_rest) = (math::log(l, x), math::log1p(l, rest));
            let far = l.fsub(log, log_rest);
            let distance = l.fabs(turned);
            let is_near = l.fle(distance, half);
            F(l.fselect(is_near, near, far))
        },
    }
    /// `ln(e^a + e^b)`, without overflow. Equal infinities share the cotangent.
    Logaddexp {
        name: "logaddexp", arity: 2, signature: Float, commutative: true, cost: Dear, domain: (-2.0, 2.0),
        vjp: |e, g, y, x| {
            // Equal infinities differ by nothing; elsewhere the difference keeps its derivative.
            let zero = e.full_like(y, 0.0);
            let finite = e.map(ScalarFn::IsFinite, &[y]);
            let differ = e.map(ScalarFn::Ne, &[x[0], x[1]]);
            let clear = e.map(ScalarFn::Or, &[finite, differ]);
            let (a, b) = (e.select(clear, x[0], zero), e.select(clear, x[1], zero));
            let mut share = |from, to| {
                let difference = e.sub(from, to);
                let share = e.map(ScalarFn::Sigmoid, &[difference]);
                e.mul(g, share)
            };
            let (da, db) = (share(a, b), share(b, a));
            all(&[da, db])
        },
        lanes: |l, a| F(math::logaddexp(l, a[0].f(), a[1].f())),
    }
    } };
}
