//! Pictures of training, to SVG and PNG: loss curves, decision boundaries, confusion matrices, histograms.
//!
//! ```text
//!   curves, boundary, confusion, histogram --> Plot --grid--> Plot --save, svg, png--> a file, a text, bytes
//! ```
//!
//! Each function takes plain numbers and can be used by itself; several plots can be put beside each other by [`grid`]. Drawing is by the crate
//! `plotters`, with a font of this library's own, so pictures are the same on machines without fonts. What is not finite is left out.
//!
//! ```
//! use cotangent::plot::{self, Axis};
//!
//! let losses = vec![(0.0, 2.3), (1.0, 0.9), (2.0, 0.4)];
//! let plot = plot::curves("Training", Axis::new("epoch"), Axis::new("loss").log(), [("train", losses)]);
//! assert!(plot.svg()?.starts_with("<svg"));
//! # Ok::<(), cotangent::plot::PlotError>(())
//! ```

mod draw;

use std::path::Path;
use std::sync::Once;

use plotters::coord::Shift;
use plotters::prelude::{BitMapBackend, DrawingArea, DrawingBackend, IntoDrawingArea, SVGBackend, WHITE};
use plotters::style::{FontStyle, register_font};

/// Why a picture cannot be made.
#[derive(thiserror::Error)]
pub enum PlotError {
    /// There is nothing to draw.
    #[error("the plot `{title}` has no finite numbers to draw")]
    Empty {
        /// The plot's title.
        title: String,
    },
    /// The file's name does not end in `.svg` or `.png`.
    #[error("{path}: a picture is saved as .svg or .png")]
    Format {
        /// The file.
        path: String,
    },
    /// The file cannot be written.
    #[error("{path}: {source}")]
    Write {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The drawing library failed.
    #[error("drawing: {0}")]
    Draw(String),
}

crate::error::debug_as_display!(PlotError);

/// An axis: its label, and whether it is logarithmic.
#[derive(Clone, Debug)]
pub struct Axis {
    label: String,
    log: bool,
    range: Option<(f64, f64)>,
}

impl Axis {
    /// A linear axis that reaches over the data.
    pub fn new(label: &str) -> Axis {
        Axis { label: label.to_owned(), log: false, range: None }
    }

    /// The axis with powers of ten at equal distances. Numbers that are not positive are left out.
    pub fn log(self) -> Axis {
        Axis { log: true, ..self }
    }

    /// The axis from one number to another.
    pub fn range(self, low: f64, high: f64) -> Axis {
        Axis { range: Some((low, high)), ..self }
    }
}

/// What stands in one field of a picture.
#[derive(Clone, Debug)]
enum Panel {
    Curves {
        x: Axis,
        y: Axis,
        curves: Vec<(String, Vec<(f64, f64)>)>,
    },
    Boundary {
        range: [(f64, f64); 2],
        cells: usize,
        /// Classes of the cells, rows from below.
        classes: Vec<usize>,
        points: Vec<(f64, f64, usize)>,
    },
    Confusion {
        names: Vec<String>,
        counts: Vec<Vec<u64>>,
    },
    Histogram {
        x: Axis,
        bins: usize,
        sets: Vec<(String, Vec<f64>)>,
    },
}

/// A picture that can be saved. Made by [`curves`], [`boundary`], [`confusion`], [`histogram`] and [`grid`].
#[derive(Clone, Debug)]
pub struct Plot {
    panels: Vec<(String, Panel)>,
    columns: usize,
    /// Of one panel, in pixels.
    size: (u32, u32),
}

impl Plot {
    fn one(title: &str, panel: Panel, size: (u32, u32)) -> Plot {
        Plot { panels: vec![(title.to_owned(), panel)], columns: 1, size }
    }

    /// The picture with panels of this width and height in pixels.
    pub fn size(self, width: u32, height: u32) -> Plot {
        Plot { size: (width.max(50), height.max(50)), ..self }
    }

    fn pixels(&self) -> (u32, u32) {
        let rows = self.panels.len().div_ceil(self.columns) as u32;
        (self.size.0 * self.columns as u32, self.size.1 * rows)
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), PlotError> {
        static FONT: Once = Once::new();
        FONT.call_once(|| {
            let font = include_bytes!("plot-sans.ttf");
            assert!(register_font("sans-serif", FontStyle::Normal, font).is_ok(), "the library's own font is a font");
        });
        area.fill(&WHITE).map_err(draw::failed)?;
        let rows = self.panels.len().div_ceil(self.columns);
        for (part, (title, panel)) in area.split_evenly((rows, self.columns)).iter().zip(&self.panels) {
            draw::panel(part, title, panel)?;
        }
        area.present().map_err(draw::failed)
    }

