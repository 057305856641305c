//! Accumulators that live in native memory and belong to a JavaScript object.

use crate::kernel::fault::Fault;
use napi::Env;
use std::sync::{Arc, Mutex, MutexGuard};

/// A shared value whose size the garbage collector knows of, and that can be let go of before its object is collected.
pub struct Held<T> {
    value: Option<Arc<Mutex<T>>>,
    bytes: i64,
}

impl<T> Held<T> {
    /// Takes a value of `bytes` bytes.
    pub fn new(env: &Env, value: T, bytes: usize) -> napi::Result<Self> {
        let bytes = bytes as i64;
        env.adjust_external_memory(bytes)?;
        Ok(Held { value: Some(Arc::new(Mutex::new(value))), bytes })
    }

    /// The value, for work that may outlive a release.
    pub fn share(&self) -> Result<Arc<Mutex<T>>, Fault> {
        self.value.clone().ok_or_else(|| Fault::internal("an accumulator was used after its release"))
    }

    /// Frees the value as soon as work on it is done.
    pub fn release(&mut self, env: &Env) -> napi::Result<()> {
        self.value = None;
        env.adjust_external_memory(-std::mem::take(&mut self.bytes))?;
        Ok(())
    }
}

/// The value to work on; a fault when earlier work on it panicked.
pub fn locked<T>(shared: &Mutex<T>) -> Result<MutexGuard<'_, T>, Fault> {
    shared.lock().map_err(|_| Fault::internal("an earlier sum failed half way; its total is lost"))
}

/// Both values, for merging the second into the first.
pub fn both_locked<'a, T>(
    into: &'a Arc<Mutex<T>>,
    from: &'a Arc<Mutex<T>>,
) -> Result<(MutexGuard<'a, T>, MutexGuard<'a, T>), Fault> {
    if Arc::ptr_eq(into, from) {
        return Err(Fault::internal("an accumulator cannot be merged into itself"));
    }
    Ok((locked(into)?, locked(from)?))
}
