use super::work::{Work, at_once, in_background};
use crate::kernel::fault::Fault;
use crate::kernel::gram::Precision;
use crate::kernel::gram::accumulator::Gram;
use crate::kernel::gram::cross::CrossGram;
use crate::kernel::gram::patches::Patches;
use napi::bindgen_prelude::{AsyncTask, Float32Array, Float64Array, Uint8Array};
use napi_derive::napi;
use std::sync::{Arc, Mutex, MutexGuard};

fn locked<T>(shared: &Mutex<T>) -> Result<MutexGuard<'_, T>, Fault> {
    shared.lock().map_err(|_| Fault::internal("an earlier sum failed half way; its total is lost"))
}

/// A convolution's unfolding; see `Patches`.
#[napi(object)]
pub struct PatchLayout {
    pub batch: u32,
    pub channels: u32,
    pub height: u32,
    pub width: u32,
    pub kernel: (u32, u32),
    pub strides: (u32, u32),
    pub dilations: (u32, u32),
    pub pads: (u32, u32, u32, u32),
    pub first_channel: u32,
    pub group_channels: u32,
}

impl From<PatchLayout> for Patches {
    fn from(layout: PatchLayout) -> Self {
        let pair = |(a, b): (u32, u32)| [a as usize, b as usize];
        let (top, left, bottom, right) = layout.pads;
        Patches {
            batch: layout.batch as usize,
            channels: layout.channels as usize,
            height: layout.height as usize,
            width: layout.width as usize,
            kernel: pair(layout.kernel),
            strides: pair(layout.strides),
            dilations: pair(layout.dilations),
            pads: [top, left, bottom, right].map(|pad| pad as usize),
            first_channel: layout.first_channel as usize,
            group_channels: layout.group_channels as usize,
        }
    }
}

fn precision(exact: bool) -> Precision {
    if exact { Precision::Double } else { Precision::Single }
}

/// XᵀX of a stream of samples.
#[napi]
pub struct GramAccumulator {
    shared: Arc<Mutex<Gram>>,
}

#[napi]
impl GramAccumulator {
    #[napi(constructor)]
    pub fn new(n: u32) -> Self {
        GramAccumulator { shared: Arc::new(Mutex::new(Gram::new(n as usize))) }
    }

    #[napi]
    pub fn add(&self, x: Float32Array, rows: u32, exact: bool) -> AsyncTask<Work<()>> {
        let shared = self.shared.clone();
        in_background(move || locked(&shared)?.add(&x, rows as usize, precision(exact)))
    }

    #[napi]
    pub fn add_patches(&self, x: Float32Array, layout: PatchLayout, exact: bool) -> AsyncTask<Work<()>> {
        let shared = self.shared.clone();
        in_background(move || locked(&shared)?.add_patches(&x, &layout.into(), precision(exact)))
    }

    #[napi]
    pub fn merge(&self, other: &GramAccumulator) -> napi::Result<()> {
        at_once(|| {
            if Arc::ptr_eq(&self.shared, &other.shared) {
                return Err(Fault::internal("an accumulator cannot be merged into itself"));
            }
            locked(&self.shared)?.merge(&*locked(&other.shared)?)
        })
    }

    #[napi]
    pub fn count(&self) -> napi::Result<f64> {
        at_once(|| Ok(locked(&self.shared)?.count() as f64))
    }

    #[napi]
    pub fn sums(&self) -> napi::Result<Float64Array> {
        at_once(|| Ok(locked(&self.shared)?.sums().to_vec())).map(Float64Array::new)
    }

    #[napi]
    pub fn diagonal(&self) -> napi::Result<Float64Array> {
        at_once(|| Ok(locked(&self.shared)?.diagonal())).map(Float64Array::new)
    }

    #[napi]
    pub fn matrix(&self) -> napi::Result<Float64Array> {
        at_once(|| Ok(locked(&self.shared)?.matrix())).map(Float64Array::new)
    }

    #[napi]
    pub fn to_bytes(&self) -> napi::Result<Uint8Array> {
        at_once(|| Ok(locked(&self.shared)?.to_bytes())).map(Uint8Array::new)
    }
}

/// The accumulator that `to_bytes` was called on.
#[napi]
pub fn gram_from_bytes(bytes: &[u8]) -> napi::Result<GramAccumulator> {
    at_once(|| Ok(GramAccumulator { shared: Arc::new(Mutex::new(Gram::from_bytes(bytes)?)) }))
}

/// FᵀX of a stream of paired samples.
#[napi]
pub struct CrossGramAccumulator {
    shared: Arc<Mutex<CrossGram>>,
}

#[napi]
impl CrossGramAccumulator {
    #[napi(constructor)]
    pub fn new(m: u32, n: u32) -> Self {
        CrossGramAccumulator { shared: Arc::new(Mutex::new(CrossGram::new(m as usize, n as usize))) }
    }

    #[napi]
    pub fn add(&self, full: Float32Array, x: Float32Array, rows: u32) -> AsyncTask<Work<()>> {
        let shared = self.shared.clone();
        in_background(move || locked(&shared)?.add(&full, &x, rows as usize))
    }

    #[napi]
    pub fn merge(&self, other: &CrossGramAccumulator) -> napi::Result<()> {
        at_once(|| {
            if Arc::ptr_eq(&self.shared, &other.shared) {
                return Err(Fault::internal("an accumulator cannot be merged into itself"));
            }
            locked(&self.shared)?.merge(&*locked(&other.shared)?)
        })
    }

    #[napi]
    pub fn count(&self) -> napi::Result<f64> {
        at_once(|| Ok(locked(&self.shared)?.count() as f64))
    }

    #[napi]
    pub fn matrix(&self) -> napi::Result<Float64Array> {
        at_once(|| Ok(locked(&self.shared)?.matrix().to_vec())).map(Float64Array::new)
    }
}
