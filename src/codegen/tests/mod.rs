//! Compiled kernels against the evaluator of plans, which shares nothing with code generation.

#[cfg(feature = "arm64")]
mod aarch64;
mod kernels;
mod products;
mod random;
mod scalar;
mod strips;

pub(super) use random::random_kernel;
pub(super) use scalar::map_kernel;

use crate::array::Array;
use crate::codegen::{Settings, Sharing, Vectors};
use crate::graph::{DType, TensorType};
use crate::jit::Compiled;
use crate::plan::testing::{Body, buffer, call};
use crate::plan::{Place, Plan, eval};
use crate::prim::with_element;
use crate::runtime::{Declaration, Params, Stages};

/// What compiled code and the evaluator give: the outputs, then the parameters.
struct Both {
    compiled: Vec<Array>,
    evaluated: Vec<Array>,
}

/// An array of what the evaluator finds in memory that nothing has written.
fn garbage(ty: &TensorType) -> Array {
    let n = ty.shape.numel();
    let array = match ty.dtype {
        DType::Bool => Array::new([n], vec![true; n]),
        DType::U8 => Array::new([n], vec![u8::MAX; n]),
        DType::U32 => Array::new([n], vec![u32::MAX; n]),
        DType::I32 => Array::new([n], vec![-1i32; n]),
        DType::I64 => Array::new([n], vec![-1i64; n]),
        DType::F16 => Array::new([n], vec![half::f16::from_bits(u16::MAX); n]),
        DType::BF16 => Array::new([n], vec![half::bf16::from_bits(u16::MAX); n]),
        DType::F32 => Array::new([n], vec![f32::from_bits(u32::MAX); n]),
        DType::F64 => Array::new([n], vec![f64::from_bits(u64::MAX); n]),
    };
    array.expect("as many elements as the shape says")
}

fn run(plan: &Plan, inputs: &[Array], params: &[Array], settings: Settings) -> Both {
    let views: Vec<_> = inputs.iter().map(Array::view).collect();
    let mut evaluated_params = params.to_vec();
    let mut evaluated = eval::run(plan, &views, &mut evaluated_params);
    evaluated.append(&mut evaluated_params);

    let shared = Params::new();
    for (name, param) in plan.params.iter().zip(params) {
        let declared = Declaration { name, ty: &param.ty(), initial: Some(param) };
        shared.declare(&[declared]).expect("each name is declared once");
    }
    let mut compiled: Vec<Array> = plan.outputs.iter().map(|(_, ty)| garbage(ty)).collect();
    let mut code = Compiled::new(plan.clone(), plan.inputs.iter(), settings, 3, &mut Stages::default())
        .expect("the plan compiles");
    code.attach(&shared);
    code.run(views.iter(), &mut compiled);
    compiled.extend(plan.params.iter().map(|name| shared.get(name).expect("it has been declared")));
    Both { compiled, evaluated }
}

/// Asserts that compiled code gives the same bits as the evaluator; one NaN is as good as another.
#[track_caller]
fn check(plan: &Plan, inputs: &[Array], params: &[Array]) {
    // Which vectors are shared by threads changes from plan to plan.
    let even = usize::from(plan.buffers.len().is_multiple_of(2));
    for (i, vectors) in vectors().enumerate() {
        let sharing = if (i + even).is_multiple_of(2) { Sharing::WherePaid } else { Sharing::Always };
        check_with(plan, inputs, params, Settings { vectors, sharing });
    }
}

/// All vectors of this machine, or only those that `COTANGENT_ISA` names.
fn vectors() -> impl Iterator<Item = Vectors> {
    let only = std::env::var("COTANGENT_ISA").unwrap_or_default();
    let named = move |v: &Vectors| only.is_empty() || v.name() == only;
    assert!(crate::jit::vectors().iter().any(&named), "this machine has the vectors that are asked for");
    crate::jit::vectors().iter().copied().filter(named)
}

/// Every kind of code that this machine runs.
fn all_settings() -> impl Iterator<Item = Settings> {
    let sharing = [Sharing::WherePaid, Sharing::Always];
    vectors().flat_map(move |vectors| sharing.map(|sharing| Settings { vectors, sharing }))
}

#[track_caller]
fn check_with(plan: &Plan, inputs: &[Array], params: &[Array], settings: Settings) {
    let Both { compiled, evaluated } = run(plan, inputs, params, settings);
    for (at, (c, e)) in compiled.iter().zip(&evaluated).enumerate() {
        assert_eq!(c.ty(), e.ty());
        with_element!(c.dtype(), T => {
            let (c, e) = (c.as_slice::<T>().expect("its own type"), e.as_slice::<T>().expect("its own type"));
            for (i, (c, e)) in c.iter().zip(e).enumerate() {
                #[allow(clippy::eq_op, reason = "only NaN differs from itself")]
                let nan = c != c && e != e;
                // Zeros of both signs print differently.
                let same = nan || c == e && format!("{c:?}") == format!("{e:?}");
                assert!(same, "result {at}, element {i}, {settings:?}: compiled {c:?}, evaluated {e:?}, of\n{plan}");
            }
        });
    }
}

/// A plan of one kernel, each slot of which lies in an array outside: those that are only read are inputs, the others parameters.
struct Single {
    plan: Plan,
    args: Vec<u32>,
    inputs: Vec<Array>,
    params: Vec<Array>,
}

impl Single {
    fn new() -> Single {
        Single { plan: Plan::default(), args: Vec::new(), inputs: Vec::new(), params: Vec::new() }
    }

    /// The next slot reads these elements.
    fn reads(&mut self, array: Array) -> &mut Self {
        let place = Place::Input(self.inputs.len());
        self.args.push(buffer(&mut self.plan, array.dtype(), array.shape().numel(), place));
        self.inputs.push(array);
        self
    }

    /// The next slot writes or changes these elements.
    fn changes(&mut self, array: Array) -> &mut Self {
        let place = Place::Param(self.params.len());
        self.args.push(buffer(&mut self.plan, array.dtype(), array.shape().numel(), place));
        self.params.push(array);
        self
    }

    /// The next slot writes so many elements, which hold garbage before.
    fn writes(&mut self, dtype: DType, len: usize) -> &mut Self {
        self.changes(garbage(&TensorType::new(dtype, [len])))
    }

    /// The next slot is scratch memory for rows of so many elements.
    fn scratch(&mut self, dtype: DType, len: usize) -> &mut Self {
        let place = Place::Arena(self.plan.arena_bytes.next_multiple_of(crate::plan::ARENA_ALIGN));
        let id = buffer(&mut self.plan, dtype, len * crate::plan::kernel::SCRATCH_ROWS, place);
        self.plan.buffers[id as usize].node = None;
        self.args.push(id);
        self
    }

    #[track_caller]
    fn check(&mut self, kernel: Body) {
        call(&mut self.plan, kernel.0, &self.args);
        check(&self.plan, &self.inputs, &self.params);
    }
}
