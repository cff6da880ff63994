//! Tells a step machine that one of its threads panicked: it would else wait for it for ever.

/// Sounds when it is dropped by a panic, and is silent otherwise.
pub(crate) struct PanicAlarm<F: Fn()>(pub(crate) F);

impl<F: Fn()> Drop for PanicAlarm<F> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.0)();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn it_sounds_for_a_panic_and_for_nothing_else() {
        let heard = AtomicBool::new(false);
        drop(PanicAlarm(|| heard.store(true, Ordering::Relaxed)));
        assert!(!heard.load(Ordering::Relaxed));
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let _alarm = PanicAlarm(|| heard.store(true, Ordering::Relaxed));
                panic!("on purpose");
            });
            assert!(thread.join().is_err());
        });
        assert!(heard.load(Ordering::Relaxed));
    }
}
