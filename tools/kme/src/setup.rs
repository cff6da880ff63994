//! What a lab consists of: its KMEs, the applications that they serve, limits and rate.

use crate::limits::{Limits, LimitsError};
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

/// Most KMEs of one lab.
pub const NODES_MAX: usize = 64;

/// Most applications of one lab.
pub const SAES_MAX: usize = 256;

/// Most characters of a name: what a certificate's common name may have.
pub const NAME_CHARS_MAX: usize = 64;

/// A KME: `NAME=ADDR` on the command line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSetup {
    /// Its KME ID, the common name of its certificate.
    pub name: String,
    /// Where it listens; port 0 takes one that is free.
    pub address: SocketAddr,
    /// The port that it had at the last start, taken again where `address` leaves it open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_port: Option<u16>,
}

/// An application: `NAME@NODE` on the command line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SaeSetup {
    /// Its SAE ID, the common name of its certificate.
    pub name: String,
    /// The KME that serves it.
    pub node: String,
}

/// A whole lab, as `lab.toml` remembers it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabSetup {
    /// How fast the pool of each pair of applications is filled, in bits of key a second; 0 for
    /// always full.
    pub rate_bits_per_s: u64,
    /// What each pool begins with, in bytes of key.
    pub initial_bytes: u64,
    /// What one may ask for.
    pub limits: Limits,
    /// The KMEs.
    #[serde(rename = "node")]
    pub nodes: Vec<NodeSetup>,
    /// The applications.
    #[serde(rename = "sae")]
    pub saes: Vec<SaeSetup>,
}

/// What one start asks for beyond what the lab's folder remembers. The default asks for nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// KMEs to add or to move.
    pub nodes: Vec<NodeSetup>,
    /// Applications to add or to move.
    pub saes: Vec<SaeSetup>,
    /// A new rate, in bits a second.
    pub rate_bits_per_s: Option<u64>,
    /// A new beginning of each pool, in bytes.
    pub initial_bytes: Option<u64>,
    /// New limits.
    pub limits: Option<Limits>,
}

/// An application, by its place in the set-up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct SaeIndex(pub(crate) u16);

impl LabSetup {
    /// The set-up of a new folder: what is asked for, or two KMEs `a` and `b` on the loopback
    /// interface with an application each.
    pub(crate) fn new(changes: &Changes) -> Self {
        let mut setup = Self {
            rate_bits_per_s: 0,
            initial_bytes: 0,
            limits: Limits::EXAMPLE,
            nodes: Vec::new(),
            saes: Vec::new(),
        };
        setup.change(changes);
        if setup.nodes.is_empty() {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let node = |name: &str| NodeSetup { name: name.to_owned(), address, last_port: None };
            setup.nodes = vec![node("a"), node("b")];
        }
        if setup.saes.is_empty() {
            let sae = |node: &NodeSetup| SaeSetup {
                name: format!("sae-{}", node.name),
                node: node.name.clone(),
            };
            setup.saes = setup.nodes.iter().map(sae).collect();
        }
        setup
    }

    /// Adds and replaces what is asked for.
    pub(crate) fn change(&mut self, changes: &Changes) {
        for node in &changes.nodes {
            match self.nodes.iter_mut().find(|known| known.name == node.name) {
                Some(known) if known.address == node.address => {}
                Some(known) => known.clone_from(node),
                None => self.nodes.push(node.clone()),
            }
        }
        for sae in &changes.saes {
            match self.saes.iter_mut().find(|known| known.name == sae.name) {
                Some(known) => known.clone_from(sae),
                None => self.saes.push(sae.clone()),
            }
        }
        self.rate_bits_per_s = changes.rate_bits_per_s.unwrap_or(self.rate_bits_per_s);
        self.initial_bytes = changes.initial_bytes.unwrap_or(self.initial_bytes);
        self.limits = changes.limits.unwrap_or(self.limits);
    }

    /// Whether it can be run.
    ///
    /// # Errors
    /// [`SetupError`] for the first thing that can't be.
    pub fn check(&self) -> Result<(), SetupError> {
        self.limits.check()?;
        if self.nodes.is_empty() || self.nodes.len() > NODES_MAX {
            return Err(SetupError::NodeCount(self.nodes.len()));
        }
        if self.saes.is_empty() || self.saes.len() > SAES_MAX {
            return Err(SetupError::SaeCount(self.saes.len()));
        }
        for (at, node) in self.nodes.iter().enumerate() {
            check_node_name(&node.name)?;
            if self.nodes[..at].iter().any(|other| other.name == node.name) {
                return Err(SetupError::Twice(node.name.clone()));
            }
        }
        for (at, sae) in self.saes.iter().enumerate() {
            check_sae_name(&sae.name)?;
            if self.saes[..at].iter().any(|other| other.name == sae.name) {
                return Err(SetupError::Twice(sae.name.clone()));
            }
            if !self.nodes.iter().any(|node| node.name == sae.node) {
                let (sae, node) = (sae.name.clone(), sae.node.clone());
                return Err(SetupError::NoSuchNode { sae, node });
            }
        }
        Ok(())
    }

    /// The application of this name.
    pub(crate) fn sae(&self, name: &str) -> Option<SaeIndex> {
        let at = self.saes.iter().position(|sae| sae.name == name)?;
        u16::try_from(at).ok().map(SaeIndex)
    }

    /// What is known of an application.
    pub(crate) fn at(&self, sae: SaeIndex) -> &SaeSetup {
        &self.saes[usize::from(sae.0)]
    }
}

