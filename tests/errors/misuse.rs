//! Calls that do not fit: the panic is at the caller's line and names the operation, the operands and where they were built.

use cotangent::build::TriangularOptions;
use cotangent::data::Examples;
use cotangent::prelude::*;
use cotangent::prim::Cast;
use cotangent::train::{Adagrad, Lbfgs, Lion, OneCycle, RmsProp, Task, Trainer};

#[test]
fn batches_that_do_not_fit_are_refused() {
    let g = Builder::new();
    let (x, y) = (g.input("x", f32([2, 3])), g.input("y", f32([4, 3])));
    let built = format!("misuse.rs:{}", line!() - 1);
    refuses!(g.vmap([x, y], |[x, y]| [x + y]), "vmap(f32[2, 3], f32[4, 3])", "2 examples of one and 4", &built);
    refuses!(x.sum().vmap(|x| x), "vmap(f32[])", "axis 0", "rank 0");
    refuses!(g.vmap_axes(&[(x, Some(2))], &[0], |x| x.to_vec()), "vmap", "axis 2", "rank 2", &built);
    refuses!(g.vmap_axes(&[(x, Some(0))], &[2], |x| x.to_vec()), "vmap", "axis 2", "rank 2");
    refuses!(g.vmap_axes(&[(x, None)], &[0], |x| x.to_vec()), "vmap: no input has examples");
    refuses!(g.vmap_axes(&[(x, Some(0))], &[], |x| x.to_vec()), "vmap", "1 result(s)", "axes for 0");
}

#[test]
fn a_message_names_the_operation_the_shapes_and_where_the_operands_were_built() {
    let g = Builder::new();
    let a = g.input("a", f32([2, 3])).exp();
    let built_a = format!("misuse.rs:{}", line!() - 1);
    let b = g.param("b", init::zeros([4, 5]));
    let built_b = format!("misuse.rs:{}", line!() - 1);
    let message = refuses!(a.dot(b), "dot", "f32[2, 3]", "f32[4, 5]", &built_a, &built_b);
    assert_eq!(
        message,
        format!(
            "dot(f32[2, 3], f32[4, 5]): axis 1 of the left operand has extent 3, axis 0 of the right 4\n  \
             operand 0: exp : f32[2, 3], built at {built_a}\n  \
             operand 1: param \"b\" : f32[4, 5], built at {built_b}"
        )
    );
    println!("{message}");
}

#[test]
fn a_mistake_inside_a_composite_is_told_as_one_of_the_composite() {
    let g = Builder::new();
    let logits = g.input("logits", f32([2, 3])).softmax(-1);
    let built = format!("misuse.rs:{}", line!() - 1);
    let labels = g.input("labels", i32([2, 1]));
    let declared = format!("misuse.rs:{}", line!() - 1);
    let message = refuses!(logits.cross_entropy(labels), "cross_entropy");
    assert_eq!(
        message,
        format!(
            "cross_entropy(f32[2, 3], i32[2, 1]): operand 1 has shape [2, 1], expected [2]\n  \
             operand 0: div of softmax : f32[2, 3], built at {built}\n  \
             operand 1: input \"labels\" : i32[2, 1], built at {declared}"
        )
    );
    // The scope is closed by the panic: the next mistake is told by itself.
    let message = refuses!(logits.dot(logits), "dot(f32[2, 3], f32[2, 3]): axis 1");
    assert!(!message.contains("cross_entropy"));
    // Origins tell the composite, and those inside it.
    let loss = logits.cross_entropy(g.zeros(i32([2])));
    logits.cross_entropy_with(g.zeros(i32([2])), CrossEntropy::new());
    let graph = g.graph();
    let composite = |id: cotangent::NodeId| graph.node(id).origin.composite.as_deref();
    assert_eq!(composite(loss.id()), Some("cross_entropy"));
    assert!(graph.ids().any(|id| composite(id) == Some("cross_entropy_with/log_softmax")));
    assert_eq!(composite(labels.id()), None);
    let text = graph.to_string();
    assert!(text.contains(" in(cross_entropy_with/log_softmax)\n"), "{text}");
    assert_eq!(cotangent::graph::parse(&text).unwrap().to_string(), text);
}

