//! The text of golden files: arrays, and cases made of lines that begin with a word. The scripts that write them say what the words mean.

use std::str::FromStr;

use cotangent::array::ArrayElement;
use cotangent::half::{bf16, f16};
use cotangent::prelude::*;

/// An array, as `f32[2, 3] 1 2 3 4 5 6`; `0*5` is five zeros.
pub fn array(text: &str) -> Array {
    fn elements<T: ArrayElement + FromStr>(shape: Vec<usize>, words: &str) -> Array {
        let mut elements = Vec::new();
        for word in words.split_whitespace() {
            let (word, count) = word.split_once('*').map_or((word, 1), |(w, n)| (w, n.parse().unwrap()));
            let element = T::from_str(word).unwrap_or_else(|_| panic!("`{word}` is no {}", T::DTYPE));
            elements.extend(std::iter::repeat_n(element, count));
        }
        Array::new(shape, elements).unwrap()
    }
    let (ty, words) = text.split_once(']').unwrap();
    let (dtype, dims) = ty.split_once('[').unwrap();
    let shape: Vec<usize> = dims.split(',').filter(|d| !d.is_empty()).map(|d| d.parse().unwrap()).collect();
    match dtype.parse().unwrap() {
        DType::Bool => elements::<bool>(shape, words),
        DType::U8 => elements::<u8>(shape, words),
        DType::U32 => elements::<u32>(shape, words),
        DType::I32 => elements::<i32>(shape, words),
        DType::I64 => elements::<i64>(shape, words),
        DType::F16 => elements::<f16>(shape, words),
        DType::BF16 => elements::<bf16>(shape, words),
        DType::F32 => elements::<f32>(shape, words),
        DType::F64 => elements::<f64>(shape, words),
    }
}

/// The cases of a file: the name of each, and the words and the rests of its lines.
pub fn cases(file: &str) -> Vec<(&str, Vec<(&str, &str)>)> {
    let mut cases: Vec<(&str, Vec<(&str, &str)>)> = Vec::new();
    for line in file.lines() {
        match line.split_once(' ').unwrap() {
            ("#", _) => {}
            ("case", name) => cases.push((name, Vec::new())),
            line => cases.last_mut().expect("a case comes first").1.push(line),
        }
    }
    cases
}
