//! How each kind of panel is drawn.

use plotters::coord::Shift;
use plotters::prelude::*;

use super::{Axis, Panel, PlotError};

/// Colours that people of all kinds of sight tell apart: M. Okabe and K. Ito, "Color universal design", 2008.
const COLORS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(70, 70, 70),
];

fn color(i: usize) -> RGBColor {
    COLORS[i % COLORS.len()]
}

/// A panel's drawing area.
type Area<B> = DrawingArea<B, Shift>;

pub(super) fn failed(error: impl std::fmt::Display) -> PlotError {
    PlotError::Draw(error.to_string())
}

/// Draws one panel.
pub(super) fn panel<B: DrawingBackend>(area: &Area<B>, title: &str, panel: &Panel) -> Result<(), PlotError> {
    match panel {
        Panel::Curves { x, y, curves } => lines(area, title, x, y, curves),
        Panel::Boundary { range, cells, classes, points } => boundary(area, title, *range, *cells, classes, points),
        Panel::Confusion { names, counts } => confusion(area, title, names, counts),
        Panel::Histogram { x, bins, sets } => {
            let (x, y) = (x.clone(), Axis::new("fraction"));
            lines(area, title, &x, &y, &outlines(&x, *bins, sets))
        }
    }
}

/// The number on the axis; `None` if it has no place there.
fn place(axis: &Axis, value: f64) -> Option<f64> {
    let at = if axis.log { value.log10() } else { value };
    at.is_finite().then_some(at)
}

/// The interval that the axis shows.
fn reach(axis: &Axis, values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    if let Some((low, high)) = axis.range {
        return Some((place(axis, low)?, place(axis, high)?));
    }
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    let room = if high > low { 0.03 * (high - low) } else { 0.5 * high.abs().max(1e-3) };
    (low <= high).then_some((low - room, high + room))
}

/// A tick's number.
fn label(axis: &Axis, at: f64) -> String {
    let value = if axis.log { 10f64.powf(at) } else { at };
    match value.abs() {
        0.0 => "0".to_owned(),
        size if !(1e-3..1e5).contains(&size) => format!("{value:.0e}"),
        size if size >= 100.0 => format!("{value:.0}"),
        _ => {
            let text = format!("{value:.3}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
    }
}

fn lines<B: DrawingBackend>(
    area: &Area<B>,
    title: &str,
    x: &Axis,
    y: &Axis,
    curves: &[(String, Vec<(f64, f64)>)],
) -> Result<(), PlotError> {
    let placed: Vec<Vec<(f64, f64)>> = curves
        .iter()
        .map(|(_, points)| points.iter().filter_map(|&(a, b)| Some((place(x, a)?, place(y, b)?))).collect())
        .collect();
    let all = || placed.iter().flatten();
    let empty = || PlotError::Empty { title: title.to_owned() };
    let (x0, x1) = reach(x, all().map(|p| p.0)).filter(|_| all().next().is_some()).ok_or_else(empty)?;
    let (y0, y1) = reach(y, all().map(|p| p.1)).ok_or_else(empty)?;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 17))
        .margin(8)
        .margin_right(16)
        .x_label_area_size(40)
        .y_label_area_size(56)
        .build_cartesian_2d(x0..x1, y0..y1)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .max_light_lines(0)
        .bold_line_style(BLACK.mix(0.12))
        .x_desc(&*x.label)
        .y_desc(&*y.label)
        .x_labels(7)
        .y_labels(7)
        .label_style(("sans-serif", 13))
        .x_label_formatter(&|at| label(x, *at))
        .y_label_formatter(&|at| label(y, *at))
        .draw()
        .map_err(failed)?;
    for (i, ((name, _), points)) in curves.iter().zip(&placed).enumerate() {
        let style = color(i).stroke_width(2);
        let series = chart.draw_series(LineSeries::new(points.iter().copied(), style)).map_err(failed)?;
        if !name.is_empty() {
            series.label(name).legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
        }
        if points.len() <= 12 {
            let dots = points.iter().map(|&p| Circle::new(p, 3, color(i).filled()));
            chart.draw_series(dots).map_err(failed)?;
        }
    }
    if curves.len() > 1 {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .label_font(("sans-serif", 13))
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.2))
            .draw()
            .map_err(failed)?;
    }
    Ok(())
}

