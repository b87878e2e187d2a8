//! The graph as a drawing, placed by the crate `layout-rs`.
//!
//! Nodes are boxes from the top down, with operation, name and type; inputs and outputs are ellipses. Nodes that differentiation made are orange. Where many
//! edges pass by one another, the crate's search for an order in which few of them cross, and for places below operands, would take minutes: it is left out
//! then. Beyond a count of nodes there is no drawing: [`Graph::graphviz`] is for other programs to place.

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
    #[error(
        "{nodes} nodes and outputs are too many to place, {limit} at most; write the drawing as dot and place it by Graphviz"
    )]
    TooLarge {
        /// Nodes that outputs and updates need, and the outputs.
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
/// The most work where the nodes of a row are put in an order in which few edges cross: see [`crossings`]. That takes up to some seconds; beyond it, they stay as
/// they come.
const CROWDED: usize = 4_000_000;
/// The most places in all rows where nodes are put below their operands, which takes up to some seconds; beyond it, rows are packed.
const PLACES: usize = 6_000;

impl Graph {
    /// The nodes that outputs and updates need as a drawing in SVG.
    ///
    /// # Errors
    /// If there are too many nodes.
    pub fn svg(&self) -> Result<String, SvgError> {
        let live = self.live();
        let nodes = live.iter().filter(|&&l| l).count();
        if nodes + self.outputs().len() > LIMIT {
            return Err(SvgError::TooLarge { nodes: nodes + self.outputs().len(), limit: LIMIT });
        }
        if nodes == 0 {
            return Ok(EMPTY.to_owned());
        }
        // The crate panics where it cannot place something; the graph is not touched by that.
        catch_unwind(AssertUnwindSafe(|| self.draw(&live))).map_err(|_| SvgError::Placement)
    }

    fn draw(&self, live: &[bool]) -> String {
        let mut drawing = VisualGraph::new(Orientation::TopToBottom);
        // The crate's proof that there is no circle walks all paths, of which a graph may have exponentially many; here operands come before their users.
        drawing.dag.set_validate(false);
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
        let rows = self.rows(live);
        let as_they_come = crossings(&rows) > CROWDED;
        let packed = rows.iter().sum::<usize>() > PLACES;
        drawing.do_it(false, as_they_come, packed, &mut svg);
        svg.finalize()
    }

    /// The lengths of the rows that nodes are drawn in. A row has a node, or an edge that passes, in each place.
    fn rows(&self, live: &[bool]) -> Vec<usize> {
        let mut rows = vec![0usize; self.len()];
        // How many more places a row has than the one above.
        let mut more = vec![0isize; self.len() + 1];
        for id in self.ids().filter(|id| live[id.index()]) {
            let operands = self.operands(id);
            let row = operands.iter().map(|o| rows[o.index()] + 1).max().unwrap_or(0);
            rows[id.index()] = row;
            more[row] += 1;
            more[row + 1] -= 1;
            for operand in operands {
                more[rows[operand.index()] + 1] += 1;
                more[row] -= 1;
            }
        }
        let lengths = more.iter().scan(0isize, |length, &change| {
            *length += change;
            Some(length.unsigned_abs())
        });
        lengths.collect()
    }
}

/// How often the crate looks at a place of a row to count where edges cross: once for each pair of places in the row above.
fn crossings(rows: &[usize]) -> usize {
    rows.windows(2).map(|pair| pair[0] * pair[0] * pair[1]).sum()
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

    /// Sums of what was doubled: 2^100 paths lead from the first node to the last.
    #[test]
    fn a_graph_of_many_paths_is_placed() {
        let mut text = "%0 = input {name=\"x\"} : f32[2]\n".to_owned();
        for i in (0..200).step_by(2) {
            text += &format!("%{} = neg %{i} : f32[2]\n%{} = add %{i}, %{} : f32[2]\n", i + 1, i + 2, i + 1);
        }
        text += "output \"y\" = %200\n";
        assert!(text.parse::<Graph>().unwrap().svg().unwrap().contains("add"));
    }

    #[test]
    fn rows_have_places_for_nodes_and_for_edges_that_pass() {
        let graph: Graph = "%0 = input {name=\"x\"} : f32[2]\n%1 = neg %0 : f32[2]\n%2 = neg %1 : f32[2]\n\
             %3 = add %0, %2 : f32[2]\n%4 = input {name=\"y\"} : f32[2]\n%5 = add %3, %4 : f32[2]\noutput \"z\" = %5\n"
            .parse()
            .unwrap();
        // x and y; neg, beside edges from x and y; the same; add, beside an edge from y; add.
        assert_eq!(graph.rows(&graph.live())[..6], [2, 3, 3, 2, 1, 0]);
    }

    /// The time for an order in which few edges cross grows with the cube of a row.
    #[test]
    fn few_long_rows_are_as_crowded_as_many_short_ones() {
        assert_eq!(crossings(&[3, 2, 4, 0]), 9 * 2 + 4 * 4);
        assert!(crossings(&[160; 2]) > CROWDED && crossings(&[60; 20]) > CROWDED);
        assert!(crossings(&[30; 100]) < CROWDED);
    }

    #[test]
    fn a_graph_that_is_too_large_is_told() {
        let mut text = "%0 = input {name=\"x\"} : f32[2]\n".to_owned();
        for i in 1..=LIMIT {
            text += &format!("%{i} = neg %{} : f32[2]\n", i - 1);
        }
        text += &format!("output \"y\" = %{LIMIT}\n");
        let graph: Graph = text.parse().unwrap();
        assert!(
            graph
                .svg()
                .unwrap_err()
                .to_string()
                .starts_with("802 nodes and outputs are too many to place, 800 at most")
        );
    }
}