#[test]
fn arithmetic_that_does_not_fit() {
    let g = Builder::new();
    let (a, b) = (g.input("a", f32([2, 3])), g.input("b", f32([2, 4])));
    let (d, i, t) = (g.input("d", f64([2, 3])), g.input("i", i32([2])), g.input("t", bool([2, 3])));
    refuses!(a + b, "add(f32[2, 3], f32[2, 4])", "do not broadcast", "3 and 4");
    refuses!(a - d, "sub", "operand 1 is f64, expected f32");
    refuses!(a * i, "mul", "do not broadcast");
    refuses!(a.slice(1, 0..2) / i, "div", "operand 1 is i32, expected f32");
    refuses!(a % t, "rem", "operand 1 is bool");
    refuses!(a & t, "and", "operand 0 is f32, expected bool or an integer type");
    refuses!(t | a, "or", "operand 1 is f32, expected bool");
    refuses!(t ^ a, "xor", "expected bool");
    refuses!(!a, "not", "f32[2, 3]");
    refuses!(-t, "neg", "a number type");
    refuses!(i.exp(), "exp(i32[2])", "a float type");
    refuses!(t.pow(t), "pow", "a number type");
    refuses!(a << a, "shl", "an integer type");
    refuses!(i >> 0.5, "0.5", "i32");
    refuses!(a.maximum(b), "max", "broadcast");
    refuses!(a.lt(d), "lt", "f64");
    refuses!(a.select(a, a), "select", "operand 0 is f32, expected bool");
    refuses!(t.select(a, d), "select", "operand 2 is f64, expected f32");
    refuses!(t.select(a, b), "select", "broadcast");
    refuses!(i + 1.5, "1.5", "i32");
    refuses!(1.5 * i, "1.5", "i32");
    refuses!(i.maximum(3e9), "3000000000", "i32");
    refuses!(g.full(i64([2]), 0.5), "0.5", "i64");
    refuses!(g.full(bool([2]), 2.0), "2", "bool");
    refuses!(a.broadcast_to([3, 2]), "broadcast(f32[2, 3])", "[3, 2]");
    refuses!(a.broadcast_to([3]), "broadcast", "does not broadcast");
}

#[test]
fn movement_that_does_not_fit() {
    let g = Builder::new();
    let (a, b) = (g.input("a", f32([2, 3])), g.input("b", f32([4])));
    let (i, s) = (g.input("i", i32([2])), g.input("s", f32([])));
    refuses!(a.reshape([4]), "reshape(f32[2, 3])", "6 elements", "4 elements");
    refuses!(a.reshape([1 << 40, 1 << 40]), "too many");
    refuses!(a.transpose([0]), "transpose", "[0] is not a permutation");
    refuses!(a.transpose([0, 0]), "transpose", "axes [0, 0] of rank 2 are not distinct: axis 0 is given twice");
    refuses!(a.transpose([1, -1]), "transpose", "axes [1, -1] of rank 2 are not distinct: axis 1 is given twice");
    refuses!(a.flip([0, 0]), "flip", "axis 0 is given twice");
    refuses!(a.expand_dims([0, -4]), "expand_dims", "axes [0, -4] of rank 4 are not distinct: axis 0 is given twice");
    refuses!(a.diagonal(0, 1, -1), "diagonal", "axes [1, -1] of rank 2 are not distinct: axis 1 is given twice");
    refuses!(a.expand(0).squeeze([0, -3]), "squeeze", "axis 0 is given twice");
    refuses!(a.transpose([0, 2]), "transpose", "axis 2", "rank 2");
    refuses!(b.t(), "t(f32[4])", "axis -2", "rank 1");
    refuses!(a.expand(4), "expand", "axis 4");
    refuses!(a.expand(-4), "expand", "axis -4");
    refuses!(a.squeeze(0), "squeeze(f32[2, 3])", "extent 2, not 1");
    refuses!(a.slice(0, 1..3), "slice", "1..3", "extent 2");
    refuses!(a.slice(2, 0..1), "slice", "axis 2");
    refuses!(a.slice_step(1, 0..3, 0), "slice", "step 0");
    refuses!(a.flip(3), "flip", "axis 3");
    refuses!(a.pad(&[(1, 1)], 0.0), "pad", "1 entries, expected 2");
    refuses!(g.concat(&[a, b], 0), "concat(f32[2, 3], f32[4])");
    refuses!(g.concat(&[a, i], 0), "concat", "operand 1 is i32");
    refuses!(g.concat(&[a, a], 2), "concat", "axis 2");
    refuses!(g.concat(&[], 0), "concat", "at least one");
    refuses!(g.stack(&[a, b], 0), "stack(f32[2, 3], f32[4])", "operand 1");
    refuses!(g.stack(&[a, a], 3), "stack", "axis 3", "rank 3");
    refuses!(g.stack(&[a, a], -5), "stack", "axis -5", "rank 3");
    refuses!(g.stack(&[], 0), "stack", "at least one");
    refuses!(s.dot(a), "dot", "scalar");
    refuses!(a.dot(b), "dot", "extent 3", "4");
    refuses!(a.dot(g.zeros(f32([5, 3, 3])).slice(1, 0..2)), "dot", "extent 3");
    refuses!(g.zeros(f32([4, 2, 3])).dot(g.zeros(f32([5, 3, 2]))), "dot", "broadcast");
    refuses!(a.contract(a, &[(0, 1)], &[]), "contract(f32[2, 3], f32[2, 3])", "extent 2", "3");
    refuses!(a.contract(a, &[(0, 0), (0, 0)], &[]), "contract", "not distinct");
    refuses!(a.contract(a, &[(0, 0)], &[(2, 2)]), "contract", "axis 2");
    refuses!(a.take(b, 0), "take(f32[2, 3], f32[4])", "operand 1 is f32, expected an integer type");
    refuses!(a.take(i, 2), "take", "axis 2");
    refuses!(a.pick(g.iota(i32([3]), 0)), "pick", "shape [3], expected [2]");
    refuses!(b.scatter_add(i, b), "scatter_add", "operand 2 has shape [4], expected [2]");
    refuses!(b.scatter_set(i, i), "scatter_set", "operand 2 is i32, expected f32");
    refuses!(b.one_hot(3, DType::F32), "one_hot", "an integer type");
    refuses!(g.iota(i32([2]), 1), "iota", "axis 1");
    refuses!(g.iota(bool([2]), 0), "iota", "bool");
}

