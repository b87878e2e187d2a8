//! Gradients of single operators against finite differences, first and second, in double precision: of those that models trained elsewhere have no gradients
//! of here.

use std::collections::BTreeMap;

use cotangent::io::onnx::{Bindings, Model};
use cotangent::testing::{Draw, check_gradient_of};
use cotangent::{Array, DType, TensorType};

use super::wire::{Value, graph, node, typed_input, with};

/// An operand that is differentiated by.
fn floats(extents: &[usize]) -> Option<Array> {
    let seed = extents.iter().fold(1, |seed, &n| seed * 31 + n as u64);
    Some(Draw::new(seed).uniform(&TensorType::new(DType::F64, extents), -1.0, 1.0))
}

/// An operand of integers.
fn ints(array: impl Into<Array>) -> Option<Array> {
    Some(array.into())
}

/// Checks the gradient of an operator's first result by all operands that are floats.
#[track_caller]
fn check(domain: &str, operator: &str, operands: &[Option<Array>], attributes: &[(&str, Value<'_>)]) {
    let names: Vec<String> = (0..operands.len()).map(|i| format!("x{i}")).collect();
    let given: Vec<(&str, &Array)> =
        names.iter().zip(operands).filter_map(|(name, operand)| Some((&**name, operand.as_ref()?))).collect();
    let words: Vec<&str> =
        names.iter().zip(operands).map(|(name, operand)| if operand.is_some() { name } else { "" }).collect();
    let inputs = given.iter().map(|(name, array)| {
        let extents: Vec<i64> = array.shape().iter().map(|&n| n as i64).collect();
        typed_input(name, array.dtype(), &extents)
    });
    let node = with(node(operator, &words, &["y"]).text(7, domain), attributes);
    let model = Model::from_bytes(graph(vec![node], inputs.collect(), "y").model_of(28)).expect("the file is whole");
    let known = given.iter().fold(Bindings::new(), |known, (name, array)| known.value(name, (*array).clone()));
    let imported = model.import(&known).unwrap_or_else(|e| panic!("{operator}: {e}"));

    let (g, y) = (imported.builder(), imported.outputs()[0].1);
    let loss = (y * g.constant(Draw::new(7).uniform(&y.ty(), 0.5, 1.5))).sum();
    let by: Vec<_> = imported.inputs().into_iter().filter(|(_, tensor)| tensor.dtype() == DType::F64).collect();
    assert_eq!(by.len(), given.iter().filter(|(_, array)| array.dtype() == DType::F64).count(), "{operator}");
    let wrt: Vec<_> = by.iter().map(|(_, tensor)| tensor.id()).collect();
    let leaves: BTreeMap<_, _> = given.iter().map(|(name, array)| ((*name).into(), (*array).clone())).collect();
    let report = check_gradient_of(&g.program(&[]).graph, loss.id(), &wrt, &leaves);
    let compared = report.unwrap_or_else(|e| panic!("{operator}: {e}")).first;
    assert_eq!(compared, by.iter().map(|(_, tensor)| tensor.shape().numel()).sum::<usize>(), "{operator}");
}

const MS: &str = "com.microsoft";

#[test]
fn fused_products_and_activations() {
    check(
        MS,
        "FusedMatMul",
        &[floats(&[2, 4, 3]), floats(&[2, 5, 4])],
        &[("transA", Value::Int(1)), ("transB", Value::Int(1)), ("alpha", Value::Float(0.5))],
    );
    check(MS, "FusedMatMul", &[floats(&[4, 2, 3]), floats(&[2, 3, 5])], &[("transBatchA", Value::Int(1))]);
    check(
        MS,
        "FusedGemm",
        &[floats(&[3, 4]), floats(&[5, 4]), floats(&[5])],
        &[("transB", Value::Int(1)), ("activation", Value::Text("Tanh"))],
    );
    check(
        MS,
        "FusedConv",
        &[floats(&[1, 2, 4, 4]), floats(&[3, 2, 3, 3]), floats(&[3]), floats(&[1, 3, 2, 2])],
        &[("activation", Value::Text("Sigmoid"))],
    );
    check(MS, "Gelu", &[floats(&[3, 4])], &[]);
    check(MS, "QuickGelu", &[floats(&[3, 4])], &[("alpha", Value::Float(1.5))]);
    for operator in ["FastGelu", "BiasGelu"] {
        check(MS, operator, &[floats(&[2, 3, 4]), floats(&[4])], &[]);
    }
}

#[test]
fn normalizations_of_sums() {
    let operands = [floats(&[2, 3, 5]), floats(&[3, 5]), floats(&[5]), floats(&[1, 5]), floats(&[1, 1, 5])];
    check(MS, "SkipLayerNormalization", &operands, &[("epsilon", Value::Float(0.1))]);
    check(MS, "SkipSimplifiedLayerNormalization", &operands[..4], &[("epsilon", Value::Float(0.1))]);
    check("", "SimplifiedLayerNormalization", &[floats(&[2, 5]), floats(&[5])], &[("epsilon", Value::Float(0.1))]);
    let (words, segments) = (ints([[0i32, 3, 3], [2, 1, 0]]), ints([[0i32, 0, 1], [1, 1, 0]]));
    let tables = [floats(&[4, 5]), floats(&[3, 5]), floats(&[2, 5]), floats(&[5]), floats(&[5])];
    let operands: Vec<Option<Array>> = [words, segments].into_iter().chain(tables).collect();
    check(MS, "EmbedLayerNormalization", &operands, &[("epsilon", Value::Float(0.1))]);
}

#[test]
fn attention() {
    let heads = ("num_heads", Value::Int(2));
    let mask = ints([[1i32, 1, 0], [1, 0, 1]]);
    let operands = [floats(&[2, 3, 4]), floats(&[4, 12]), floats(&[12]), mask.clone(), None, floats(&[2, 2, 3, 3])];
    check(MS, "Attention", &operands, &[heads]);
    let causal = [("num_heads", Value::Int(2)), ("unidirectional", Value::Int(1)), ("scale", Value::Float(0.3))];
    check(MS, "Attention", &operands[..3], &causal);
    let operands = [floats(&[2, 2, 4]), floats(&[2, 3, 4]), floats(&[2, 3, 6]), floats(&[14]), mask];
    check(MS, "MultiHeadAttention", &operands, &[("num_heads", Value::Int(2))]);
}

#[test]
fn signals() {
    let step = || ints(Array::scalar(3i64));
    check("", "STFT", &[floats(&[2, 14, 1]), step(), floats(&[6])], &[]);
    check("", "STFT", &[floats(&[1, 11, 1]), step(), None, ints(Array::scalar(5i64))], &[("onesided", Value::Int(0))]);
    check("", "STFT", &[floats(&[1, 9, 2]), step(), floats(&[4])], &[("onesided", Value::Int(0))]);
}

/// Samples lie between the pixels, where they are smooth in the corners of the regions too.
#[test]
fn regions_of_images() {
    let regions = || Some(Array::from([[0.6f64, 1.1, 4.3, 3.7], [1.2, 0.3, 2.9, 4.6]]));
    for mode in ["avg", "max"] {
        let attributes = [
            ("mode", Value::Text(mode)),
            ("output_height", Value::Int(2)),
            ("output_width", Value::Int(3)),
            ("sampling_ratio", Value::Int(2)),
            ("spatial_scale", Value::Float(0.9)),
        ];
        check("", "RoiAlign", &[floats(&[2, 2, 5, 6]), regions(), ints([1i64, 0])], &attributes);
    }
}

/// Offsets lie between the pixels, where interpolation is smooth.
#[test]
fn deformable_convolution() {
    let apart = |extents: &[usize]| {
        let seed = extents.iter().fold(3, |seed, &n| seed * 31 + n as u64);
        Some(Draw::new(seed).uniform(&TensorType::new(DType::F64, extents), 0.2, 0.8))
    };
    let attributes = [
        ("offset_group", Value::Int(2)),
        ("group", Value::Int(2)),
        ("pads", Value::Ints(&[1, 0, 1, 1])),
        ("strides", Value::Ints(&[2, 1])),
    ];
    let operands = [
        floats(&[1, 4, 3, 3]),
        floats(&[2, 2, 2, 2]),
        apart(&[1, 2 * 4 * 2, 2, 3]),
        floats(&[2]),
        floats(&[1, 2 * 4, 2, 3]),
    ];
    check("", "DeformConv", &operands, &attributes);
    check(
        "",
        "DeformConv",
        &[floats(&[2, 1, 4]), floats(&[3, 1, 2]), apart(&[2, 2, 2])],
        &[("dilations", Value::Ints(&[2]))],
    );
    let volume = [floats(&[1, 1, 2, 3, 2]), floats(&[1, 1, 1, 2, 1]), apart(&[1, 6, 2, 2, 2])];
    check("", "DeformConv", &volume, &[]);
}

#[test]
fn layers_with_a_state() {
    let heads =
        |rule| [("q_num_heads", Value::Int(4)), ("kv_num_heads", Value::Int(2)), ("update_rule", Value::Text(rule))];
    let (q, k, v) = (floats(&[2, 3, 8]), floats(&[2, 3, 4]), floats(&[2, 3, 6]));
    let (past, decay, beta) = (floats(&[2, 2, 2, 3]), floats(&[2, 3, 4]), floats(&[2, 3, 2]));
    check("", "LinearAttention", &[q.clone(), k.clone(), v.clone(), past.clone()], &heads("linear"));
    check("", "LinearAttention", &[q.clone(), k.clone(), v.clone(), None, decay.clone()], &heads("gated"));
    check("", "LinearAttention", &[q.clone(), k.clone(), v.clone(), None, None, beta.clone()], &heads("delta"));
    check("", "LinearAttention", &[q, k, v, past, decay, beta], &heads("gated_delta"));
    let operands = [floats(&[2, 3, 5]), floats(&[3, 1, 3]), floats(&[3]), floats(&[2, 3, 2])];
    check("", "CausalConvWithState", &operands, &[("activation", Value::Text("silu"))]);
}
