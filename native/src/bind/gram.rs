use super::held::{Held, both_locked, locked};
use super::work::{Work, at_once, in_background};
use crate::kernel::gram::Precision;
use crate::kernel::gram::accumulator::Gram;
use crate::kernel::gram::cross::CrossGram;
use crate::kernel::gram::patches::Patches;
use napi::Env;
use napi::bindgen_prelude::{AsyncTask, Float32Array, Float64Array, ObjectFinalize, Uint8Array};
use napi_derive::napi;

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
#[napi(custom_finalize)]
pub struct GramAccumulator {
    held: Held<Gram>,
}

impl ObjectFinalize for GramAccumulator {
    fn finalize(mut self, env: Env) -> napi::Result<()> {
        self.held.release(&env)
    }
}

impl GramAccumulator {
    fn hold(env: &Env, gram: Gram) -> napi::Result<Self> {
        let bytes = gram.bytes();
        Ok(GramAccumulator { held: Held::new(env, gram, bytes)? })
    }
}

#[napi]
impl GramAccumulator {
    #[napi(constructor)]
    pub fn new(env: Env, n: u32) -> napi::Result<Self> {
        GramAccumulator::hold(&env, Gram::new(n as usize))
    }

    #[napi]
    pub fn release(&mut self, env: Env) -> napi::Result<()> {
        self.held.release(&env)
    }

    #[napi]
    pub fn add(&self, x: Float32Array, rows: u32, exact: bool) -> AsyncTask<Work<()>> {
        let shared = self.held.share();
        in_background(move || locked(&*shared?)?.add(&x, rows as usize, precision(exact)))
    }

    #[napi]
    pub fn add_patches(&self, x: Float32Array, layout: PatchLayout, exact: bool) -> AsyncTask<Work<()>> {
        let shared = self.held.share();
        in_background(move || locked(&*shared?)?.add_patches(&x, &layout.into(), precision(exact)))
    }

    #[napi]
    pub fn merge(&self, other: &GramAccumulator) -> napi::Result<()> {
        at_once(|| {
            let (into, from) = (self.held.share()?, other.held.share()?);
            let (mut into, from) = both_locked(&into, &from)?;
            into.merge(&from)
        })
    }

    #[napi]
    pub fn count(&self) -> napi::Result<f64> {
        at_once(|| Ok(locked(&*self.held.share()?)?.count() as f64))
    }

    #[napi]
    pub fn sums(&self) -> napi::Result<Float64Array> {
        at_once(|| Ok(locked(&*self.held.share()?)?.sums().to_vec())).map(Float64Array::new)
    }

    #[napi]
    pub fn diagonal(&self) -> napi::Result<Float64Array> {
        at_once(|| Ok(locked(&*self.held.share()?)?.diagonal())).map(Float64Array::new)
    }

    #[napi]
    pub fn matrix(&self) -> napi::Result<Float64Array> {
        at_once(|| Ok(locked(&*self.held.share()?)?.matrix())).map(Float64Array::new)
    }

    #[napi]
    pub fn to_bytes(&self) -> napi::Result<Uint8Array> {
        at_once(|| Ok(locked(&*self.held.share()?)?.to_bytes())).map(Uint8Array::new)
    }
}

/// The accumulator that `to_bytes` was called on.
#[napi]
pub fn gram_from_bytes(env: Env, bytes: &[u8]) -> napi::Result<GramAccumulator> {
    let gram = at_once(|| Gram::from_bytes(bytes))?;
    GramAccumulator::hold(&env, gram)
}

/// FᵀX of a stream of paired samples.
#[napi(custom_finalize)]
pub struct CrossGramAccumulator {
    held: Held<CrossGram>,
}

impl ObjectFinalize for CrossGramAccumulator {
    fn finalize(mut self, env: Env) -> napi::Result<()> {
        self.held.release(&env)
    }
}

#[napi]
impl CrossGramAccumulator {
    #[napi(constructor)]
    pub fn new(env: Env, m: u32, n: u32) -> napi::Result<Self> {
        let gram = CrossGram::new(m as usize, n as usize);
        let bytes = std::mem::size_of_val(gram.matrix());
        Ok(CrossGramAccumulator { held: Held::new(&env, gram, bytes)? })
    }

    #[napi]
    pub fn release(&mut self, env: Env) -> napi::Result<()> {
        self.held.release(&env)
    }

    #[napi]
    pub fn add(&self, full: Float32Array, x: Float32Array, rows: u32) -> AsyncTask<Work<()>> {
        let shared = self.held.share();
        in_background(move || locked(&*shared?)?.add(&full, &x, rows as usize))
    }

    #[napi]
    pub fn add_patches(&self, full: Float32Array, x: Float32Array, layout: PatchLayout) -> AsyncTask<Work<()>> {
        let shared = self.held.share();
        in_background(move || locked(&*shared?)?.add_patches(&full, &x, &layout.into()))
    }

    #[napi]
    pub fn merge(&self, other: &CrossGramAccumulator) -> napi::Result<()> {
        at_once(|| {
            let (into, from) = (self.held.share()?, other.held.share()?);
            let (mut into, from) = both_locked(&into, &from)?;
            into.merge(&from)
        })
    }

    #[napi]
    pub fn count(&self) -> napi::Result<f64> {
        at_once(|| Ok(locked(&*self.held.share()?)?.count() as f64))
    }

    #[napi]
    pub fn matrix(&self) -> napi::Result<Float64Array> {
        at_once(|| Ok(locked(&*self.held.share()?)?.matrix().to_vec())).map(Float64Array::new)
    }
}
