//! Where key comes from: randomness as a trait, and the sources that fill segments.

use crate::holder::{Lease, PAD_BYTES_MAX};
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use warifu_buffers::Block;
use warifu_core::KeyClass;
use zeroize::Zeroizing;

/// Randomness from outside, for identifiers, nonces and seeds.
pub trait Entropy: Send + Sync {
    /// Fills `target` with bytes that nobody can foretell.
    ///
    /// # Errors
    /// Where the source fails; `target` is then not to be used.
    fn fill(&self, target: &mut [u8]) -> io::Result<()>;
}

/// The operating system's generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&self, target: &mut [u8]) -> io::Result<()> {
        getrandom::fill(target).map_err(|error| io::Error::other(error.to_string()))
    }
}

/// A source of key material.
pub trait KeySource: Send {
    /// Fills all of `target` with fresh key: no byte is ever given twice.
    ///
    /// # Errors
    /// Where the source fails or has ended; `target` is then not to be used.
    fn fill(&mut self, target: &mut [u8]) -> io::Result<()>;

    /// What is claimed of all that was given so far.
    fn class(&self) -> KeyClass;

    /// What listings call it: at most 63 bytes, no control characters.
    fn name(&self) -> &str;
}

const RESEED_BYTES: u64 = 1 << 30;

/// `ChaCha20`, seeded by the operating system and again after each GiB. Secrecy then rests on a
/// computational assumption, and all key that it makes says so.
pub struct Generator {
    entropy: Arc<dyn Entropy>,
    stream: Option<ChaCha20>,
    bytes_left: u64,
}

impl Generator {
    /// A generator that takes its seeds from `entropy`.
    #[must_use]
    pub fn new(entropy: Arc<dyn Entropy>) -> Self {
        Self { entropy, stream: None, bytes_left: 0 }
    }

    fn reseed(&mut self) -> io::Result<()> {
        let mut key = Zeroizing::new([0; 32]);
        self.entropy.fill(&mut *key)?;
        self.stream = Some(ChaCha20::new((&*key).into(), &[0; 12].into()));
        self.bytes_left = RESEED_BYTES;
        Ok(())
    }
}

impl KeySource for Generator {
    fn fill(&mut self, mut target: &mut [u8]) -> io::Result<()> {
        while !target.is_empty() {
            if self.bytes_left == 0 {
                self.reseed()?;
            }
            let len = usize::try_from(self.bytes_left).unwrap_or(usize::MAX).min(target.len());
            let (now, later) = target.split_at_mut(len);
            now.fill(0);
            let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotFound)?;
            stream.try_apply_keystream(now).map_err(|error| io::Error::other(error.to_string()))?;
            self.bytes_left -= len as u64;
            target = later;
        }
        Ok(())
    }

    fn class(&self) -> KeyClass {
        KeyClass::Computational
    }

    fn name(&self) -> &'static str {
        "generator"
    }
}

/// A file or device that the operator declares to yield truly random bytes.
///
/// What is read from a *file* is overwritten there with zeros: a file read twice would be the same
/// key twice. The kernel's generators, and devices that yield no randomness, are refused.
pub struct DeclaredRandom {
    file: File,
    /// Where to erase next; `None` for a device.
    erase_at: Option<u64>,
    name: String,
}

impl DeclaredRandom {
    /// Opens `path`; listings will call it `name`.
    ///
    /// # Errors
    /// `InvalidInput` for a generator of the kernel or a device without randomness; what the system
    /// says (a file must be writable, too).
    pub fn open(path: &Path, name: &str) -> io::Result<Self> {
        let kind = std::fs::metadata(path)?.file_type();
        let refused = |text| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        if kind.is_dir() || kind.is_block_device() {
            return refused("a source of key is a file, a pipe or a character device");
        }
        let erases = kind.is_file();
        let file = OpenOptions::new().read(true).write(erases).open(path)?;
        let meta = file.metadata()?;
        if meta.is_file() != erases {
            return refused("it was replaced while it was opened");
        }
        if meta.file_type().is_char_device() && rustix::fs::major(meta.rdev()) == 1 {
            return refused("the kernel's memory devices are no declared true randomness");
        }
        // Two readers at once would make the same key twice.
        if erases && file.try_lock().is_err() {
            return refused("another process reads it");
        }
        Ok(Self { file, erase_at: erases.then_some(0), name: name.to_owned() })
    }
}

