//! Every setting there is: its table, its kind, and what it is for. What `config check` accepts
//! and what `config show` tells come from here.

/// What a setting's value may be.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Kind {
    /// The version of the file.
    Version,
    /// A name of a gateway or site.
    Name,
    /// The name of a profile.
    ProfileName,
    /// `HOST:PORT`.
    Address,
    /// `file:///PATH` or `s3://BUCKET/PREFIX`.
    StoreUrl,
    /// A number of bytes between these, or a text such as `"256MiB"`.
    Bytes(u64, u64),
    /// A whole number between the first two; the third is an example.
    Count(u64, u64, u64),
    /// `true` or `false`.
    Switch,
    /// A sentence.
    Reason,
    /// `"K/N"`.
    Scheme,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of sites.
    Sites,
    /// `https://HOST[:PORT]`.
    KmeUrl,
    /// `http://HOST[:PORT][/PATH]`.
    ResponderUrl,
    /// The path of a file.
    File,
    /// A name that a KME knows.
    KmeParty,
    /// A table from names of parties to such names.
    KmeParties,
    /// A list of sites, zones and domains.
    Exclusions,
    /// A list of sites with rates.
    Speeds,
}

/// One setting.
pub(super) struct Setting {
    /// Its table: empty for the top, `profile` for every profile, `kme` for every KME, one of
    /// [`PLACEMENTS`] for every table of that kind.
    pub(super) table: &'static str,
    /// Its name within.
    pub(super) key: &'static str,
    /// What it may be.
    pub(super) kind: Kind,
    /// Whether it must be there where its table is.
    pub(super) is_required: bool,
}

const MIB: u64 = 1 << 20;

/// The lowest memory ceiling, in bytes.
pub(crate) const MEMORY_BYTES_MIN: u64 = 64 * MIB;

/// Longest key that is asked of a KME, in bytes.
const KME_KEY_BYTES_MAX: u64 = 4 * MIB;

/// No machine has more memory, in bytes.
const MEMORY_BYTES_MAX: u64 = 1 << 50;

/// Tables that hold settings.
pub(super) const TABLES: [&str; 9] =
    ["site", "limits", "pipeline", "placement", "restore", "batch", "consent", "profile", "kme"];

/// Tables within `placement` that hold tables for names: of individuals, and of labels.
pub(super) const PLACEMENTS: [&str; 2] = ["placement.individual", "placement.label"];

/// What [`Policy`](warifu_core::schedule::Policy) there is, the product's first.
const POLICIES: &[&str] = &["forecast", "most-remaining", "fixed", "round-robin", "random"];

const fn required(table: &'static str, key: &'static str, kind: Kind) -> Setting {
    Setting { table, key, kind, is_required: true }
}

const fn optional(table: &'static str, key: &'static str, kind: Kind) -> Setting {
    Setting { table, key, kind, is_required: false }
}

/// All of them, in the order in which they are shown.
pub(super) const SETTINGS: &[Setting] = &[
    required("", "v", Kind::Version),
    required("", "name", Kind::Name),
    optional("", "default_profile", Kind::ProfileName),
    required("site", "listen", Kind::Address),
    optional("site", "store", Kind::StoreUrl),
    optional("limits", "lease_bytes", Kind::Bytes(4 * MIB, 1 << 40)),
    optional("limits", "answer_lease_bytes", Kind::Bytes(4 * MIB, 1 << 40)),
    optional("limits", "memory_bytes", Kind::Bytes(MEMORY_BYTES_MIN, MEMORY_BYTES_MAX)),
    optional("limits", "patience_seconds", Kind::Count(0, 86_400, 30)),
    optional("limits", "resume_days", Kind::Count(0, 3660, 7)),
    optional("pipeline", "window", Kind::Count(1, 64, 8)),
    optional("pipeline", "workers", Kind::Count(1, 64, 2)),
    optional("placement", "policy", Kind::OneOf(POLICIES)),
    optional("placement", "pin", Kind::Sites),
    optional("placement", "exclude", Kind::Exclusions),
    optional("placement", "speeds", Kind::Speeds),
    optional("placement", "max_per_zone", Kind::Count(1, 254, 1)),
    optional("placement.individual", "pin", Kind::Sites),
    optional("placement.individual", "exclude", Kind::Exclusions),
    optional("placement.individual", "max_per_zone", Kind::Count(1, 254, 1)),
    optional("placement.label", "pin", Kind::Sites),
    optional("placement.label", "exclude", Kind::Exclusions),
    optional("placement.label", "max_per_zone", Kind::Count(1, 254, 1)),
    optional("restore", "reserve_percent", Kind::Count(0, 100, 100)),
    optional("batch", "order", Kind::OneOf(&["fair", "given", "smallest"])),
    optional("consent", "enforce", Kind::Switch),
    optional("consent", "reason", Kind::Reason),
    optional("consent", "revocation_hours", Kind::Count(1, 87_600, 72)),
    optional("consent", "break_glass", Kind::Count(0, 16, 2)),
    optional("consent", "certificates", Kind::OneOf(&["if-known", "required"])),
    optional("consent", "ocsp", Kind::ResponderUrl),
    optional("profile", "scheme", Kind::Scheme),
    optional("profile", "compress", Kind::OneOf(&["auto", "none", "zstd"])),
    optional("profile", "pad", Kind::Switch),
    optional("profile", "pin", Kind::Sites),
    optional("profile", "exclude", Kind::Sites),
    optional("profile", "jobs", Kind::Count(1, 32, 4)),
    optional("profile", "memory_limit", Kind::Bytes(MEMORY_BYTES_MIN, MEMORY_BYTES_MAX)),
    required("kme", "url", Kind::KmeUrl),
    required("kme", "certificate", Kind::File),
    required("kme", "key", Kind::File),
    required("kme", "ca", Kind::File),
    optional("kme", "sae", Kind::KmeParty),
    optional("kme", "peers", Kind::KmeParties),
    optional("kme", "class", Kind::OneOf(&["computational", "information-theoretic"])),
    optional("kme", "key_bytes", Kind::Bytes(1, KME_KEY_BYTES_MAX)),
    optional("kme", "requests_in_flight", Kind::Count(1, 64, 4)),
    optional("kme", "timeout_s", Kind::Count(1, 600, 30)),
    optional("kme", "segment_bytes", Kind::Bytes(64 << 10, 1 << 30)),
    optional("kme", "watermark_bytes", Kind::Bytes(MIB, 1 << 50)),
];

/// The settings of a table.
pub(super) fn of_table(table: &str) -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(move |setting| setting.table == table)
}
