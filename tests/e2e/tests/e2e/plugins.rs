//! Plugins: made, tried, and as the stores of sites.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use warifu_e2e::{Lab, LabShape, Running, sample};

fn warifu(words: &[&str]) -> Running {
    Running::start(Path::new("/nowhere"), words)
}

/// Builds a plugin as a person would who begins from `plugin new`.
fn made(room: &Path) -> PathBuf {
    let folder = room.join("mine");
    let _made = warifu(&["plugin", "new", folder.to_str().unwrap()]).wait().ok();
    assert!(folder.join("ABI.md").is_file());
    let library = folder.join("plugin.so");
    let mut cc = Command::new("cc");
    cc.args(["-std=c11", "-Wall", "-Wextra", "-O2", "-shared", "-fPIC"]).current_dir(&folder);
    assert!(cc.args(["plugin.c", "-o", "plugin.so"]).status().unwrap().success());
    library
}

#[test]
fn what_is_made_is_known_and_passes_its_trial() {
    let room = tempfile::tempdir().unwrap();
    let library = made(room.path());
    let library = library.to_str().unwrap();
    let again = warifu(&["plugin", "new", room.path().join("mine").to_str().unwrap()]).wait();
    assert!(again.exits(2).stderr.contains("plugin-folder"));

    let about = warifu(&["--json", "plugin", "info", library]).wait().ok().json();
    assert_eq!((&about["name"], &about["create_only"]), (&"folder".into(), &true.into()));

    let empty = room.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let setting = format!("folder={}", empty.display());
    let junit = room.path().join("out.xml");
    let words = ["--json", "plugin", "test", library, &setting, "--junit"];
    let trial = warifu(&[&words[..], &[junit.to_str().unwrap()]].concat()).wait().ok().json();
    assert_eq!(trial["failed"], 0);
    assert!(trial["passed"].as_u64().unwrap() > 40, "{trial}");
    let told = std::fs::read_to_string(junit).unwrap();
    let cases = trial["cases"].as_array().unwrap().len();
    assert_eq!(told.matches("<testcase ").count(), cases);

    std::fs::write(empty.join("held"), "dear").unwrap();
    let refused = warifu(&["plugin", "test", library, &setting]).wait().exits(2);
    assert!(refused.stderr.contains("plugin-store-used"), "{}", refused.stderr);
    assert_eq!(std::fs::read_to_string(empty.join("held")).unwrap(), "dear");
}

#[test]
fn a_plugin_that_overwrites_fails_its_trial() {
    let room = tempfile::tempdir().unwrap();
    let library = made(room.path());
    let source = library.with_file_name("plugin.c");
    let text = std::fs::read_to_string(&source).unwrap();
    let careless = text.replace(
        "linkat(folder, put->draft, folder, put->name, 0) != 0",
        "renameat(folder, put->draft, folder, put->name) != 0",
    );
    assert_ne!(text, careless);
    std::fs::write(&source, careless).unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-std=c11", "-O2", "-shared", "-fPIC"]).arg(&source).arg("-o").arg(&library);
    assert!(cc.status().unwrap().success());
    let empty = room.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let setting = format!("folder={}", empty.display());
    let words = ["--json", "plugin", "test", library.to_str().unwrap(), &setting];
    let trial = warifu(&words).wait().exits(1).json();
    let failed: Vec<_> = trial["cases"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["outcome"] == "failed")
        .collect();
    let names: Vec<&Value> = failed.iter().map(|row| &row["case"]).collect();
    assert!(names.contains(&&"what_was_first_stays".into()), "{names:?}");
}

#[test]
fn what_is_no_plugin_is_told() {
    let room = tempfile::tempdir().unwrap();
    let file = room.path().join("a.so");
    std::fs::write(&file, "text").unwrap();
    let refused = warifu(&["plugin", "info", file.to_str().unwrap()]).wait().exits(2);
    assert!(refused.stderr.contains("no shared library"), "{}", refused.stderr);
}

/// One site keeps shares by the plugin in a process of its own, one in its own process, one in a
/// folder; any one is lost.
#[test]
fn sites_keep_shares_by_plugins() {
    let room = tempfile::tempdir().unwrap();
    let library = made(room.path());
    let shape = LabShape { sites: 0, key_bytes: 48 << 20, ..LabShape::default() };
    let mut lab = Lab::new(shape);
    for (name, trust) in [("apart", ""), ("inside", "&trust=in-process")] {
        let folder = room.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        let url = format!("plugin:{}?folder={}{trust}", library.display(), folder.display());
        lab.add_site_with(&shape, Some(&url), Vec::new());
    }
    lab.add_site(&shape);
    let data = sample(11, (5 << 20) + 9);
    let file = lab.file("in", &data);
    let object = lab.store(&file, "2/3");
    for name in ["apart", "inside"] {
        let kept = std::fs::read_dir(room.path().join(name)).unwrap().count();
        assert_eq!(kept, 1, "one share at the plugin, and no draft");
    }
    for lost in 0..3 {
        lab.sites[lost].stop();
        let _report = lab.expect_back(&object, &data);
        lab.sites[lost].start();
    }
    // The plugin's process dies; the site starts another and goes on.
    let parent = lab.sites[0].id().to_string();
    let killed = Command::new("pkill").args(["-9", "-P", &parent, "-f", "plugin-helper"]).status();
    assert!(killed.unwrap().success(), "the site has no process of its plugin");
    lab.sites[2].stop();
    let _report = lab.expect_back(&object, &data);
    let _audit = lab.expect_key_used_once();
}
