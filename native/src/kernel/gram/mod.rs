//! Second moments of activations, accumulated in double precision.

pub mod accumulator;
pub mod cross;
pub mod patches;
mod tiles;

/// Samples that are multiplied in single precision before their sum goes into the double-precision total.
pub const CHUNK: usize = 1024;

/// How products of samples are summed within a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// In single precision, over at most `CHUNK` samples at a time.
    Single,
    /// Everything in double precision.
    Double,
}
