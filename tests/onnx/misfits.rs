//! Operators whose operands and attributes fit neither them nor each other: errors, no panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cotangent::io::onnx::{Bindings, Model, NEWEST, supported};
use cotangent::testing::Draw;
use cotangent::{Array, DType, Engine, Options};

use super::wire::{Message, Value, element_type, graph, node, typed_input, with};

/// Extents of operands, from scalars on.
const SHAPES: [&[i64]; 14] = [
    &[],
    &[0],
    &[1],
    &[2],
    &[3],
    &[4],
    &[2, 3],
    &[3, 2],
    &[1, 0],
    &[2, 2, 2],
    &[1, 2, 4],
    &[1, 2, 3, 3],
    &[2, 2, 1, 2],
    &[1, 1, 2, 2, 2],
];

const INTS: [i64; 12] = [0, 1, 2, 3, 4, -1, -2, 5, 16, 1 << 40, i64::MAX, i64::MIN];

const LISTS: [&[i64]; 12] = [
    &[],
    &[0],
    &[1],
    &[2],
    &[-1],
    &[1, 1],
    &[2, 2],
    &[0, 1],
    &[1, 0],
    &[3, 3, 3],
    &[0, 0, 1, 1],
    &[i64::MIN, i64::MAX],
];

const FLOATS: [f32; 6] = [0.0, 1.0, -1.0, 0.5, f32::NAN, f32::INFINITY];

const TEXTS: [&str; 24] = [
    "",
    "NONE",
    "linear",
    "nearest",
    "cubic",
    "constant",
    "reflect",
    "edge",
    "SAME_UPPER",
    "VALID",
    "LOGISTIC",
    "SOFTMAX",
    "TF",
    "IDF",
    "LEFT",
    "ij,jk->ik",
    "i...->...",
    "mean",
    "none",
    "reverse",
    "bidirectional",
    "tanh",
    "delta",
    "gated",
];

/// Names of attributes, each with what kind it is: an integer, a list of integers, a float, floats, a text, texts.
const ATTRIBUTES: [(&str, u8); 110] = [
    ("axis", 0),
    ("axes", 1),
    ("keepdims", 0),
    ("perm", 1),
    ("shape", 1),
    ("to", 0),
    ("dtype", 0),
    ("value", 2),
    ("pads", 1),
    ("strides", 1),
    ("dilations", 1),
    ("kernel_shape", 1),
    ("group", 0),
    ("auto_pad", 4),
    ("mode", 4),
    ("num_outputs", 0),
    ("split", 1),
    ("starts", 1),
    ("ends", 1),
    ("alpha", 2),
    ("beta", 2),
    ("transA", 0),
    ("transB", 0),
    ("broadcast", 0),
    ("epsilon", 2),
    ("momentum", 2),
    ("training_mode", 0),
    ("num_groups", 0),
    ("hidden_size", 0),
    ("direction", 4),
    ("activations", 5),
    ("layout", 0),
    ("linear_before_reset", 0),
    ("k", 0),
    ("largest", 0),
    ("sorted", 0),
    ("block_size", 0),
    ("blocksize", 0),
    ("scales", 3),
    ("size", 0),
    ("bias", 2),
    ("equation", 4),
    ("q_num_heads", 0),
    ("kv_num_heads", 0),
    ("num_heads", 0),
    ("is_causal", 0),
    ("scale", 2),
    ("softcap", 2),
    ("update_rule", 4),
    ("activation", 4),
    ("interleaved", 0),
    ("rotary_embedding_dim", 0),
    ("offset_group", 0),
    ("output_shape", 1),
    ("output_padding", 1),
    ("ceil_mode", 0),
    ("storage_order", 0),
    ("count_include_pad", 0),
    ("p", 0),
    ("batch_axis", 0),
    ("time_axis", 0),
    ("batch_dims", 0),
    ("reduction", 4),
    ("exclusive", 0),
    ("select_last_index", 0),
    ("min", 2),
    ("max", 2),
    ("low", 2),
    ("high", 2),
    ("sample_size", 0),
    ("seed", 2),
    ("onesided", 0),
    ("inverse", 0),
    ("periodic", 0),
    ("output_datatype", 0),
    ("align_corners", 0),
    ("padding_mode", 4),
    ("coordinate_transformation_mode", 4),
    ("nearest_mode", 4),
    ("output_height", 0),
    ("output_width", 0),
    ("sampling_ratio", 0),
    ("center_point_box", 0),
    ("new_axis", 0),
    ("ignore_index", 0),
    ("upper", 0),
    ("allowzero", 0),
    ("start", 0),
    ("end", 0),
    ("fmod", 0),
    ("noop_with_empty_axes", 0),
    ("min_gram_length", 0),
    ("max_gram_length", 0),
    ("max_skip_count", 0),
    ("ngram_counts", 1),
    ("ngram_indexes", 1),
    ("pool_int64s", 1),
    ("coefficients", 3),
    ("intercepts", 3),
    ("classlabels_ints", 1),
    ("targets", 0),
    ("norm", 4),
    ("threshold", 2),
    ("imputed_value_floats", 3),
    ("offset", 3),
    ("bits", 0),
    ("K", 0),
    ("N", 0),
    ("lambd", 2),
    ("detect_positive", 0),
];

