//! Whether a stream is worth compressing: by its first bytes, and by trying.

use super::compress::frame_bytes_of;
use std::fmt;
use std::io;
use std::str::FromStr;
use warifu_core::payload::{Encoding, FRAME_BYTES};

/// What is read of a stream to decide: 4 MiB.
pub const SAMPLE_BYTES: usize = 4 << 20;

/// What is asked for.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum Compression {
    /// Compress what gets shorter by a tenth at least and is not compressed already.
    #[default]
    Auto,
    /// Leave everything as it is.
    None,
    /// Compress, whatever it is.
    Zstd,
}

/// A text that names no compression.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a compression is auto, none or zstd")]
pub struct NoCompression;

impl Compression {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::None => "none",
            Self::Zstd => "zstd",
        }
    }

    /// The encoding of a stream that begins with `sample`: at most [`SAMPLE_BYTES`], fewer only
    /// where the stream is that short.
    ///
    /// # Errors
    /// Where memory is refused.
    pub fn choose(self, sample: &[u8]) -> io::Result<Encoding> {
        let is_compressing = match self {
            Self::None => false,
            Self::Zstd => true,
            Self::Auto => !is_compressed_already(sample) && gets_shorter(sample)?,
        };
        Ok(if is_compressing { Encoding::ZstdFrames } else { Encoding::AsGiven })
    }
}

impl FromStr for Compression {
    type Err = NoCompression;

    fn from_str(text: &str) -> Result<Self, NoCompression> {
        let all = [Self::Auto, Self::None, Self::Zstd];
        all.into_iter().find(|each| each.as_str() == text).ok_or(NoCompression)
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// First bytes of what is compressed: BAM, BCF and VCF.gz are gzip (BGZF).
const MAGICS: [&[u8]; 12] = [
    b"\x1f\x8b",                 // gzip
    b"CRAM",                     // CRAM
    b"\x28\xb5\x2f\xfd",         // zstd
    b"\xfd7zXZ\0",               // xz
    b"BZh",                      // bzip2
    b"PK\x03\x04",               // zip
    b"7z\xbc\xaf\x27\x1c",       // 7z
    b"\x04\x22\x4d\x18",         // lz4
    b"\x89PNG\r\n\x1a\n",        // PNG
    b"\xff\xd8\xff",             // JPEG
    b"\0\0\0\x0cjP  \r\n\x87\n", // JPEG 2000, as slide scanners write it
    b"\x1f\x9d",                 // compress
];

fn is_compressed_already(sample: &[u8]) -> bool {
    MAGICS.iter().any(|magic| sample.starts_with(magic))
}

/// What is short gains nothing: the coarse padding of what is compressed would eat it up.
const SHORT_BYTES: usize = 128 << 10;

fn gets_shorter(sample: &[u8]) -> io::Result<bool> {
    if sample.len() < SHORT_BYTES {
        return Ok(false);
    }
    let frames = sample.chunks(FRAME_BYTES as usize).map(frame_bytes_of);
    let compressed: usize = frames.sum::<io::Result<usize>>()?;
    Ok(compressed <= sample.len() - sample.len() / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(bytes: usize) -> Vec<u8> {
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        (0..bytes).map(|_| next()).collect()
    }

    #[test]
    fn what_gains_is_compressed_and_nothing_else() {
        let auto = |sample: &[u8]| Compression::Auto.choose(sample).unwrap();
        let text: Vec<u8> =
            noise(300_000).iter().map(|byte| b"ACGT"[usize::from(byte & 3)]).collect();
        assert_eq!(auto(&text), Encoding::ZstdFrames);
        assert_eq!(auto(&noise(300_000)), Encoding::AsGiven);
        assert_eq!(auto(&text[..SHORT_BYTES - 1]), Encoding::AsGiven);
        assert_eq!(auto(b""), Encoding::AsGiven);
        // A sixteenth is gained: too little.
        let mostly: Vec<u8> = (noise(1 << 20).into_iter().zip(0..))
            .map(|(b, at)| if at % 16 == 0 { 0 } else { b })
            .collect();
        assert_eq!(auto(&mostly), Encoding::AsGiven);
        for magic in MAGICS {
            let named = [magic, &text].concat();
            assert_eq!(auto(&named), Encoding::AsGiven, "{magic:?}");
            assert_eq!(auto(&named[1..]), Encoding::ZstdFrames, "{magic:?}");
        }
        assert_eq!(Compression::None.choose(&text).unwrap(), Encoding::AsGiven);
        assert_eq!(Compression::Zstd.choose(&noise(10)).unwrap(), Encoding::ZstdFrames);
    }

    #[test]
    fn compressions_are_written_as_they_are_read() {
        for text in ["auto", "none", "zstd"] {
            assert_eq!(text.parse::<Compression>().unwrap().to_string(), text);
        }
        for text in ["", "Auto", "gzip", "auto "] {
            assert_eq!(text.parse::<Compression>(), Err(NoCompression));
        }
    }
}
