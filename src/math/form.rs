//! Formulas as data: a hash-consed DAG of forms, and the constructors that keep it in normal form.
//!
//! ```text
//!   sum       terms with numbers before them, equal terms merged, one common number in front
//!   product   a number and factors with integer exponents, equal factors merged
//!   the rest  matrix products, folds, repetition along axes, functions
//! ```
//!
//! Numbers are pulled to the front of whatever is linear, so `0.02 S W` and `S (0.02 W)` are one form. A form is of its node's shape, or a scalar that
//! stands for all elements; [`Forms::whole`] makes the second into the first where an operation looks at axes.

use rustc_hash::FxHashMap;

use crate::graph::{Dims, Name, Shape};
use crate::scalar::ScalarFn;

/// A form's number. Parts have smaller numbers than what they are parts of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FormId(u32);

impl FormId {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A number by its bits. Zeros are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Num(u64);

impl Num {
    pub(super) fn new(value: f64) -> Num {
        Num(if value == 0.0 { 0 } else { value.to_bits() })
    }

    pub(super) fn get(self) -> f64 {
        f64::from_bits(self.0)
    }
}

/// What is written as a function of its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Function {
    /// One of the table of scalar functions.
    Scalar(ScalarFn),
    /// `max(x, 0)`.
    Relu,
    /// A result of a loop.
    Loop {
        /// The loop, as it is called below the formulas.
        name: String,
        /// The carry, or what is stacked.
        result: String,
    },
    /// Any other, by name and attributes.
    Named(String),
}

/// What makes one element of all elements along axes, or changes each by what it finds along them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fold {
    Sum,
    Mean,
    Var,
    Prod,
    Max,
    Min,
    Any,
    All,
    ArgMax,
    ArgMin,
    LogSumExp,
    Softmax,
    LogSoftmax,
}

impl Fold {
    /// True if the result keeps the axes.
    pub(super) fn keeps(self) -> bool {
        matches!(self, Fold::Softmax | Fold::LogSoftmax)
    }
}

/// One level of a formula.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// An input, a parameter or a node by name.
    Symbol(Name),
    /// A small constant, written out.
    Literal(String),
    /// Ones of the form's shape.
    Ones,
    /// A condition that always or never holds.
    Truth(bool),
    /// Each element's index along an axis.
    Index(usize),
    /// The sum of the terms, each times its number. The number 1 is the product of nothing.
    Sum(Vec<(Num, FormId)>),
    /// The number times all factors, each to the power of its exponent.
    Product(Num, Vec<(FormId, i32)>),
    /// The product of matrices, either of them transposed first.
    MatMul { a: FormId, ta: bool, b: FormId, tb: bool },
    /// The last two axes exchanged.
    Transpose(FormId),
    /// A function of each element, or a named function of whole tensors.
    Apply(Function, Vec<FormId>),
    /// A fold over axes of its operand.
    Fold { fold: Fold, axes: Dims, of: FormId },
    /// The operand repeated along new axes of the result.
    Repeat { axes: Dims, of: FormId },
    /// 1 where the condition holds, else 0.
    Indicator(FormId),
    /// Rows that are 1 at the index and else 0.
    OneHot(FormId),
    /// Elements chosen along the axis behind the first `batch`.
    Pick { of: FormId, batch: usize, index: FormId },
    /// A rectangular part.
    Part { of: FormId, ranges: String },
}

impl Form {
    /// The forms that this one is made of.
    pub(super) fn parts(&self) -> Vec<FormId> {
        match self {
            Form::Symbol(_) | Form::Literal(_) | Form::Ones | Form::Truth(_) | Form::Index(_) => Vec::new(),
            Form::Sum(terms) => terms.iter().map(|t| t.1).collect(),
            Form::Product(_, factors) => factors.iter().map(|f| f.0).collect(),
            Form::MatMul { a, b, .. } => vec![*a, *b],
            Form::Apply(_, args) => args.clone(),
            Form::Pick { of, index, .. } => vec![*of, *index],
            Form::Transpose(of) | Form::Indicator(of) | Form::OneHot(of) => vec![*of],
            Form::Fold { of, .. } | Form::Repeat { of, .. } | Form::Part { of, .. } => vec![*of],
        }
    }
}

