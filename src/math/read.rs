//! From nodes to forms: how each structural operation is written.
//!
//! [`Reader::read`] is the table. What it does not list is written as a function, with the name and attributes of the text form, so an operation that is
//! new needs no entry to be written truly; one is worth it where mathematics has its own notation.

use crate::array::Array;
use crate::graph::{DType, Dims, Graph, NodeId, Shape};
use crate::prim::{Combine, Dot, Extremum, Lowering, Op, Reduction, Slice};
use crate::scalar::ScalarFn;

use super::form::{Fold, Form, FormId, Forms, Function};
use super::loops::Loops;

/// Constants of more elements are called by their node.
const WRITTEN_OUT: usize = 9;

/// Reads the nodes of one graph.
pub(super) struct Reader<'g> {
    graph: &'g Graph,
    pub(super) forms: Forms,
    of: Vec<Option<FormId>>,
    /// The loops, if they are to be told below the formulas.
    pub(super) loops: Option<Loops>,
}

impl<'g> Reader<'g> {
    pub(super) fn new(graph: &'g Graph) -> Reader<'g> {
        Reader { graph, forms: Forms::default(), of: vec![None; graph.len()], loops: None }
    }

    /// The form of a node with all its elements, after those that it depends on.
    pub(super) fn form(&mut self, node: NodeId) -> FormId {
        let mut needed = vec![false; node.index() + 1];
        needed[node.index()] = true;
        for id in self.graph.ids().take(node.index() + 1).rev() {
            if needed[id.index()] && self.of[id.index()].is_none() {
                self.graph.operands(id).iter().for_each(|o| needed[o.index()] = true);
            }
        }
        for id in self.graph.ids().take(node.index() + 1) {
            if needed[id.index()] && self.of[id.index()].is_none() {
                let form = self.read(id);
                self.of[id.index()] = Some(form);
            }
        }
        self.whole(node)
    }

    /// Lets a node be called by a name, whatever it is made of.
    pub(super) fn call(&mut self, node: NodeId, name: &str) {
        let shape = self.graph.shape(node).clone();
        self.of[node.index()] = Some(self.forms.intern(Form::Symbol(name.into()), shape));
    }

    /// The form of an operand, which may be a scalar that stands for all elements.
    fn part(&self, node: NodeId) -> FormId {
        self.of[node.index()].expect("operands are read before their users")
    }

    fn whole(&mut self, node: NodeId) -> FormId {
        let form = self.part(node);
        self.forms.whole(form, self.graph.shape(node))
    }

    fn read(&mut self, id: NodeId) -> FormId {
        let (graph, shape) = (self.graph, self.graph.shape(id).clone());
        let operands = graph.operands(id);
        match graph.op(id) {
            Op::Input(_) | Op::Param(_) => {
                let name = graph.op(id).leaf_name().expect("leaves have names").clone();
                self.forms.intern(Form::Symbol(name), shape)
            }
            Op::Const(c) => self.constant(id, &c.value),
            Op::Iota(i) => self.forms.intern(Form::Index(i.axis), shape),
            Op::Map(m) => {
                let args: Vec<FormId> = operands.iter().map(|&o| self.part(o)).collect();
                self.scalar(m.f, &args, graph.ty(*operands.last().expect("maps have operands")).dtype)
            }
            Op::Cast(_) => self.cast(operands[0], graph.ty(id).dtype),
            Op::Broadcast(b) => {
                let part = self.part(operands[0]);
                self.forms.repeat(&b.axes, part, &shape)
            }
            Op::Reduce(r) => {
                let truth = graph.ty(id).dtype == DType::Bool;
                let fold = match r.reduction {
                    Reduction::Sum => Fold::Sum,
                    Reduction::Prod => Fold::Prod,
                    Reduction::Max if truth => Fold::Any,
                    Reduction::Min if truth => Fold::All,
                    Reduction::Max => Fold::Max,
                    Reduction::Min => Fold::Min,
                };
                self.fold(fold, r.axes.clone(), operands[0])
            }
            Op::ArgReduce(r) => {
                let fold = if r.extremum == Extremum::Max { Fold::ArgMax } else { Fold::ArgMin };
                self.fold(fold, Dims::from_slice(&[r.axis]), operands[0])
            }
            Op::Dot(d) => self.dot(d, operands[0], operands[1], &shape),
            Op::Transpose(t) => {
                let rank = t.permutation.len();
                let swapped = (0..rank).map(|a| {
                    if a + 2 == rank {
                        a + 1
                    } else if a + 1 == rank {
                        a - 1
                    } else {
                        a
                    }
                });
                let form = self.whole(operands[0]);
                if rank >= 2 && t.permutation.iter().copied().eq(swapped) {
                    self.forms.transpose(form)
                } else {
                    self.named(id)
                }
            }
            Op::Gather(g) => {
                let (of, index) = (self.whole(operands[0]), self.whole(operands[1]));
                self.forms.intern(Form::Pick { of, batch: g.batch, index }, shape)
            }
            Op::Slice(s) => {
                let of = self.whole(operands[0]);
                self.forms.intern(Form::Part { of, ranges: ranges(s) }, shape)
            }
            Op::Reshape(r) => self.reshape(operands[0], &r.shape),
            Op::Scatter(s) if s.combine == Combine::Add && s.batch + 1 == shape.rank() => {
                let [x, index, updates] = [0, 1, 2].map(|i| self.part(operands[i]));
                let one_each = graph.shape(operands[1]).rank() == s.batch && self.forms.as_number(x) == Some(0.0);
                if !one_each {
                    return self.named(id);
                }
                let index = self.forms.whole(index, graph.shape(operands[1]));
                let rows = self.forms.intern(Form::OneHot(index), shape.clone());
                let updates = self.forms.repeat(&Dims::from_slice(&[s.batch]), updates, &shape);
                self.forms.product(1.0, &[(updates, 1), (rows, 1)])
            }
            Op::Loop(result) if self.loops.is_some() => {
                let args = operands.iter().map(|&o| self.whole(o)).collect();
                let function = self.loops.get_or_insert_default().function(result);
                self.forms.intern(Form::Apply(function, args), shape)
            }
            op => {
                let types: Vec<_> = operands.iter().map(|&o| graph.ty(o)).collect();
                match op.lowering(&types, graph.ty(id)) {
                    Lowering::Same | Lowering::Barrier => self.part(operands[0]),
                    _ => self.named(id),
                }
            }
        }
    }

    /// The operand in another shape; what has been reshaped before, in one step or none.
    fn reshape(&mut self, operand: NodeId, shape: &Shape) -> FormId {
        let part = self.part(operand);
        if self.forms.is_scalar(part) && self.graph.shape(operand).rank() > 0 {
            return part;
        }
        let of = match self.forms.form(part) {
            Form::Apply(Function::Named(name), args) if name.starts_with("reshape[") => args[0],
            _ => part,
        };
        if self.forms.shape(of) == shape {
            return of;
        }
        let name = format!("reshape[{}]", extents(shape));
        self.forms.intern(Form::Apply(Function::Named(name), vec![of]), shape.clone())
    }

    /// The operation as a function, called as in the text form.
    fn named(&mut self, id: NodeId) -> FormId {
        let graph = self.graph;
        let args = graph.operands(id).iter().map(|&o| self.whole(o)).collect();
        let attrs = graph.op(id).attrs();
        let attrs = if attrs.is_empty() { String::new() } else { attrs.to_string() };
        let name = format!("{}{}", graph.op(id).name(), attrs.replace('{', "[").replace('}', "]"));
        self.forms.intern(Form::Apply(Function::Named(name), args), graph.shape(id).clone())
    }

    fn fold(&mut self, fold: Fold, axes: Dims, of: NodeId) -> FormId {
        let of = self.whole(of);
        if axes.is_empty() { of } else { self.forms.fold(fold, axes, of) }
    }

    /// A number if all elements are one, a list if there are few, else a name.
    fn constant(&mut self, id: NodeId, value: &Array) -> FormId {
        // Numbers of f32 are taken by their shortest decimals: 0.02 is meant, not the nearest f32.
        let number = |i: usize| match value.dtype() {
            DType::F32 => (value.get_f64(i) as f32).to_string().parse().expect("a printed number can be read"),
            _ => value.get_f64(i),
        };
        let (count, shape) = (value.shape().numel(), value.shape().clone());
        if count > 0 && (1..count).all(|i| value.get_f64(i).to_bits() == value.get_f64(0).to_bits()) {
            return match value.dtype() {
                DType::Bool => self.forms.truth(value.get_f64(0) != 0.0),
                _ => self.forms.number(number(0)),
            };
        }
        let numbers: Vec<f64> = (0..count.min(WRITTEN_OUT + 1)).map(number).collect();
        let form = match shape.len() {
            1 if count <= WRITTEN_OUT => Form::Literal(list(&numbers)),
            2 if count <= WRITTEN_OUT && count > 0 => {
                let rows: Vec<String> = numbers.chunks(shape[1]).map(list).collect();
                Form::Literal(format!("[{}]", rows.join(", ")))
            }
            _ => Form::Symbol(format!("const {id}").into()),
        };
        self.forms.intern(form, shape)
    }

    fn cast(&mut self, of: NodeId, to: DType) -> FormId {
        let (from, part) = (self.graph.ty(of).dtype, self.part(of));
        // What the new type can hold up to rounding.
        let holds = match to {
            DType::F16 | DType::BF16 | DType::F32 | DType::F64 => true,
            DType::I64 => matches!(from, DType::I32 | DType::I64 | DType::U8 | DType::U32 | DType::Bool),
            DType::I32 | DType::U32 => matches!(from, DType::U8 | DType::Bool) || from == to,
            DType::U8 => matches!(from, DType::U8 | DType::Bool),
            DType::Bool => from == DType::Bool,
        };
        if to == DType::Bool && from != DType::Bool {
            let zero = self.forms.number(0.0);
            return self.forms.compare(ScalarFn::Ne, part, zero);
        }
        match (from, holds) {
            (DType::Bool, true) if to != DType::Bool => self.forms.indicator(part),
            (_, true) => part,
            _ => {
                let whole = self.whole(of);
                let shape = self.graph.shape(of).clone();
                self.forms.intern(Form::Apply(Function::Named(to.name().to_owned()), vec![whole]), shape)
            }
        }
    }

    /// A scalar function of each element. `dtype` is the type of its last operand.
    fn scalar(&mut self, f: ScalarFn, args: &[FormId], dtype: DType) -> FormId {
        use ScalarFn as S;
        let shape = self.forms.common_shape(args.iter().copied());
        if let Some((axes, inner)) = self.repeated_alike(args) {
            let once = self.scalar(f, &inner, dtype);
            return self.forms.repeat(&axes, once, &shape);
        }
        let forms = &mut self.forms;
        // Signed integers are taken for numbers; unsigned ones wrap around where a difference would be negative.
        let signed = dtype.is_float() || matches!(dtype, DType::I32 | DType::I64);
        let truth = dtype == DType::Bool;
        match (f, args) {
            (S::Add, &[a, b]) if signed => forms.sum(&[(1.0, a), (1.0, b)]),
            (S::Sub, &[a, b]) if signed => forms.sum(&[(1.0, a), (-1.0, b)]),
            (S::Neg, &[a]) if signed => forms.product(-1.0, &[(a, 1)]),
            (S::Mul, &[a, b]) if signed => forms.product(1.0, &[(a, 1), (b, 1)]),
            (S::Div, &[a, b]) if dtype.is_float() => forms.product(1.0, &[(a, 1), (b, -1)]),
            (S::Rsqrt, &[a]) => {
                let root = forms.intern(Form::Apply(Function::Scalar(S::Sqrt), vec![a]), shape);
                forms.product(1.0, &[(root, -1)])
            }
            (S::Pow, &[a, b]) if dtype.is_float() => match forms.as_number(b) {
                Some(e) if e.fract() == 0.0 && (1.0..=9.0).contains(&e.abs()) => forms.product(1.0, &[(a, e as i32)]),
                _ => forms.intern(Form::Apply(Function::Scalar(f), args.to_vec()), shape),
            },
            (S::Log, &[a]) => match forms.log_sum_exp(a) {
                Some(log) => log,
                None => forms.intern(Form::Apply(Function::Scalar(f), args.to_vec()), shape),
            },
            (S::Max, &[a, b]) if signed && forms.as_number(b) == Some(0.0) => forms.relu(a),
            (S::Max, &[a, b]) if signed && forms.as_number(a) == Some(0.0) => forms.relu(b),
            (S::StopGradient, &[a]) => a,
            // Formulas are about real numbers.
            (S::IsNan | S::IsInf, _) => forms.truth(false),
            (S::IsFinite, _) => forms.truth(true),
            (S::Select, &[c, a, b]) if !truth => forms.select(c, a, b),
            (S::Not, &[a]) if truth => forms.not(a),
            (S::And | S::Or, &[a, b]) if truth => forms.logic(f, a, b),
            (S::Eq | S::Ne | S::Lt | S::Le | S::Gt | S::Ge, &[a, b]) if !truth => forms.compare(f, a, b),
            _ => forms.intern(Form::Apply(Function::Scalar(f), args.to_vec()), shape),
        }
    }

    /// The axes and what is repeated along them, if all arguments but scalars are repeated along the same ones.
    fn repeated_alike(&self, args: &[FormId]) -> Option<(Dims, Vec<FormId>)> {
        let mut along: Option<Dims> = None;
        let mut inner = Vec::new();
        for &arg in args {
            match self.forms.form(arg) {
                Form::Repeat { axes, of } if along.as_ref().is_none_or(|a| a == axes) => {
                    along = Some(axes.clone());
                    inner.push(*of);
                }
                _ if self.forms.is_scalar(arg) => inner.push(arg),
                _ => return None,
            }
        }
        along.map(|axes| (axes, inner))
    }

    /// A sum of products: by juxtaposition where it is a product of matrices, else by subscripts.
    fn dot(&mut self, d: &Dot, a: NodeId, b: NodeId, shape: &Shape) -> FormId {
        let (ra, rb) = (self.graph.shape(a).rank(), self.graph.shape(b).rank());
        let (fa, fb) = (self.whole(a), self.whole(b));
        let batch = d.lhs_batch.len();
        let leading = |axes: &Dims| axes.iter().copied().eq(0..batch);
        let forms = &mut self.forms;
        if leading(&d.lhs_batch)
            && leading(&d.rhs_batch)
            && let ([ca], [cb]) = (&d.lhs_contract[..], &d.rhs_contract[..])
        {
            let (ca, cb) = (ca - batch, cb - batch);
            match (ra - batch, rb - batch) {
                (2, 2) => return forms.matmul((fa, ca == 0), (fb, cb == 1), shape.clone()),
                // Rows in any number of axes.
                (3.., 2) if batch == 0 && ca + 1 == ra => {
                    return forms.matmul((fa, false), (fb, cb == 1), shape.clone());
                }
                (2, 1) if batch == 0 => return forms.matmul((fa, ca == 0), (fb, false), shape.clone()),
                (1, 2) if batch == 0 => return forms.matmul((fb, cb == 0), (fa, false), shape.clone()),
                (1, 1) if batch == 0 => return forms.matmul((fa, true), (fb, false), shape.clone()),
                _ => {}
            }
        }
        if (ra, rb, batch, d.lhs_contract.len()) == (1, 1, 0, 0) {
            return forms.matmul((fa, false), (fb, true), shape.clone());
        }
        let (ca, a) = forms.split(fa);
        let (cb, b) = forms.split(fb);
        let name = Function::Named(format!("einsum[{}]", subscripts(d, ra, rb)));
        let product = forms.intern(Form::Apply(name, vec![a, b]), shape.clone());
        forms.product(ca * cb, &[(product, 1)])
    }
}

/// `50×64`.
pub(super) fn extents(shape: &Shape) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("×")
}

