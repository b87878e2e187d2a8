//! Matrix products for compiled code, by the `gemm` crates.

use gemm_common::Parallelism;

macro_rules! gemm {
    ($name:ident, $t:ident, $function:path) => {
        /// `c = alpha * a b`, plus what `c` held if `accumulate` is not 0. Strides are in elements.
        ///
        /// # Safety
        /// For all `i < m`, `j < n`, `p < k`, the elements `a[i * a_row + p * a_column]` and `b[p * b_row + j * b_column]` can be read and
        /// `c[i * c_row + j * c_column]` can be written (and read if `accumulate`); those of `c` are distinct and none of them is one of `a` or `b`.
        #[allow(clippy::too_many_arguments, reason = "the calling convention of compiled code has no structures")]
        pub(crate) unsafe extern "C" fn $name(
            m: usize,
            n: usize,
            k: usize,
            a: *const $t,
            a_row: isize,
            a_column: isize,
            b: *const $t,
            b_row: isize,
            b_column: isize,
            c: *mut $t,
            c_row: isize,
            c_column: isize,
            alpha: f64,
            accumulate: i64,
        ) {
            // The library is made for results with contiguous columns; a row-major result is the transpose of one.
            let transpose = c_column.unsigned_abs() < c_row.unsigned_abs();
            let (m, n, c_row, c_column, a, a_row, a_column, b, b_row, b_column) = if transpose {
                (n, m, c_column, c_row, b, b_column, b_row, a, a_column, a_row)
            } else {
                (m, n, c_row, c_column, a, a_row, a_column, b, b_row, b_column)
            };
            // SAFETY: the caller's promise is the library's condition; exchanging rows and columns of all three matrices keeps it.
            unsafe {
                $function()(
                    m,
                    n,
                    k,
                    c,
                    c_column,
                    c_row,
                    accumulate != 0,
                    a,
                    a_column,
                    a_row,
                    b,
                    b_column,
                    b_row,
                    1.0,
                    alpha as $t,
                    false,
                    false,
                    false,
                    Parallelism::None,
                );
            }
        }
    };
}
gemm!(gemm_f32, f32, gemm_f32::gemm::f32::get_gemm_fn);
gemm!(gemm_f64, f64, gemm_f64::gemm::f64::get_gemm_fn);
