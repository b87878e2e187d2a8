//! How each kind of panel is drawn.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

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

/// The places of an axis that have numbers, and these: at round distances, on a logarithmic axis at powers of ten or at 1, 2 and 5 times these.
fn ticks(axis: &Axis, low: f64, high: f64) -> Vec<(f64, String)> {
    if !axis.log {
        return round_numbers(low, high);
    }
    let decades = high - low;
    if decades < 1.0 {
        let numbers = round_numbers(10f64.powf(low), 10f64.powf(high));
        return numbers.into_iter().map(|(value, text)| (value.log10(), text)).collect();
    }
    let every = (decades / 7.0).ceil().max(1.0);
    let factors: &[f64] = if decades < 2.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let powers = (low / every).floor() as i32..=(high / every).ceil() as i32;
    let values = powers.flat_map(|k| factors.iter().map(move |f| f * 10f64.powf(f64::from(k) * every)));
    let within = values.filter(|value| (low..=high).contains(&value.log10()));
    within.map(|value| (value.log10(), text(value, value))).collect()
}

/// Up to nine multiples of a round number.
fn round_numbers(low: f64, high: f64) -> Vec<(f64, String)> {
    let least = (high - low) / 8.0;
    let power = 10f64.powf(least.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|f| f * power >= 0.999 * least).unwrap_or(10.0);
    let step = factor * power;
    let (first, last) = ((low / step).ceil(), (high / step).floor());
    // What is no number has no ticks, nor has what is too narrow for its size.
    let count = if step > 0.0 && last - first < 10.0 { (last - first) as usize + 1 } else { 0 };
    (0..count).map(|i| (first + i as f64) * step).map(|value| (value, text(value, step))).collect()
}

/// A number with the digits that tell it from others at this distance.
fn text(value: f64, step: f64) -> String {
    let exponent = |of: f64| (of.abs().log10() + 1e-9).floor() as i32;
    match value.abs() {
        0.0 => "0".to_owned(),
        size if !(1e-3..1e5).contains(&size) => {
            format!("{value:.*e}", (exponent(value) - exponent(step)).max(0) as usize)
        }
        _ => format!("{value:.*}", (-exponent(step)).max(0) as usize),
    }
}

/// An interval with its ticks.
struct Scale {
    interval: RangedCoordf64,
    ticks: Vec<(f64, String)>,
}

impl Scale {
    fn new(axis: &Axis, low: f64, high: f64) -> Scale {
        Scale { interval: (low..high).into(), ticks: ticks(axis, low, high) }
    }
}

impl Ranged for Scale {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.interval.map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // There are no lines between those of the ticks.
        let ticks = if hint.weight().allow_light_points() { &[] } else { &self.ticks[..] };
        ticks.iter().map(|tick| tick.0).collect()
    }

    fn range(&self) -> Range<f64> {
        self.interval.range()
    }
}

impl ValueFormatter<f64> for Scale {
    fn format_ext(&self, at: &f64) -> String {
        self.ticks.iter().find(|tick| tick.0 == *at).map_or_else(String::new, |tick| tick.1.clone())
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
    let area = area.margin(6, 0, 0, 0).titled(title, ("sans-serif", 17)).map_err(failed)?;
    let names: Vec<&str> = curves.iter().map(|(name, _)| &**name).collect();
    let area = if names.len() > 1 { legend(&area, &names)? } else { area };
    let mut chart = ChartBuilder::on(&area)
        .margin(8)
        .margin_right(16)
        .x_label_area_size(40)
        .y_label_area_size(56)
        .build_cartesian_2d(Scale::new(x, x0, x1), Scale::new(y, y0, y1))
        .map_err(failed)?;
    chart
        .configure_mesh()
        .max_light_lines(0)
        .bold_line_style(BLACK.mix(0.12))
        .x_desc(&*x.label)
        .y_desc(&*y.label)
        .label_style(("sans-serif", 13))
        .draw()
        .map_err(failed)?;
    for (i, points) in placed.iter().enumerate() {
        let style = color(i).stroke_width(2);
        chart.draw_series(LineSeries::new(points.iter().copied(), style)).map_err(failed)?;
        if points.len() <= 12 {
            let dots = points.iter().map(|&p| Circle::new(p, 3, color(i).filled()));
            chart.draw_series(dots).map_err(failed)?;
        }
    }
    Ok(())
}

/// Puts the names of the curves, each beside a line of its colour, into rows at the top of the area; gives the rest of it.
fn legend<B: DrawingBackend>(area: &Area<B>, names: &[&str]) -> Result<Area<B>, PlotError> {
    const LINE: i32 = 16;
    const GAP: i32 = 6;
    const ROW: i32 = 18;
    let font = TextStyle::from(("sans-serif", 13)).pos(Pos::new(HPos::Left, VPos::Center));
    let room = area.dim_in_pixel().0 as i32 - 2 * ROW;
    let mut rows: Vec<(i32, Vec<(usize, i32)>)> = Vec::new();
    for (i, name) in names.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
        let width = LINE + GAP + area.estimate_text_size(name, &font).map_err(failed)?.0 as i32 + 2 * GAP;
        match rows.last_mut() {
            Some((taken, row)) if *taken + width <= room => {
                row.push((i, *taken));
                *taken += width;
            }
            _ => rows.push((width, vec![(i, 0)])),
        }
    }
    let (top, rest) = area.split_vertically(ROW * rows.len() as i32);
    for (number, (width, row)) in rows.iter().enumerate() {
        let y = ROW * number as i32 + ROW / 2;
        for &(i, at) in row {
            let x = (area.dim_in_pixel().0 as i32 - width) / 2 + at;
            let line = PathElement::new([(x, y), (x + LINE, y)], color(i).stroke_width(3));
            top.draw(&line).map_err(failed)?;
            top.draw(&Text::new(names[i], (x + LINE + GAP, y), font.clone())).map_err(failed)?;
        }
    }
    Ok(rest)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_tell_apart() {
        let linear = Axis::new("x");
        let texts =
            |axis: &Axis, low, high| ticks(axis, low, high).into_iter().map(|t| t.1).collect::<Vec<_>>().join(" ");
        assert_eq!(texts(&linear, -0.3, 10.3), "0 2 4 6 8 10");
        assert_eq!(texts(&linear, 0.98, 1.0), "0.980 0.985 0.990 0.995 1.000");
        assert_eq!(texts(&linear, 1e5, 1.4e5), "1.00e5 1.05e5 1.10e5 1.15e5 1.20e5 1.25e5 1.30e5 1.35e5 1.40e5");
        assert_eq!(texts(&linear, 1e-4, 4e-4), "1.0e-4 1.5e-4 2.0e-4 2.5e-4 3.0e-4 3.5e-4 4.0e-4");
        let log = Axis::new("x").log();
        assert_eq!(texts(&log, 4f64.log10(), 128f64.log10()), "5 10 20 50 100");
        assert_eq!(texts(&log, -3.2, 0.5), "0.001 0.01 0.1 1");
        assert_eq!(texts(&log, -20.0, 1.0), "1e-18 1e-15 1e-12 1e-9 1e-6 0.001 1");
        assert_eq!(texts(&log, 0.7f64.log10(), 2.1f64.log10()), "0.8 1.0 1.2 1.4 1.6 1.8 2.0");
        // No endless list of what cannot be told apart.
        for (low, high) in [(1.0, 1.0), (f64::NAN, 1.0), (1e300, 1e300 * (1.0 + 1e-15)), (-f64::MAX, f64::MAX)] {
            assert!(ticks(&linear, low, high).len() <= 10, "{low} {high}");
        }
    }
}