/// `[1, 2, 0.5]`.
fn list(numbers: &[f64]) -> String {
    format!("[{}]", numbers.iter().map(f64::to_string).collect::<Vec<_>>().join(", "))
}

/// The ranges of a slice as NumPy writes them: `0:5, 8::-2`.
fn ranges(s: &Slice) -> String {
    let one = |axis: usize| {
        let (start, len, step) = (s.start[axis], s.len[axis], s.step[axis]);
        let end = start as isize + step * (len as isize - 1) + step.signum();
        match (len, step) {
            (0 | 1, _) => format!("{start}:{}", start + len),
            (_, 1) => format!("{start}:{end}"),
            (_, _) if end < 0 => format!("{start}::{step}"),
            _ => format!("{start}:{end}:{step}"),
        }
    };
    (0..s.start.len()).map(one).collect::<Vec<_>>().join(", ")
}

/// The axes of a product as letters: `bik,bkj->bij`.
fn subscripts(d: &Dot, ra: usize, rb: usize) -> String {
    let letter = |n: usize| char::from_u32('a' as u32 + n as u32).expect("a tensor has few axes");
    let a: Vec<char> = (0..ra).map(letter).collect();
    let mut b: Vec<char> = (0..rb).map(|n| letter(ra + n)).collect();
    let pairs = d.lhs_batch.iter().zip(&d.rhs_batch).chain(d.lhs_contract.iter().zip(&d.rhs_contract));
    pairs.for_each(|(&l, &r)| b[r] = a[l]);
    let batch = d.lhs_batch.iter().map(|&x| a[x]);
    let out: String =
        batch.chain(d.lhs_free(ra).iter().map(|&x| a[x])).chain(d.rhs_free(rb).iter().map(|&x| b[x])).collect();
    format!("{},{}->{out}", a.iter().collect::<String>(), b.iter().collect::<String>())
}
