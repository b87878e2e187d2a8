//! A plan in which each fault is found, and plans in which none is.

use super::*;
use crate::graph::Dims;
use crate::plan::kernel::*;
use crate::plan::strip::{Cut, Family, Strip};
use crate::plan::testing::*;
use crate::plan::{Action, Alpha, Axis, Place, Product, RoutineCall};
use crate::prim::{Argsort, Extremum, Lowering, Primitive, Routine};

fn faults(plan: &Plan) -> Vec<FaultKind> {
    match check(plan) {
        Ok(()) => Vec::new(),
        Err(faults) => faults.into_iter().map(|f| f.kind).collect(),
    }
}

/// The faults of the example after a change.
fn changed(change: impl FnOnce(&mut Plan)) -> Vec<FaultKind> {
    let mut plan = example();
    change(&mut plan);
    faults(&plan)
}

/// The faults of a kernel of one slot for each access, all `f32`; no step runs it.
fn of_kernel(
    loops: &[usize],
    rows: usize,
    slots: &[Access],
    build: impl FnOnce(&mut Body, &[SlotId]),
) -> Vec<FaultKind> {
    let mut body = Body::new(loops, rows);
    let slots: Vec<SlotId> = slots.iter().map(|&a| body.slot(DType::F32, a)).collect();
    build(&mut body, &slots);
    faults(&Plan { kernels: vec![body.0], ..Plan::default() })
}

fn number(k: &mut Body) -> ValueId {
    k.inner(Inst::Const(0), DType::F32)
}

const V: fn(u32) -> ValueId = ValueId;
const B: fn(u32) -> BufferId = BufferId;

#[test]
fn the_example_is_proved() {
    assert_eq!(check(&example()), Ok(()));
}

#[test]
fn loops_have_turns() {
    assert_eq!(changed(|p| p.kernels[1].loops[0] = 0), [FaultKind::EmptyLoop(0)]);
    assert_eq!(changed(|p| p.kernels[1].rows = 2), [FaultKind::RowLoops { rows: 2, loops: 1 }]);
}

#[test]
fn what_is_named_exists() {
    assert_eq!(changed(|p| p.kernels[1].phases[0].inner[0] = V(9))[0], FaultKind::UnknownValue(V(9)));
    assert_eq!(changed(|p| p.kernels[1].phases[0].stores[0].slot = SlotId(7)), [FaultKind::UnknownSlot(SlotId(7))]);
    let kinds = of_kernel(&[2], 0, &[], |k, _| {
        let v = number(k);
        k.fold(FoldKind::Combine(ScalarFn::Add, 0), v);
        k.row(Inst::Fold { phase: 0, fold: 0 }, DType::F32);
    });
    assert_eq!(kinds, [FaultKind::UnknownFold { phase: 0, fold: 0 }]);
}

#[test]
fn values_are_computed_once_before_their_use_in_their_phase() {
    let kinds = changed(|p| p.kernels[1].phases[0].inner.insert(1, V(0)));
    assert_eq!(kinds, [FaultKind::ComputedTwice(V(0))]);
    let kinds = changed(|p| p.kernels[1].phases[0].inner.swap(1, 2));
    assert_eq!(kinds, [FaultKind::NotVisible(V(1))]);
    // An inner value of the phase before.
    let kinds = changed(|p| p.kernels[0].phases[2].stores[0].value = V(4));
    assert_eq!(kinds, [FaultKind::NotVisible(V(4))]);
}

#[test]
fn indices_have_the_loops_that_may_move_them() {
    let index = at(0, &[1]);
    let kinds = of_kernel(&[2, 3], 1, &[Access::Read], |k, s| _ = k.load(s[0], index));
    assert_eq!(kinds, [FaultKind::Coefficients { given: 1, loops: 2 }]);
    let kinds = of_kernel(&[2, 3], 1, &[Access::Read], |k, s| {
        let inst = Inst::Load { slot: s[0], index: at(0, &[0, 1]), fill: 0 };
        k.row(inst, DType::F32);
    });
    assert_eq!(kinds, [FaultKind::InnerLoopInRow]);
    let kinds = of_kernel(&[2, 3], 1, &[Access::Scratch], |k, s| {
        let v = number(k);
        k.store(s[0], at(0, &[3, 1]), v);
    });
    assert_eq!(kinds, [FaultKind::RowLoopInScratch]);
}