#[test]
fn reductions_and_composites_that_do_not_fit() {
    let g = Builder::new();
    let (a, i) = (g.input("a", f32([2, 3])), g.input("i", i32([2])));
    let (t, empty) = (g.input("t", bool([2])), g.input("e", f32([0, 3])));
    refuses!(a.sum_over(2), "sum", "axis 2", "rank 2");
    refuses!(a.sum_over(-3), "sum", "axis -3");
    refuses!(a.max_keep([0, 0]), "max(f32[2, 3])", "not distinct");
    refuses!(a.sum_over([1, -1]), "sum(f32[2, 3]): axes [1, -1] of rank 2 are not distinct: axis 1 is given twice");
    refuses!(a.mean_keep([1, 0, 1]), "mean(f32[2, 3])", "axis 1 is given twice", "misuse.rs");
    refuses!(t.sum(), "sum(bool[2])", "a number type");
    refuses!(empty.max(), "max(f32[0, 3])", "no elements");
    refuses!(empty.min_over(0), "min", "[0, 3]");
    refuses!(empty.argmax(0), "argmax(f32[0, 3])", "no elements");
    refuses!(a.argmin(2), "argmin", "axis 2");
    refuses!(i.mean(), "mean(i32[2])", "a float type");
    refuses!(i.softmax(0), "softmax(i32[2]): operand 0", "a float type");
    refuses!(a.softmax(2), "softmax(f32[2, 3])", "axis 2");
    refuses!(a.logsumexp_over([0, 5]), "logsumexp(f32[2, 3])", "axis 5");
    refuses!(empty.softmax(0), "softmax(f32[0, 3])", "no elements");
    refuses!(a.layer_norm(1e-5).dot(a), "dot");
    refuses!(a.cross_entropy(i.expand(1)), "cross_entropy(f32[2, 3], i32[2, 1])", "expected [2]");
    refuses!(a.cross_entropy(g.zeros(f32([2]))), "cross_entropy(f32[2, 3], f32[2])", "operand 1 is f32");
    refuses!(a.mse(a.t()), "mse(f32[2, 3], f32[3, 2])", "operand 1");
    refuses!(a.bce_with_logits(i), "bce_with_logits(f32[2, 3], i32[2])", "operand 1");
    refuses!(a.linear(a, a), "linear(f32[2, 3], f32[2, 3], f32[2, 3]): dot(f32[2, 3], f32[2, 3])");
    refuses!(a.variance_over(7, 0), "variance(f32[2, 3])", "axis 7");
}

