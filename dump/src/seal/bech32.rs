//! Bech32 (BIP 173), as age writes its keys: a prefix, `1`, and 32 bytes in groups of five bits, with a
//! checksum. age sets no limit on the length; ours is that of a key.

/// The digits, by value.
const DIGITS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// Digits of the checksum.
const CHECKSUM: usize = 6;

/// The 32 bytes of a key with this prefix, which is in lower case. The text may be in upper case.
///
/// # Errors
/// What is wrong with the text.
pub(super) fn decode(prefix: &str, text: &str) -> Result<[u8; 32], &'static str> {
    let lower = text.to_ascii_lowercase();
    if lower != text && text.to_ascii_uppercase() != text {
        return Err("upper and lower case are mixed");
    }
    let digits = lower
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('1'));
    let digits = digits.ok_or("it begins otherwise")?;
    let mut values = Vec::with_capacity(digits.len().min(128));
    for digit in digits.bytes().take(128) {
        let value = DIGITS.iter().position(|known| *known == digit);
        let value = value.and_then(|value| u8::try_from(value).ok());
        values.push(value.ok_or("a character of it is not one of Bech32's")?);
    }
    if polymod(prefix, &values) != 1 {
        return Err("its checksum is wrong");
    }
    let data = values
        .len()
        .checked_sub(CHECKSUM)
        .and_then(|n| values.get(..n));
    let bytes = regroup(data.unwrap_or_default()).ok_or("it does not end as a key does")?;
    <[u8; 32]>::try_from(bytes).map_err(|_| "it is not as long as a key")
}

/// The text of a key, in lower case.
pub(super) fn encode(prefix: &str, key: &[u8; 32]) -> String {
    let mut values = Vec::with_capacity(58);
    let (mut bits, mut held) = (0_u32, 0);
    for byte in key {
        bits = (bits << 8) | u32::from(*byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            values.push(low5(bits >> held));
        }
        bits &= (1 << held) - 1;
    }
    if held > 0 {
        values.push(low5(bits << (5 - held)));
    }
    let zeros = [values.as_slice(), &[0; CHECKSUM]].concat();
    let sum = polymod(prefix, &zeros) ^ 1;
    values.extend((0..6_u32).rev().map(|at| low5(sum >> (at * 5))));
    let digits = values
        .iter()
        .filter_map(|value| DIGITS.get(usize::from(*value)));
    let digits: String = digits.map(|digit| char::from(*digit)).collect();
    format!("{prefix}1{digits}")
}

fn low5(bits: u32) -> u8 {
    (bits & 31).to_le_bytes()[0]
}

/// Groups of five bits as bytes; `None` when the bits left over are not the padding of a whole byte.
fn regroup(values: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(values.len());
    let (mut bits, mut held) = (0_u32, 0);
    for value in values {
        bits = (bits << 5) | u32::from(*value);
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held).to_le_bytes()[0]);
        }
        bits &= (1 << held) - 1;
    }
    (held < 5 && bits == 0).then_some(bytes)
}

/// The checksum's remainder over the prefix and the values; 1 for a right text.
fn polymod(prefix: &str, values: &[u8]) -> u32 {
    const GENERATOR: [u32; 5] = [
        0x3b6a_57b2,
        0x2650_8e6d,
        0x1ea1_19fa,
        0x3d42_33dd,
        0x2a14_62b3,
    ];
    let high = prefix.bytes().map(|c| c >> 5);
    let low = prefix.bytes().map(|c| c & 31);
    let all = high.chain([0]).chain(low).chain(values.iter().copied());
    all.fold(1, |sum, value| {
        let top = sum >> 25;
        let sum = ((sum & 0x1ff_ffff) << 5) ^ u32::from(value);
        let bits = GENERATOR.iter().enumerate();
        bits.filter(|(at, _)| (top >> at) & 1 == 1)
            .fold(sum, |sum, (_, generator)| sum ^ generator)
    })
}