#[test]
fn types_fit() {
    let kinds = of_kernel(&[2], 1, &[], |k, _| {
        let v = number(k);
        k.inner(Inst::Map(ScalarFn::Add, Dims::from_slice(&[v])), DType::F32);
    });
    assert_eq!(kinds, [FaultKind::Arity { function: ScalarFn::Add, given: 1 }]);
    let kinds = of_kernel(&[2], 1, &[], |k, _| {
        let v = number(k);
        k.inner(Inst::Map(ScalarFn::Not, Dims::from_slice(&[v])), DType::Bool);
    });
    assert!(matches!(kinds[..], [FaultKind::Operands(_)]), "{kinds:?}");
    let kinds = of_kernel(&[2], 1, &[Access::Read], |k, s| {
        let inst = Inst::Load { slot: s[0], index: at(0, &[1]), fill: 0 };
        k.inner(inst, DType::F64);
    });
    assert_eq!(kinds, [FaultKind::Type { expected: DType::F32, actual: DType::F64 }]);
    let kinds = of_kernel(&[2], 1, &[Access::Write], |k, s| {
        let v = number(k);
        k.store(s[0], chosen(0, &[1], v, 1, 2), v);
    });
    assert_eq!(kinds, [FaultKind::ChoiceType(V(0))]);
}

#[test]
fn folds_combine_what_they_can() {
    let fold = |kind: FoldKind| {
        of_kernel(&[1 << 33], 0, &[], |k, _| {
            let v = number(k);
            k.fold(kind, v);
        })
    };
    assert_eq!(fold(FoldKind::Combine(ScalarFn::Max, 0)), []);
    let function = ScalarFn::Sub;
    assert_eq!(fold(FoldKind::Combine(function, 0)), [FaultKind::FoldFunction { function, dtype: DType::F32 }]);
    assert_eq!(fold(FoldKind::Position(Extremum::Max)), [FaultKind::FoldPositions { count: 1 << 33 }]);
    let position = |loops: &[usize], rows: usize| {
        of_kernel(loops, rows, &[], |k, _| {
            let v = number(k);
            k.fold(FoldKind::Position(Extremum::Max), v);
        })
    };
    assert_eq!(position(&[4, 1, 5], 1), []);
    assert_eq!(position(&[4, 3, 5], 1), [FaultKind::FoldPositionLoops { loops: 2 }]);
}

#[test]
fn slots_are_used_as_declared() {
    let store = |access| {
        of_kernel(&[4], 1, &[access], |k, s| {
            let v = number(k);
            k.store(s[0], at(0, &[1]), v);
        })
    };
    assert_eq!(store(Access::Write), []);
    assert_eq!(store(Access::Read), [FaultKind::StoreToRead]);
    assert_eq!(store(Access::ReadWrite), [FaultKind::NothingRead(SlotId(0))]);
    let kinds = of_kernel(&[4], 1, &[Access::ReadWrite], |k, s| _ = k.load(s[0], at(0, &[1])));
    assert_eq!(kinds, [FaultKind::NeverStored { slot: SlotId(0), access: Access::ReadWrite }]);
    // A sum into memory that the kernel claims not to read.
    let kinds = of_kernel(&[4], 1, &[Access::Write], |k, s| {
        let v = number(k);
        k.store_as(s[0], at(0, &[1]), v, StoreMode::Combine(ScalarFn::Add));
    });
    assert_eq!(kinds, [FaultKind::NotStoredYet]);
}

#[test]
fn a_row_finds_what_it_has_stored_in_an_earlier_phase() {
    let through = |stored: Index, loaded: Index, phases: usize| {
        of_kernel(&[2, 4], 1, &[Access::Scratch], |k, s| {
            let v = number(k);
            k.store(s[0], stored, v);
            (0..phases).for_each(|_| k.phase());
            k.load(s[0], loaded);
        })
    };
    assert_eq!(through(at(0, &[0, 1]), at(0, &[0, 1]), 1), []);
    assert_eq!(through(at(0, &[0, 1]), at(3, &[0, -1]), 1), []);
    assert_eq!(through(at(0, &[0, 1]), at(1, &[0, 1]), 1), [FaultKind::NotStoredYet]);
    assert_eq!(through(at(0, &[0, 2]), at(0, &[0, 1]), 1), [FaultKind::NotStoredYet]);
    assert_eq!(through(at(0, &[0, 1]), at(0, &[0, 1]), 0), [FaultKind::NotStoredYet]);
}

