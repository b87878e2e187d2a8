//! Every kind of error that a graph has.

use std::collections::BTreeSet;

use cotangent::graph::{Dims, GraphError, OpError, OpErrorKind, Origin};
use cotangent::prelude::*;
use cotangent::prim::{
    ArgReduce, Broadcast, Combine, Concat, Dot, Extremum, Gather, Input, Iota, Map, Op, Pad, Reduce, Reduction,
    Reshape, Scatter, Slice, Transpose, Unwindow, Window, Windows,
};
use cotangent::scalar::ScalarFn;

/// The name of each kind of error. A new kind does not compile until it has one, and is not complete until it fires below.
fn kind_name(kind: &OpErrorKind) -> &'static str {
    match kind {
        OpErrorKind::Arity { .. } => "Arity",
        OpErrorKind::DType { .. } => "DType",
        OpErrorKind::Shape { .. } => "Shape",
        OpErrorKind::Broadcast { .. } => "Broadcast",
        OpErrorKind::Axis { .. } => "Axis",
        OpErrorKind::AxisOrder { .. } => "AxisOrder",
        OpErrorKind::Permutation { .. } => "Permutation",
        OpErrorKind::Reshape { .. } => "Reshape",
        OpErrorKind::Contraction { .. } => "Contraction",
        OpErrorKind::Slice { .. } => "Slice",
        OpErrorKind::Window { .. } => "Window",
        OpErrorKind::EmptyReduction { .. } => "EmptyReduction",
        OpErrorKind::AttributeLength { .. } => "AttributeLength",
        OpErrorKind::Number { .. } => "Number",
        OpErrorKind::DuplicateName { .. } => "DuplicateName",
        OpErrorKind::TooLarge { .. } => "TooLarge",
        OpErrorKind::Other(_) => "Other",
    }
}

fn dims(v: &[usize]) -> Dims {
    Dims::from_slice(v)
}