const TYPES: [DType; 6] = [DType::F32, DType::F32, DType::I64, DType::I32, DType::Bool, DType::F64];

/// An initializer of these extents, of integers or of floats, all of them small.
fn initializer(draw: &mut Draw, name: &str) -> Message {
    let dims = *draw.of(&[&[][..], &[0], &[1], &[2], &[3], &[4], &[2, 2], &[1, 2, 2]].each_ref());
    let count = dims.iter().product::<i64>() as usize;
    let dtype = draw.of(&[DType::I64, DType::I64, DType::F32, DType::Bool]);
    let bytes: Vec<u8> = (0..count)
        .flat_map(|_| match dtype {
            DType::I64 => draw.of(&INTS).to_le_bytes().to_vec(),
            DType::F32 => draw.of(&FLOATS).to_le_bytes().to_vec(),
            _ => vec![draw.below(2) as u8],
        })
        .collect();
    let message = dims.iter().fold(Message::default(), |m, &d| m.int(1, d));
    message.int(2, element_type(dtype)).text(8, name).bytes(9, &bytes)
}

/// A model of one node of this operator.
fn model(draw: &mut Draw, domain: &str, operator: &str, since: i64) -> Vec<u8> {
    let (mut names, mut inputs, mut initializers) = (Vec::new(), Vec::new(), Vec::new());
    let shared = draw.of(&SHAPES);
    for i in 0..draw.below(8) {
        let name = ["a", "b", "c", "d", "e", "f", "g", "h"][i];
        match draw.below(6) {
            0 => names.push(""),
            1 => {
                names.push(name);
                initializers.push(initializer(draw, name));
            }
            _ => {
                names.push(name);
                let shape = if draw.chance(0.5) { shared } else { draw.of(&SHAPES) };
                let dtype = if draw.chance(0.6) { DType::F32 } else { draw.of(&TYPES) };
                inputs.push(typed_input(name, dtype, shape));
            }
        }
    }
    let outputs = &["y", "z", "w"][..1 + draw.below(3)];
    let mut attributes: Vec<(&str, Value<'_>)> = Vec::new();
    for _ in 0..draw.below(5) {
        let (name, kind) = draw.of(&ATTRIBUTES);
        if attributes.iter().any(|a| a.0 == name) {
            continue;
        }
        attributes.push((
            name,
            match kind {
                0 => Value::Int(draw.of(&INTS)),
                1 => Value::Ints(draw.of(&LISTS)),
                2 => Value::Float(draw.of(&FLOATS)),
                3 => Value::Floats(&FLOATS[..draw.below(6)]),
                4 => Value::Text(draw.of(&TEXTS)),
                _ => Value::Texts(&TEXTS[..draw.below(6)]),
            },
        ));
    }
    let node = with(node(operator, &names, outputs).text(7, domain), &attributes);
    let mut graph = graph(vec![node], inputs, "y");
    graph.initializers = initializers;
    graph.model_of(if domain.is_empty() { draw.between(since.max(1) as usize, NEWEST as usize) as i64 } else { NEWEST })
}

/// Imports a model and, if it can be and is small, runs it on zeros; gives whether it can be imported.
fn try_run(model: &Model) -> bool {
    let Ok(imported) = model.import(&Bindings::new().random(1)) else { return false };
    let program = imported.program();
    let graph = &program.graph;
    if graph.len() > 2000 || graph.ids().any(|id| graph.ty(id).shape.numel() > 1 << 16) {
        return true;
    }
    let live = graph.live();
    let zeros: Vec<(&str, Array)> = imported
        .inputs()
        .into_iter()
        .filter(|(_, tensor)| live[tensor.id().index()])
        .map(|(name, tensor)| (name, Array::zeros(&tensor.ty())))
        .collect();
    let given: Vec<(&str, &Array)> = zeros.iter().map(|(name, zeros)| (*name, zeros)).collect();
    if let Ok(mut compiled) = program.compile(&Options::engine(Engine::Interp)) {
        let _ = compiled.run(&given);
    }
    true
}

#[test]
fn no_operator_panics() {
    let rounds: usize = std::env::var("MISFITS").ok().and_then(|n| n.parse().ok()).unwrap_or(150);
    let (mut panics, mut sound) = (Vec::new(), 0);
    for (i, operator) in supported().enumerate() {
        for round in 0..rounds {
            let mut draw = Draw::new((i * 1_000_003 + round) as u64);
            let bytes = model(&mut draw, operator.domain, operator.name, operator.since);
            let model = Model::from_bytes(bytes).expect("the file is whole");
            let imported = catch_unwind(AssertUnwindSafe(|| try_run(&model)));
            match imported {
                Ok(is_sound) => sound += usize::from(is_sound),
                Err(panic) => {
                    let text = panic.downcast_ref::<String>().map_or("", |text| text);
                    panics.push(format!("{}.{} in round {round}: {text}", operator.domain, operator.name));
                    break;
                }
            }
        }
    }
    assert!(panics.is_empty(), "{} operators panic:\n{}", panics.len(), panics.join("\n"));
    // Some of what is drawn fits.
    assert!(sound > 500, "{sound}");
}