/// A node's name is a file's name and a host's.
fn check_node_name(name: &str) -> Result<(), SetupError> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let ends = name.bytes().next().zip(name.bytes().last());
    if name.len() > NAME_CHARS_MAX
        || !name.bytes().all(good)
        || ends.is_none_or(|(first, last)| first == b'-' || last == b'-')
    {
        return Err(SetupError::NodeName(name.to_owned()));
    }
    Ok(())
}

fn check_sae_name(name: &str) -> Result<(), SetupError> {
    let count = name.chars().count();
    if !(1..=NAME_CHARS_MAX).contains(&count) || name.chars().any(char::is_control) {
        return Err(SetupError::SaeName(name.to_owned()));
    }
    Ok(())
}

impl FromStr for NodeSetup {
    type Err = SetupError;

    fn from_str(text: &str) -> Result<Self, SetupError> {
        let wrong = || SetupError::NodeText(text.to_owned());
        let (name, address) = text.split_once('=').ok_or_else(wrong)?;
        check_node_name(name)?;
        let address = address.parse().map_err(|_| wrong())?;
        Ok(Self { name: name.to_owned(), address, last_port: None })
    }
}

impl FromStr for SaeSetup {
    type Err = SetupError;

    fn from_str(text: &str) -> Result<Self, SetupError> {
        let wrong = || SetupError::SaeText(text.to_owned());
        let (name, node) = text.rsplit_once('@').ok_or_else(wrong)?;
        check_sae_name(name)?;
        check_node_name(node)?;
        Ok(Self { name: name.to_owned(), node: node.to_owned() })
    }
}

/// A lab that can't be run.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SetupError {
    /// Its limits contradict each other.
    #[error("these limits can't be")]
    Limits(#[from] LimitsError),
    /// No KME, or too many.
    #[error("{0} KMEs: from 1 to {NODES_MAX} can be run")]
    NodeCount(usize),
    /// No application, or too many.
    #[error("{0} SAEs: from 1 to {SAES_MAX} can be served")]
    SaeCount(usize),
    /// A KME's name that no host could have.
    #[error("{0:?} is no name of a KME: letters, digits and inner dashes, 64 at most")]
    NodeName(String),
    /// An application's name that no certificate could have.
    #[error("{0:?} is no SAE ID: 1 to {NAME_CHARS_MAX} characters, none of them control")]
    SaeName(String),
    /// The same name for two.
    #[error("{0:?} is there twice")]
    Twice(String),
    /// An application at a KME that is not there.
    #[error("{sae:?} is at {node:?}, and no KME has that name")]
    NoSuchNode {
        /// The application.
        sae: String,
        /// The KME that is missing.
        node: String,
    },
    /// Not of the form of a KME.
    #[error("{0:?} is not of the form NAME=ADDRESS:PORT, such as a=127.0.0.1:0")]
    NodeText(String),
    /// Not of the form of an application.
    #[error("{0:?} is not of the form NAME@NODE, such as sae-a@a")]
    SaeText(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_lab_is_a_pair() {
        let setup = LabSetup::new(&Changes::default());
        setup.check().unwrap();
        let names: Vec<_> =
            setup.saes.iter().map(|sae| format!("{}@{}", sae.name, sae.node)).collect();
        assert_eq!(names, ["sae-a@a", "sae-b@b"]);
    }

    #[test]
    fn each_named_node_gets_an_application_where_none_is_named() {
        let nodes = ["x=127.0.0.1:0", "y=[::1]:8443", "z=127.0.0.1:0"];
        let nodes = nodes.iter().map(|text| text.parse().unwrap()).collect();
        let setup = LabSetup::new(&Changes { nodes, ..Changes::default() });
        setup.check().unwrap();
        assert_eq!(setup.sae("sae-z"), Some(SaeIndex(2)));
    }

    #[test]
    fn changes_add_and_move_and_keep_a_port_that_was_left_open() {
        let mut setup = LabSetup::new(&Changes::default());
        setup.nodes[0].last_port = Some(4711);
        let nodes = vec!["a=127.0.0.1:0".parse().unwrap(), "c=127.0.0.1:0".parse().unwrap()];
        let saes = vec!["sae-a@c".parse().unwrap()];
        setup.change(&Changes { nodes, saes, ..Changes::default() });
        setup.check().unwrap();
        assert_eq!(setup.nodes[0].last_port, Some(4711));
        assert_eq!(setup.at(setup.sae("sae-a").unwrap()).node, "c");
        assert_eq!(setup.nodes.len(), 3);
    }

    #[test]
    fn what_can_not_be_is_refused() {
        for text in
            ["", "a", "a=", "a=127.0.0.1", "=127.0.0.1:1", "../a=127.0.0.1:1", "-a=127.0.0.1:1"]
        {
            text.parse::<NodeSetup>().unwrap_err();
        }
        for text in ["", "sae", "@a", "sae@", "sae@a/b", "s\n@a", &format!("{}@a", "é".repeat(65))]
        {
            text.parse::<SaeSetup>().unwrap_err();
        }
        let good = LabSetup::new(&Changes::default());
        let mut stray = good.clone();
        stray.saes[0].node = "nowhere".to_owned();
        assert!(matches!(stray.check(), Err(SetupError::NoSuchNode { .. })));
        let mut twice = good.clone();
        twice.saes[1].name = "sae-a".to_owned();
        assert_eq!(twice.check(), Err(SetupError::Twice("sae-a".to_owned())));
        let none = LabSetup { saes: Vec::new(), ..good };
        assert_eq!(none.check(), Err(SetupError::SaeCount(0)));
    }

    #[test]
    fn an_application_may_have_any_name() {
        let sae: SaeSetup = "dép/ôt 7@x@a".parse().unwrap();
        assert_eq!((sae.name.as_str(), sae.node.as_str()), ("dép/ôt 7@x", "a"));
    }
}
