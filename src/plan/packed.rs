//! Factors that are packed once: weights of a network that is run and not trained, frozen ones, constants.
//!
//! A product packs a factor into panels, so that its tiles read straight on. Where nothing that a run does changes the factor, that can be done before the
//! run, and again only when somebody has set the parameter. The copy takes as much memory as the factor; results have the same bits.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::runtime::gemm::{Axes, Factor, Table};

use super::pending::{Lowered, Want};
use super::strip::{Cut, Family, Found};
use super::{Action, Axis, BufferId, Place, Product};

/// A factor that is packed before a run, for one product or for several.
#[derive(Clone, Debug)]
pub struct Packed {
    /// The product for which it is packed.
    pub product: Product,
    /// Which of its factors this is.
    pub factor: Factor,
}

impl Packed {
    /// The product, as one that is given the factor packed.
    pub(crate) fn table(&self) -> Table {
        Table::with_packed(&self.product.axes, false, self.factor)
    }

    /// Bytes of the copy.
    pub fn bytes(&self) -> usize {
        self.table().packed_len() * self.product.dtype.size()
    }
}

impl Product {
    /// The product for the runtime, over these axes: its own, or those of a piece.
    pub(crate) fn table(&self, axes: &Axes) -> Table {
        match self.packed {
            Some((factor, _)) => Table::with_packed(axes, self.accumulate, factor),
            None => Table::new(axes, self.accumulate),
        }
    }
}

/// What a copy is made of: where the factor begins, and the axes of its lanes and steps with their strides.
type Key = (Place, isize, Vec<(usize, isize)>, Vec<(usize, isize)>);

/// Finds factors that are worth packing once and gives them to their products, which need less workspace then.
pub(super) fn find(lowered: &mut Lowered, order: &[usize], strips: &[Found]) -> Vec<Packed> {
    let place = |lowered: &Lowered, buffer: BufferId| match lowered.buffers[buffer.index()].want {
        Want::At(place @ (Place::Param(_) | Place::Const(_))) => Some(place),
        Want::At(_) | Want::Arena => None,
    };
    let written = order.iter().flat_map(|&i| &lowered.steps[i].writes);
    let written: FxHashSet<Place> = written.filter_map(|&b| place(lowered, b)).collect();
    let mut cuts: FxHashMap<usize, Cut> = FxHashMap::default();
    for Found { strip, .. } in strips {
        cuts.extend(strip.steps.clone().zip(strip.cuts.iter().copied()));
    }
    let mut users: FxHashMap<BufferId, usize> = FxHashMap::default();
    for &i in order {
        let Action::Product(p) = &lowered.steps[i].action else { continue };
        p.workspace.into_iter().for_each(|w| *users.entry(w).or_default() += 1);
    }
    let (mut all, mut known): (Vec<Packed>, FxHashMap<Key, usize>) = Default::default();
    for (turn, &i) in order.iter().enumerate() {
        let Action::Product(p) = &lowered.steps[i].action else { continue };
        // Whose workspace others use too, it stays as it is.
        if p.workspace.is_some_and(|w| users[&w] > 1) {
            continue;
        }
        let family = match cuts.get(&turn) {
            Some(&Cut::Axis(family)) => Some(family),
            Some(Cut::Rows) | None => None,
        };
        let axes = family.map_or_else(|| p.axes.clone(), |family| p.piece(family, 0).axes);
        let given = [Factor::Right, Factor::Left].into_iter().find_map(|factor| {
            let (matrix, own, stride) = sides(p, factor);
            let place = place(lowered, matrix.buffer).filter(|place| !written.contains(place))?;
            // All products of a batch, and all pieces, have the same factor.
            let same = p.axes.batch.iter().all(|x| stride(x) == 0) && family != Some(own);
            (same && factor.is_worth_packing(&axes)).then_some((factor, place))
        });
        let Some((factor, place)) = given else { continue };
        let (matrix, own, stride) = sides(p, factor);
        let strides = |axes: &[Axis]| axes.iter().map(|x| (x.extent, stride(x))).collect::<Vec<_>>();
        let key = (place, matrix.offset, strides(own.of(&p.axes)), strides(&p.axes.contracted));
        let number = *known.entry(key).or_insert_with(|| {
            all.push(Packed { product: Product { workspace: None, ..(**p).clone() }, factor });
            all.len() - 1
        });
        give(lowered, i, (factor, number), &axes);
    }
    all
}

/// A factor: its matrix, the family of axes that only it and the result have, and how it steps along an axis.
fn sides(p: &Product, factor: Factor) -> (super::Matrix, Family, fn(&Axis) -> isize) {
    match factor {
        Factor::Left => (p.a, Family::Rows, |x| x.a),
        Factor::Right => (p.b, Family::Columns, |x| x.b),
    }
}

/// The product of a step is given a factor packed. Of its workspace remains what it needs, over these axes of a piece and over all.
fn give(lowered: &mut Lowered, step: usize, packed: (Factor, usize), axes: &Axes) {
    let step = &mut lowered.steps[step];
    let Action::Product(p) = &mut step.action else { return };
    p.packed = Some(packed);
    let needed = p.table(axes).workspace_len().max(p.table(&p.axes).workspace_len());
    let Some(workspace) = p.workspace else { return };
    lowered.buffers[workspace.index()].len = needed;
    if needed == 0 {
        p.workspace = None;
        step.writes.retain(|b| *b != workspace);
    }
}
