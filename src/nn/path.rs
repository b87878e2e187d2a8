//! Where parameters are declared: names, element type and seed.

use crate::build::{Builder, Init, Tensor, init};
use crate::graph::{DType, Shape};

/// A place in the tree of parameter names, with the seed and the element type of what is declared below it.
///
/// ```
/// use cotangent::nn::{Linear, Path};
/// use cotangent::prelude::*;
///
/// let g = Builder::new();
/// let fc = Linear::new(&Path::root(&g).seed(7).at("head").at("fc"), 16, 4);
/// assert!(format!("{:?}", fc.weight).contains("head.fc.weight"));
/// ```
#[derive(Clone, Debug)]
pub struct Path<'g> {
    builder: &'g Builder,
    name: String,
    seed: u64,
    dtype: DType,
}

impl<'g> Path<'g> {
    /// The root: names without a prefix, seed 0, `f32`.
    pub fn root(builder: &'g Builder) -> Path<'g> {
        Path { builder, name: String::new(), seed: 0, dtype: DType::F32 }
    }

    /// The place `name` below this one.
    pub fn at(&self, name: impl std::fmt::Display) -> Path<'g> {
        Path { name: self.full(&name.to_string()), ..self.clone() }
    }

    /// The same place with another seed.
    pub fn seed(self, seed: u64) -> Path<'g> {
        Path { seed, ..self }
    }

    /// The same place with another element type of parameters.
    pub fn dtype(self, dtype: DType) -> Path<'g> {
        Path { dtype, ..self }
    }

    /// The builder.
    pub fn builder(&self) -> &'g Builder {
        self.builder
    }

    /// The element type of parameters.
    pub(super) fn element(&self) -> DType {
        self.dtype
    }

    /// A parameter called `name` below this place.
    ///
    /// # Panics
    /// If the name is taken.
    #[track_caller]
    pub fn param(&self, name: &str, initial: impl Into<Init>) -> Tensor<'g> {
        self.builder.param(&self.full(name), initial)
    }

    /// A state called `name` below this place: not learned, but kept from run to run.
    ///
    /// # Panics
    /// If the name is taken.
    #[track_caller]
    pub fn state(&self, name: &str, initial: impl Into<Init>) -> Tensor<'g> {
        self.builder.state(&self.full(name), initial)
    }

    /// A parameter of numbers spread evenly over `-bound..bound`.
    #[track_caller]
    pub(super) fn uniform(&self, name: &str, shape: impl Into<Shape>, bound: f64) -> Tensor<'g> {
        self.param(name, init::uniform(shape, -bound, bound, self.seed_of(name)).dtype(self.dtype))
    }

    /// A parameter of normal numbers of mean 0 and variance 1.
    #[track_caller]
    pub(super) fn normal(&self, name: &str, shape: impl Into<Shape>) -> Tensor<'g> {
        self.param(name, init::normal(shape, 0.0, 1.0, self.seed_of(name)).dtype(self.dtype))
    }

    /// A parameter of one number in every element.
    #[track_caller]
    pub(super) fn full_of(&self, name: &str, shape: impl Into<Shape>, value: f64) -> Tensor<'g> {
        self.param(name, init::full(shape, value).dtype(self.dtype))
    }

    /// The whole name of what is called `name` below this place.
    fn full(&self, name: &str) -> String {
        if self.name.is_empty() { name.to_owned() } else { format!("{}.{name}", self.name) }
    }

    /// The seed of a parameter: a hash of the path's seed and the whole name, the same on every machine and in every version (FNV-1a, Fowler, Noll and Vo).
    pub fn seed_of(&self, name: &str) -> u64 {
        let full = self.full(name);
        let bytes = self.seed.to_le_bytes().into_iter().chain(full.bytes());
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }
}
