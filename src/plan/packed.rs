//! Right factors that are packed once: weights of a network that is run and not trained, frozen ones, constants.
//!
//! A product packs a factor into panels, so that its tiles read straight on. Where nothing that a run does changes the factor, that can be done before the
//! run, and again only when somebody has set the parameter. The copy takes at most twice as much memory as the factor; results have the same bits.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::runtime::gemm::{Axes, Table, gains_if_packed};

use super::pending::{Lowered, Want};
use super::strip::{Cut, Family, Found};
use super::{Action, Axis, BufferId, Place, Product};

/// A factor that is packed before a run, for one product or for several.
#[derive(Clone, Debug)]
pub struct Packed {
    /// A product whose right factor it is.
    pub product: Product,
}

impl Packed {
    /// The product, as one that is given the factor packed.
    pub(crate) fn table(&self) -> Table {
        Table::with_packed(&self.product.axes, false)
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
            Some(_) => Table::with_packed(axes, self.accumulate),
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
        let family = match cuts.get(&turn) {
            Some(&Cut::Axis(family)) => Some(family),
            Some(Cut::Rows) | None => None,
        };
        let axes = family.map_or_else(|| p.axes.clone(), |family| p.piece(family, 0).axes);
        let Some(place) = place(lowered, p.b.buffer).filter(|place| !written.contains(place)) else { continue };
        // All products of a batch, and all pieces, have the same factor.
        let same = p.axes.batch.iter().all(|x| x.b == 0) && family != Some(Family::Columns);
        // Windows would be copied element by element.
        let len = Table::with_packed(&p.axes, false).packed_len();
        if !same || !gains_if_packed(&axes) || len > 2 * lowered.buffers[p.b.buffer.index()].len {
            continue;
        }
        // Its workspace is to hold what is left to pack, and to be nobody else's.
        let tables = [&axes, &p.axes].map(|axes| Table::with_packed(axes, p.accumulate));
        let needed = tables.iter().map(Table::workspace_len).max().unwrap_or(0);
        if p.workspace.map_or(needed > 0, |w| users[&w] > 1) {
            continue;
        }
        let strides = |axes: &[Axis]| axes.iter().map(|x| (x.extent, x.b)).collect::<Vec<_>>();
        let key = (place, p.b.offset, strides(&p.axes.columns), strides(&p.axes.contracted));
        let number = *known.entry(key).or_insert_with(|| {
            all.push(Packed { product: Product { workspace: None, ..(**p).clone() } });
            all.len() - 1
        });
        give(lowered, i, number, needed);
    }
    all
}

/// The product of a step is given its right factor packed, and needs a workspace of so many elements then.
fn give(lowered: &mut Lowered, step: usize, packed: usize, needed: usize) {
    let step = &mut lowered.steps[step];
    let Action::Product(p) = &mut step.action else { return };
    p.packed = Some(packed);
    let Some(workspace) = p.workspace else { return };
    lowered.buffers[workspace.index()].len = needed;
    if needed == 0 {
        p.workspace = None;
        step.writes.retain(|b| *b != workspace);
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::{check, plan};
    use crate::prelude::*;

    /// Layouts of the left factor and counts of rows and columns at which products pack one factor or another, or none.
    #[test]
    fn what_is_left_to_pack_has_a_workspace() {
        let mut packed = 0;
        for (rows, columns, terms) in
            [(2, 32, 64), (8, 256, 40), (32, 256, 512), (36, 256, 64), (64, 288, 800), (300, 64, 65)]
        {
            for transposed in [false, true] {
                let g = Builder::new();
                let shape = if transposed { [terms, rows] } else { [rows, terms] };
                let x = g.input("x", f32(shape));
                let x = if transposed { x.t() } else { x };
                for w in [g.param("w", init::zeros([terms, columns])), g.param("v", init::zeros([columns, terms])).t()]
                {
                    let plan = plan(&g.program(&[("y", x.dot(w))]).graph);
                    assert_eq!(check::check(&plan), Ok(()), "{plan}");
                    packed += plan.packed.len();
                }
            }
        }
        assert!(packed >= 20, "{packed}");
    }
}
