//! Requests of a gateway about shares that sites work out together, and by which rules a site does.
//!
//! The rules keep a gateway that was taken over from collecting shares at a site that plays along:
//! what a site ever gets of an object lies on the polynomial at one x, its own. The reasons stand
//! in decision 0034.

use super::persons::bad_request;
use super::refusal::{Judged, WorkRefusal};
use super::{Answer, Declined, Desk, declined};
use crate::drafts::{share_name, writer};
use crate::greeting::Opened;
use crate::office::{Office, Told, unreadable, unwritable};
use crate::works::{Entry, Part, Serial, WorkId};
use warifu_catalog::{Admitted, Event, Holders, NewHolders};
use warifu_core::{End, ObjectId, SiteName, Threshold, XCoord};
use warifu_link::body::{Holder, Work};
use warifu_link::{Message, Status};
use warifu_pipeline::peer::{ShareAddress, Step};
use zeroize::Zeroizing;

impl Desk {
    /// Takes note of where the shares of an object of this link are to lie. The first list stays.
    pub(super) fn note_holders(
        &self,
        office: &Office,
        (object, holders): (ObjectId, &[Holder]),
        told: &Told<'_>,
    ) -> Result<(), Declined> {
        if holders.is_empty() {
            return Ok(());
        }
        let list: Vec<(XCoord, SiteName)> =
            holders.iter().map(|holder| (holder.x, holder.site.clone())).collect();
        let new = NewHolders { link: self.greeted.link, object, holders: &list };
        let places = places(holders);
        let told = Told { kind: "holders", note: Some(&places), result: "noted", ..*told };
        let (json, at_unix_s) = (told.json(), self.now_unix_s());
        let event = Event { kind: told.kind, json: &json, at_unix_s };
        match office.register().note_holders(&new, &event).map_err(unwritable)? {
            Holders::Noted | Holders::NotedBefore => Ok(()),
            Holders::TooLate => {
                tracing::info!(%object, "its holders were told too late: it is not worked with");
                Ok(())
            }
            Holders::Others => Err(self.refuse_work(office, &told, WorkRefusal::HoldersOther)),
        }
    }

    /// Gets ready to add up what other sites contribute to a share that this connection has begun.
    pub(super) fn expect_contributions(&self, opened: &Opened) -> Result<Answer, Declined> {
        let (office, who, now) = (self.office()?, self.requester()?, self.now_unix_s());
        let message = &opened.message;
        let address = super::shares::address(message)?;
        let work = Work::decode(opened.body()).map_err(bad_request)?;
        if message.argument0 != u64::from(work.count) {
            return Err(Declined::new(Status::BadRequest, "another count of chunks"));
        }
        let threshold = self.begun(address)?;
        let told = told_of("expect", &who, address);
        let judged = match work.target == *self.site.name() {
            true => self.judge(office, &who, address, &work, threshold),
            false => Err(WorkRefusal::NotTarget.into()),
        };
        self.go_by(office, &told, judged)?;
        let blinds = opened.kept.as_chunks().0.iter().map(|blind| Zeroizing::new(*blind)).collect();
        let part = Part::Target { connection: self.connection, attempt: message.attempt, blinds };
        let told = Told { result: "expected", ..told };
        self.admit_work(office, &told, address, &work, now)?;
        self.begin_work(address, work, part)
    }

    /// The scheme of a share that this connection has begun.
    fn begun(&self, address: ShareAddress) -> Result<Threshold, Declined> {
        let (drafts, link) = (self.site.drafts(), self.greeted.link);
        let draft = drafts.find(link, address);
        let draft = draft.filter(|_| drafts.is_holder(link, address, self.connection));
        let threshold = draft.and_then(|draft| {
            let writer = writer(&draft);
            writer.as_ref().map(|writer| writer.draft().threshold)
        });
        threshold.ok_or_else(|| {
            Declined::new(Status::NoSuchShare, "this connection has not begun this share")
        })
    }

