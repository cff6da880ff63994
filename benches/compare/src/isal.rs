//! ISA-L's erasure coder as a splitter: the same number of rows and columns, its own field.

use erasure_isa_l_sys::{
    ec_encode_data, ec_encode_data_base, ec_init_tables, ec_init_tables_base, gf_mul,
};
use std::ffi::c_int;

/// The tables of a matrix.
pub(crate) struct Encoder {
    rows: usize,
    columns: usize,
    tables: Vec<u8>,
    /// Those that its plain C reads: the others depend on the instruction set.
    plain_tables: Vec<u8>,
}

impl Encoder {
    /// Rows 1, x, x^2, ... for x from 1: all shares of a secret in the first source.
    pub(crate) fn new(rows: usize, columns: usize) -> Self {
        let mut matrix = Vec::new();
        for x in (1..=u8::MAX).take(rows) {
            let mut power = 1;
            for _ in 0..columns {
                matrix.push(power);
                // SAFETY: arithmetic on two bytes.
                power = unsafe { gf_mul(power, x) };
            }
        }
        let mut tables = vec![0; 32 * rows * columns];
        // SAFETY: the matrix and the tables are as long as the shape asks for.
        unsafe { ec_init_tables(int(columns), int(rows), matrix.as_mut_ptr(), tables.as_mut_ptr()) }
        let mut plain_tables = tables.clone();
        let (matrix, plain) = (matrix.as_mut_ptr(), plain_tables.as_mut_ptr());
        // SAFETY: as above.
        unsafe { ec_init_tables_base(int(columns), int(rows), matrix, plain) }
        Self { rows, columns, tables, plain_tables }
    }

    /// Overwrites the targets.
    pub(crate) fn encode(&self, targets: &mut [&mut [u8]], sources: &[&[u8]]) {
        self.call(targets, sources, &self.tables, ec_encode_data);
    }

    /// Compares what it makes with what its own plain C makes, on the first bytes.
    pub(crate) fn check(&self, targets: &mut [&mut [u8]], sources: &[&[u8]]) {
        let len = sources[0].len().min(1 << 16);
        self.encode(targets, sources);
        let heads: Vec<&[u8]> = sources.iter().map(|source| &source[..len]).collect();
        let mut expected = vec![vec![0; len]; self.rows];
        let mut to: Vec<&mut [u8]> = expected.iter_mut().map(Vec::as_mut_slice).collect();
        self.call(&mut to, &heads, &self.plain_tables, ec_encode_data_base);
        let same = expected.iter().zip(targets).all(|(one, other)| one[..] == other[..len]);
        assert!(same, "ISA-L disagrees with itself");
    }

    fn call(
        &self,
        targets: &mut [&mut [u8]],
        sources: &[&[u8]],
        tables: &[u8],
        with: unsafe extern "C" fn(c_int, c_int, c_int, *mut u8, *mut *mut u8, *mut *mut u8),
    ) {
        assert_eq!((targets.len(), sources.len()), (self.rows, self.columns), "the shape");
        let len = sources[0].len();
        assert!(targets.iter().all(|target| target.len() == len), "streams of one length");
        assert!(sources.iter().all(|source| source.len() == len), "streams of one length");
        let mut from: Vec<_> = sources.iter().map(|source| source.as_ptr().cast_mut()).collect();
        let mut to: Vec<_> = targets.iter_mut().map(|target| target.as_mut_ptr()).collect();
        let tables = tables.as_ptr().cast_mut();
        let (columns, rows) = (int(self.columns), int(self.rows));
        // SAFETY: all streams have `len` bytes, and it writes to targets alone.
        unsafe { with(int(len), columns, rows, tables, from.as_mut_ptr(), to.as_mut_ptr()) }
    }
}

fn int(count: usize) -> c_int {
    c_int::try_from(count).expect("less than 2 GiB")
}