#[test]
fn rows_store_apart() {
    let store = |serial: bool, coefs: [isize; 2]| {
        of_kernel(&[3, 4], 1, &[Access::Write], |k, s| {
            k.0.serial = serial;
            let v = number(k);
            k.store(s[0], at(0, &coefs), v);
        })
    };
    let meets = |kinds: Vec<FaultKind>| matches!(kinds[..], [FaultKind::RowsMeet { .. }]);
    assert_eq!(store(false, [4, 1]), []);
    assert_eq!(store(false, [1, 3]), []);
    assert!(meets(store(false, [3, 1])));
    assert!(meets(store(false, [0, 1])));
    assert_eq!(store(true, [0, 1]), []);
    // Row `r` reads what row `r + 1` replaces.
    let kinds = of_kernel(&[3], 1, &[Access::ReadWrite], |k, s| {
        let v = k.load(s[0], at(1, &[1]));
        k.store(s[0], at(0, &[1]), v);
    });
    assert!(meets(kinds));
}

#[test]
fn points_store_apart_unless_they_choose() {
    let store = |choose: bool| {
        of_kernel(&[3, 4], 1, &[Access::ReadWrite], |k, s| {
            let v = number(k);
            let i = k.inner(Inst::Const(0), DType::I32);
            let index = if choose { chosen(0, &[5, 0], i, 1, 5) } else { at(0, &[5, 0]) };
            k.store_as(s[0], index, v, StoreMode::Combine(ScalarFn::Add));
        })
    };
    assert!(matches!(store(false)[..], [FaultKind::PointsMeet { .. }]));
    assert_eq!(store(true), []);
}

#[test]
fn buffers_lie_in_the_arena_or_fill_their_array() {
    assert_eq!(changed(|p| p.arena_bytes = 1300), [FaultKind::OutsideArena { end: 1344, arena: 1300 }]);
    let kinds = changed(|p| {
        p.buffers[4].place = Place::Arena(72);
    });
    assert_eq!(kinds, [FaultKind::Misaligned]);
    assert_eq!(changed(|p| p.buffers[0].place = Place::Input(1)), [FaultKind::UnknownArray]);
    let size = FaultKind::ArraySize { dtype: DType::F32, len: 8 };
    assert_eq!(changed(|p| p.buffers[5].len = 9), [size]);
    let size = FaultKind::ArraySize { dtype: DType::F32, len: 12 };
    assert_eq!(changed(|p| p.buffers[6].len = 13), [size]);
}

/// Changes the buffers of step `i`, which runs a kernel.
fn args(plan: &mut Plan, i: usize) -> &mut Vec<BufferId> {
    match &mut plan.steps[i].action {
        Action::Kernel { args, .. } => args,
        _ => panic!("a step that runs a kernel"),
    }
}

/// Changes the product of step 0.
fn factor(plan: &mut Plan) -> &mut Product {
    match &mut plan.steps[0].action {
        Action::Product(product) => product,
        _ => panic!("a step that computes a product"),
    }
}