    /// Takes part in working a share out for another site, if all rules allow that.
    pub(super) fn take_part(&self, message: &Message, body: &[u8]) -> Result<Answer, Declined> {
        let (office, who, now) = (self.office()?, self.requester()?, self.now_unix_s());
        let address = super::shares::address(message)?;
        let work = Work::decode(body).map_err(bad_request)?;
        let told = told_of("work", &who, address);
        let own = work.helpers.iter().find(|helper| helper.site == *self.site.name());
        let Some(Holder { x, .. }) = own.cloned() else {
            return Err(self.refuse_work(office, &told, WorkRefusal::NoHelper));
        };
        let name = share_name(ShareAddress { x, ..address }).map_err(declined)?;
        let reader = self.open_own(&name)?;
        let header = reader.header();
        let judged = self
            .judge(office, &who, address, &work, header.threshold)
            .and_then(|()| has_chunks(&work, header.geometry.chunk_count()))
            .and_then(|()| self.judge_own(office, address, &work));
        self.go_by(office, &told, judged)?;
        self.admit_work(office, &Told { result: "admitted", ..told }, address, &work, now)?;
        self.begin_work(address, work, Part::Helper { x, is_ready: false })
    }

    /// Judges a work by the rules that all its sites go by.
    fn judge(
        &self,
        office: &Office,
        who: &SiteName,
        address: ShareAddress,
        work: &Work,
        threshold: Threshold,
    ) -> Result<(), Judged> {
        let known = office.register().holders(self.greeted.link, address.object);
        let known: Vec<Holder> =
            known.map_err(unreadable)?.into_iter().map(|(x, site)| Holder { x, site }).collect();
        Ok(by_the_rules(&known, who, address.x, work, threshold)?)
    }

    /// Judges whether this site helps with its own share, and with these others.
    fn judge_own(&self, office: &Office, address: ShareAddress, work: &Work) -> Result<(), Judged> {
        let (register, link) = (office.register(), self.greeted.link);
        if self.is_forgotten(address.object, None)? {
            return Err(WorkRefusal::Forgotten.into());
        }
        if !register.is_first(link, address.object).map_err(unreadable)? {
            return Err(WorkRefusal::Restored.into());
        }
        let others = work.helpers.iter().map(|helper| &helper.site).chain([&work.target]);
        for site in others.filter(|site| *site != self.site.name()) {
            let is_site = register.neighbour(site).map_err(unreadable)?.is_some();
            if !is_site || self.end_towards(site)?.is_none() {
                return Err(WorkRefusal::Stranger.into());
            }
        }
        Ok(())
    }

    /// Goes by what a work was judged: what is against the rules is told and refused.
    fn go_by(
        &self,
        office: &Office,
        told: &Told<'_>,
        judged: Result<(), Judged>,
    ) -> Result<(), Declined> {
        judged.map_err(|judged| match judged {
            Judged::Against(why) => self.refuse_work(office, told, why),
            Judged::Failed(declined) => declined,
        })
    }

    /// Which end of the link to another site is here.
    pub(super) fn end_towards(&self, site: &SiteName) -> Result<Option<End>, Declined> {
        let link = self.site.keys().link_with(site).map_err(super::keys::unreadable)?;
        Ok(link.map(|(_, end)| end))
    }

    /// Binds the target to this one share of the object, durably and before anything is done.
    fn admit_work(
        &self,
        office: &Office,
        told: &Told<'_>,
        address: ShareAddress,
        work: &Work,
        now: u64,
    ) -> Result<(), Declined> {
        let text = told_work(work);
        let json = Told { note: Some(&text), session: Some(work.id), ..*told }.json();
        let event = Event { kind: told.kind, json: &json, at_unix_s: now };
        let object = (self.greeted.link, address.object);
        let admitted = office.register().admit_target(object, (&work.target, address.x), &event);
        match admitted.map_err(unwritable)? {
            Admitted::Admitted => Ok(()),
            Admitted::Other(_) => Err(self.refuse_work(office, told, WorkRefusal::TargetBound)),
        }
    }

