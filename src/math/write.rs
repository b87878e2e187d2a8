//! Writing forms, as text and in LaTeX, with the brackets that their bindings ask for and no others.

use crate::graph::Dims;
use crate::scalar::ScalarFn;

use super::form::{Fold, Form, FormId, Forms, Function, Num};
use super::naming::Naming;
use super::notation::{self, Binding, Notation, is_reserved};
use super::read::extents;
use super::recognize::is_reciprocal;

/// The two ways of writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Text,
    Latex,
}

/// What formulas are written with.
pub(super) struct Writer<'m> {
    pub(super) forms: &'m Forms,
    pub(super) naming: &'m Naming,
    pub(super) style: Style,
    /// Names of counts.
    pub(super) extents: &'m [(String, usize)],
    /// Counts one over which is written as a fraction.
    pub(super) counts: &'m [usize],
    /// True if no float has more digits than `f32`.
    pub(super) single: bool,
}

impl Writer<'_> {
    fn pick<'a>(&self, text: &'a str, latex: &'a str) -> &'a str {
        if self.style == Style::Text { text } else { latex }
    }

    /// The formula of a named part, or of a whole.
    pub(super) fn define(&self, id: FormId) -> String {
        self.body(id).0
    }

    /// The terms of sum `id`, those that are together a sum with a name as one.
    fn grouped(&self, id: FormId, terms: &[(Num, FormId)]) -> Vec<(f64, FormId)> {
        let mut terms: Vec<(f64, FormId)> = terms.iter().map(|&(c, t)| (c.get(), t)).collect();
        for &named in self.naming.order.iter().rev().filter(|n| **n < id) {
            let Form::Sum(parts) = self.forms.form(named) else { continue };
            let coef_of = |part: FormId| terms.iter().find(|t| t.1 == part).map(|t| t.0);
            let Some(scale) = coef_of(parts[0].1).map(|c| c / parts[0].0.get()) else { continue };
            if parts.iter().all(|&(c, part)| coef_of(part) == Some(c.get() * scale)) {
                let at = terms.iter().position(|t| t.1 == parts[0].1).expect("its first part is there");
                terms[at] = (scale, named);
                terms.retain(|t| !parts.iter().any(|p| p.1 == t.1));
            }
        }
        terms
    }

    /// The form, in brackets if it binds less strongly than `least`.
    pub(super) fn write(&self, id: FormId, least: Binding) -> String {
        if let Some(name) = self.naming.names.get(&id) {
            return self.name(name);
        }
        let (text, binding) = self.body(id);
        if binding < least { self.bracketed(&text) } else { text }
    }

    fn bracketed(&self, text: &str) -> String {
        format!("{}{text}{}", self.pick("(", r"\left("), self.pick(")", r"\right)"))
    }

    fn body(&self, id: FormId) -> (String, Binding) {
        use Binding::{Atom, Compare, MatMul, Or, Postfix, Right};
        let forms = self.forms;
        match forms.form(id) {
            Form::Symbol(name) => (self.name(name), Atom),
            Form::Literal(text) => (text.clone(), Atom),
            Form::Ones => {
                let shape = extents(forms.shape(id));
                (format!("{}[{shape}]", self.pick("ones", r"\operatorname{ones}")), Atom)
            }
            Form::Truth(holds) => (if *holds { "true" } else { "false" }.to_owned(), Atom),
            Form::Index(axis) => (axis_letter(*axis), Atom),
            Form::Sum(terms) => (self.sum(&self.grouped(id, terms)), Binding::Sum),
            Form::Product(coef, factors) => self.product(coef.get(), factors),
            Form::MatMul { a, ta, b, tb } => {
                let left = self.operand(*a, *ta, MatMul);
                let right = self.operand(*b, *tb, Right);
                (format!("{left} {right}"), MatMul)
            }
            Form::Transpose(of) => (self.operand(*of, true, Postfix), Postfix),
            Form::Apply(f, args) => self.apply(f, args),
            Form::Fold { fold, axes, of } => {
                let (text, latex) = notation::fold(*fold);
                let rank = forms.shape(*of).rank();
                let usual =
                    matches!(fold, Fold::Softmax | Fold::LogSoftmax | Fold::LogSumExp) && axes[..] == [rank - 1];
                let axes = if usual { String::new() } else { self.subscript(axes) };
                let name = format!("{}{axes}", self.pick(text, latex));
                (self.call(&name, &[*of]), Atom)
            }
            Form::Repeat { axes, of } => {
                let ones = self.pick("𝟏", r"\mathbf{1}");
                match (forms.shape(id).rank(), &axes[..]) {
                    (2, [1]) => (format!("{} {ones}{}", self.write(*of, MatMul), self.transposed()), MatMul),
                    (2, [0]) => (format!("{ones} {}", self.operand(*of, true, Right)), MatMul),
                    _ => {
                        let along = self.subscript(axes);
                        let shape = extents(forms.shape(id));
                        let name = format!("{}{along}[{shape}]", self.pick("repeat", r"\operatorname{repeat}"));
                        (self.call(&name, &[*of]), Atom)
                    }
                }
            }
            Form::Indicator(condition) => {
                let condition = self.write(*condition, Or);
                (format!("{}{condition}{}", self.pick("1[", r"\mathbf{1}\!\left["), self.pick("]", r"\right]")), Atom)
            }
            Form::OneHot(of) => match (forms.form(*of), self.naming.names.get(of)) {
                (Form::Symbol(_), _) | (_, Some(_)) => {
                    let labels = self.write(*of, Atom);
                    (if self.style == Style::Text { format!("I_{labels}") } else { format!("I_{{{labels}}}") }, Atom)
                }
                _ => (self.call(self.pick("onehot", r"\operatorname{onehot}"), &[*of]), Atom),
            },
            Form::Pick { of, batch, index } => {
                let letters: String = (0..*batch).map(|a| format!("{}, ", axis_letter(a))).collect();
                (format!("{}[{letters}{}]", self.write(*of, Atom), self.write(*index, Compare)), Postfix)
            }
            Form::Part { of, ranges } => (format!("{}[{ranges}]", self.write(*of, Atom)), Postfix),
        }
    }

    /// A side of a product of matrices.
    fn operand(&self, id: FormId, transposed: bool, least: Binding) -> String {
        if transposed {
            format!("{}{}", self.write(id, Binding::Atom), self.transposed())
        } else {
            self.write(id, least)
        }
    }

    fn transposed(&self) -> &'static str {
        if self.style == Style::Text { "ᵀ" } else { r"^{\top}" }
    }

    fn call(&self, name: &str, args: &[FormId]) -> String {
        let args: Vec<String> = args.iter().map(|&a| self.write(a, Binding::Or)).collect();
        format!("{name}{}", self.bracketed(&args.join(", ")))
    }

    fn apply(&self, f: &Function, args: &[FormId]) -> (String, Binding) {
        let known = match f {
            Function::Scalar(f) => notation::scalar(*f),
            Function::Relu => Some(Notation::Call("relu", r"\operatorname{relu}")),
            Function::Loop { name, result } => {
                let name = format!("{}.{}", self.name(name), self.name(result));
                return (self.call(&name, args), Binding::Atom);
            }
            Function::Named(_) => None,
        };
        let Some(known) = known else {
            let name = match f {
                Function::Scalar(f) => f.name(),
                Function::Named(name) | Function::Loop { name, .. } => name,
                Function::Relu => "relu",
            };
            let name = if self.style == Style::Text {
                name.to_owned()
            } else {
                format!(r"\operatorname{{{}}}", escaped(name))
            };
            return (self.call(&name, args), Binding::Atom);
        };
        match known {
            Notation::Call(_, _) if self.style == Style::Latex && *f == Function::Scalar(ScalarFn::Sqrt) => {
                (format!(r"\sqrt{{{}}}", self.write(args[0], Binding::Or)), Binding::Atom)
            }
            Notation::Call(text, latex) => (self.call(self.pick(text, latex), args), Binding::Atom),
            Notation::Infix(binding, text, latex) => {
                // Sides bind more strongly, so that no chain depends on an order.
                let side = match binding {
                    Binding::Or => Binding::And,
                    Binding::And => Binding::Compare,
                    _ => Binding::Sum,
                };
                let (a, b) = (self.write(args[0], side), self.write(args[1], side));
                (format!("{a} {} {b}", self.pick(text, latex)), binding)
            }
            Notation::Prefix(text, latex) => {
                (format!("{}{}", self.pick(text, latex), self.write(args[0], Binding::Atom)), Binding::Compare)
            }
            Notation::Bars => {
                let inner = self.write(args[0], Binding::Sum);
                (format!("{}{inner}{}", self.pick("|", r"\left|"), self.pick("|", r"\right|")), Binding::Atom)
            }
            Notation::Power => {
                let (base, e) = (self.write(args[0], Binding::Atom), self.write(args[1], Binding::Atom));
                (
                    if self.style == Style::Text { format!("{base}^{e}") } else { format!("{base}^{{{e}}}") },
                    Binding::Postfix,
                )
            }
        }
    }

    fn sum(&self, terms: &[(f64, FormId)]) -> String {
        let mut text = String::new();
        for (i, &(coef, term)) in terms.iter().enumerate() {
            let minus = coef < 0.0;
            match (i, minus) {
                (0, false) => {}
                (0, true) => text += self.pick("−", "-"),
                (_, minus) => text += if minus { self.pick(" − ", " - ") } else { " + " },
            }
            let named = self.naming.names.contains_key(&term);
            let (inner, factors) = if named { (1.0, vec![(term, 1)]) } else { self.forms.factors(term) };
            let (product, binding) = self.product(coef.abs() * inner, &factors);
            text += &if binding < Binding::Product { self.bracketed(&product) } else { product };
        }
        text
    }

    /// A number, then what is a number in all runs, then tensors; below a stroke what they are divided by.
    fn product(&self, coef: f64, factors: &[(FormId, i32)]) -> (String, Binding) {
        if factors.is_empty() {
            return self.number(coef);
        }
        if let (true, [(only, e @ 2..)]) = (coef == 1.0, factors) {
            return (self.power(*only, *e), Binding::Postfix);
        }
        if let (true, [(only, 1)]) = (coef == 1.0, factors) {
            let text = self.write(*only, Binding::MatMul);
            return (text, Binding::Product);
        }
        let minus = coef < 0.0 || coef.is_nan();
        let mut text = if minus && !coef.is_nan() { self.pick("−", "-").to_owned() } else { String::new() };
        let size = if coef.is_nan() { coef } else { coef.abs() };
        let over: Vec<_> = factors.iter().copied().filter(|f| f.1 > 0).collect();
        let below: Vec<_> = factors.iter().copied().filter(|f| f.1 < 0).map(|(f, e)| (f, -e)).collect();
        let mut before = "";
        if size != 1.0 || over.is_empty() {
            let (number, binding) = self.number(size);
            text += &if binding < Binding::Product { self.bracketed(&number) } else { number };
            before = self.pick(" · ", r" \cdot ");
        }
        let (scalars, tensors): (Vec<_>, Vec<_>) = over.into_iter().partition(|f| self.forms.is_scalar(f.0));
        for (group, between) in [(scalars, self.pick(" · ", r" \cdot ")), (tensors, self.pick(" ∘ ", r" \circ "))] {
            for (i, (factor, e)) in group.into_iter().enumerate() {
                text += if i == 0 { before } else { between };
                text += &self.power(factor, e);
                before = self.pick(" · ", r" \cdot ");
            }
        }
        if let [(only, e)] = below[..] {
            text += &format!(" / {}", if e > 1 { self.power(only, e) } else { self.write(only, Binding::Postfix) });
        } else if !below.is_empty() {
            text += &format!(" / {}", self.bracketed(&self.product(1.0, &below).0));
        }
        (text, if minus { Binding::Sum } else { Binding::Product })
    }

    fn power(&self, id: FormId, exponent: i32) -> String {
        match (exponent, self.style) {
            (1, _) => self.write(id, Binding::MatMul),
            (e, Style::Text) => {
                format!("{}{}", self.write(id, Binding::Atom), in_script(&e.to_string(), &SUPERSCRIPTS))
            }
            (e, Style::Latex) => format!("{}^{{{e}}}", self.write(id, Binding::Atom)),
        }
    }

    /// A number: a fraction where it is one over a count of the formulas, else its digits.
    fn number(&self, value: f64) -> (String, Binding) {
        if value < 0.0 {
            return (format!("{}{}", self.pick("−", "-"), self.number(-value).0), Binding::Sum);
        }
        let over = |below: &str| match self.style {
            Style::Text => (format!("1/{below}"), Binding::Product),
            Style::Latex => (format!(r"\frac{{1}}{{{below}}}"), Binding::Atom),
        };
        let counts = || self.counts.iter().copied();
        for (name, n) in self.extents.iter().filter(|(_, n)| *n > 1) {
            let name = self.name(name);
            if is_reciprocal(value, *n) {
                return over(&name);
            }
            if let Some(times) = (2..10).chain(counts()).find(|k| is_reciprocal(value, k.saturating_mul(*n))) {
                return match self.style {
                    Style::Text => over(&format!("({times} · {name})")),
                    Style::Latex => over(&format!("{times} {name}")),
                };
            }
        }
        match counts().find(|n| is_reciprocal(value, *n)) {
            Some(n) => over(&n.to_string()),
            None => (self.digits(value), Binding::Atom),
        }
    }

    /// The shortest digits that the graph's floats tell from their neighbours.
    fn digits(&self, value: f64) -> String {
        if value.is_infinite() {
            return self.pick("∞", r"\infty").to_owned();
        }
        // What multiplying decimals rounds is no part of the number.
        let near: f64 = format!("{value:.14e}").parse().expect("a printed number can be read");
        let value = if near.to_string().len() + 4 < value.to_string().len() { near } else { value };
        let plain = if self.single { (value as f32).to_string() } else { value.to_string() };
        // Powers of ten rather than many zeros.
        let short = if self.single { format!("{:e}", value as f32) } else { format!("{value:e}") };
        let wide = plain.len() > 6 && !(1e-3..1e9).contains(&value);
        if wide && short.len() < plain.len() { short } else { plain }
    }

    fn subscript(&self, axes: &Dims) -> String {
        let letters: Vec<String> = axes.iter().map(|&a| axis_letter(a)).collect();
        match self.style {
            Style::Latex => format!("_{{{}}}", letters.join(" ")),
            Style::Text if axes.iter().all(|&a| a < 6) => {
                axes.iter().map(|&a| ['ᵢ', 'ⱼ', 'ₖ', 'ₗ', 'ₘ', 'ₙ'][a]).collect()
            }
            Style::Text => format!("_{}", letters.join("_")),
        }
    }

    /// A name with the digits at its end as a subscript: `W₁`. Numbers of nodes stay: `%7`.
    pub(super) fn name(&self, name: &str) -> String {
        if name.strip_prefix('%').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())) {
            return format!("{}{name}", self.pick("", "\\"));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        let letters = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let digits = &name[letters.len()..];
        let usual =
            !letters.is_empty() && name.chars().all(plain) && !letters.starts_with(|c: char| c.is_ascii_digit());
        if !usual || is_reserved(name) || letters.starts_with("I_") {
            return match self.style {
                Style::Text => format!("⟨{name}⟩"),
                Style::Latex => format!(r"\langle\text{{{}}}\rangle", escaped(name)),
            };
        }
        match self.style {
            Style::Text => format!("{letters}{}", in_script(digits, &SUBSCRIPTS)),
            Style::Latex => {
                let letters =
                    if letters.len() == 1 { letters.to_owned() } else { format!(r"\mathrm{{{}}}", escaped(letters)) };
                if digits.is_empty() { letters } else { format!("{letters}_{{{digits}}}") }
            }
        }
    }
}

const SUBSCRIPTS: [char; 10] = ['₀', '₁', '₂', '₃', '₄', '₅', '₆', '₇', '₈', '₉'];
const SUPERSCRIPTS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];

fn in_script(digits: &str, script: &[char; 10]) -> String {
    digits.bytes().map(|b| script[usize::from(b - b'0')]).collect()
}

/// `i` for the first axis, `j` for the second.
fn axis_letter(axis: usize) -> String {
    let letters = ["i", "j", "k", "l", "m", "n"];
    letters.get(axis).map_or_else(|| format!("i{axis}"), |l| (*l).to_owned())
}

/// The text as LaTeX that shows it.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '_' | '%' | '&' | '#' | '$' | '{' | '}' => out.extend(['\\', c]),
            '\\' => out += r"\textbackslash{}",
            '^' | '~' => out.extend(['\\', c, '{', '}']),
            '×' => out += r"{\times}",
            _ => out.push(c),
        }
    }
    out
}
