//! Initial values of parameters.
//!
//! An initializer is a type, a distribution and a seed. The numbers are drawn by ChaCha8, whose stream is the same on every machine and in every version,
//! so a seed means the same parameters for ever.

use std::sync::Arc;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal, StandardUniform};

use crate::array::Array;
use crate::graph::{DType, Shape, TensorType};
use crate::scalar::math;

#[derive(Clone, Debug)]
enum Values {
    Constant(f64),
    Normal { mean: f64, std: f64, seed: u64 },
    Uniform { low: f64, high: f64, seed: u64 },
    Given(Arc<Array>),
}

/// Type and initial values of a parameter. The functions of this module make `f32` initializers; [`Init::dtype`] changes that. An [`Array`] is an
/// initializer too, and so is an [`Arc`] of one, where the values are wanted elsewhere as well.
#[derive(Clone, Debug)]
pub struct Init {
    ty: TensorType,
    values: Values,
}

impl Init {
    fn new(shape: impl Into<Shape>, values: Values) -> Init {
        Init { ty: TensorType::new(DType::F32, shape), values }
    }

    /// The same values in another element type.
    pub fn dtype(self, dtype: DType) -> Init {
        Init { ty: self.ty.with_dtype(dtype), values: self.values }
    }

    /// Type of the parameter.
    pub fn ty(&self) -> &TensorType {
        &self.ty
    }

    /// The values.
    ///
    /// # Panics
    /// If the shape has too many elements.
    pub fn array(&self) -> Array {
        match &self.values {
            Values::Constant(value) => Array::full(&self.ty, *value),
            Values::Given(array) if array.dtype() == self.ty.dtype => Array::clone(array),
            Values::Given(array) => self.collect(array.to_f64_vec().into_iter()),
            Values::Normal { mean, std, seed } => self.draw(*seed, |z: f64| mean + std * z, StandardNormal),
            Values::Uniform { low, high, seed } => self.draw(*seed, |u: f64| low + (high - low) * u, StandardUniform),
        }
    }

    /// [`Init::array`] to be shared.
    pub(crate) fn shared(&self) -> Arc<Array> {
        match &self.values {
            Values::Given(array) if array.dtype() == self.ty.dtype => array.clone(),
            _ => Arc::new(self.array()),
        }
    }

    /// True for the initializer whose values are all 0 by its name.
    pub(super) fn is_zero(&self) -> bool {
        matches!(self.values, Values::Constant(value) if value.to_bits() == 0)
    }

    fn draw(&self, seed: u64, f: impl Fn(f64) -> f64, distribution: impl Distribution<f64>) -> Array {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        self.collect(distribution.sample_iter(rng).map(f))
    }

    fn collect(&self, values: impl Iterator<Item = f64>) -> Array {
        let n = self.ty.shape.checked_numel().unwrap_or_else(|| panic!("{} has too many elements", self.ty));
        let values = values.take(n);
        let shape = self.ty.shape.clone();
        let array = match self.ty.dtype {
            DType::F16 => Array::new(shape, values.map(|v| math::half::f16_of(v as f32)).collect()),
            DType::BF16 => Array::new(shape, values.map(|v| math::half::bf16_of(v as f32)).collect()),
            DType::F32 => Array::new(shape, values.map(|v| v as f32).collect()),
            DType::F64 => Array::new(shape, values.collect::<Vec<f64>>()),
            DType::U8 => Array::new(shape, values.map(|v| v as u8).collect()),
            DType::U32 => Array::new(shape, values.map(|v| v as u32).collect()),
            DType::I32 => Array::new(shape, values.map(|v| v as i32).collect()),
            DType::I64 => Array::new(shape, values.map(|v| v as i64).collect()),
            DType::Bool => Array::new(shape, values.map(|v| v != 0.0).collect()),
        };
        array.expect("as many values as elements")
    }

