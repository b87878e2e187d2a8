//! Loops: nested plans are run by the evaluator itself, on copies of their arrays.

use crate::array::Array;
use crate::graph::{DType, TensorType};
use crate::plan::nested::{LoopStep, Nested, Part};
use crate::plan::{BufferId, Place};

use super::{Memory, array_of, bytes_of, run};

impl Memory<'_> {
    pub(super) fn run_loop(&mut self, l: &LoopStep) {
        for n in 0..l.trips {
            let t = l.slice_of(n);
            if let Some(guard) = &l.guard {
                self.run_nested(&guard.nested, t);
                if self.read(guard.flag, 0).to_f64() == 0.0 {
                    if guard.ends {
                        return;
                    }
                    continue;
                }
            }
            self.run_nested(&l.body, t);
        }
    }

    fn run_nested(&mut self, nested: &Nested, t: usize) {
        let plan = &nested.plan;
        let missing = || Array::zeros(&TensorType::new(DType::Bool, [0]));
        let inputs: Vec<Array> =
            nested.inputs.iter().map(|part| part.map_or_else(missing, |p| self.part(&p, t))).collect();
        let whole = |id: BufferId| Part { buffer: id, offset: 0, stride: 0, len: self.plan.buffer(id).len };
        let params: Vec<Option<Part>> = nested.params.iter().map(|p| p.map(whole)).collect();
        let mut carries: Vec<Array> =
            params.iter().map(|part| part.map_or_else(missing, |p| self.part(&p, t))).collect();
        if let Some(arena) = nested.arena {
            self.spoil(arena);
        }
        let views: Vec<_> = inputs.iter().map(Array::view).collect();
        let outputs = run(plan, &views, &mut carries);
        let written = plan.steps.iter().flat_map(|s| s.written(plan)).map(|b| plan.buffer(b).place);
        let written: Vec<Place> = written.collect();
        for (i, (part, value)) in params.iter().zip(&carries).enumerate() {
            if let Some(part) = part.filter(|_| written.contains(&Place::Param(i))) {
                self.set_part(&part, t, value);
            }
        }
        for (part, value) in nested.outputs.iter().zip(&outputs) {
            if let Some(part) = part {
                self.set_part(part, t, value);
            }
        }
    }

    /// The bytes of a part in slice `t`.
    fn part_range(&self, part: &Part, t: usize) -> std::ops::Range<usize> {
        let begin = part.offset + t * part.stride;
        match part.len.checked_sub(1) {
            None => 0..0,
            Some(last) => {
                self.range(part.buffer, begin as isize).start..self.range(part.buffer, (begin + last) as isize).end
            }
        }
    }

    fn part(&self, part: &Part, t: usize) -> Array {
        let range = self.part_range(part, t);
        array_of(self.plan.buffer(part.buffer).dtype, &self.space(part.buffer)[range])
    }

    fn set_part(&mut self, part: &Part, t: usize, value: &Array) {
        let dtype = self.plan.buffer(part.buffer).dtype;
        assert_eq!((dtype, part.len), (value.dtype(), value.shape().numel()), "a part is typed like its array");
        let range = self.part_range(part, t);
        self.bytes_mut(part.buffer, range).copy_from_slice(&bytes_of(&value.view()));
    }
}
