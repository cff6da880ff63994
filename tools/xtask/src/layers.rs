//! Which crate may know which: the table of ARCHITECTURE.md, checked against the manifests.
//!
//! A row lists all that a crate *may* use. A crate without a row and a row without a crate are
//! findings too, so the table can't fall behind the workspace.

use crate::finding::Finding;
use crate::tree::run;
use crate::{CheckError, Report};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// What one crate may depend on.
struct Row {
    name: &'static str,
    /// Where it lives, from the workspace root.
    folder: &'static str,
    /// The crates of this workspace that it may use.
    may_use: &'static [&'static str],
    /// More of them that only its tests may use.
    tests_may_use: &'static [&'static str],
    /// All crates from outside that it may use, or `None` for any. Set where a room must do no
    /// I/O, hold no clock and draw no randomness.
    outside: Option<&'static [&'static str]>,
}

const fn row(
    name: &'static str,
    folder: &'static str,
    may_use: &'static [&'static str],
    tests_may_use: &'static [&'static str],
) -> Row {
    Row { name, folder, may_use, tests_may_use, outside: None }
}

const fn pure(
    name: &'static str,
    folder: &'static str,
    may_use: &'static [&'static str],
    outside: &'static [&'static str],
) -> Row {
    Row { name, folder, may_use, tests_may_use: &[], outside: Some(outside) }
}

/// Everything below the binary, for the rooms that may use anything.
const ALL: &[&str] = &[
    "warifu-buffers",
    "warifu-kernels",
    "warifu-core",
    "warifu-keystore",
    "warifu-link",
    "warifu-catalog",
    "warifu-consent",
    "warifu-pipeline",
    "warifu-site",
    "warifu-vault",
    "warifu-backend",
    "warifu-backend-local",
    "warifu-backend-s3",
    "warifu-plugin-abi",
    "warifu-plugin-host",
    "warifu-remote",
];

const TABLE: &[Row] = &[
    // engine, from the bottom up
    row("warifu-buffers", "engine/buffers", &[], &[]),
    pure("warifu-kernels", "engine/kernels", &["warifu-buffers"], &["thiserror", "zeroize"]),
    pure(
        "warifu-core",
        "engine/core",
        &["warifu-buffers", "warifu-kernels"],
        &["crc-fast", "thiserror", "zeroize"],
    ),
    pure(
        "warifu-link",
        "engine/link",
        &["warifu-buffers", "warifu-core", "warifu-kernels"],
        &["thiserror", "zeroize"],
    ),
    row(
        "warifu-keystore",
        "engine/keystore",
        &["warifu-buffers", "warifu-core", "warifu-kernels"],
        &[],
    ),
    row("warifu-catalog", "engine/catalog", &["warifu-core"], &[]),
    row("warifu-consent", "engine/consent", &["warifu-core"], &[]),
    row(
        "warifu-pipeline",
        "engine/pipeline",
        &[
            "warifu-backend",
            "warifu-buffers",
            "warifu-core",
            "warifu-kernels",
            "warifu-keystore",
            "warifu-link",
        ],
        &["warifu-backend-local", "warifu-remote"],
    ),
    row(
        "warifu-site",
        "engine/site",
        &[
            "warifu-backend",
            "warifu-buffers",
            "warifu-catalog",
            "warifu-consent",
            "warifu-core",
            "warifu-kernels",
            "warifu-keystore",
            "warifu-link",
            "warifu-pipeline",
        ],
        &["warifu-backend-local", "warifu-remote"],
    ),
    row(
        "warifu-vault",
        "engine/vault",
        &[
            "warifu-backend",
            "warifu-backend-local",
            "warifu-backend-s3",
            "warifu-buffers",
            "warifu-catalog",
            "warifu-consent",
            "warifu-core",
            "warifu-kernels",
            "warifu-keystore",
            "warifu-link",
            "warifu-pipeline",
            "warifu-plugin-host",
            "warifu-remote",
            "warifu-site",
        ],
        &[],
    ),
    // backends: never kernels, core, keystore or catalog
    row("warifu-backend", "backends/api", &["warifu-buffers"], &[]),
    row("warifu-backend-local", "backends/local", &["warifu-backend", "warifu-buffers"], &[]),
    row(
        "warifu-backend-s3",
        "backends/s3",
        &["warifu-backend", "warifu-buffers"],
        &["warifu-backend-local"],
    ),
    row("warifu-remote", "backends/remote", &["warifu-backend", "warifu-buffers"], &[]),
    // plugins: as little as backends
    row("warifu-plugin-abi", "plugins/abi", &[], &[]),
    row(
        "warifu-plugin-host",
        "plugins/host",
        &["warifu-backend", "warifu-buffers", "warifu-plugin-abi"],
        &[],
    ),
    // tools, benches and tests
    row(
        "warifu",
        "tools/warifu",
        &[
            "warifu-backend",
            "warifu-consent",
            "warifu-core",
            "warifu-figures",
            "warifu-kernels",
            "warifu-keystore",
            "warifu-plugin-host",
            "warifu-site",
            "warifu-vault",
        ],
        &["warifu-backend-local"],
    ),
    row("warifu-kme", "tools/kme", &[], &[]),
    row("xtask", "tools/xtask", &[], &[]),
    row(
        "warifu-figures",
        "benches/figures",
        &[
            "warifu-backend",
            "warifu-backend-local",
            "warifu-bench-kernels",
            "warifu-buffers",
            "warifu-core",
            "warifu-kernels",
            "warifu-keystore",
            "warifu-link",
            "warifu-pipeline",
            "warifu-remote",
            "warifu-vault",
        ],
        &[],
    ),
    row(
        "warifu-bench-local",
        "benches/local",
        &["warifu-backend", "warifu-backend-local", "warifu-buffers", "warifu-figures"],
        &[],
    ),
    row("warifu-bench-consent", "benches/consent", &["warifu-consent", "warifu-core"], &[]),
    row("warifu-bench-kernels", "benches/kernels", &["warifu-kernels"], &[]),
    row("warifu-bench-keys", "benches/keys", &["warifu-figures"], &[]),
    row(
        "warifu-bench-ledger",
        "benches/ledger",
        &["warifu-buffers", "warifu-core", "warifu-figures", "warifu-keystore"],
        &[],
    ),
    row("warifu-bench-plan", "benches/plan", &["warifu-core"], &[]),
    row("warifu-e2e", "tests/e2e", ALL, &[]),
    row("warifu-simulation", "tests/simulation", ALL, &[]),
    row("warifu-vectors", "tests/vectors", ALL, &[]),
];

