//! Models in the text form: what is asked of them by name.

use std::collections::BTreeMap;

use crate::array::Array;
use crate::build::Builder;
use crate::compile::{Engine, Options};
use crate::graph::{DType, TensorType};

use super::{Format, Model, Verdict};

const TEXT: &str = r#"
%x = input {name="x"} : f32[2, 3]
%n = input {name="n"} : i32[2]
%unused = input {name="unused"} : f32[1]
%w = param {name="w", kind=trainable} : f32[3]
%b = broadcast %w {axes=[0]} : f32[2, 3]
%p = mul %x, %b : f32[2, 3]
%s = reduce %p {kind=sum, axes=[0, 1]} : f32[]
output "p" = %p
output "loss" = %s
output "n" = %n
"#;

fn arrays() -> BTreeMap<String, Array> {
    [
        ("x", Array::from([[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]])),
        ("n", Array::from([7i32, 8])),
        ("w", Array::from([1.0f32, -1.0, 2.0])),
    ]
    .map(|(name, array)| (name.to_owned(), array))
    .into()
}

#[test]
fn results_and_gradients_come_by_name_on_both_engines() {
    let model = Model::from_text(TEXT).unwrap();
    for engine in [Engine::Jit, Engine::Interp] {
        let options = Options::engine(engine);
        let outputs = model.run(&options, &arrays()).unwrap();
        assert_eq!(outputs[1], ("loss".into(), Array::scalar(16.0f32)));
        assert_eq!(outputs[2], ("n".into(), Array::from([7i32, 8])));
        let results = model.grad(&options, "loss", &["w", "unused", "x"], &arrays()).unwrap();
        assert_eq!(results.outputs, outputs);
        assert_eq!(results.gradients[0], ("w".into(), Array::from([5.0f32, 7.0, 9.0])));
        assert_eq!(results.gradients[1], ("unused".into(), Array::from([0.0f32])));
        assert_eq!(results.gradients[2].1.shape()[..], [2, 3]);
    }
}

#[test]
fn what_is_wrong_is_told_with_the_names_there_are() {
    let model = Model::from_text(TEXT).unwrap();
    let options = Options::engine(Engine::Interp);
    let without = |name: &str| {
        let mut arrays = arrays();
        arrays.remove(name);
        arrays
    };
    let with = |name: &str, array: Array| {
        let mut arrays = arrays();
        arrays.insert(name.to_owned(), array);
        arrays
    };
    let of_run = |arrays| model.run(&options, &arrays).unwrap_err().to_string();
    assert_eq!(of_run(without("x")), "missing inputs: x (f32[2, 3])");
    assert!(of_run(without("w")).starts_with("parameters without a value: w (f32[3]);"));
    assert_eq!(
        of_run(with("z", Array::scalar(1.0f32))),
        "there is no input or parameter called `z`; there are: x, n, unused, w"
    );
    assert_eq!(of_run(with("x", Array::scalar(1.0f32))), "`x` is f32[2, 3], the array given is f32[]");
    assert_eq!(
        of_run(with("unused", Array::from([1i32]))),
        "`unused` is f32[1], the array given is i32[1]; in NumPy, .astype(np.float32) converts it"
    );
    let of_grad = |loss, wrt: &[&str]| model.grad(&options, loss, wrt, &arrays()).unwrap_err().to_string();
    assert_eq!(
        of_grad("lost", &["w"]),
        "there is no output called `lost`; there are: p, loss, n; did you mean `loss`?"
    );
    assert!(of_grad("p", &["w"]).starts_with("the loss must be a scalar, but output `p` is f32[2, 3]"));
    assert!(of_grad("loss", &["v"]).ends_with("there are: x, unused, w"));
    assert!(of_grad("loss", &["n"]).starts_with("the input or parameter `n` is i32[2], and only f32 and f64"));
}

#[test]
fn text_is_told_from_onnx() {
    for text in ["%x = input", "  ; a comment\n", "output \"y\" = %0", "hello"] {
        assert_eq!(Format::of(text.as_bytes()), Format::Text, "{text}");
    }
    for bytes in [&b"\x08\x07\x12\x07pytorch"[..], b"\x3a\x05", b"\xff%", b"\x93NUMPY"] {
        assert_eq!(Format::of(bytes), Format::Onnx, "{bytes:?}");
    }
}

/// A rule of a program's own keeps the check in single precision, in which a large loss has no digits left for its differences.
#[test]
fn differences_that_rounding_hides_settle_nothing() {
    for (offset, factor, expected) in [
        (0.0, 1.0, Verdict::Pass),
        (0.0, 1.1, Verdict::Fail),
        (0.0, -1.0, Verdict::Fail),
        (1e6, 1.0, Verdict::Skip),
        (1e6, -3.0, Verdict::Skip),
        (1e6, 0.0, Verdict::Skip),
    ] {
        let g = Builder::new();
        let x = g.input("x", TensorType::new(DType::F32, [4]));
        let y = g.custom_vjp("scaled", &[x], |x| x[0].sin(), |x, _, u| vec![u * x[0].cos() * factor]);
        let program = g.program(&[("loss", y.sum() + offset)]);
        let model = Model {
            program,
            format: Format::Text,
            fixed: BTreeMap::new(),
            unset: Default::default(),
            held: BTreeMap::new(),
        };
        let checks = model.check(None, &BTreeMap::new()).unwrap();
        let check = checks.iter().find(|check| check.name == "gradient by x").expect("there is one input");
        assert_eq!(check.verdict, expected, "{offset}, {factor}: {check}");
        if offset > 0.0 && factor != 0.0 {
            assert!(check.detail.starts_with("rounding of the loss hides it"), "{check}");
        }
        assert!(factor == 0.0 || check.detail.contains("in the graph's own precision"), "{check}");
    }
}
