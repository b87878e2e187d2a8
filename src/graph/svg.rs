//! The graph as a drawing, placed by the crate `layout-rs`.
//!
//! Nodes are boxes from the top down, with operation, name and type; inputs and outputs are ellipses. Nodes that differentiation made are orange. The time that
//! the placement takes grows with the square of the nodes and more, so there is a limit; beyond it, [`Graph::graphviz`] is for other programs to place.

use std::panic::{AssertUnwindSafe, catch_unwind};

use layout::backends::svg::SVGWriter;
use layout::core::base::Orientation;
use layout::core::color::Color;
use layout::core::geometry::Point;
use layout::core::style::StyleAttr;
use layout::std_shapes::shapes::{Arrow, Element, ShapeKind};
use layout::topo::layout::VisualGraph;

use super::Graph;

/// Why a graph is not drawn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SvgError {
    /// There are too many nodes.
    #[error("{nodes} nodes are too many to place, {limit} at most; write the drawing as dot and place it by Graphviz")]
    TooLarge {
        /// Nodes that outputs and updates need.
        nodes: usize,
        /// The most that are drawn.
        limit: usize,
    },
    /// The placement failed.
    #[error("the nodes could not be placed; write the drawing as dot and place it by Graphviz")]
    Placement,
}

/// The drawing of no nodes, which the crate cannot place.
const EMPTY: &str = "<svg width=\"1\" height=\"1\" xmlns=\"http://www.w3.org/2000/svg\"></svg>\n";

/// The most nodes that are drawn.
const LIMIT: usize = 800;

impl Graph {
    /// The nodes that outputs and updates need as a drawing in SVG.
    ///
    /// # Errors
    /// If there are too many nodes.
    pub fn svg(&self) -> Result<String, SvgError> {
        let live = self.live();
        let nodes = live.iter().filter(|&&l| l).count();
        if nodes + self.outputs().len() > LIMIT {
            return Err(SvgError::TooLarge { nodes, limit: LIMIT });
        }
        if nodes == 0 {
            return Ok(EMPTY.to_owned());
        }
        // The crate panics where it cannot place something; the graph is not touched by that.
        catch_unwind(AssertUnwindSafe(|| self.draw(&live))).map_err(|_| SvgError::Placement)
    }

    fn draw(&self, live: &[bool]) -> String {
        let mut drawing = VisualGraph::new(Orientation::TopToBottom);
        let element = |label: &str, round: bool, color: u32| {
            let width = label.lines().map(|l| l.chars().count()).max().unwrap_or(1);
            let size = Point::new(9.0 * width as f64 + 24.0, 20.0 * label.lines().count() as f64 + 16.0);
            let shape = if round { ShapeKind::new_circle(label) } else { ShapeKind::new_box(label) };
            let style = StyleAttr::new(Color::fast("black"), 1, Some(Color::new(color)), 6, 15);
            Element::create(shape, style, Orientation::TopToBottom, size)
        };
        let mut handles = vec![None; self.len()];
        for id in self.ids().filter(|id| live[id.index()]) {
            let node = self.node(id);
            let name = node.op.leaf_name().map(|n| format!(" {n}")).unwrap_or_default();
            let label = format!("{}{name}\n{}", node.op.name(), node.ty);
            let color = if node.origin.vjp.is_some() { 0xffe0_b8ff } else { 0xffff_ffff };
            handles[id.index()] = Some(drawing.add_node(element(&label, node.op.leaf_name().is_some(), color)));
        }
        for id in self.ids().filter(|id| live[id.index()]) {
            for operand in self.operands(id) {
                if let (Some(from), Some(to)) = (handles[operand.index()], handles[id.index()]) {
                    drawing.add_edge(Arrow::simple(""), from, to);
                }
            }
        }
        for output in self.outputs() {
            let to = drawing.add_node(element(&format!("output\n{}", output.name), true, 0xe0f0_ffff));
            if let Some(from) = handles[output.node.index()] {
                drawing.add_edge(Arrow::simple(""), from, to);
            }
        }
        let mut svg = SVGWriter::new();
        drawing.do_it(false, false, false, &mut svg);
        svg.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_shows_names_types_and_results() {
        let graph: Graph = "%0 = input {name=\"a<b\"} : f32[2]\n%1 = neg %0 : f32[2]\n%2 = mul %0, %1 : f32[2]\n\
             %3 = add %2, %2 : f32[2]\noutput \"y\" = %3\noutput \"z\" = %0\n"
            .parse()
            .unwrap();
        let svg = graph.svg().unwrap();
        assert!(svg.contains("<svg") && svg.trim_end().ends_with("</svg>"));
        for part in ["a&lt;b", "neg", "f32[2]", "y", "z"] {
            assert!(svg.contains(part), "{part}");
        }
    }

    #[test]
    fn a_graph_that_is_too_large_is_told() {
        let mut text = "%0 = input {name=\"x\"} : f32[2]\n".to_owned();
        for i in 1..=LIMIT {
            text += &format!("%{i} = neg %{} : f32[2]\n", i - 1);
        }
        text += &format!("output \"y\" = %{LIMIT}\n");
        let graph: Graph = text.parse().unwrap();
        assert!(graph.svg().unwrap_err().to_string().starts_with("801 nodes are too many to place, 800 at most"));
    }
}
