//! Stopping long work and watching it: shared atomics, checked once per block.

use super::fault::Fault;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A stop flag and a counter of finished units, shared between a running kernel and whoever waits for it.
#[derive(Debug, Default)]
pub struct Control {
    stopped: AtomicBool,
    done: AtomicU64,
    total: AtomicU64,
}

impl Control {
    /// Asks the kernel to return `Fault::interrupted` at its next checkpoint.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Fails when a stop was asked for.
    pub fn checkpoint(&self) -> Result<(), Fault> {
        if self.stopped.load(Ordering::Relaxed) { Err(Fault::interrupted()) } else { Ok(()) }
    }

    /// Declares how many units of work there will be and forgets those done so far.
    pub fn begin(&self, total: u64) {
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    /// Counts finished units; fails when a stop was asked for.
    pub fn advance(&self, units: u64) -> Result<(), Fault> {
        self.done.fetch_add(units, Ordering::Relaxed);
        self.checkpoint()
    }

    /// Share of the declared work that is done, 0..=1.
    pub fn fraction(&self) -> f64 {
        let total = self.total.load(Ordering::Relaxed);
        if total == 0 {
            return 0.0;
        }
        (self.done.load(Ordering::Relaxed) as f64 / total as f64).min(1.0)
    }
}
