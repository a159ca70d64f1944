//! Flattened streams, in place and out of a pipe.

use super::*;
use crate::dump::source::FileSource;
use proptest::prelude::*;
use std::io::Write;

fn stream(records: &[(u64, Vec<u8>)], end: bool) -> Vec<u8> {
    let mut out = b"makedumpfile\0\0\0\0".to_vec();
    out.extend_from_slice(&1_i64.to_be_bytes());
    out.extend_from_slice(&1_i64.to_be_bytes());
    out.resize(4096, 0);
    for (offset, data) in records {
        out.extend_from_slice(&offset.to_be_bytes());
        out.extend_from_slice(&(data.len() as u64).to_be_bytes());
        out.extend_from_slice(data);
    }
    if end {
        out.extend_from_slice(&[0xff; 16]);
    }
    out
}

fn open(bytes: &[u8]) -> FlattenedSource {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    FlattenedSource::open(Arc::new(FileSource::new(file, bytes.len() as u64))).unwrap()
}

proptest! {
    #[test]
    fn a_file_in_place_and_a_pipe_give_what_plain_writes_would(
        records in prop::collection::vec((0..300_u64, 0..80_usize, any::<u8>()), 0..14)
    ) {
        let records: Vec<_> = records.into_iter().map(|(at, n, b)| (at, vec![b; n])).collect();
        let mut want = Vec::new();
        for (at, data) in records.iter().filter(|(_, data)| !data.is_empty()) {
            let at = *at as usize;
            want.resize(want.len().max(at + data.len()), 0);
            want[at..at + data.len()].copy_from_slice(data);
        }
        let bytes = stream(&records, true);
        let source = open(&bytes);
        prop_assert_eq!(source.len(), want.len() as u64);
        let mut got = vec![9; want.len()];
        source.read_at(0, &mut got).unwrap();
        prop_assert_eq!(&got, &want);
        for at in (0..want.len()).step_by(37) {
            let n = (want.len() - at).min(50);
            source.read_at(at as u64, &mut got[..n]).unwrap();
            prop_assert_eq!(&got[..n], &want[at..at + n]);
        }
        prop_assert!(source.facts().cut_off.is_none());
        let mut piped = Vec::new();
        assemble(&mut bytes.as_slice(), &mut |at, part| {
            let at = at as usize;
            piped.resize(piped.len().max(at + part.len()), 0);
            piped[at..at + part.len()].copy_from_slice(part);
            Ok(())
        }).unwrap();
        prop_assert_eq!(&piped, &want);
    }
}

#[test]
fn a_pipe_becomes_a_file() {
    let records = [(4, b"late".to_vec()), (0, b"soon".to_vec())];
    for (sent, want) in [
        (stream(&records, true), b"soonlate".to_vec()),
        (b"\x7fELF, short".to_vec(), b"\x7fELF, short".to_vec()),
        (vec![7; 10_000], vec![7; 10_000]),
    ] {
        let file = tempfile::NamedTempFile::new().unwrap();
        receive(sent.as_slice(), file.as_file()).unwrap();
        assert_eq!(std::fs::read(file.path()).unwrap(), want);
    }
}

#[test]
fn a_stream_cut_off_says_so() {
    let records = [(0, vec![1; 10]), (10, vec![2; 10])];
    let whole = stream(&records, false);
    assert!(open(&whole).facts().cut_off.unwrap().contains("cut off"));
    let part = open(&whole[..whole.len() - 3]);
    assert_eq!(part.len(), 17);
    assert!(part.facts().cut_off.is_some());
    let mut sink = |_: u64, _: &[u8]| Ok(());
    let error = assemble(&mut whole.as_slice(), &mut sink).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    let far = stream(&[(0, vec![1; 10]), (1 << 60, vec![2; 10])], true);
    assert_eq!(open(&far).len(), 10);
    assert!(open(&far).facts().cut_off.unwrap().contains("far past"));
    let mut wrong = whole;
    wrong[4096] = 0x80;
    assert!(open(&wrong).facts().cut_off.unwrap().contains("damaged"));
}