#[test]
fn einsums_that_do_not_fit() {
    let g = Builder::new();
    let (x, y, v) = (g.input("x", f32([2, 3])), g.input("y", f32([4, 3])), g.input("v", i32([3])));
    refuses!(g.einsum("ij,jk->ik", &[x, y]), "einsum(f32[2, 3], f32[4, 3])", "`ij,jk->ik`", "index `j` has extent 3");
    refuses!(g.einsum("ij,jk->ik", &[x, y]), "but 4 in operand 1, whose shape is [4, 3]", "operand 1: input");
    refuses!(g.einsum("ij,j&->i", &[x, y]), "unexpected `&` at position 4");
    refuses!(g.einsum("i.j->i", &[x]), "unexpected `.` at position 1");
    refuses!(g.einsum("...i...->i", &[x]), "a second ellipsis at position 4");
    refuses!(g.einsum("ij->ij", &[x, y]), "names 1 operands, 2 are given");
    refuses!(g.einsum("ij,i->j", &[x, y]), "operand 1 at position 3 has 1 axes, its shape is [4, 3]");
    refuses!(g.einsum("ii->i", &[x]), "index `i` has extent 2, but 3 in operand 0");
    refuses!(g.einsum("ij->k", &[x]), "`k` at position 4 of the result is in no operand");
    refuses!(g.einsum("ij->ii", &[x]), "`i` at position 5 is twice in the result");
    refuses!(g.einsum("...j->j", &[x]), "no ellipsis for the 1 axes");
    refuses!(g.einsum("ij,j->i", &[x, v]), "operand 1 is i32, expected f32");
    assert!(g.try_einsum("", &[]).is_err());
}

#[test]
fn linear_algebra_that_does_not_fit() {
    let g = Builder::new();
    let (x, a, i) = (g.input("x", f32([2, 3])), g.input("a", f32([3, 3])), g.input("i", i32([3, 3])));
    let options = TriangularOptions::default();
    refuses!(x.cholesky(), "cholesky(f32[2, 3])", "not one of square matrices");
    refuses!(i.cholesky(), "cholesky(i32[3, 3])", "expected a float type");
    refuses!(x.det(), "det(f32[2, 3])", "not one of square matrices");
    refuses!(x.inverse(), "inverse(f32[2, 3])", "not one of square matrices");
    refuses!(a.solve(x), "solve(f32[3, 3], f32[2, 3])", "have 3 rows, the right side has 2");
    refuses!(a.triangular_solve(x, options), "triangular_solve(f32[3, 3], f32[2, 3])", "right side has 2");
    refuses!(a.cumsum(2), "cumsum(f32[3, 3])", "axis 2");
    refuses!(a.recurrence(x, 0, false), "recurrence(f32[2, 3], f32[3, 3])", "has shape [3, 3], expected [2, 3]");
}

#[test]
fn sorting_that_does_not_fit() {
    let g = Builder::new();
    let (x, i) = (g.input("x", f32([2, 3])), g.input("i", i32([2, 3])));
    refuses!(x.argsort(2, false), "argsort(f32[2, 3])", "axis 2", "rank 2");
    refuses!(x.sort(-3, true), "sort(f32[2, 3])", "axis -3");
    refuses!(x.top_k(4, 1), "top_k(f32[2, 3])", "no 4 largest of the 3 elements of axis 1");
    refuses!(i.median(1), "median(i32[2, 3])", "expected a float type");
    refuses!(x.quantile(1.5, 0), "quantile(f32[2, 3])", "the quantile 1.5 of 2 elements");
}