/// Operations that the fallible core refuses: the operation, its operands' types and the kind of error.
fn refused() -> Vec<(Op, Vec<TensorType>, &'static str)> {
    let x = f32([2, 3]);
    let add = Op::from(Map { f: ScalarFn::Add });
    let reduce = |reduction, axes: &[usize]| Op::from(Reduce { reduction, axes: dims(axes) });
    let slice = |start: [usize; 2], len: [usize; 2], step: [isize; 2]| {
        Op::from(Slice { start: dims(&start), len: dims(&len), step: Dims::from_slice(&step) })
    };
    let dot = |lb: &[usize], rb: &[usize], lc: &[usize], rc: &[usize]| {
        Op::from(Dot { lhs_batch: dims(lb), rhs_batch: dims(rb), lhs_contract: dims(lc), rhs_contract: dims(rc) })
    };
    let pad = |low: &[usize]| Op::from(Pad { low: dims(low), high: dims(&[0, 0]), interior: dims(&[0, 0]), value: 0 });
    let transpose = |permutation: &[usize]| Op::from(Transpose { permutation: dims(permutation) });
    let broadcast = |shape: &[usize], axes: &[usize]| Op::from(Broadcast { shape: shape.into(), axes: dims(axes) });
    let reshape = |shape: &[usize]| Op::from(Reshape { shape: shape.into() });
    let scatter = |batch, combine| Op::from(Scatter { batch, combine });
    let arg_reduce = |axis| Op::from(ArgReduce { extremum: Extremum::Max, axis });
    let windows = |axes: &[usize], sizes: &[usize], strides: &[usize], dilations: &[usize]| Windows {
        axes: dims(axes),
        sizes: dims(sizes),
        strides: dims(strides),
        dilations: dims(dilations),
    };
    let window = |axes: &[usize], sizes: &[usize], strides: &[usize], dilations: &[usize]| {
        Op::from(Window { windows: windows(axes, sizes, strides, dilations) })
    };
    let unwindow = |size, stride, low: &[usize], extents: &[usize]| {
        let windows = windows(&[1], &[size], &[stride], &[1]);
        Op::from(Unwindow { windows, low: dims(low), extents: dims(extents) })
    };
    let (index, huge) = (i32([4]), f32([1 << 40, 1 << 40]));
    vec![
        (add.clone(), vec![x.clone()], "Arity"),
        (add.clone(), vec![x.clone(), x.clone(), x.clone()], "Arity"),
        (Concat { axis: 0 }.into(), vec![], "Arity"),
        (reshape(&[6]), vec![], "Arity"),
        (add.clone(), vec![x.clone(), f64([2, 3])], "DType"),
        (add.clone(), vec![bool([2]), bool([2])], "DType"),
        (add, vec![x.clone(), f32([3, 2])], "Shape"),
        (reduce(Reduction::Sum, &[2]), vec![x.clone()], "Axis"),
        (reduce(Reduction::Sum, &[1, 0]), vec![x.clone()], "AxisOrder"),
        (reduce(Reduction::Sum, &[0, 0]), vec![x.clone()], "AxisOrder"),
        (reduce(Reduction::Max, &[0]), vec![f32([0, 3])], "EmptyReduction"),
        (reduce(Reduction::Prod, &[0]), vec![bool([2])], "DType"),
        (arg_reduce(0), vec![f32([0, 3])], "EmptyReduction"),
        (arg_reduce(2), vec![x.clone()], "Axis"),
        (transpose(&[0]), vec![x.clone()], "Permutation"),
        (transpose(&[1, 1]), vec![x.clone()], "Permutation"),
        (transpose(&[0, 2]), vec![x.clone()], "Permutation"),
        (reshape(&[4]), vec![x.clone()], "Reshape"),
        (reshape(&[usize::MAX, 2]), vec![x.clone()], "Reshape"),
        (broadcast(&[2, 3, 4], &[3]), vec![x.clone()], "Axis"),
        (broadcast(&[2, 3, 4], &[0]), vec![x.clone()], "Shape"),
        (broadcast(&[2, 3, 1 << 62], &[2]), vec![x.clone()], "TooLarge"),
        (slice([0, 0], [3, 3], [1, 1]), vec![x.clone()], "Slice"),
        (slice([0, 0], [2, 3], [-1, 1]), vec![x.clone()], "Slice"),
        (slice([0, 0], [1, 1], [0, 1]), vec![x.clone()], "Slice"),
        (slice([3, 0], [0, 3], [1, 1]), vec![x.clone()], "Slice"),
        (slice([1, 0], [2, 3], [isize::MAX, 1]), vec![x.clone()], "Slice"),
        (slice([0, 0], [2, 3], [1, 1]), vec![f32([2])], "AttributeLength"),
        (pad(&[0]), vec![x.clone()], "AttributeLength"),
        (pad(&[usize::MAX, 0]), vec![x.clone()], "TooLarge"),
        (window(&[1], &[4], &[1], &[1]), vec![x.clone()], "Window"),
        (window(&[1], &[2], &[1], &[3]), vec![x.clone()], "Window"),
        (window(&[1], &[2], &[1], &[usize::MAX]), vec![x.clone()], "Window"),
        (window(&[0], &[1], &[1], &[1]), vec![f32([0, 3])], "Window"),
        (window(&[1], &[0], &[1], &[1]), vec![x.clone()], "Other"),
        (window(&[1], &[1], &[0], &[1]), vec![x.clone()], "Other"),
        (window(&[1], &[1], &[1], &[0]), vec![x.clone()], "Other"),
        (window(&[1, 0], &[1, 1], &[1, 1], &[1, 1]), vec![x.clone()], "AxisOrder"),
        (window(&[2], &[1], &[1], &[1]), vec![x.clone()], "Axis"),
        (window(&[1], &[1, 1], &[1], &[1]), vec![x.clone()], "AttributeLength"),
        (window(&[1], &[1], &[1], &[]), vec![x.clone()], "AttributeLength"),
        (window(&[1], &[2], &[1], &[1]), vec![], "Arity"),
        (unwindow(2, 1, &[0], &[4]), vec![f32([2, 3, 4])], "Shape"),
        (unwindow(4, 1, &[0], &[4]), vec![bool([2, 3, 4])], "DType"),
        (unwindow(4, 1, &[0, 0], &[4]), vec![f32([2, 3, 4])], "AttributeLength"),
        (unwindow(4, 1, &[0], &[]), vec![f32([2, 3, 4])], "AttributeLength"),
        (unwindow(4, 1, &[0], &[4]), vec![f32([4])], "Axis"),
        (unwindow(4, usize::MAX, &[0], &[4]), vec![f32([2, 3, 4])], "TooLarge"),
        (unwindow(4, 1, &[usize::MAX], &[4]), vec![f32([2, 3, 4])], "TooLarge"),
        (unwindow(4, 1, &[0], &[usize::MAX]), vec![f32([2, 3, 4])], "TooLarge"),
        (dot(&[], &[], &[1], &[0]), vec![x.clone(), f32([4, 2])], "Contraction"),
        (dot(&[0], &[], &[1], &[0]), vec![x.clone(), f32([3, 2])], "AttributeLength"),
        (dot(&[0], &[1], &[0], &[0]), vec![x.clone(), f32([2, 2])], "AxisOrder"),
        (dot(&[], &[], &[2], &[0]), vec![x.clone(), f32([3, 2])], "Axis"),
        (dot(&[], &[], &[1], &[0]), vec![bool([2, 3]), bool([3, 2])], "DType"),
        (dot(&[], &[], &[], &[]), vec![f32([1 << 31]), f32([1 << 31])], "TooLarge"),
        (Concat { axis: 0 }.into(), vec![x.clone(), f32([2, 4])], "Shape"),
        (Concat { axis: 0 }.into(), vec![x.clone(), f32([2])], "Shape"),
        (Concat { axis: 0 }.into(), vec![x.clone(), i32([2, 3])], "DType"),
        (Concat { axis: 2 }.into(), vec![x.clone()], "Axis"),
        (Gather::new(0).into(), vec![x.clone(), f32([4])], "DType"),
        (Gather::new(2).into(), vec![x.clone(), index.clone()], "Axis"),
        (Gather::new(1).into(), vec![x.clone(), index.clone()], "Shape"),
        (Gather::new(1).into(), vec![x.clone(), i32([])], "Shape"),
        (scatter(0, Combine::Add), vec![x.clone(), index.clone(), f32([4, 2])], "Shape"),
        (scatter(0, Combine::Set), vec![x.clone(), index.clone(), f64([4, 3])], "DType"),
        (scatter(0, Combine::Add), vec![bool([2]), index.clone(), bool([4])], "DType"),
        (scatter(0, Combine::Set), vec![f32([]), index, f32([4])], "Axis"),
        (Iota { ty: bool([2]), axis: 0 }.into(), vec![], "Other"),
        (Iota { ty: i32([2]), axis: 1 }.into(), vec![], "Axis"),
        (Input { name: "huge".into(), ty: huge }.into(), vec![], "TooLarge"),
        (Input { name: "x0".into(), ty: x.clone() }.into(), vec![x], "Arity"),
    ]
}

