//! Composites that are found again in what the optimizer left of them: softmax, the logarithm of a sum of exponentials, means and variances, relu.
//!
//! They are found by structure, so it does not matter whether the user called a method, wrote the formula, or differentiation made it. Each function
//! replaces forms by a form that is equal over the real numbers.

use crate::graph::{Dims, Shape};
use crate::scalar::ScalarFn;

use super::form::{Fold, Form, FormId, Forms, Function};

impl Forms {
    /// The operand of the exponential, if the form is one.
    fn as_exp(&self, id: FormId) -> Option<FormId> {
        match self.form(id) {
            Form::Apply(Function::Scalar(ScalarFn::Exp), args) => Some(args[0]),
            _ => None,
        }
    }

    /// The axes and the operand, if the form is this fold.
    fn as_fold(&self, id: FormId, kind: Fold) -> Option<(&Dims, FormId)> {
        match self.form(id) {
            Form::Fold { fold, axes, of } if *fold == kind => Some((axes, *of)),
            _ => None,
        }
    }

    /// The operand of a repetition along just these axes; a scalar is one of any axes.
    fn repeated(&self, id: FormId, axes: &Dims) -> Option<FormId> {
        match self.form(id) {
            Form::Repeat { axes: along, of } if along == axes => Some(*of),
            _ if self.is_scalar(id) => Some(id),
            _ => None,
        }
    }

    /// The form without these axes, along which it does not vary; `None` if it may.
    fn constant_along(&mut self, id: FormId, axes: &Dims) -> Option<FormId> {
        let (coef, factors) = self.factors(id);
        let factors: Option<Vec<_>> =
            factors.iter().map(|&(f, e)| self.repeated(f, axes).map(|inner| (inner, e))).collect();
        factors.map(|f| self.product(coef, &f))
    }

    /// The form without these axes, if no term of it varies along them.
    pub(super) fn same_along(&mut self, id: FormId, axes: &Dims) -> Option<FormId> {
        let mut terms = Vec::new();
        for (coef, term) in self.terms(id) {
            let (front, factors) = self.factors(term);
            let mut inner = Vec::new();
            for (factor, e) in factors {
                if *self.form(factor) != Form::Ones {
                    inner.push((self.repeated(factor, axes)?, e));
                }
            }
            terms.push((coef, self.product(front, &inner)));
        }
        Some(self.sum(&terms))
    }

    /// The terms that vary along the axes, as one form, and the others without the axes, as another. `None` if no term varies.
    fn vary_along(&mut self, id: FormId, axes: &Dims) -> Option<(FormId, FormId)> {
        let (mut vary, mut stay) = (Vec::new(), Vec::new());
        for (coef, term) in self.terms(id) {
            match self.constant_along(term, axes) {
                Some(inner) => stay.push((coef, inner)),
                None => vary.push((coef, term)),
            }
        }
        (!vary.is_empty()).then(|| (self.sum(&vary), self.sum(&stay)))
    }

    /// `exp(z) / sum(exp(z))` becomes `softmax(z)`; what is subtracted from all of a row is left out.
    pub(super) fn find_softmax(&mut self, factors: &mut Vec<(FormId, i32)>) {
        while let Some((over, below, axes, z)) = self.softmax_factors(factors) {
            let softmax = self.fold(Fold::Softmax, axes, z);
            for (at, one) in [(over, 1), (below, -1)] {
                factors[at].1 -= one;
            }
            factors.retain(|f| f.1 != 0);
            match factors.iter_mut().find(|f| f.0 == softmax && f.1 > 0) {
                Some(f) => f.1 += 1,
                None => factors.insert(over.min(factors.len()), (softmax, 1)),
            }
        }
    }

    /// The places of `exp(z)` and of the sum, the axes and `z`.
    fn softmax_factors(&mut self, factors: &[(FormId, i32)]) -> Option<(usize, usize, Dims, FormId)> {
        for (below, &(divisor, e)) in factors.iter().enumerate() {
            let total = match self.form(divisor) {
                Form::Repeat { of, .. } => *of,
                _ => divisor,
            };
            let Some((axes, exp)) = self.as_fold(total, Fold::Sum).filter(|_| e < 0) else { continue };
            let axes = axes.clone();
            let (Some(arg), Some(_)) = (self.as_exp(exp), self.repeated(divisor, &axes)) else { continue };
            let Some(over) = factors.iter().position(|&(f, e)| f == exp && e > 0) else { continue };
            if let Some((z, _)) = self.vary_along(arg, &axes) {
                let shape = self.shape(exp).clone();
                let z = self.whole(z, &shape);
                return Some((over, below, axes, z));
            }
        }
        None
    }

