//! All 65,536 products, alone and through `dot` on every instruction set of this machine.

use warifu_kernels::{Isa, Matrix, dot, gf256};
use warifu_vectors::GF256_PRODUCTS;

#[test]
fn one_by_one() {
    for a in 0..=255u8 {
        for b in 0..=255u8 {
            let expected = GF256_PRODUCTS[usize::from(a) * 256 + usize::from(b)];
            assert_eq!(gf256::mul(a, b), expected, "{a} * {b}");
        }
    }
}

#[test]
fn through_dot() {
    for name in ["scalar", "avx2", "avx512bw", "avx512"] {
        let Ok(isa) = Isa::named(name) else {
            println!("skipped: this machine has no {name}");
            continue;
        };
        every_product_on(isa);
    }
}

/// One row of the table for each coefficient, and the whole table as 256 targets at once.
#[cfg(test)]
fn every_product_on(isa: Isa) {
    let every: Vec<u8> = (0..=255).collect();
    for a in 0..=255u8 {
        let matrix = Matrix::new(1, 1, vec![a]).expect("one by one");
        let mut row = [0; 256];
        dot(isa, &matrix, &mut [&mut row], &[&every]);
        assert_eq!(row[..], GF256_PRODUCTS[usize::from(a) * 256..][..256], "{isa:?}: row {a}");
    }
    let column = Matrix::new(256, 1, every.clone()).expect("256 by one");
    let mut table = vec![0; 65_536];
    let mut rows: Vec<_> = table.chunks_exact_mut(256).collect();
    dot(isa, &column, &mut rows, &[&every]);
    assert!(table == GF256_PRODUCTS, "{isa:?}: the whole table");
}