/// Asks cargo for the manifests of the workspace under `root` and compares them with the table.
///
/// # Errors
/// Where cargo does not answer, or not in its documented form.
pub(crate) fn check(root: &Path) -> Result<Report, CheckError> {
    let answer = run(
        Command::new(env!("CARGO")).current_dir(root).args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
        ]),
        "cargo metadata",
    )?;
    let wrong = |what| CheckError::Answer { tool: "cargo metadata", what };
    let metadata: Value = serde_json::from_slice(&answer).map_err(|_| wrong("JSON"))?;
    let packages = parse(&metadata).ok_or_else(|| wrong("packages and their dependencies"))?;
    let findings = judge(&packages, TABLE);
    Ok(Report { looked_at_count: packages.len(), unit: "crates", findings })
}

/// One manifest, as far as it matters here.
struct Package {
    name: String,
    folder: String,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: String,
    /// Is it in this workspace?
    ours: bool,
    /// Do only tests use it?
    for_tests: bool,
}

fn parse(metadata: &Value) -> Option<Vec<Package>> {
    let root = metadata["workspace_root"].as_str()?;
    let packages = metadata["packages"].as_array()?;
    packages.iter().map(|package| parse_package(package, root)).collect()
}

fn parse_package(package: &Value, root: &str) -> Option<Package> {
    let manifest = package["manifest_path"].as_str()?;
    let folder = manifest.strip_prefix(root)?.strip_suffix("/Cargo.toml")?;
    let dependencies = package["dependencies"].as_array()?;
    Some(Package {
        name: package["name"].as_str()?.to_owned(),
        folder: folder.trim_start_matches('/').to_owned(),
        dependencies: dependencies.iter().map(parse_dependency).collect::<Option<_>>()?,
    })
}

fn parse_dependency(dependency: &Value) -> Option<Dependency> {
    Some(Dependency {
        name: dependency["name"].as_str()?.to_owned(),
        ours: dependency["path"].is_string(),
        for_tests: dependency["kind"].as_str() == Some("dev"),
    })
}

fn judge(packages: &[Package], table: &[Row]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        match table.iter().find(|row| row.name == package.name) {
            Some(row) => judge_package(package, row, &mut findings),
            None => findings.push(Finding::whole(
                &package.name,
                "layer-table",
                "has no row in the table of layers: add one, with what it may use".to_owned(),
            )),
        }
    }
    for row in table.iter().filter(|row| !packages.iter().any(|p| p.name == row.name)) {
        let what = "stands in the table of layers and is no crate: remove the row".to_owned();
        findings.push(Finding::whole(row.name, "layer-table", what));
    }
    findings
}

