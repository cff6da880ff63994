//! The two ends of a pool and the two directions in which its key is used.

/// Which way a range of key is used. Each direction is a space of positions of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Direction {
    /// End A seals, end B opens. The only direction of a `random` pool.
    AToB,
    /// End B seals, end A opens.
    BToA,
}

impl Direction {
    /// The byte by which it is stored and sent.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        match self {
            Self::AToB => 0,
            Self::BToA => 1,
        }
    }

    /// The direction stored as `byte`, or `None`.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::AToB),
            1 => Some(Self::BToA),
            _ => None,
        }
    }

    /// The other direction.
    #[must_use]
    pub const fn reverse(self) -> Self {
        match self {
            Self::AToB => Self::BToA,
            Self::BToA => Self::AToB,
        }
    }
}

/// One of the two parties of a link. End A connects.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum End {
    /// The end that connects: the gateway.
    A,
    /// The end that answers: the site.
    B,
}

impl End {
    /// The direction in which this end seals.
    #[must_use]
    pub const fn sends(self) -> Direction {
        match self {
            Self::A => Direction::AToB,
            Self::B => Direction::BToA,
        }
    }

    /// The direction in which this end opens.
    #[must_use]
    pub const fn receives(self) -> Direction {
        self.sends().reverse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_round_trip_and_ends_oppose() {
        for direction in [Direction::AToB, Direction::BToA] {
            assert_eq!(Direction::from_byte(direction.to_byte()), Some(direction));
            assert_ne!(direction.reverse(), direction);
            assert_eq!(direction.reverse().reverse(), direction);
        }
        assert_eq!(Direction::from_byte(2), None);
        assert_eq!(End::A.sends(), End::B.receives());
        assert_eq!(End::B.sends(), End::A.receives());
    }
}
