//! The order of the bytes in a word: of a dump's headers and of the memory in it.
//!
//! A dump says which it is ([`crate::dump::DumpInfo`]); whoever reads a word asks its order to put the
//! bytes together. What this program writes around the pages is little-endian whatever the dump is.

/// Which byte of a word comes first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Order {
    /// The lowest: x86_64, aarch64, riscv64, ppc64le.
    #[default]
    Little,
    /// The highest: s390x.
    Big,
}

/// A word of `N` bytes.
macro_rules! word {
    ($name:ident, $at:ident, $of:ident, $word:ty, $bytes:literal, $what:literal) => {
        #[doc = concat!("The ", $what, " of these bytes.")]
        #[must_use]
        pub fn $name(self, bytes: [u8; $bytes]) -> $word {
            match self {
                Self::Little => <$word>::from_le_bytes(bytes),
                Self::Big => <$word>::from_be_bytes(bytes),
            }
        }

        #[doc = concat!("The ", $what, " at `at`, if all of it is there.")]
        #[must_use]
        pub(crate) fn $at(self, buf: &[u8], at: usize) -> Option<$word> {
            buf.get(at..)?.first_chunk().map(|bytes| self.$name(*bytes))
        }

        #[doc = concat!("The bytes of a ", $what, ".")]
        #[must_use]
        pub fn $of(self, word: $word) -> [u8; $bytes] {
            match self {
                Self::Little => word.to_le_bytes(),
                Self::Big => word.to_be_bytes(),
            }
        }
    };
}

impl Order {
    word!(u16, u16_at, of_u16, u16, 2, "u16");
    word!(u32, u32_at, of_u32, u32, 4, "u32");
    word!(u64, u64_at, of_u64, u64, 8, "u64");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_put_together_in_either_order() {
        let buf = [1, 2, 3, 4, 5, 6, 7, 8, 9];
        assert_eq!(Order::Little.u16_at(&buf, 1), Some(0x0302));
        assert_eq!(Order::Big.u16_at(&buf, 1), Some(0x0203));
        assert_eq!(Order::Big.u32_at(&buf, 5), Some(0x0607_0809));
        assert_eq!(Order::Big.u32_at(&buf, 6), None);
        assert_eq!(Order::Big.u64_at(&buf, 0), Some(0x0102_0304_0506_0708));
        assert_eq!(Order::Little.u64_at(&buf, usize::MAX), None);
        assert_eq!(Order::Big.of_u16(0x0102), [1, 2]);
        assert_eq!(Order::Little.of_u32(0x0102), [2, 1, 0, 0]);
    }
}
