//! The line search: a step length that meets the strong Wolfe conditions.
//!
//! ```text
//!   bracket   from 0 on, each point further than the last, by cubic extrapolation, until one is good or lies beyond a minimum
//!   zoom      between two ends with a good point between them, by cubic interpolation, until one is good
//! ```
//!
//! Nocedal and Wright 2006, algorithms 3.5 and 3.6, with the safeguards of PyTorch's `_strong_wolfe`, which are those of minFunc (M. Schmidt). Each trip of the
//! loop evaluates one point and chooses the next. The ends are kept in both phases: in the first, one is the point before.

use crate::build::{Function, Tensor};
use crate::graph::{DType, TensorType};

/// Decrease and flatness of a good point, the least width of a bracket along the longest element, and evaluations after the first.
const DECREASE: f64 = 1e-4;
const FLATNESS: f64 = 0.9;
const WIDTH: f64 = 1e-9;
const EVALUATIONS: i32 = 25;

/// A point on the line: how far along, the loss and its slope, scalars.
#[derive(Clone, Copy)]
struct Point<'g> {
    at: Tensor<'g>,
    loss: Tensor<'g>,
    slope: Tensor<'g>,
}

impl<'g> Point<'g> {
    fn parts(self) -> [Tensor<'g>; 3] {
        [self.at, self.loss, self.slope]
    }

    fn of([at, loss, slope]: [Tensor<'g>; 3]) -> Point<'g> {
        Point { at, loss, slope }
    }
}

/// `then` where the condition holds.
fn choose<'g>(condition: Tensor<'g>, then: Point<'g>, otherwise: Point<'g>) -> Point<'g> {
    let ([a, b, c], [d, e, f]) = (then.parts(), otherwise.parts());
    Point::of([condition.select(a, d), condition.select(b, e), condition.select(c, f)])
}

/// A line through the space of parameters, with the loss on it.
pub(super) struct LineSearch<'g> {
    loss: Function<'g>,
    params: Vec<Tensor<'g>>,
    /// The direction, shaped like the parameters.
    directions: Vec<Tensor<'g>>,
    longest: Tensor<'g>,
    start: Point<'g>,
}

