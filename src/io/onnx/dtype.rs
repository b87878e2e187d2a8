//! The element types of ONNX and which of them this crate has.

use crate::graph::DType;
use crate::io::ElementType;

/// An element type as an ONNX file names it: by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OnnxType(pub i32);

/// Number, and the element type here or the name.
const TYPES: &[(i32, Result<ElementType, &str>)] = &[
    (0, Err("undefined")),
    (1, Ok(ElementType::Plain(DType::F32))),
    (2, Ok(ElementType::Plain(DType::U8))),
    (3, Ok(ElementType::I8)),
    (4, Ok(ElementType::U16)),
    (5, Ok(ElementType::I16)),
    (6, Ok(ElementType::Plain(DType::I32))),
    (7, Ok(ElementType::Plain(DType::I64))),
    (8, Err("string")),
    (9, Ok(ElementType::Plain(DType::Bool))),
    (10, Ok(ElementType::Plain(DType::F16))),
    (11, Ok(ElementType::Plain(DType::F64))),
    (12, Ok(ElementType::Plain(DType::U32))),
    (13, Ok(ElementType::U64)),
    (14, Err("complex64")),
    (15, Err("complex128")),
    (16, Ok(ElementType::Plain(DType::BF16))),
    (17, Err("float8e4m3fn")),
    (18, Err("float8e4m3fnuz")),
    (19, Err("float8e5m2")),
    (20, Err("float8e5m2fnuz")),
    (21, Ok(ElementType::U4)),
    (22, Ok(ElementType::I4)),
    (23, Err("float4e2m1")),
    (24, Err("float8e8m0")),
    (25, Ok(ElementType::U2)),
    (26, Ok(ElementType::I2)),
];

impl OnnxType {
    fn entry(self) -> Result<ElementType, &'static str> {
        TYPES.iter().find(|t| t.0 == self.0).map_or(Err("unknown"), |t| t.1)
    }

    /// The element type here, if there is one.
    pub fn dtype(self) -> Option<DType> {
        match self.entry() {
            Ok(ElementType::Plain(dtype)) => Some(dtype),
            _ => None,
        }
    }

    /// The element type as files of arrays have it, if there is one: also of integers that are [held](super::Bindings::hold_integers) in a wider type here.
    pub fn element_type(self) -> Option<ElementType> {
        self.entry().ok()
    }

    /// The element type's number in files.
    pub fn of(dtype: DType) -> OnnxType {
        OnnxType(TYPES.iter().find(|t| t.1 == Ok(dtype.into())).map_or(0, |t| t.0))
    }

    /// The name in the specification, without its prefix.
    pub fn name(self) -> &'static str {
        match self.entry() {
            Ok(element) => element.numpy_name(),
            Err(name) => name,
        }
    }
}

impl std::fmt::Display for OnnxType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_type_has_a_number() {
        for dtype in DType::ALL {
            assert_eq!(OnnxType::of(dtype).dtype(), Some(dtype));
        }
    }
}
