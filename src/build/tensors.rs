//! Tensors in tuples and lists: what loops carry and give.

use super::Tensor;

/// Any number of tensors: a tensor, an array, a [`Vec`], a tuple of up to six of these, or `()`.
pub trait Tensors<'g>: Sized {
    /// Appends the tensors, in order.
    fn collect_into(&self, list: &mut Vec<Tensor<'g>>);

    /// The same arrangement of other tensors, taken in order.
    ///
    /// # Panics
    /// If there are too few.
    fn rearrange(&self, tensors: &mut dyn Iterator<Item = Tensor<'g>>) -> Self;

    /// The tensors, in order.
    fn list(&self) -> Vec<Tensor<'g>> {
        let mut list = Vec::new();
        self.collect_into(&mut list);
        list
    }
}

impl<'g> Tensors<'g> for Tensor<'g> {
    fn collect_into(&self, list: &mut Vec<Tensor<'g>>) {
        list.push(*self);
    }

    fn rearrange(&self, tensors: &mut dyn Iterator<Item = Tensor<'g>>) -> Self {
        tensors.next().expect("there are as many tensors")
    }
}

impl<'g, T: Tensors<'g>, const N: usize> Tensors<'g> for [T; N] {
    fn collect_into(&self, list: &mut Vec<Tensor<'g>>) {
        self.iter().for_each(|t| t.collect_into(list));
    }

    fn rearrange(&self, tensors: &mut dyn Iterator<Item = Tensor<'g>>) -> Self {
        std::array::from_fn(|i| self[i].rearrange(tensors))
    }
}

impl<'g, T: Tensors<'g>> Tensors<'g> for Vec<T> {
    fn collect_into(&self, list: &mut Vec<Tensor<'g>>) {
        self.iter().for_each(|t| t.collect_into(list));
    }

    fn rearrange(&self, tensors: &mut dyn Iterator<Item = Tensor<'g>>) -> Self {
        self.iter().map(|t| t.rearrange(tensors)).collect()
    }
}

impl<'g> Tensors<'g> for () {
    fn collect_into(&self, _: &mut Vec<Tensor<'g>>) {}

    fn rearrange(&self, _: &mut dyn Iterator<Item = Tensor<'g>>) -> Self {}
}

macro_rules! tuples {
    ($(($($t:ident $i:tt),+);)*) => {
        $(impl<'g, $($t: Tensors<'g>),+> Tensors<'g> for ($($t,)+) {
            fn collect_into(&self, list: &mut Vec<Tensor<'g>>) {
                $(self.$i.collect_into(list);)+
            }

            fn rearrange(&self, tensors: &mut dyn Iterator<Item = Tensor<'g>>) -> Self {
                ($(self.$i.rearrange(tensors),)+)
            }
        })*
    };
}
tuples! {
    (A 0);
    (A 0, B 1);
    (A 0, B 1, C 2);
    (A 0, B 1, C 2, D 3);
    (A 0, B 1, C 2, D 3, E 4);
    (A 0, B 1, C 2, D 3, E 4, F 5);
}