#[test]
fn steps_name_what_there_is_and_stay_inside() {
    let kinds = changed(|p| _ = p.kernels.pop());
    assert_eq!(kinds, [FaultKind::UnknownKernel(KernelId(1))]);
    let kinds = changed(|p| args(p, 2)[1] = B(50));
    assert_eq!(kinds, [FaultKind::UnknownBuffer(B(50))]);
    let kinds = changed(|p| _ = args(p, 2).pop());
    assert_eq!(kinds, [FaultKind::SlotCount { given: 2, slots: 3 }]);
    let kinds = changed(|p| p.buffers[2].dtype = DType::I32);
    let wrong = FaultKind::SlotType { buffer: B(2), expected: DType::F32, actual: DType::I32 };
    assert_eq!(kinds, [wrong]);
    let kinds = changed(|p| args(p, 2)[1] = B(0));
    assert_eq!(kinds, [FaultKind::Outside { buffer: B(0), min: 0, max: 11, len: 6 }]);
    let kinds = changed(|p| p.buffers[4].len = 63);
    assert_eq!(kinds, [FaultKind::ScratchSize { buffer: B(4), row: 4, len: 63 }]);
    // A choice of one more element than there is.
    let mut p = Plan::default();
    let y = buffer(&mut p, DType::F32, 4, Place::Output(0));
    let mut k = Body::new(&[2], 1);
    k.0.serial = true;
    let out = k.slot(DType::F32, Access::Write);
    let (v, i) = (number(&mut k), k.inner(Inst::Const(0), DType::I64));
    k.store(out, at(0, &[0]), v);
    k.store(out, chosen(0, &[0], i, 2, 3), v);
    call(&mut p, k.0, &[y]);
    assert!(faults(&p).contains(&FaultKind::Outside { buffer: B(0), min: 0, max: 4, len: 4 }));
}

#[test]
fn products_are_well_formed() {
    let kinds = changed(|p| factor(p).dtype = DType::I32);
    assert_eq!(kinds[0], FaultKind::ProductType(DType::I32));
    let kinds = changed(|p| factor(p).axes.rows[0].b = 1);
    assert_eq!(kinds[0], FaultKind::ProductAxis);
    let kinds = changed(|p| factor(p).axes.rows[0].c = 3);
    assert_eq!(kinds[0], FaultKind::ResultMeets(B(3)));
    assert_eq!(changed(|p| p.buffers[7].len = 255), [FaultKind::WorkspaceSize { needed: 256, given: 255 }]);
    assert_eq!(changed(|p| factor(p).workspace = None), [FaultKind::WorkspaceSize { needed: 256, given: 0 }]);
    assert_eq!(changed(|p| factor(p).packed = Some(0))[0], FaultKind::Packed(0));
    let kinds = changed(|p| factor(p).a.offset = 1);
    assert_eq!(kinds, [FaultKind::Outside { buffer: B(0), min: 1, max: 6, len: 6 }]);
    // Several contracted axes sum up, and are no meeting.
    let kinds = changed(|p| {
        factor(p).axes.contracted = [(1, 3), (3, 1)].map(|(b, extent)| Axis { extent, a: 1, b: b * 4, c: 0 }).to_vec();
    });
    assert_eq!(kinds, []);
}

#[test]
fn inputs_are_not_written() {
    let kinds = changed(|p| {
        p.buffers[0].len = 12;
        args(p, 2)[2] = B(0);
    });
    assert!(kinds.contains(&FaultKind::WriteToInput(B(0))), "{kinds:?}");
}

#[test]
fn reads_see_their_own_value() {
    let kinds = changed(|p| p.steps.swap(0, 1));
    assert!(kinds.contains(&FaultKind::Unwritten(B(3))), "{kinds:?}");
    // The update of `w` comes before its use.
    let kinds = changed(|p| p.steps.rotate_right(1));
    assert_eq!(kinds, [FaultKind::Overwritten { buffer: B(1), by: B(6), step: 0 }]);
    // A buffer placed over one that is still wanted.
    let mut p = Plan::default();
    let x = buffer(&mut p, DType::F32, 4, Place::Input(0));
    let a = buffer(&mut p, DType::F32, 4, Place::Arena(0));
    let b = buffer(&mut p, DType::F32, 4, Place::Arena(0));
    let y = buffer(&mut p, DType::F32, 4, Place::Output(0));
    call(&mut p, copy(4, 0), &[x, a]);
    call(&mut p, copy(4, 0), &[x, b]);
    call(&mut p, zip(ScalarFn::Add, 4), &[a, b, y]);
    assert_eq!(faults(&p), [FaultKind::Overwritten { buffer: B(a), by: B(b), step: 1 }]);
}

