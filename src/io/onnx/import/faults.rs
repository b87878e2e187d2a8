//! What is not supported is noted, so that one error lists all.

use super::super::error::{Reason, Unsupported};
use super::super::node::Results;
use super::{Importer, MAX_NODES};

impl<'g> Importer<'_, 'g> {
    /// One way to import something and, if it fails, another; what was not supported on the first way is forgotten then. If there is no other way, the
    /// first failure counts.
    pub fn attempt(
        &self,
        first: impl FnOnce() -> Results<'g>,
        second: impl FnOnce() -> Option<Results<'g>>,
    ) -> Results<'g> {
        let before = self.faults.borrow().len();
        let result = first();
        let hides_fault = self.faults.borrow().len() > before;
        if result.is_ok() && !hides_fault {
            return result;
        }
        let faults = self.faults.borrow_mut().split_off(before);
        match second() {
            Some(Ok(values)) if self.faults.borrow().len() == before => Ok(values),
            Some(Err(fault)) if result.is_ok() || self.nodes.get() > MAX_NODES => Err(fault),
            Some(second) if faults.is_empty() => second,
            _ => {
                self.faults.borrow_mut().truncate(before);
                self.faults.borrow_mut().extend(faults);
                result
            }
        }
    }

    pub(super) fn fault(&self, node: &str, operator: &str, what: String) {
        self.note(node, operator, what, Reason::Never);
    }

    pub(super) fn note(&self, node: &str, operator: &str, what: String, reason: Reason) {
        let fault = Unsupported { node: node.to_owned(), operator: operator.to_owned(), what, reason };
        let mut faults = self.faults.borrow_mut();
        if faults.len() < 1000 && !faults.contains(&fault) {
            faults.push(fault);
        }
    }
}
