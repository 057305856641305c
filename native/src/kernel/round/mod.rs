//! Rounding weights to integers. A weight is a matrix (rows = outputs, columns = inputs); columns share a scale in
//! groups of `group_size`, the last group of a row may be shorter. Codes are unsigned, one a byte;
//! `weight = (code - zero) * scale`.

pub mod clip;
pub mod curvature;
pub mod descent;
pub mod gptq;
pub mod grid;
pub mod power;
pub mod rtn;
mod solve;
mod strip;