#[test]
fn normalization_attention_and_losses_that_do_not_fit() {
    let g = Builder::new();
    let (a, v, i) = (g.input("a", f32([2, 6])), g.input("v", f32([6])), g.input("i", i32([2])));
    let (q, k) = (g.input("q", f32([4, 3, 2])), g.input("k", f32([3, 5, 2])));
    refuses!(v.group_norm(2, 1e-5), "group_norm(f32[6])", "axis 1");
    refuses!(a.group_norm(4, 1e-5), "group_norm(f32[2, 6])", "4 groups do not divide 6 channels");
    refuses!(a.group_norm(0, 1e-5), "0 groups");
    refuses!(a.instance_norm(1e-5), "instance_norm(f32[2, 6])", "axis 2");
    refuses!(a.layer_norm_over([1, 1], 1e-5), "layer_norm_over(f32[2, 6])", "not distinct");
    refuses!(i.rms_norm(0, 1e-5), "rms_norm(i32[2])", "a float type");
    refuses!(a.local_response_norm(0, 1.0, 1.0, 1.0), "local_response_norm", "at least one channel");
    refuses!(a.affine(v, v, 0), "affine(f32[2, 6], f32[6], f32[6])", "operand 1 has shape [6], expected [2]");
    let norm = BatchNorm::new(&g, "norm", f32([6]), 1);
    refuses!(norm.train(a.slice(0, 0..1)), "batch_norm(f32[1, 6]", "1 elements has no variance");
    refuses!(norm.train(a.t()), "batch_norm(f32[6, 2]", "has shape [6], expected [2]");
    refuses!(norm.infer(v), "batch_norm(f32[6]", "axis 1");
    refuses!(BatchNorm::new(&g, "norm", f32([6]), 1), "`norm.gain`");
    refuses!(BatchNorm::new(&g, "other", i32([6]), 1), "BatchNorm", "i32[6]");
    let plain = Attention::new();
    refuses!(q.attention(k, k, plain), "attention(f32[4, 3, 2], f32[3, 5, 2], f32[3, 5, 2])", "expected [4, 5, 2]");
    refuses!(q.attention(q.t(), q.t(), plain), "attention", "operand 1 has shape [4, 2, 3], expected [4, 2, 2]");
    refuses!(q.attention(q, k, plain), "attention", "operand 2 has shape [3, 5, 2], expected [4, 3, 2]");
    refuses!(q.attention(a, a, plain), "attention", "one count of axes");
    refuses!(v.attention(v, v, plain), "attention", "two axes");
    let mask = g.zeros(bool([5, 4, 3, 3]));
    refuses!(q.attention(q, q, plain.mask(mask)), "attention(f32[4, 3, 2]", "bool[5, 4, 3, 3]", "does not broadcast");
    refuses!(q.attention(q, q, plain.mask(g.zeros(i32([3, 3])))), "attention", "operand 1 is i32");
    refuses!(a.softmax_where(v, -1), "softmax_where(f32[2, 6], f32[6])", "bool");
    refuses!(a.slice(1, 0..5).rotary(1e4), "rotary(f32[2, 5])", "5 features do not make pairs");
    let options = CrossEntropy::new();
    refuses!(a.cross_entropy_with(v, options), "cross_entropy_with(f32[2, 6], f32[6])", "expected integers");
    let few = g.zeros(f32([2]));
    refuses!(a.cross_entropy_with(i, options.class_weights(few)), "operand 2 has shape [2], expected [6]");
    refuses!(a.cross_entropy_soft(a, options.ignore_index(0)), "cross_entropy_soft", "no labels");
    refuses!(options.label_smoothing(1.5), "label_smoothing", "1.5");
    refuses!(a.nll(i.expand(0)), "nll(f32[2, 6], i32[1, 2])", "expected [2]");
    refuses!(a.multi_margin(i, 3, 1.0), "multi_margin(f32[2, 6], i32[2])", "p is 3");
    refuses!(a.huber(a, 0.0), "huber", "delta is 0");
    refuses!(a.smooth_l1(a, -1.0), "smooth_l1", "beta is -1");
    refuses!(a.kl_div(v), "kl_div(f32[2, 6], f32[6])", "operand 1");
    refuses!(a.cosine_similarity(a, 2, 1e-8), "cosine_similarity", "axis 2");
    refuses!(a.cosine_loss(a, v, 0.0), "cosine_loss(f32[2, 6], f32[2, 6], f32[6])", "expected [2]");
    refuses!(a.triplet_margin(a, v, 0.0), "triplet_margin(f32[2, 6], f32[2, 6], f32[6])", "expected [2, 6]");
}