#[test]
fn a_value_is_written_in_parts_before_it_is_read() {
    let concat = |second: isize| {
        let mut p = Plan::default();
        let x = buffer(&mut p, DType::F32, 4, Place::Input(0));
        let both = buffer(&mut p, DType::F32, 8, Place::Arena(0));
        let y = buffer(&mut p, DType::F32, 8, Place::Output(0));
        call(&mut p, copy(4, 0), &[x, both]);
        call(&mut p, copy(4, second), &[x, both]);
        call(&mut p, copy(8, 0), &[both, y]);
        p
    };
    assert_eq!(faults(&concat(4)), []);
    assert_eq!(faults(&concat(3)), [FaultKind::Unwritten(B(1))]);
    let mut late = concat(4);
    late.steps.swap(1, 2);
    let kinds = faults(&late);
    assert_eq!(kinds, [FaultKind::Unwritten(B(1)), FaultKind::WrittenAfterRead { buffer: B(1), reader: Some(1) }]);
}

#[test]
fn a_value_changed_in_place_has_a_buffer_of_its_own() {
    /// Which value is an output, and when it is read.
    enum Read {
        Before,
        After,
        New,
    }
    let update = |read: Read, new_is_old: bool| {
        let mut p = Plan::default();
        let x = buffer(&mut p, DType::F32, 1, Place::Input(0));
        let w = buffer(&mut p, DType::F32, 1, Place::Param(0));
        let new = if new_is_old { w } else { buffer(&mut p, DType::F32, 1, Place::Param(0)) };
        let y = buffer(&mut p, DType::F32, 1, Place::Output(0));
        let mut sum = product(x, x, new, [1, 1, 1]);
        sum.accumulate = true;
        sum.alpha = Alpha::Const(-1.0);
        multiply(&mut p, sum);
        match read {
            Read::Before => {
                call(&mut p, copy(1, 0), &[w, y]);
                p.steps.swap(0, 1);
            }
            Read::After => call(&mut p, copy(1, 0), &[w, y]),
            Read::New => call(&mut p, copy(1, 0), &[new, y]),
        }
        faults(&p)
    };
    assert_eq!(update(Read::Before, false), []);
    assert_eq!(update(Read::New, false), []);
    assert_eq!(update(Read::After, false), [FaultKind::Overwritten { buffer: B(1), by: B(2), step: 0 }]);
    // One name for both values.
    let late = FaultKind::WrittenAfterRead { buffer: B(1), reader: Some(0) };
    assert_eq!(update(Read::Before, true), [FaultKind::Unwritten(B(1)), late]);
}

#[test]
fn buffers_of_a_step_lie_apart_or_exactly_at_one_place() {
    let kinds = changed(|p| p.buffers[4].place = Place::Arena(0));
    assert!(kinds.contains(&FaultKind::Overlap { written: B(4), other: B(3) }), "{kinds:?}");
    let kinds = changed(|p| p.buffers[7].place = Place::Arena(0));
    assert!(kinds.contains(&FaultKind::Overlap { written: B(7), other: B(3) }), "{kinds:?}");
    let mut p = Plan::default();
    let x = buffer(&mut p, DType::F32, 4, Place::Param(0));
    let y = buffer(&mut p, DType::F32, 4, Place::Param(0));
    let w = buffer(&mut p, DType::F32, 4, Place::Input(0));
    multiply(&mut p, product(x, w, y, [2, 2, 2]));
    assert_eq!(faults(&p), [FaultKind::Overlap { written: B(1), other: B(0) }]);
}

/// A plan that sorts four numbers into an output, changed.
fn changed_routine(change: impl FnOnce(&mut Plan, &mut RoutineCall)) -> Vec<FaultKind> {
    let mut p = Plan::default();
    let x = buffer(&mut p, DType::F32, 4, Place::Input(0));
    let y = buffer(&mut p, DType::I32, 4, Place::Output(0));
    let workspace = buffer(&mut p, DType::I64, 4, Place::Arena(0));
    p.buffers[workspace as usize].node = None;
    let (op, operand) = (Argsort { axis: 0, descending: false }, TensorType::new(DType::F32, [4]));
    let ty = op.infer(&[&operand]).unwrap();
    let Lowering::Routine { workspace: wanted } = op.lowering(&[&operand], &ty) else { panic!("argsort is a routine") };
    let routine = Routine { op: op.into(), operands: vec![operand], ty, workspace: wanted };
    let mut call = RoutineCall {
        routine: routine.into(),
        operands: [B(x)].into_iter().collect(),
        result: B(y),
        workspace: Some(B(workspace)),
    };
    change(&mut p, &mut call);
    step(&mut p, Action::Routine(call.into()));
    faults(&p)
}

