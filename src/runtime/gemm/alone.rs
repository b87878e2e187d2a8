//! A product by itself, without a program around it: for benches, which compare instruction sets and layouts.

use super::isa::{Hosted, Isa};
use super::panel::pack_whole;
use super::tile::SUMS;
use super::{Axes, Axis, Call, Table, View, multiply};

/// A product of `f32` matrices with memory of its own.
#[derive(Clone, Debug)]
pub struct Gemm {
    table: Table,
    words: Vec<usize>,
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
    workspace: Vec<Line>,
}

/// A cache line.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
struct Line([f32; 16]);

impl Gemm {
    /// The product of a matrix of `m` rows and `k` columns with one of `k` rows and `n` columns, row-major unless said to be transposed.
    pub fn new([m, k, n]: [usize; 3], a_transposed: bool, b_transposed: bool) -> Gemm {
        let (a_row, a_step) = if a_transposed { (1, m) } else { (k, 1) };
        let (b_step, b_column) = if b_transposed { (1, k) } else { (n, 1) };
        Gemm::over([m, k, n], [a_row, a_step, b_step, b_column])
    }

    /// Multiplies and adds in the registers of an instruction set, without waiting for memory, and returns how many operations that were, a multiplication and
    /// an addition counted as two. Their time is the processor's limit.
    ///
    /// # Panics
    /// If the host has no such instruction set.
    pub fn limit(instruction_set: &str, turns: usize) -> f64 {
        let isa = named(instruction_set);
        // SAFETY: the host has the instruction set, since `isas` lists it.
        std::hint::black_box(unsafe { (isa.spin)(turns, std::hint::black_box([0.999, 0.001])) });
        (2 * SUMS * isa.lanes * turns) as f64
    }

    fn over([m, k, n]: [usize; 3], strides: [usize; 4]) -> Gemm {
        let [a_row, a_step, b_step, b_column] = strides.map(|s| s as isize);
        let axes = Axes {
            batch: Vec::new(),
            rows: vec![Axis { extent: m, a: a_row, b: 0, c: n as isize }],
            columns: vec![Axis { extent: n, a: 0, b: b_column, c: 1 }],
            contracted: vec![Axis { extent: k, a: a_step, b: b_step, c: 0 }],
        };
        Gemm::of(&axes)
    }

    /// The product over any axes.
    ///
    /// # Panics
    /// If a stride is negative.
    pub fn of(axes: &Axes) -> Gemm {
        let Axes { batch, rows, columns, contracted } = axes;
        let all = || [batch, rows, columns, contracted].into_iter().flatten();
        assert!(all().all(|x| x.a >= 0 && x.b >= 0 && x.c >= 0), "strides of a product by itself are not negative");
        let table = Table::new(axes, false);
        let numbers = |len: usize| (0..len).map(|i| (i * 7919 % 1009) as f32 / 1009.0 - 0.5).collect();
        let len = |stride: fn(&Axis) -> isize| {
            1 + all().map(|x| (x.extent.max(1) - 1) * stride(x).unsigned_abs()).sum::<usize>()
        };
        Gemm {
            words: table.words(),
            a: numbers(len(|x| x.a)),
            b: numbers(len(|x| x.b)),
            c: vec![0.0; len(|x| x.c)],
            workspace: vec![Line([0.0; 16]); table.workspace_len().div_ceil(16)],
            table,
        }
    }

    /// Names of the instruction sets of this host, the widest first, which is the one that programs use.
    pub fn instruction_sets() -> Vec<&'static str> {
        f32::isas().map(|isa| isa.name).collect()
    }

    /// The same product, whose right factor is packed before, once.
    ///
    /// # Panics
    /// If the host has no such instruction set.
    pub fn packed(mut self, instruction_set: &str) -> Gemm {
        let isa = named(instruction_set);
        let axes = if self.table.exchanged { self.table.axes.clone().exchanged() } else { self.table.axes.clone() };
        let table = Table::with_packed(&axes, false);
        let mut packed = vec![0.0; table.packed_len()];
        // SAFETY: the right factor has the elements that the axes reach, and the copy is as long as it is packed. The host has the instruction set.
        unsafe { pack_whole(isa, &axes, self.b.as_ptr(), packed.as_mut_ptr()) };
        self.workspace = vec![Line([0.0; 16]); table.workspace_len().div_ceil(16)];
        Gemm { words: table.words(), table, b: packed, ..self }
    }

    /// The left factor's memory.
    pub fn a(&self) -> &[f32] {
        &self.a
    }

    /// The right factor's memory.
    pub fn b(&self) -> &[f32] {
        &self.b
    }

    /// Multiplies with the instruction set of this name and returns the product, row-major.
    ///
    /// # Panics
    /// If the host has no such instruction set.
    pub fn run(&mut self, instruction_set: &str) -> &[f32] {
        let isa = named(instruction_set);
        let call = Call {
            a: self.a.as_ptr(),
            b: self.b.as_ptr(),
            c: self.c.as_mut_ptr(),
            alpha: 1.0,
            workspace: self.workspace.as_mut_ptr().cast(),
        };
        // SAFETY: `over` gives the operands the elements that the axes reach, the result its `m n`, and the workspace what the table asks for. The host has
        // the instruction set, since `isas` lists it.
        unsafe { multiply(isa, View::read(self.words.as_ptr()), call, 0..self.table.chunks()) };
        &self.c
    }
}

fn named(instruction_set: &str) -> &'static Isa<f32> {
    let isa = f32::isas().find(|isa| isa.name == instruction_set);
    isa.unwrap_or_else(|| panic!("this host has no {instruction_set}"))
}