/// Sums and products of more parts than this are not merged into others.
const MERGED: usize = 12;

/// All forms of some formulas.
#[derive(Clone, Debug, Default)]
pub(super) struct Forms {
    forms: Vec<(Form, Shape)>,
    known: FxHashMap<(Form, Shape), FormId>,
}

impl Forms {
    pub(super) fn form(&self, id: FormId) -> &Form {
        &self.forms[id.index()].0
    }

    pub(super) fn shape(&self, id: FormId) -> &Shape {
        &self.forms[id.index()].1
    }

    pub(super) fn len(&self) -> usize {
        self.forms.len()
    }

    /// All forms, parts before what they are parts of.
    pub(super) fn ids(&self) -> impl Iterator<Item = FormId> + use<> {
        (0..self.forms.len() as u32).map(FormId)
    }

    /// The form, which is in normal form already.
    pub(super) fn intern(&mut self, form: Form, shape: Shape) -> FormId {
        let key = (form, shape);
        if let Some(&id) = self.known.get(&key) {
            return id;
        }
        let id = FormId(u32::try_from(self.forms.len()).expect("fewer forms than 2^32"));
        self.forms.push(key.clone());
        self.known.insert(key, id);
        id
    }

    pub(super) fn number(&mut self, value: f64) -> FormId {
        self.intern(Form::Product(Num::new(value), Vec::new()), Shape::scalar())
    }

    pub(super) fn truth(&mut self, value: bool) -> FormId {
        self.intern(Form::Truth(value), Shape::scalar())
    }

    /// The value, if the form is a number.
    pub(super) fn as_number(&self, id: FormId) -> Option<f64> {
        match self.form(id) {
            Form::Product(value, factors) if factors.is_empty() => Some(value.get()),
            _ => None,
        }
    }

    pub(super) fn is_scalar(&self, id: FormId) -> bool {
        self.shape(id).rank() == 0
    }

    /// The shape of an elementwise result.
    pub(super) fn common_shape(&self, mut parts: impl Iterator<Item = FormId>) -> Shape {
        parts.find(|&p| !self.is_scalar(p)).map_or_else(Shape::scalar, |p| self.shape(p).clone())
    }

    /// The form with all the elements that its node has.
    pub(super) fn whole(&mut self, id: FormId, shape: &Shape) -> FormId {
        if self.shape(id) == shape {
            return id;
        }
        let ones = self.intern(Form::Ones, shape.clone());
        match self.as_number(id) {
            // A product with 0 would be the scalar again.
            Some(0.0) => self.intern(Form::Product(Num::new(0.0), vec![(ones, 1)]), shape.clone()),
            _ => self.product(1.0, &[(id, 1), (ones, 1)]),
        }
    }

    /// The number in front, and the rest.
    pub(super) fn split(&mut self, id: FormId) -> (f64, FormId) {
        let Form::Product(coef, factors) = self.form(id) else { return (1.0, id) };
        let (coef, factors) = (coef.get(), factors.clone());
        if coef == 1.0 { (1.0, id) } else { (coef, self.product(1.0, &factors)) }
    }

    /// The number in front, and the factors.
    pub(super) fn factors(&self, id: FormId) -> (f64, Vec<(FormId, i32)>) {
        match self.form(id) {
            Form::Product(coef, factors) => (coef.get(), factors.clone()),
            _ => (1.0, vec![(id, 1)]),
        }
    }

