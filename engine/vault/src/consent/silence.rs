//! That nobody speaks to a site for long, accepted by its operator for a while and by name.

use crate::Vault;
use crate::audit::Told;
use crate::failure::Failure;
use crate::forget::expect_reason;
use crate::report::time;
use serde::Serialize;
use warifu_catalog::{Event, Silence};

/// The most hours for which silence is accepted at a time: a month.
pub const SILENCE_HOURS_MAX: u32 = 744;

/// Silence that a site's operator accepts.
#[derive(Debug, Clone, Serialize)]
pub struct SilenceRow {
    /// Until when.
    pub until: String,
    /// Why.
    pub reason: String,
}

impl Vault {
    /// At a site: accepts for `hours`, [`SILENCE_HOURS_MAX`] of them at most, that nobody may have
    /// told it of revocations, so that it goes on to release what persons agree to. 0 hours end
    /// what was accepted before. The audit log tells it first.
    ///
    /// # Errors
    /// Where this is a gateway's vault, the reason is none, or the audit log can't be written.
    pub fn accept_silence(&self, hours: u32, reason: &str) -> Result<SilenceRow, Failure> {
        expect_reason(reason)?;
        let register = self.register()?;
        let hours = u64::from(hours.min(SILENCE_HOURS_MAX));
        let at_unix_s = self.now_unix_s();
        let until_unix_s = at_unix_s.saturating_add(hours * 3600);
        let until = time(until_unix_s);
        let told = Told::operator().reason(reason).note(format!("until {until}"));
        let json = told.result("done").json()?;
        let event = Event { kind: "accept-silence", json: &json, at_unix_s };
        let silence = Silence { until_unix_s, reason: reason.to_owned() };
        register.accept_silence(&silence, &event)?;
        Ok(SilenceRow { until, reason: silence.reason })
    }
}