    /// `log(sum(exp(z)))` becomes the fold of that name; what is subtracted from all of a row comes out of it.
    pub(super) fn log_sum_exp(&mut self, arg: FormId) -> Option<FormId> {
        let (axes, exp) = self.as_fold(arg, Fold::Sum)?;
        let axes = axes.clone();
        let exponent = self.as_exp(exp)?;
        let (z, shift) = self.vary_along(exponent, &axes)?;
        let z = self.whole(z, &self.shape(exp).clone());
        let log = self.fold(Fold::LogSumExp, axes, z);
        Some(self.sum(&[(1.0, log), (1.0, shift)]))
    }

    /// `z - logsumexp(z)` becomes `log_softmax(z)`.
    pub(super) fn find_log_softmax(&mut self, terms: &mut Vec<(f64, FormId)>) {
        let found = terms.iter().enumerate().find_map(|(at, &(c, term))| {
            let inner = match self.form(term) {
                Form::Repeat { of, .. } => *of,
                _ => term,
            };
            let (axes, z) = self.as_fold(inner, Fold::LogSumExp)?;
            self.repeated(term, axes)?;
            Some((at, -c, axes.clone(), z))
        });
        let Some((at, c, axes, z)) = found else { return };
        let parts = self.terms(z);
        let holds = |&(part_c, part): &(f64, FormId)| terms.iter().any(|&(tc, t)| t == part && tc == c * part_c);
        if !parts.iter().all(holds) {
            return;
        }
        let log_softmax = self.fold(Fold::LogSoftmax, axes, z);
        let sum = terms[at].1;
        terms.retain(|&(_, t)| t != sum && !parts.iter().any(|p| p.1 == t));
        terms.push((c, log_softmax));
    }

    /// A sum over axes, times one over the count of its elements and a sign.
    pub(super) fn find_mean(&mut self, coef: f64, of: FormId) -> Option<FormId> {
        let (axes, operand) = self.as_fold(of, Fold::Sum)?;
        let count: usize = axes.iter().map(|&a| self.shape(operand)[a]).product();
        let axes = axes.clone();
        if count < 2 || !is_reciprocal(coef.abs(), count) {
            return None;
        }
        let mean = self.fold(Fold::Mean, axes, operand);
        Some(if coef < 0.0 { self.product(-1.0, &[(mean, 1)]) } else { mean })
    }

    /// `mean((x - mean(x))^2)` becomes the variance.
    pub(super) fn find_variance(&mut self, fold: Fold, axes: &Dims, of: FormId) -> Option<FormId> {
        let Form::Product(coef, factors) = self.form(of) else { return None };
        let [(base, 2)] = factors[..] else { return None };
        if fold != Fold::Mean || coef.get() != 1.0 {
            return None;
        }
        let terms = self.terms(base);
        let mean = |&&(c, t): &&(f64, FormId)| {
            c == -1.0 && self.repeated(t, axes).is_some_and(|m| self.as_fold(m, Fold::Mean).is_some())
        };
        let mean = terms.iter().find(mean)?.1;
        let (over, x) = self.as_fold(self.repeated(mean, axes)?, Fold::Mean)?;
        if over != axes {
            return None;
        }
        let rest: Vec<_> = terms.into_iter().filter(|t| t.1 != mean).collect();
        let same = self.sum(&rest) == x;
        same.then(|| self.fold(Fold::Var, axes.clone(), x))
    }

    /// `if c then a else b`, where one branch is 0 with an indicator, and `max(z, 0)` as relu.
    pub(super) fn select(&mut self, c: FormId, a: FormId, b: FormId) -> FormId {
        if let Form::Truth(holds) = *self.form(c) {
            return if holds { a } else { b };
        }
        let (condition, kept) = match (self.as_number(a), self.as_number(b)) {
            (Some(0.0), _) => (self.not(c), b),
            (_, Some(0.0)) => (c, a),
            _ => {
                let shape = self.common_shape([c, a, b].into_iter());
                return self.intern(Form::Apply(Function::Scalar(ScalarFn::Select), vec![c, a, b]), shape);
            }
        };
        if let Form::Apply(Function::Scalar(ScalarFn::Gt | ScalarFn::Ge), args) = self.form(condition)
            && args[0] == kept
            && self.as_number(args[1]) == Some(0.0)
        {
            return self.relu(kept);
        }
        let indicator = self.indicator(condition);
        self.product(1.0, &[(kept, 1), (indicator, 1)])
    }

    /// `max(x, 0)`.
    pub(super) fn relu(&mut self, x: FormId) -> FormId {
        let shape = self.shape(x).clone();
        self.intern(Form::Apply(Function::Relu, vec![x]), shape)
    }