#[test]
fn every_kind_of_error_fires_and_leaves_the_graph_as_it_was() {
    let mut fired: BTreeSet<&str> = BTreeSet::new();
    let count = refused().len();
    for (op, operands, expected) in refused() {
        let mut graph = cotangent::Graph::new();
        let mut ids = Vec::new();
        for (i, ty) in operands.iter().enumerate() {
            let name = format!("x{i}").into();
            let input = Input { name, ty: ty.clone() };
            ids.push(graph.push(input, &[], Origin::default()).unwrap());
        }
        let error: OpError = graph.push(op.clone(), &ids, Origin::default()).unwrap_err();
        assert_eq!(kind_name(&error.kind), expected, "{op:?}: {error}");
        assert_eq!(error.op, op.name());
        assert!(error.to_string().starts_with(op.name()), "{error}");
        assert_eq!(graph.len(), operands.len(), "a refused operation leaves no node");
        fired.insert(expected);
    }
    // Names are the graph's, numbers and broadcasting the builder's concern.
    let mut graph = cotangent::Graph::new();
    let input = |name: &str| Input { name: name.into(), ty: f32([2]) };
    graph.push(input("x"), &[], Origin::default()).unwrap();
    let error = graph.push(input("x"), &[], Origin::default()).unwrap_err();
    fired.insert(kind_name(&error.kind));
    assert_eq!(error.to_string(), "input: there is an input or parameter called `x` already");
    let g = Builder::new();
    refuses!(g.full(i32([]), 0.5), "the number 0.5 is not an element of type i32");
    let (two, three) = (g.zeros(f32([2])), g.zeros(f32([3])));
    refuses!(two + three, "shapes [2] and [3] do not broadcast");
    fired.extend(["Number", "Broadcast"]);
    let all = [
        "Arity",
        "AttributeLength",
        "Axis",
        "AxisOrder",
        "Broadcast",
        "Contraction",
        "DType",
        "DuplicateName",
        "EmptyReduction",
        "Number",
        "Other",
        "Permutation",
        "Reshape",
        "Shape",
        "Slice",
        "TooLarge",
        "Window",
    ];
    assert_eq!(fired.into_iter().collect::<Vec<_>>(), all);
    println!("{count} refused operations, {} kinds of error", all.len());
}

#[test]
fn every_graph_error_fires() {
    let g = Builder::new();
    let (x, w) = (g.input("x", f32([2])), g.param("w", init::zeros([2])));
    let sum = x.sum();
    let mut graph = g.program(&[("x", x)]).graph;
    let name = || "w".into();
    assert_eq!(graph.add_output("x", sum.id()), Err(GraphError::DuplicateOutput { name: "x".into() }));
    assert_eq!(graph.add_update(x.id(), x.id()), Err(GraphError::UpdateOfNonParam { node: x.id() }));
    let (param, value) = (w.ty(), sum.ty());
    assert_eq!(graph.add_update(w.id(), sum.id()), Err(GraphError::UpdateType { name: name(), param, value }));
    assert_eq!(graph.add_update(w.id(), x.id()), Ok(()));
    assert_eq!(graph.add_update(w.id(), x.id()), Err(GraphError::DuplicateUpdate { name: name() }));
}
