//! `bench`, as scripts and operators run it: no vault is needed, the figures are documented, and
//! nothing is left behind.

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use warifu_e2e::{Done, Running};

/// Runs `warifu bench ...` where there is no vault, and sees that it leaves nothing.
fn bench(root: &Path, words: &[&str]) -> Done {
    let running = start(root, words);
    let id = running.id();
    let done = running.wait();
    assert_eq!(left_by(id), Vec::<PathBuf>::new(), "{words:?}");
    done
}

fn start(root: &Path, words: &[&str]) -> Running {
    Running::start(&root.join("no-vault"), &[&["bench"], words].concat())
}

/// What a process that benches has made in memory and where temporary files go.
fn left_by(id: u32) -> Vec<PathBuf> {
    let begin = format!("warifu-bench-{id}-");
    let entries = [PathBuf::from("/dev/shm"), std::env::temp_dir()].into_iter().flat_map(|place| {
        let entries = fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path());
        entries.collect::<Vec<_>>()
    });
    let is_its = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(&begin))
    };
    entries.filter(is_its).collect()
}

/// The least work of every bench.
fn benches(folder: &str) -> [(&'static str, Vec<&str>); 5] {
    [
        ("kernel", vec!["kernel", "--isa", "scalar", "--isa", "all"]),
        ("pipeline", vec!["pipeline", "--bytes", "2MiB", "--scheme", "2/3"]),
        ("backend", vec!["backend", "--shares", "2", "--folder", folder]),
        ("link", vec!["link", "--bytes", "2MiB"]),
        ("keys", vec!["keys", "--bytes", "2MiB", "--folder", folder]),
    ]
}

fn expect_spread(spread: &Value) {
    let of = |name: &str| spread[name].as_f64().unwrap();
    assert!(0.0 < of("least"), "{spread}");
    assert!(of("least") <= of("median") && of("median") <= of("most"), "{spread}");
}

fn expect_figures(report: &Value, bench: &str) {
    assert_eq!((&report["v"], &report["type"]), (&json!(1), &json!("bench")));
    assert_eq!(report["quick"], true);
    assert!(report["machine"]["processors"].as_u64().unwrap() > 0);
    assert_eq!(report["machine"]["isas"][0], "scalar");
    assert!(report["taken"].as_str().unwrap().contains('T'));
    for limit in report["limits"].as_array().unwrap() {
        assert_eq!(limit["bench"], bench);
        expect_spread(&limit["g_per_s"]);
    }
    let figures = report["figures"].as_array().unwrap();
    assert!(figures.len() >= 2, "{bench}");
    for figure in figures {
        assert_eq!((&figure["bench"], &figure["rounds"]), (&json!(bench), &json!(3)));
        for name in ["figure", "at", "of", "divided_by"] {
            assert!(!figure[name].as_str().unwrap().is_empty(), "{name} of {figure}");
        }
        assert!(["thread", "process", "wall"].contains(&figure["clock"].as_str().unwrap()));
        expect_spread(&figure["gb_per_s"]);
        expect_spread(&figure["ratio"]);
        assert_eq!(figure.get("roof").is_some(), bench == "kernel");
        assert_eq!(figure.get("latency").is_some(), bench == "backend");
        assert_eq!(figure.get("copied_bytes").is_some(), bench == "pipeline");
    }
}

#[test]
fn every_bench_answers_documented_figures_without_a_vault_and_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("folder");
    fs::create_dir(&folder).unwrap();
    for (name, words) in benches(folder.to_str().unwrap()) {
        let words = [&words[..], &["--quick", "--rounds", "3", "--json"]].concat();
        let done = bench(root.path(), &words).ok();
        expect_figures(&done.json(), name);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "{name} has left something");
    }
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "nothing but the folder");
}

