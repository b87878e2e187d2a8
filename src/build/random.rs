//! Random numbers: a counter-based generator with keys that split.
//!
//! ```text
//!   Key --split--> Key, Key ...          each independent of the others
//!    |
//!    +--bits: element i is threefry(key, i), a scalar function of a counter
//!         +--uniform --> normal, exponential, gumbel --> categorical
//!         +--bernoulli --> dropout
//! ```
//!
//! There is no hidden state: a key gives the same numbers whenever it is used, so each draw takes a key of its own, split off another. A draw is a scalar
//! function of each element's number, so it is computed in the kernel that uses it, takes no memory, and is the same on every engine. The generator is
//! Threefry-2x32 with 20 rounds, which passes all known statistical tests, is made of additions, rotations and exclusive ors of 32-bit lanes, and is the one
//! of JAX: keys, bits and uniform numbers are equal to those of `jax.random` bit for bit.
//!
//! A step that runs many times needs a new key in each run. The state of a step keeps one:
//!
//! ```
//! use cotangent::prelude::*;
//!
//! let g = Builder::new();
//! let x = g.input("x", f32([4, 100]));
//! let w = g.param("w", init::he([100, 1], 0));
//! let state = g.state("key", Array::new([2], vec![0u32, 42])?);
//! let [key, next] = Key::new(state).split();
//! let loss = x.dropout(0.5, key).dot(w).square().mean();
//! let step = Sgd::new(0.1).minimize(loss).update(state, next.tensor());
//! let mut step = step.compile(&Options::default())?;
//!
//! let xs = Array::full(&f32([4, 100]), 1.0);
//! let first: f32 = step.run(&[("x", &xs)])?.scalar()?;
//! # assert!(first.is_finite());
//! # assert_ne!(step.params().get("key").unwrap().to_f64_vec(), [0.0, 42.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Where there is a count of steps already, `g.key(seed).fold_in(count)` does without the state.

use crate::array::Array;
use crate::graph::{DType, OpError, OpErrorKind, Shape, TensorType};
use crate::prim::Iota;
use crate::scalar::{Plain, ScalarFn, math};

use super::{Builder, Tensor};

/// A key of the random generator: what random numbers are a function of.
///
/// Use a key for one draw or one split only: two draws of one key are equal.
#[derive(Clone, Copy, Debug)]
pub struct Key<'g> {
    /// The two words, scalars.
    words: [Tensor<'g>; 2],
}

impl Builder {
    /// The key that belongs to a number, as `jax.random.key`.
    #[track_caller]
    pub fn key(&self, seed: u64) -> Key<'_> {
        let _scope = self.scope("key", &[]);
        let word = |word: u64| self.constant(Array::scalar(word as u32));
        Key { words: [word(seed >> 32), word(seed)] }
    }
}

impl<'g> Key<'g> {
    /// The key that is stored in a tensor, `u32[2]`: an input, or a state that each step replaces.
    ///
    /// # Panics
    /// If the tensor is of another type.
    #[track_caller]
    pub fn new(tensor: Tensor<'g>) -> Key<'g> {
        let builder = tensor.builder;
        let _scope = builder.scope("key", &[tensor]);
        let expected = TensorType::new(DType::U32, [2]);
        if tensor.ty() != expected {
            let kind = OpErrorKind::Other(format!("a key is {expected}"));
            builder.check(Err(OpError::new("key", &[&tensor.ty()], kind)), &[tensor])
        }
        Key { words: [tensor.slice(0, 0..1).reshape([]), tensor.slice(0, 1..2).reshape([])] }
    }

    /// The key as a tensor, `u32[2]`.
    #[track_caller]
    pub fn tensor(self) -> Tensor<'g> {
        self.builder().stack(&self.words, 0)
    }

    /// Keys that are independent of each other and of this one, which must not be used any more.
    #[track_caller]
    pub fn split<const N: usize>(self) -> [Key<'g>; N] {
        let mut keys = [self; N];
        // A loop, because closures do not hand on the caller's line.
        for (i, key) in (0u32..).zip(&mut keys) {
            *key = self.child("split", self.builder().constant(Array::scalar(i)));
        }
        keys
    }

