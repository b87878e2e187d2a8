//! Arrays of the crate [`ndarray`](::ndarray), in and out. Elements that lie row-major and without gaps are moved or borrowed, not copied.

use ::ndarray::{self as nd, ArrayBase, Data, Dimension, IxDyn};

use crate::array::{Array, ArrayElement, ArrayError, ArrayView};

impl<T: ArrayElement, D: Dimension> From<nd::Array<T, D>> for Array {
    /// The same elements. They are moved if they lie row-major and without gaps, and copied otherwise.
    fn from(array: nd::Array<T, D>) -> Array {
        let shape = array.shape().to_vec();
        let elements = if array.is_standard_layout() {
            let count = array.len();
            let (mut elements, offset) = array.into_raw_vec_and_offset();
            elements.drain(..offset.unwrap_or(0));
            elements.truncate(count);
            elements
        } else {
            array.iter().copied().collect()
        };
        Array::new(shape, elements).expect("as many elements as the shape holds")
    }
}

impl<'a, T: ArrayElement, S: Data<Elem = T>, D: Dimension> TryFrom<&'a ArrayBase<S, D>> for ArrayView<'a> {
    type Error = ArrayError;

    /// A view of the same elements, to give a run.
    ///
    /// # Errors
    /// [`ArrayError::Order`] if they do not lie row-major and without gaps; `as_standard_layout` of `ndarray` gives a copy that does.
    fn try_from(array: &'a ArrayBase<S, D>) -> Result<ArrayView<'a>, ArrayError> {
        let elements = array.as_slice().ok_or(ArrayError::Order)?;
        ArrayView::new(array.shape(), elements)
    }
}

impl Array {
    /// The array as one of `ndarray`, whose elements are these.
    ///
    /// # Errors
    /// [`ArrayError::DType`] if the elements are not of type `T`.
    pub fn into_ndarray<T: ArrayElement>(self) -> Result<nd::ArrayD<T>, ArrayError> {
        let shape = IxDyn(self.shape());
        let elements = self.into_vec::<T>()?;
        Ok(nd::ArrayD::from_shape_vec(shape, elements).expect("as many elements as the shape holds"))
    }

    /// A view of the elements as an array of `ndarray`.
    ///
    /// # Errors
    /// [`ArrayError::DType`] if the elements are not of type `T`.
    pub fn as_ndarray<T: ArrayElement>(&self) -> Result<nd::ArrayViewD<'_, T>, ArrayError> {
        let elements = self.as_slice::<T>()?;
        let view = nd::ArrayViewD::from_shape(IxDyn(self.shape()), elements);
        Ok(view.expect("as many elements as the shape holds"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_moved_where_they_can_be() {
        let rows = nd::arr2(&[[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]]);
        let at = rows.as_ptr();
        let array = Array::from(rows);
        assert_eq!(array, Array::from([[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]]));
        assert_eq!(array.as_slice::<f32>().unwrap().as_ptr(), at);
        assert_eq!(array.as_ndarray::<f32>().unwrap().as_ptr(), at);
        assert_eq!(
            ArrayView::try_from(&array.as_ndarray::<f32>().unwrap()).unwrap().as_slice::<f32>().unwrap().as_ptr(),
            at
        );
        let back = array.into_ndarray::<f32>().unwrap();
        assert_eq!(back.as_ptr(), at);
        assert!(Array::from([1i32]).into_ndarray::<f32>().is_err());
    }

    #[test]
    fn other_layouts_keep_their_elements() {
        let rows = nd::arr2(&[[1i64, 2, 3], [4, 5, 6]]);
        let columns = rows.t();
        assert_eq!(ArrayView::try_from(&columns).unwrap_err(), ArrayError::Order);
        assert_eq!(Array::from(columns.to_owned()), Array::from([[1i64, 4], [2, 5], [3, 6]]));
        let part = rows.slice_move(nd::s![1.., ..2]);
        assert_eq!(Array::from(part), Array::from([[4i64, 5]]));
        assert_eq!(Array::from(nd::arr0(true)), Array::scalar(true));
        assert_eq!(Array::from(nd::Array2::<f64>::zeros((0, 3))).shape()[..], [0, 3]);
    }
}
