//! What a run refuses, and what bad numbers do.

mod engines;

use cotangent::build::init;
use cotangent::prelude::*;
use cotangent::{CompileError, RunError};
use engines::engines;

/// A step on rows of three features with two classes.
fn step(engine: Engine) -> Executable {
    let g = Builder::new();
    let x = g.input("x", f32([2, 3]));
    let y = g.input("y", i32([2]));
    let w = g.param("w", init::he([3, 2], 0));
    let logits = x.dot(w);
    let step = Sgd::new(0.5).minimize(logits.cross_entropy(y).mean()).output("logits", logits);
    step.compile(&Options::engine(engine)).unwrap()
}

fn x() -> Array {
    Array::new([2, 3], vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap()
}

fn y(labels: [i32; 2]) -> Array {
    Array::new([2], labels.to_vec()).unwrap()
}

/// Runs that must fail, with what they say. Each leaves the parameters as they are, and the next good run is as if they had not been.
#[test]
fn bad_inputs_are_refused_and_change_nothing() {
    let (x, y, good) = (x(), y([0, 1]), y([1, 0]));
    let cases: Vec<(Vec<(&str, Array)>, &str)> = vec![
        (vec![("x", x.clone())], "input `y` (i32[2]) is missing"),
        (vec![], "input `x` (f32[2, 3]) is missing"),
        (
            vec![("x", x.clone()), ("labels", y.clone())],
            "there is no input called `labels` that what is computed depends on; the inputs are: x, y",
        ),
        (
            vec![("x", x.clone()), ("Y", y.clone())],
            "there is no input called `Y` that what is computed depends on; the inputs are: x, y; did you mean `y`?",
        ),
        (
            vec![("x", x.clone()), ("y", y.clone()), ("w", x.clone())],
            "there is no input called `w` that what is computed depends on; the inputs are: x, y",
        ),
        (vec![("x", x.clone()), ("x", x.clone()), ("y", y.clone())], "input `x` is given twice"),
        (
            vec![("x", Array::zeros(&f32([3, 2]))), ("y", y.clone())],
            "input `x` is f32[2, 3], the array given is f32[3, 2]",
        ),
        (vec![("x", Array::zeros(&f32([6]))), ("y", y.clone())], "input `x` is f32[2, 3], the array given is f32[6]"),
        (
            vec![("x", Array::zeros(&f64([2, 3]))), ("y", y.clone())],
            "input `x` is f32[2, 3], the array given is f64[2, 3]",
        ),
        (vec![("y", Array::zeros(&i64([2]))), ("x", x.clone())], "input `y` is i32[2], the array given is i64[2]"),
        (
            vec![("x", x.clone()), ("y", self::y([1, 2]))],
            "input `y` holds 2 at position 1, but it chooses among 2 elements; in range: 0 to 1 (run_errors.rs:",
        ),
        (
            vec![("x", x.clone()), ("y", self::y([i32::MIN, 0]))],
            "input `y` holds -2147483648 at position 0, but it chooses among 2 elements; in range: 0 to 1 (run_errors.rs:",
        ),
    ];
    for engine in engines() {
        let (mut step, mut untouched) = (step(engine), step(engine));
        for (inputs, want) in &cases {
            let inputs: Vec<(&str, &Array)> = inputs.iter().map(|(n, a)| (*n, a)).collect();
            let before = step.params().get("w").unwrap();
            let error = step.run(&inputs).unwrap_err().to_string();
            assert!(error.starts_with(want), "{engine:?}: {error}\nexpected\n{want}");
            assert_eq!(step.params().get("w").unwrap(), before);
        }
        let run = |s: &mut Executable| s.run(&[("y", &good), ("x", &x)]).unwrap().scalar::<f32>().unwrap();
        assert_eq!(run(&mut step), run(&mut untouched));
    }
}

#[test]
fn results_are_read_by_name_and_type() {
    for engine in engines() {
        let (mut step, x, y) = (step(engine), x(), y([0, 1]));
        let outputs = step.run(&[("x", &x), ("y", &y)]).unwrap();
        assert_eq!(outputs.get("logits").unwrap().ty(), f32([2, 2]));
        let error = outputs.get("accuracy").unwrap_err();
        assert_eq!(error.to_string(), "there is no output called `accuracy`; the outputs are: loss, logits");
        let error = outputs.scalar::<f64>().unwrap_err();
        assert_eq!(error.to_string(), "output `loss`: the array holds f32 elements, not f64");

        let g = Builder::new();
        let v = g.input("v", f32([2]));
        let mut twice = g.program(&[("twice", v + v)]).compile(&Options::engine(engine)).unwrap();
        let v = Array::zeros(&f32([2]));
        let error = twice.run(&[("v", &v)]).unwrap().scalar::<f32>().unwrap_err();
        assert!(matches!(error, RunError::NotScalar { .. }), "{error}");
        assert_eq!(error.to_string(), "output `twice` is f32[2], not a scalar");
    }
}

/// NaN in the data is no error: it spreads to the loss and, through the update, to every parameter that its example touches.
#[test]
fn nan_in_the_data_reaches_loss_and_parameters() {
    for engine in engines() {
        let mut step = step(engine);
        let mut elements = x().as_slice::<f32>().unwrap().to_vec();
        elements[4] = f32::NAN;
        let bad = Array::new([2, 3], elements).unwrap();
        let outputs = step.run(&[("x", &bad), ("y", &y([0, 1]))]).unwrap();
        assert!(outputs.scalar::<f32>().unwrap().is_nan());
        let logits = outputs.get("logits").unwrap().as_slice::<f32>().unwrap();
        assert_eq!(logits.iter().map(|l| l.is_nan()).collect::<Vec<_>>(), [false, false, true, true]);
        let w = step.params().get("w").unwrap();
        assert!(w.as_slice::<f32>().unwrap().iter().all(|w| w.is_nan()), "{w:?}");

        // Setting the parameters repairs the step.
        step.params().set("w", &Array::zeros(&f32([3, 2]))).unwrap();
        let loss: f32 = step.run(&[("x", &x()), ("y", &y([0, 1]))]).unwrap().scalar().unwrap();
        assert!((loss - 2f32.ln()).abs() < 1e-6);
    }
}

/// Exponentials of huge logits would overflow; the losses do not.
#[test]
fn huge_numbers_in_the_data_do_not_make_nan_of_the_loss() {
    for engine in engines() {
        let g = Builder::new();
        let z = g.input("z", f32([3, 2]));
        let y = g.input("y", i32([3]));
        let losses = z.cross_entropy(y);
        let mut f = g.program(&[("losses", losses)]).compile(&Options::engine(engine)).unwrap();
        let z = Array::new([3, 2], vec![1e30f32, -1e30, 1e30, -1e30, -1e30, -1e30]).unwrap();
        let y = Array::new([3], vec![0, 1, 0]).unwrap();
        let outputs = f.run(&[("z", &z), ("y", &y)]).unwrap();
        let losses = outputs.first().as_slice::<f32>().unwrap();
        assert_eq!(losses[0], 0.0);
        assert_eq!(losses[1], 2e30);
        // ln 2, or 0 where it is lost beside 1e30.
        assert!((0.0..0.6932).contains(&losses[2]), "{losses:?}");
    }
}

#[test]
fn labels_that_pass_through_movement_are_checked_too() {
    for engine in engines() {
        let g = Builder::new();
        let z = g.input("z", f32([2, 2, 3]));
        let y = g.input("y", i32([4]));
        let loss = z.cross_entropy(y.reshape([2, 2])).mean();
        let mut f = g.program(&[("loss", loss)]).compile(&Options::engine(engine)).unwrap();
        let z = Array::zeros(&f32([2, 2, 3]));
        let bad = Array::new([4], vec![0, 1, 2, 3]).unwrap();
        let error = f.run(&[("z", &z), ("y", &bad)]).unwrap_err();
        assert!(matches!(error, RunError::Index { value: 3, position: 3, extent: 3, .. }), "{error}");
    }
}

/// Whatever stands between an input and a choice, a run refuses just the numbers that lead out of range.
#[test]
fn labels_behind_conversions_and_selections_are_checked_too() {
    type Index = for<'g> fn(Tensor<'g>) -> Tensor<'g>;
    let from_end: Index = |y| {
        let y = y.cast(DType::I64);
        y.lt(0).select(y + 5, y)
    };
    let cases: [(&str, DType, Index); 10] = [
        ("converted", DType::I32, |y| y.cast(DType::I64)),
        ("bytes", DType::U8, |y| y.cast(DType::I32).reshape([1])),
        ("wrapped", DType::I32, |y| y.cast(DType::U32)),
        ("from the end", DType::I64, from_end),
        ("from the end, twice", DType::I32, |y| {
            let y = y.cast(DType::I64);
            let y = y.ge(0).select(y, y + 5).reshape([1, 1]);
            y.lt(0).select(5 + y, y).reshape([1])
        }),
        ("ignored", DType::I64, |y| y.ne(-7).select(y, 0)),
        ("ignored, then converted", DType::I64, |y| y.ne(-7).select(y, 4).cast(DType::I32)),
        ("held in range", DType::I64, |y| y.le(10).select(y.minimum(4), 4)),
        ("one of two", DType::I32, |y| {
            let out = y.lt(0) | y.ge(5);
            (!out | y.eq(-3)).select(y.ne(-3).select(y, 2), -1)
        }),
        ("other numbers", DType::I32, |y| (y.gt(1) & y.lt(9)).select(y - 4, y & 3)),
    ];
    for (what, dtype, index) in cases {
        let numbers: Vec<i64> = (-12..14).chain([255, i64::from(i32::MIN), i64::from(i32::MAX)]).collect();
        let numbers = numbers.into_iter().filter(|&n| dtype != DType::U8 || (0..256).contains(&n));
        let g = Builder::new();
        let y = g.input("y", TensorType::new(dtype, [1]));
        let index = index(y);
        let mut indices = g.program(&[("index", index)]).compile(&Options::engine(Engine::Interp)).unwrap();
        let table = g.constant([0.5f32, 1.5, 2.5, 3.5, 4.5]);
        let program = g.program(&[("chosen", table.take(index, 0))]);
        let mut runs = engines().map(|engine| program.compile(&Options::engine(engine)).unwrap());
        let mut refused = 0;
        for n in numbers {
            let y = Array::full(&TensorType::new(dtype, [1]), n as f64);
            let at = indices.run(&[("y", &y)]).unwrap()[0].get_f64(0);
            for run in &mut runs {
                match run.run(&[("y", &y)]) {
                    Ok(outputs) => assert_eq!(outputs[0].get_f64(0), at + 0.5, "{what}: {n}"),
                    Err(error) => {
                        let told =
                            format!("input `y` holds {n} at position 0, but it chooses among 5 elements; in range: ");
                        assert!(error.to_string().starts_with(&told), "{error}");
                        assert!(!(0.0..5.0).contains(&at), "{what}: {n} chooses {at}");
                        refused += 1;
                    }
                }
            }
        }
        assert!(refused > 0, "{what}");
    }
}

