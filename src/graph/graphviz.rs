//! The graph as a drawing for Graphviz: `dot -Tsvg`.
//!
//! ```text
//!   forward    nodes of the user's lines                                       white
//!   gradient   nodes that differentiation made                                 orange
//!   update     other nodes that only serve parameter updates                   green
//! ```
//!
//! Each group is a cluster, left out if empty. Inputs are ellipses, parameters double ellipses, and all other nodes boxes. Arrows lead from operands to
//! users, numbered where there is more than one operand; dashed arrows lead from new values to the parameters that take them. The body of a loop is a cluster
//! of its own, called by its number as in the text form; what the numbers of loop nodes are is in their labels.

use std::fmt;

use crate::prim::Op;

use super::{Graph, NodeId};

/// A Graphviz drawing, made by [`Graph::graphviz`].
#[derive(Clone, Copy, Debug)]
pub struct Graphviz<'g>(&'g Graph);

impl Graph {
    /// The graph in the DOT language.
    pub fn graphviz(&self) -> Graphviz<'_> {
        Graphviz(self)
    }
}

/// What a node serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Forward,
    Gradient,
    Update,
}

impl Part {
    const ALL: [Part; 3] = [Part::Forward, Part::Gradient, Part::Update];

    fn name(self) -> &'static str {
        match self {
            Part::Forward => "forward",
            Part::Gradient => "gradient",
            Part::Update => "update",
        }
    }

    fn color(self) -> &'static str {
        match self {
            Part::Forward => "white",
            Part::Gradient => "#ffe0b8",
            Part::Update => "#d0f0c8",
        }
    }
}

/// The part of each node: a gradient by its origin; an update if updates need it, and neither outputs nor gradients do.
fn parts(graph: &Graph) -> Vec<Part> {
    let gradient = |id: NodeId| graph.node(id).origin.vjp.is_some();
    let outputs = graph.outputs().iter().map(|o| o.node);
    let needed = graph.ancestors(outputs.chain(graph.ids().filter(|&id| gradient(id))));
    let updating = graph.ancestors(graph.updates().iter().map(|u| u.value));
    let part = |id: NodeId| {
        if gradient(id) {
            Part::Gradient
        } else if updating[id.index()] && !needed[id.index()] {
            Part::Update
        } else {
            Part::Forward
        }
    };
    graph.ids().map(part).collect()
}

impl fmt::Display for Graphviz<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let graph = self.0;
        writeln!(f, "digraph cotangent {{")?;
        writeln!(f, "  node [shape=box, style=\"filled,rounded\", fontname=monospace];")?;
        let parts = parts(graph);
        for part in Part::ALL.into_iter().filter(|part| parts.contains(part)) {
            writeln!(f, "  subgraph cluster_{} {{", part.name())?;
            writeln!(f, "    label={};", part.name())?;
            for id in graph.ids().filter(|id| parts[id.index()] == part) {
                write_node(f, graph, id, part, "n")?;
            }
            writeln!(f, "  }}")?;
        }
        write_edges(f, graph, "n")?;
        write_bodies(f, graph, "")?;
        for (i, output) in graph.outputs().iter().enumerate() {
            let label = Quoted(format_args!("output {:?}", &*output.name).to_string());
            writeln!(f, "  output{i} [label={label}, shape=plaintext, style=\"\"];")?;
            writeln!(f, "  n{} -> output{i};", output.node.index())?;
        }
        write_updates(f, graph, "n")?;
        writeln!(f, "}}")
    }
}

/// Writes the arrows from operands to users. Names of nodes begin with `prefix`.
fn write_edges(f: &mut fmt::Formatter<'_>, graph: &Graph, prefix: &str) -> fmt::Result {
    for id in graph.ids() {
        let operands = graph.operands(id);
        for (position, operand) in operands.iter().enumerate() {
            write!(f, "  {prefix}{} -> {prefix}{}", operand.index(), id.index())?;
            if operands.len() > 1 {
                write!(f, " [headlabel=\"{position}\"]")?;
            }
            writeln!(f, ";")?;
        }
    }
    Ok(())
}

fn write_updates(f: &mut fmt::Formatter<'_>, graph: &Graph, prefix: &str) -> fmt::Result {
    for update in graph.updates() {
        let (value, param) = (update.value.index(), update.param.index());
        writeln!(f, "  {prefix}{value} -> {prefix}{param} [style=dashed, constraint=false];")?;
    }
    Ok(())
}

