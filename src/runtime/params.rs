//! Parameters: tensors that live from run to run, shared between executables.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::array::{Array, ArrayView};
use crate::graph::{Name, TensorType};

use super::pages;

/// Why a parameter cannot be read or set.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParamError {
    /// There is no parameter of this name.
    #[error("there is no parameter called `{name}`; there are: {}", .known.join(", "))]
    Unknown {
        /// The name given.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// Two programs that share parameters mean different things by one name.
    #[error(
        "parameter `{name}` is {declared} in this program, but {shared} in the program whose parameters it is to share; give one of the two another name"
    )]
    Conflict {
        /// The parameter's name.
        name: String,
        /// Its type in the program that is being compiled.
        declared: Box<TensorType>,
        /// Its type in the parameters that are there.
        shared: Box<TensorType>,
    },
    /// The array is typed unlike the parameter.
    #[error("parameter `{name}` is {expected}, the array given is {given}")]
    Type {
        /// The parameter's name.
        name: String,
        /// Its type.
        expected: TensorType,
        /// The array's type.
        given: TensorType,
    },
}

crate::error::debug_as_display!(ParamError);

/// A parameter that a program has.
#[derive(Clone, Copy)]
pub(crate) struct Declaration<'a> {
    pub(crate) name: &'a Name,
    pub(crate) ty: &'a TensorType,
    /// Zeros if there is none.
    pub(crate) initial: Option<&'a Array>,
}

/// The values behind a [`Params`]. Parameters are added and overwritten, never removed, so that a number means the same one for ever.
#[derive(Debug, Default)]
pub(crate) struct Store {
    numbers: BTreeMap<Name, usize>,
    values: Vec<Array>,
    /// For each value a count that grows whenever it may have changed.
    versions: Vec<u64>,
}

