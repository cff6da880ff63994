//! What a plugin says of itself, read from its file without running any of it.

use object::{Object, ObjectSection, ObjectSymbol};
use std::path::{Path, PathBuf};
use warifu_plugin_abi::{ABI, ABOUT_SYMBOL, CREATE_ONLY, DURABLE};

/// Longest library that is read, in bytes.
const LIBRARY_BYTES_MAX: u64 = 1 << 30;

/// Bytes of `struct warifu_about` in version 1.
const ABOUT_BYTES: usize = 80;

/// What a plugin says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The interface that it was built for.
    pub abi: u32,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Whether two puts of one name can't both succeed.
    pub create_only: bool,
    /// Whether what it acknowledged survives loss of power.
    pub durable: bool,
}

/// Why a file is no plugin that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AboutError {
    /// It can't be read.
    #[error("{} can't be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is no shared library, or of another machine.
    #[error("{} is no shared library of this machine", path.display())]
    NoLibrary {
        /// The file.
        path: PathBuf,
    },
    /// It does not say what it is.
    #[error("{} is no plugin of warifu: it exports no {ABOUT_SYMBOL}", path.display())]
    NoPlugin {
        /// The file.
        path: PathBuf,
    },
    /// It was built for another interface.
    #[error(
        "the plugin was built for version {found} of the interface, this program has {ABI}: build \
         it anew with this program's warifu_plugin.h"
    )]
    Version {
        /// What it was built for.
        found: u32,
    },
    /// What it says of itself can't be so.
    #[error("what the plugin says of itself can't be so: {what}")]
    Invalid {
        /// What is wrong.
        what: &'static str,
    },
}

impl About {
    /// Reads what the library at `path` says of itself.
    ///
    /// # Errors
    /// [`AboutError`] says why it can't be used.
    pub fn read(path: &Path) -> Result<Self, AboutError> {
        let owned = || path.to_owned();
        let unreadable = |source| AboutError::Unreadable { path: owned(), source };
        let held = std::fs::metadata(path).map_err(unreadable)?;
        if !held.is_file() || held.len() > LIBRARY_BYTES_MAX {
            return Err(AboutError::NoLibrary { path: owned() });
        }
        let file = std::fs::read(path).map_err(unreadable)?;
        let no_library = |_| AboutError::NoLibrary { path: owned() };
        let file = object::File::parse(&*file).map_err(no_library)?;
        let is_ours = file.kind() == object::ObjectKind::Dynamic
            && file.is_little_endian() == cfg!(target_endian = "little")
            && file.is_64();
        if !is_ours {
            return Err(AboutError::NoLibrary { path: owned() });
        }
        let symbol = file.dynamic_symbols().find(|symbol| symbol.name() == Ok(ABOUT_SYMBOL));
        let bytes = symbol.and_then(|symbol| {
            let section = file.section_by_index(symbol.section_index()?).ok()?;
            section.data_range(symbol.address(), ABOUT_BYTES as u64).ok()?
        });
        let bytes = bytes.and_then(|bytes| bytes.first_chunk::<ABOUT_BYTES>());
        Self::check(bytes.ok_or_else(|| AboutError::NoPlugin { path: owned() })?)
    }

    /// Checks version 1 of the struct. Numbers are of this machine's order, as its library is.
    #[expect(clippy::host_endian_bytes, reason = "a library of this machine holds its numbers so")]
    fn check(bytes: &[u8; ABOUT_BYTES]) -> Result<Self, AboutError> {
        let invalid = |what| AboutError::Invalid { what };
        let number = |at: usize| {
            let bytes = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
            u32::from_ne_bytes(bytes)
        };
        let (struct_size, abi) = (number(0), number(4));
        if abi != ABI {
            return Err(AboutError::Version { found: abi });
        }
        if (struct_size as usize) < ABOUT_BYTES {
            return Err(invalid("its struct_size is too small"));
        }
        let capabilities = match (cfg!(target_endian = "little"), number(8), number(12)) {
            (true, low, high) | (false, high, low) => u64::from(high) << 32 | u64::from(low),
        };
        if capabilities & !(CREATE_ONLY | DURABLE) != 0 {
            return Err(invalid("it promises what there is no word for"));
        }
        let text = |at: usize, what| {
            let field = &bytes[at..at + 32];
            let end = field.iter().position(|byte| *byte == 0).ok_or_else(|| invalid(what))?;
            let is_text = end > 0 && field[..end].iter().all(|byte| (0x20..0x7f).contains(byte));
            let text = str::from_utf8(&field[..end]).ok().filter(|_| is_text);
            text.map(str::to_owned).ok_or_else(|| invalid(what))
        };
        Ok(Self {
            abi,
            name: text(16, "its name is no printable text of 1 to 31 bytes")?,
            version: text(48, "its version is no printable text of 1 to 31 bytes")?,
            create_only: capabilities & CREATE_ONLY != 0,
            durable: capabilities & DURABLE != 0,
        })
    }
}
