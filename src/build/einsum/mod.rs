//! Einstein sums: any specification as diagonals, sums, transposes and products of two tensors at a time.
//!
//! ```text
//!   text --parse--> labels of all axes --path--> pairs --> products, multiplications, sums
//! ```

mod parse;
mod path;

use smallvec::SmallVec;

use crate::graph::{DType, Dims, OpError, OpErrorKind, Shape};
use crate::prim::{Dot, Reduce, Reduction, Reshape, Slice, Transpose};

use super::{Builder, Tensor};
use parse::{Label, Spec, places};

/// A tensor under contraction with the label of each axis, all different.
#[derive(Clone)]
struct Term<'g> {
    tensor: Tensor<'g>,
    labels: Vec<Label>,
}

impl Builder {
    /// The Einstein sum of the operands: the product of their elements, summed over all indices that the result does not have.
    ///
    /// The specification is NumPy's: `"ij,jk->ik"`. A letter names an index of all axes that it stands for. A letter twice in one operand takes the diagonal.
    /// `...` stands for any axes, which broadcast from the right. Without `->` the result has the axes under ellipses, then the letters that occur once, in
    /// alphabetical order. An axis of extent 1 stretches to the extent that its letter has in other operands. Spaces mean nothing.
    ///
    /// Several operands are contracted by pairs: in the order with the fewest multiplications for up to nine, beyond in a good one. The order of the
    /// operands does not matter.
    ///
    /// ```
    /// # use cotangent::prelude::*;
    /// # let g = Builder::new();
    /// # let (q, k) = (g.input("q", f32([2, 8, 5, 16])), g.input("k", f32([2, 8, 7, 16])));
    /// let scores = g.einsum("bhqd,bhkd->bhqk", &[q, k]);
    /// let trace = g.einsum("ii", &[g.ones(f32([3, 3]))]);
    /// # assert_eq!(scores.shape()[..], [2, 8, 5, 7]);
    /// # assert_eq!(trace.rank(), 0);
    /// ```
    ///
    /// # Panics
    /// If the specification cannot be read or does not fit the operands, there are none, they differ in type, or they hold truth values.
    #[track_caller]
    pub fn einsum<'g>(&'g self, specification: &str, operands: &[Tensor<'g>]) -> Tensor<'g> {
        let result = self.try_einsum(specification, operands);
        self.check(result, operands)
    }

    /// [`Builder::einsum`] for specifications from outside.
    ///
    /// # Errors
    /// Where [`Builder::einsum`] panics.
    ///
    /// # Panics
    /// If an operand belongs to another builder, or a result of a pair has too many elements.
    #[track_caller]
    pub fn try_einsum<'g>(&'g self, specification: &str, operands: &[Tensor<'g>]) -> Result<Tensor<'g>, OpError> {
        let types: Vec<_> = operands.iter().map(|t| t.ty()).collect();
        let shapes: Vec<Shape> = types.iter().map(|t| t.shape.clone()).collect();
        let fail = |kind| OpError::new("einsum", &types.iter().collect::<Vec<_>>(), kind);
        let spec = Spec::parse(specification, &shapes)
            .map_err(|e| fail(OpErrorKind::Other(format!("specification `{specification}`: {e}"))))?;
        for (position, ty) in types.iter().enumerate() {
            let expected = match types[0].dtype {
                DType::Bool => "a number type".to_owned(),
                dtype if dtype != ty.dtype => dtype.name().to_owned(),
                _ => continue,
            };
            return Err(fail(OpErrorKind::DType { position, expected, actual: ty.dtype }));
        }
        let _scope = self.scope("einsum", operands);
        let mut terms: Vec<Option<Term<'g>>> = Vec::new();
        for (&tensor, labels) in operands.iter().zip(&spec.operands) {
            terms.push(Some(diagonals(Term { tensor, labels: labels.clone() }).squeezed(&spec)));
        }
        let wanted = |terms: &[Option<Term<'g>>], label: Label| {
            spec.result.contains(&label) || terms.iter().flatten().any(|t| t.labels.contains(&label))
        };
        for i in 0..terms.len() {
            let term = terms[i].take().expect("each operand is taken once");
            terms[i] = Some(term.summed(|l| wanted(&terms, l)));
        }
        let sets: Vec<path::Labels> = terms.iter().flatten().map(|t| path::set(&t.labels)).collect();
        for (a, b) in path::path(&sets, path::set(&spec.result), &spec.extents) {
            let (a, b) = (terms[a].take(), terms[b].take());
            let (a, b) = (a.expect("the path takes each once"), b.expect("the path takes each once"));
            let product = product(a, b, |l| wanted(&terms, l));
            terms.push(Some(product));
        }
        let term = terms.pop().flatten().expect("there is an operand, and the last product is the last term");
        let order = places(&spec.result, &term.labels);
        Ok(transposed(term.tensor, order))
    }
}

/// The transpose, unless it changes nothing.
#[track_caller]
fn transposed(tensor: Tensor<'_>, permutation: Dims) -> Tensor<'_> {
    let same = permutation.iter().enumerate().all(|(i, &p)| i == p);
    if same { tensor } else { tensor.builder.push(Transpose { permutation }, &[tensor]) }
}

/// Takes the diagonal of axes of one label, as a strided view: in a matrix of `n` columns its elements are `n + 1` apart.
#[track_caller]
fn diagonals(mut term: Term<'_>) -> Term<'_> {
    let twins = |labels: &[Label]| {
        let second = (1..labels.len()).find(|&j| labels[..j].contains(&labels[j]))?;
        labels.iter().position(|&l| l == labels[second]).map(|first| (first, second))
    };
    while let Some((first, second)) = twins(&term.labels) {
        let rank = term.labels.len();
        let order: Dims = (0..rank).filter(|&a| a != first && a != second).chain([first, second]).collect();
        let label = term.labels[first];
        let moved = transposed(term.tensor, order);
        let shape = moved.shape();
        let (rest, n) = (&shape[..rank - 2], shape[rank - 1]);
        let with_last = |last: usize| -> Dims { rest.iter().copied().chain([last]).collect() };
        let flat = moved.builder.push(Reshape { shape: with_last(n * n).into_iter().collect() }, &[moved]);
        let step = rest.iter().map(|_| 1).chain([n as isize + 1]).collect();
        let slice = Slice { start: SmallVec::from_elem(0, rank - 1), len: with_last(n), step };
        term.tensor = moved.builder.push(slice, &[flat]);
        let others = term.labels.iter().enumerate().filter(|(a, _)| *a != first && *a != second).map(|(_, &l)| l);
        term.labels = others.chain([label]).collect();
    }
    term
}

impl<'g> Term<'g> {
    /// Without the axes that stretch.
    #[track_caller]
    fn squeezed(self, spec: &Spec) -> Term<'g> {
        let shape = self.tensor.shape();
        let stretches = |axis: usize| shape[axis] != spec.extents[usize::from(self.labels[axis])];
        let dropped: Dims = (0..self.labels.len()).filter(|&a| stretches(a)).collect();
        if dropped.is_empty() {
            return self;
        }
        let labels = self.labels.iter().enumerate().filter(|(a, _)| !dropped.contains(a)).map(|(_, &l)| l).collect();
        Term { tensor: self.tensor.reshape(shape.without(&dropped)), labels }
    }

    /// Summed over the labels that are not wanted.
    #[track_caller]
    fn summed(self, wanted: impl Fn(Label) -> bool) -> Term<'g> {
        let axes: Dims = (0..self.labels.len()).filter(|&a| !wanted(self.labels[a])).collect();
        if axes.is_empty() {
            return self;
        }
        let tensor = self.tensor.builder.push(Reduce { reduction: Reduction::Sum, axes }, &[self.tensor]);
        Term { tensor, labels: self.labels.into_iter().filter(|&l| wanted(l)).collect() }
    }

    /// The extents of axes of these labels; 1 for those that this term lacks.
    fn extents(&self, labels: &[Label]) -> Shape {
        let shape = self.tensor.shape();
        labels.iter().map(|l| self.labels.iter().position(|o| o == l).map_or(1, |a| shape[a])).collect()
    }
}

/// The product of two terms, summed over the labels of both that are not wanted any more. Labels of one alone are wanted.
///
/// It is a contraction where that is a product of matrices, else a multiplication and a sum, which fuse.
#[track_caller]
fn product<'g>(a: Term<'g>, b: Term<'g>, wanted: impl Fn(Label) -> bool) -> Term<'g> {
    let shared = |l: &Label| a.labels.contains(l) && b.labels.contains(l);
    let pick = |of: &Term<'g>, f: &dyn Fn(&Label) -> bool| of.labels.iter().copied().filter(f).collect::<Vec<Label>>();
    let batch = pick(&a, &|l| shared(l) && wanted(*l));
    let contracted = pick(&a, &|l| shared(l) && !wanted(*l));
    let (free_a, free_b) = (pick(&a, &|l| !shared(l)), pick(&b, &|l| !shared(l)));
    let labels: Vec<Label> = [&batch[..], &free_a, &free_b].concat();
    if contracted.is_empty() || (free_a.is_empty() && free_b.is_empty()) {
        // All labels in one order; those that a factor lacks have extent 1 and broadcast.
        let all: Vec<Label> = [&labels[..], &contracted].concat();
        let spread = |term: &Term<'g>| {
            let own: Vec<Label> = all.iter().copied().filter(|l| term.labels.contains(l)).collect();
            (places(&own, &term.labels), term.extents(&all))
        };
        let ((order_a, shape_a), (order_b, shape_b)) = (spread(&a), spread(&b));
        let x = transposed(a.tensor, order_a).reshape(shape_a) * transposed(b.tensor, order_b).reshape(shape_b);
        return Term { tensor: x, labels: all }.summed(|l| !contracted.contains(&l));
    }
    let dot = Dot {
        lhs_batch: places(&batch, &a.labels),
        rhs_batch: places(&batch, &b.labels),
        lhs_contract: places(&contracted, &a.labels),
        rhs_contract: places(&contracted, &b.labels),
    };
    Term { tensor: a.tensor.builder.push(dot, &[a.tensor, b.tensor]), labels }
}