    /// [`Key::split`] into a count of keys that is not known at compile time.
    #[track_caller]
    pub fn split_into(self, count: u32) -> Vec<Key<'g>> {
        let mut keys = Vec::new();
        for i in 0..count {
            keys.push(self.child("split", self.builder().constant(Array::scalar(i))));
        }
        keys
    }

    /// The key that belongs to this one and a number, an integer scalar, of which the low 32 bits count: such as the number of a step or a layer. Different
    /// numbers give independent keys; the `i`-th key of [`Key::split`] is that of the number `i`.
    ///
    /// # Panics
    /// If the number is not an integer scalar.
    #[track_caller]
    pub fn fold_in(self, number: Tensor<'g>) -> Key<'g> {
        let ty = number.ty();
        if ty.shape.rank() != 0 || !ty.dtype.is_int() {
            let kind = OpErrorKind::Other("takes an integer scalar".to_owned());
            self.builder().check(Err(OpError::new("fold_in", &[&ty], kind)), &[number])
        }
        self.child("fold_in", number.cast(DType::U32))
    }

    #[track_caller]
    fn child(self, method: &'static str, number: Tensor<'g>) -> Key<'g> {
        let _scope = self.builder().scope(method, &[number]);
        let word = |f| Tensor::map(f, &[self.words[0], self.words[1], number]);
        Key { words: [word(ScalarFn::ThreefryFirst), word(ScalarFn::ThreefrySecond)] }
    }

    fn builder(self) -> &'g Builder {
        self.words[0].builder
    }

    /// A function of the key and of each element's number.
    #[track_caller]
    fn draw(self, f: ScalarFn, shape: &Shape) -> Tensor<'g> {
        let count = shape.numel();
        if !DType::U32.numbers(count) {
            let kind = OpErrorKind::Other(format!("{count} elements are more than a key can number"));
            self.builder().check(Err(OpError::new("random", &[], kind)), &[])
        }
        let number = self.builder().push(Iota { ty: TensorType::new(DType::U32, [count]), axis: 0 }, &[]);
        Tensor::map(f, &[self.words[0], self.words[1], number.reshape(shape)])
    }

    /// Random bits, `u32`: uniform over all 2^32 words.
    ///
    /// # Panics
    /// If there are more than 2^32 elements; so do all methods that draw.
    #[track_caller]
    pub fn bits(self, shape: impl Into<Shape>) -> Tensor<'g> {
        let _scope = self.builder().scope("bits", &self.words);
        self.draw(ScalarFn::ThreefryBits, &shape.into())
    }

    /// Multiples of 2^-23 (`f32`) or 2^-52 (`f64`) from 0 to below 1, all alike probable.
    #[track_caller]
    fn unit(self, ty: &TensorType) -> Tensor<'g> {
        match ty.dtype {
            DType::F32 => {
                let high = self.bits(&ty.shape) >> 9;
                // What is below 2^23 converts alike, and faster, as a signed integer.
                high.cast(DType::I32).cast(DType::F32) * 2f64.powi(-23)
            }
            DType::F64 => {
                let (first, second) =
                    (self.draw(ScalarFn::ThreefryFirst, &ty.shape), self.draw(ScalarFn::ThreefrySecond, &ty.shape));
                let low = (second >> 12).cast(DType::I32).cast(DType::F64);
                (first.cast(DType::F64) * 2f64.powi(20) + low) * 2f64.powi(-52)
            }
            DType::F16 | DType::BF16 => self.unit(&ty.with_dtype(DType::F32)).cast(ty.dtype),
            dtype => {
                let kind = OpErrorKind::Other(format!("random numbers of a distribution are floats, not {dtype}"));
                self.builder().check(Err(OpError::new("random", &[ty], kind)), &[])
            }
        }
    }

    /// Uniform numbers from `low` to below `high`, by 23 random bits for `f32` and 52 for `f64`. Numbers of 16 bits are those of `f32` rounded, which may be
    /// `high`.
    ///
    /// # Panics
    /// If the element type is not a float type.
    #[track_caller]
    pub fn uniform(self, ty: TensorType, low: f64, high: f64) -> Tensor<'g> {
        let _scope = self.builder().scope("uniform", &self.words);
        let unit = self.unit(&ty);
        if (low, high) == (0.0, 1.0) {
            return unit;
        }
        // Rounding may go below the bound.
        (unit * (high - low) + low).maximum(low)
    }

    /// Normal numbers of mean 0 and variance 1: `sqrt(2) erf_inv` of uniform ones between -1 and 1. None is larger than 5.42 in `f32` or 8.13 in `f64`.
    ///
    /// # Panics
    /// If the element type is not a float type.
    #[track_caller]
    pub fn normal(self, ty: TensorType) -> Tensor<'g> {
        let _scope = self.builder().scope("normal", &self.words);
        let low = if ty.dtype == DType::F64 { -1f64.next_down() } else { (-1f32.next_down()).into() };
        self.uniform(ty, low, 1.0).erf_inv() * std::f64::consts::SQRT_2
    }

    /// Numbers of the normal distribution of mean 0 and variance 1 under the condition that they lie between `low` and `high`.
    ///
    /// # Panics
    /// If the element type is not a float type.
    #[track_caller]
    pub fn truncated_normal(self, ty: TensorType, low: f64, high: f64) -> Tensor<'g> {
        let _scope = self.builder().scope("truncated_normal", &self.words);
        let share = |x: f64| math::erf(&mut Plain::<f64>::default(), x * std::f64::consts::FRAC_1_SQRT_2);
        let numbers = self.uniform(ty, share(low), share(high)).erf_inv() * std::f64::consts::SQRT_2;
        numbers.clamp(low, high)
    }

    /// Numbers of the exponential distribution of mean 1: `-ln(1 - u)` of uniform ones.
    ///
    /// # Panics
    /// If the element type is not a float type.
    #[track_caller]
    pub fn exponential(self, ty: TensorType) -> Tensor<'g> {
        let _scope = self.builder().scope("exponential", &self.words);
        -(-self.unit(&ty)).log1p()
    }

    /// Numbers of Gumbel's distribution of location 0 and scale 1: `-ln(-ln u)` of uniform ones, without 0.
    ///
    /// # Panics
    /// If the element type is not a float type.
    #[track_caller]
    pub fn gumbel(self, ty: TensorType) -> Tensor<'g> {
        let _scope = self.builder().scope("gumbel", &self.words);
        let least = if ty.dtype == DType::F64 { f64::MIN_POSITIVE } else { f32::MIN_POSITIVE.into() };
        -(-self.uniform(ty, least, 1.0).log()).log()
    }

    /// Truth values that hold with probability `p`, a number from 0 to 1: exactly so for multiples of 2^-23, of others for the next one above.
    ///
    /// # Panics
    /// If `p` is not from 0 to 1.
    #[track_caller]
    pub fn bernoulli(self, shape: impl Into<Shape>, p: f64) -> Tensor<'g> {
        assert!((0.0..=1.0).contains(&p), "bernoulli: {p} is not a probability");
        let _scope = self.builder().scope("bernoulli", &self.words);
        self.unit(&TensorType::new(DType::F32, shape)).lt(p)
    }

    /// Integers from `low` to below `high`, of an integer type: `floor(bits (high - low) / 2^32)`. The probabilities of two numbers differ by the share
    /// `(high - low) / 2^32` at most.
    ///
    /// # Panics
    /// If the element type is not an integer type or does not hold the bounds, or there are no numbers between them or more than 2^31.
    #[track_caller]
    pub fn integers(self, ty: TensorType, low: i64, high: i64) -> Tensor<'g> {
        let count = high.checked_sub(low).filter(|n| (1..=1 << 31).contains(n));
        let Some(count) = count else { panic!("integers: from {low} to below {high} there are not 1 to 2^31 numbers") };
        let _scope = self.builder().scope("integers", &self.words);
        if !ty.dtype.is_int() {
            let kind = OpErrorKind::Other("draws integers".to_owned());
            self.builder().check(Err(OpError::new("integers", &[&ty], kind)), &[])
        }
        // Both bounds must be numbers of the type.
        for bound in [low, high - 1] {
            self.builder().number(TensorType::new(ty.dtype, []), bound as f64);
        }
        let wide = self.bits(&ty.shape).cast(DType::I64);
        (((wide * count) >> 32) + low).cast(ty.dtype)
    }

    /// Positions along `axis`, which the result lacks, as `i32`: each chosen with the probability that its logit has in the softmax along the axis, by the
    /// largest of the logits plus Gumbel's numbers.
    ///
    /// # Panics
    /// If there is no such axis or it has no elements, or the element type is not a float type.
    #[track_caller]
    pub fn categorical(self, logits: Tensor<'g>, axis: isize) -> Tensor<'g> {
        let _scope = self.builder().scope("categorical", &[logits]);
        (logits + self.gumbel(logits.ty())).argmax(axis)
    }

    /// The numbers from 0 to below `n` in random order, as `i32`: the order of random words of 64 bits. Two of them are equal, and so keep their order,
    /// with a probability of about `n^2 / 2^65`.
    ///
    /// # Panics
    /// If `n` has no place in `i32`.
    #[track_caller]
    pub fn permutation(self, n: usize) -> Tensor<'g> {
        let _scope = self.builder().scope("permutation", &self.words);
        let shape = Shape::from([n]);
        let [high, low] =
            [ScalarFn::ThreefryFirst, ScalarFn::ThreefrySecond].map(|f| self.draw(f, &shape).cast(DType::I64));
        ((high << 32) | low).argsort(0, false)
    }
}

impl<'g> Tensor<'g> {
    /// For training: 0 with probability `rate`, else the element divided by `1 - rate`, so that the mean stays (Srivastava et al. 2014). Its cotangent is
    /// treated likewise. For inference, leave it out.
    ///
    /// # Panics
    /// If `rate` is not from 0 to 1, or the element type is not a float type.
    #[track_caller]
    pub fn dropout(self, rate: f64, key: Key<'g>) -> Tensor<'g> {
        assert!((0.0..=1.0).contains(&rate), "dropout: {rate} is not a probability");
        let _scope = self.builder.scope("dropout", &[self]);
        let zero = self.builder.number(self.ty(), 0.0);
        if rate == 1.0 {
            return zero;
        }
        let dropped = key.bernoulli(self.shape(), rate);
        dropped.select(zero, self * (1.0 / (1.0 - rate)))
    }
}