    /// 1 where the condition holds, else 0.
    pub(super) fn indicator(&mut self, condition: FormId) -> FormId {
        let shape = self.shape(condition).clone();
        match self.form(condition).clone() {
            Form::Truth(holds) => self.number(f64::from(holds)),
            Form::Apply(Function::Scalar(ScalarFn::Eq), args) => match self.one_hot(args[0], args[1], &shape) {
                Some(one_hot) => one_hot,
                None => self.intern(Form::Indicator(condition), shape),
            },
            _ => self.intern(Form::Indicator(condition), shape),
        }
    }

    /// `1[y = j]`, where `j` is the index along the last axis and `y` does not vary along it.
    fn one_hot(&mut self, a: FormId, b: FormId, shape: &Shape) -> Option<FormId> {
        let last = shape.rank().checked_sub(1)?;
        let (labels, index) = if matches!(self.form(b), Form::Index(_)) { (a, b) } else { (b, a) };
        let Form::Repeat { axes, of } = self.form(labels) else { return None };
        let fits = *self.form(index) == Form::Index(last) && axes[..] == [last];
        let of = *of;
        fits.then(|| self.intern(Form::OneHot(of), shape.clone()))
    }

    /// A comparison. Numbers are compared now, and relu is positive where its operand is.
    pub(super) fn compare(&mut self, f: ScalarFn, a: FormId, b: FormId) -> FormId {
        use ScalarFn::{Eq, Ge, Gt, Le, Lt, Ne};
        if let (Some(x), Some(y)) = (self.as_number(a), self.as_number(b)) {
            let holds = match f {
                Eq => x == y,
                Ne => x != y,
                Lt => x < y,
                Le => x <= y,
                Gt => x > y,
                _ => x >= y,
            };
            return self.truth(holds);
        }
        if a == b {
            return self.truth(matches!(f, Eq | Le | Ge));
        }
        // Real numbers are finite.
        if matches!(f, Eq | Ne) && [a, b].iter().any(|&x| self.as_number(x).is_some_and(f64::is_infinite)) {
            return self.truth(f == Ne);
        }
        // Softmax does not divide by a sum of exponentials that has become 0.
        if f == Eq
            && self.as_number(b) == Some(0.0)
            && self.as_fold(a, Fold::Sum).is_some_and(|(_, of)| self.as_exp(of).is_some())
        {
            return self.truth(false);
        }
        let a = match self.form(a) {
            Form::Apply(Function::Relu, args) if matches!(f, Gt | Le) && self.as_number(b) == Some(0.0) => args[0],
            _ => a,
        };
        let shape = self.common_shape([a, b].into_iter());
        self.intern(Form::Apply(Function::Scalar(f), vec![a, b]), shape)
    }

    /// The opposite of a condition.
    pub(super) fn not(&mut self, condition: FormId) -> FormId {
        use ScalarFn::{Eq, Ge, Gt, Le, Lt, Ne, Not};
        let shape = self.shape(condition).clone();
        match self.form(condition).clone() {
            Form::Truth(holds) => self.truth(!holds),
            Form::Apply(Function::Scalar(Not), args) => args[0],
            Form::Apply(Function::Scalar(f @ (Eq | Ne | Lt | Le | Gt | Ge)), args) => {
                let opposite = match f {
                    Eq => Ne,
                    Ne => Eq,
                    Lt => Ge,
                    Le => Gt,
                    Gt => Le,
                    _ => Lt,
                };
                self.intern(Form::Apply(Function::Scalar(opposite), args), shape)
            }
            _ => self.intern(Form::Apply(Function::Scalar(Not), vec![condition]), shape),
        }
    }

    /// `a and b` or `a or b` of conditions.
    pub(super) fn logic(&mut self, f: ScalarFn, a: FormId, b: FormId) -> FormId {
        let absorbing = f == ScalarFn::Or;
        for (one, other) in [(a, b), (b, a)] {
            if let Form::Truth(holds) = *self.form(one) {
                return if holds == absorbing { one } else { other };
            }
        }
        if a == b {
            return a;
        }
        let shape = self.common_shape([a, b].into_iter());
        self.intern(Form::Apply(Function::Scalar(f), vec![a, b]), shape)
    }
}

/// True if the number is 1 over the count as `f32` or `f64` has it.
pub(super) fn is_reciprocal(number: f64, count: usize) -> bool {
    let exact = 1.0 / count as f64;
    // Numbers of f32 are here as their shortest decimals.
    number == exact || (number as f32 == exact as f32 && format!("{number}") == format!("{}", exact as f32))
}