/// A loop hands on to its operands what its body asks of slices and invariants, loops inside loops too; what a guard may leave out is not asked for.
#[test]
fn labels_choose_inside_of_loops() {
    for engine in engines() {
        let g = Builder::new();
        let (table, rows) = (g.input("table", f32([3])), g.input("rows", i32([4, 2])));
        let fixed = g.input("fixed", i32([2]));
        let (sum, _) = g.scan(g.zeros(f32([])), rows, |sum, row| {
            let chosen = g.scan(g.zeros(f32([])), row, |sum, y| (sum + table.take(y, 0), ())).0;
            (sum + chosen + table.take(fixed, 0).sum(), ())
        });
        let guarded = g.input("guarded", i32([]));
        let maybe = g.cond(table.sum().gt(0.0), || table.take(guarded, 0), || g.zeros(f32([])));
        let [slope] = g.grad(sum, [table]);
        let results = [("sum", sum), ("maybe", maybe), ("slope", slope)];
        let mut run = g.program(&results).compile(&Options::engine(engine)).unwrap();
        let table = Array::from([1f32, 2.0, -9.0]);
        let (good, bad) =
            (Array::from([[0i32, 2], [1, 1], [2, 0], [0, 0]]), Array::from([[0i32, 2], [1, 3], [2, 0], [0, 0]]));
        let mut run_with = |rows: &Array, fixed: [i32; 2], guarded: i32| {
            let (fixed, guarded) = (Array::from(fixed), Array::scalar(guarded));
            run.run(&[("table", &table), ("rows", rows), ("fixed", &fixed), ("guarded", &guarded)])
                .map(|o| o["sum"].get_f64(0))
        };
        assert_eq!(run_with(&good, [0, 1], 7).unwrap(), -10.0 + 4.0 * 3.0);
        let error = run_with(&bad, [0, 1], 0).unwrap_err().to_string();
        let expected =
            "input `rows` holds 3 at position 3, but it chooses among 3 elements; in range: 0 to 2 (run_errors.rs:";
        assert!(error.starts_with(expected), "{engine:?}: {error}");
        let error = run_with(&good, [0, -1], 0).unwrap_err().to_string();
        let expected =
            "input `fixed` holds -1 at position 1, but it chooses among 3 elements; in range: 0 to 2 (run_errors.rs:";
        assert!(error.starts_with(expected), "{engine:?}: {error}");
    }
}

