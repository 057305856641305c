use super::work::{Work, in_background};
use crate::kernel::linalg::dense::{self, Factor};
use crate::kernel::linalg::spectral;
use napi::bindgen_prelude::{AsyncTask, Float32Array, Float64Array};
use napi_derive::napi;

/// The sizes of a product: op(A) is (rows, inner), op(B) is (inner, columns).
#[napi(object)]
pub struct ProductLayout {
    pub rows: u32,
    pub inner: u32,
    pub columns: u32,
    pub transpose_a: bool,
    pub transpose_b: bool,
}

macro_rules! multiply {
    ($a:expr, $b:expr, $layout:expr) => {{
        let a = Factor { values: &$a[..], transposed: $layout.transpose_a };
        let b = Factor { values: &$b[..], transposed: $layout.transpose_b };
        dense::multiply(a, b, $layout.rows as usize, $layout.inner as usize, $layout.columns as usize)
    }};
}

#[napi]
pub fn matmul_f32(a: Float32Array, b: Float32Array, layout: ProductLayout) -> AsyncTask<Work<Float32Array>> {
    in_background(move || multiply!(a, b, layout).map(Float32Array::new))
}

#[napi]
pub fn matmul_f64(a: Float64Array, b: Float64Array, layout: ProductLayout) -> AsyncTask<Work<Float64Array>> {
    in_background(move || multiply!(a, b, layout).map(Float64Array::new))
}

#[napi]
pub fn cholesky(matrix: Float64Array, n: u32) -> AsyncTask<Work<Float64Array>> {
    in_background(move || dense::cholesky(&matrix, n as usize).map(Float64Array::new))
}

#[napi]
pub fn cholesky_inverse(matrix: Float64Array, n: u32) -> AsyncTask<Work<Float64Array>> {
    in_background(move || dense::inverse(&matrix, n as usize).map(Float64Array::new))
}

#[napi]
pub fn solve_symmetric_positive(
    matrix: Float64Array,
    n: u32,
    right: Float64Array,
    columns: u32,
) -> AsyncTask<Work<Float64Array>> {
    in_background(move || dense::solve_positive(&matrix, n as usize, &right, columns as usize).map(Float64Array::new))
}

/// Eigenvalues ascending and eigenvectors as columns.
#[napi(object)]
pub struct Eigen {
    pub values: Float64Array,
    pub vectors: Float64Array,
}

#[napi]
pub fn eigen_symmetric(matrix: Float64Array, n: u32) -> AsyncTask<Work<Eigen>> {
    in_background(move || {
        let (values, vectors) = spectral::eigen_symmetric(&matrix, n as usize)?;
        Ok(Eigen { values: Float64Array::new(values), vectors: Float64Array::new(vectors) })
    })
}

/// A thin singular value decomposition.
#[napi(object)]
pub struct ThinSvd {
    pub u: Float64Array,
    pub s: Float64Array,
    pub vt: Float64Array,
}

#[napi]
pub fn svd(matrix: Float64Array, rows: u32, columns: u32) -> AsyncTask<Work<ThinSvd>> {
    in_background(move || {
        let found = spectral::svd_thin(&matrix, rows as usize, columns as usize)?;
        Ok(ThinSvd { u: Float64Array::new(found.u), s: Float64Array::new(found.s), vt: Float64Array::new(found.vt) })
    })
}
