//! Reads formulas as text and evaluates them over `f64`, by the notation that `cotangent::math` documents and nothing else of the library.

use std::collections::BTreeMap;

use cotangent::{Array, Shape};

/// A number, vector or matrix. Extents of 1 are repeated where a partner has more, which is what `v 𝟏ᵀ` and `𝟏 vᵀ` are made of.
#[derive(Clone, Debug)]
pub struct Value {
    shape: Vec<usize>,
    at: Vec<f64>,
}

impl Value {
    pub fn of(array: &Array) -> Value {
        Value { shape: array.shape().to_vec(), at: array.to_f64_vec() }
    }

    fn number(x: f64) -> Value {
        Value { shape: Vec::new(), at: vec![x] }
    }

    /// The value as an array of this shape.
    pub fn array(&self, shape: &Shape) -> Result<Array, String> {
        let like = Value { shape: shape.to_vec(), at: vec![0.0; shape.numel()] };
        let full = self.zip(&like, |a, _| a)?;
        if full.shape[..] != shape[..] {
            return Err(format!("the formula has shape {:?}, not {shape}", full.shape));
        }
        Ok(Array::new(shape.clone(), full.at).unwrap())
    }

    fn map(&self, f: impl Fn(f64) -> f64) -> Value {
        Value { shape: self.shape.clone(), at: self.at.iter().map(|&x| f(x)).collect() }
    }

    /// Of each element; numbers and extents of 1 are repeated.
    fn zip(&self, other: &Value, f: impl Fn(f64, f64) -> f64) -> Result<Value, String> {
        let rank = self.shape.len().max(other.shape.len());
        let extents = |v: &Value| if v.shape.is_empty() { vec![1; rank] } else { v.shape.clone() };
        let (a, b) = (extents(self), extents(other));
        if a.len() != b.len() || a.iter().zip(&b).any(|(&x, &y)| x != y && x != 1 && y != 1) {
            return Err(format!("elements of {:?} meet {:?}", self.shape, other.shape));
        }
        let shape: Vec<usize> = a.iter().zip(&b).map(|(&x, &y)| x.max(y)).collect();
        let place = |extents: &[usize], index: &[usize]| {
            extents.iter().zip(index).fold(0, |place, (&n, &i)| place * n + if n == 1 { 0 } else { i })
        };
        let mut at = Vec::new();
        for k in 0..shape.iter().product() {
            let mut index = vec![0; rank];
            let mut rest = k;
            for axis in (0..rank).rev() {
                index[axis] = rest % shape[axis];
                rest /= shape[axis];
            }
            at.push(f(self.at[place(&a, &index)], other.at[place(&b, &index)]));
        }
        Ok(Value { shape, at })
    }

    fn transposed(&self) -> Result<Value, String> {
        let [m, n] = self.shape[..] else { return Err(format!("{:?} is transposed", self.shape)) };
        Ok(Value { shape: vec![n, m], at: (0..m * n).map(|k| self.at[k % m * n + k / m]).collect() })
    }

    fn matmul(&self, other: &Value) -> Result<Value, String> {
        let wrong = || Err(format!("{:?} times {:?}", self.shape, other.shape));
        let (m, k, n) = match (&self.shape[..], &other.shape[..]) {
            (&[m, k], &[l, n]) if k == l => (m, k, n),
            (&[m, k], &[l]) if k == l => (m, k, 1),
            _ => return wrong(),
        };
        let sum = |i: usize, j: usize| (0..k).map(|p| self.at[i * k + p] * other.at[p * n + j]).sum();
        let at = (0..m * n).map(|q| sum(q / n, q % n)).collect();
        Ok(Value { shape: if other.shape.len() == 1 { vec![m] } else { vec![m, n] }, at })
    }

    /// The lines along an axis, each by the places of its elements.
    fn lines(&self, axis: usize) -> Vec<Vec<usize>> {
        let inner: usize = self.shape[axis + 1..].iter().product();
        let (n, outer) = (self.shape[axis], self.shape[..axis].iter().product::<usize>());
        let line = |o: usize, i: usize| (0..n).map(|k| (o * n + k) * inner + i).collect();
        (0..outer).flat_map(|o| (0..inner).map(move |i| (o, i))).map(|(o, i)| line(o, i)).collect()
    }