#[test]
fn windows_that_do_not_fit() {
    let g = Builder::new();
    let x = g.input("x", f32([2, 4, 6, 5]));
    let w = g.param("w", init::zeros([8, 4, 3, 3]));
    let (i, row) = (g.input("i", i32([2, 4, 6, 5])), g.input("row", f32([2, 4])));
    let large = g.param("large", init::zeros([8, 4, 7, 3]));
    let one = Conv::new();
    refuses!(x.conv(large, &one), "conv(f32[2, 4, 6, 5], f32[8, 4, 7, 3])", "axis 2 of extent 6", "misuse.rs");
    refuses!(x.conv(w, &Conv::new().dilation(3)), "spans 7", "axis 2 of extent 6");
    refuses!(x.conv(w, &Conv::new().strides([1, 2, 3])), "3 strides given for 2 spatial axes");
    refuses!(x.conv(w, &Conv::new().strides(0)), "a stride of 0");
    refuses!(x.conv(w, &Conv::new().dilation([1, 0])), "a dilation of 0");
    refuses!(x.conv(w, &Conv::new().padding([1])), "1 padding widths given for 2");
    refuses!(x.conv(w, &Conv::new().padding([(1, 1)])), "1 pairs of padding widths given for 2");
    refuses!(x.conv(w, &Conv::new().groups(3)), "4 channels do not fall into 3 groups");
    refuses!(x.conv(w, &Conv::new().groups(0)), "0 groups");
    refuses!(x.conv(w, &Conv::new().groups(2)), "4 channels of the operand, expected 2");
    refuses!(x.conv(w, &Conv::new().channels_last()), "conv");
    refuses!(x.conv(w, &Conv::new().output_padding(1)), "transposed");
    refuses!(x.conv(w.sum_over(3), &one), "the weight has 3 axes, the operand 4", "[examples, channels, length]");
    let example = g.input("example", f32([4, 6, 5]));
    let (types, expected) = ("conv(f32[4, 6, 5], f32[8, 4, 3, 3])", "expected as [examples, channels, height, width]");
    refuses!(example.conv(w, &one), types, "the operand 3", expected, "a single example gets the first axis");
    assert_eq!(example.expand(0).conv(w, &one).shape()[..], [1, 8, 4, 3]);
    let expected = "expected as [examples, height, width, channels]";
    refuses!(example.conv(w, &Conv::new().channels_last()), "the weight has 4 axes, the operand 3", expected);
    refuses!(example.conv_transpose(w, &one), "conv_transpose", "[examples, channels, height, width]");
    refuses!(x.conv(w.cast(DType::F64), &one), "operand 1 is f64");
    refuses!(i.conv(i, &one), "operand 0 is i32");
    refuses!(row.conv(row, &one), "at least one more");
    refuses!(x.conv_transpose(w, &one), "conv_transpose(", "8 channels of the operand, expected 4");
    refuses!(x.conv_transpose(w.transpose([1, 0, 2, 3]), &Conv::new().padding(4)), "leaves nothing of 7 elements");
    refuses!(x.max_pool(&Pool::new(7)), "max_pool(f32[2, 4, 6, 5])", "spans 7", "axis 2 of extent 6");
    refuses!(x.max_pool(&Pool::new(8).strides(2).ceil_mode(true)), "spans 8", "axis 2 of extent 6");
    refuses!(x.max_pool(&Pool::new(2).padding(2)), "hold nothing else");
    refuses!(x.max_pool(&Pool::new([2, 0])), "a window of 0");
    refuses!(x.avg_pool(&Pool::new([2, 2]).strides([1])), "1 strides given for 2");
    refuses!(i.avg_pool(&Pool::new(2)), "avg_pool", "expected a float type");
    refuses!(x.lp_pool(0.5, &Pool::new(2)), "lp_pool", "0.5");
    refuses!(row.global_max_pool(Layout::ChannelsFirst), "global_max_pool", "at least one more");
    refuses!(x.adaptive_avg_pool([1], Layout::ChannelsFirst), "1 sizes given for 2");
    refuses!(x.resize([1], Interpolation::Nearest, Layout::ChannelsFirst), "resize", "1 sizes given for 2");
    refuses!(i.resize([1, 1], Interpolation::Linear, Layout::ChannelsFirst), "resize", "expected a float type");
    let empty = g.zeros(f32([2, 4, 0, 5]));
    refuses!(empty.resize([1, 1], Interpolation::Nearest, Layout::ChannelsFirst), "no elements to make 1 of");
    refuses!(x.unfold(3, 6, 1), "unfold(f32[2, 4, 6, 5])", "spans 6", "axis 3 of extent 5");
    refuses!(x.unfold(4, 1, 1), "axis 4");
    refuses!(x.unfold(0, 1, 0), "unfold", "has a 0");
}

#[test]
fn leaves_and_programs_that_do_not_fit() {
    let g = Builder::new();
    let x = g.input("x", f32([2]));
    let w = g.param("w", init::zeros([2]));
    let built = |back: u32| format!(", built at misuse.rs:{}", line!() - back);
    let (first_x, first_w) = (format!("the first: input \"x\" : f32[2]{}", built(2)), built(1));
    refuses!(g.input("x", f32([3])), "input", "already", "`x`", &first_x);
    refuses!(g.param("x", init::zeros([3])), "param", "`x`", &first_x);
    refuses!(g.state("w", init::zeros([2])), "`w`", "the first: param \"w\" : f32[2]", &first_w);
    refuses!(g.input("huge", f32([1 << 40, 1 << 40])), "too many elements");
    refuses!(x.broadcast_to([1 << 61, 2]), "too many elements");
    refuses!(g.program(&[("a", x), ("a", w)]), "an output called `a`");
    refuses!(g.program_with_updates(&[], &[(w, x), (w, x)]), "`w`", "already");
    let told = "input \"x\" : f32[2], built at misuse.rs:";
    refuses!(g.program_with_updates(&[], &[(x, w)]), told, "is not a parameter or state");
    let step = Sgd::new(0.1).minimize(w.sum()).update(x, w);
    refuses!(step.compile(&Options::default()), told, "is not a parameter or state");
    refuses!(g.program_with_updates(&[], &[(w, x.sum())]), "f32[2]", "f32[]");
}

