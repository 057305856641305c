//! Numerical kernels of modelpress.
//!
//! `kernel` holds pure functions over slices that know nothing of Node; `bind` is the thin boundary that checks
//! lengths, borrows JavaScript's memory, runs the work off the event loop and turns faults and panics into errors.

#[cfg(not(test))]
pub mod bind;
pub mod kernel;
