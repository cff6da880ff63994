//! A wrapper that makes any store fail on demand.

use crate::{Capability, Entry, Error, ShareName, ShareStore, Upload};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use warifu_buffers::Bytes;

/// Which call fails, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Number of the first call that fails. Calls count from 0, in the order in which they come.
    pub call: u64,
    /// Whether every later call fails too, or that one alone.
    pub lasting: bool,
    /// Whether the call does its work before it reports the failure: an answer that got lost.
    pub after_the_work: bool,
}

/// A store whose calls are counted, and fail as a [`Fault`] says.
///
/// Every call of [`ShareStore`] and [`Upload`] counts, `capability`, `held_bytes` and dropping
/// aside.
pub struct FaultStore {
    inner: Box<dyn ShareStore>,
    trigger: Arc<Trigger>,
}

impl FaultStore {
    /// Wraps `inner`. Nothing fails until [`FaultStore::fail`].
    #[must_use]
    pub fn new(inner: impl ShareStore + 'static) -> Self {
        Self { inner: Box::new(inner), trigger: Arc::default() }
    }

    /// From now on calls fail as `fault` says, with what `error` makes.
    pub fn fail(&self, fault: Fault, error: impl Fn() -> Error + Send + 'static) {
        self.trigger.state().plan = Some((fault, Box::new(error)));
    }

    /// From now on nothing fails.
    pub fn heal(&self) {
        self.trigger.state().plan = None;
    }

    /// How many calls have come so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.trigger.state().calls
    }
}

#[derive(Default)]
struct Trigger(Mutex<State>);

#[derive(Default)]
struct State {
    calls: u64,
    plan: Option<(Fault, Box<dyn Fn() -> Error + Send>)>,
}

impl Trigger {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call<T>(&self, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let due = self.count();
        match due {
            None => work(),
            Some((false, error)) => Err(error),
            Some((true, error)) => work().and(Err(error)),
        }
    }

    /// Counts a call; the error that is due, and whether the work is to be done before it.
    fn count(&self) -> Option<(bool, Error)> {
        let mut state = self.state();
        let call = state.calls;
        state.calls += 1;
        let (fault, error) = state.plan.as_ref()?;
        let due = if fault.lasting { call >= fault.call } else { call == fault.call };
        due.then(|| (fault.after_the_work, error()))
    }
}

impl ShareStore for FaultStore {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    fn create(&self, name: &ShareName) -> Result<Box<dyn Upload>, Error> {
        let inner = self.trigger.call(|| self.inner.create(name))?;
        Ok(Box::new(FaultUpload { inner, trigger: Arc::clone(&self.trigger) }))
    }

    fn resume(&self, name: &ShareName) -> Result<Box<dyn Upload>, Error> {
        let inner = self.trigger.call(|| self.inner.resume(name))?;
        Ok(Box::new(FaultUpload { inner, trigger: Arc::clone(&self.trigger) }))
    }

    fn unfinished(&self) -> Result<Vec<ShareName>, Error> {
        self.trigger.call(|| self.inner.unfinished())
    }

    fn read_at(&self, name: &ShareName, offset: u64, target: &mut [u8]) -> Result<(), Error> {
        self.trigger.call(|| self.inner.read_at(name, offset, target))
    }

    fn len(&self, name: &ShareName) -> Result<u64, Error> {
        self.trigger.call(|| self.inner.len(name))
    }

    fn list(&self) -> Result<Vec<Entry>, Error> {
        self.trigger.call(|| self.inner.list())
    }

    fn delete(&self, name: &ShareName) -> Result<(), Error> {
        self.trigger.call(|| self.inner.delete(name))
    }

    fn room_bytes(&self) -> Result<Option<u64>, Error> {
        self.trigger.call(|| self.inner.room_bytes())
    }
}

struct FaultUpload {
    inner: Box<dyn Upload>,
    trigger: Arc<Trigger>,
}

impl Upload for FaultUpload {
    fn write_at(&mut self, offset: u64, bytes: Bytes) -> Result<(), Error> {
        self.trigger.call(|| self.inner.write_at(offset, bytes))
    }

    fn read_at(&mut self, offset: u64, target: &mut [u8]) -> Result<(), Error> {
        self.trigger.call(|| self.inner.read_at(offset, target))
    }

    fn held_bytes(&self) -> u64 {
        self.inner.held_bytes()
    }

    fn settle(&mut self) -> Result<(), Error> {
        self.trigger.call(|| self.inner.settle())
    }

    fn truncate(&mut self, bytes: u64) -> Result<(), Error> {
        self.trigger.call(|| self.inner.truncate(bytes))
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.trigger.call(|| self.inner.sync())
    }

    fn commit(self: Box<Self>) -> Result<(), Error> {
        let Self { inner, trigger } = *self;
        trigger.call(|| inner.commit())
    }

    fn abandon(self: Box<Self>) -> Result<(), Error> {
        let Self { inner, trigger } = *self;
        trigger.call(|| inner.abandon())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;

    fn no_space() -> Error {
        Error::NoSpace
    }

    fn name() -> ShareName {
        ShareName::new("s").unwrap()
    }

    #[test]
    fn one_call_fails_or_all_from_it_on() {
        for lasting in [false, true] {
            let store = FaultStore::new(MemoryStore::new());
            store.fail(Fault { call: 1, lasting, after_the_work: false }, no_space);
            let mut upload = store.create(&name()).unwrap();
            assert!(matches!(upload.write_at(0, Bytes::from_static(b"x")), Err(Error::NoSpace)));
            assert_eq!(upload.write_at(0, Bytes::from_static(b"x")).is_err(), lasting);
            assert_eq!(store.list().is_err(), lasting);
            assert_eq!(store.calls(), 4);
            store.heal();
            assert!(store.list().is_ok());
        }
    }

    #[test]
    fn a_lost_answer_leaves_the_work_done() {
        let store = FaultStore::new(MemoryStore::new());
        store.fail(Fault { call: 1, lasting: false, after_the_work: true }, no_space);
        let upload = store.create(&name()).unwrap();
        assert!(matches!(upload.commit(), Err(Error::NoSpace)));
        assert_eq!(store.len(&name()).unwrap(), 0);
    }

    #[test]
    fn without_a_fault_it_is_the_store_inside() {
        crate::conformance::all(&|| Box::new(FaultStore::new(MemoryStore::new())));
    }
}
