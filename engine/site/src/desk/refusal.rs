//! Why a site does not take part in a work, or goes on with it no more.

use super::Declined;
use crate::works::Odd;
use warifu_core::SiteName;
use warifu_link::Status;

/// Why a work, or a step of one, is declined. Codes are for programs, and stand in the format.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum WorkRefusal {
    #[error("its shares lie elsewhere, as was said first")]
    HoldersOther,
    #[error("it is not known here where the object's shares lie")]
    Unlisted,
    #[error("it names another gateway, or the gateway as its target")]
    Gateway,
    #[error("the object has no such share")]
    NoSuchShare,
    #[error("this site is none of the helpers")]
    NoHelper,
    #[error("one of the helpers does not hold what it would contribute")]
    OtherHelpers,
    #[error("this site is not the target")]
    NotTarget,
    #[error("the target holds another share of this object")]
    TargetHolds,
    #[error("the target was to get another share of this object before")]
    TargetBound,
    #[error("too few sites take part")]
    Few,
    #[error("the object has no such chunks")]
    Chunks,
    #[error("the share here is not the one first stored")]
    Restored,
    #[error("the object was forgotten")]
    Forgotten,
    #[error("this site has no link to one of those sites")]
    Stranger,
    #[error("this site connects to no others")]
    Alone,
    #[error("this site was asked for another work of that name")]
    Other,
    #[error("another helper has not agreed on a blind")]
    Unblinded,
    #[error("{}", .0.as_str())]
    Odd(Odd),
    #[error("no such work goes on here")]
    Unknown,
    #[error("a contribution is missing")]
    Incomplete,
    #[error("site {site} is not to be reached now: {why}")]
    Away { site: SiteName, why: String },
    #[error("site {site} can't be worked with: {why}")]
    Lost { site: SiteName, why: String },
}

impl WorkRefusal {
    /// What stands before the words.
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::HoldersOther => "holders-other",
            Self::Unlisted => "work-unlisted",
            Self::Gateway => "work-gateway",
            Self::NoSuchShare => "work-share",
            Self::NoHelper | Self::OtherHelpers => "work-helpers",
            Self::NotTarget | Self::TargetHolds | Self::TargetBound => "work-target",
            Self::Few => "work-few",
            Self::Chunks => "work-chunks",
            Self::Restored => "work-restored",
            Self::Forgotten => "work-forgotten",
            Self::Stranger | Self::Alone => "work-stranger",
            Self::Other => "work-other",
            Self::Unblinded => "work-unblinded",
            Self::Odd(_) => "work-odd",
            Self::Unknown => "work-unknown",
            Self::Incomplete => "work-incomplete",
            Self::Away { .. } => "work-away",
            Self::Lost { .. } => "work-lost",
        }
    }

    /// The refusal as it is answered, with another status than that of a refusal.
    pub(super) fn with_status(&self, status: Status) -> Declined {
        Declined::new(status, format!("{}: {self}", self.code()))
    }
}

impl From<WorkRefusal> for Declined {
    fn from(why: WorkRefusal) -> Self {
        why.with_status(Status::Refused)
    }
}

/// How a work was judged that is not taken part in.
pub(super) enum Judged {
    /// It is against the rules, which is told.
    Against(WorkRefusal),
    /// It could not be judged.
    Failed(Declined),
}

impl From<WorkRefusal> for Judged {
    fn from(why: WorkRefusal) -> Self {
        Self::Against(why)
    }
}

impl From<Declined> for Judged {
    fn from(declined: Declined) -> Self {
        Self::Failed(declined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn all() -> Vec<WorkRefusal> {
        let site: SiteName = "s".parse().unwrap();
        let why = String::new();
        vec![
            WorkRefusal::HoldersOther,
            WorkRefusal::Unlisted,
            WorkRefusal::Gateway,
            WorkRefusal::NoSuchShare,
            WorkRefusal::NoHelper,
            WorkRefusal::OtherHelpers,
            WorkRefusal::NotTarget,
            WorkRefusal::TargetHolds,
            WorkRefusal::TargetBound,
            WorkRefusal::Few,
            WorkRefusal::Chunks,
            WorkRefusal::Restored,
            WorkRefusal::Forgotten,
            WorkRefusal::Stranger,
            WorkRefusal::Alone,
            WorkRefusal::Other,
            WorkRefusal::Unblinded,
            WorkRefusal::Odd(Odd::Twice),
            WorkRefusal::Unknown,
            WorkRefusal::Incomplete,
            WorkRefusal::Away { site: site.clone(), why: why.clone() },
            WorkRefusal::Lost { site, why },
        ]
    }

    #[test]
    fn the_format_names_the_codes_of_works_and_no_others() {
        let format = include_str!("../../../core/FORMAT.md");
        let named: BTreeSet<&str> = format
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|word| word.starts_with("work-") || word.starts_with("holders-"))
            .collect();
        let codes: BTreeSet<&str> = all().iter().map(WorkRefusal::code).collect();
        assert_eq!(codes, named);
    }
}
