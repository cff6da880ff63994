//! The files of the project: what git tracks, or would track.

use crate::CheckError;
use std::path::Path;
use std::process::Command;

/// One file. Folders and symbolic links are not files here.
pub(crate) struct TrackedFile {
    /// Path from the workspace root, with `/`.
    pub(crate) path: String,
    /// The text, or `None` where the file is not UTF-8.
    pub(crate) text: Option<String>,
}

impl TrackedFile {
    /// The last part of the path.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

/// Reads every file under `root` that is tracked, or is new and not ignored.
///
/// # Errors
/// Where git does not answer, or a listed file can't be read. A file that is listed and gone is
/// passed over: its removal has not been recorded yet.
pub(crate) fn tracked_files(root: &Path) -> Result<Vec<TrackedFile>, CheckError> {
    let listing = run(
        Command::new("git").current_dir(root).args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ]),
        "git ls-files",
    )?;
    let mut files = Vec::new();
    for name in listing.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let path = std::str::from_utf8(name).map_err(|_| CheckError::Answer {
            tool: "git ls-files",
            what: "file names in UTF-8",
        })?;
        let on_disk = root.join(path);
        if !on_disk.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
            continue;
        }
        let bytes = std::fs::read(&on_disk)
            .map_err(|error| CheckError::Tool { tool: "read", what: format!("{path}: {error}") })?;
        files.push(TrackedFile { path: path.to_owned(), text: String::from_utf8(bytes).ok() });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files.dedup_by(|a, b| a.path == b.path);
    Ok(files)
}

/// Runs `command` and returns its standard output.
///
/// # Errors
/// Where it can't be started or does not end with 0.
pub(crate) fn run(command: &mut Command, tool: &'static str) -> Result<Vec<u8>, CheckError> {
    let failed = |what: String| CheckError::Tool { tool, what };
    let output = command.output().map_err(|error| failed(error.to_string()))?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_file_is_found() {
        let files = tracked_files(&crate::workspace_root()).unwrap();
        let own = files.iter().find(|file| file.path == "tools/xtask/src/tree.rs").unwrap();
        assert_eq!(own.name(), "tree.rs");
        assert!(own.text.as_ref().unwrap().contains("fn this_file_is_found"));
        assert!(!files.iter().any(|file| file.path.starts_with("target/")));
    }

    #[test]
    fn a_failing_tool_is_an_error() {
        assert!(run(&mut Command::new("false"), "false").is_err());
        assert!(run(&mut Command::new("no-such-program-anywhere"), "none").is_err());
    }
}
