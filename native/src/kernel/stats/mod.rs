//! Statistics of activations and of differences between models. Sums are made in chunks of fixed size that are added
//! in order, so that they do not depend on the number of threads.

pub mod difference;
pub mod exponential;
pub mod histogram;
pub mod range;
pub mod softmax;

/// Elements that one task looks at.
const CHUNK: usize = 1 << 15;
/// Running values that a loop keeps apart so that it vectorises.
const LANES: usize = 8;