#[test]
fn names_that_are_taken_inside_of_a_loop() {
    let g = Builder::new();
    let w = g.param("w", init::zeros([2]));
    let first = format!("the first: param \"w\" : f32[2], built at misuse.rs:{}", line!() - 1);
    g.scan(w, g.zeros(f32([3, 2])), |h, x| {
        refuses!(g.param("w", init::zeros([2])), "an input or parameter called `w` already", &first);
        (h + x, ())
    });
}

#[test]
fn loops_that_do_not_fit() {
    let g = Builder::new();
    let (x, short) = (g.input("x", f32([5, 2])), g.input("short", f32([4, 2])));
    let built = format!("built at misuse.rs:{}", line!() - 1);
    let told = format!("sequence 0: input \"x\" : f32[5, 2], {built}");
    let both = format!("{told}\n  sequence 1: input \"short\" : f32[4, 2], {built}");
    let told_both = ["sequence 1 has 4 slices, but sequence 0 has 5", &both];
    refuses!(g.scan((), (x, short), |(), (a, b)| ((), a + b)), told_both[0], told_both[1]);
    let three = Scan::new().trips(3);
    refuses!(g.scan_with(three, (), x, |(), a| ((), a)), "sequence 0 has 5 slices", "the count of trips is 3", &told);
    let up = g.input("up", bool([]));
    let differ = "cond: result 1 is f32[5, 2] in the branch for true and f64[5, 2] in that for false";
    let told = ["true: exp : f32[5, 2], built at misuse.rs", "false: cast : f64[5, 2], built at misuse.rs"];
    refuses!(g.cond(up, || (x, x.exp()), || (x, x.cast(DType::F64))), differ, told[0], told[1]);
    let counts = "cond: the branch for true gives 1 tensors, that for false 2";
    refuses!(g.cond(up, || vec![x.exp()], || vec![x.log(), -x]), counts, "true: exp", "false: log", "false: neg");
}

#[test]
fn numbers_that_no_optimizer_takes() {
    const NAN: f64 = f64::NAN;
    let rate = "the learning rate is a finite number from 0 up, not";
    refuses!(Sgd::new(-0.1), "Sgd: ", rate, "not -0.1");
    refuses!(Sgd::new(NAN), "Sgd: ", rate, "not NaN");
    refuses!(Adam::new(f64::INFINITY), "Adam: ", rate, "not inf");
    refuses!(AdamW::new(-1.0), "AdamW: ", rate);
    refuses!(RmsProp::new(-1.0), "RmsProp: ", rate);
    refuses!(Adagrad::new(-1.0), "Adagrad: ", rate);
    refuses!(Lion::new(-1.0), "Lion: ", rate);
    refuses!(Lbfgs::new(-1.0), "Lbfgs: ", rate);
    refuses!(Rate::adjustable(-1.0), "a learning rate is a finite number from 0 up, not -1");
    refuses!(Schedule::cosine(0.1, -0.1, 10), "a learning rate is a finite number from 0 up, not -0.1");
    refuses!(OneCycle::new(-0.1, 10), "a learning rate is a finite number from 0 up, not -0.1");
    let share = "is a number from 0 up and below 1, not";
    refuses!(Sgd::new(0.1).momentum(1.0), "Sgd: the momentum", share, "not 1");
    refuses!(Sgd::new(0.1).momentum(Rate::adjustable(1.5)), "Sgd: the momentum", share, "not 1.5");
    refuses!(RmsProp::new(0.1).momentum(-0.5), "RmsProp: the momentum", share, "not -0.5");
    refuses!(RmsProp::new(0.1).smoothing(NAN), "RmsProp: the smoothing", share, "not NaN");
    refuses!(Adam::new(0.1).betas(0.9, 1.0), "Adam: the second beta", share, "not 1");
    refuses!(AdamW::new(0.1).betas(NAN, 0.9), "AdamW: the first beta", share, "not NaN");
    refuses!(AdamW::new(0.1).beta1(-0.1), "AdamW: the first beta", share, "not -0.1");
    refuses!(Lion::new(0.1).betas(0.9, -0.1), "Lion: the second beta", share, "not -0.1");
    let number = "is a finite number from 0 up, not";
    refuses!(Sgd::new(0.1).weight_decay(-0.1), "Sgd: the weight decay", number);
    refuses!(Adam::new(0.1).weight_decay(-0.1), "Adam: the weight decay", number);
    refuses!(AdamW::new(0.1).weight_decay(NAN), "AdamW: the weight decay", number);
    refuses!(RmsProp::new(0.1).weight_decay(-0.1), "RmsProp: the weight decay", number);
    refuses!(Adagrad::new(0.1).weight_decay(-0.1), "Adagrad: the weight decay", number);
    refuses!(Lion::new(0.1).weight_decay(-0.1), "Lion: the weight decay", number);
    refuses!(Adam::new(0.1).eps(-1e-8), "Adam: eps", number);
    refuses!(RmsProp::new(0.1).eps(NAN), "RmsProp: eps", number);
    refuses!(Adagrad::new(0.1).eps(-1.0), "Adagrad: eps", number);
    refuses!(Adagrad::new(0.1).rate_decay(-1.0), "Adagrad: the decay of the rate", number);
    refuses!(Adagrad::new(0.1).initial_sum(NAN), "Adagrad: the first sum of squares", number);
    refuses!(Lbfgs::new(0.1).tolerance(NAN), "Lbfgs: the tolerance", number);
    // The ends that are numbers of optimizers.
    let _ = (Sgd::new(0.0).momentum(0.0).weight_decay(0.0), Adam::new(0.0).betas(0.0, 0.0).eps(0.0));
}

