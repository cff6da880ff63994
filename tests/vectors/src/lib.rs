//! Numbers made by other tools, which the tests here hold our arithmetic against.

#![forbid(unsafe_code)]

/// All products of GF(2^8) modulo 0x11B, made by `make_products.py` with a library that shares
/// nothing with this workspace: byte `256 a + b` is the product of a and b.
pub const GF256_PRODUCTS: &[u8; 65_536] = include_bytes!("../gf256-products.bin");