/// What a loop hands on from trip to trip, and nothing that is asked for depends on, chooses nothing; what reaches a result by way of another carry does.
#[test]
fn a_carry_that_no_result_needs_refuses_no_labels() {
    for engine in engines() {
        let run = |all: bool, labels: [i32; 3]| {
            let g = Builder::new();
            let (table, y) = (g.constant([0.5f32, 1.5, 2.5]), g.input("y", i32([3])));
            let zero = || g.zeros(f32([]));
            let ((sum, late, chosen), _) = g
                .scan((zero(), zero(), zero()), y, |(sum, late, _), y| ((sum + 1.0, late + sum, table.take(y, 0)), ()));
            let mut results = vec![("sum", sum), ("late", late)];
            results.extend(all.then_some(("chosen", chosen)));
            let mut f = g.program(&results).compile(&Options::engine(engine)).unwrap();
            f.run(&[("y", &Array::from(labels))]).map(|outputs| outputs["late"].get_f64(0))
        };
        assert_eq!(run(false, [0, 7, -1]).unwrap(), 3.0, "{engine:?}");
        assert_eq!(run(true, [0, 2, 1]).unwrap(), 3.0);
        assert!(matches!(run(true, [0, 7, 1]).unwrap_err(), RunError::Index { value: 7, position: 1, .. }));
        // The choice of a trip is a result two trips later.
        let g = Builder::new();
        let (table, y) = (g.constant([0.5f32, 1.5, 2.5]), g.input("y", i32([3])));
        let zero = || g.zeros(f32([]));
        let ((last, ..), _) =
            g.scan((zero(), zero(), zero()), y, |(_, second, third), y| ((second, third, table.take(y, 0)), ()));
        let mut f = g.program(&[("last", last)]).compile(&Options::engine(engine)).unwrap();
        assert_eq!(f.run(&[("y", &Array::from([1, 0, 0]))]).unwrap()[0].get_f64(0), 1.5);
        let error = f.run(&[("y", &Array::from([3, 0, 0]))]).unwrap_err();
        assert!(matches!(error, RunError::Index { value: 3, .. }), "{error}");
    }
}

