//! What the paths of a request stand for: files, folders, patterns, standard input.

use super::{Input, Refused};
use crate::Source;
use crate::failure::{Class, Failure};
use std::ffi::OsString;
use std::fs::{self, FileType};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Notes that are told one by one; of more only the number is told.
const NOTES_MAX: usize = 20;

/// What was found so far.
#[derive(Default)]
pub(super) struct Found {
    pub(super) inputs: Vec<Input>,
    pub(super) refused: Vec<Refused>,
    /// Whether anything stands for more than itself.
    pub(super) is_plural: bool,
    notes: Vec<String>,
    more_notes: usize,
}

impl Found {
    fn note(&mut self, path: &Path, what: &str) {
        match self.notes.len() < NOTES_MAX {
            true => self.notes.push(format!("{}: {what}", path.display())),
            false => self.more_notes += 1,
        }
    }

    /// What was left out, and why.
    pub(super) fn take_notes(&mut self) -> Vec<String> {
        let mut notes = std::mem::take(&mut self.notes);
        if self.more_notes > 0 {
            notes.push(format!("and {} more were left out likewise", self.more_notes));
        }
        notes
    }
}

/// Follows paths to inputs.
pub(super) struct Finder<'a> {
    /// The vault's own folder, by device and inode: it is never stored, key least of all.
    vault: Option<(u64, u64)>,
    /// Makes the input of a source.
    input: &'a dyn Fn(Source) -> Input,
}

impl<'a> Finder<'a> {
    pub(super) fn new(vault: &Path, input: &'a dyn Fn(Source) -> Input) -> Self {
        let vault = fs::metadata(vault).ok().map(|vault| (vault.dev(), vault.ino()));
        Self { vault, input }
    }

    /// One path as it was given. What is there under that very name is meant, whatever it looks
    /// like; a link that is named is followed.
    pub(super) fn add(&self, path: &Path, found: &mut Found) {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                found.is_plural = true;
                self.walk(path, found);
            }
            Err(_) if fs::symlink_metadata(path).is_err() && is_pattern(path) => {
                found.is_plural = true;
                self.add_matches(path, found);
            }
            // What is not there, or no file, is said when it is its turn.
            Ok(_) | Err(_) => found.inputs.push((self.input)(Source::File(path.to_owned()))),
        }
    }

    fn add_matches(&self, pattern: &Path, found: &mut Found) {
        let refused = |failure: Failure| Refused { what: pattern.display().to_string(), failure };
        let text = pattern.to_str().unwrap_or_default();
        let options = glob::MatchOptions { require_literal_separator: true, ..Default::default() };
        let matches = match glob::glob_with(text, options) {
            Ok(matches) => matches,
            Err(error) => {
                let what = "neither a file nor a pattern";
                let failure = Failure::new(Class::Usage, "pattern-invalid", what).because(error);
                return found.refused.push(refused(failure));
            }
        };
        let before = found.inputs.len() + found.refused.len();
        for matched in matches {
            match matched {
                Ok(path) => self.add_matched(&path, found),
                Err(error) => {
                    let folder = error.path().to_owned();
                    found.refused.push(unreadable(&folder, error.into()));
                }
            }
        }
        if found.inputs.len() + found.refused.len() == before {
            let failure = Failure::new(Class::NotFound, "pattern-empty", "no file matches")
                .next("check the pattern; `**` stands for folders at any depth");
            found.refused.push(refused(failure));
        }
    }

    /// A file or folder that a pattern or a walk came upon: links are not followed here.
    fn add_matched(&self, path: &Path, found: &mut Found) {
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => self.walk(path, found),
            Ok(metadata) => self.add_entry(path.to_owned(), metadata.file_type(), found),
            Err(error) => found.refused.push(unreadable(path, error)),
        }
    }

    fn add_entry(&self, path: PathBuf, kind: FileType, found: &mut Found) {
        match () {
            () if kind.is_file() => found.inputs.push((self.input)(Source::File(path))),
            () if kind.is_symlink() => found.note(&path, "a symbolic link is not followed"),
            () if kind.is_fifo() => found.note(&path, "a named pipe is left out"),
            () if kind.is_socket() => found.note(&path, "a socket is left out"),
            () => found.note(&path, "a device is left out"),
        }
    }

    /// All files below `root`, in the order of their names. As no link is followed, it ends.
    fn walk(&self, root: &Path, found: &mut Found) {
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            let is_vault = fs::metadata(&folder)
                .is_ok_and(|metadata| self.vault == Some((metadata.dev(), metadata.ino())));
            if is_vault {
                found.note(&folder, "the vault itself is never stored");
                continue;
            }
            let entries = match entries(&folder) {
                Ok(entries) => entries,
                Err(error) => {
                    found.refused.push(unreadable(&folder, error));
                    continue;
                }
            };
            let mut below = Vec::new();
            for (name, kind) in entries {
                let path = folder.join(name);
                match kind.is_dir() {
                    true => below.push(path),
                    false => self.add_entry(path, kind, found),
                }
            }
            folders.extend(below.into_iter().rev());
        }
    }
}

