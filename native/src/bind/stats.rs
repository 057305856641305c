use super::work::{JobControl, Work, at_once, in_background};
use crate::kernel::stats::difference;
use crate::kernel::stats::histogram::Histogram;
use crate::kernel::stats::range::{self, Extremes};
use crate::kernel::stats::softmax;
use napi::bindgen_prelude::{AsyncTask, Float32Array, Float64Array, Int32Array, Uint8Array};
use napi_derive::napi;

/// Extremes of finite values; ∞ and -∞ when there are none.
#[napi(object)]
pub struct Range {
    pub minimum: f64,
    pub maximum: f64,
    pub non_finite: f64,
}

impl From<Extremes> for Range {
    fn from(found: Extremes) -> Self {
        Range {
            minimum: f64::from(found.minimum),
            maximum: f64::from(found.maximum),
            non_finite: found.non_finite as f64,
        }
    }
}

#[napi]
pub fn min_max(values: &[f32]) -> napi::Result<Range> {
    at_once(|| Ok(range::extremes(values).into()))
}

/// Extremes of each channel, and the number of values that are not finite in all of them.
#[napi(object)]
pub struct ChannelRanges {
    pub minimum: Float32Array,
    pub maximum: Float32Array,
    pub non_finite: f64,
}

#[napi]
pub fn min_max_per_channel(values: &[f32], outer: u32, channels: u32, inner: u32) -> napi::Result<ChannelRanges> {
    at_once(|| range::extremes_by_channel(values, outer as usize, channels as usize, inner as usize)).map(|found| {
        ChannelRanges {
            minimum: Float32Array::new(found.iter().map(|channel| channel.minimum).collect()),
            maximum: Float32Array::new(found.iter().map(|channel| channel.maximum).collect()),
            non_finite: found.iter().map(|channel| channel.non_finite as f64).sum(),
        }
    })
}

/// A histogram of a stream; see the kernel.
#[napi(js_name = "Histogram")]
pub struct StreamHistogram {
    histogram: Histogram,
}

#[napi]
impl StreamHistogram {
    #[napi(constructor)]
    pub fn new(bins: u32) -> napi::Result<Self> {
        at_once(|| Ok(StreamHistogram { histogram: Histogram::new(bins as usize)? }))
    }

    #[napi]
    pub fn add(&mut self, values: &[f32]) -> napi::Result<()> {
        at_once(|| {
            self.histogram.add(values);
            Ok(())
        })
    }

    #[napi]
    pub fn merge(&mut self, other: &StreamHistogram) -> napi::Result<()> {
        at_once(|| self.histogram.merge(&other.histogram))
    }

    #[napi]
    pub fn counts(&self) -> Float64Array {
        Float64Array::new(self.histogram.counts().iter().map(|&count| count as f64).collect())
    }

    #[napi]
    pub fn range(&self) -> f64 {
        self.histogram.range()
    }

    #[napi]
    pub fn extremes(&self) -> Range {
        self.histogram.extremes().into()
    }
}

/// Sums over pairs of elements.
#[napi(object)]
pub struct DifferenceSums {
    pub signal: f64,
    pub noise: f64,
    pub dot: f64,
    pub other: f64,
    pub greatest: f64,
}

#[napi]
pub fn difference(a: &[f32], b: &[f32]) -> napi::Result<DifferenceSums> {
    at_once(|| {
        let found = difference::difference(a, b)?;
        Ok(DifferenceSums {
            signal: found.signal,
            noise: found.noise,
            dot: found.dot,
            other: found.other,
            greatest: found.greatest,
        })
    })
}

/// Figures per row.
#[napi(object)]
pub struct SoftmaxFigures {
    pub nll: Float64Array,
    pub top1: Uint8Array,
    pub kl: Option<Float64Array>,
    pub agree: Option<Uint8Array>,
}

#[napi]
pub fn softmax_metrics(
    logits: Float32Array,
    labels: Int32Array,
    reference: Option<Float32Array>,
    control: &JobControl,
) -> AsyncTask<Work<SoftmaxFigures>> {
    let control = control.shared();
    in_background(move || {
        let found = softmax::softmax_metrics(&logits, &labels, reference.as_deref(), &control)?;
        let both = reference.is_some();
        Ok(SoftmaxFigures {
            nll: Float64Array::new(found.nll),
            top1: Uint8Array::new(found.top1),
            kl: both.then(|| Float64Array::new(found.kl)),
            agree: both.then(|| Uint8Array::new(found.agree)),
        })
    })
}
