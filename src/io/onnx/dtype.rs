//! The element types of ONNX and which of them this crate has.

use crate::graph::DType;

/// An element type as an ONNX file names it: by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OnnxType(pub i32);

/// Number, name, and the element type here.
const TYPES: &[(i32, &str, Option<DType>)] = &[
    (0, "undefined", None),
    (1, "float32", Some(DType::F32)),
    (2, "uint8", Some(DType::U8)),
    (3, "int8", None),
    (4, "uint16", None),
    (5, "int16", None),
    (6, "int32", Some(DType::I32)),
    (7, "int64", Some(DType::I64)),
    (8, "string", None),
    (9, "bool", Some(DType::Bool)),
    (10, "float16", Some(DType::F16)),
    (11, "float64", Some(DType::F64)),
    (12, "uint32", Some(DType::U32)),
    (13, "uint64", None),
    (14, "complex64", None),
    (15, "complex128", None),
    (16, "bfloat16", Some(DType::BF16)),
    (17, "float8e4m3fn", None),
    (18, "float8e4m3fnuz", None),
    (19, "float8e5m2", None),
    (20, "float8e5m2fnuz", None),
    (21, "uint4", None),
    (22, "int4", None),
    (23, "float4e2m1", None),
    (24, "float8e8m0", None),
    (25, "uint2", None),
    (26, "int2", None),
];

impl OnnxType {
    /// The element type here, if there is one.
    pub fn dtype(self) -> Option<DType> {
        TYPES.iter().find(|t| t.0 == self.0).and_then(|t| t.2)
    }

    /// The element type's number in files.
    pub fn of(dtype: DType) -> OnnxType {
        OnnxType(TYPES.iter().find(|t| t.2 == Some(dtype)).map_or(0, |t| t.0))
    }

    /// The name in the specification, without its prefix.
    pub fn name(self) -> &'static str {
        TYPES.iter().find(|t| t.0 == self.0).map_or("unknown", |t| t.1)
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
