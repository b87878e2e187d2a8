//! Plans and kernels as text.
//!
//! ```text
//! plan: 3 steps, 2 kernels, arena 1344 bytes, live 1344 bytes
//! buffers
//!   b0 f32 x 6 in input `x`  ; %0
//!   b3 f32 x 8 in arena at 0  ; %3
//! kernel k0 rows [2] inner [4] slots s0: read f32, s1: write f32
//!   phase 0
//!     inner  v0 = load s0 [r0*4 + i0] : f32
//!     fold   max v0 from -inf
//!   phase 1
//!     row    v1 = fold 0.0 : f32
//! steps
//!   0  b3[i*4 + j] = b0[i*3 + k] b1[k*4 + j]  f32 [2 x 3 x 4] workspace b7
//!   1  k0 (b3, b5)
//!   2  b6 = argsort (b5 f32[2, 4]) {axis=1, descending=false} workspace b7
//! ```
//!
//! The steps of a strip stand together behind a line that tells its pieces. A buffer of which only one piece is in memory says `by pieces of 512`:
//!
//! ```text
//!   strip of 8 pieces
//!   | 3  b5[l0*4096 + i*64 + j] = b3[l0*2048 + i*32 + k] b4[l0*2048 + j*32 + k]  f32 [8 of 64 x 32 x 64] workspace b6
//!   | 4  k1 (b5, b7)
//! ```
//!
//! A loop names the buffers of its nested plan's arrays, `b0[t*4..+4]` for four elements that begin at `t * 4` in trip `t`, and has the plans of its guard
//! and its body behind it:
//!
//! ```text
//!   2  loop 10 trips reverse inputs (b0[t*4..+4]) carries (b3) outputs (b5[t*4..+4]) arena b7
//!      | plan: 1 steps, 1 kernels, arena 0 bytes, live 0 bytes
//! ```
//!
//! Row loops are called `r0 r1 ..`, inner loops `i0 i1 ..`; the loops of a product are called `l0 l1 ..`, its rows `i`, its columns `j` and the
//! summed axis `k`, whose extents are printed as `[i x k x j]`. A choice is printed as `v3*8 of 100`: stride 8, one of 100. The text depends on the plan
//! alone.

use std::fmt::{self, Display, Formatter};

use super::kernel::{Access, Affine, Fold, FoldKind, Index, Inst, Kernel, Slot, Store, StoreMode, ValueId};
use super::nested::{LoopStep, Nested, Part};
use super::{Action, Alpha, Axes, Axis, BufferId, KernelId, Matrix, Place, Plan, Product, RoutineCall};

impl Display for BufferId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "b{}", self.0)
    }
}

impl Display for KernelId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "k{}", self.0)
    }
}

impl Display for ValueId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl Display for Slot {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let access = match self.access {
            Access::Read => "read",
            Access::Write => "write",
            Access::ReadWrite => "read write",
            Access::Scratch => "scratch",
        };
        write!(f, "{access} {}", self.dtype)
    }
}

impl Display for Plan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "plan: {} steps, {} kernels, arena {} bytes, live {} bytes",
            self.steps.len(),
            self.kernels.len(),
            self.arena_bytes,
            self.live_bytes
        )?;
        writeln!(f, "buffers")?;
        for i in 0..self.buffers.len() {
            writeln!(f, "  {}", show_buffer(self, BufferId(i as u32)))?;
        }
        for (i, kernel) in self.kernels.iter().enumerate() {
            write!(f, "kernel {} {kernel}", KernelId(i as u32))?;
        }
        writeln!(f, "steps")?;
        for (i, step) in self.steps.iter().enumerate() {
            let strip = self.strips.iter().find(|strip| strip.steps.contains(&i));
            if let Some(strip) = strip.filter(|strip| strip.steps.start == i) {
                writeln!(f, "  strip of {} pieces", strip.pieces)?;
            }
            write!(f, "{} {i}  {}", if strip.is_some() { "  |" } else { " " }, step.action)?;
            for (n, origin) in step.origins.iter().filter(|origin| !origin.is_unknown()).enumerate() {
                write!(f, "{}{origin}", if n == 0 { "  ; " } else { ", " })?;
            }
            writeln!(f)?;
            if let Action::Loop(l) = &step.action {
                // Recursion is bounded by the depth of bodies.
                for line in l.nested().flat_map(|n| n.plan.to_string().lines().map(str::to_owned).collect::<Vec<_>>()) {
                    writeln!(f, "     | {line}")?;
                }
            }
        }
        Ok(())
    }
}