/// Writes the bodies of the graph's loops. `path` leads to the graph through the bodies that it lies in. Recursion is bounded by the depth of bodies.
fn write_bodies(f: &mut fmt::Formatter<'_>, graph: &Graph, path: &str) -> fmt::Result {
    let mut written = Vec::new();
    for l in graph.ids().filter_map(|id| graph.op(id).looped()) {
        if written.contains(&&l.spec.body) {
            continue;
        }
        let number = written.len();
        written.push(&l.spec.body);
        let (body, path) = (l.spec.body.graph(), format!("{path}b{number}_"));
        let prefix = format!("{path}n");
        writeln!(f, "  subgraph cluster_{path} {{")?;
        writeln!(f, "    label=\"body @{number}\";")?;
        for id in body.ids() {
            write_node(f, body, id, Part::Forward, &prefix)?;
        }
        writeln!(f, "  }}")?;
        write_edges(f, body, &prefix)?;
        write_updates(f, body, &prefix)?;
        write_bodies(f, body, &path)?;
    }
    Ok(())
}

fn write_node(f: &mut fmt::Formatter<'_>, graph: &Graph, id: NodeId, part: Part, prefix: &str) -> fmt::Result {
    let node = graph.node(id);
    let attrs = node.op.attrs();
    let mut label = format!("{id} {}", node.op.name());
    match node.op.leaf_name() {
        Some(name) => label += &format!(" {name:?}"),
        None if !attrs.is_empty() => {
            label += &format!("\n{}", shortened(&attrs.numbered(graph.body_number(id)).to_string()));
        }
        None => {}
    }
    label += &format!("\n{}", node.ty);
    write!(f, "    {prefix}{} [label={}, fillcolor={}", id.index(), Quoted(label), Quoted(part.color().to_owned()))?;
    match node.op {
        Op::Input(_) => write!(f, ", shape=ellipse")?,
        Op::Param(_) => write!(f, ", shape=ellipse, peripheries=2")?,
        _ => {}
    }
    if !node.origin.is_unknown() {
        write!(f, ", tooltip={}", Quoted(node.origin.to_string()))?;
    }
    writeln!(f, "];")
}

/// The text if it is short, else its beginning.
fn shortened(text: &str) -> String {
    const CHARACTERS: usize = 60;
    match text.char_indices().nth(CHARACTERS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

/// Prints a string of the DOT language whose label is this text.
struct Quoted(String);

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::parse;

    #[test]
    fn drawing_groups_nodes_and_escapes_labels() {
        let graph = parse(
            r#"
            %0 = input {name="x \"quoted\" \\"} : f32[2]
            %1 = param {name="w", kind=trainable} : f32[2]  ; net.rs:1
            %2 = mul %0, %1 : f32[2]
            %3 = const {value=[0.1]} : f32[]  ; vjp(seed %2)
            %4 = broadcast %3 {axes=[0]} : f32[2]  ; vjp(mul %2)
            %5 = sub %1, %4 : f32[2]
            output "y" = %2
            update "w" = %5
            "#,
        )
        .expect("the text is a graph");
        let expected = r##"digraph cotangent {
  node [shape=box, style="filled,rounded", fontname=monospace];
  subgraph cluster_forward {
    label=forward;
    n0 [label="%0 input \"x \\\"quoted\\\" \\\\\"\nf32[2]", fillcolor="white", shape=ellipse];
    n1 [label="%1 param \"w\"\nf32[2]", fillcolor="white", shape=ellipse, peripheries=2, tooltip="net.rs:1"];
    n2 [label="%2 mul\nf32[2]", fillcolor="white"];
  }
  subgraph cluster_gradient {
    label=gradient;
    n3 [label="%3 const\n{value=[0.1]}\nf32[]", fillcolor="#ffe0b8", tooltip="vjp(seed %2)"];
    n4 [label="%4 broadcast\n{axes=[0]}\nf32[2]", fillcolor="#ffe0b8", tooltip="vjp(mul %2)"];
  }
  subgraph cluster_update {
    label=update;
    n5 [label="%5 sub\nf32[2]", fillcolor="#d0f0c8"];
  }
  n0 -> n2 [headlabel="0"];
  n1 -> n2 [headlabel="1"];
  n3 -> n4;
  n1 -> n5 [headlabel="0"];
  n4 -> n5 [headlabel="1"];
  output0 [label="output \"y\"", shape=plaintext, style=""];
  n2 -> output0;
  n5 -> n1 [style=dashed, constraint=false];
}
"##;
        assert_eq!(graph.graphviz().to_string(), expected);
    }

    #[test]
    fn long_constants_are_shortened() {
        let list = vec!["1.0"; 100].join(", ");
        let graph = parse(&format!("%0 = const {{value=[{list}]}} : f32[100]")).expect("the text is a graph");
        let drawing = graph.graphviz().to_string();
        assert!(drawing.lines().all(|line| line.len() < 150) && drawing.contains("1.0, 1..."), "{drawing}");
    }
}