    /// `coef` times the factors, each to the power of its exponent.
    pub(super) fn product(&mut self, coef: f64, parts: &[(FormId, i32)]) -> FormId {
        let mut coef = coef;
        let mut factors: Vec<(FormId, i32)> = Vec::new();
        for &(id, exponent) in parts {
            let (number, inner) = match self.form(id) {
                Form::Product(number, inner) if inner.len() <= MERGED => (number.get(), inner.clone()),
                _ => (1.0, vec![(id, 1)]),
            };
            coef *= number.powi(exponent);
            for (factor, e) in inner {
                // Exponents of different signs stay apart: x / x is not 1 where x is 0.
                let e = e * exponent;
                match factors.iter_mut().find(|(f, k)| *f == factor && (*k > 0) == (e > 0)) {
                    Some((_, k)) => *k += e,
                    None => factors.push((factor, e)),
                }
            }
        }
        if coef == 0.0 {
            return self.number(0.0);
        }
        let ones = |forms: &Forms, f: FormId| *forms.form(f) == Form::Ones;
        if factors.iter().any(|&(f, _)| !self.is_scalar(f) && !ones(self, f)) {
            factors.retain(|&(f, _)| !ones(self, f));
        }
        let zero_or_one = |forms: &Forms, f: FormId| matches!(forms.form(f), Form::Indicator(_) | Form::OneHot(_));
        factors.iter_mut().filter(|f| f.1 > 1 && zero_or_one(self, f.0)).for_each(|f| f.1 = 1);
        self.find_softmax(&mut factors);
        if let [(of, 1)] = factors[..]
            && let Some(mean) = self.find_mean(coef, of)
        {
            return mean;
        }
        match factors[..] {
            [(only, 1)] if coef == 1.0 => only,
            _ => {
                let shape = self.common_shape(factors.iter().map(|f| f.0));
                self.intern(Form::Product(Num::new(coef), factors), shape)
            }
        }
    }

    /// The terms of a sum, each with its number.
    pub(super) fn terms(&mut self, id: FormId) -> Vec<(f64, FormId)> {
        let (coef, rest) = self.split(id);
        match self.form(rest) {
            Form::Sum(terms) if terms.len() <= MERGED => terms.iter().map(|&(c, t)| (coef * c.get(), t)).collect(),
            _ => vec![(coef, rest)],
        }
    }

    /// The sum of the parts, each times its number.
    pub(super) fn sum(&mut self, parts: &[(f64, FormId)]) -> FormId {
        let mut terms: Vec<(f64, FormId)> = Vec::new();
        for &(coef, part) in parts {
            for (c, term) in self.terms(part) {
                match terms.iter_mut().find(|t| t.1 == term) {
                    Some(t) => t.0 += coef * c,
                    None => terms.push((coef * c, term)),
                }
            }
        }
        // Shapes that only a cancelled term had are restored by whoever looks at axes.
        terms.retain(|t| t.0 != 0.0);
        self.find_log_softmax(&mut terms);
        terms.sort_by_key(|t| t.0 < 0.0);
        let [(first, only), rest @ ..] = &terms[..] else { return self.number(0.0) };
        if rest.is_empty() {
            return self.product(*first, &[(*only, 1)]);
        }
        // One number in front, if all terms have it up to the sign.
        let size = first.abs();
        let common = terms.iter().all(|t| t.0.abs() == size);
        let front = if common { size.copysign(*first) } else { 1.0 };
        let scaled = terms.iter().map(|&(c, t)| (Num::new(if common { c / front } else { c }), t)).collect();
        let shape = self.common_shape(terms.iter().map(|t| t.1));
        let sum = self.intern(Form::Sum(scaled), shape);
        self.product(front, &[(sum, 1)])
    }

    /// The product of two matrices, or of stacks of them, or of a matrix and a vector. `shape` is the result's.
    pub(super) fn matmul(&mut self, (a, ta): (FormId, bool), (b, tb): (FormId, bool), shape: Shape) -> FormId {
        let ((ca, a), (cb, b)) = (self.split(a), self.split(b));
        let ((a, ta), (b, tb)) = (self.untransposed(a, ta), self.untransposed(b, tb));
        let product = self.intern(Form::MatMul { a, ta, b, tb }, shape);
        self.product(ca * cb, &[(product, 1)])
    }

