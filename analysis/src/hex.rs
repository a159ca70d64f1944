//! Addresses as JSON has them: hex strings, because a number of 64 bits does not survive most
//! readers of JSON.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::fmt;
use vmcore::addr::VirtAddr;

/// A 64-bit value that is written as `"0xffff8ae78124cc80"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hex(pub u64);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl From<VirtAddr> for Hex {
    fn from(addr: VirtAddr) -> Self {
        Self(addr.0)
    }
}

impl From<Hex> for VirtAddr {
    fn from(hex: Hex) -> Self {
        Self(hex.0)
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.strip_prefix("0x")
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .map(Self)
            .ok_or_else(|| D::Error::custom(format!("{text} is no hex number")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_json() {
        let text = serde_json::to_string(&Hex(0xffff_8ae7_8124_cc80)).unwrap();
        assert_eq!(text, "\"0xffff8ae78124cc80\"");
        assert_eq!(
            serde_json::from_str::<Hex>(&text).unwrap(),
            Hex(0xffff_8ae7_8124_cc80)
        );
        assert!(serde_json::from_str::<Hex>("\"12\"").is_err());
    }
}