    /// Extents of the matrix from inputs to outputs: the last axis is the outputs, the one before it the inputs, all others multiply both.
    fn fans(shape: &Shape) -> (f64, f64) {
        match shape[..] {
            [] => (1.0, 1.0),
            [n] => (n as f64, n as f64),
            [ref rest @ .., fan_in, fan_out] => {
                let field = rest.iter().product::<usize>() as f64;
                (fan_in as f64 * field, fan_out as f64 * field)
            }
        }
    }
}

impl<A: Into<Array>> From<A> for Init {
    /// The values given: an [`Array`], or what makes one, such as `[[1.0f32, 2.0], [3.0, 4.0]]`.
    fn from(array: A) -> Init {
        Init::from(Arc::new(array.into()))
    }
}

impl From<Arc<Array>> for Init {
    /// The values given, which are shared and not copied.
    fn from(array: Arc<Array>) -> Init {
        Init { ty: array.ty(), values: Values::Given(array) }
    }
}

impl From<TensorType> for Init {
    /// Zeros.
    fn from(ty: TensorType) -> Init {
        Init { ty, values: Values::Constant(0.0) }
    }
}

/// Zeros.
pub fn zeros(shape: impl Into<Shape>) -> Init {
    full(shape, 0.0)
}

/// Ones.
pub fn ones(shape: impl Into<Shape>) -> Init {
    full(shape, 1.0)
}

/// One number in every element.
pub fn full(shape: impl Into<Shape>, value: f64) -> Init {
    Init::new(shape, Values::Constant(value))
}

/// Normal numbers with this mean and standard deviation.
pub fn normal(shape: impl Into<Shape>, mean: f64, std: f64, seed: u64) -> Init {
    Init::new(shape, Values::Normal { mean, std, seed })
}

/// Numbers spread evenly over `low..high`.
pub fn uniform(shape: impl Into<Shape>, low: f64, high: f64, seed: u64) -> Init {
    Init::new(shape, Values::Uniform { low, high, seed })
}

/// Kaiming's (He's) normal initializer for layers before a ReLU: standard deviation `sqrt(2 / fan_in)` (He et al. 2015, equation 10). Shapes are
/// `[.., in, out]`.
pub fn he(shape: impl Into<Shape>, seed: u64) -> Init {
    let shape = shape.into();
    let std = (2.0 / Init::fans(&shape).0).sqrt();
    normal(shape, 0.0, std, seed)
}

/// Kaiming's (He's) uniform initializer: `+-sqrt(6 / fan_in)`.
pub fn he_uniform(shape: impl Into<Shape>, seed: u64) -> Init {
    let shape = shape.into();
    let bound = (6.0 / Init::fans(&shape).0).sqrt();
    uniform(shape, -bound, bound, seed)
}

/// [`he`] for the weights of a convolution, channels first: shapes are `[filters, channels, window ..]`, and `fan_in` is all but the filters. With channels
/// last, [`he`] itself fits.
pub fn he_conv(shape: impl Into<Shape>, seed: u64) -> Init {
    let shape = shape.into();
    let fan_in = shape.iter().skip(1).product::<usize>().max(1) as f64;
    normal(shape, 0.0, (2.0 / fan_in).sqrt(), seed)
}

/// Xavier's (Glorot's) uniform initializer: `+-sqrt(6 / (fan_in + fan_out))` (Glorot and Bengio 2010, equation 16). Shapes are `[.., in, out]`.
pub fn xavier(shape: impl Into<Shape>, seed: u64) -> Init {
    let shape = shape.into();
    let (fan_in, fan_out) = Init::fans(&shape);
    let bound = (6.0 / (fan_in + fan_out)).sqrt();
    uniform(shape, -bound, bound, seed)
}

/// Xavier's (Glorot's) normal initializer: standard deviation `sqrt(2 / (fan_in + fan_out))`.
pub fn xavier_normal(shape: impl Into<Shape>, seed: u64) -> Init {
    let shape = shape.into();
    let (fan_in, fan_out) = Init::fans(&shape);
    normal(shape, 0.0, (2.0 / (fan_in + fan_out)).sqrt(), seed)
}
