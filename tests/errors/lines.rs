//! Nodes know the line that asked for them.

use cotangent::prelude::*;

/// Whatever method made a node, its source is the line that called the method.
#[test]
fn every_node_knows_the_line_that_asked_for_it() {
    let g = Builder::new();
    let (x, w, v) = (g.input("x", f32([2, 3])), g.param("w", init::he([3, 4], 0)), g.input("v", f32([3])));
    let (i, t) = (g.input("i", i32([2])), g.input("t", bool([2, 1])));
    let batched = g.input("batched", f32([5, 3, 4]));
    let (images, kernel) = (g.input("images", f32([2, 4, 4, 4])), g.param("kernel", init::he([4, 2, 3, 3], 0)));
    let mut known = g.graph().len();
    macro_rules! here {
        ($e:expr) => {{
            let line = line!();
            let _ = $e;
            let graph = g.graph();
            let what = stringify!($e);
            assert!(graph.len() > known, "{what} makes nodes");
            for id in graph.ids().skip(known) {
                let (origin, op) = (&graph.node(id).origin, graph.op(id).name());
                assert_eq!(origin.source.file_line(), Some(("lines.rs", line)), "{what}: {id} = {op}");
            }
            known = graph.len();
        }};
    }
    here!(g.input("y", f32([2])));
    here!(g.state("s", init::zeros([2])));
    here!(g.constant(Array::scalar(1.0f32)));
    here!(g.full(f32([2, 3]), 1.0));
    here!(g.iota(i64([4]), 0));
    here!(x + v);
    here!(v * x);
    here!(2.0 * x);
    here!(x / 3);
    here!(-x);
    here!(x.maximum(v));
    here!(x.minimum(0.5));
    here!(x.pow(2.0));
    here!(x.lt(v));
    here!(t.select(x, v));
    here!(t.select(x, 0.0));
    here!(t & !t);
    here!(x.cast(DType::F64));
    here!(x.square());
    here!(v.broadcast_to([2, 3]));
    here!(x.reshape([6]));
    here!(x.t());
    here!(x.transpose([1, 0]));
    here!(x.expand(-1));
    here!(x.slice(0, 0..1).squeeze(0));
    here!(x.slice_step(1, 0..3, -2));
    here!(x.flip([0, 1]));
    here!(x.pad(&[(1, 0), (0, 1)], 0.0));
    here!(g.concat(&[x, x], 0));
    here!(g.stack(&[x, x], 1));
    here!(x.dot(w));
    here!(v.dot(w));
    here!(x.dot(batched));
    here!(v.dot(batched));
    here!(x.contract(x, &[(0, 0)], &[]));
    here!(x.take(i, 1));
    here!(x.pick(i));
    here!(x.scatter_add(i, x));
    here!(x.scatter_set(i, x));
    here!(i.one_hot(3, DType::F32));
    here!(x.sum());
    here!(x.prod_over(0));
    here!(x.max_keep(-1));
    here!(x.mean());
    here!(x.mean_keep([0, 1]));
    here!(x.variance_over(0, 0));
    here!(x.argmax(0));
    here!(x.relu());
    here!(x.gelu());
    here!(x.gelu_tanh());
    here!(x.softmax(1));
    here!(x.log_softmax(1));
    here!(x.logsumexp_over([0, 1]));
    here!(x.layer_norm(1e-5));
    here!(images.unfold(2, 2, 1));
    here!(images.conv(kernel, &Conv::new().padding(Padding::Same).groups(2)));
    here!(images.conv_transpose(kernel, &Conv::new().strides(2).groups(2)));
    here!(images.max_pool(&Pool::new(2).padding(1)));
    here!(images.avg_pool(&Pool::new(2).padding(1).count_include_pad(false)));
    here!(images.lp_pool(2.0, &Pool::new(2)));
    here!(images.global_max_pool(Layout::ChannelsFirst));
    here!(images.global_avg_pool(Layout::ChannelsLast));
    here!(images.adaptive_avg_pool(3, Layout::ChannelsFirst));
    here!(images.resize([8, 7], Interpolation::Nearest, Layout::ChannelsFirst));
    here!(images.resize([7, 3], Interpolation::Linear, Layout::ChannelsFirst));
    here!(x.linear(w, w.sum_over(0)));
    here!(x.cross_entropy(i));
    here!(x.mse(x));
    here!(x.bce_with_logits(x));
    here!(x.layer_norm_over([0, 1], 1e-5));
    here!(x.rms_norm(0, 1e-5));
    here!(x.group_norm(3, 1e-5));
    here!(batched.instance_norm(1e-5));
    here!(x.local_response_norm(2, 1.0, 0.5, 1.0));
    here!(x.affine(v, v, 1));
    here!(BatchNorm::new(&g, "norm", f32([3]), 1).train(x));
    here!(BatchNorm::new(&g, "norm2", f32([3]), 1).infer(x));
    here!(x.attention(x, x, Attention::new().causal().mask(x.dot(x.t()))));
    here!(x.softmax_where(t, -1));
    here!(w.rotary(1e4));
    here!(x.cross_entropy_with(i, CrossEntropy::new().ignore_index(0).label_smoothing(0.1).class_weights(v)));
    here!(x.cross_entropy_soft(x, CrossEntropy::new()));
    here!(x.nll(i));
    here!(x.multi_margin(i, 2, 1.0));
    here!(x.huber(x, 1.0));
    here!(x.smooth_l1(x, 1.0));
    here!(x.bce(x));
    here!(x.bce_with_logits_weighted(x, v));
    here!(x.kl_div(x));
    here!(x.hinge(x));
    here!(x.poisson_nll(x));
    here!(x.gaussian_nll(x, x, 1e-6));
    here!(x.xlogy(v));
    here!(x.cosine_similarity(x, 1, 1e-8));
    here!(x.cosine_loss(x, x.sum_over(1), 0.0));
    here!(x.triplet_margin(x, x, 1.0));
    assert!(known > 150, "{known} nodes");
    // Gradients keep the lines of what they differentiate.
    let loss = x.dot(w).relu().sum();
    let line = line!() - 1;
    let known = g.graph().len();
    let [_dw] = g.grad(loss, [w]);
    let graph = g.graph();
    for id in graph.ids().skip(known) {
        assert_eq!(graph.node(id).origin.source.file_line(), Some(("lines.rs", line)));
        assert!(graph.node(id).origin.vjp.is_some(), "{}", graph.node(id).origin);
    }
    println!("{} nodes", graph.len());
}
