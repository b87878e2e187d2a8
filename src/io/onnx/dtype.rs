//! The element types of ONNX and which of them this crate has.

use crate::graph::DType;
use crate::io::ElementType;

use super::narrow::{self, Format};

/// An element type as an ONNX file names it: by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OnnxType(pub i32);

/// What an element type of ONNX is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// One of files of arrays.
    Element(ElementType),
    /// Floats that are held in single precision.
    Narrow(&'static Format),
    /// Nothing but a name.
    Missing(&'static str),
}

use Kind::{Element, Missing, Narrow};

const TYPES: &[(i32, Kind)] = &[
    (0, Missing("undefined")),
    (1, Element(ElementType::Plain(DType::F32))),
    (2, Element(ElementType::Plain(DType::U8))),
    (3, Element(ElementType::I8)),
    (4, Element(ElementType::U16)),
    (5, Element(ElementType::I16)),
    (6, Element(ElementType::Plain(DType::I32))),
    (7, Element(ElementType::Plain(DType::I64))),
    (8, Missing("string")),
    (9, Element(ElementType::Plain(DType::Bool))),
    (10, Element(ElementType::Plain(DType::F16))),
    (11, Element(ElementType::Plain(DType::F64))),
    (12, Element(ElementType::Plain(DType::U32))),
    (13, Element(ElementType::U64)),
    (14, Missing("complex64")),
    (15, Missing("complex128")),
    (16, Element(ElementType::Plain(DType::BF16))),
    (17, Narrow(&narrow::E4M3FN)),
    (18, Narrow(&narrow::E4M3FNUZ)),
    (19, Narrow(&narrow::E5M2)),
    (20, Narrow(&narrow::E5M2FNUZ)),
    (21, Element(ElementType::U4)),
    (22, Element(ElementType::I4)),
    (23, Narrow(&narrow::E2M1)),
    (24, Narrow(&narrow::E8M0)),
    (25, Element(ElementType::U2)),
    (26, Element(ElementType::I2)),
    (27, Narrow(&narrow::E2M3)),
    (28, Narrow(&narrow::E3M2)),
];

impl OnnxType {
    fn kind(self) -> Kind {
        TYPES.iter().find(|t| t.0 == self.0).map_or(Missing("unknown"), |t| t.1)
    }

    /// The element type here, if there is one.
    pub fn dtype(self) -> Option<DType> {
        match self.kind() {
            Element(ElementType::Plain(dtype)) => Some(dtype),
            _ => None,
        }
    }

    /// The element type as files of arrays have it, if there is one: also of integers that are [held](super::Bindings::hold_integers) in a wider type here.
    pub fn element_type(self) -> Option<ElementType> {
        match self.kind() {
            Element(element) => Some(element),
            _ => None,
        }
    }

    /// The format of narrow floats, which are [held](super::Bindings::hold_floats) in single precision.
    pub(super) fn format(self) -> Option<&'static Format> {
        match self.kind() {
            Narrow(format) => Some(format),
            _ => None,
        }
    }

    /// The element type's number in files.
    pub fn of(dtype: DType) -> OnnxType {
        OnnxType(TYPES.iter().find(|t| t.1 == Element(dtype.into())).map_or(0, |t| t.0))
    }

    /// The name in the specification, without its prefix.
    pub fn name(self) -> &'static str {
        match self.kind() {
            Element(element) => element.numpy_name(),
            Narrow(format) => format.name,
            Missing(name) => name,
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
