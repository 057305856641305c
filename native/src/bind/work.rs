//! Running kernels for JavaScript: faults and panics become errors, long work becomes a promise.

use super::threads::{background, foreground};
use crate::kernel::control::Control;
use crate::kernel::fault::{Fault, FaultKind};
use napi::bindgen_prelude::{AsyncTask, ToNapiValue, TypeName};
use napi::{Env, Error, Status, Task};
use napi_derive::napi;
use rayon::ThreadPool;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Stops a running kernel and tells how far it is.
#[napi(js_name = "Control")]
#[derive(Default)]
pub struct JobControl {
    shared: Arc<Control>,
}

#[napi]
impl JobControl {
    #[napi(constructor)]
    pub fn new() -> Self {
        JobControl::default()
    }

    /// Asks the kernel to stop at its next block; its promise then rejects.
    #[napi]
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// Share of the work that is done, 0..=1.
    #[napi(getter)]
    pub fn fraction(&self) -> f64 {
        self.shared.fraction()
    }
}

impl JobControl {
    pub fn shared(&self) -> Arc<Control> {
        self.shared.clone()
    }
}

/// A kernel call that waits for its turn on a thread of libuv.
pub struct Work<T> {
    run: Option<Box<dyn FnOnce() -> Result<T, Fault> + Send>>,
}

impl<T: Send + ToNapiValue + TypeName + 'static> Task for Work<T> {
    type Output = T;
    type JsValue = T;

    fn compute(&mut self) -> napi::Result<T> {
        let run = self.run.take().ok_or_else(|| to_error(Fault::internal("work can only run once")))?;
        guarded(background, run)
    }

    fn resolve(&mut self, _env: Env, output: T) -> napi::Result<T> {
        Ok(output)
    }
}

/// Runs `run` off the event loop, in the pool of long work.
pub fn in_background<T: Send + ToNapiValue + TypeName + 'static>(
    run: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> AsyncTask<Work<T>> {
    AsyncTask::new(Work { run: Some(Box::new(run)) })
}

/// Runs `run` at once, in the pool of short work.
pub fn at_once<T: Send>(run: impl FnOnce() -> Result<T, Fault> + Send) -> napi::Result<T> {
    guarded(foreground, run)
}

fn guarded<T: Send>(pool: fn() -> Arc<ThreadPool>, run: impl FnOnce() -> Result<T, Fault> + Send) -> napi::Result<T> {
    let result = catch_unwind(AssertUnwindSafe(|| pool().install(run)));
    result
        .unwrap_or_else(|panic| Err(Fault::internal(format!("a kernel failed: {}", panic_text(&*panic)))))
        .map_err(to_error)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// An error whose message begins with the kind in brackets, which the TypeScript side turns into an error code.
pub fn to_error(fault: Fault) -> Error {
    let status = if fault.kind == FaultKind::Interrupted { Status::Cancelled } else { Status::GenericFailure };
    Error::new(status, fault.to_string())
}