    fn fold(&self, axes: &[usize], f: impl Fn(&[f64]) -> f64) -> Result<Value, String> {
        if axes.len() == self.shape.len() {
            return Ok(Value::number(f(&self.at)));
        }
        let [axis] = axes[..] else { return Err("folds over some of several axes".to_owned()) };
        let of = |line: Vec<usize>| f(&line.iter().map(|&p| self.at[p]).collect::<Vec<_>>());
        let mut shape = self.shape.clone();
        shape.remove(axis);
        Ok(Value { shape, at: self.lines(axis).into_iter().map(of).collect() })
    }

    /// The folds put back beside each element.
    fn beside(&self, axes: &[usize], f: impl Fn(&[f64]) -> f64) -> Result<Value, String> {
        let mut folded = self.fold(axes, f)?;
        folded.shape = self.shape.iter().enumerate().map(|(a, &n)| if axes.contains(&a) { 1 } else { n }).collect();
        Ok(folded)
    }
}

fn mean(v: &[f64]) -> f64 {
    v.iter().sum::<f64>() / v.len() as f64
}

fn log_sum_exp(v: &[f64]) -> f64 {
    v.iter().map(|x| x.exp()).sum::<f64>().ln()
}

/// The values of all equations of a text of formulas, by their left sides. `ones` is how long the vectors `𝟏` are; 1 if they differ, which is enough where
/// what they repeat meets a matrix.
pub fn evaluate(text: &str, leaves: &BTreeMap<String, Value>, ones: usize) -> Result<BTreeMap<String, Value>, String> {
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.iter().position(|l| l.starts_with("where ")).unwrap_or(lines.len());
    let mut known = leaves.clone();
    let definitions = lines[first..].iter().map(|l| l.trim_start_matches("where ").trim_start());
    // Counts are defined last and used first.
    let (counts, parts): (Vec<&str>, Vec<&str>) = definitions.partition(|l| l.starts_with("m = "));
    for line in counts.into_iter().chain(parts).chain(lines[..first].iter().copied()) {
        let (name, formula) = line.split_once(" = ").ok_or_else(|| format!("no equation: {line}"))?;
        let mut reader = Reader { rest: formula, known: &known, ones };
        let value = reader.any()?;
        if !reader.rest.is_empty() {
            return Err(format!("`{}` is left of {line}", reader.rest));
        }
        known.insert(plain(name), value);
    }
    Ok(known)
}

/// A name with its subscripts as digits.
fn plain(name: &str) -> String {
    name.chars()
        .map(|c| if ('₀'..='₉').contains(&c) { (c as u32 - '₀' as u32 + '0' as u32) as u8 as char } else { c })
        .collect()
}

/// Reads one formula by recursive descent, one function for each binding.
struct Reader<'a> {
    rest: &'a str,
    known: &'a BTreeMap<String, Value>,
    ones: usize,
}

type Read = Result<Value, String>;

