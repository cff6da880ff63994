//! Checks of keys by name: what one end got, the other one gets, once.

use super::asking::{Asker, Key, Method};
use super::near_end::{expect_refusal, keys_in};
use super::{Finding, Probe};
use crate::delivery::KeyId;
use crate::source::{Entropy, OsEntropy};

const WITH_IDS: &str = "Get key with key IDs";

/// What a KME says of a key that it does not have.
const UNKNOWN: &str = "one or more keys specified are not found on KME";

impl Probe<'_> {
    /// Keys by name that are not there, or not for us.
    pub(super) fn names(&mut self) {
        let peer = self.subject.peer;
        let fresh = self.near.post(Method::EncKeys, peer, "{}");
        let finding = match fresh.map(|reply| reply.keys()) {
            Ok(Ok(keys)) if keys.len() == 1 => {
                // It was made for the peer: we are its master, and may not ask for it by name.
                let body = ids(&keys[0].name);
                expect_refusal(self.near.post(Method::DecKeys, peer, &body), &[401], "")
            }
            Err(finding) => finding,
            Ok(_) => Finding::NotTried("there was no key to ask for".to_owned()),
        };
        self.note("not-the-slave", WITH_IDS, finding);
        let mut bytes = [0; crate::KEY_ID_BYTES];
        let finding = match OsEntropy.fill(&mut bytes) {
            Err(error) => Finding::NotTried(error.to_string()),
            Ok(()) => {
                // A UUID of version 4, as all are that are drawn.
                bytes[6] = bytes[6] & 0x0F | 0x40;
                bytes[8] = bytes[8] & 0x3F | 0x80;
                let body = ids(&KeyId::from_bytes(bytes).to_string());
                expect_refusal(self.near.post(Method::DecKeys, peer, &body), &[400], UNKNOWN)
            }
        };
        self.note("unknown-key", WITH_IDS, finding);
    }

    /// The same key at the other end, and only once.
    pub(super) fn far_end(&mut self) {
        let own = self.subject.own.map(str::to_owned).or_else(|| self.status.master.clone());
        let (Some(far), Some(own)) = (self.subject.far, own) else {
            let why = "no KME of the other end was named";
            for name in ["same-key", "get-by-name", "once-only"] {
                self.note(name, WITH_IDS, Finding::NotTried(why.to_owned()));
            }
            return;
        };
        let mut far = Asker::new(far);
        let peer = self.subject.peer;
        let mut same = |probe: &mut Self, by_get: bool| -> Result<String, Finding> {
            let fresh = probe.near.post(Method::EncKeys, peer, "{}")?.keys();
            let fresh = fresh.map_err(Finding::NotTried)?;
            let [near] = fresh.as_slice() else {
                return Err(Finding::NotTried("there was no key to ask for".to_owned()));
            };
            let reply = match by_get {
                true => far.get(Method::DecKeys, &own, &format!("?key_ID={}", near.name)),
                false => far.post(Method::DecKeys, &own, &ids(&near.name)),
            };
            let keys = keys_in(reply, 1, near.material.len() as u64 * 8)?;
            match keys.first().is_some_and(|far| is_same(near, far)) {
                true => Ok(near.name.clone()),
                false => Err(Finding::Else("the two ends got different keys".to_owned())),
            }
        };
        let posted = same(self, false);
        let got = same(self, true);
        let once = match &posted {
            Err(_) => Finding::NotTried("the key did not come the first time".to_owned()),
            Ok(name) => expect_refusal(far.post(Method::DecKeys, &own, &ids(name)), &[400], ""),
        };
        let finding = |outcome: Result<String, Finding>| match outcome {
            Ok(_) => Finding::Good("the same at both ends".to_owned()),
            Err(finding) => finding,
        };
        self.note("same-key", WITH_IDS, finding(posted));
        self.note("get-by-name", WITH_IDS, finding(got));
        self.note("once-only", WITH_IDS, once);
    }
}

/// Whether both ends got the same. It takes as long whatever they hold.
fn is_same(near: &Key, far: &Key) -> bool {
    let pairs = near.material.iter().zip(far.material.iter());
    let differs = pairs.fold(0, |differs, (a, b)| differs | (a ^ b));
    near.name.eq_ignore_ascii_case(&far.name)
        && near.material.len() == far.material.len()
        && differs == 0
}

fn ids(name: &str) -> String {
    let name = serde_json::Value::from(name);
    format!("{{\"key_IDs\":[{{\"key_ID\":{name}}}]}}")
}