impl Store {
    /// The number of a parameter.
    pub(crate) fn number(&self, name: &str) -> Option<usize> {
        self.numbers.get(name).copied()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Array> {
        self.number(name).map(|number| &self.values[number])
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Array> {
        let number = self.number(name)?;
        Some(self.value_mut(number))
    }

    /// All values, by number.
    pub(crate) fn values(&self) -> &[Array] {
        &self.values
    }

    /// A value, by its number, to be changed.
    pub(crate) fn value_mut(&mut self, number: usize) -> &mut Array {
        self.versions[number] += 1;
        &mut self.values[number]
    }

    /// How often a value, by its number, has been open to changes.
    pub(crate) fn version(&self, number: usize) -> u64 {
        self.versions[number]
    }

    /// Adds a parameter unless there is one of this name.
    fn add(&mut self, name: &Name, value: impl FnOnce() -> Array) {
        if !self.numbers.contains_key(name) {
            self.numbers.insert(name.clone(), self.values.len());
            self.values.push(value());
            self.versions.push(0);
        }
    }
}

/// A shared handle on parameters by name: weights, optimizer moments, step counts.
///
/// Clones share the values. A run holds the lock while it lasts, so a reader sees values from between two runs.
#[derive(Clone, Debug, Default)]
pub struct Params(Arc<RwLock<Store>>);

impl Params {
    /// No parameters.
    pub fn new() -> Params {
        Params::default()
    }

    /// The names, in alphabetical order.
    pub fn names(&self) -> Vec<Name> {
        self.read().numbers.keys().cloned().collect()
    }

    /// Type of a parameter.
    ///
    /// # Errors
    /// If there is no parameter of this name.
    pub fn ty(&self, name: &str) -> Result<TensorType, ParamError> {
        self.with(name, Array::ty)
    }

    /// A copy of a parameter's value.
    ///
    /// # Errors
    /// If there is no parameter of this name.
    pub fn get(&self, name: &str) -> Result<Array, ParamError> {
        self.with(name, Array::clone)
    }

    /// Hands a parameter's value to `look` where it lies, without a copy. Programs that update parameters do not run meanwhile, so `look` must not run one, nor
    /// set a parameter: it would wait for itself.
    ///
    /// # Errors
    /// If there is no parameter of this name.
    pub fn with<R>(&self, name: &str, look: impl FnOnce(&Array) -> R) -> Result<R, ParamError> {
        let store = self.read();
        match store.get(name) {
            Some(value) => Ok(look(value)),
            None => {
                drop(store);
                Err(self.unknown(name))
            }
        }
    }

    /// Copies of all parameters, in alphabetical order of their names.
    pub fn values(&self) -> Vec<(Name, Array)> {
        let store = self.read();
        store.numbers.iter().map(|(name, &number)| (name.clone(), store.values[number].clone())).collect()
    }

    /// Overwrites a parameter's value.
    ///
    /// # Errors
    /// If there is no parameter of this name, or the array is typed unlike it. Nothing is changed then.
    pub fn set<'a>(&self, name: &str, value: impl Into<ArrayView<'a>>) -> Result<(), ParamError> {
        let (value, mut store) = (value.into(), self.write());
        let Some(number) = store.number(name) else {
            drop(store);
            return Err(self.unknown(name));
        };
        let expected = store.values[number].ty();
        if expected != value.ty() {
            return Err(ParamError::Type { name: name.to_owned(), expected, given: value.ty() });
        }
        store.value_mut(number).copy_from(&value);
        Ok(())
    }

    /// Checks that [`Params::declare`] will find nothing wrong.
    pub(crate) fn check(&self, declared: &[Declaration<'_>]) -> Result<(), ParamError> {
        let store = self.read();
        for &Declaration { name, ty, initial } in declared {
            if let Some(initial) = initial.filter(|i| i.ty() != *ty) {
                return Err(ParamError::Type { name: name.to_string(), expected: ty.clone(), given: initial.ty() });
            }
            if let Some(shared) = store.get(name).map(Array::ty).filter(|shared| shared != ty) {
                let (declared, shared) = (Box::new(ty.clone()), Box::new(shared));
                return Err(ParamError::Conflict { name: name.to_string(), declared, shared });
            }
        }
        Ok(())
    }

    /// Adds those parameters that are not there yet, or none of them if one does not fit.
    pub(crate) fn declare(&self, declared: &[Declaration<'_>]) -> Result<(), ParamError> {
        self.check(declared)?;
        let mut store = self.write();
        for &Declaration { name, ty, initial } in declared {
            store.add(name, || match initial {
                Some(initial) => initial.view().to_array_in(pages::prepare),
                None => {
                    let mut zeros = Array::zeros(ty);
                    pages::prepare(zeros.as_mut_ptr(), ty.bytes());
                    zeros
                }
            });
        }
        Ok(())
    }

    /// Locks for reading. A panic during a run leaves numbers, not broken invariants, so a poisoned lock is taken all the same.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Store> {
        self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Locks for writing.
    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Store> {
        self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn unknown(&self, name: &str) -> ParamError {
        ParamError::Unknown { name: name.to_owned(), known: self.names().iter().map(|n| n.to_string()).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What there is not is told without a lock held, so that others can go on.
    #[test]
    fn looking_at_what_there_is_not() {
        let params = Params::new();
        let (name, ty): (Name, _) = ("weights".into(), Array::from([0.0f32; 2]).ty());
        params.declare(&[Declaration { name: &name, ty: &ty, initial: None }]).expect("nothing is there yet");
        assert_eq!(params.with("weights", Array::to_f64_vec), Ok(vec![0.0, 0.0]));
        let error = params.with("weight", Array::to_f64_vec).expect_err("there is none");
        assert_eq!(error.to_string(), "there is no parameter called `weight`; there are: weights");
        assert!(params.0.try_write().is_ok());
    }

    #[test]
    fn only_what_may_have_changed_has_another_version() {
        let params = Params::new();
        let (a, b): (Name, Name) = ("a".into(), "b".into());
        let ty = Array::from([0.0f32; 2]).ty();
        let declared = [&a, &b].map(|name| Declaration { name, ty: &ty, initial: None });
        params.declare(&declared).expect("nothing is there yet");
        let versions =
            || ["a", "b"].map(|name| params.read().version(params.read().number(name).expect("it is there")));
        let first = versions();
        params.set("b", &Array::from([1.0f32, 2.0])).expect("it is of this type");
        let second = versions();
        assert!(second[0] == first[0] && second[1] > first[1]);
        params.set("a", &Array::from([1.0f64, 2.0])).expect_err("it is of another type");
        params.set("c", &Array::from([1.0f32, 2.0])).expect_err("there is none");
        params.declare(&declared).expect("they are as they were");
        assert_eq!(versions(), second);
    }
}