    /// What is transposed, if the form is a transposition, and whether it still has to be.
    fn untransposed(&self, id: FormId, transposed: bool) -> (FormId, bool) {
        match *self.form(id) {
            Form::Transpose(of) => (of, !transposed),
            _ => (id, transposed),
        }
    }

    /// The last two axes exchanged.
    pub(super) fn transpose(&mut self, of: FormId) -> FormId {
        let (coef, of) = self.split(of);
        let mut shape: Dims = self.shape(of).iter().copied().collect();
        let rank = shape.len();
        shape.swap(rank - 2, rank - 1);
        let shape: Shape = shape.iter().copied().collect();
        let transposed = match self.form(of).clone() {
            Form::Transpose(inner) => inner,
            Form::Repeat { axes, of } if rank == 2 && axes.len() == 1 => {
                self.intern(Form::Repeat { axes: Dims::from_slice(&[1 - axes[0]]), of }, shape)
            }
            _ => self.intern(Form::Transpose(of), shape),
        };
        self.product(coef, &[(transposed, 1)])
    }

    /// A fold over axes of `of`, which has all elements of its node.
    pub(super) fn fold(&mut self, fold: Fold, axes: Dims, of: FormId) -> FormId {
        let linear = matches!(fold, Fold::Sum | Fold::Mean);
        let (coef, of) = if linear { self.split(of) } else { (1.0, of) };
        if matches!(fold, Fold::Sum | Fold::Mean | Fold::Max | Fold::Min)
            && let Some(same) = self.same_along(of, &axes)
        {
            let count: usize = axes.iter().map(|&a| self.shape(of)[a]).product();
            let times = if fold == Fold::Sum { count as f64 } else { 1.0 };
            let shape = self.shape(of).without(&axes);
            let folded = self.product(coef * times, &[(same, 1)]);
            return self.whole(folded, &shape);
        }
        if let Some(variance) = self.find_variance(fold, &axes, of) {
            return self.product(coef, &[(variance, 1)]);
        }
        let shape = if fold.keeps() { self.shape(of).clone() } else { self.shape(of).without(&axes) };
        let folded = self.intern(Form::Fold { fold, axes, of }, shape);
        self.product(coef, &[(folded, 1)])
    }

    /// `of` repeated along new axes of a result of this shape. Sums and products are repeated part by part, so that they meet others.
    pub(super) fn repeat(&mut self, axes: &Dims, of: FormId, shape: &Shape) -> FormId {
        if self.is_scalar(of) {
            return of;
        }
        match self.form(of).clone() {
            Form::Ones => self.intern(Form::Ones, shape.clone()),
            Form::Index(axis) => {
                let kept = (0..shape.rank()).filter(|a| !axes.contains(a)).nth(axis);
                self.intern(Form::Index(kept.expect("the operand's axes stay")), shape.clone())
            }
            Form::Sum(terms) => {
                let terms: Vec<_> = terms.iter().map(|&(c, t)| (c.get(), self.repeat_part(axes, t, shape))).collect();
                self.sum(&terms)
            }
            Form::Product(coef, factors) => {
                let factors: Vec<_> = factors.iter().map(|&(f, e)| (self.repeat_part(axes, f, shape), e)).collect();
                self.product(coef.get(), &factors)
            }
            _ => self.repeat_part(axes, of, shape),
        }
    }

    fn repeat_part(&mut self, axes: &Dims, part: FormId, shape: &Shape) -> FormId {
        if self.is_scalar(part) {
            return part;
        }
        if let (coef, factors) = self.factors(part)
            && (coef != 1.0 || factors[..] != [(part, 1)])
        {
            let repeated = |f: &mut Forms, x| {
                if f.is_scalar(x) { x } else { f.intern(Form::Repeat { axes: axes.clone(), of: x }, shape.clone()) }
            };
            let factors: Vec<_> = factors.iter().map(|&(f, e)| (repeated(self, f), e)).collect();
            return self.product(coef, &factors);
        }
        self.intern(Form::Repeat { axes: axes.clone(), of: part }, shape.clone())
    }
}
