//! Every instruction set of the host against plain loops: values, bits, splits, and what is left alone.

use super::*;
use crate::testing::Draw;

/// Elements of the types under test.
trait Number: Hosted + PartialOrd {
    const EPSILON: f64;
    fn to_f64(self) -> f64;
    fn bits(self) -> u64;
    fn fused(a: Self, b: Self, c: Self) -> Self;
}

impl Number for f32 {
    const EPSILON: f64 = f32::EPSILON as f64;
    fn to_f64(self) -> f64 {
        self.into()
    }
    fn bits(self) -> u64 {
        self.to_bits().into()
    }
    fn fused(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

impl Number for f64 {
    const EPSILON: f64 = f64::EPSILON;
    fn to_f64(self) -> f64 {
        self
    }
    fn bits(self) -> u64 {
        self.to_bits()
    }
    fn fused(a: f64, b: f64, c: f64) -> f64 {
        a.mul_add(b, c)
    }
}

/// A product with its numbers. Elements of `a` and `b` that are in no product are NaN.
#[derive(Clone, Debug)]
struct Case<T> {
    axes: Axes,
    a: Vec<T>,
    b: Vec<T>,
    c: Vec<T>,
    starts: [isize; 3],
    alpha: f64,
    accumulate: bool,
}

fn family(axes: &[Axis], side: Side) -> Vec<isize> {
    let mut offsets = vec![std::mem::MaybeUninit::uninit(); extent(axes)];
    Offsets::new(axes, side).fill(0, &mut offsets).to_vec()
}

/// Runs the product, by chunks of these ranges, and returns the result's memory.
fn run<T: Number>(isa: &Isa<T>, case: &Case<T>, table: &Table, ranges: &[Range<usize>]) -> Vec<T> {
    const GUARD: f64 = 12345.0;
    let mut c = case.c.clone();
    let words = table.words();
    let len = table.workspace_len();
    for range in ranges {
        // Every part has a workspace of its own, of which nothing is known.
        let mut workspace = vec![T::from_f64(f64::NAN); len + 64];
        workspace[len..].fill(T::from_f64(GUARD));
        let call = Call {
            a: case.a.as_ptr().wrapping_offset(case.starts[0]),
            b: case.b.as_ptr().wrapping_offset(case.starts[1]),
            c: c.as_mut_ptr().wrapping_offset(case.starts[2]),
            alpha: case.alpha,
            workspace: workspace.as_mut_ptr(),
        };
        // SAFETY: the case's vectors hold the elements of all indices.
        unsafe { multiply(isa, View::read(words.as_ptr()), call, range.clone()) };
        assert!(workspace[len..].iter().all(|x| x.to_f64() == GUARD), "{}: the workspace ends where it ends", isa.name);
    }
    c
}

fn whole(table: &Table) -> Vec<Range<usize>> {
    std::iter::once(0..table.chunks()).collect()
}

/// The sum of an element, in the documented order, rounded as the instructions do.
fn ordered<T: Number>(terms: &[(T, T)], path: Path, alpha: T, mut c: T, accumulate: bool) -> T {
    for (start, steps) in
        (0..terms.len().max(1)).step_by(blocks::block_len(terms.len())).map(|s| (s, blocks::block_len(terms.len())))
    {
        let block = &terms[start..(start + steps).min(terms.len())];
        let sum = if path == Path::Dots {
            let mut lanes = vec![T::ZERO; 32];
            for (i, &(x, y)) in block.iter().enumerate() {
                lanes[i % 32] = T::fused(x, y, lanes[i % 32]);
            }
            while lanes.len() > 1 {
                let high = lanes.split_off(lanes.len() / 2);
                lanes.iter_mut().zip(high).for_each(|(l, h)| *l = l.add(h));
            }
            lanes[0]
        } else {
            block.iter().fold(T::ZERO, |sum, &(x, y)| T::fused(x, y, sum))
        };
        c = if accumulate || start > 0 { T::fused(alpha, sum, c) } else { T::fused(alpha, sum, T::from_f64(-0.0)) };
    }
    c
}

/// Checks a case with every instruction set and every way to pack; tells how often a factor was packed before.
fn check<T: Number>(case: &Case<T>, d: &mut Draw, text: &str) -> usize {
    let mut given_packed = 0;
    let table = Table::new(&case.axes, case.accumulate);
    let Axes { batch, rows, columns, contracted } = &case.axes;
    let offsets = |axes: &[Axis], sides: [Side; 2]| {
        family(axes, sides[0]).into_iter().zip(family(axes, sides[1])).collect::<Vec<_>>()
    };
    let batches = family(batch, Side::A).into_iter().zip(offsets(batch, [Side::B, Side::C]));
    let (rows, columns, steps) = (
        offsets(rows, [Side::A, Side::C]),
        offsets(columns, [Side::B, Side::C]),
        offsets(contracted, [Side::A, Side::B]),
    );
    let alpha = T::from_f64(case.alpha);
    let mut expected = case.c.clone();
    let mut bounds: Vec<(usize, f64, f64)> = Vec::new();
    for (batch_a, (batch_b, batch_c)) in batches {
        for (row, row_c) in &rows {
            for (column, column_c) in &columns {
                let terms: Vec<(T, T)> = steps
                    .iter()
                    .map(|(a, b)| {
                        (
                            case.a[(case.starts[0] + batch_a + row + a) as usize],
                            case.b[(case.starts[1] + batch_b + column + b) as usize],
                        )
                    })
                    .collect();
                let at = (case.starts[2] + batch_c + row_c + column_c) as usize;
                expected[at] = ordered(&terms, table.path, alpha, case.c[at], case.accumulate);
                let old = if case.accumulate { case.c[at].to_f64() } else { 0.0 };
                let exact = old + case.alpha * terms.iter().map(|(x, y)| x.to_f64() * y.to_f64()).sum::<f64>();
                let size = old.abs()
                    + case.alpha.abs() * terms.iter().map(|(x, y)| (x.to_f64() * y.to_f64()).abs()).sum::<f64>();
                bounds.push((
                    at,
                    exact,
                    size * T::EPSILON * (blocks::block_len(terms.len()).min(terms.len()) + 4) as f64,
                ));
            }
        }
    }
    let mut paths = Vec::new();
    if let Path::Tiles { .. } | Path::Free { .. } = table.path {
        paths.push(Path::Tiles { pack_a: true, pack_b: true });
        paths.push(Path::Free { pack_b: true });
        if table.axes.columns.last().is_some_and(|x| x.b == 1 && x.c == 1 && x.extent >= path::MIN_RUN) {
            paths.push(Path::Free { pack_b: false });
        }
    }
    if let Path::Tiles { pack_a, pack_b } = table.path {
        paths.extend([Path::Tiles { pack_a: true, pack_b }, Path::Tiles { pack_a, pack_b: true }]);
    }
    let tables: Vec<Table> = paths.into_iter().map(|path| Table { path, ..table.clone() }).collect();
    for isa in T::isas() {
        let natural = run(isa, case, &table, &whole(&table));
        for &(at, exact, bound) in &bounds {
            let got = natural[at].to_f64();
            assert!((got - exact).abs() <= bound || got == exact, "{text} {}: {got} for {exact} at {at}", isa.name);
        }
        let bits = |v: &[T]| v.iter().map(|x| x.bits()).collect::<Vec<_>>();
        if isa.name != "portable" || cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
            assert!(bits(&natural) == bits(&expected), "{text} {}: the order of sums", isa.name);
        }
        for table in &tables {
            let packed = run(isa, case, table, &whole(table));
            assert!(bits(&packed) == bits(&natural), "{text} {}: {:?}", isa.name, table.path);
        }
        // So does a factor that has been packed before.
        if gains_if_packed(&case.axes) && batch.iter().all(|x| x.b == 0) {
            let table = Table::with_packed(&case.axes, case.accumulate);
            let mut given = Case { b: vec![T::from_f64(f64::NAN); table.packed_len()], ..case.clone() };
            let from = case.b.as_ptr().wrapping_offset(case.starts[1]);
            // SAFETY: the case's vectors hold the elements of all indices, and the host has the instruction set.
            unsafe { panel::pack_whole(isa, &table.axes, from, given.b.as_mut_ptr()) };
            given.starts[1] = 0;
            let by_one = (0..table.chunks()).rev().map(|chunk| chunk..chunk + 1).collect::<Vec<_>>();
            for ranges in [whole(&table), by_one] {
                let result = run(isa, &given, &table, &ranges);
                assert!(bits(&result) == bits(&natural), "{text} {}: given packed, in {ranges:?}", isa.name);
            }
            given_packed += 1;
        }
        // Any split gives the same bits.
        let mut cuts: Vec<usize> = (0..d.below(5)).map(|_| d.below(table.chunks() + 1)).collect();
        cuts.extend([0, table.chunks()]);
        cuts.sort_unstable();
        let mut ranges: Vec<Range<usize>> = cuts.windows(2).map(|w| w[0]..w[1]).collect();
        ranges.reverse();
        let split = run(isa, case, &table, &ranges);
        assert!(bits(&split) == bits(&natural), "{text} {}: split at {cuts:?}", isa.name);
    }
    given_packed
}

/// Lays axes out in memory: in any order, with gaps, some upside down; or, if `overlap`, as a window may. Returns strides, start and length.
fn layout(d: &mut Draw, extents: &[usize], overlap: bool) -> (Vec<isize>, isize, usize) {
    let mut order: Vec<usize> = (0..extents.len()).collect();
    if d.chance(0.5) {
        (1..order.len()).for_each(|i| order.swap(i, d.below(i + 1)));
    }
    let mut strides = vec![0isize; extents.len()];
    let mut stride = d.of(&[1, 1, 1, 1, 2]);
    for &axis in order.iter().rev() {
        strides[axis] = if overlap { d.of(&[1, 1, 0, 2, 3, 7, -1]) } else { stride * d.of(&[1, 1, 1, 1, -1]) };
        stride *= extents[axis] as isize * d.of(&[1, 1, 1, 1, 2]);
    }
    let reach = |sign: isize| -> isize {
        strides.iter().zip(extents).map(|(s, &n)| (s * sign).max(0) * (n as isize - 1).max(0)).sum()
    };
    let (before, behind) = (reach(-1), reach(1));
    (strides, before, (before + behind + 1) as usize)
}

fn case<T: Number>(d: &mut Draw, families: [&[usize]; 4]) -> Case<T> {
    let [batch, rows, columns, contracted] = families;
    let overlap = [d.chance(0.2), d.chance(0.3)];
    let (a, a_start, a_len) = layout(d, &[batch, rows, contracted].concat(), overlap[0]);
    let (b, b_start, b_len) = layout(d, &[batch, columns, contracted].concat(), overlap[1]);
    let (c, c_start, c_len) = layout(d, &[batch, rows, columns].concat(), false);
    let (nb, nr, nc) = (batch.len(), rows.len(), columns.len());
    let axes = |extents: &[usize], strides: &dyn Fn(usize) -> [isize; 3]| -> Vec<Axis> {
        let axes = extents.iter().enumerate();
        axes.map(|(i, &extent)| Axis { extent, a: strides(i)[0], b: strides(i)[1], c: strides(i)[2] }).collect()
    };
    let axes = Axes {
        batch: axes(batch, &|i| [a[i], b[i], c[i]]),
        rows: axes(rows, &|i| [a[nb + i], 0, c[nb + i]]),
        columns: axes(columns, &|i| [0, b[nb + i], c[nb + nr + i]]),
        contracted: axes(contracted, &|i| [a[nb + nr + i], b[nb + nc + i], 0]),
    };
    let mut case = Case {
        a: vec![T::from_f64(f64::NAN); a_len],
        b: vec![T::from_f64(f64::NAN); b_len],
        c: (0..c_len).map(|i| T::from_f64(i as f64 + 0.5)).collect(),
        starts: [a_start, b_start, c_start],
        alpha: d.of(&[1.0, 1.0, -0.5, 0.3]),
        accumulate: d.chance(0.4),
        axes,
    };
    let Axes { batch, rows, columns, contracted } = &case.axes;
    let mut fill = |to: &mut [T], start: isize, of: &[Axis], side: Side| {
        for batch in family(batch, side) {
            for lane in family(of, side) {
                for step in family(contracted, side) {
                    to[(start + batch + lane + step) as usize] = T::from_f64(d.below(2000) as f64 / 997.0 - 1.0);
                }
            }
        }
    };
    fill(&mut case.a, a_start, rows, Side::A);
    fill(&mut case.b, b_start, columns, Side::B);
    case
}

fn random<T: Number>(seeds: Range<u64>) {
    let (count, mut packed) = (seeds.end - seeds.start, 0);
    for seed in seeds {
        let d = &mut Draw::new(seed);
        let mut family = |long: &[usize]| -> Vec<usize> {
            match d.below(6) {
                0 => (0..d.between(1, 4)).map(|_| d.between(1, 6)).collect(),
                _ => vec![d.of(long)],
            }
        };
        let edges = [1, 1, 2, 3, 5, 6, 7, 11, 12, 13, 15, 16, 17, 24, 31, 32, 33, 49, 64, 65, 130];
        let (rows, columns) = (family(&edges), family(&edges));
        let contracted = family(&[0, 1, 2, 3, 7, 8, 9, 30, 33, 64, 100]);
        let batch: Vec<usize> = (0..d.below(3)).map(|_| d.between(1, 3)).collect();
        let case = case::<T>(d, [&batch, &rows, &columns, &contracted]);
        packed += check(&case, d, &format!("seed {seed}"));
    }
    assert!(packed as u64 * 20 > count, "only {packed} of {count} products were given a factor packed");
}

/// Count of random products; `FUZZ=n` asks for another.
fn cases(usual: u64) -> u64 {
    std::env::var("FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

#[test]
fn random_products_f32() {
    random::<f32>(0..cases(if cfg!(miri) { 8 } else { 400 }));
}

#[test]
fn random_products_f64() {
    random::<f64>(1000..1000 + cases(if cfg!(miri) { 4 } else { 200 }));
}

#[test]
#[cfg_attr(miri, ignore = "too long")]
fn products_longer_than_blocks() {
    for (seed, [m, n, k]) in
        [[2, 3, KC + 1], [1, 40, 2 * KC + 7], [1, NC + 9, 40], [MC + 5, 33, 20], [9, NC + 33, 12], [MC + 1, NC + 1, 5]]
            .into_iter()
            .enumerate()
            .flat_map(|(i, s)| (0..6).map(move |j| (10 * i as u64 + j, s)))
    {
        let d = &mut Draw::new(seed);
        let case = case::<f32>(d, [&[], &[m], &[n], &[k]]);
        check(&case, d, &format!("{m} x {k} x {n}, seed {seed}"));
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long")]
fn panels_from_afar_are_packed_together() {
    let [m, n, k] = [40, 640, 900];
    assert!(n * k > path::NEAR && n > TOGETHER * MAX_COLUMNS);
    let numbers = |len: usize| (0..len).map(|i| (i * 7919 % 1009) as f32 / 1009.0 - 0.5).collect::<Vec<_>>();
    let case = plain([m, n, k], numbers(m * k), numbers(k * n));
    check(&case, &mut Draw::new(0), "from afar");
}

/// Row-major matrices.
fn plain<T: Number>([m, n, k]: [usize; 3], a: Vec<T>, b: Vec<T>) -> Case<T> {
    let axis =
        |extent, a: usize, b: usize, c: usize| vec![Axis { extent, a: a as isize, b: b as isize, c: c as isize }];
    let axes =
        Axes { batch: Vec::new(), rows: axis(m, k, 0, n), columns: axis(n, 0, 1, 1), contracted: axis(k, 1, n, 0) };
    Case { axes, a, b, c: vec![T::from_f64(7.0); m * n], starts: [0; 3], alpha: 1.0, accumulate: false }
}

/// Windows on the right, as a convolution has them, and on the left, as the gradient of its weight.
#[test]
fn windows_are_read_where_they_lie() {
    let axis = |extent, a, b, c| Axis { extent, a, b, c };
    for (seed, [filters, channels, size, count, examples, stride]) in (0..).zip([
        [8, 1, 5, 24, 2, 1],
        [16, 3, 3, 8, 3, 1],
        [5, 2, 3, 13, 2, 2],
        [1, 4, 3, 30, 1, 1],
        [50, 2, 2, 7, 2, 1],
    ]) {
        let d = &mut Draw::new(seed);
        let extent = (count - 1) * stride + size;
        let at = |x: usize| x as isize;
        let kernel = channels * size * size;
        let image = at(extent * extent);
        let places = vec![
            axis(examples, 0, image * at(channels), at(filters * count * count)),
            axis(count, 0, at(extent * stride), at(count)),
            axis(count, 0, at(stride), 1),
        ];
        let window =
            vec![axis(channels, at(size * size), image, 0), axis(size, at(size), at(extent), 0), axis(size, 1, 1, 0)];
        let forward = Axes {
            batch: Vec::new(),
            rows: vec![axis(filters, at(kernel), 0, at(count * count))],
            columns: places.clone(),
            contracted: window.clone(),
        };
        let gradient = Axes {
            batch: Vec::new(),
            rows: vec![axis(filters, at(count * count), 0, at(kernel))],
            columns: window.iter().map(|x| axis(x.extent, 0, x.b, x.a)).collect(),
            contracted: places.iter().map(|x| axis(x.extent, x.c, x.b, 0)).collect(),
        };
        for (axes, [a, b, c]) in [
            (forward, [filters * kernel, examples * channels * extent * extent, examples * filters * count * count]),
            (gradient, [examples * filters * count * count, examples * channels * extent * extent, filters * kernel]),
        ] {
            let mut numbers = |len| (0..len).map(|_| d.below(2000) as f32 / 997.0 - 1.0).collect::<Vec<f32>>();
            let case = Case {
                axes,
                a: numbers(a),
                b: numbers(b),
                c: numbers(c),
                starts: [0; 3],
                alpha: 1.0,
                accumulate: false,
            };
            check(&case, d, &format!("windows {seed}"));
        }
    }
}

#[test]
fn zeros_meet_infinities_and_nan_spreads() {
    let (m, n, k) = (13, 35, 9);
    let (mut a, mut b) = (vec![0.0f32; m * k], vec![1.0f32; k * n]);
    a[2 * k + 3] = f32::NAN;
    b[5 * n + 34] = f32::INFINITY;
    for single in [false, true] {
        let m = if single { 3 } else { m };
        let case = plain([m, n, k], a[..m * k].to_vec(), b.clone());
        let table = Table::new(&case.axes, false);
        for isa in f32::isas() {
            let c = run(isa, &case, &table, &whole(&table));
            for (at, x) in c.iter().enumerate() {
                assert_eq!(x.is_nan(), at / n == 2 || at % n == 34, "{}: {x} at {at}", isa.name);
            }
        }
    }
}

#[test]
fn empty_sums_are_zero_and_empty_results_are_left_alone() {
    for [m, n, k] in [[4, 5, 0], [1, 5, 0], [0, 5, 3], [4, 0, 3], [0, 0, 0]] {
        for accumulate in [false, true] {
            let mut case = plain([m, n, k], vec![1.0f32; m * k], vec![1.0; k * n]);
            case.accumulate = accumulate;
            let table = Table::new(&case.axes, accumulate);
            for isa in f32::isas() {
                let c = run(isa, &case, &table, &whole(&table));
                assert!(c.iter().all(|&x| x == if accumulate { 7.0 } else { 0.0 }), "{m} {n} {k} {}", isa.name);
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long")]
fn long_sums_keep_their_digits() {
    let k = 300_000;
    let d = &mut Draw::new(3);
    let a: Vec<f32> = (0..2 * k).map(|_| d.below(1000) as f32 / 1000.0).collect();
    let b: Vec<f32> = (0..2 * k).map(|_| d.below(1000) as f32 / 1000.0).collect();
    for m in [1, 2] {
        let case = plain([m, 2, k], a[..m * k].to_vec(), b.clone());
        let table = Table::new(&case.axes, false);
        for isa in f32::isas() {
            let c = run(isa, &case, &table, &whole(&table));
            for i in 0..m {
                let exact: f64 = (0..k).map(|p| f64::from(a[i * k + p]) * f64::from(b[2 * p])).sum();
                let error = (f64::from(c[2 * i]) - exact).abs() / exact;
                // One long sum would be off by more than 1e-4.
                assert!(error < 4e-6, "{}: {error:e}", isa.name);
            }
        }
    }
}

#[test]
fn tables_are_read_as_they_were_written() {
    for seed in 0..50 {
        let d = &mut Draw::new(seed);
        let columns = d.between(1, 9);
        let case = case::<f32>(d, [&[2], &[3, 4], &[columns], &[5, 2]]);
        let table = Table::new(&case.axes, case.accumulate);
        let words = table.words();
        // SAFETY: `words` is a table.
        assert_eq!(unsafe { View::read(words.as_ptr()) }, table.view());
    }
}

#[test]
fn chunks_are_pieces_of_the_result() {
    for (m, n) in [(1, 1), (120, 128), (121, 129), (500, 700), (7, 1000), (1000, 7), (100, 500), (0, 5)] {
        let axis = |extent| [Axis { extent, a: 1, b: 1, c: 1 }];
        let grid = Grid::of(&axis(m), &axis(n));
        let mut seen = vec![0; m * n];
        let mut at = 0;
        while at < grid.count() {
            let (rows, columns, count) = grid.piece(at, grid.count().min(at + 3));
            rows.for_each(|i| columns.clone().for_each(|j| seen[i * n + j] += 1));
            at += count;
        }
        assert!(at == grid.count() && seen.iter().all(|&s| s == 1), "{m} x {n}");
        let few = grid.height == LEAST_ROWS && grid.width == MAX_COLUMNS;
        assert!(grid.count() >= CHUNKS || few || m * n == 0, "{m} x {n}: {grid:?}");
    }
}

/// Halves of a vector are filled where that saves a fifth of the lanes.
#[test]
fn short_runs_fill_halves() {
    let Some(wide) = f32::isas().find(|isa| isa.narrower.is_some()) else { return };
    let filled = |run: usize| wide.narrower_for(run).is_some();
    for (run, halves) in
        [(1, true), (8, true), (9, false), (16, false), (17, true), (24, true), (25, false), (40, false)]
    {
        assert_eq!(filled(run), halves, "runs of {run}");
    }
}
