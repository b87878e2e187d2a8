//! The graph as JSON, for programs in other languages.
//!
//! ```text
//! { "nodes": [ { "id": 2, "op": "add", "type": "f32[4]", "dtype": "f32", "shape": [4], "operands": [0, 1], "attributes": { "axes": [0] },
//!                "name": "w", "body": { a graph, of loops }, "origin": "mlp.rs:15 vjp(div %2)" } ],
//!   "outputs": [ { "name": "y", "node": 2 } ],
//!   "updates": [ { "param": "w", "node": 3 } ] }
//! ```
//!
//! Attributes are words, numbers and lists of these, as in the text form. `name` is there for inputs and parameters, `body` for loops, `origin` where it is known.

use serde_json::{Map, Value, json};

use crate::prim::AttrValue;

use super::{Graph, NodeId};

impl Graph {
    /// The graph as JSON: an object of nodes, outputs and updates. Recursion is bounded by the depth of bodies.
    pub fn json(&self) -> Value {
        let outputs: Vec<Value> =
            self.outputs().iter().map(|o| json!({ "name": &*o.name, "node": o.node.index() })).collect();
        let update = |u: &super::Update| {
            let name = self.op(u.param).leaf_name().map_or("", |n| &**n);
            json!({ "param": name, "node": u.value.index() })
        };
        let updates: Vec<Value> = self.updates().iter().map(update).collect();
        let nodes: Vec<Value> = self.ids().map(|id| self.node_json(id)).collect();
        json!({ "nodes": nodes, "outputs": outputs, "updates": updates })
    }

    fn node_json(&self, id: NodeId) -> Value {
        let node = self.node(id);
        let attrs = node.op.attrs();
        let attributes: Map<String, Value> = attrs
            .iter()
            .filter(|(_, value)| !matches!(value, AttrValue::Body(_)))
            .map(|(name, value)| (name.to_owned(), attribute(value)))
            .collect();
        let operands: Vec<usize> = self.operands(id).iter().map(|o| o.index()).collect();
        let mut object = json!({
            "id": id.index(),
            "op": node.op.name(),
            "type": node.ty.to_string(),
            "dtype": node.ty.dtype.name(),
            "shape": &node.ty.shape[..],
            "operands": operands,
            "attributes": attributes,
        });
        if let Some(name) = node.op.leaf_name() {
            object["name"] = Value::String(name.to_string());
        }
        if let Some(looped) = node.op.looped() {
            object["body"] = looped.spec.body.graph().json();
        }
        if !node.origin.is_unknown() {
            object["origin"] = Value::String(node.origin.to_string());
        }
        object
    }
}

fn attribute(value: &AttrValue) -> Value {
    let word = |w: &String| match w.parse::<i64>() {
        Ok(number) => json!(number),
        Err(_) => json!(w),
    };
    match value {
        AttrValue::Word(w) => word(w),
        AttrValue::List(l) => l.iter().map(word).collect(),
        AttrValue::Str(s) => json!(s),
        AttrValue::Body(_) => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_is_an_object_of_nodes_outputs_and_updates() {
        let graph: Graph = "%0 = input {name=\"x\"} : f32[2, 3]\n%1 = param {name=\"w\", kind=trainable} : f32[2]\n\
             %2 = reduce %0 {kind=sum, axes=[1]} : f32[2]  ; model.rs:7\noutput \"y\" = %2\nupdate \"w\" = %2\n"
            .parse()
            .unwrap();
        let json = graph.json();
        assert_eq!(json["nodes"][0]["name"], "x");
        assert_eq!(json["nodes"][2]["operands"], json!([0]));
        assert_eq!(json["nodes"][2]["attributes"], json!({ "kind": "sum", "axes": [1] }));
        assert_eq!(json["nodes"][2]["shape"], json!([2]));
        assert_eq!(json["nodes"][2]["origin"], "model.rs:7");
        assert_eq!(json["outputs"], json!([{ "name": "y", "node": 2 }]));
        assert_eq!(json["updates"], json!([{ "param": "w", "node": 2 }]));
    }
}