    fn begin_work(
        &self,
        address: ShareAddress,
        work: Work,
        part: Part,
    ) -> Result<Answer, Declined> {
        let now = self.site.clock().elapsed();
        let entry = Entry::new(self.greeted.link, address, work, part, now);
        match self.site.works().begin(entry, now) {
            true => Ok(Answer::default()),
            false => Err(Declined::new(Status::Limit, "too much work is going on here")),
        }
    }

    /// Does the next step of a work, at its gateway's word. Where it can't, the work is over here.
    pub(super) fn proceed(&self, message: &Message, body: &[u8]) -> Result<Answer, Declined> {
        let step = Step::from_number(message.argument0);
        let (Some(step), Ok(id)) = (step, WorkId::try_from(body)) else {
            return Err(Declined::new(Status::BadRequest, "no such step"));
        };
        let serial = self.own_work(id).ok_or(WorkRefusal::Unknown)?;
        let done = match step {
            Step::Blind => self.agree_on_blinds(serial),
            Step::Contribute => self.contribute_all(serial),
            Step::Collect => self.collect_all(serial),
        };
        if done.is_err() {
            self.site.works().end(serial);
        }
        done.map(|()| Answer::default())
    }

    /// The work that this gateway gave this name.
    fn own_work(&self, id: WorkId) -> Option<Serial> {
        let now = self.site.clock().elapsed();
        let mut works = self.site.works();
        let (serial, entry) = works.named(id, now)?;
        (entry.link == self.greeted.link).then_some(serial)
    }

    fn refuse_work(&self, office: &Office, told: &Told<'_>, why: WorkRefusal) -> Declined {
        let told = Told { result: "refused", code: Some(why.code()), ..*told };
        office.tell_refusal(self.greeted.link, &told, self.now_unix_s());
        why.into()
    }
}

fn has_chunks(work: &Work, chunks: u64) -> Result<(), Judged> {
    match work.first.checked_add(u64::from(work.count)) {
        Some(end) if end <= chunks => Ok(()),
        _ => Err(WorkRefusal::Chunks.into()),
    }
}

/// The rules that all sites of a work go by. `known` is where the object's shares lie, as was said
/// before the first of them was complete.
fn by_the_rules(
    known: &[Holder],
    who: &SiteName,
    x: XCoord,
    work: &Work,
    threshold: Threshold,
) -> Result<(), WorkRefusal> {
    let (k, n) = (usize::from(threshold.k_byte()), usize::from(threshold.n_byte()));
    let Work { gateway, target, helpers, .. } = work;
    if known.is_empty() || known.len() != n {
        return Err(WorkRefusal::Unlisted);
    }
    if gateway != who || target == who {
        return Err(WorkRefusal::Gateway);
    }
    if !known.iter().any(|holder| holder.x == x) {
        return Err(WorkRefusal::NoSuchShare);
    }
    let is_listed = |helper: &Holder| known.contains(helper) && helper.x != x;
    if !helpers.iter().all(is_listed) || helpers.iter().any(|helper| helper.site == *target) {
        return Err(WorkRefusal::OtherHelpers);
    }
    let needed = match known.iter().find(|holder| holder.site == *target) {
        Some(holder) if holder.x != x => {
            return Err(WorkRefusal::TargetHolds);
        }
        Some(_) => k,
        None => quorum(k, n),
    };
    match helpers.len() < needed {
        true => Err(WorkRefusal::Few),
        false => Ok(()),
    }
}

/// How many of `n` sites take part where a share goes to a site that never held it: any two such
/// sets have k - 1 sites in common, one more than can be corrupt beside the target.
const fn quorum(k: usize, n: usize) -> usize {
    let common = (n + k) / 2;
    if common > k { common } else { k }
}

pub(super) fn told_of<'a>(
    kind: &'static str,
    who: &'a SiteName,
    address: ShareAddress,
) -> Told<'a> {
    Told { kind, who: who.as_str(), object: Some(address.object), ..Told::default() }
}