impl<'g> LineSearch<'g> {
    /// The line from the parameters along `direction`, which has the elements of all of them, and the slope of the loss where it begins.
    #[track_caller]
    pub fn new(loss: Tensor<'g>, params: &[Tensor<'g>], direction: Tensor<'g>, slope: Tensor<'g>) -> LineSearch<'g> {
        let builder = loss.builder();
        let (mut directions, mut at) = (Vec::with_capacity(params.len()), 0);
        for param in params {
            let count = param.shape().numel();
            directions.push(direction.slice(0, at..at + count).reshape(param.shape()));
            at += count;
        }
        let zero = builder.zeros(slope.ty());
        LineSearch {
            loss: builder.function(params, loss),
            params: params.to_vec(),
            directions,
            longest: direction.abs().max(),
            start: Point { at: zero, loss: loss.reshape([]).cast(slope.dtype()), slope },
        }
    }

    /// How far to go, beginning with `first`; 0 where `searches` does not hold.
    #[track_caller]
    pub fn run(&self, first: Tensor<'g>, searches: Tensor<'g>) -> Tensor<'g> {
        let builder = first.builder();
        let start = self.start;
        let no = builder.zeros(TensorType::new(DType::Bool, []));
        let none = builder.zeros(TensorType::new(DType::I32, []));
        let init = ((searches, no, no), (first, none), [start.parts(), start.parts()]);
        let trips = EVALUATIONS as usize + 1;
        let (_, _, ends) = builder.while_loop(
            init,
            trips,
            |((searches, ..), ..)| searches,
            |((_, zooms, slow), (at, taken), ends)| {
                let point = self.evaluate(at);
                let [a, b] = ends.map(Point::of);
                let is_last = taken.ge(EVALUATIONS);
                let high = !point.loss.le(start.loss + DECREASE * point.at * start.slope);
                let flat = point.slope.abs().le(-FLATNESS * start.slope);

                // In the first phase `a` is the point before this one.
                let beyond = high | (taken.gt(1) & point.loss.ge(a.loss));
                let good = !beyond & flat;
                let brackets = beyond | point.slope.ge(0.0);
                let further = !(good | brackets | is_last);
                let reach = [point.at + 0.01 * (point.at - a.at), 10.0 * point.at];
                let extrapolated = minimum(a, point, reach);
                let first = [choose(good | further, point, choose(is_last, start, a)), point];

                // In the second phase the better end moves to a better point, the other one to a worse.
                let b_is_low = b.loss.lt(a.loss);
                let (low, other) = (choose(b_is_low, b, a), choose(b_is_low, a, b));
                let worse = high | !point.loss.lt(low.loss);
                let turns = (point.slope * (other.at - low.at)).ge(0.0) & !flat;
                let new_low = choose(worse, low, point);
                let new_other = choose(worse, point, choose(turns, low, other));
                let second = [choose(b_is_low, new_other, new_low), choose(b_is_low, new_low, new_other)];

                let ends = [choose(zooms, second[0], first[0]), choose(zooms, second[1], first[1])];
                let found = zooms.select(!worse & flat, good);
                let [a, b] = ends;
                let narrow = ((b.at - a.at).abs() * self.longest).lt(WIDTH);
                let slow = slow & zooms;
                let zooms = zooms | !further;
                let searches = !(found | is_last | (zooms & narrow));
                let (interpolated, slow) = between(a, b, slow);
                let next = zooms.select(interpolated, extrapolated);
                ((searches, zooms, slow), (next, taken + 1), [a.parts(), b.parts()])
            },
        );
        let [a, b] = ends.map(Point::of);
        b.loss.lt(a.loss).select(b.at, a.at)
    }

    /// The loss at a point of the line, and its slope.
    #[track_caller]
    fn evaluate(&self, at: Tensor<'g>) -> Point<'g> {
        let builder = at.builder();
        let mut params = Vec::with_capacity(self.params.len());
        for (&param, &direction) in self.params.iter().zip(&self.directions) {
            params.push(param + at * direction);
        }
        let loss = self.loss.call(&params);
        let mut slope = builder.zeros(at.ty());
        for (gradient, &direction) in builder.grad_all(loss, &params).into_iter().zip(&self.directions) {
            slope = slope + (gradient * direction).sum();
        }
        let loss = loss.reshape([]).cast(at.dtype());
        let infinite = builder.full(at.ty(), f64::INFINITY);
        Point { at, loss: loss.eq(loss).select(loss, infinite), slope }
    }
}

/// The minimum within bounds of the cubic through two points with their slopes; the middle of the bounds if there is none.
fn minimum<'g>(a: Point<'g>, b: Point<'g>, [from, to]: [Tensor<'g>; 2]) -> Tensor<'g> {
    let swap = a.at.gt(b.at);
    let (left, right) = (choose(swap, b, a), choose(swap, a, b));
    let d1 = left.slope + right.slope - 3.0 * (left.loss - right.loss) / (left.at - right.at);
    let square = d1 * d1 - left.slope * right.slope;
    let d2 = square.maximum(0.0).sqrt();
    let share = (right.slope + d2 - d1) / (right.slope - left.slope + 2.0 * d2);
    let at = right.at - (right.at - left.at) * share;
    // Infinite losses leave no number.
    let is_one = square.ge(0.0) & at.eq(at);
    is_one.select(at.maximum(from).minimum(to), (from + to) * 0.5)
}

/// Where to look between two ends, and whether it is near one of them. If it was so before, a tenth of the width away from the end.
fn between<'g>(a: Point<'g>, b: Point<'g>, slow: Tensor<'g>) -> (Tensor<'g>, Tensor<'g>) {
    let (from, to) = (a.at.minimum(b.at), a.at.maximum(b.at));
    let at = minimum(a, b, [from, to]);
    let margin = 0.1 * (to - from);
    let near = (to - at).minimum(at - from).lt(margin);
    let pushed = near & (slow | at.ge(to) | at.le(from));
    let away = (at - to).abs().lt((at - from).abs()).select(to - margin, from + margin);
    (pushed.select(away, at), near & !pushed)
}
