//! Which parts of formulas get names of their own, to be defined below them.
//!
//! What is used twice and is not short gets one, and softmax always, as lectures do; so do parts that would make a formula long or deeply nested, which
//! also bounds the recursion of whoever writes it.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::scalar::ScalarFn;

use super::form::{Fold, Form, FormId, Forms, Function};
use super::notation::is_reserved;

/// A part that is used more than once gets a name if it has as many symbols.
const SHARED: usize = 3;
/// A part that has more symbols gets a name though it is used once.
const LONG: usize = 14;
/// A part that is nested as deeply gets a name.
const DEEP: usize = 10;

/// The parts with names, in an order in which each is defined by earlier ones and leaves.
pub(super) struct Naming {
    pub(super) names: FxHashMap<FormId, String>,
    pub(super) order: Vec<FormId>,
}

/// What writing a form takes.
#[derive(Clone, Copy, Default)]
struct Size {
    symbols: usize,
    depth: usize,
}

/// Chooses names for the parts of these formulas.
pub(super) fn name(forms: &Forms, roots: &[FormId]) -> Naming {
    let mut uses = vec![0usize; forms.len()];
    let mut reached = vec![false; forms.len()];
    roots.iter().for_each(|r| reached[r.index()] = true);
    let ids: Vec<FormId> = forms.ids().collect();
    for &id in ids.iter().rev() {
        if reached[id.index()] {
            for part in forms.form(id).parts() {
                uses[part.index()] += 1;
                reached[part.index()] = true;
            }
        }
    }
    let mut taken: FxHashSet<String> = FxHashSet::default();
    for &id in &ids {
        if let Form::Symbol(name) = forms.form(id) {
            taken.insert(name.to_string());
        }
    }
    let mut sizes = vec![Size::default(); forms.len()];
    let mut order = Vec::new();
    for &id in ids.iter().filter(|id| reached[id.index()]) {
        let parts = forms.form(id).parts();
        let inner = parts.iter().map(|p| sizes[p.index()]);
        let leaf = matches!(forms.form(id), Form::Symbol(_) | Form::Literal(_) | Form::OneHot(_) | Form::Index(_));
        let size = Size {
            symbols: inner.clone().map(|s| s.symbols).sum::<usize>() + usize::from(leaf && parts.is_empty()),
            depth: 1 + inner.map(|s| s.depth).max().unwrap_or(0),
        };
        let is_root = uses[id.index()] == 0;
        let shared = uses[id.index()] >= 2 && size.symbols >= SHARED;
        let softmax = matches!(forms.form(id), Form::Fold { fold: Fold::Softmax, .. });
        let named = !leaf && !is_root && (shared || softmax || size.symbols > LONG || size.depth > DEEP);
        sizes[id.index()] = if named { Size { symbols: 1, depth: 1 } } else { size };
        if named {
            order.push(id);
        }
    }
    Naming { names: called(forms, &order, &taken), order }
}

/// A letter for each part by what it is, numbered where several have one.
fn called(forms: &Forms, order: &[FormId], taken: &FxHashSet<String>) -> FxHashMap<FormId, String> {
    let letters: Vec<&str> = order.iter().map(|&id| letter(forms, id)).collect();
    let mut next: FxHashMap<&str, usize> = FxHashMap::default();
    let mut names = FxHashMap::default();
    for (&id, &letter) in order.iter().zip(&letters) {
        let several = letters.iter().filter(|l| **l == letter).count() > 1;
        let number = next.entry(letter).or_insert(0);
        let name = loop {
            let name = if several || *number > 0 { format!("{letter}{}", *number + 1) } else { letter.to_owned() };
            *number += 1;
            if !taken.contains(&name) && !is_reserved(&name) {
                break name;
            }
        };
        names.insert(id, name);
    }
    names
}

/// `S` for softmax, `H` for what activations give, `Z` for products of matrices, `G` for other tensors, `v` for vectors, `c` for numbers.
fn letter(forms: &Forms, id: FormId) -> &'static str {
    let activation = |f: &Function| {
        matches!(f, Function::Relu | Function::Scalar(ScalarFn::Tanh | ScalarFn::Sigmoid | ScalarFn::Softplus))
    };
    match (forms.form(id), forms.shape(id).rank()) {
        (Form::Fold { fold: Fold::Softmax, .. }, 2..) => "S",
        (_, 0) => "c",
        (_, 1) => "v",
        (Form::Apply(f, _), _) if activation(f) => "H",
        (Form::MatMul { .. }, _) => "Z",
        _ => "G",
    }
}
