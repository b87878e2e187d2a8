//! ad hoc
use std::time::Instant;
use cotangent::prelude::*;
use cotangent::Tensor;

fn time(name: &str, elems: usize, bytes: usize, p: cotangent::Program, inputs: &[(&str, &Array)]) {
    let t0 = Instant::now();
    let mut e = p.compile(&Options::default()).unwrap();
    let compile = t0.elapsed();
    let cg = e.report().stages.iter().find(|s| s.stage == "codegen").unwrap().time;
    e.run(inputs).unwrap();
    let mut reps = 1;
    let mut best = f64::INFINITY;
    loop {
        let t = Instant::now();
        for _ in 0..reps { e.run(inputs).unwrap(); }
        let d = t.elapsed().as_secs_f64();
        if d < 0.02 { reps *= 2; continue; }
        best = best.min(d / reps as f64);
        for _ in 0..15 {
            let t = Instant::now();
            for _ in 0..reps { e.run(inputs).unwrap(); }
            best = best.min(t.elapsed().as_secs_f64() / reps as f64);
        }
        break;
    }
    let r = e.report();
    println!("{name:34} {:10.0} ns  {:6.3} ns/elem {:7.1} GB/s | k{} code {:6} B codegen {:.2} ms of {:.2}", best * 1e9, best * 1e9 / elems as f64, bytes as f64 / best / 1e9, r.kernels, r.code_bytes, cg.as_secs_f64()*1e3, compile.as_secs_f64()*1e3);
    if std::env::args().any(|a| a == name) {
        println!("{}", e.dump(Stage::Plan).unwrap());
        println!("{}", e.dump(Stage::Assembly).unwrap());
    }
}

fn unary(name: &str, n: usize, f: impl for<'g> Fn(Tensor<'g>) -> Tensor<'g>, shape: &[usize], dtype: DType) {
    let g = Builder::new();
    let x = g.input("x", TensorType::new(dtype, shape));
    let y = f(x);
    let p = g.program(&[("y", y)]);
    let a = init::uniform(shape, -1.0, 1.0, 0).dtype(dtype).array();
    let out = y.shape().numel();
    time(name, n, (n + out) * dtype.size(), p, &[("x", &a)]);
}

fn main() {
    let only: Vec<String> = std::env::args().skip(1).collect();
    let want = |n: &str| only.is_empty() || only.iter().any(|o| n.contains(o.as_str()));
    for n in [2048usize, 1 << 20] {
        let name = format!("relu(ab+c) {n}");
        if want(&name) {
            let g = Builder::new();
            let (a, b, c) = (g.input("a", f32([n])), g.input("b", f32([n])), g.input("c", f32([n])));
            let p = g.program(&[("y", (a * b + c).relu())]);
            let x = init::uniform([n], -1.0, 1.0, 0).array();
            time(&name, n, n * 16, p, &[("a", &x), ("b", &x), ("c", &x)]);
        }
    }
    macro_rules! u { ($name:expr, $shape:expr, $t:ident, $f:expr) => {
        if want($name) { let s: &[usize] = &$shape; unary($name, s.iter().product(), $f, s, DType::$t); }
    } }
    u!("sum 4096", [4096], F32, |x| x.sum());
    u!("sum 1M", [1 << 20], F32, |x| x.sum());
    u!("sumd 4096", [4096], F64, |x| x.sum());
    u!("exp 4096", [4096], F32, |x| x.exp());
    u!("exp f64 4096", [4096], F64, |x| x.exp());
    u!("tanh 4096", [4096], F32, |x| x.tanh());
    u!("gelu 4096", [4096], F32, |x| x.gelu());
    u!("log 4096", [4096], F32, |x| x.log());
    u!("sin 4096", [4096], F32, |x| x.sin());
    u!("softmax 1024x1024", [1024, 1024], F32, |x| x.softmax(1));
    u!("softmax 50x10", [50, 10], F32, |x| x.softmax(1));
    u!("layer_norm 1024x256", [1024, 256], F32, |x| x.layer_norm(1e-5));
    u!("rowsum 1024x1024", [1024, 1024], F32, |x| x.sum_over([1]));
    u!("colsum 1024x1024", [1024, 1024], F32, |x| x.sum_over([0]));
    u!("colsum 50x500", [50, 500], F32, |x| x.sum_over([0]));
    u!("colsum 50x10", [50, 10], F32, |x| x.sum_over([0]));
    u!("rowmax 1024x1024", [1024, 1024], F32, |x| x.max_over([1]));
    u!("argmax 1024x1024", [1024, 1024], F32, |x| x.argmax(1));
    u!("argmax 1000x10", [1000, 10], F32, |x| x.argmax(1));
    u!("transpose 512x512", [512, 512], F32, |x| x.t() * 2.0);
    u!("cast f32->f64 4096", [4096], F32, |x| x.cast(DType::F64));
    u!("relu mask sum 64x100", [64, 100], F32, |x| x.relu().sum());
    u!("bias bcast 128x1000", [128, 1000], F32, |x| x + x.mean_over([0]));
    u!("pad 256x254", [256, 254], F32, |x| x.pad(&[(0, 0), (1, 1)], 0.0));
    u!("odd 333x7", [333, 7], F32, |x| x * 2.0 + 1.0);
}
