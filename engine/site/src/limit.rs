//! How many connections may be opened without proving anything.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use warifu_core::LinkId;

/// Unproven connections admitted at once after a quiet time.
const BURST: f64 = 64.0;
/// Unproven connections admitted in the long run, each second.
const PER_SECOND: f64 = 1.0;

/// One token bucket for each link: an unproven hello costs the site key, so strangers may not
/// send many. A connection that proves itself gives its token back.
#[derive(Default)]
pub(crate) struct HelloLimit {
    buckets: Mutex<HashMap<LinkId, Bucket>>,
}

struct Bucket {
    tokens: f64,
    /// When, by the site's clock.
    filled: Duration,
}

impl HelloLimit {
    /// Takes a token of `link`, which exists, if one is left; `now` by the site's clock.
    pub(crate) fn admit(&self, link: LinkId, now: Duration) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(link).or_insert(Bucket { tokens: BURST, filled: now });
        let waited = now.saturating_sub(bucket.filled).as_secs_f64();
        bucket.tokens = (bucket.tokens + waited * PER_SECOND).min(BURST);
        bucket.filled = now;
        let admitted = bucket.tokens >= 1.0;
        if admitted {
            bucket.tokens -= 1.0;
        }
        admitted
    }

    /// The connection has proved to hold the link's key.
    pub(crate) fn proved(&self, link: LinkId) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(&link) {
            bucket.tokens = (bucket.tokens + 1.0).min(BURST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_run_dry_and_a_proved_peer_does_not() {
        let limit = HelloLimit::default();
        let link = LinkId::from_bytes([1; 16]);
        let start = Duration::from_secs(7);
        for _ in 0..1000 {
            assert!(limit.admit(link, start));
            limit.proved(link);
        }
        assert_eq!((0..1000).filter(|_| limit.admit(link, start)).count(), BURST as usize);
        let later = start + Duration::from_secs(3);
        assert_eq!((0..1000).filter(|_| limit.admit(link, later)).count(), 3);
        assert!(limit.admit(LinkId::from_bytes([2; 16]), start), "other links are not touched");
    }
}
