//! `man`

use super::Context;
use crate::args::Cli;
use crate::exit::Ending;
use clap::CommandFactory;
use clap_mangen::Man;
use serde::Serialize;
use std::path::Path;
use warifu_vault::{Class, Failure};

/// What `man` answers in JSON: the page, or where the pages are.
#[derive(Serialize)]
struct Pages {
    v: u32,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<String>,
    files: Vec<String>,
}

/// Prints the main page, or writes one for each command into `out`.
pub(super) fn man(context: &Context, out: Option<&Path>) -> Result<(), Ending> {
    let mut pages = Pages { v: 1, r#type: "man", page: None, files: Vec::new() };
    let Some(out) = out else {
        let page = page(&Cli::command())?;
        pages.page = Some(page.clone());
        return context.output.answer_raw(&pages, &page);
    };
    let unwritable = |error| {
        let what = format!("can't write manual pages into {}", out.display());
        Failure::new(Class::Other, "man-unwritable", what).because(error)
    };
    std::fs::create_dir_all(out).map_err(unwritable)?;
    for (name, page) in all_pages()? {
        let path = out.join(format!("{name}.1"));
        std::fs::write(&path, page).map_err(unwritable)?;
        pages.files.push(path.display().to_string());
    }
    context.output.answer(&pages, || pages.files.iter().map(|file| format!("{file}\n")).collect())
}

/// Every command's page by the page's name, such as `warifu-key-status`.
fn all_pages() -> Result<Vec<(String, String)>, Failure> {
    let mut root = Cli::command();
    root.build();
    let mut pages = Vec::new();
    let mut waiting = vec![root];
    while let Some(command) = waiting.pop() {
        let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
        waiting.extend(shown.cloned());
        let name = command.get_display_name().unwrap_or(command.get_name());
        pages.push((name.to_owned(), page(&command)?));
    }
    pages.sort();
    Ok(pages)
}

fn page(command: &clap::Command) -> Result<String, Failure> {
    let mut text = Vec::new();
    Man::new(command.clone()).manual("warifu").render(&mut text).map_err(|error| {
        Failure::new(Class::Other, "man-unwritable", "the manual page can't be made").because(error)
    })?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    #[test]
    fn every_command_has_a_page_that_tells_its_flags() {
        let pages = all_pages().unwrap();
        let named = |name: &str| {
            let found = pages.iter().find(|(known, _)| known == name);
            &found.unwrap_or_else(|| panic!("{name} is missing")).1
        };
        assert!(named("warifu").contains("WARIFU_PROFILE"));
        assert!(named("warifu-backup").contains("individual"));
        assert!(named("warifu-key-status").contains("warifu"));
        assert!(named("warifu-jobs-cancel").contains("dry"));
        assert!(pages.len() > 25, "{}", pages.len());
    }

    #[test]
    fn groff_has_nothing_to_say_against_any_page() {
        for (name, page) in all_pages().unwrap() {
            let groff = Command::new("groff")
                .args(["-man", "-Tutf8", "-ww", "-z"])
                .stdin(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn();
            let mut groff = match groff {
                Ok(groff) => groff,
                Err(error) => {
                    println!("skipped: groff is not there ({error})");
                    return;
                }
            };
            groff.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
            let said = groff.wait_with_output().unwrap();
            let words = String::from_utf8_lossy(&said.stderr);
            assert!(said.status.success() && words.is_empty(), "{name}: {words}");
        }
    }
}
