//! Memory of the machine and of this process, and hints about it for the processor and the kernel.
//! The hints change run times only.

use std::sync::atomic::AtomicU64;

/// Half of the machine's memory, in bytes; `u64::MAX` if the size is unknown.
pub(crate) fn memory_limit() -> u64 {
    bytes_in("/proc/meminfo", "MemTotal:").map_or(u64::MAX, |bytes| bytes / 2)
}

/// The largest amount of memory that this process has used so far, in bytes; `None` if the system
/// does not report it.
pub(crate) fn peak_memory() -> Option<u64> {
    bytes_in("/proc/self/status", "VmHWM:")
}

/// The bytes of a field that a file of `/proc` states in kB.
fn bytes_in(path: &str, field: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<u64>()
        .ok()?
        .checked_mul(1_024)
}

/// Numbers of bytes that this process has read and written through system calls (files, pipes and
/// sockets), since its start or since an earlier moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProcessIo {
    /// Number of bytes read.
    pub(crate) n_read: u64,
    /// Number of bytes written.
    pub(crate) n_written: u64,
}

impl ProcessIo {
    /// Returns the counts since the process started; `None` if the system does not report them.
    pub(crate) fn now() -> Option<Self> {
        let text = std::fs::read_to_string("/proc/self/io").ok()?;
        let field = |name: &str| -> Option<u64> {
            text.lines()
                .find_map(|line| line.strip_prefix(name))?
                .trim()
                .parse()
                .ok()
        };
        Some(Self {
            n_read: field("rchar:")?,
            n_written: field("wchar:")?,
        })
    }

    /// Returns the bytes since an earlier moment.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            n_read: self.n_read.saturating_sub(before.n_read),
            n_written: self.n_written.saturating_sub(before.n_written),
        }
    }
}

/// Prefetches the cache line of an item that will be read soon.
#[inline(always)]
pub(crate) fn prefetch<T>(items: &[T], idx: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(item) = items.get(idx) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        #[expect(
            unsafe_code,
            reason = "a prefetch reads nothing and cannot fault; the address is that of an item"
        )]
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(item).cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (items, idx);
}

/// Creates a large table for random access, on huge pages where the system has them. With ordinary
/// pages, most reads of a large table must also look up the address of their page.
pub(crate) fn table<T>(n: usize, item: impl Fn() -> T) -> Vec<T> {
    let mut items = Vec::with_capacity(n);
    #[cfg(target_os = "linux")]
    advise_huge_pages(items.spare_capacity_mut());
    items.extend(std::iter::repeat_with(item).take(n));
    items
}

/// Creates a large table of zeros for random access, as [`table`]. Fresh memory is zero, so a page
/// is cleared only once, by the thread that writes to it first.
pub(crate) fn zeros(n: usize) -> Vec<AtomicU64> {
    let mut items = vec![0_u64; n];
    #[cfg(target_os = "linux")]
    advise_huge_pages(&mut items);
    // The list keeps its memory: no item is written.
    items.into_iter().map(AtomicU64::new).collect()
}

#[cfg(target_os = "linux")]
fn advise_huge_pages<T>(items: &mut [T]) {
    const HUGE_PAGE: usize = 2 << 20;
    let skip = items.as_ptr().cast::<u8>().align_offset(HUGE_PAGE);
    let n_bytes = size_of_val(items).saturating_sub(skip) / HUGE_PAGE * HUGE_PAGE;
    if n_bytes > 0 {
        let start = items.as_mut_ptr().cast::<u8>().wrapping_add(skip);
        #[expect(
            unsafe_code,
            reason = "the advice changes page sizes, not contents; the range lies within the allocation"
        )]
        // Without huge pages the table is slower but correct.
        let _ = unsafe { rustix::mm::madvise(start.cast(), n_bytes, rustix::mm::Advice::LinuxHugepage) };
    }
}