/// The outlines of histograms over common intervals.
fn outlines(x: &Axis, bins: usize, sets: &[(String, Vec<f64>)]) -> Vec<(String, Vec<(f64, f64)>)> {
    let placed: Vec<Vec<f64>> =
        sets.iter().map(|(_, numbers)| numbers.iter().filter_map(|&v| place(x, v)).collect()).collect();
    let Some((low, high)) = reach(x, placed.iter().flatten().copied()).filter(|r| r.0 < r.1) else { return Vec::new() };
    let width = (high - low) / bins as f64;
    let value = |at: f64| if x.log { 10f64.powf(at) } else { at };
    let outline = |numbers: &Vec<f64>| {
        let mut counts = vec![0usize; bins];
        for &at in numbers.iter().filter(|at| (low..=high).contains(at)) {
            counts[(((at - low) / width) as usize).min(bins - 1)] += 1;
        }
        let part = |n: usize| n as f64 / numbers.len().max(1) as f64;
        let step = |(i, &n): (usize, &usize)| {
            let from = low + i as f64 * width;
            [(value(from), part(n)), (value(from + width), part(n))]
        };
        counts.iter().enumerate().flat_map(step).collect()
    };
    sets.iter().zip(&placed).map(|((name, _), numbers)| (name.clone(), outline(numbers))).collect()
}

fn boundary<B: DrawingBackend>(
    area: &Area<B>,
    title: &str,
    [(x0, x1), (y0, y1)]: [(f64, f64); 2],
    cells: usize,
    classes: &[usize],
    points: &[(f64, f64, usize)],
) -> Result<(), PlotError> {
    if cells == 0 || !(x0 < x1 && y0 < y1) {
        return Err(PlotError::Empty { title: title.to_owned() });
    }
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 15))
        .margin(6)
        .build_cartesian_2d(x0..x1, y0..y1)
        .map_err(failed)?;
    let (dx, dy) = ((x1 - x0) / cells as f64, (y1 - y0) / cells as f64);
    for (row, line) in classes.chunks(cells).enumerate() {
        let low = y0 + row as f64 * dy;
        let mut begin = 0;
        // Neighbours of one class are one rectangle.
        for end in 1..=cells {
            if end == cells || line[end] != line[begin] {
                let (from, to) = (x0 + begin as f64 * dx, x0 + end as f64 * dx);
                let cell = Rectangle::new([(from, low), (to, low + dy)], color(line[begin]).mix(0.3).filled());
                chart.draw_series([cell]).map_err(failed)?;
                begin = end;
            }
        }
    }
    let dots = points.iter().filter(|p| p.0.is_finite() && p.1.is_finite());
    chart.draw_series(dots.map(|&(x, y, class)| Circle::new((x, y), 2, color(class).filled()))).map_err(failed)?;
    Ok(())
}

fn confusion<B: DrawingBackend>(
    area: &Area<B>,
    title: &str,
    names: &[String],
    counts: &[Vec<u64>],
) -> Result<(), PlotError> {
    let n = names.len();
    if n == 0 {
        return Err(PlotError::Empty { title: title.to_owned() });
    }
    let name = |at: &f64| names.get(at.floor() as usize).cloned().unwrap_or_default();
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 17))
        .margin(8)
        .x_label_area_size(40)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..n as f64, n as f64..0.0)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .disable_mesh()
        .x_desc("predicted")
        .y_desc("true")
        .x_labels(0)
        .y_labels(0)
        .label_style(("sans-serif", 13))
        .draw()
        .map_err(failed)?;
    let font = |shade: f64| ("sans-serif", 13).into_font().color(if shade > 0.5 { &WHITE } else { &BLACK });
    for (row, line) in counts.iter().enumerate() {
        let sum: u64 = line.iter().sum();
        for (column, &count) in line.iter().enumerate() {
            let shade = count as f64 / sum.max(1) as f64;
            let (x, y) = (column as f64, row as f64);
            let cell = Rectangle::new([(x, y), (x + 1.0, y + 1.0)], color(0).mix(shade).filled());
            chart.draw_series([cell]).map_err(failed)?;
            if count > 0 {
                let text = Text::new(count.to_string(), (x + 0.25, y + 0.35), font(shade));
                chart.draw_series([text]).map_err(failed)?;
            }
        }
    }
    // Names beside the middles of rows and columns.
    let small = ("sans-serif", 13).into_font();
    for i in 0..n {
        let at = i as f64 + 0.4;
        let (x, y) = chart.backend_coord(&(at, n as f64));
        let (ox, oy) = area.get_base_pixel();
        area.draw(&Text::new(name(&at), (x - ox, y - oy + 5), small.clone())).map_err(failed)?;
        let (x, y) = chart.backend_coord(&(0.0, at));
        area.draw(&Text::new(name(&at), (x - ox - 18, y - oy), small.clone())).map_err(failed)?;
    }
    Ok(())
}

/// The SVG without what its readers take for granted.
pub(super) fn compact(svg: &str) -> String {
    let usual = [" opacity=\"1\"", " stroke=\"none\" stroke-width=\"1\"", " stroke=\"none\""];
    usual.iter().fold(svg.to_owned(), |text, attribute| text.replace(attribute, ""))
}
