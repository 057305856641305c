//! The thread pools that kernels run in. Long and short work have one each, so that a call that JavaScript waits for
//! never queues behind a job of minutes.

use napi_derive::napi;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::{Arc, LazyLock, RwLock};

/// Bytes of stack of a worker; recursive factorisations need more than the default.
const STACK: usize = 8 << 20;

struct Pools {
    background: Arc<ThreadPool>,
    foreground: Arc<ThreadPool>,
}

static POOLS: LazyLock<RwLock<Pools>> = LazyLock::new(|| RwLock::new(build_both(0)));

fn build_both(threads: usize) -> Pools {
    Pools { background: build(threads, "background"), foreground: build(threads, "foreground") }
}

fn build(threads: usize, name: &'static str) -> Arc<ThreadPool> {
    let builder = ThreadPoolBuilder::new()
        .num_threads(threads)
        .stack_size(STACK)
        .thread_name(move |index| format!("modelpress-{name}-{index}"));
    Arc::new(builder.build().expect("the operating system refuses to start threads"))
}

fn choose(pool: impl Fn(&Pools) -> &Arc<ThreadPool>) -> Arc<ThreadPool> {
    pool(&POOLS.read().unwrap_or_else(|poisoned| poisoned.into_inner())).clone()
}

/// The pool of work that a promise stands for; what has begun keeps the pool it began with.
pub fn background() -> Arc<ThreadPool> {
    choose(|pools| &pools.background)
}

/// The pool of work that JavaScript waits for.
pub fn foreground() -> Arc<ThreadPool> {
    choose(|pools| &pools.foreground)
}

/// Sets the number of threads, 0 for one per core.
#[napi(catch_unwind)]
pub fn set_threads(threads: u32) {
    let pools = build_both(threads as usize);
    *POOLS.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = pools;
}

/// The number of threads.
#[napi(catch_unwind)]
pub fn thread_count() -> u32 {
    background().current_num_threads() as u32
}
