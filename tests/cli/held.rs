//! ONNX models with inputs and outputs of integers that arrays hold in wider types: their files have the model's own types.

use cotangent::Array;
use cotangent::io::{ElementType, npz, read_typed_array};

use super::Folder;
use super::proto::{declared, matrix, message, model, node, number, scalar};

const FLOAT: u8 = 1;
const INT8: u8 = 3;
const UINT16: u8 = 4;
const INT16: u8 = 5;
const INT64: u8 = 7;
const UINT64: u8 = 13;

/// An npy file in NumPy's own words.
fn npy(descr: &str, shape: &str, elements: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    header.extend(std::iter::repeat_n(' ', 127 - 10 - header.len()));
    header.push('\n');
    [&b"\x93NUMPY\x01\x00\x76\x00"[..], header.as_bytes(), elements].concat()
}

fn zero_point() -> Vec<u8> {
    [number(2, INT8), message(&[(8, b"zero".to_vec()), (9, vec![0xff])])].concat()
}

/// Quantizes x, gives q back as floats, and passes what is of other types through.
fn quantizes(name: &str) -> Folder {
    let folder = Folder::new(name);
    let graph = [
        (1, node("QuantizeLinear", &["x", "scale", "zero"], "quantized")),
        (1, node("DequantizeLinear", &["q", "scale", "zero"], "given")),
        (1, node("Identity", &["u"], "u64")),
        (1, node("Identity", &["w"], "u16")),
        (1, node("Add", &["s", "s"], "i16")),
        (1, node("ReduceSum", &["given"], "loss")),
        (2, b"held".to_vec()),
        (5, scalar("scale", 0.5)),
        (5, zero_point()),
        (11, declared("x", FLOAT, 4)),
        (11, declared("q", INT8, 3)),
        (11, declared("u", UINT64, 2)),
        (11, declared("w", UINT16, 2)),
        (11, declared("s", INT16, 2)),
        (12, declared("quantized", INT8, 4)),
        (12, declared("given", FLOAT, 3)),
        (12, declared("u64", UINT64, 2)),
        (12, declared("u16", UINT16, 2)),
        (12, declared("i16", INT16, 2)),
        (12, declared("loss", FLOAT, 1)),
    ];
    folder.write("model.onnx", model(&graph)).npy("x.npy", [1.0f32, -0.5, 1000.0, -1000.0]);
    folder.write("q.npy", npy("|i1", "(3,)", &[0x80, 0, 0x7f]));
    folder.write(
        "u.npy",
        npy("<u8", "(2,)", &[1, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
    );
    folder.write("w.npy", npy("<u2", "(2,)", &[0xff, 0xff, 1, 0]));
    folder.write("s.npy", npy(">i2", "(2,)", &[0xff, 0xfe, 0x40, 0]));
    folder
}

const GIVEN: &str = "model.onnx --input x=x.npy --input q=q.npy --input u=u.npy --input w=w.npy --input s=s.npy";

#[test]
fn files_are_read_and_written_with_the_models_own_types() {
    let folder = quantizes("held");
    for engine in ["jit", "interp"] {
        let out = folder.cotangent(&format!("run {GIVEN} --engine {engine} --output-dir {engine}")).succeeds().out();
        assert!(out.contains("quantized\tint8[4]\t") && out.contains("u64\tuint64[2]\t"), "{out}");
        let bytes = |file: &str| std::fs::read(folder.path(&format!("{engine}/{file}.npy"))).unwrap();
        // 1 / 0.5 - 1, -0.5 / 0.5 - 1, and the edges of the type.
        assert_eq!(bytes("quantized"), npy("|i1", "(4,)", &[1, 0xfe, 0x7f, 0x80]));
        assert_eq!(folder.read(&format!("{engine}/given.npy")), Array::from([-63.5f32, 0.5, 64.0]));
        let u = std::fs::read(folder.path("u.npy")).unwrap();
        assert_eq!(bytes("u64"), u);
        assert_eq!(bytes("u16"), npy("<u2", "(2,)", &[0xff, 0xff, 1, 0]));
        // 2 * -2, and 2 * 2^14, which wraps.
        assert_eq!(bytes("i16"), npy("<i2", "(2,)", &[0xfc, 0xff, 0, 0x80]));
        folder.cotangent(&format!("grad {GIVEN} --loss loss --wrt x --engine {engine} --output-dir grad")).succeeds();
        assert_eq!(std::fs::read(folder.path("grad/u64.npy")).unwrap(), u);
    }
    let printed = folder.cotangent(&format!("run {GIVEN}")).succeeds().out();
    assert!(printed.contains("u64 : uint64[2]\n[ 9223372036854775809 18446744073709551615]"), "{printed}");
    for command in ["check", "bench --time 0.01"] {
        folder.cotangent(&format!("{command} {GIVEN}")).succeeds();
        folder.cotangent(&format!("{command} model.onnx")).succeeds();
    }
    let info = folder.cotangent("info model.onnx").succeeds().out();
    let (parameters, constants) = info.split_once("\nconstants   ").expect("there are initializers of integers");
    assert!(!parameters.contains("zero : int8") && constants.contains("  zero : int8"), "{info}");
    assert!(info.contains("q : int8[3]") && info.contains("u64 : uint64[2]") && info.contains("kernels"), "{info}");
    folder.cotangent(&format!("grad {GIVEN} --loss loss --wrt q")).fails(2, &["`q` is int8[3], and only f32 and f64"]);
    folder.cotangent("run model.onnx --input x=x.npy").fails(2, &["q (int8[3]), u (uint64[2])"]);
}

#[test]
fn archives_and_tables_give_them_too() {
    let folder = quantizes("held_archives");
    let typed = |file: &str| read_typed_array(folder.path(file).to_str().unwrap()).unwrap();
    let arrays = ["x", "q", "u", "w", "s"].map(|name| (name, typed(&format!("{name}.npy"))));
    let views = arrays.iter().map(|(name, (array, element))| {
        (*name, cotangent::io::TypedView::new(array, *element).expect("the file's numbers are of its type"))
    });
    npz::write(folder.path("all.npz"), views).unwrap();
    let read = npz::read_typed(folder.path("all.npz")).unwrap();
    assert_eq!(read.len(), arrays.len());
    assert!(arrays.iter().all(|(name, array)| read[*name] == *array));
    assert!(npz::read(folder.path("all.npz")).unwrap_err().to_string().contains("uint64"));
    folder.cotangent("run model.onnx --inputs all.npz --output-dir out").succeeds();
    assert_eq!(typed("out/u64.npy"), (Array::from([i64::MIN + 1, -1]), ElementType::U64));

    folder.write("q.csv", "q,far\n-128,0\n5,200\n127,0\n").write("u.csv", "u\n7\n9000000000000000000\n");
    let rest = "--input x=x.npy --input w=w.npy --input s=s.npy";
    folder.cotangent(&format!("run model.onnx {rest} --input q=q.csv:q --input u=u.csv --output-dir out")).succeeds();
    assert_eq!(folder.read("out/given.npy"), Array::from([-63.5f32, 3.0, 64.0]));
    assert_eq!(typed("out/u64.npy"), (Array::from([7, 9_000_000_000_000_000_000i64]), ElementType::U64));
    folder
        .cotangent(&format!("run model.onnx {rest} --input q=q.csv:far --input u=u.csv"))
        .fails(1, &["`q`: row 1 holds 200, which is no int8"]);
}

#[test]
fn numbers_that_the_models_type_lacks_are_refused() {
    let folder = quantizes("held_misfits");
    folder.npy("q32.npy", [0i32, 128, 0]).npy("q64.npy", [0i64; 3]).npy("fits.npy", [-1i32, 2, 3]);
    folder.npy("negative.npy", [0i64, -1]).npy("whole.npy", [0i64, 5]);
    let with = |name: &str, file: &str| GIVEN.replace(&format!("{name}={name}.npy"), &format!("{name}={file}"));
    for (name, file, telling) in [
        ("q", "q32.npy", "`q`: row 1 holds 128, which is no int8"),
        ("q", "q64.npy", ".astype(np.int8)"),
        ("u", "negative.npy", "`u`: row 1 holds -1, which is no uint64"),
        ("s", "w.npy", "`s`: row 0 holds 65535, which is no int16"),
    ] {
        for command in ["run", "info", "check"] {
            folder.cotangent(&format!("{command} {}", with(name, file))).fails(1, &[telling]);
        }
    }
    for (name, file) in [("q", "fits.npy"), ("u", "whole.npy")] {
        folder.cotangent(&format!("run {}", with(name, file))).succeeds();
    }
    // What is held in the same type is not taken for it.
    let graph = [
        (1, node("Identity", &["i"], "y")),
        (2, b"signed".to_vec()),
        (11, declared("i", INT64, 2)),
        (12, declared("y", INT64, 2)),
    ];
    folder.write("signed.onnx", model(&graph));
    folder.write("signed.cot", "%i = input {name=\"i\"} : i64[2]\noutput \"y\" = %i\n");
    folder.write("param.cot", "%i = param {name=\"i\", kind=state} : i64[2]\noutput \"y\" = %i\n");
    npz::write(
        folder.path("i.npz"),
        [("i", cotangent::io::TypedView::new(&Array::from([-1i64, 0]), ElementType::U64).unwrap())],
    )
    .unwrap();
    for (file, words) in
        [("signed.onnx", "--input i=u.npy"), ("signed.cot", "--input i=u.npy"), ("param.cot", "--params i.npz")]
    {
        folder.cotangent(&format!("run {file} {words}")).fails(1, &["`i`: the array is uint64, the model takes i64"]);
    }
}

#[test]
fn a_model_is_trained_on_them() {
    let folder = Folder::new("held_train");
    let graph = [
        (1, node("DequantizeLinear", &["q", "scale", "zero"], "x")),
        (1, node("MatMul", &["x", "w"], "y")),
        (2, b"trained".to_vec()),
        (5, scalar("scale", 0.5)),
        (5, zero_point()),
        (5, matrix("w", [2, 1], &[0.0, 0.0])),
        (11, {
            let shape = message(&[(1, message(&[(2, b"n".to_vec())])), (1, number(1, 2))]);
            let tensor = [number(1, INT8), message(&[(2, shape)])].concat();
            message(&[(1, b"q".to_vec()), (2, message(&[(1, tensor)]))])
        }),
        (12, declared("y", FLOAT, 1)),
    ];
    folder.write("model.onnx", model(&graph)).npy("t.npy", [[1.0f32], [2.0]]).npy("far.npy", [[0i32, 0], [0, 128]]);
    folder.write("q.npy", npy("|i1", "(2, 2)", &[1, 0xff, 0xff, 1]));
    let words = "train model.onnx --loss-of y=mse --data t=t.npy --quiet --epochs 200 --lr 0.1 --optimizer sgd";
    folder.cotangent(&format!("{words} --data q=q.npy --output out.onnx")).succeeds();
    folder.cotangent("run out.onnx --input q=q.npy --output-dir out").succeeds();
    let y = folder.read("out/y.npy").to_f64_vec();
    assert!((y[0] - 1.0).abs() < 1e-2 && (y[1] - 2.0).abs() < 1e-2, "{y:?}");
    folder
        .cotangent(&format!("{words} --data q=far.npy"))
        .fails(1, &["`q`: row 1, element 1 of it holds 128, which is no int8"]);
}
