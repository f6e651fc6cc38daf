//! The number of threads of Polars, which has threads of its own.

/// Limits the threads of Polars. It has an effect before the first expression is computed.
#[allow(unsafe_code)]
pub(crate) fn limit(n: u16) {
    // SAFETY: the program calls this before it starts a thread, so no other thread reads the
    // environment at this moment.
    unsafe { std::env::set_var("POLARS_MAX_THREADS", n.to_string()) }
}