/// A buffer's line in the table.
pub(super) fn show_buffer(plan: &Plan, id: BufferId) -> impl Display {
    fmt::from_fn(move |f| {
        let buffer = plan.buffer(id);
        write!(f, "{id} {} x {} ", buffer.dtype, buffer.len)?;
        if buffer.pieces > 1 {
            write!(f, "by pieces of {} ", buffer.len / buffer.pieces)?;
        }
        f.write_str("in ")?;
        let named = |f: &mut Formatter<'_>, kind: &str, name: Option<&crate::graph::Name>, i: usize| match name {
            Some(name) => write!(f, "{kind} `{name}`"),
            None => write!(f, "{kind} {i}"),
        };
        match buffer.place {
            Place::Arena(at) => write!(f, "arena at {at}"),
            Place::Const(i) => write!(f, "constant {i}"),
            Place::Input(i) => named(f, "input", plan.inputs.get(i), i),
            Place::Param(i) => named(f, "parameter", plan.params.get(i), i),
            Place::Output(i) => named(f, "output", plan.outputs.get(i).map(|o| &o.0), i),
        }?;
        match buffer.node {
            Some(node) => write!(f, "  ; {node}"),
            None => Ok(()),
        }
    })
}

impl Display for Action {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Action::Kernel { kernel, args } => {
                write!(f, "{kernel} (")?;
                for (i, arg) in args.iter().enumerate() {
                    write!(f, "{}{arg}", if i == 0 { "" } else { ", " })?;
                }
                write!(f, ")")
            }
            Action::Product(product) => product.fmt(f),
            Action::Routine(call) => call.fmt(f),
            Action::Loop(l) => l.fmt(f),
        }
    }
}

impl Display for RoutineCall {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let op = &self.routine.op;
        write!(f, "{} = {} (", self.result, op.name())?;
        for (i, (operand, ty)) in self.operands.iter().zip(&self.routine.operands).enumerate() {
            write!(f, "{}{operand} {ty}", if i == 0 { "" } else { ", " })?;
        }
        write!(f, ")")?;
        let attrs = op.attrs();
        if !attrs.is_empty() {
            write!(f, " {attrs}")?;
        }
        match self.workspace {
            Some(workspace) => write!(f, " workspace {workspace}"),
            None => Ok(()),
        }
    }
}

impl Display for Part {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let begin = linear(self.offset as isize, [(self.stride as isize, "t".to_owned())]);
        write!(f, "{}[{begin}..+{}]", self.buffer, self.len)
    }
}

impl Display for LoopStep {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        fn list<T: Display>(f: &mut Formatter<'_>, name: &str, of: &[Option<T>]) -> fmt::Result {
            if of.is_empty() {
                return Ok(());
            }
            write!(f, " {name} (")?;
            for (i, x) in of.iter().enumerate() {
                let comma = if i == 0 { "" } else { ", " };
                match x {
                    Some(x) => write!(f, "{comma}{x}")?,
                    None => write!(f, "{comma}-")?,
                }
            }
            write!(f, ")")
        }
        let nested = |f: &mut Formatter<'_>, n: &Nested| {
            list(f, "inputs", &n.inputs)?;
            list(f, "carries", &n.params)?;
            list(f, "constants", &n.constants)?;
            list(f, "outputs", &n.outputs)?;
            n.arena.map_or(Ok(()), |arena| write!(f, " arena {arena}"))
        };
        write!(f, "loop {} trips {}", self.trips, self.order)?;
        if let Some(guard) = &self.guard {
            write!(f, " {} {}", if guard.ends { "while" } else { "where" }, guard.flag)?;
            nested(f, &guard.nested)?;
            write!(f, " do")?;
        }
        nested(f, &self.body)
    }
}

impl Display for Product {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Axes { batch, rows, columns, contracted } = &self.axes;
        // Each matrix has the axes of two families behind those of the batch.
        let (i, j, k) = (("i", rows), ("j", columns), ("k", contracted));
        let matrix = |m: &Matrix, outer, inner, stride: fn(&Axis) -> isize| {
            let families: [(&str, &Vec<Axis>); 3] = [("l", batch), outer, inner];
            let terms = families.iter().flat_map(|(letter, axes)| {
                axes.iter().enumerate().map(move |(d, axis)| {
                    let name =
                        if axes.len() == 1 && *letter != "l" { (*letter).to_owned() } else { format!("{letter}{d}") };
                    (stride(axis), name)
                })
            });
            format!("{}[{}]", m.buffer, linear(m.offset, terms))
        };
        let extents = |axes: &[Axis]| match axes {
            [] => "1".to_owned(),
            _ => axes.iter().map(|x| x.extent.to_string()).collect::<Vec<_>>().join("*"),
        };
        let sign = if self.accumulate { "+=" } else { "=" };
        write!(f, "{} {sign} ", matrix(&self.c, i, j, |x| x.c))?;
        match self.alpha {
            Alpha::Const(1.0) => {}
            Alpha::Const(alpha) => write!(f, "{alpha:?} * ")?,
            Alpha::Buffer { buffer, sign } => {
                write!(f, "{}{buffer}[0] * ", if sign < 0.0 { "-" } else { "" })?;
            }
        }
        let (a, b) = (matrix(&self.a, i, k, |x| x.a), matrix(&self.b, k, j, |x| x.b));
        write!(f, "{a} {b}  {} [{} x {} x {}]", self.dtype, extents(rows), extents(contracted), extents(columns))?;
        if !batch.is_empty() {
            write!(f, " batch {:?}", batch.iter().map(|x| x.extent).collect::<Vec<_>>())?;
        }
        self.workspace.map_or(Ok(()), |w| write!(f, " workspace {w}"))?;
        self.packed.map_or(Ok(()), |_| write!(f, ", right factor packed once"))
    }
}

