//! Arrays as a model takes them: with its element types, and examples of its shapes.
//!
//! A conversion keeps the values where the element type holds them. Floats are rounded to the nearest number of a shorter float type, and integers that a float
//! type has no room for too; anything else that would be lost, a fraction or a number out of range, is an error with its row.

use crate::array::Array;
use crate::graph::{DType, Shape};

/// `[batch, ..]` for examples of this shape.
pub(super) fn with_batch(batch: usize, example: &Shape) -> Shape {
    std::iter::once(batch).chain(example.iter().copied()).collect()
}

/// The array with another element type and other axes behind the first. What is wrong is told as a sentence about the array.
pub(super) fn convert(array: Array, dtype: Option<DType>, example: Option<&Shape>) -> Result<Array, String> {
    let array = match dtype {
        Some(dtype) if dtype != array.dtype() => cast(&array, dtype)?,
        _ => array,
    };
    let Some(example) = example.filter(|example| array.shape()[1..] != example[..]) else { return Ok(array) };
    let per_example: usize = array.shape()[1..].iter().product();
    if per_example != example.numel() {
        let given = Shape::from(&array.shape()[1..]);
        return Err(format!("an example has shape {given}, the model takes {example}"));
    }
    let shape = with_batch(array.shape()[0], example);
    Ok(array.reshaped(shape).expect("the counts of elements are equal"))
}

/// Where in an array an element is: `row 3`, or `row 3, element 7 of it`, both counted from 0.
pub(super) fn place(shape: &Shape, position: usize) -> String {
    let width: usize = shape.iter().skip(1).product();
    match (shape.rank(), width) {
        (0, _) => "the number".to_owned(),
        (_, 0 | 1) => format!("row {position}"),
        _ => format!("row {}, element {} of it", position / width, position % width),
    }
}

/// The same numbers in another element type.
pub(super) fn cast(array: &Array, dtype: DType) -> Result<Array, String> {
    let values = array.to_f64_vec();
    let (low, high) = match dtype {
        DType::Bool => (0.0, 1.0),
        DType::U8 => (0.0, f64::from(u8::MAX)),
        DType::I32 => (f64::from(i32::MIN), f64::from(i32::MAX)),
        DType::U32 => (0.0, f64::from(u32::MAX)),
        DType::I64 => (-9.0e15, 9.0e15),
        DType::F16 => (-65_504.0, 65_504.0),
        DType::BF16 | DType::F32 => (-f64::from(f32::MAX), f64::from(f32::MAX)),
        DType::F64 => (f64::MIN, f64::MAX),
    };
    let holds = |v: f64| match dtype.is_float() {
        true => !v.is_finite() || (low..=high).contains(&v),
        false => v.fract() == 0.0 && (low..=high).contains(&v),
    };
    let shape = array.shape();
    if let Some(at) = values.iter().position(|&v| !holds(v)) {
        return Err(format!(
            "{} holds {}, which is no {dtype}, and the model takes that",
            place(shape, at),
            values[at]
        ));
    }
    let array = match dtype {
        DType::Bool => Array::new(shape, values.into_iter().map(|v| v != 0.0).collect::<Vec<bool>>()),
        DType::U8 => Array::new(shape, values.into_iter().map(|v| v as u8).collect()),
        DType::I32 => Array::new(shape, values.into_iter().map(|v| v as i32).collect()),
        DType::U32 => Array::new(shape, values.into_iter().map(|v| v as u32).collect()),
        DType::I64 => Array::new(shape, values.into_iter().map(|v| v as i64).collect()),
        DType::F16 => Array::new(shape, values.into_iter().map(half::f16::from_f64).collect()),
        DType::BF16 => Array::new(shape, values.into_iter().map(half::bf16::from_f64).collect()),
        DType::F32 => Array::new(shape, values.into_iter().map(|v| v as f32).collect()),
        DType::F64 => Array::new(shape, values),
    };
    Ok(array.expect("as many elements as before"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_converted_or_refused_with_their_row() {
        let table = Array::from([[1.0f64, 2.0], [3.0, 4.5]]);
        assert_eq!(cast(&table, DType::F32), Ok(Array::from([[1.0f32, 2.0], [3.0, 4.5]])));
        let error = "row 1, element 1 of it holds 4.5, which is no i32, and the model takes that";
        assert_eq!(cast(&table, DType::I32), Err(error.to_owned()));
        let labels = Array::from([0i64, -1]);
        assert_eq!(cast(&labels, DType::I32), Ok(Array::from([0i32, -1])));
        assert!(cast(&labels, DType::U8).unwrap_err().starts_with("row 1 holds -1, which is no u8"));
        let wide = Array::from([f64::NAN, f64::INFINITY, 1e300]);
        assert!(cast(&wide, DType::F32).unwrap_err().starts_with("row 2 holds "));
        assert_eq!(cast(&Array::from([0.1f64]), DType::F32), Ok(Array::from([0.1f32])));
    }
}
