//! Weights from elsewhere, by name.

use std::collections::BTreeMap;

use crate::array::Array;
use crate::graph::{Name, TensorType};
use crate::runtime::Params;

/// Why a state dict is not that of a program's layers. Nothing is changed then.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("the state dict does not fit the program's parameters:{}", self.lines())]
pub struct StateDictError {
    /// Names of arrays that no parameter has.
    pub unexpected: Vec<String>,
    /// Parameters that are typed otherwise: their type, then that of the array.
    pub types: Vec<(String, TensorType, TensorType)>,
    /// The parameters that there are.
    pub known: Vec<String>,
}

crate::error::debug_as_display!(StateDictError);

impl StateDictError {
    /// What differs, a line each.
    fn lines(&self) -> String {
        let mut lines = String::new();
        if !self.unexpected.is_empty() {
            let (names, known) = (self.unexpected.join(", "), self.known.join(", "));
            lines += &format!("\n  not a parameter: {names}\n  the parameters are: {known}");
        }
        for (name, ty, given) in &self.types {
            lines += &format!("\n  `{name}` is {ty}, the array is {given}");
        }
        lines
    }
}

/// Sets parameters and states to arrays of the same names and types, such as those of a PyTorch `state_dict`. Gives the names of the others, which keep their
/// values: an optimizer's states, and layers that the state dict does not have.
///
/// ```
/// use std::collections::BTreeMap;
///
/// use cotangent::nn::{Context, Linear, Module, Path, load_state_dict};
/// use cotangent::prelude::*;
///
/// let g = Builder::new();
/// let layer = Linear::new(&Path::root(&g).at("fc"), 2, 1);
/// let y = layer.forward(g.input("x", f32([1, 2])), &mut Context::infer());
/// let mut f = g.program(&[("y", y)]).compile(&Options::default())?;
///
/// // As read from a safetensors file.
/// let arrays = [("fc.weight", Array::from([[2.0f32, 3.0]])), ("fc.bias", Array::from([1.0f32]))];
/// let arrays: BTreeMap<String, Array> = arrays.map(|(name, array)| (name.to_owned(), array)).into();
/// assert!(load_state_dict(f.params(), &arrays)?.is_empty());
/// assert_eq!(f.run(&[("x", &Array::from([[10.0f32, 100.0]]))])?.first(), &Array::from([[321.0f32]]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If an array has no parameter of its name, or is typed unlike it.
pub fn load_state_dict(params: &Params, arrays: &BTreeMap<String, Array>) -> Result<Vec<Name>, StateDictError> {
    let (mut unexpected, mut types) = (Vec::new(), Vec::new());
    for (name, array) in arrays {
        match params.ty(name) {
            Err(_) => unexpected.push(name.clone()),
            Ok(ty) if ty != array.ty() => types.push((name.clone(), ty, array.ty())),
            Ok(_) => {}
        }
    }
    if !unexpected.is_empty() || !types.is_empty() {
        let known = params.names().iter().map(|n| n.to_string()).collect();
        return Err(StateDictError { unexpected, types, known });
    }
    for (name, array) in arrays {
        params.set(name, array).expect("the parameter is there and of this type");
    }
    let mut others = params.names();
    others.retain(|name| !arrays.contains_key(&**name));
    Ok(others)
}
