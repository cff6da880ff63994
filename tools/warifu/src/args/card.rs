//! `card ...`, and how other commands name a card

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;
use warifu_consent::card::{Algorithm, CardAddress};

/// The card of a command that signs.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "The card")]
pub(crate) struct CardArgs {
    /// The card: a PKCS#11 URI, its token's label, or file:KEY.pem,CERT.pem in labs
    #[arg(long, value_name = "CARD")]
    pub(crate) card: Option<CardAddress>,
    /// Read its PIN from the first line of this file, not from the terminal
    #[arg(long, value_name = "FILE", requires = "card")]
    pub(crate) pin_file: Option<PathBuf>,
    /// Read its PIN from the first line of this descriptor
    #[arg(long, value_name = "FD", requires = "card", conflicts_with = "pin_file")]
    pub(crate) pin_fd: Option<u16>,
    /// How long the card may take for one answer [default: 60]
    #[arg(long, value_name = "SECONDS", requires = "card")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) card_timeout: Option<u64>,
    /// Give the PIN although only one try is left before the card locks
    #[arg(long, requires = "card")]
    pub(crate) last_try: bool,
}

/// `card ...`
#[derive(Subcommand, Debug)]
pub(crate) enum CardCommand {
    /// List the cards in reach, with what names each of them
    List {
        /// The driver, a PKCS#11 module; those that are usual where not given
        #[arg(long, value_name = "FILE")]
        module: Option<PathBuf>,
    },
    /// Show what a card says of its key; it signs nothing
    Show(CardArgs),
    /// Make a card of files for labs, and the CA that certifies it where there is none
    NewLab(NewLabArgs),
}

/// `card new-lab`
#[derive(Args, Debug)]
pub(crate) struct NewLabArgs {
    /// The folder of the lab's CA: ca.crt, which sites pin, and ca.key, which stays there
    #[arg(long, value_name = "DIR")]
    pub(crate) ca: PathBuf,
    /// Whose card it is: a pseudonym, since everybody who sees a consent reads it
    #[arg(long, value_name = "NAME")]
    pub(crate) subject: String,
    /// What is made: OUT.key and OUT.crt
    #[arg(short, long, value_name = "OUT")]
    pub(crate) out: PathBuf,
    /// The kind of key
    #[arg(long, default_value = "p256")]
    pub(crate) algorithm: KeyKind,
    /// Certify this public key, such as one that a token made (PEM), and make no key
    #[arg(long, value_name = "FILE", conflicts_with = "algorithm")]
    pub(crate) public_key: Option<PathBuf>,
    /// For how long the card is good
    #[arg(long, value_name = "DAYS", default_value_t = 365)]
    pub(crate) days: u64,
}

/// A kind of key, as people name it.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum KeyKind {
    /// ECDSA on P-256
    P256,
    /// ECDSA on P-384
    P384,
    /// RSA of 2,048 bits, made by openssl
    Rsa2048,
}

impl From<KeyKind> for Algorithm {
    fn from(kind: KeyKind) -> Self {
        match kind {
            KeyKind::P256 => Self::Es256,
            KeyKind::P384 => Self::Es384,
            KeyKind::Rsa2048 => Self::Rs256,
        }
    }
}