    /// The picture as the text of an SVG file.
    ///
    /// # Errors
    /// If there is nothing to draw.
    pub fn svg(&self) -> Result<String, PlotError> {
        let mut text = String::new();
        self.draw(&SVGBackend::with_string(&mut text, self.pixels()).into_drawing_area())?;
        Ok(draw::compact(&text))
    }

    /// The picture as the bytes of a PNG file.
    ///
    /// # Errors
    /// If there is nothing to draw.
    pub fn png(&self) -> Result<Vec<u8>, PlotError> {
        let (width, height) = self.pixels();
        let mut pixels = vec![0; 3 * width as usize * height as usize];
        self.draw(&BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area())?;
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(png::ColorType::Rgb);
        let write = |e: png::EncodingError| PlotError::Draw(e.to_string());
        let mut writer = encoder.write_header().map_err(write)?;
        writer.write_image_data(&pixels).map_err(write)?;
        writer.finish().map_err(write)?;
        Ok(bytes)
    }

    /// Saves the picture as SVG or PNG, as the file's name says.
    ///
    /// # Errors
    /// If the name ends in neither `.svg` nor `.png`, there is nothing to draw, or the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), PlotError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let bytes = match path.extension().and_then(|e| e.to_str()) {
            Some("svg") => self.svg()?.into_bytes(),
            Some("png") => self.png()?,
            _ => return Err(PlotError::Format { path: name }),
        };
        std::fs::write(path, bytes).map_err(|source| PlotError::Write { path: name, source })
    }
}

/// Named curves through points.
pub fn curves<N: Into<String>>(
    title: &str,
    x: Axis,
    y: Axis,
    curves: impl IntoIterator<Item = (N, Vec<(f64, f64)>)>,
) -> Plot {
    let curves = curves.into_iter().map(|(name, points)| (name.into(), points)).collect();
    Plot::one(title, Panel::Curves { x, y, curves }, (560, 360))
}

/// Which class a classifier of the plane gives where, and examples with their classes.
///
/// `classify` is given the middles of `cells * cells` cells of the rectangle `range` (from and to, of x and y), as `[x, y]`, row by row from below, and
/// returns the class of each.
///
/// # Panics
/// If `classify` does not return a class for each cell.
#[track_caller]
pub fn boundary(
    title: &str,
    range: [(f64, f64); 2],
    cells: usize,
    classify: impl FnOnce(&[[f32; 2]]) -> Vec<usize>,
    points: impl IntoIterator<Item = (f64, f64, usize)>,
) -> Plot {
    let classes = classify(&centers(range, cells));
    assert_eq!(classes.len(), cells * cells, "boundary: one class for each cell");
    let points = points.into_iter().collect();
    Plot::one(title, Panel::Boundary { range, cells, classes, points }, (260, 280))
}

/// The middles of the cells of [`boundary`], row by row from below.
pub fn centers([x, y]: [(f64, f64); 2], cells: usize) -> Vec<[f32; 2]> {
    let at = |(low, high): (f64, f64), i: usize| (low + (high - low) * (i as f64 + 0.5) / cells as f64) as f32;
    (0..cells * cells).map(|k| [at(x, k % cells), at(y, k / cells)]).collect()
}

/// How often examples of one class (rows) were taken for another (columns), darker the larger their part of the row is.
///
/// # Panics
/// If `counts` is not a square of as many rows as there are names.
#[track_caller]
pub fn confusion<N: Into<String>>(
    title: &str,
    names: impl IntoIterator<Item = N>,
    counts: impl IntoIterator<Item = Vec<u64>>,
) -> Plot {
    let names: Vec<String> = names.into_iter().map(Into::into).collect();
    let counts: Vec<Vec<u64>> = counts.into_iter().collect();
    let square = counts.len() == names.len() && counts.iter().all(|row| row.len() == names.len());
    assert!(square, "confusion: {} names need {0} rows of {0} counts", names.len());
    Plot::one(title, Panel::Confusion { names, counts }, (420, 420))
}

/// How often numbers fall into each of `bins` equal intervals, for one or more sets of numbers: a line each, of fractions of the set.
pub fn histogram<N: Into<String>>(
    title: &str,
    x: Axis,
    bins: usize,
    sets: impl IntoIterator<Item = (N, Vec<f64>)>,
) -> Plot {
    let sets = sets.into_iter().map(|(name, numbers)| (name.into(), numbers)).collect();
    Plot::one(title, Panel::Histogram { x, bins: bins.max(1), sets }, (560, 360))
}

/// Plots beside each other, so many in a row. Panels are as large as those of the first plot.
pub fn grid(columns: usize, plots: impl IntoIterator<Item = Plot>) -> Plot {
    let plots: Vec<Plot> = plots.into_iter().collect();
    let size = plots.first().map_or((50, 50), |p| p.size);
    Plot { panels: plots.into_iter().flat_map(|p| p.panels).collect(), columns: columns.max(1), size }
}