fn judge_package(package: &Package, row: &Row, findings: &mut Vec<Finding>) {
    let mut found = |rule, what| findings.push(Finding::whole(&package.name, rule, what));
    if package.folder != row.folder {
        found("layer-folder", format!("lives in {}, not {}", package.folder, row.folder));
    }
    for dependency in &package.dependencies {
        let name = dependency.name.as_str();
        if dependency.ours {
            let allowed = row.may_use.contains(&name)
                || (dependency.for_tests && row.tests_may_use.contains(&name));
            if !allowed {
                found("layer", format!("may not depend on {name}"));
            }
        } else if let Some(outside) = row.outside
            && !dependency.for_tests
            && !outside.contains(&name)
        {
            found("layer-pure", format!("does no I/O and draws no randomness, so not {name}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The workspace of the table itself, with one dependency planted in one crate.
    fn findings(at: &str, name: &str, path: Option<&str>, kind: Option<&str>) -> Vec<Finding> {
        let packages: Vec<Value> = TABLE
            .iter()
            .map(|row| {
                let planted = json!({"name": name, "path": path, "kind": kind});
                let dependencies = if row.name == at { vec![planted] } else { vec![] };
                json!({
                    "name": row.name,
                    "manifest_path": format!("/r/{}/Cargo.toml", row.folder),
                    "dependencies": dependencies,
                })
            })
            .collect();
        let metadata = json!({"workspace_root": "/r", "packages": packages});
        judge(&parse(&metadata).unwrap(), TABLE)
    }

    #[test]
    fn a_backend_may_not_see_key_plaintext_or_catalog() {
        let backends = ["warifu-backend", "warifu-backend-local", "warifu-remote"];
        for backend in backends {
            for room in ["warifu-kernels", "warifu-core", "warifu-keystore", "warifu-catalog"] {
                for kind in [None, Some("dev"), Some("build")] {
                    let found = findings(backend, room, Some("/r/x"), kind);
                    assert_eq!(found.len(), 1, "{backend} -> {room} {kind:?}");
                    assert_eq!(found[0].rule, "layer");
                    assert_eq!(found[0].place, backend);
                }
            }
        }
    }

    #[test]
    fn nothing_below_depends_on_tools_or_tests() {
        for row in TABLE.iter().filter(|row| !row.folder.starts_with("tests/")) {
            for above in ["warifu", "xtask", "warifu-e2e", "warifu-vectors"] {
                let found = findings(row.name, above, Some("/r/x"), None);
                assert_eq!(found.len(), 1, "{} -> {above}", row.name);
            }
        }
    }

    #[test]
    fn pure_rooms_take_no_crate_from_outside_that_could_do_io() {
        for room in ["warifu-core", "warifu-kernels", "warifu-link"] {
            for outside in ["getrandom", "rustix", "tokio", "tempfile"] {
                assert_eq!(findings(room, outside, None, None)[0].rule, "layer-pure");
                assert!(findings(room, outside, None, Some("dev")).is_empty());
            }
            assert!(findings(room, "zeroize", None, None).is_empty());
        }
        assert!(findings("warifu-keystore", "getrandom", None, None).is_empty());
    }

    #[test]
    fn tests_may_use_what_the_crate_may_not() {
        let (room, store) = ("warifu-site", "warifu-backend-local");
        assert!(findings(room, store, Some("/r/x"), Some("dev")).is_empty());
        assert_eq!(findings(room, store, Some("/r/x"), None)[0].rule, "layer");
    }

    #[test]
    fn unknown_moved_and_missing_crates_are_found() {
        let package = |name: &str, folder: &str| Package {
            name: name.to_owned(),
            folder: folder.to_owned(),
            dependencies: Vec::new(),
        };
        let table = &[row("warifu-core", "engine/core", &[], &[])];
        let rules = |packages: &[Package]| -> Vec<&'static str> {
            judge(packages, table).iter().map(|finding| finding.rule).collect()
        };
        assert!(rules(&[package("warifu-core", "engine/core")]).is_empty());
        assert_eq!(rules(&[package("warifu-core", "tools/core")]), ["layer-folder"]);
        assert_eq!(rules(&[]), ["layer-table"]);
        let two = [package("warifu-core", "engine/core"), package("stray", "engine/stray")];
        assert_eq!(rules(&two), ["layer-table"]);
    }

    #[test]
    fn the_table_has_no_cycle_and_names_only_its_own_rows() {
        let mut settled: Vec<&str> = Vec::new();
        while settled.len() < TABLE.len() {
            let before = settled.len();
            for row in TABLE.iter().filter(|row| !settled.contains(&row.name)).collect::<Vec<_>>() {
                if row.may_use.iter().all(|name| settled.contains(name)) {
                    settled.push(row.name);
                }
            }
            assert!(settled.len() > before, "a cycle or an unknown name beyond {settled:?}");
        }
    }

    #[test]
    fn an_answer_of_another_shape_is_refused() {
        for bad in [json!({}), json!({"workspace_root": "/r", "packages": [{}]}), json!([])] {
            assert!(parse(&bad).is_none());
        }
    }
}