impl KeySource for DeclaredRandom {
    fn fill(&mut self, target: &mut [u8]) -> io::Result<()> {
        self.file.read_exact(target)?;
        if target.chunks_exact(64).any(|run| run.iter().fold(0, |seen, byte| seen | byte) == 0) {
            let text = "it yields runs of zeros: it was used before, or is not random";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        if let Some(at) = self.erase_at {
            self.file.write_all_at(&vec![0; target.len()], at)?;
            self.file.sync_data()?;
            self.erase_at = Some(at + target.len() as u64);
        }
        Ok(())
    }

    fn class(&self) -> KeyClass {
        KeyClass::InformationTheoretic
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// The `random` pool as a source: random numbers become link key, and are used up there.
pub struct FromRandomPool {
    lease: Lease,
    class: KeyClass,
}

impl FromRandomPool {
    /// Takes from `lease`; it must cover all that is to be filled.
    #[must_use]
    pub const fn new(lease: Lease) -> Self {
        Self { lease, class: KeyClass::InformationTheoretic }
    }

    /// The lease with what is left of it, to be released.
    #[must_use]
    pub fn into_lease(self) -> Lease {
        self.lease
    }
}

impl KeySource for FromRandomPool {
    fn fill(&mut self, target: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while done < target.len() {
            let wanted = (target.len() - done) as u64;
            let piece = self.lease.left_in_one_piece().min(wanted).min(PAD_BYTES_MAX);
            if piece == 0 {
                let text = "the lease of the random pool is used up";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
            }
            let pad = self.lease.take(piece).map_err(io::Error::other)?;
            self.class = self.class.max(pad.class());
            let (_, key): (_, Block) = pad.into_parts();
            target[done..done + key.len()].copy_from_slice(&key);
            done += key.len();
        }
        Ok(())
    }

    fn class(&self) -> KeyClass {
        self.class
    }

    fn name(&self) -> &'static str {
        "random-pool"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twin_generators_differ_and_streams_do_not_repeat() {
        let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
        let mut twins = [Generator::new(entropy.clone()), Generator::new(entropy)];
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            for twin in &mut twins {
                let mut block = [0xff; 100];
                twin.fill(&mut block).unwrap();
                assert!(block.chunks_exact(20).all(|run| seen.insert(run.to_vec())));
            }
        }
    }

    #[test]
    fn the_generator_reseeds_and_fails_with_its_entropy() {
        struct Once(std::sync::atomic::AtomicU32);
        impl Entropy for Once {
            fn fill(&self, target: &mut [u8]) -> io::Result<()> {
                target.fill(7);
                match self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                    0 => Ok(()),
                    _ => Err(io::ErrorKind::Other.into()),
                }
            }
        }
        let mut generator = Generator::new(Arc::new(Once(0.into())));
        generator.fill(&mut [0; 10]).unwrap();
        generator.bytes_left = 20;
        generator.fill(&mut [0; 20]).unwrap();
        assert!(generator.fill(&mut [0; 1]).is_err(), "a new seed is needed and missing");
    }

    #[test]
    fn a_declared_file_is_used_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("qrng");
        let content: Vec<u8> = (0..3000u32).map(|at| (at % 251) as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let mut source = DeclaredRandom::open(&path, "qrng").unwrap();
        let mut block = [0; 1000];
        source.fill(&mut block).unwrap();
        assert_eq!(block, content[..1000]);
        source.fill(&mut block).unwrap();
        assert_eq!(block, content[1000..2000]);
        assert!(source.fill(&mut [0; 1001]).is_err(), "a short read is refused");
        let left = std::fs::read(&path).unwrap();
        assert!(left[..2000].iter().all(|&byte| byte == 0) && left[2000..] == content[2000..]);
        assert!(DeclaredRandom::open(&path, "qrng").is_err(), "two readers would share key");
        drop(source);
        assert!(DeclaredRandom::open(&path, "qrng").unwrap().fill(&mut block).is_err());
    }

    #[test]
    fn generators_of_the_kernel_are_not_declared_random() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/dev/urandom", &link).unwrap();
        for path in ["/dev/random", "/dev/urandom", "/dev/zero", "/dev/null", "/dev"] {
            assert!(DeclaredRandom::open(Path::new(path), "x").is_err(), "{path}");
        }
        assert!(DeclaredRandom::open(&link, "x").is_err());
    }
}