impl<'a> Reader<'a> {
    fn take(&mut self, token: &str) -> bool {
        let found = self.rest.strip_prefix(token);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) { Ok(()) } else { Err(format!("`{token}` is missing before `{}`", self.rest)) }
    }

    /// The longest beginning of such characters.
    fn word(&mut self, is: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !is(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn any(&mut self) -> Read {
        let mut left = self.all()?;
        while self.take(" ∨ ") {
            left = left.zip(&self.all()?, |a, b| f64::from(a != 0.0 || b != 0.0))?;
        }
        Ok(left)
    }

    fn all(&mut self) -> Read {
        let mut left = self.compare()?;
        while self.take(" ∧ ") {
            left = left.zip(&self.compare()?, |a, b| f64::from(a != 0.0 && b != 0.0))?;
        }
        Ok(left)
    }

    fn compare(&mut self) -> Read {
        if self.take("¬") {
            return Ok(self.atom()?.map(|a| 1.0 - a));
        }
        let left = self.sum()?;
        type Holds = fn(&f64, &f64) -> bool;
        let signs: [(&str, Holds); 6] = [
            (" = ", |a, b| a == b),
            (" ≠ ", |a, b| a != b),
            (" < ", |a, b| a < b),
            (" ≤ ", |a, b| a <= b),
            (" > ", |a, b| a > b),
            (" ≥ ", |a, b| a >= b),
        ];
        for (sign, holds) in signs {
            if self.take(sign) {
                return left.zip(&self.sum()?, |a, b| f64::from(holds(&a, &b)));
            }
        }
        Ok(left)
    }

    fn sum(&mut self) -> Read {
        let mut left = if self.take("−") { self.product()?.map(|a| -a) } else { self.product()? };
        loop {
            if self.take(" + ") {
                left = left.zip(&self.product()?, |a, b| a + b)?;
            } else if self.take(" − ") {
                left = left.zip(&self.product()?, |a, b| a - b)?;
            } else {
                return Ok(left);
            }
        }
    }

    fn product(&mut self) -> Read {
        let mut left = self.juxtaposed()?;
        loop {
            if self.take(" ∘ ") || self.take(" · ") {
                left = left.zip(&self.juxtaposed()?, |a, b| a * b)?;
            } else if self.take(" / ") || self.take("/") {
                left = left.zip(&self.juxtaposed()?, |a, b| a / b)?;
            } else {
                return Ok(left);
            }
        }
    }

    /// Products of matrices, from the left. A space before what can begin an operand is one.
    fn juxtaposed(&mut self) -> Read {
        let (mut left, mut outer) = if self.take("𝟏 ") {
            // 𝟏 vᵀ: the vector's transposition is that of a column.
            let of = self.atom()?;
            self.expect("ᵀ")?;
            (Value { shape: vec![self.ones, of.at.len()], at: of.at.repeat(self.ones) }, false)
        } else {
            self.postfix()?
        };
        while let Some(rest) = self.rest.strip_prefix(' ')
            && rest.starts_with(|c: char| c.is_alphanumeric() || "(⟨|𝟏Σ√".contains(c))
        {
            self.rest = rest;
            if self.take("𝟏ᵀ") {
                let rows = left.at.len();
                let at = left.at.iter().flat_map(|&x| std::iter::repeat_n(x, self.ones)).collect();
                left = Value { shape: vec![rows, self.ones], at };
                continue;
            }
            let (right, transposed) = self.postfix()?;
            left = match (left.shape.len(), right.shape.len()) {
                // uᵀ v and u vᵀ
                (1, 1) if outer => Value::number(left.at.iter().zip(&right.at).map(|(a, b)| a * b).sum()),
                (1, 1) if transposed => {
                    let column = Value { shape: vec![left.at.len(), 1], at: left.at };
                    column.matmul(&Value { shape: vec![1, right.at.len()], at: right.at })?
                }
                _ => left.matmul(&right)?,
            };
            outer = false;
        }
        Ok(left)
    }

    /// An atom with what stands behind it, and whether it is a transposed vector.
    fn postfix(&mut self) -> Result<(Value, bool), String> {
        let mut value = self.atom()?;
        let mut row = false;
        loop {
            if self.take("ᵀ") {
                row = value.shape.len() == 1;
                value = if row { value } else { value.transposed()? };
            } else if self.rest.starts_with(|c| "²³⁴⁵⁶⁷⁸⁹".contains(c)) {
                let digits = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
                let digit = self.rest.chars().next().unwrap();
                self.rest = &self.rest[digit.len_utf8()..];
                let power = digits.iter().position(|d| *d == digit).unwrap() as i32;
                value = value.map(|a| a.powi(power));
            } else if self.take("[i, ") {
                let index = self.any()?;
                self.expect("]")?;
                let n = value.shape[1];
                let at = index.at.iter().enumerate().map(|(i, &y)| value.at[i * n + y as usize]).collect();
                value = Value { shape: vec![value.shape[0]], at };
            } else {
                return Ok((value, row));
            }
        }
    }

    fn atom(&mut self) -> Read {
        if self.take("(") {
            let inner = self.any()?;
            self.expect(")")?;
            return Ok(inner);
        }
        if self.take("1[") {
            let holds = self.any()?;
            self.expect("]")?;
            return Ok(holds);
        }
        if self.rest.starts_with(|c: char| c.is_ascii_digit()) {
            let mantissa = self.word(|c| c.is_ascii_digit() || c == '.').to_owned();
            let exponent = if self.take("e") {
                format!("e{}{}", if self.take("-") { "-" } else { "" }, self.word(|c| c.is_ascii_digit()))
            } else {
                String::new()
            };
            return format!("{mantissa}{exponent}").parse().map(Value::number).map_err(|e| format!("{mantissa}: {e}"));
        }
        if self.take("I_") {
            let labels = self.name()?;
            let classes = 3;
            let row = |&y: &f64| (0..classes).map(move |j| f64::from(y as usize == j));
            return Ok(Value { shape: vec![labels.at.len(), classes], at: labels.at.iter().flat_map(row).collect() });
        }
        self.named()
    }

    fn name(&mut self) -> Read {
        let name = plain(self.word(|c| c.is_ascii_alphanumeric() || c == '_' || ('₀'..='₉').contains(&c)));
        self.known.get(&name).cloned().ok_or_else(|| format!("`{name}` is not defined, before `{}`", self.rest))
    }

    /// A name, or a call with the axes as subscripts.
    fn named(&mut self) -> Read {
        let begin = self.rest;
        let name = self.word(|c| c.is_ascii_alphabetic() || "Σ√σ".contains(c));
        let letters = ['ᵢ', 'ⱼ', 'ₖ'];
        let axes: Vec<usize> =
            self.word(|c| letters.contains(&c)).chars().filter_map(|c| letters.iter().position(|l| *l == c)).collect();
        if name.starts_with("ones") || name.starts_with("reshape") {
            self.expect("[")?;
            let shape: Vec<usize> = self.word(|c| c != ']').split('×').map(|n| n.parse().unwrap()).collect();
            self.expect("]")?;
            if name == "ones" {
                return Ok(Value { at: vec![1.0; shape.iter().product()], shape });
            }
            self.expect("(")?;
            let of = self.any()?;
            self.expect(")")?;
            return Ok(Value { shape, at: of.at });
        }
        if !self.take("(") {
            self.rest = begin;
            return self.name();
        }
        let mut args = vec![self.any()?];
        while self.take(", ") {
            args.push(self.any()?);
        }
        self.expect(")")?;
        let x = &args[0];
        let axes = if axes.is_empty() { vec![x.shape.len().saturating_sub(1)] } else { axes };
        let softmax = |x: &Value| x.zip(&x.beside(&axes, log_sum_exp)?, |z, total| z - total);
        match name {
            "Σ" => x.fold(&axes, |v| v.iter().sum()),
            "mean" => x.fold(&axes, mean),
            "var" => x.fold(&axes, |v| mean(&v.iter().map(|x| (x - mean(v)).powi(2)).collect::<Vec<_>>())),
            "max" => x.fold(&axes, |v| v.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
            "logsumexp" => x.fold(&axes, log_sum_exp),
            "logsoftmax" => softmax(x),
            "softmax" => Ok(softmax(x)?.map(f64::exp)),
            "relu" => Ok(x.map(|z| z.max(0.0))),
            "tanh" => Ok(x.map(f64::tanh)),
            "σ" => Ok(x.map(|z| 1.0 / (1.0 + (-z).exp()))),
            "softplus" => Ok(x.map(|z| z.exp().ln_1p())),
            "exp" => Ok(x.map(f64::exp)),
            "log" => Ok(x.map(f64::ln)),
            "√" => Ok(x.map(f64::sqrt)),
            "where" => {
                let kept = x.zip(&args[1], |c, a| if c != 0.0 { a } else { 0.0 })?;
                let other = x.zip(&args[2], |c, b| if c != 0.0 { 0.0 } else { b })?;
                kept.zip(&other, |a, b| a + b)
            }
            _ => Err(format!("there is no function `{name}`")),
        }
    }
}