/// `offset + sum(coefficient * name)`, without terms that are 0.
fn linear(offset: isize, terms: impl IntoIterator<Item = (isize, String)>) -> String {
    let mut text = String::new();
    for (coef, name) in terms.into_iter().filter(|t| t.0 != 0) {
        let sign = match (text.is_empty(), coef < 0) {
            (true, false) => "",
            (true, true) => "-",
            (false, false) => " + ",
            (false, true) => " - ",
        };
        text += sign;
        text += &match coef.unsigned_abs() {
            1 => name,
            size => format!("{name}*{size}"),
        };
    }
    match offset {
        _ if text.is_empty() => offset.to_string(),
        0 => text,
        o if o < 0 => format!("{text} - {}", o.unsigned_abs()),
        o => format!("{text} + {o}"),
    }
}

impl Display for Kernel {
    /// Several lines; the first goes on after the kernel's name.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (rows, inner) = self.loops.split_at(self.rows.min(self.loops.len()));
        write!(f, "rows {rows:?} inner {inner:?}")?;
        if self.serial {
            write!(f, " serial")?;
        }
        write!(f, " slots")?;
        for (i, slot) in self.slots.iter().enumerate() {
            write!(f, "{} s{i}: {slot}", if i == 0 { "" } else { "," })?;
        }
        writeln!(f)?;
        for (i, phase) in self.phases.iter().enumerate() {
            writeln!(f, "  phase {i}")?;
            for &id in &phase.row {
                writeln!(f, "    row    {}", show_value(self, id))?;
            }
            for store in &phase.row_stores {
                writeln!(f, "    row    {}", show_store(self, store))?;
            }
            for &id in &phase.inner {
                writeln!(f, "    inner  {}", show_value(self, id))?;
            }
            for store in &phase.stores {
                writeln!(f, "    inner  {}", show_store(self, store))?;
            }
            for fold in &phase.folds {
                writeln!(f, "    fold   {fold}")?;
            }
        }
        Ok(())
    }
}

impl Display for Fold {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.kind {
            FoldKind::Combine(g, from) => write!(f, "{} {} from {:?}", g.name(), self.value, f64::from_bits(from)),
            FoldKind::Position(extremum) => write!(f, "position of {} {}", extremum.name(), self.value),
        }
    }
}

fn show_affine(kernel: &Kernel, affine: &Affine) -> String {
    let name = |d: usize| match d.checked_sub(kernel.rows) {
        None => format!("r{d}"),
        Some(inner) => format!("i{inner}"),
    };
    linear(affine.offset, affine.coefs.iter().enumerate().map(|(d, &c)| (c, name(d))))
}

fn show_index(kernel: &Kernel, index: &Index) -> String {
    let affine = show_affine(kernel, &index.affine);
    match index.choice {
        None => format!("[{affine}]"),
        Some(c) => format!("[{affine} + {}*{} of {}]", c.value, c.stride, c.extent),
    }
}

/// A value with its instruction and type.
pub(super) fn show_value(kernel: &Kernel, id: ValueId) -> impl Display {
    fmt::from_fn(move |f| {
        let Some(value) = kernel.values.get(id.index()) else {
            return write!(f, "{id}");
        };
        write!(f, "{id} = ")?;
        match &value.inst {
            Inst::Const(bits) => write!(f, "{:?}", f64::from_bits(*bits)),
            Inst::Load { slot, index, fill } => {
                write!(f, "load s{} {}", slot.0, show_index(kernel, index))?;
                match index.choice {
                    Some(_) => write!(f, " else {:?}", f64::from_bits(*fill)),
                    None => Ok(()),
                }
            }
            Inst::Counter(affine) => write!(f, "counter {}", show_affine(kernel, affine)),
            Inst::Map(g, args) => {
                write!(f, "{}", g.name())?;
                args.iter().try_for_each(|a| write!(f, " {a}"))
            }
            Inst::Cast(arg) => write!(f, "cast {arg}"),
            Inst::Fold { phase, fold } => write!(f, "fold {phase}.{fold}"),
        }?;
        write!(f, " : {}", value.dtype)
    })
}

