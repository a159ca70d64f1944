//! How much processor time compression gets.

/// How much processor time the frames of a core compressed by zstd get. Measured with `zstd -b` 1.5.4 in blocks of
/// 256 KiB on a core of 129 MiB, one thread: 1643, 1484, 1078 and 944 MB/s for 112, 109, 100 and 98 % of the bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Effort {
    /// Takes the least time.
    Fastest = 1,
    /// One step from there.
    Fast,
    /// Level 1 with a table of matches that stays in the processor's nearest cache.
    Usual,
    /// Makes the fewest bytes.
    Smallest,
}

/// What zstd is told. All steps are of its strategy `fast`, the only one that the capture kernel's binary links.
/// Levels below 1 leave literals as they are, and look at fewer places.
pub(super) struct Parameters {
    /// The level.
    pub(super) level: i32,
    /// log2 of the entries of 4 bytes in the table of matches.
    pub(super) table: u32,
    /// Bytes of the shortest match.
    pub(super) shortest: u32,
}

impl Effort {
    const ALL: [Self; 4] = [Self::Fastest, Self::Fast, Self::Usual, Self::Smallest];

    /// A step from 1 (the fastest) to 4 (the smallest file).
    #[must_use]
    pub fn new(step: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|effort| *effort as u32 == step)
    }

    /// The step's number.
    #[must_use]
    pub fn step(self) -> u8 {
        self as u8
    }

    /// One step faster, if there is one.
    #[must_use]
    pub fn less(self) -> Self {
        Self::new((self as u32).saturating_sub(1)).unwrap_or(self)
    }

    /// One step smaller, if there is one.
    #[must_use]
    pub fn more(self) -> Self {
        Self::new((self as u32).saturating_add(1)).unwrap_or(self)
    }

    pub(super) fn parameters(self) -> Parameters {
        let (level, table, shortest) = match self {
            Self::Fastest => (-2, 12, 6),
            Self::Fast => (-1, 12, 6),
            Self::Usual => (1, 12, 6),
            Self::Smallest => (1, 14, 5),
        };
        Parameters {
            level,
            table,
            shortest,
        }
    }
}
