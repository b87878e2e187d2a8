//! What an executable uses: no allocation in a step, code that is given back, and a type that moves between threads.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use cotangent::prelude::*;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static LIVE_BYTES: Cell<isize> = const { Cell::new(0) };
}

/// Counts each thread's allocations and live bytes.
struct Counting;

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|n| n.set(n.get() + 1));
        LIVE_BYTES.with(|n| n.set(n.get() + layout.size() as isize));
        // SAFETY: the caller's promise is the one that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE_BYTES.with(|n| n.set(n.get() - layout.size() as isize));
        // SAFETY: as above; the pointer came from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A training step of a network that uses kernels, products and optimizer state.
fn training_step(options: &Options) -> Executable {
    let g = Builder::new();
    let x = g.input("x", f32([32, 48]));
    let y = g.input("y", i32([32]));
    let (w1, b1) = (g.param("w1", init::he([48, 64], 0)), g.param("b1", init::zeros([64])));
    let w2 = g.param("w2", init::he([64, 10], 1));
    let loss = (x.dot(w1) + b1).layer_norm(1e-5).relu().dot(w2).cross_entropy(y).mean();
    Adam::new(1e-3).minimize(loss).compile(options).expect("the step compiles")
}

/// Allocations and growth of live bytes in ten steps, whose losses must fall.
fn ten_steps(step: &mut Executable, inputs: &[(&str, ArrayView<'_>)]) -> (usize, isize) {
    step.run(inputs).expect("the inputs fit");
    let before = (ALLOCATIONS.with(Cell::get), LIVE_BYTES.with(Cell::get));
    let mut losses = [0f32; 10];
    for loss in &mut losses {
        *loss = step.run(inputs).expect("the inputs fit").scalar().expect("a scalar loss");
    }
    let after = (ALLOCATIONS.with(Cell::get), LIVE_BYTES.with(Cell::get));
    assert!(losses.windows(2).all(|w| w[1] < w[0]), "the counted steps train: {losses:?}");
    (after.0 - before.0, after.1 - before.1)
}

#[test]
fn a_step_of_kernels_allocates_nothing() {
    // Products of this size are compiled.
    let g = Builder::new();
    let x = g.input("x", f32([16, 4]));
    let y = g.input("y", i32([16]));
    let (w, b) = (g.param("w", init::he([4, 3], 0)), g.param("b", init::zeros([3])));
    let loss = (x.layer_norm(1e-5).dot(w) + b).cross_entropy(y).mean();
    let mut step = Adam::new(1e-2).minimize(loss).compile(&Options::default()).expect("the step compiles");
    let x = Array::new([16, 4], (0..64).map(|i| (i * i % 7) as f32).collect()).expect("64 elements");
    let y = Array::new([16], (0..16).map(|i| i % 3).collect::<Vec<i32>>()).expect("16 elements");
    assert_eq!(ten_steps(&mut step, &[("x", x.view()), ("y", y.view())]), (0, 0));
    assert_eq!(step.report().products, 0);
}

#[test]
fn a_step_of_routines_allocates_nothing() {
    let g = Builder::new();
    let x = g.input("x", f32([16, 40]));
    let w = g.param("w", init::normal([40], 0.0, 1.0, 0));
    // The largest elements, made small.
    let loss = (x * w).top_k(5, 1).0.square().mean();
    let mut step = Sgd::new(1e-3).minimize(loss).compile(&Options::default()).expect("the step compiles");
    let x = Array::new([16, 40], (0..640).map(|i| (i * i % 7) as f32).collect()).expect("640 elements");
    assert_eq!(ten_steps(&mut step, &[("x", x.view())]), (0, 0));
    assert_eq!(step.report().routines, 1);
}

#[test]
fn a_step_of_factorizations_allocates_nothing() {
    let g = Builder::new();
    let x = g.input("x", f32([2, 6, 6]));
    let w = g.param("w", init::normal([6, 1], 0.0, 1.0, 0));
    let definite = x.matmul(x.t()) + g.einsum("i,j->ij", &[g.ones(f32([6])), g.iota(f32([6]), 0)]) * 0.01;
    let loss = (definite.solve(w).cumsum(1) + definite.cholesky() - w).square().mean() * 1e-3;
    let mut step = Sgd::new(1e-3).minimize(loss).compile(&Options::default()).expect("the step compiles");
    let x = Array::new([2, 6, 6], (0..72).map(|i| (i * i % 7) as f32 + if i % 7 == 0 { 9.0 } else { 0.0 }).collect());
    assert_eq!(ten_steps(&mut step, &[("x", x.expect("72 elements").view())]), (0, 0));
    assert!(step.report().routines >= 5 && step.report().products == 0, "{}", step.report());
}

#[test]
fn a_step_of_products_allocates_nothing() {
    let mut step = training_step(&Options::default());
    let x = Array::full(&f32([32, 48]), 0.5);
    let y = Array::zeros(&i32([32]));
    assert_eq!(ten_steps(&mut step, &[("x", x.view()), ("y", y.view())]), (0, 0));
    assert!(step.report().products > 0);
}

/// However many inputs there are, and also after a run that was refused.
#[test]
fn a_run_with_many_inputs_allocates_nothing() {
    for count in [1, 4, 5, 8, 9, 40] {
        let g = Builder::new();
        let names: Vec<String> = (0..count).map(|i| format!("x{i}")).collect();
        let sum = names.iter().map(|name| g.input(name, f32([3]))).reduce(|a, b| a + b).expect("there is one");
        let loss = (sum - g.param("w", init::zeros([3]))).square().mean();
        let mut step = Sgd::new(0.1).minimize(loss).compile(&Options::default()).expect("the step compiles");
        let x = Array::from([1.0f32, 2.0, 3.0]);
        let inputs: Vec<(&str, ArrayView<'_>)> = names.iter().map(|name| (&**name, x.view())).collect();
        assert!(step.run(&inputs[1..]).is_err());
        assert_eq!(ten_steps(&mut step, &inputs), (0, 0), "{count} inputs");
    }
}

/// By no one but the parameters of the executable, and they can be looked at where they are.
#[test]
fn a_shared_array_is_copied_once() {
    let shared = Arc::new(init::normal([512, 512], 0.0, 1.0, 0).array());
    let bytes = 512 * 512 * 4;
    let start = LIVE_BYTES.with(Cell::get);
    let grown = || LIVE_BYTES.with(Cell::get) - start;
    let g = Builder::new();
    let w = g.param("w", Arc::clone(&shared));
    assert!(grown() < bytes / 8, "the builder takes {} bytes", grown());
    let step = Sgd::new(0.1).minimize(w.square().mean()).compile(&Options::default()).expect("the step compiles");
    assert!((bytes..bytes + bytes / 8).contains(&grown()), "the step takes {} bytes for {bytes}", grown());

    let before = ALLOCATIONS.with(Cell::get);
    let same = step.params().with("w", |w| *w == *shared).expect("there is one");
    assert!(same && ALLOCATIONS.with(Cell::get) == before, "looking takes no memory");
}

#[test]
fn executables_move_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<Executable>();
    let mut step = training_step(&Options::default());
    let x = Array::full(&f32([32, 48]), 0.5);
    let y = Array::zeros(&i32([32]));
    let here: f32 = training_step(&Options::default()).run(&[("x", &x), ("y", &y)]).unwrap().scalar().unwrap();
    let there = std::thread::spawn(move || -> f32 { step.run(&[("x", &x), ("y", &y)]).unwrap().scalar().unwrap() });
    assert_eq!(there.join().expect("the thread ends well").to_bits(), here.to_bits());
}

/// Pages of address space that the process uses.
#[cfg(target_os = "linux")]
fn address_space() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux tells");
    statm.split(' ').next().and_then(|n| n.parse().ok()).expect("a number")
}

#[cfg(target_os = "linux")]
#[test]
fn dropped_executables_give_their_code_back() {
    drop(training_step(&Options::default()));
    let before = address_space();
    for _ in 0..50 {
        drop(training_step(&Options::default()));
    }
    // Each program reserves far more than 4 MB of address space for its code.
    let grown = address_space().saturating_sub(before) * 4096;
    assert!(grown < 200 << 20, "the address space has grown by {} MB", grown >> 20);
}

/// A profile tells of every call of a step, and its runs are runs like others.
#[test]
fn a_profile_tells_of_every_call() {
    let (x, y) = (init::normal([32, 48], 0.0, 1.0, 2).array(), Array::zeros(&i32([32])));
    let (mut plain, mut step) = (training_step(&Options::default()), training_step(&Options::default()));
    let (calls, moved) = (step.report().kernels, step.report().moved_bytes);
    let profile = step.bind(&[("x", &x), ("y", &y)]).expect("the inputs fit").profile(4).expect("it compiles");
    for _ in 0..5 {
        plain.run(&[("x", &x), ("y", &y)]).expect("the inputs fit");
    }
    assert_eq!(plain.params().get("w1"), step.params().get("w1"), "one run to warm up, and four");

    assert_eq!((profile.runs, profile.calls.len()), (4, calls));
    assert_eq!(profile.calls.iter().map(|c| c.bytes).sum::<f64>(), moved as f64);
    let products: Vec<f64> = profile.calls.iter().map(|c| c.flops).filter(|&f| f > 0.0).collect();
    assert!(products.contains(&(2.0 * 32.0 * 48.0 * 64.0)), "{products:?}");
    let sum: std::time::Duration = profile.calls.iter().map(|c| c.time).sum();
    assert!(!sum.is_zero() && sum <= profile.time + std::time::Duration::from_micros(1), "{profile}");
    let text = profile.to_string();
    assert!(text.contains("GFLOP/s") && text.contains("resources.rs:") && text.contains("layer_norm"), "{text}");

    let interp = Options::engine(Engine::Interp);
    let (mut plain, mut interpreted) = (training_step(&interp), training_step(&interp));
    let profile = interpreted.bind(&[("x", &x), ("y", &y)]).expect("the inputs fit").profile(1).expect("it runs");
    assert!(profile.calls.is_empty() && !profile.time.is_zero());
    for _ in 0..2 {
        plain.run(&[("x", &x), ("y", &y)]).expect("the inputs fit");
    }
    assert_eq!(plain.params().get("w1"), interpreted.params().get("w1"), "one run to warm up, and one");
}