/// A store.
pub(super) fn show_store(kernel: &Kernel, store: &Store) -> impl Display {
    fmt::from_fn(move |f| {
        let mode = match store.mode {
            StoreMode::Set => "store",
            StoreMode::Combine(f) => f.name(),
        };
        let index = show_index(kernel, &store.index);
        write!(f, "{mode} s{} {index} {}", store.slot.0, store.value)
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::graph::DType;
    use crate::scalar::ScalarFn;

    #[test]
    fn the_example_as_text() {
        let expected = "\
plan: 3 steps, 2 kernels, arena 1344 bytes, live 1344 bytes
buffers
  b0 f32 x 6 in input `x0`  ; %0
  b1 f32 x 12 in parameter `w0`  ; %1
  b2 f32 x 12 in parameter `w1`  ; %2
  b3 f32 x 8 in arena at 0  ; %3
  b4 f32 x 64 in arena at 64
  b5 f32 x 8 in output `y0`  ; %5
  b6 f32 x 12 in parameter `w0`  ; %6
  b7 f32 x 256 in arena at 320
kernel k0 rows [2] inner [4] slots s0: read f32, s1: write f32, s2: scratch f32
  phase 0
    inner  v0 = load s0 [r0*4 + i0] : f32
    fold   max v0 from -inf
  phase 1
    row    v1 = fold 0.0 : f32
    inner  v2 = load s0 [r0*4 + i0] : f32
    inner  v3 = sub v2 v1 : f32
    inner  v4 = exp v3 : f32
    inner  store s2 [i0] v4
    fold   add v4 from 0.0
  phase 2
    row    v5 = fold 1.0 : f32
    inner  v6 = load s2 [i0] : f32
    inner  v7 = div v6 v5 : f32
    inner  store s1 [r0*4 + i0] v7
kernel k1 rows [12] inner [] slots s0: read f32, s1: read f32, s2: write f32
  phase 0
    inner  v0 = load s0 [r0] : f32
    inner  v1 = load s1 [r0] : f32
    inner  v2 = add v0 v1 : f32
    inner  store s2 [r0] v2
steps
  0  b3[i*4 + j] = b0[i*3 + k] b1[k*4 + j]  f32 [2 x 3 x 4] workspace b7
  1  k0 (b3, b5, b4)
  2  k1 (b1, b2, b6)
";
        assert_eq!(example().to_string(), expected);
    }

    #[test]
    fn choices_offsets_and_loops_of_products_as_text() {
        let mut k = Body::new(&[3, 5], 1);
        let (s, t) = (k.slot(DType::I32, Access::Read), k.slot(DType::F64, Access::ReadWrite));
        let i = k.load(s, at(7, &[-1, 0]));
        let index = chosen(-2, &[0, 1], i, 5, 9);
        let fill = 0.5f64.to_bits();
        let v = k.inner(Inst::Load { slot: t, index, fill }, DType::F64);
        assert_eq!(show_value(&k.0, i).to_string(), "v0 = load s0 [-r0 + 7] : i32");
        assert_eq!(show_value(&k.0, v).to_string(), "v1 = load s1 [i0 - 2 + v0*5 of 9] else 0.5 : f64");
        k.store_as(t, chosen(0, &[0, 0], i, 5, 9), v, StoreMode::Combine(ScalarFn::Add));
        assert_eq!(show_store(&k.0, &k.0.phases[0].stores[0]).to_string(), "add s1 [0 + v0*5 of 9] v1");

        let mut p = product(0, 1, 2, [2, 3, 4]);
        p.axes.batch = vec![Axis { extent: 5, a: 6, b: 0, c: -8 }];
        p.axes.contracted.insert(0, Axis { extent: 7, a: 30, b: 1, c: 0 });
        p.workspace = Some(BufferId(4));
        p.c.offset = 32;
        p.accumulate = true;
        p.alpha = Alpha::Buffer { buffer: BufferId(9), sign: -1.0 };
        assert_eq!(
            p.to_string(),
            "b2[-l0*8 + i*4 + j + 32] += -b9[0] * b0[l0*6 + i*3 + k0*30 + k1] b1[k0 + k1*4 + j]  f32 [2 x 7*3 x 4] batch [5] workspace b4"
        );
    }
}