/// The table of `cotangent::build::indexing`: a mask behind the choice comes too late.
#[test]
fn labels_are_masked_before_they_choose() {
    for engine in engines() {
        let run = |early: bool, labels: [i32; 3]| {
            let g = Builder::new();
            let (table, y) = (g.constant([0.5f32, 1.5, 2.5]), g.input("y", i32([3])));
            let index = if early { y.maximum(0) } else { y };
            let chosen = y.ge(0).select(table.take(index.cast(DType::I64), 0), 0.0);
            let mut f = g.program(&[("chosen", chosen)]).compile(&Options::engine(engine)).unwrap();
            f.run(&[("y", &Array::from(labels))]).map(|outputs| outputs[0].clone())
        };
        assert_eq!(run(true, [2, -1, 0]).unwrap(), Array::from([2.5f32, 0.0, 0.5]));
        for (early, labels, bad) in [(false, [2, -1, 0], -1), (true, [2, -1, 3], 3)] {
            let error = run(early, labels).unwrap_err();
            assert!(matches!(error, RunError::Index { value, .. } if value == bad), "{error}");
        }
    }
}

/// Where an index has no elements, nothing is chosen.
#[test]
fn an_index_that_is_repeated_no_times_may_hold_anything() {
    for engine in engines() {
        let g = Builder::new();
        let (table, y) = (g.constant([0.5f32, 1.5, 2.5]), g.input("y", i32([1])));
        let chosen = table.take(y.broadcast_to([0, 1]), 0);
        let mut f = g.program(&[("chosen", chosen)]).compile(&Options::engine(engine)).unwrap();
        let outputs = f.run(&[("y", &Array::from([7i32]))]).unwrap();
        assert_eq!(outputs[0].shape()[..], [0, 1]);
    }
}

