//! Where restored data goes: looked at before any key is spent.

use super::{Output, RestoreRequest};
use crate::failure::{Class, Failure};
use crate::output::TargetFile;
use rustix::fs::{Mode, OFlags, fcntl_setfl, open};
use rustix::io::Errno;
use std::fs::{File, FileType};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often it is tried again to open a pipe that nobody reads yet.
const READER_PAUSE: Duration = Duration::from_millis(50);

/// What an output turned out to be.
pub(super) enum Place {
    /// Data is handed on chunk by chunk: standard output, a pipe, a terminal.
    Stream {
        to: File,
        /// None for standard output.
        path: Option<PathBuf>,
    },
    /// Data goes to a file that gets its name at the end.
    File {
        file: TargetFile,
        folder: PathBuf,
        /// None where it is the name that is stored inside, which replaces nothing.
        path: Option<PathBuf>,
    },
}

impl Place {
    /// Looks at the output and opens it.
    ///
    /// # Errors
    /// Where it is no place for data, can't be written, or another restore writes there.
    pub(super) fn of(request: &RestoreRequest, stop: &AtomicBool) -> Result<Self, Failure> {
        let path = match &request.output {
            Output::Stdout => {
                // Past the buffer of the process, which would only copy.
                let stdout = io::stdout().as_fd().try_clone_to_owned().map_err(|error| {
                    Failure::new(Class::Other, "output", "standard output can't be used")
                        .because(error)
                })?;
                return Ok(Self::Stream { to: File::from(stdout), path: None });
            }
            Output::OwnName => {
                let folder = PathBuf::from(".");
                return Ok(Self::File { file: file_in(&folder, request)?, folder, path: None });
            }
            Output::Path(path) => path,
        };
        let unusable = |error: io::Error| {
            let what = format!("can't write {}", path.display());
            Failure::new(Class::Other, "output", what).because(error)
        };
        let path = match std::fs::metadata(path) {
            Ok(found) if is_stream(found.file_type()) => {
                if request.resume {
                    let what = format!("{} is no regular file: it is not resumed", path.display());
                    return Err(Failure::new(Class::Usage, "usage", what).next("name a file"));
                }
                let to = open_stream(path, stop)?;
                return Ok(Self::Stream { to, path: Some(path.clone()) });
            }
            Ok(found) if !found.is_file() => return Err(no_place(path, found.file_type())),
            // Through links: what stands at their end is replaced, and the links stay.
            Ok(_) => path.canonicalize().map_err(unusable)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if path.is_symlink() {
                    let what = format!("{} is a link to nothing", path.display());
                    return Err(Failure::new(Class::Usage, "output-kind", what)
                        .next("remove the link, or name the file itself"));
                }
                path.clone()
            }
            Err(error) => return Err(unusable(error)),
        };
        if path.file_name().is_none() || path.as_os_str().as_encoded_bytes().ends_with(b"/") {
            let what = format!("{} names no file", path.display());
            return Err(Failure::new(Class::Usage, "output-kind", what).next("name a file with -o"));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new(".")).to_owned();
        Ok(Self::File { file: file_in(&folder, request)?, folder, path: Some(path) })
    }
}

/// Refuses a target that became something else than a regular file since it was looked at.
///
/// # Errors
/// Where it is.
pub(super) fn expect_replaceable(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => {
            Err(io::Error::new(ErrorKind::AlreadyExists, "it is no regular file"))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn cant_write(folder: &Path, error: io::Error) -> Failure {
    let what = format!("can't write in {}", folder.display());
    Failure::new(Class::Other, "output", what).because(error)
}

fn file_in(folder: &Path, request: &RestoreRequest) -> Result<TargetFile, Failure> {
    match request.resume {
        true => TargetFile::part(folder, request.object),
        false => TargetFile::unnamed(folder).map_err(|error| cant_write(folder, error)),
    }
}

fn is_stream(kind: FileType) -> bool {
    kind.is_fifo() || kind.is_char_device()
}

fn no_place(path: &Path, kind: FileType) -> Failure {
    let (is, next) = match kind.is_dir() {
        true => ("a folder", "name a file in it: -o DIR/NAME"),
        false => ("no regular file", "name a file, or -o - for standard output"),
    };
    let what = format!("{} is {is}; it is left as it is", path.display());
    Failure::new(Class::Usage, "output-kind", what).next(next)
}

/// Opens a pipe or a device; of a pipe that nobody reads yet, waits for the reader.
fn open_stream(path: &Path, stop: &AtomicBool) -> Result<File, Failure> {
    let flags = OFlags::WRONLY | OFlags::NOCTTY | OFlags::CLOEXEC;
    loop {
        match open(path, flags | OFlags::NONBLOCK, Mode::empty()) {
            Err(Errno::NXIO) if !stop.load(Ordering::Relaxed) => std::thread::sleep(READER_PAUSE),
            Err(Errno::NXIO) => {
                let what = "stopped on request; nothing is delivered";
                return Err(Failure::new(Class::Temporary, "stopped", what));
            }
            opened => {
                let opened = opened.and_then(|file| {
                    fcntl_setfl(&file, OFlags::empty())?;
                    Ok(File::from(file))
                });
                return opened.map_err(|error| {
                    let what = format!("can't write {}", path.display());
                    Failure::new(Class::Other, "output", what).because(io::Error::from(error))
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::symlink;
    use warifu_core::ObjectId;

    fn at(path: &Path) -> Result<Place, Failure> {
        let output = Output::Path(path.to_owned());
        let object = ObjectId::from_bytes([7; 16]);
        let request = RestoreRequest { object, output, range: None, resume: false };
        Place::of(&request, &AtomicBool::new(false))
    }

    #[test]
    fn only_files_and_streams_take_data() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, b"old").unwrap();
        let link = dir.path().join("link");
        symlink(&file, &link).unwrap();
        for path in [&file, &link] {
            let Place::File { file: target, path: Some(found), .. } = at(path).unwrap() else {
                panic!("a file")
            };
            assert_eq!(found, file.canonicalize().unwrap());
            (&target).write_all(b"new").unwrap();
            target.put(&found, true, |_| Ok(())).unwrap();
            assert_eq!(std::fs::read(&file).unwrap(), b"new");
            assert!(link.is_symlink(), "the link stays");
        }
        let nowhere = dir.path().join("nowhere");
        symlink(dir.path().join("nothing"), &nowhere).unwrap();
        let refused = [dir.path().to_owned(), nowhere, PathBuf::from("/"), dir.path().join("new/")];
        for path in refused {
            assert_eq!(at(&path).err().unwrap().code(), "output-kind", "{path:?}");
        }
        let Place::Stream { mut to, .. } = at(Path::new("/dev/null")).unwrap() else { panic!() };
        to.write_all(b"gone").unwrap();
        assert!(std::fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        assert!(expect_replaceable(&file).is_ok() && expect_replaceable(&link).is_err());
    }
}
