//! `target ^= source`. The compiler vectorises it for the function that it is inlined into, so
//! it needs neither trait nor unsafe code.

#[inline(always)]
pub(crate) fn xor(target: &mut [u8], source: &[u8]) {
    assert_eq!(target.len(), source.len(), "xor of two lengths");
    for (to, from) in target.iter_mut().zip(source) {
        *to ^= from;
    }
}