fn entries(folder: &Path) -> std::io::Result<Vec<(OsString, FileType)>> {
    let mut entries = fs::read_dir(folder)?
        .map(|entry| entry.and_then(|entry| Ok((entry.file_name(), entry.file_type()?))))
        .collect::<std::io::Result<Vec<_>>>()?;
    entries.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(entries)
}

fn is_pattern(path: &Path) -> bool {
    path.to_str().is_some_and(|text| text.contains(['*', '?', '[']))
}

fn unreadable(path: &Path, error: std::io::Error) -> Refused {
    let what = path.display().to_string();
    let failure = Failure::new(Class::Other, "folder-unreadable", format!("can't read {what}"))
        .because(error)
        .next("let the user that runs warifu read it, or leave it out");
    Refused { what, failure }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BackupRequest, Compression};
    use std::os::unix::ffi::OsStringExt;

    fn input(source: Source) -> Input {
        Input::of(BackupRequest {
            source,
            individual: "P1".parse().unwrap(),
            threshold: "2/3".parse().unwrap(),
            compression: Compression::None,
            pad: false,
            label: None,
            overrides: Vec::new(),
            pins: Vec::new(),
            exclusions: Vec::new(),
        })
    }

    fn found(vault: &Path, path: &Path) -> (Vec<PathBuf>, Vec<String>, Found) {
        let mut found = Found::default();
        Finder::new(vault, &input).add(path, &mut found);
        let paths = found.inputs.iter().filter_map(|input| match &input.request.source {
            Source::File(path) => Some(path.clone()),
            Source::Stdin { .. } => None,
        });
        (paths.collect(), found.take_notes(), found)
    }

    #[test]
    fn a_walk_takes_files_by_name_and_tells_what_it_leaves_out() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for folder in ["b", "b/deep", "vault/keys"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        let odd = PathBuf::from(OsString::from_vec(b"b/\xff\n".to_vec()));
        for file in ["z", "a", "b/deep/x", "vault/keys/pool"] {
            fs::write(at(file), file).unwrap();
        }
        fs::write(root.path().join(&odd), "odd").unwrap();
        std::os::unix::fs::symlink(root.path(), at("b/deep/loop")).unwrap();
        std::os::unix::fs::symlink("nowhere", at("dangling")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        let (paths, notes, all) = found(&at("vault"), root.path());
        let odd = root.path().join(odd);
        assert_eq!(paths, [at("a"), at("z"), odd, at("b/deep/x")]);
        assert!(all.is_plural && all.refused.is_empty());
        let told = |name: &str| notes.iter().any(|note| note.starts_with(name));
        for left_out in ["b/deep/loop", "dangling", "socket", "vault"] {
            assert!(told(at(left_out).to_str().unwrap()), "{left_out}: {notes:?}");
        }
        assert_eq!(notes.len(), 4);
    }

    #[test]
    fn a_pattern_is_one_only_where_no_file_has_that_name() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at("d/e")).unwrap();
        for file in ["x*.bam", "x1.bam", "x2.bam", "d/x3.bam", "d/e/x4.bam"] {
            fs::write(at(file), file).unwrap();
        }
        std::os::unix::fs::symlink(root.path(), at("d/e/loop")).unwrap();
        let nowhere = Path::new("/nonexistent");
        let (literal, _, one) = found(nowhere, &at("x*.bam"));
        assert_eq!(literal, [at("x*.bam")]);
        assert!(!one.is_plural);
        let (matched, _, many) = found(nowhere, &at("x?.bam"));
        assert_eq!(matched, [at("x*.bam"), at("x1.bam"), at("x2.bam")]);
        assert!(many.is_plural);
        let (deep, _, _) = found(nowhere, &at("d/**/x*.bam"));
        assert_eq!(deep, [at("d/e/x4.bam"), at("d/x3.bam")], "links are not followed");
        let (none, _, empty) = found(nowhere, &at("y*"));
        assert!(none.is_empty());
        assert_eq!(empty.refused[0].failure.code(), "pattern-empty");
        let (wrong, _, invalid) = found(nowhere, &at("[y"));
        assert!(wrong.is_empty());
        assert_eq!(invalid.refused[0].failure.code(), "pattern-invalid");
    }

    #[test]
    fn many_notes_are_counted() {
        let root = tempfile::tempdir().unwrap();
        for number in 0..NOTES_MAX + 5 {
            std::os::unix::fs::symlink("x", root.path().join(number.to_string())).unwrap();
        }
        let (_, notes, _) = found(Path::new("/nonexistent"), root.path());
        assert_eq!(notes.len(), NOTES_MAX + 1);
        assert_eq!(notes[NOTES_MAX], "and 5 more were left out likewise");
    }
}
