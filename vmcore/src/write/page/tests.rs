//! Pages of a kdump file, through every codec.

use super::*;
use crate::addr::{Pfn, PfnRange};

/// A page of words, of each the low `random` bytes from a generator.
fn words(seed: u64, random: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mask = (1_u64 << (8 * random)) - 1;
    (0..512)
        .flat_map(|_| (0xffff_8881_2345_6789 ^ (next() & mask)).to_le_bytes())
        .collect()
}

/// Letters, as unevenly as in a text, and few matches.
fn text(seed: u64) -> Vec<u8> {
    let noise = words(seed, 7);
    let letters =
        b"eeeeeeeeeeeetttttttttaaaaaaaaooooooooiiiiiiinnnnnnnsssssshhhhhhrrrrrrddddlllccuum";
    noise
        .iter()
        .map(|byte| letters[usize::from(*byte) % letters.len()])
        .collect()
}

fn batch(pages: &[Vec<u8>]) -> Batch {
    Batch {
        runs: vec![PfnRange::new(Pfn(0), Pfn(pages.len() as u64))],
        data: pages.concat(),
        missing: Vec::new(),
    }
}

fn encoded(encoder: &mut PageEncoder, batch: &Batch) -> Encoded {
    let mut out = Encoded::default();
    encoder.encode(batch, &mut out).unwrap();
    let mut rest = out.bytes.as_slice();
    for (piece, page) in out.pieces.iter().zip(batch.data.chunks(4096)) {
        let (now, later) = rest.split_at(piece.len as usize);
        rest = later;
        match piece.flags {
            0 if now.is_empty() => assert!(page == [0; 4096]),
            0 => assert!(now == page),
            _ => assert!(zstd::bulk::decompress(now, 4096).unwrap() == page),
        }
    }
    assert!(rest.is_empty());
    out
}

#[test]
fn a_code_is_made_where_it_pays() {
    let pages: Vec<Vec<u8>> = (1..30).map(text).collect();
    let texts = encoded(
        &mut PageEncoder::new(Method::Zstd, None, PAGE_BYTES).unwrap(),
        &batch(&pages),
    );
    let mut plain = Compressor::new(1).unwrap();
    let best: usize = pages.iter().map(|p| plain.compress(p).unwrap().len()).sum();
    assert!(
        texts.bytes.len() <= best + best / 50,
        "{} {best}",
        texts.bytes.len()
    );
    assert!(texts.bytes.len() < pages.len() * 4096 * 2 / 3);

    // Halves of the words are noise: a code would save nothing.
    let pages: Vec<Vec<u8>> = (1..30).map(|seed| words(seed, 4)).collect();
    let noise = encoded(
        &mut PageEncoder::new(Method::Zstd, None, PAGE_BYTES).unwrap(),
        &batch(&pages),
    );
    let mut rest = noise.bytes.as_slice();
    for piece in &noise.pieces {
        let (frame, later) = rest.split_at(piece.len as usize);
        rest = later;
        assert!(matches!(literals(frame), Some(Literals::Bare(bytes)) if bytes.len() >= 2000));
    }
    let best: usize = pages.iter().map(|p| plain.compress(p).unwrap().len()).sum();
    assert!(
        noise.bytes.len() <= best + best / 50,
        "{} {best}",
        noise.bytes.len()
    );
}

#[test]
fn other_batches_do_not_show() {
    let noise: Vec<Vec<u8>> = (1..9).map(|seed| words(seed, 4)).collect();
    let mixed: Vec<Vec<u8>> = (1..9)
        .flat_map(|seed| [words(seed, 7), text(seed), words(seed, 3), vec![0; 4096]])
        .collect();
    let texts: Vec<Vec<u8>> = (1..9).map(text).collect();
    let batches = [batch(&noise), batch(&mixed), batch(&texts)];
    let mut used = PageEncoder::new(Method::Zstd, None, PAGE_BYTES).unwrap();
    for at in [0, 1, 2, 0, 2, 1, 1, 0] {
        let mut fresh = PageEncoder::new(Method::Zstd, None, PAGE_BYTES).unwrap();
        let want = encoded(&mut fresh, &batches[at]);
        assert!(encoded(&mut used, &batches[at]).bytes == want.bytes, "{at}");
    }
}

#[test]
fn literals_are_found_in_frames() {
    let mut coded = Compressor::new(1).unwrap();
    let frame = coded.compress(&text(3)).unwrap();
    let Some(Literals::Coded { plain, coded }) = literals(&frame) else {
        panic!("{:?}", literals(&frame));
    };
    assert!(
        plain <= 4096 && coded < plain && coded < frame.len(),
        "{plain} {coded}"
    );
    assert_eq!(literals(&frame[..9]), None);
    assert_eq!(literals(&[]), None);
}

#[test]
fn a_saving_is_estimated() {
    let bits = Bits::new();
    let eighth: Vec<u8> = (0..4096_u32).map(|n| (n % 2) as u8).collect();
    assert_eq!(bits.saved(&eighth), 4096 - 512 - 1);
    let all: Vec<u8> = (0..4096_u32).map(|n| (n % 256) as u8).collect();
    assert_eq!(bits.saved(&all), 0);
    assert_eq!(bits.saved(&[]), 0);
    assert_eq!([log2(1), log2(2), log2(4096)], [0, 256, 12 * 256]);
    // 256 log2 3 = 405.75
    assert_eq!(log2(3), 405);
}
