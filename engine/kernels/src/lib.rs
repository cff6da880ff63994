//! The arithmetic over every byte: `dot` and `xor` over GF(2^8), a polynomial hash over GF(2^128).
//!
//! Each operation takes an [`Isa`], which only detection can make, so that it is always sound to
//! run. The algorithms stand once, in `generic`, over two small traits; `scalar` and `x86_64` only
//! say what a vector is. Matrices and lengths are public. Streams, `r` and everything computed
//! from them are secret: no branch and no address depends on them, and there is no table in memory
//! that they could index.
//!
//! ```
//! use warifu_kernels::{Isa, Matrix, dot};
//!
//! let row = Matrix::new(1, 2, vec![2, 3]).expect("one row of two");
//! let mut target = [0u8; 3];
//! dot(Isa::best(), &row, &mut [&mut target], &[&[1, 2, 3], &[0x80, 0, 0]]);
//! assert_eq!(target, [0x99, 4, 6]);
//! ```

#![allow(
    unsafe_code,
    reason = "loads and stores of vectors, and calls into functions compiled for one ISA, have no \
              safe form; every other crate on the data path forbids unsafe code"
)]

mod dot;
mod generic;
pub mod gf128;
pub mod gf256;
mod isa;
mod matrix;
mod polyhash;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86_64;
mod xor;

pub use dot::{Write, dot, dot_into};
pub use isa::{Isa, IsaError};
pub use matrix::Matrix;
pub use polyhash::PolyHash;
pub use xor::xor;
