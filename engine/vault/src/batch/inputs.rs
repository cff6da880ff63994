//! What the paths of a request stand for: files, folders, patterns, standard input.

use super::{Input, Refused};
use crate::Source;
use crate::backup::lies_within;
use crate::failure::{Class, Failure};
use std::ffi::{OsStr, OsString};
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
    vault_folder: PathBuf,
    /// Makes the input of a source.
    input: &'a dyn Fn(Source) -> Input,
}

impl<'a> Finder<'a> {
    pub(super) fn new(vault: &Path, input: &'a dyn Fn(Source) -> Input) -> Self {
        let vault_folder = vault.to_owned();
        let vault = fs::metadata(vault).ok().map(|vault| (vault.dev(), vault.ino()));
        Self { vault, vault_folder, input }
    }

    /// One path as it was given. What is there under that very name is meant, whatever it looks
    /// like; a link that is named is followed.
    pub(super) fn add(&self, path: &Path, found: &mut Found) {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() && lies_within(path, &self.vault_folder) => {
                found.is_plural = true;
                found.note(path, "the vault itself is never stored");
            }
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
        let glob = match Glob::new(pattern) {
            Ok(glob) => glob,
            Err(error) => {
                let what = "neither a file nor a pattern";
                let failure = Failure::new(Class::Usage, "pattern-invalid", what).because(error);
                return found.refused.push(refused(failure));
            }
        };
        let before = found.inputs.len() + found.refused.len();
        self.search(&glob, found);
        if found.inputs.len() + found.refused.len() == before {
            let failure = Failure::new(Class::NotFound, "pattern-empty", "no file matches")
                .next("check the pattern; `**` stands for folders at any depth");
            found.refused.push(refused(failure));
        }
    }

    /// All that `glob` matches, in the order of names; of folders that it matches, all files
    /// below. Links are not followed.
    fn search(&self, glob: &Glob, found: &mut Found) {
        let mut folders = vec![(glob.base.clone(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            if self.is_vault(&folder, found) {
                continue;
            }
            let read_from = if folder.as_os_str().is_empty() { Path::new(".") } else { &folder };
            let entries = match entries(read_from) {
                Ok(entries) => entries,
                // A pattern in a folder that is not there matches nothing.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => {
                    found.refused.push(unreadable(read_from, error));
                    continue;
                }
            };
            let mut below = Vec::new();
            for (name, kind) in entries {
                let path = folder.join(name);
                match (glob.matches(&path), kind.is_dir()) {
                    (true, true) => self.walk(&path, found),
                    (true, false) => self.add_entry(path, kind, found),
                    (false, true) if glob.depth_max.is_none_or(|max| depth + 1 < max) => {
                        below.push((path, depth + 1));
                    }
                    (false, _) => {}
                }
            }
            folders.extend(below.into_iter().rev());
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

    fn is_vault(&self, folder: &Path, found: &mut Found) -> bool {
        let is_vault = fs::metadata(folder)
            .is_ok_and(|metadata| self.vault == Some((metadata.dev(), metadata.ino())));
        if is_vault {
            found.note(folder, "the vault itself is never stored");
        }
        is_vault
    }

    /// All files below `root`, in the order of their names. As no link is followed, it ends.
    fn walk(&self, root: &Path, found: &mut Found) {
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            if self.is_vault(&folder, found) {
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

/// A pattern, and where to look for what it matches.
struct Glob {
    pattern: glob::Pattern,
    /// The folders before the first part that is not literal.
    base: PathBuf,
    /// Folders below `base` that names which it matches can reach down; `None` with `**`.
    depth_max: Option<usize>,
}

impl Glob {
    fn new(pattern: &Path) -> Result<Self, glob::PatternError> {
        let parts: Vec<&OsStr> = pattern.components().map(|part| part.as_os_str()).collect();
        let literal = parts.iter().take_while(|part| !is_pattern(Path::new(part))).count();
        let (base, rest) = parts.split_at(literal);
        let text: PathBuf = parts.iter().collect();
        Ok(Self {
            pattern: glob::Pattern::new(text.to_str().unwrap_or_default())?,
            base: base.iter().collect(),
            depth_max: (!rest.contains(&OsStr::new("**"))).then_some(rest.len()),
        })
    }

    /// As a shell would: no wildcard stands for a separator, nor for a dot at the beginning.
    fn matches(&self, path: &Path) -> bool {
        let options = glob::MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: true,
        };
        path.to_str().is_some_and(|path| self.pattern.matches_with(path, options))
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
    use crate::BackupRequest;
    use std::os::unix::ffi::OsStringExt;

    fn input(source: Source) -> Input {
        Input::of(BackupRequest::new(source, "P1".parse().unwrap(), "2/3".parse().unwrap()))
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
        assert_eq!(deep, [at("d/x3.bam"), at("d/e/x4.bam")], "links are not followed");
        let (whole, notes, _) = found(nowhere, &at("?"));
        assert_eq!(whole, [at("d/x3.bam"), at("d/e/x4.bam")], "all of a folder that matches");
        assert_eq!(notes.len(), 1, "the link is told: {notes:?}");
        fs::write(at(".x9.bam"), "hidden").unwrap();
        let (shown, _, _) = found(nowhere, &at("*9.bam"));
        assert!(shown.is_empty(), "{shown:?}");
        let (none, _, empty) = found(nowhere, &at("y*"));
        assert!(none.is_empty());
        assert_eq!(empty.refused[0].failure.code(), "pattern-empty");
        let (wrong, _, invalid) = found(nowhere, &at("[y"));
        assert!(wrong.is_empty());
        assert_eq!(invalid.refused[0].failure.code(), "pattern-invalid");
    }

    #[test]
    fn a_pattern_is_searched_from_its_literal_beginning() {
        for (pattern, base, depth_max, matching, other) in [
            ("*.bam", "", Some(1), "a.bam", "d/a.bam"),
            ("./x?/*", "./", Some(2), "./x1/a", "./x12/a"),
            ("d//e/../[ab]", "d/e/..", Some(1), "d/e/../a", "d/e/../c"),
            ("/r/**/a*", "/r", None, "/r/d/e/a1", "/r/d/e/b"),
        ] {
            let glob = Glob::new(Path::new(pattern)).unwrap();
            assert_eq!((&*glob.base, glob.depth_max), (Path::new(base), depth_max), "{pattern}");
            assert!(glob.matches(Path::new(matching)) && !glob.matches(Path::new(other)));
        }
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("vault/keys")).unwrap();
        fs::write(root.path().join("vault/keys/pool"), "key").unwrap();
        for pattern in ["**/pool", "va*", "*/*/pool"] {
            let (paths, notes, _) = found(&root.path().join("vault"), &root.path().join(pattern));
            assert!(paths.is_empty() && notes.len() == 1, "{pattern}: {paths:?}");
        }
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