/// What is not known lets all numbers through.
#[test]
fn indices_that_are_computed_are_not_looked_at() {
    for engine in engines() {
        let g = Builder::new();
        let (y, there) = (g.input("y", i32([2])), g.input("there", TensorType::new(DType::Bool, [2])));
        let table = g.constant([0.5f32, 1.5]);
        let masked = table.take(there.select(y, 0), 0);
        let computed = table.take(y * 1, 0);
        let mut run =
            g.program(&[("masked", masked), ("computed", computed)]).compile(&Options::engine(engine)).unwrap();
        let (y, there) = (Array::from([7, 1]), Array::from([false, true]));
        let outputs = run.run(&[("y", &y), ("there", &there)]).unwrap();
        assert_eq!(outputs["masked"], Array::from([0.5f32, 1.5]));
        assert!(outputs["computed"].get_f64(0).is_nan());
    }
}

#[test]
fn executables_move_between_threads() {
    fn send<T: Send>(_: &T) {}
    for engine in engines() {
        let mut step = step(engine);
        send(&step);
        let params = step.params().clone();
        let before = params.get("w").unwrap();
        std::thread::spawn(move || step.run(&[("x", &x()), ("y", &y([0, 1]))]).map(drop).unwrap()).join().unwrap();
        assert_ne!(params.get("w").unwrap(), before);
    }
}

#[test]
fn indices_out_of_range_that_a_scatter_drops_are_accepted_by_its_gradient_too() {
    for engine in engines() {
        let g = Builder::new();
        let (index, updates) = (g.input("index", i32([3])), g.input("updates", f32([3])));
        let sum = g.zeros(f32([2])).scatter_add(index, updates).square().sum();
        let [gradient] = g.grad(sum, [updates]);
        let mut executable = g.program(&[("gradient", gradient)]).compile(&Options::engine(engine)).unwrap();
        let index = Array::new([3], vec![1, -1, 2]).unwrap();
        let updates = Array::new([3], vec![1.5f32, 2.0, 3.0]).unwrap();
        let results = executable.run(&[("index", &index), ("updates", &updates)]).unwrap();
        assert_eq!(results.first().as_slice::<f32>().unwrap(), [3.0, 0.0, 0.0]);
    }
}