#[test]
fn a_bench_that_is_asked_to_stop_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let sites = ["pipeline", "--bytes", "8MiB", "--sites", "folder", "--rounds", "1001"];
    for words in [&["keys", "--bytes", "8MiB", "--rounds", "1001"][..], &sites] {
        let mut running = start(root.path(), words);
        let id = running.id();
        while left_by(id).is_empty() {
            assert!(!running.has_ended(), "{words:?} makes nothing while it runs");
        }
        running.terminate();
        let done = running.wait().exits(143);
        assert!(done.stderr.contains("error[stopped]"), "{}", done.stderr);
        assert!(done.stdout.is_empty(), "there are no figures");
        assert_eq!(left_by(id), Vec::<PathBuf>::new(), "{words:?}");
    }
}

#[test]
fn a_plot_that_no_file_can_hold_is_refused_before_anything_is_measured() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("plot.svg");
    fs::write(&file, "older").unwrap();
    for place in [root.path().to_path_buf(), root.path().join("none/plot.svg"), file.join("plot")] {
        let words = ["link", "--quick", "--out", place.to_str().unwrap()];
        let refused = bench(root.path(), &words).exits(1);
        assert!(refused.stderr.contains("error[plot-unwritable]"), "{}", refused.stderr);
        assert!(!refused.stderr.contains("measuring"), "{}", refused.stderr);
        assert!(refused.stdout.is_empty());
    }
    let file = file.to_str().unwrap();
    let setting = ["link", "--bytes", "1", "--quick", "--out", file];
    let _refused = bench(root.path(), &setting).exits(2);
    assert_eq!(fs::read_to_string(file).unwrap(), "older", "nothing was drawn");
    fs::remove_file(file).unwrap();
    let _refused = bench(root.path(), &setting).exits(2);
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
}

/// Replaces the ratios of a report.
fn with_ratios(report: &Value, [least, median, most]: [f64; 3]) -> String {
    let mut old = report.clone();
    for figure in old["figures"].as_array_mut().unwrap() {
        figure["ratio"] = json!({"least": least, "median": median, "most": most});
    }
    old.to_string()
}

#[test]
fn a_run_is_set_beside_an_earlier_one_and_drawn() {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name).to_str().unwrap().to_owned();
    let (old, plot) = (path("old.json"), path("plot.svg"));
    let words = ["link", "--bytes", "2MiB", "--quick", "--rounds", "3"];
    let first = bench(root.path(), &[&words[..], &["--json", "--out", &plot]].concat()).ok().json();
    assert_eq!(first["plot"], json!(plot));
    let drawn = fs::read_to_string(&plot).unwrap();
    assert!(drawn.starts_with("<svg") && drawn.contains("link, loopback"));

    let against = |text: &str| {
        fs::write(&old, text).unwrap();
        bench(root.path(), &[&words[..], &["--compare", &old, "--json"]].concat())
    };
    for (ratios, slower, faster) in
        [([1e-9, 1.0, 1e9], 0, 0), ([1e9, 1e9, 1e9], 3, 0), ([1e-9, 1e-9, 1e-9], 0, 3)]
    {
        let found = against(&with_ratios(&first, ratios)).ok().json();
        let comparison = &found["comparison"];
        assert_eq!(comparison["is_like"], true);
        assert_eq!(comparison["only_in_one"], json!([]));
        let counts = (&comparison["slower"], &comparison["faster"]);
        assert_eq!(counts, (&json!(slower), &json!(faster)), "{comparison:#}");
    }
    for text in ["{}", "no JSON", &first.to_string().replace("\"v\":1", "\"v\":9")] {
        let refused = against(text).exits(2);
        assert!(refused.stderr.contains("error[bench-unreadable]"), "{}", refused.stderr);
        assert!(refused.stdout.is_empty(), "nothing was measured");
    }

    let told = bench(root.path(), &words).ok();
    let text = String::from_utf8(told.stdout).unwrap();
    for word in ["seal", "frames", "plain TCP of the same buffers", "divided by", "machine"] {
        assert!(text.contains(word), "{word} in {text}");
    }
}