/// What a work is, for people.
pub(super) fn told_work(work: &Work) -> String {
    let Work { first, count, target, .. } = work;
    let end = first.saturating_add(u64::from(*count));
    format!("chunks {first} to {end} for {target} from {}", places(&work.helpers))
}

fn places(holders: &[Holder]) -> String {
    let places = holders.iter().map(|holder| format!("{} at {}", holder.x, holder.site));
    places.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(x: u8) -> Holder {
        Holder { x: XCoord::new(x).unwrap(), site: format!("s{x}").parse().unwrap() }
    }

    fn work(target: &str, helpers: &[u8]) -> Work {
        Work {
            id: [1; 16],
            first: 0,
            count: 1,
            gateway: "g".parse().unwrap(),
            target: target.parse().unwrap(),
            helpers: helpers.iter().map(|x| holder(*x)).collect(),
        }
    }

    fn code(scheme: &str, x: u8, work: &Work) -> Option<&'static str> {
        let threshold: Threshold = scheme.parse().unwrap();
        let known: Vec<Holder> = (1..=threshold.n_byte()).map(holder).collect();
        let who = "g".parse().unwrap();
        by_the_rules(&known, &who, XCoord::new(x).unwrap(), work, threshold)
            .err()
            .map(|why| why.code())
    }

    #[test]
    fn work_that_would_give_a_site_another_share_than_its_own_is_refused() {
        // Its own place, from any k others.
        assert_eq!(code("2/4", 4, &work("s4", &[1, 2])), None);
        assert_eq!(code("2/4", 4, &work("s4", &[1])), Some("work-few"));
        // A site that never held any: from so many that two such works meet.
        assert_eq!(code("2/4", 4, &work("t", &[1, 2])), Some("work-few"));
        assert_eq!(code("2/4", 4, &work("t", &[1, 2, 3])), None);
        assert_eq!(code("3/5", 5, &work("t", &[1, 2, 3])), Some("work-few"));
        assert_eq!(code("3/5", 5, &work("t", &[1, 2, 3, 4])), None);
        // Whoever holds another share, whoever helps, whoever asks.
        assert_eq!(code("2/4", 4, &work("s3", &[1, 2])), Some("work-target"));
        assert_eq!(code("2/4", 4, &work("s1", &[1, 2, 3])), Some("work-helpers"));
        assert_eq!(code("2/4", 4, &work("g", &[1, 2, 3])), Some("work-gateway"));
        // Shares that there are not, helpers that hold other ones, or the share itself.
        assert_eq!(code("2/4", 5, &work("t", &[1, 2, 3])), Some("work-share"));
        assert_eq!(code("2/4", 3, &work("t", &[1, 2, 3])), Some("work-helpers"));
        let mut wrong = work("t", &[1, 2, 3]);
        wrong.helpers[0].site = "s9".parse().unwrap();
        assert_eq!(code("2/4", 4, &wrong), Some("work-helpers"));
        let mut other = work("t", &[1, 2, 3]);
        other.gateway = "h".parse().unwrap();
        assert_eq!(code("2/4", 4, &other), Some("work-gateway"));
        let (none, who) = ([], "g".parse().unwrap());
        let x = XCoord::new(4).unwrap();
        let threshold = "2/4".parse().unwrap();
        let why = by_the_rules(&none, &who, x, &work("t", &[1, 2, 3]), threshold);
        assert_eq!(why, Err(WorkRefusal::Unlisted));
    }

    /// Whatever k - 2 sites are corrupt beside the target, two works for it meet in an honest one,
    /// which remembers which share the target was to get.
    #[test]
    fn any_two_works_for_a_stranger_meet_in_an_honest_site() {
        for n in 2_usize..=64 {
            for k in 2..=n {
                let common = (2 * quorum(k, n)).saturating_sub(n);
                assert!(common > k - 2, "{k}/{n}");
                assert!(quorum(k, n) >= k && quorum(k, n) <= n);
            }
        }
    }
}
