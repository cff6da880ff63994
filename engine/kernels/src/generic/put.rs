//! What becomes of a target: added to, overwritten, or overwritten past the caches.

use super::Vector;

/// A way to write a target. All of its functions touch only the first `head` bytes if that is
/// given, else a whole vector.
pub(crate) trait Put {
    /// Whether sources are likely to come from memory, so that the CPU is told of them ahead.
    const FAR: bool;

    /// What the sum begins with: the bytes at `target`, or nothing.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`, and `target` is valid for reads of what is touched.
    unsafe fn before<V: Vector>(target: *const u8, head: Option<usize>) -> Option<V>;

    /// Writes the sum.
    ///
    /// # Safety
    /// `target` is valid for writes of what is touched; for [`Stream`] it is aligned as well, and
    /// there is no `head`.
    unsafe fn after<V: Vector>(sum: V, target: *mut u8, head: Option<usize>);
}

/// To what a target holds, the sum is added.
pub(crate) struct Add;

/// What a target holds is overwritten.
pub(crate) struct Replace;

/// What a target holds is overwritten in memory and leaves the caches.
pub(crate) struct Stream;

impl Put for Add {
    const FAR: bool = true;

    #[inline(always)]
    unsafe fn before<V: Vector>(target: *const u8, head: Option<usize>) -> Option<V> {
        // SAFETY: the caller's promise.
        Some(unsafe { load::<V>(target, head) })
    }

    #[inline(always)]
    unsafe fn after<V: Vector>(sum: V, target: *mut u8, head: Option<usize>) {
        // SAFETY: the caller's promise.
        unsafe { store(sum, target, head) }
    }
}

impl Put for Replace {
    const FAR: bool = false;

    #[inline(always)]
    unsafe fn before<V: Vector>(_target: *const u8, _head: Option<usize>) -> Option<V> {
        None
    }

    #[inline(always)]
    unsafe fn after<V: Vector>(sum: V, target: *mut u8, head: Option<usize>) {
        // SAFETY: the caller's promise.
        unsafe { store(sum, target, head) }
    }
}

impl Put for Stream {
    const FAR: bool = true;

    #[inline(always)]
    unsafe fn before<V: Vector>(_target: *const u8, _head: Option<usize>) -> Option<V> {
        None
    }

    #[inline(always)]
    unsafe fn after<V: Vector>(sum: V, target: *mut u8, _head: Option<usize>) {
        // SAFETY: the caller's promise.
        unsafe { sum.stream(target) }
    }
}

/// The vector at `source`, or its first `head` bytes and zeros.
///
/// # Safety
/// The CPU has the instruction set of `V`, and `source` is valid for reads of so many bytes.
#[inline(always)]
pub(crate) unsafe fn load<V: Vector>(source: *const u8, head: Option<usize>) -> V {
    match head {
        // SAFETY: the caller's promise.
        None => unsafe { V::load(source) },
        // SAFETY: the caller's promise.
        Some(len) => unsafe { V::load_head(source, len) },
    }
}

/// # Safety
/// `target` is valid for writes of a whole vector, or of `head` bytes.
#[inline(always)]
unsafe fn store<V: Vector>(sum: V, target: *mut u8, head: Option<usize>) {
    match head {
        // SAFETY: the caller's promise.
        None => unsafe { sum.store(target) },
        // SAFETY: the caller's promise.
        Some(len) => unsafe { sum.store_head(target, len) },
    }
}
