//! Pure functions over slices. All matrices are row-major; results do not depend on the number of threads.

pub mod control;
pub mod dispatch;
pub mod fault;
pub mod float;
pub mod gram;
pub mod hash;
pub mod header;
pub mod linalg;
pub mod optim;
pub mod pack;
pub mod round;
pub mod stats;
#[cfg(test)]
pub mod testing;
