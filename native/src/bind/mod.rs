//! The boundary to Node. Long work runs on libuv's threads inside the crate's own thread pool; short work runs at once.
//! Borrowed arrays must not be changed or transferred by JavaScript before the promise settles.

mod descent;
mod float;
mod gptq;
mod gram;
mod hash;
mod held;
mod linalg;
mod optim;
mod pack;
mod round;
mod stats;
mod threads;
mod work;

use napi_derive::napi;

/// Version of the functions below; the TypeScript side refuses any other.
#[napi]
pub fn interface_version() -> u32 {
    5
}
