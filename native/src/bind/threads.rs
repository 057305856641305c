//! The thread pool that all kernels run in.

use napi_derive::napi;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::{Arc, LazyLock, RwLock};

/// Bytes of stack of a worker; recursive factorisations need more than the default.
const STACK: usize = 8 << 20;

static POOL: LazyLock<RwLock<Arc<ThreadPool>>> = LazyLock::new(|| RwLock::new(Arc::new(build(0))));

fn build(threads: usize) -> ThreadPool {
    ThreadPoolBuilder::new()
        .num_threads(threads)
        .stack_size(STACK)
        .thread_name(|index| format!("modelpress-{index}"))
        .build()
        .expect("the operating system refuses to start threads")
}

/// The pool of the moment; work that has begun keeps the pool it began with.
pub fn pool() -> Arc<ThreadPool> {
    POOL.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
}

/// Sets the number of threads, 0 for one per core.
#[napi]
pub fn set_threads(threads: u32) {
    let pool = Arc::new(build(threads as usize));
    *POOL.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = pool;
}

/// The number of threads.
#[napi]
pub fn thread_count() -> u32 {
    pool().current_num_threads() as u32
}
