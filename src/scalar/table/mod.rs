//! The records of all scalar functions, by family.
//!
//! A family's file is a list of records wrapped in a macro, because one enumeration has to be made of all of them: each family hands the records so far
//! and its own on to the next. What several records of a family share stands below its list.

/// Collects the records of the families in brackets, one after the other, and defines the table of them.
macro_rules! table {
    ([] $($records:tt)*) => { scalar_functions! { $($records)* } };
    ([$family:ident $($rest:ident)*] $($records:tt)*) => { $family! { [$($rest)*] $($records)* } };
}

#[macro_use]
mod arithmetic;
#[macro_use]
mod bits;
#[macro_use]
mod compare;
#[macro_use]
mod exponential;
#[macro_use]
mod hyperbolic;
#[macro_use]
mod power;
#[macro_use]
mod random;
#[macro_use]
mod special;
#[macro_use]
mod trigonometric;

use crate::graph::NodeId;
use crate::prim::Cotangents;

use super::Value::{self, F, I, M, U};
use super::{Cost, Lanes, Record, Signature, math};

/// Defines [`ScalarFn`], its records and its meaning.
macro_rules! scalar_functions {
    ($(
        $(#[$doc:meta])*
        $f:ident {
            name: $name:literal,
            arity: $arity:literal,
            signature: $signature:ident,
            commutative: $commutative:literal,
            cost: $cost:ident,
            domain: $domain:expr,
            vjp: $vjp:expr,
            lanes: $lanes:expr,
        }
    )*) => {
        /// A scalar function.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ScalarFn {
            $($(#[$doc])* $f,)*
        }

        impl ScalarFn {
            /// Every scalar function.
            pub const ALL: &'static [ScalarFn] = &[$(ScalarFn::$f,)*];

            /// The function's record.
            pub fn record(self) -> &'static Record {
                match self {
                    $(ScalarFn::$f => {
                        const RECORD: Record = Record {
                            name: $name,
                            arity: $arity,
                            signature: Signature::$signature,
                            commutative: $commutative,
                            cost: Cost::$cost,
                            domain: $domain,
                            derivative: $vjp,
                        };
                        &RECORD
                    })*
                }
            }

            /// The function that the text form calls `name`.
            pub fn from_name(name: &str) -> Option<ScalarFn> {
                match name {
                    $($name => Some(ScalarFn::$f),)*
                    _ => None,
                }
            }

            /// The function itself, over lanes of any kind.
            ///
            /// # Panics
            /// If the arguments are not of the kinds that the signature says.
            #[inline]
            pub fn apply<L: Lanes>(self, l: &mut L, a: &[Value<L>]) -> Value<L> {
                match self {
                    $(ScalarFn::$f => {
                        let f: fn(&mut L, &[Value<L>]) -> Value<L> = $lanes;
                        f(l, a)
                    })*
                }
            }
        }
    };
}

table! { [arithmetic compare bits power exponential trigonometric hyperbolic special random] }

/// A cotangent for every operand.
fn all(cotangents: &[NodeId]) -> Cotangents {
    cotangents.iter().map(|&c| Some(c)).collect()
}

/// No cotangents: the function is flat, or its operands have none.
pub(super) fn none(arity: usize) -> Cotangents {
    Cotangents::from_elem(None, arity)
}