#[test]
fn routines_have_whole_buffers_of_their_types_that_lie_apart() {
    assert_eq!(changed_routine(|_, _| {}), []);
    assert_eq!(changed_routine(|_, c| c.workspace = None), [FaultKind::NoWorkspace { len: 4 }]);
    assert_eq!(changed_routine(|_, c| c.operands.clear())[0], FaultKind::SlotCount { given: 0, slots: 1 });
    assert_eq!(changed_routine(|_, c| c.result = B(9))[0], FaultKind::UnknownBuffer(B(9)));
    let kinds = changed_routine(|p, _| p.buffers[2].len = 3);
    let ty = TensorType::new(DType::I64, [4]);
    assert_eq!(kinds, [FaultKind::RoutineBuffer { buffer: B(2), len: 3, ty }]);
    let kinds = changed_routine(|p, _| p.buffers[0].dtype = DType::I32);
    assert_eq!(kinds, [FaultKind::SlotType { buffer: B(0), expected: DType::F32, actual: DType::I32 }]);
    let kinds = changed_routine(|p, _| p.buffers[0].place = Place::Arena(0));
    assert_eq!(kinds[0], FaultKind::Overlap { written: B(2), other: B(0) });
    let kinds = changed_routine(|p, _| p.buffers[0].place = Place::Arena(64));
    assert!(
        kinds.contains(&FaultKind::Unwritten(B(0))) || kinds.contains(&FaultKind::OutsideArena { end: 80, arena: 32 })
    );
}

#[test]
fn a_value_is_replaced_in_place_only_behind_its_last_load() {
    // `y = x - max(x)` by rows, and a reversal.
    let replace = |build: &dyn Fn(&mut Body, SlotId, SlotId)| {
        let mut k = Body::new(&[2, 3], 1);
        let (x, y) = (k.slot(DType::F32, Access::Read), k.slot(DType::F32, Access::Write));
        build(&mut k, x, y);
        let mut p = Plan::default();
        let x = buffer(&mut p, DType::F32, 6, Place::Param(0));
        let y = buffer(&mut p, DType::F32, 6, Place::Param(0));
        call(&mut p, k.0, &[x, y]);
        faults(&p)
    };
    let alias = [FaultKind::Alias { read: B(0), written: B(1) }];
    let same = || at(0, &[3, 1]);
    assert_eq!(
        replace(&|k, x, y| {
            let v = k.load(x, same());
            k.store(y, same(), v)
        }),
        []
    );
    assert_eq!(
        replace(&|k, x, y| {
            let v = k.load(x, at(2, &[3, -1]));
            k.store(y, same(), v)
        }),
        alias
    );
    assert_eq!(
        replace(&|k, x, y| {
            let v = k.load(x, at(3, &[-3, 1]));
            k.store(y, same(), v)
        }),
        alias
    );
    let in_two = |k: &mut Body, x, y, early: bool| {
        let v = k.load(x, same());
        if early {
            k.store(y, same(), v);
        }
        k.fold(FoldKind::Combine(ScalarFn::Max, 0), v);
        k.phase();
        let most = k.row(Inst::Fold { phase: 0, fold: 0 }, DType::F32);
        let v = k.load(x, same());
        let v = k.map(ScalarFn::Sub, &[v, most]);
        k.store(y, same(), v);
    };
    assert_eq!(replace(&|k, x, y| in_two(k, x, y, false)), []);
    assert_eq!(replace(&|k, x, y| in_two(k, x, y, true)), alias);
}

#[test]
fn results_are_there_at_the_end() {
    assert_eq!(changed(|p| _ = p.steps.remove(1)), [FaultKind::Output(0)]);
    let kinds = changed(|p| p.kernels[1].loops[0] = 11);
    assert_eq!(kinds, [FaultKind::Param(0)]);
}