#[test]
fn a_program_without_inputs_runs_on_an_empty_list() {
    for engine in engines() {
        let g = Builder::new();
        let w = g.param("w", [1.0f32, 2.0]);
        let program = g.program(&[("sum", w.sum()), ("twice", 2 * w)]);
        let mut run = program.compile(&Options::engine(engine)).unwrap();
        let outputs = run.run(&[]).unwrap();
        assert_eq!(outputs["sum"], Array::from(3.0f32));
        assert_eq!(outputs[1], Array::from([2.0f32, 4.0]));
        assert_eq!(outputs.get_scalar::<f32>("sum").unwrap(), 3.0);
        assert_eq!(
            outputs.get_scalar::<f32>("twice").unwrap_err().to_string(),
            "output `twice` is f32[2], not a scalar"
        );
        let said = |f: &dyn Fn()| {
            let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_err();
            panic.downcast_ref::<String>().cloned().unwrap_or_default()
        };
        let message = said(&|| drop(outputs["loss"].clone()));
        assert_eq!(message, "there is no output called `loss`; the outputs are: sum, twice");
        assert_eq!(said(&|| drop(outputs[2].clone())), "there is no output number 2; the program has 2");
        // A step whose only effect is its update is a program; one without any effect is none.
        let options = Options::engine(engine);
        let h = Builder::new();
        let v = h.param("v", [1.0f32]);
        let mut doubling = h.program_with_updates(&[], &[(v, v * 2.0)]).compile(&options).unwrap();
        let outputs = doubling.run(&[]).unwrap();
        assert!(said(&|| drop(outputs.first().clone())).contains("no outputs"));
        assert_eq!(doubling.params().get("v").unwrap(), Array::from([2.0f32]));
        let error = h.program(&[]).compile(&options).unwrap_err();
        assert!(matches!(error, CompileError::Nothing), "{error}");
        assert!(error.to_string().starts_with("the program has neither outputs nor updates"), "{error}");
        // What is to be told of it can be told.
        assert!(h.program(&[]).report(&options).is_ok());
        assert_eq!(format!("{:?}", w.sum()).split("  ;").next(), Some("%5 = reduce %0 {kind=sum, axes=[0]} : f32[]"));
    }
}

/// A compilation that fails leaves the parameters that it was to share as they were, and a program has the parameters that it needs.
#[test]
fn parameters_are_declared_all_or_none() {
    for engine in engines() {
        let options = Options::engine(engine);
        let g = Builder::new();
        let (a, w, unused) = (g.param("a", [1.0f32]), g.param("w", [1.0f32, 2.0]), g.param("unused", [7.0f32]));
        let first = g.program(&[("sum", a + w)]).compile(&options).unwrap();
        assert_eq!(first.params().names().iter().map(|n| &**n).collect::<Vec<_>>(), ["a", "w"]);

        let h = Builder::new();
        let (fresh, other) = (h.param("fresh", [1.0f32]), h.param("w", [1.0f32, 2.0, 3.0]));
        let error =
            h.program(&[("sum", fresh + other)]).compile_with(&options, first.params()).unwrap_err().to_string();
        assert_eq!(
            error,
            "parameter `w` is f32[3] in this program, but f32[2] in the program whose parameters it is to share; give one of the two another name"
        );
        assert_eq!(first.params().names().len(), 2);
        // A function of the same builder brings what it needs and was not there.
        let mut more = first.forward(unused * a).unwrap();
        assert_eq!(more.run(&[]).unwrap()[0], Array::from([7.0f32]));
        assert_eq!(first.params().names().len(), 3);
    }
}

/// Bound inputs run as those given by name do; what does not fit is refused and leaves the old array.
#[test]
fn bound_inputs_run_like_named_ones() {
    let (x, other, outside, y) = (x(), y([1, 1]), y([0, 7]), y([0, 1]));
    for engine in engines() {
        let (mut named, mut step) = (step(engine), step(engine));
        let error = step.bind(&[("x", &x)]).expect_err("`y` is missing").to_string();
        assert_eq!(error, "input `y` (i32[2]) is missing");

        let mut bound = step.bind(&[("y", &y), ("x", &x)]).expect("the inputs fit");
        let mut expect = |bound: &mut cotangent::Bound<'_, '_>, y: &Array| {
            let expected = named.run(&[("x", &x), ("y", y)]).expect("the inputs fit");
            assert!(bound.run().iter().map(|o| o.1).eq(expected.iter().map(|o| o.1)), "{engine:?}");
        };
        expect(&mut bound, &y);
        let wrong =
            [("z", &y, "there is no input called `z`"), ("y", &x, "input `y` is i32[2], the array given is f32")];
        for (name, array, text) in wrong {
            let error = bound.set(name, array).expect_err("it does not fit").to_string();
            assert!(error.starts_with(text), "{error}");
        }
        let error = bound.set("y", &outside).err();
        assert!(matches!(error, Some(RunError::Index { value: 7, position: 1, .. })), "{error:?}");
        expect(&mut bound, &y);
        bound.set("y", &other).expect("it fits");
        expect(&mut bound, &other);
        assert_eq!(bound.params().get("w"), named.params().get("w"));
    }
}
