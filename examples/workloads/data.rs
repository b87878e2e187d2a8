//! Inputs and initial parameters of a workload: from a file, or drawn.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use cotangent::prelude::*;

use crate::npz;

/// Inputs and initial parameters.
pub struct Data {
    pub x: Array,
    /// Labels or targets; W4 and W8 have none.
    pub y: Option<Array>,
    /// Names and values, in the order of the model.
    params: Vec<(String, Arc<Array>)>,
}

impl Data {
    /// Reads an `.npz` file that holds `x`, maybe `y`, and the parameters as `p00_NAME`, `p01_NAME`, ...
    pub fn read(path: &Path) -> Result<Data, Box<dyn Error>> {
        let arrays = npz::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let (mut x, mut y, mut params) = (None, None, Vec::new());
        for (name, array) in arrays {
            match &name[..] {
                "x" => x = Some(array),
                "y" => y = Some(array),
                _ => params.push((name, Arc::new(array))),
            }
        }
        params.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (name, _) in &mut params {
            if let Some((_, rest)) = name.strip_prefix('p').and_then(|rest| rest.split_once('_')) {
                *name = rest.to_owned();
            }
        }
        let x = x.ok_or_else(|| format!("{}: there is no array `x`", path.display()))?;
        Ok(Data { x, y, params })
    }

    /// Numbers drawn for a workload, in the shapes that the measurements are made with.
    pub fn drawn(workload: &str) -> Data {
        let normal = |shape: &[usize], std| init::normal(shape, 0.0, std, 0).array();
        // Any labels do, as long as all classes occur.
        let labels = |shape: &[usize], classes: usize| -> Array {
            let n = shape.iter().product::<usize>();
            Array::new(shape, (0..n).map(|i| (i * i % classes) as i32).collect()).expect("as many labels as places")
        };
        let linear = |i: usize, from: usize, to: usize, bias: bool| {
            let weight = (format!("W{i}"), init::he([from, to], i as u64));
            std::iter::once(weight).chain(bias.then(|| (format!("b{i}"), init::zeros([to]))))
        };
        let deep = || {
            let sizes = [784, 1024, 1024, 1024, 10];
            (1..5).flat_map(|i| linear(i, sizes[i - 1], sizes[i], true)).collect()
        };
        let (x, y, params): (Array, Option<Array>, Vec<(String, Init)>) = match workload {
            "W1" => {
                let params = linear(1, 784, 500, false).chain(linear(2, 500, 10, false)).collect();
                (normal(&[100, 784], 0.3), Some(labels(&[100], 10)), params)
            }
            "W2" => {
                let params = linear(1, 64, 32, true).chain(linear(2, 32, 10, true)).collect();
                (normal(&[32, 64], 1.0), Some(labels(&[32], 10)), params)
            }
            "W3" => (normal(&[128, 784], 0.3), Some(labels(&[128], 10)), deep()),
            "W4" => {
                let w = init::normal([1024, 1024], 0.0, 0.1, 1);
                (normal(&[1024, 1024], 1.0), None, vec![("w".to_owned(), w)])
            }
            "W5" => {
                let params = [
                    ("c1", init::he_conv([8, 1, 5, 5], 1)),
                    ("cb1", init::zeros([8])),
                    ("c2", init::he_conv([16, 8, 5, 5], 2)),
                    ("cb2", init::zeros([16])),
                    ("W", init::normal([256, 10], 0.0, 0.05, 3)),
                    ("b", init::zeros([10])),
                ];
                let params = params.map(|(name, init)| (name.to_owned(), init));
                (normal(&[32, 1, 28, 28], 0.5), Some(labels(&[32], 10)), params.into())
            }
            "W6" => (labels(&[8, 64], 65), Some(labels(&[8, 64], 65)), transformer(65, 128, 64, 2)),
            "W7" => {
                let targets = (0..16).map(|i| (i % 3 % 2) as f32).collect();
                let targets = Array::new([16], targets).expect("as many targets as places");
                let params = [("w", init::normal([4], 0.0, 0.5, 1)), ("b", init::zeros([1]))];
                let params = params.map(|(name, init)| (name.to_owned(), init));
                (normal(&[16, 4], 1.0), Some(targets), params.into())
            }
            _ => (normal(&[1, 784], 0.3), None, deep()),
        };
        Data { x, y, params: params.into_iter().map(|(name, init)| (name, Arc::new(init.array()))).collect() }
    }

    /// The inputs of a run, by name.
    pub fn inputs(&self) -> Vec<(&str, &Array)> {
        std::iter::once(("x", &self.x)).chain(self.y.as_ref().map(|y| ("y", y))).collect()
    }

    /// Names and initial values of the parameters.
    pub fn params(&self) -> impl Iterator<Item = (&str, &Array)> {
        self.params.iter().map(|(name, value)| (name.as_str(), &**value))
    }

    /// The input `x` of the graph.
    pub fn input_x<'g>(&self, g: &'g Builder) -> Tensor<'g> {
        g.input("x", self.x.ty())
    }

    /// The input `y` of the graph.
    pub fn input_y<'g>(&self, g: &'g Builder) -> Result<Tensor<'g>, String> {
        let y = self.y.as_ref().ok_or("there is no array `y`")?;
        Ok(g.input("y", y.ty()))
    }

    /// A parameter of the graph with its initial value.
    pub fn param<'g>(&self, g: &'g Builder, name: &str) -> Result<Tensor<'g>, String> {
        let (_, value) =
            self.params.iter().find(|(n, _)| n == name).ok_or(format!("there is no parameter `{name}`"))?;
        Ok(g.param(name, value.clone()))
    }

    /// True if there is a parameter of this name.
    pub fn has(&self, name: &str) -> bool {
        self.params.iter().any(|(n, _)| n == name)
    }
}

/// The parameters of a transformer of so many layers.
fn transformer(vocabulary: usize, width: usize, positions: usize, layers: usize) -> Vec<(String, Init)> {
    let mut seed = 0;
    let mut normal = |shape: [usize; 2]| {
        seed += 1;
        init::normal(shape, 0.0, 0.02, seed)
    };
    let mut params = vec![
        ("wte".to_owned(), normal([vocabulary, width])),
        ("wpe".to_owned(), normal([positions, width])),
        ("lnfg".to_owned(), init::ones([width])),
        ("lnfb".to_owned(), init::zeros([width])),
        ("head".to_owned(), normal([width, vocabulary])),
    ];
    for l in 0..layers {
        for (name, from, to) in
            [("qkv", width, 3 * width), ("prj", width, width), ("fc", width, 4 * width), ("fc2", 4 * width, width)]
        {
            params.push((format!("l{l}_{name}"), normal([from, to])));
            params.push((format!("l{l}_{name}b"), init::zeros([to])));
        }
        for norm in ["ln1", "ln2"] {
            params.push((format!("l{l}_{norm}g"), init::ones([width])));
            params.push((format!("l{l}_{norm}b"), init::zeros([width])));
        }
    }
    params
}
