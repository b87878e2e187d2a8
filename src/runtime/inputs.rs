//! The ways to give a run its inputs.

use crate::array::{Array, ArrayView};

use super::RunError;

/// Inputs of a run: a list of names with arrays. An array, slice or vector of pairs, in which the second is an [`ArrayView`] or a borrowed [`Array`]; or `&[]`
/// where a program has no inputs.
///
/// ```
/// # use cotangent::prelude::*;
/// # let g = Builder::new();
/// # let (x, y) = (g.input("x", f32([2])), g.input("y", f32([2])));
/// # let mut sum = g.program(&[("sum", x + y)]).compile(&Options::engine(Engine::Interp))?;
/// # let mut one = g.program(&[("one", g.ones(f32([])))]).compile(&Options::engine(Engine::Interp))?;
/// let (a, b) = (Array::from([1.0f32, 2.0]), Array::from([3.0f32, 4.0]));
/// sum.run(&[("x", &a), ("y", &b)])?;
/// one.run(&[])?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Inputs<'a> {
    /// Hands each name with its array to `take`, until that fails.
    ///
    /// # Errors
    /// That of `take`.
    fn each(self, take: &mut dyn FnMut(&str, ArrayView<'a>) -> Result<(), RunError>) -> Result<(), RunError>;
}

impl<'a, V: Clone + Into<ArrayView<'a>>> Inputs<'a> for &[(&str, V)] {
    fn each(self, take: &mut dyn FnMut(&str, ArrayView<'a>) -> Result<(), RunError>) -> Result<(), RunError> {
        self.iter().try_for_each(|(name, view)| take(name, view.clone().into()))
    }
}

impl<'a, V: Clone + Into<ArrayView<'a>>> Inputs<'a> for &Vec<(&str, V)> {
    fn each(self, take: &mut dyn FnMut(&str, ArrayView<'a>) -> Result<(), RunError>) -> Result<(), RunError> {
        self.as_slice().each(take)
    }
}

impl<'a> Inputs<'a> for &[(&str, &'a Array); 0] {
    fn each(self, _: &mut dyn FnMut(&str, ArrayView<'a>) -> Result<(), RunError>) -> Result<(), RunError> {
        Ok(())
    }
}

// One implementation for all lengths would leave the type of the arrays open where there are none, and `run(&[])` would not compile.
macro_rules! array_inputs {
    ($($count:literal)*) => {$(
        impl<'a, V: Clone + Into<ArrayView<'a>>> Inputs<'a> for &[(&str, V); $count] {
            fn each(self, take: &mut dyn FnMut(&str, ArrayView<'a>) -> Result<(), RunError>) -> Result<(), RunError> {
                self.as_slice().each(take)
            }
        }
    )*};
}
array_inputs!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32);
