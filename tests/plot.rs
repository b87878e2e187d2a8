//! Pictures: what they contain, that they stay small, and what is refused.
#![cfg(feature = "plot")]

use cotangent::plot::{self, Axis, Plot, PlotError};

fn examples() -> Vec<(&'static str, Plot)> {
    let falling = |rate: f64| (0..50).map(|i| (f64::from(i), (-rate * f64::from(i)).exp())).collect::<Vec<_>>();
    let curves = plot::curves(
        "Training",
        Axis::new("epoch"),
        Axis::new("loss").log(),
        [("train", falling(0.1)), ("test", falling(0.07))],
    );
    let square = [(-1.0, 1.0); 2];
    let inside = |p: &[[f32; 2]]| p.iter().map(|[x, y]| usize::from(x * x + y * y < 0.5)).collect();
    let boundary = plot::boundary("Circle", square, 30, inside, [(0.1, 0.2, 1), (0.9, 0.9, 0)]);
    let confusion = plot::confusion("Digits", ["3", "5", "8"], [vec![90, 4, 6], vec![0, 99, 1], vec![7, 0, 93]]);
    let numbers = (0..1000).map(|i| f64::from(i * 37 % 101) / 101.0).collect::<Vec<_>>();
    let histogram = plot::histogram("Gradients", Axis::new("value"), 20, [("W1", numbers)]);
    vec![("curves", curves), ("boundary", boundary), ("confusion", confusion), ("histogram", histogram)]
}

#[test]
fn pictures_name_what_they_show_and_stay_small() {
    let words: [&[&str]; 4] = [
        &["Training", "epoch", "loss", "train", "test"],
        &["Circle"],
        &["Digits", "predicted", "true", "90"],
        &["Gradients"],
    ];
    for ((name, plot), words) in examples().into_iter().zip(words) {
        let svg = plot.svg().unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{name}");
        assert!(words.iter().all(|w| svg.contains(w)), "{name} shows {words:?}: {svg}");
        assert!(svg.len() < 30_000, "{name}: {} bytes", svg.len());
    }
}

#[test]
fn a_png_has_the_pixels_of_the_picture() {
    for (name, plot) in examples() {
        let bytes = plot.clone().size(300, 200).png().unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (300, 200), "{name}");
        assert!(pixels.iter().any(|&p| p < 128) && pixels[0] == 255, "{name}: dark on white");
    }
}

#[test]
fn a_grid_holds_its_plots_and_is_saved() {
    let folder = std::env::temp_dir().join(format!("cotangent-plot-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let grid = plot::grid(2, examples().into_iter().map(|e| e.1));
    for file in ["a.svg", "a.png"] {
        grid.save(folder.join(file)).unwrap();
        assert!(std::fs::metadata(folder.join(file)).unwrap().len() > 1000);
    }
    assert!(grid.svg().unwrap().contains("Digits"));
    let error = grid.save(folder.join("a.pdf")).unwrap_err();
    assert!(error.to_string().ends_with("a.pdf: a picture is saved as .svg or .png"), "{error}");
    let error = grid.save(folder.join("none").join("a.svg")).unwrap_err();
    assert!(matches!(error, PlotError::Write { .. }));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn what_is_not_finite_is_left_out() {
    let points = vec![(0.0, 1.0), (1.0, f64::NAN), (2.0, f64::INFINITY), (3.0, 0.5)];
    let plot = |points| plot::curves("Loss", Axis::new("step"), Axis::new("loss").log(), [("", points)]);
    assert!(plot(points).svg().is_ok());
    let error = plot(vec![(0.0, f64::NAN), (1.0, -1.0)]).svg().unwrap_err();
    assert_eq!(error.to_string(), "the plot `Loss` has no finite numbers to draw");
    assert!(plot::histogram("None", Axis::new("x"), 5, [("", vec![])]).png().is_err());
}

/// The number of an attribute in the text of an element.
fn attribute(element: &str, name: &str) -> f64 {
    let begin = element.find(&format!(" {name}=\"")).unwrap() + name.len() + 3;
    element[begin..].split('"').next().unwrap().parse().unwrap()
}

#[test]
fn names_stand_above_the_curves() {
    // So many that they take several rows.
    let names = ["one curve", "another curve", "a third curve", "and the last of them"];
    let curve = |slope: f64| (0..50).map(|i| (f64::from(i), slope * f64::from(i))).collect::<Vec<_>>();
    let curves = names.iter().zip(1..).map(|(&name, slope)| (name, curve(f64::from(slope))));
    let svg = plot::curves("Four", Axis::new("x"), Axis::new("y"), curves).size(300, 250).svg().unwrap();
    let heights = svg.split("points=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).flat_map(|points| {
        let points: Vec<f64> =
            points.split_whitespace().map(|p| p.split_once(',').unwrap().1.parse().unwrap()).collect();
        if points.len() > 10 { points } else { Vec::new() }
    });
    let highest = heights.fold(f64::INFINITY, f64::min);
    let mut rows = Vec::new();
    for name in names {
        let end = svg.find(name).unwrap();
        let text = &svg[svg[..end].rfind("<text").unwrap()..end];
        let (x, y) = (attribute(text, "x"), attribute(text, "y"));
        assert!(y < highest, "{name} at {y} stands above {highest}");
        assert!((0.0..300.0).contains(&x) && y > 0.0, "{name} at {x}, {y} is in the picture");
        rows.push((x, y));
    }
    rows.dedup_by_key(|place| place.1);
    assert!(rows.len() > 1, "{rows:?}");
}