#[test]
fn faults_show_what_they_are_about() {
    let mut plan = example();
    plan.steps.rotate_right(1);
    let faults = check(&plan).expect_err("the update comes too early");
    let expected = "step 1 `b3[i*4 + j] = b0[i*3 + k] b1[k*4 + j]  f32 [2 x 3 x 4] workspace b7`: reads b1, over which step 0 has written b6";
    assert_eq!(faults[0].to_string(), expected);
    let mut plan = example();
    plan.kernels[1].phases[0].inner.swap(1, 2);
    let faults = check(&plan).expect_err("a value is used too early");
    assert_eq!(faults[0].to_string(), "k1 phase 0 `v2 = add v0 v1 : f32`: v1 is not visible here");
}

/// Two kernels of four pieces, each of two elements: a copy, and a copy of that which begins at `offset` and steps by `stride`.
fn in_pieces(offset: isize, stride: isize) -> Plan {
    let mut p = Plan::default();
    let x = buffer(&mut p, DType::F32, 8, Place::Input(0));
    let between = buffer(&mut p, DType::F32, 8, Place::Arena(0));
    let y = buffer(&mut p, DType::F32, 8, Place::Output(0));
    let copy = |offset: isize, stride: isize| {
        let mut k = Body::new(&[4, 2], 2);
        let slots = [Access::Read, Access::Write].map(|a| k.slot(DType::F32, a));
        let v = k.load(slots[0], at(offset, &[2 * stride, stride]));
        k.store(slots[1], at(0, &[2, 1]), v);
        k.0
    };
    call(&mut p, copy(0, 1), &[x, between]);
    call(&mut p, copy(offset, stride), &[between, y]);
    p.strips = vec![Strip { steps: 0..2, pieces: 4, cuts: vec![Cut::Rows; 2] }];
    p
}

#[test]
fn pieces_of_different_steps_stay_apart() {
    assert_eq!(check(&in_pieces(0, 1)), Ok(()));
    // The other way round, a piece reads what another one writes.
    assert_eq!(faults(&in_pieces(7, -1)), [FaultKind::PiecesMeet { buffer: B(1), other: B(1) }]);
    let mut reversed = in_pieces(7, -1);
    reversed.strips.clear();
    assert_eq!(check(&reversed), Ok(()));
}

#[test]
fn strips_are_of_steps_in_order_cut_one_by_one() {
    let of = |change: fn(&mut Plan)| {
        let mut plan = in_pieces(0, 1);
        change(&mut plan);
        faults(&plan)
    };
    assert_eq!(of(|p| p.strips[0].steps = 0..3), [FaultKind::Strip]);
    assert_eq!(of(|p| p.strips[0].cuts.truncate(1)), [FaultKind::Strip]);
    assert_eq!(of(|p| p.strips.push(p.strips[0].clone())), [FaultKind::Strip]);
    assert_eq!(of(|p| p.strips[0].pieces = 2), [FaultKind::Cut { pieces: 2 }]);
    assert_eq!(of(|p| p.strips[0].cuts[1] = Cut::Axis(Family::Batch)), [FaultKind::Cut { pieces: 4 }]);
    // The one row loop may be run by vectors, whose turns are of several pieces.
    let single = |p: &mut Plan| p.kernels.iter_mut().for_each(|kernel| kernel.rows = 1);
    assert_eq!(of(single), [FaultKind::Cut { pieces: 4 }]);
}

#[test]
fn a_buffer_of_which_a_piece_is_in_memory_belongs_to_one_strip() {
    let by_pieces = |offset, stride, change: fn(&mut Plan)| {
        let mut plan = in_pieces(offset, stride);
        plan.buffers[1].pieces = 4;
        plan.arena_bytes = 8;
        change(&mut plan);
        faults(&plan)
    };
    assert_eq!(by_pieces(0, 1, |_| {}), []);
    assert_eq!(by_pieces(0, 1, |p| p.strips.clear()), vec![FaultKind::OutsidePiece(B(1)); 2]);
    assert_eq!(by_pieces(0, 1, |p| p.buffers[1].pieces = 2), [FaultKind::OutsideArena { end: 16, arena: 8 }]);
    assert_eq!(by_pieces(0, 1, |p| p.buffers[1].pieces = 0), [FaultKind::Pieces(0)]);
    assert_eq!(by_pieces(0, 1, |p| p.buffers[1].pieces = 3), [FaultKind::Pieces(3)]);
    assert!(by_pieces(7, -1, |_| {}).contains(&FaultKind::OutsidePiece(B(1))));
}
