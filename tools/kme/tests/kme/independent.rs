//! Clients that others wrote. `tools/test` installs them; elsewhere these tests say that they are
//! skipped.

use crate::client::TestLab;
use serde_json::Value;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use warifu_kme::Limits;

/// A program beside the Python interpreter of the tests.
fn of_python(program: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env::var_os("WARIFU_TEST_PYTHON")?).with_file_name(program);
    path.is_file().then_some(path)
}

#[expect(clippy::print_stdout, reason = "what a test could not do is said where it is read")]
fn skipped(what: &str) {
    println!("skipped: {what} is missing: ./tools/test installs it");
}

#[track_caller]
fn succeeds(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Its probe of `dec_keys` calls as the slave, at the KME where it was the master: so it is given
/// one application's name for both.
#[test]
fn the_probe_of_qkdsec_finds_no_fault() {
    let Some(qkdsec) = of_python("qkdsec") else { return skipped("qkdsec") };
    for limits in [Limits::EXAMPLE, Limits::LARGE] {
        let lab = TestLab::with_limits(limits);
        let (ready, sae) = (lab.ready(), lab.ready().sae("sae-a").unwrap());
        let output = Command::new(&qkdsec)
            .args(["doctor", &ready.node("a").unwrap().url, "-s", "sae-a", "-f", "json", "--cert"])
            .arg(&sae.certificate)
            .arg("--key")
            .arg(&sae.key)
            .arg("--ca-cert")
            .arg(&ready.ca)
            .output()
            .unwrap();
        let report: Value = serde_json::from_str(&succeeds(&output)).unwrap();
        assert_eq!(report["passed"], true, "{report:#}");
        let probes = report["results"].as_array().unwrap();
        assert_eq!(probes.len(), 10);
        for probe in probes {
            // It wants 404 for an unknown key; the specification has 400, and no 404.
            let expected = if probe["name"] == "error_contract_404" { "warn" } else { "pass" };
            assert_eq!(probe["status"], expected, "{probe:#}");
        }
    }
}

#[test]
fn the_client_of_pypi_gets_the_same_keys_at_both_ends() {
    let Some(python) = of_python("python") else { return skipped("Python") };
    let lab = TestLab::pair();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/both_ends.py");
    let has_it = Command::new(&python).args(["-c", "import etsi_qkd_014_client"]).output().unwrap();
    if !has_it.status.success() {
        return skipped("etsi-qkd-014-client");
    }
    let ready = serde_json::to_string(lab.ready()).unwrap();
    let output = Command::new(&python).arg(script).arg(ready).output().unwrap();
    assert_eq!(succeeds(&output).trim(), "the same 128 keys");
}

#[test]
fn the_client_of_crates_io_gets_the_same_keys_at_both_ends() {
    let client = env::var_os("WARIFU_TEST_ETSI014").map(PathBuf::from);
    let Some(client) = client.filter(|path| path.is_file()) else {
        return skipped("etsi014-client");
    };
    let lab = TestLab::pair();
    let mut command = Command::new(client);
    command.arg(&lab.ready().ca);
    for sae in &lab.ready().saes {
        let url = &lab.ready().node(&sae.node).unwrap().url;
        command.arg(url.rsplit_once(':').unwrap().1).arg(&sae.name);
        command.arg(&sae.certificate).arg(&sae.key);
    }
    assert_eq!(succeeds(&command.output().unwrap()).trim(), "the same 128 keys");
}