#[test]
fn gradients_that_there_are_not() {
    let g = Builder::new();
    let x = g.input("x", f32([2, 3]));
    let y = x.exp();
    let built = format!("exp : f32[2, 3], built at misuse.rs:{}", line!() - 1);
    let i = g.input("i", i32([]));
    refuses!(g.grad(y, [x]), "grad", "of a scalar", "f32[2, 3]", &built);
    refuses!(g.grad(i, [x]), "grad", "i32", "only floats");
    refuses!(g.grad(y.sum(), [i]), "grad", "i32", "input \"i\"");
    refuses!(g.grad_all(y, &[x]), "of a scalar");
    refuses!(g.vjp(&[(y, y.sum())], &[x]), "cotangent", "f32[2, 3]", "f32[]", &built);
    refuses!(g.vjp(&[(i, i)], &[x]), "i32");
    refuses!(g.jvp(&[y], &[(x, y.sum())]), "jvp", "tangent", "f32[2, 3]", "f32[]");
    refuses!(g.jvp(&[y], &[(i, i)]), "jvp", "i32");
    refuses!(g.hvp(y, &[(x, x)]), "scalar", "f32[2, 3]");
    refuses!(g.jacobian(i, x), "jacobian", "i32");
    refuses!(g.hessian(y, x), "scalar", "f32[2, 3]");
}

#[test]
fn tensors_of_two_builders_do_not_mix() {
    let (g, h) = (Builder::new(), Builder::new());
    let a = g.input("a", f32([2, 3]));
    // The other builder has more nodes, so that its numbers mean nothing to the first.
    h.zeros(f64([7]));
    h.zeros(f64([7]));
    let b = h.param("b", init::zeros([2, 3]));
    let built = format!("param \"b\" : f32[2, 3], built at misuse.rs:{}", line!() - 1);
    let other = "belongs to another builder";
    refuses!(a + b, &built, other);
    refuses!(a.dot(b.t()), other);
    refuses!(a.maximum(b.slice(0, 0..1)), other);
    refuses!(a + b.slice(1, 0..2), "broadcast", "slice : f32[2, 2]");
    refuses!(g.concat(&[a, b], 0), &built, other);
    refuses!(g.stack(&[a, b], 0), other);
    refuses!(g.grad(b.sum(), [a]), other);
    refuses!(g.grad(a.sum(), [a, b]), &built, other);
    refuses!(g.vjp(&[(a, b)], &[a]), &built, other);
    refuses!(g.program(&[("b", b)]), &built, other);
    refuses!(g.program_with_updates(&[], &[(b, b)]), &built, other);
    refuses!(g.try_push(Cast { dtype: DType::F64 }, &[b]), &built, other);
}

#[test]
fn a_loss_that_is_no_scalar_is_told_where_training_begins() {
    fn model<'g>(task: &mut Task<'g>) -> Tensor<'g> {
        let x = task.input("x");
        (x - task.builder().param("w", init::zeros([]))).square()
    }
    let examples = Examples::new([("x", Array::from([1.0f32, 2.0]))]).unwrap();
    let mut trainer = Trainer::new(model, |loss| Sgd::new(0.1).minimize(loss));
    refuses!(trainer.fit(&examples), "Trainer: the model gives the loss as a float scalar", "not f32[2]");
    refuses!(trainer.fit_validated(&examples, &examples), "Trainer: the model gives the loss as a float scalar");
}
