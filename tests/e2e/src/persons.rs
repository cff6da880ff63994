//! A lab in which persons decide: cards of files under a lab's CA, pinned at every vault.

use crate::lab::{Lab, LabShape};
use crate::process::{Done, Running};
use std::path::{Path, PathBuf};

/// A gateway with links of its own to the sites of a lab.
pub struct Gateway {
    /// Its vault.
    pub vault: PathBuf,
}

/// A lab whose sites enforce consent.
pub struct Persons {
    /// Gateway and sites; the gateway's requester name is `gateway`.
    pub lab: Lab,
}

impl Persons {
    /// A lab with the persons P1 and P2, enrolled with their cards, and a CA that is pinned at the
    /// gateway and at all sites.
    ///
    /// # Panics
    /// Where any part can't be made.
    #[must_use]
    pub fn new(shape: LabShape) -> Self {
        let this = Self { lab: Lab::new(LabShape { is_consent_asked: true, ..shape }) };
        for person in ["P1", "P2"] {
            this.new_card(person, &[]);
        }
        let vaults = this.lab.sites.iter().map(|site| &site.vault).chain([&this.lab.gateway]);
        for vault in vaults {
            this.pin(vault);
        }
        for person in ["P1", "P2"] {
            let _made =
                this.lab.run(&["individual", "enroll", person, "--card", &this.card(person)]);
            let _made = _made.ok();
        }
        this
    }

    /// Makes the card of `person` in the lab's folder.
    ///
    /// # Panics
    /// Where that fails.
    pub fn new_card(&self, person: &str, more: &[&str]) {
        let (ca, out) = (self.path("ca"), self.path(person));
        let words = ["card", "new-lab", "--ca", &ca, "--subject", person, "-o", &out];
        let _made = self.lab.run(&[&words[..], more].concat()).ok();
    }

    /// What names the card of `person`.
    #[must_use]
    pub fn card(&self, person: &str) -> String {
        let file = self.path(person);
        format!("file:{file}.key,{file}.crt")
    }

    /// Pins the lab's CA at a vault.
    ///
    /// # Panics
    /// Where that fails.
    pub fn pin(&self, vault: &Path) {
        let ca = self.path("ca/ca.crt");
        let _pinned = Running::start(vault, &["trust", "add", &ca]).wait().ok();
    }

    /// A path in the lab's folder, as text.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        self.lab.path(name).to_str().unwrap().to_owned()
    }

    /// Has `person` agree at the lab's gateway that `requester` may have `object` for a day; the
    /// consent's file, called `name`.
    ///
    /// # Panics
    /// Where that fails.
    #[must_use]
    pub fn grant(
        &self,
        (person, object): (&str, &str),
        requester: &str,
        name: &str,
        more: &[&str],
    ) -> String {
        let file = self.path(name);
        let card = self.card(person);
        let words = [
            "consent",
            "grant",
            object,
            "--requester",
            requester,
            "--purpose",
            "treatment",
            "--expires",
            "24h",
            "--card",
            &card,
            "-o",
            &file,
        ];
        let _granted = self.lab.run(&[&words[..], more].concat()).ok();
        file
    }

    /// Restores at the lab's gateway with a consent and a card; what was delivered, if anything.
    ///
    /// # Panics
    /// Where a failed one leaves anything behind.
    #[must_use]
    pub fn restore(
        &self,
        object: &str,
        consent: &str,
        person: &str,
        more: &[&str],
    ) -> (Done, Option<Vec<u8>>) {
        restore_at(&self.lab.gateway, self, object, (consent, person), more)
    }

    /// A further gateway with links to all sites.
    ///
    /// # Panics
    /// Where any part can't be made.
    #[must_use]
    pub fn gateway(&self, name: &str) -> Gateway {
        let gateway = Gateway { vault: self.lab.path(name) };
        let _made = gateway.run(&["init", "--name", name]).ok();
        for (at, site) in self.lab.sites.iter().enumerate() {
            let words = ["site", "add", &site.name, &self.lab.url(at), "--zone", &site.name];
            let _added = gateway.run(&[&words[..], &["--domain", &site.name]].concat()).ok();
            let drive = self.path(&format!("drive-{name}-{}", site.name));
            let words = ["key", "generate", "--site", &site.name, "--bytes", "24MiB", "--courier"];
            let _made = gateway.run(&[&words[..], &[&drive]].concat()).ok();
            let _taken = Running::start(&site.vault, &["key", "import", &drive]).wait().ok();
        }
        let _made = gateway.run(&["key", "generate", "--random", "--bytes", "1MiB"]).ok();
        self.pin(&gateway.vault);
        gateway
    }
}

impl Gateway {
    /// Runs one of its commands.
    #[must_use]
    pub fn run(&self, words: &[&str]) -> Done {
        Running::start(&self.vault, words).wait()
    }

    /// Restores at it; what was delivered, if anything.
    ///
    /// # Panics
    /// Where a failed one leaves anything behind.
    #[must_use]
    pub fn restore(
        &self,
        persons: &Persons,
        object: &str,
        with: (&str, &str),
    ) -> (Done, Option<Vec<u8>>) {
        restore_at(&self.vault, persons, object, with, &[])
    }
}

fn restore_at(
    vault: &Path,
    persons: &Persons,
    object: &str,
    (consent, person): (&str, &str),
    more: &[&str],
) -> (Done, Option<Vec<u8>>) {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out");
    let card = persons.card(person);
    let words = ["--json", "restore", object, "-o", output.to_str().unwrap()];
    let proof = ["--consent", consent, "--card", &card];
    let done = Running::start(vault, &[&words[..], &proof, more].concat()).wait();
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert!(done.code == 0 || left.is_empty(), "a failed restore leaves nothing: {done:?}");
    (done, std::fs::read(output).ok())
}

/// A restore ended with 8 and this code, and delivered nothing.
///
/// # Panics
/// Where it ended otherwise.
#[track_caller]
pub fn refused((done, data): (Done, Option<Vec<u8>>), code: &str) {
    assert!(data.is_none(), "something was delivered");
    refused_command(&done, 8, code);
}

/// A command ended with this exit and code, and told what to do next.
///
/// # Panics
/// Where it ended otherwise.
#[track_caller]
pub fn refused_command(done: &Done, exit: i32, code: &str) {
    assert_eq!(done.code, exit, "{done:?}");
    assert!(done.stderr.contains(&format!("error[{code}]")), "{code} was expected: {done:?}");
    assert!(done.stderr.contains("next: "), "no next step is told: {done:?}");
}
