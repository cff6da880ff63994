//! Names, pinning and refusals; and the public matrix.

use warifu_kernels::{Isa, IsaError, Matrix};

#[test]
fn scalar_is_first_and_best_is_last() {
    let available = Isa::available();
    assert_eq!(available[0].name(), "scalar");
    assert_eq!(available.last(), Some(&Isa::best()));
    for isa in &available {
        assert_eq!(Isa::named(isa.name()), Ok(*isa));
        assert_eq!(Isa::pinned(Some(isa.name())), Ok(*isa));
    }
    assert_eq!(Isa::pinned(None), Ok(Isa::best()));
}

#[test]
fn what_cannot_be_had_is_refused() {
    for name in ["avx2", "avx512bw", "avx512"] {
        let has = Isa::available().iter().any(|isa| isa.name() == name);
        let absent = Err(IsaError::Absent { name: name.to_owned() });
        assert_eq!(Isa::named(name), Isa::pinned(Some(name)));
        assert!(has || Isa::named(name) == absent);
    }
    for name in ["", "AVX2", "avx", "neon", "scalar "] {
        assert_eq!(Isa::pinned(Some(name)), Err(IsaError::Unknown { name: name.to_owned() }));
    }
}

#[test]
fn a_matrix_has_a_shape() {
    let matrix = Matrix::new(2, 3, vec![1, 2, 3, 4, 5, 6]).expect("two by three");
    assert_eq!((matrix.rows(), matrix.columns()), (2, 3));
    assert_eq!(matrix.row(1), [4, 5, 6]);
    assert_eq!(matrix.coefficient(0, 2), 3);
    assert!(Matrix::new(2, 3, vec![0; 5]).is_none());
    assert!(Matrix::new(2, 3, vec![0; 7]).is_none());
    assert!(Matrix::new(0, 3, vec![]).is_none());
    assert!(Matrix::new(3, 0, vec![]).is_none());
    assert!(Matrix::new(usize::MAX, 2, vec![0; 2]).is_none());
}

#[test]
#[should_panic(expected = "row 2 of a matrix of 2")]
fn there_is_no_row_beyond_the_last() {
    let _ = Matrix::new(2, 1, vec![1, 2]).expect("two by one").row(2);
}
