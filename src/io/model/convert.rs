//! Arrays as a model takes them: with its element types, and examples of its shapes.
//!
//! A conversion keeps the values where the element type holds them. Floats are rounded to the nearest number of a shorter float type, and integers that a float
//! type has no room for too; anything else that would be lost, a fraction or a number out of range, is an error with its row.

use crate::array::Array;
use crate::graph::{DType, Shape};
use crate::io::ElementType;

/// `[batch, ..]` for examples of this shape.
pub(super) fn with_batch(batch: usize, example: &Shape) -> Shape {
    std::iter::once(batch).chain(example.iter().copied()).collect()
}

/// The array, whose numbers are of the type `from`, with another element type and other axes behind the first. What is wrong is told as a sentence about the
/// array.
pub(super) fn convert(
    array: Array,
    from: ElementType,
    to: Option<ElementType>,
    example: Option<&Shape>,
) -> Result<Array, String> {
    let array = match to {
        Some(to) if to != from => cast(array, from, to)?,
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

/// What is wrong with an element that is none of the type.
fn misfit(array: &Array, at: usize, element: ElementType) -> String {
    let value = match array.as_slice::<i64>() {
        Ok(elements) => elements[at].to_string(),
        _ => array.get_f64(at).to_string(),
    };
    format!("{} holds {value}, which is no {element}, and the model takes that", place(array.shape(), at))
}

/// Checks that an array of the holder has numbers of this type only.
pub(super) fn expect_inside(array: &Array, element: ElementType) -> Result<(), String> {
    match element.outside(&array.view()) {
        Some(at) => Err(misfit(array, at, element)),
        None => Ok(()),
    }
}

/// Checks that the numbers of an array, those of the type `from`, are held as the type `to` in the same array, if that is of its holder.
pub(super) fn expect_held(array: &Array, from: ElementType, to: ElementType) -> Result<(), String> {
    match (from, to) {
        _ if from == to || array.dtype() != to.holder() => Ok(()),
        (ElementType::U64, _) => Err(format!("the array is {from}, the model takes {to}")),
        (_, ElementType::U64) => {
            let elements: &[i64] = array.as_slice().expect("it is the holder's type");
            let negative = elements.iter().position(|&v| v < 0);
            negative.map_or(Ok(()), |at| Err(misfit(array, at, to)))
        }
        _ => expect_inside(array, to),
    }
}

/// The same numbers in another element type.
fn cast(array: Array, from: ElementType, to: ElementType) -> Result<Array, String> {
    if array.dtype() == to.holder() {
        return expect_held(&array, from, to).map(|()| array);
    }
    if from == ElementType::U64 {
        return Err(format!("the array is {from}, the model takes {to}"));
    }
    let (array, dtype) = (&array, to.holder());
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
    let own = to.bits().map(|bits| bits.range());
    let (low, high) = own.map_or((low, high), |(least, most)| (low.max(least as f64), high.min(most as f64)));
    let holds = |v: f64| match dtype.is_float() {
        true => !v.is_finite() || (low..=high).contains(&v),
        false => v.fract() == 0.0 && (low..=high).contains(&v),
    };
    let shape = array.shape();
    if let Some(at) = values.iter().position(|&v| !holds(v)) {
        return Err(misfit(array, at, to));
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
        let to = |array: &Array, to: ElementType| cast(array.clone(), array.dtype().into(), to);
        let table = Array::from([[1.0f64, 2.0], [3.0, 4.5]]);
        assert_eq!(to(&table, DType::F32.into()), Ok(Array::from([[1.0f32, 2.0], [3.0, 4.5]])));
        let error = "row 1, element 1 of it holds 4.5, which is no i32, and the model takes that";
        assert_eq!(to(&table, DType::I32.into()), Err(error.to_owned()));
        let labels = Array::from([0i64, -1]);
        assert_eq!(to(&labels, DType::I32.into()), Ok(Array::from([0i32, -1])));
        assert!(to(&labels, DType::U8.into()).unwrap_err().starts_with("row 1 holds -1, which is no u8"));
        let wide = Array::from([f64::NAN, f64::INFINITY, 1e300]);
        assert!(to(&wide, DType::F32.into()).unwrap_err().starts_with("row 2 holds "));
        assert_eq!(to(&Array::from([0.1f64]), DType::F32.into()), Ok(Array::from([0.1f32])));
    }

    #[test]
    fn integers_held_in_wider_types_keep_to_their_own_range() {
        let to = |array: Array, to: ElementType| cast(array.clone(), array.dtype().into(), to);
        assert_eq!(to(Array::from([-128i64, 127]), ElementType::I8), Ok(Array::from([-128i32, 127])));
        assert_eq!(to(Array::from([-128i32, 127]), ElementType::I8), Ok(Array::from([-128i32, 127])));
        assert!(
            to(Array::from([0i32, 128]), ElementType::I8).unwrap_err().starts_with("row 1 holds 128, which is no int8")
        );
        assert!(to(Array::from([-1.0f64]), ElementType::U16).unwrap_err().contains("holds -1, which is no uint16"));
        assert_eq!(to(Array::from([i64::MAX]), ElementType::U64), Ok(Array::from([i64::MAX])));
        assert!(
            to(Array::from([i64::MIN]), ElementType::U64)
                .unwrap_err()
                .contains("-9223372036854775808, which is no uint64")
        );
        let large = Array::from([-1i64]);
        assert_eq!(cast(large.clone(), ElementType::U64, ElementType::U64), Ok(large.clone()));
        for other in [DType::I64, DType::F32, DType::I32] {
            assert_eq!(
                cast(large.clone(), ElementType::U64, other.into()),
                Err(format!("the array is uint64, the model takes {other}"))
            );
        }
    }
}
