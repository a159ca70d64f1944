use super::header::HEADER_MAX;
use super::*;
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use vmcore::dump::source::{ByteSource, BytesSource, SourceError};
use vmcore::write::Output;

/// A vector of C2SP's: what it says of itself, and the sealed file.
struct Vector {
    head: String,
    file: Vec<u8>,
}

impl Vector {
    fn read(path: &std::path::Path) -> Self {
        let bytes = fs::read(path).unwrap();
        let end = bytes.windows(2).position(|two| two == b"\n\n").unwrap();
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut file = bytes[end + 2..].to_vec();
        if head.contains("\ncompressed: zlib") {
            let mut plain = Vec::new();
            let mut packed = flate2::read::ZlibDecoder::new(file.as_slice());
            packed.read_to_end(&mut plain).unwrap();
            file = plain;
        }
        Self { head, file }
    }

    fn values(&self, key: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .filter(|(found, _)| *found == key)
            .map(|(_, value)| value)
            .collect()
    }
}

fn content(source: &dyn ByteSource) -> Result<Vec<u8>, SourceError> {
    let mut bytes = vec![0; usize::try_from(source.len()).unwrap()];
    source.read_at(0, &mut bytes)?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_published_vectors_answer_as_they_say() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/age");
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let vector = Vector::read(&path);
        let expected = vector.values("expect")[0];
        *seen.entry(expected.to_owned()).or_default() += 1;
        let identities = Identities::parse(&vector.values("identity").join("\n"));
        let file = Arc::new(BytesSource(vector.file.clone()));
        let opened = identities.and_then(|identities| {
            let head = vector
                .file
                .get(..HEADER_MAX.min(vector.file.len()))
                .unwrap();
            header::read(head, &identities)
        });
        let opened = opened.and_then(|(cipher, at)| SealedSource::new(file, cipher, at));
        match expected {
            "success" => {
                let source = opened.unwrap_or_else(|why| panic!("{name}: {why}"));
                assert_eq!(source.facts().cut_off, None, "{name}");
                let hash = hex(&Sha256::digest(content(&source).unwrap()));
                assert_eq!(hash, vector.values("payload")[0], "{name}");
            }
            "payload failure" => {
                let whole = opened.is_ok_and(|source| {
                    source.facts().cut_off.is_none() && content(&source).is_ok()
                });
                assert!(!whole, "{name} is taken for whole");
            }
            "no match" => {
                assert!(matches!(opened, Err(SealError::NoMatch { .. })), "{name}");
            }
            "HMAC failure" | "header failure" => {
                assert!(opened.is_err(), "{name} is opened");
            }
            other => panic!("{name}: {other}"),
        }
    }
    assert!(
        seen["success"] >= 10 && seen["payload failure"] >= 15,
        "{seen:?}"
    );
    assert!(
        seen["header failure"] >= 15 && seen["HMAC failure"] >= 1,
        "{seen:?}"
    );
}

#[test]
fn keys_are_read_as_age_keygen_writes_them() {
    // The identity of C2SP's vectors, and the recipient that age-keygen -y prints for it.
    let secret = "AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0";
    let public = "age1xmwwc06ly3ee5rytxm9mflaz2u56jjj36s0mypdrwsvlul66mv4q47ryef";
    let text = format!("# created: 2026-11-21\n# public key: {public}\n\n{secret}\n");
    let identities = Identities::parse(&text).unwrap();
    let recipient = identities.all()[0].recipient();
    assert_eq!(recipient.to_string(), public);
    assert_eq!(public.parse::<Recipient>().unwrap(), recipient);
    assert_eq!(identities.all()[0].to_secret_text(), secret);
    assert!(!format!("{identities:?}").contains("SECRET"));
    let wrong = |text: &str| text.parse::<Recipient>().unwrap_err().to_string();
    assert!(wrong(&public.replace('q', "p")).contains("checksum"));
    assert!(wrong("age1").contains("checksum"));
    assert!(wrong(secret).contains("begins otherwise"));
    assert!(wrong("ssh-ed25519 AAAA").contains("SSH keys"));
    assert!(wrong("age1Zvkyg").contains("mixed"));
    let unreadable = |text: &str| Identities::parse(text).unwrap_err().to_string();
    assert!(unreadable("# nothing\n").contains("no identity"));
    let said = unreadable(&format!("\n{}\n", secret.replace("LM0", "LM1")));
    assert!(said.contains("line 2") && !said.contains("EGTZ"), "{said}");
}

fn sealed(recipients: &[Recipient], bytes: &[u8]) -> Vec<u8> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut out = SealedFile::new(file.reopen().unwrap(), recipients).unwrap();
    out.write_all(bytes).unwrap();
    NewFile::Sealed(Box::new(out)).close().unwrap();
    let mut read = Vec::new();
    file.read_to_end(&mut read).unwrap();
    read
}

fn opened(file: Vec<u8>, identity: &Identity) -> Result<Arc<dyn ByteSource>, SealError> {
    let (source, was_sealed) = open(
        Arc::new(BytesSource(file)),
        &Identities::of(identity.clone()),
    )?;
    assert!(was_sealed);
    Ok(source)
}

#[test]
fn each_recipient_opens_it_and_nobody_else() {
    let [one, two, other] = std::array::from_fn(|_| Identity::generate().unwrap());
    let file = sealed(&[one.recipient(), two.recipient()], b"last words");
    for identity in [&one, &two] {
        let source = opened(file.clone(), identity).unwrap();
        assert_eq!(content(&*source).unwrap(), b"last words");
    }
    assert!(matches!(
        opened(file.clone(), &other),
        Err(SealError::NoMatch { identities: 1 })
    ));
    let nobody = open(Arc::new(BytesSource(file.clone())), &Identities::default());
    assert!(matches!(nobody, Err(SealError::Sealed)));
    // No two files share a key.
    assert_ne!(
        file,
        sealed(&[one.recipient(), two.recipient()], b"last words")
    );
    let (plain, was_sealed) = open(
        Arc::new(BytesSource(b"not sealed".to_vec())),
        &Identities::default(),
    )
    .unwrap();
    assert!(!was_sealed && plain.len() == 10);
}

#[test]
fn a_file_cut_anywhere_is_read_as_far_as_its_whole_pieces() {
    let identity = Identity::generate().unwrap();
    let bytes: Vec<u8> = (0..200_000_u32)
        .map(|n| n.to_le_bytes()[0] ^ 0x5a)
        .collect();
    let file = sealed(&[identity.recipient()], &bytes);
    let head = file.len() - (bytes.len() + 4 * 16);
    let cuts = (0..file.len()).step_by(4999);
    let borders = (1..4).flat_map(|n| {
        [
            head + n * 65_552 - 1,
            head + n * 65_552,
            head + n * 65_552 + 1,
        ]
    });
    for cut in cuts.chain(borders) {
        let pieces = cut.saturating_sub(head) / 65_552;
        match opened_if_sealed(&file[..cut], &identity) {
            Ok(source) => {
                assert_eq!(source.len(), pieces as u64 * 65_536, "cut at {cut}");
                assert!(source.facts().cut_off.is_some(), "cut at {cut}");
                assert!(content(&*source).unwrap() == bytes[..pieces * 65_536]);
            }
            Err(_) => assert_eq!(pieces, 0, "cut at {cut}"),
        }
    }
    let mut damaged = file.clone();
    damaged[head + 65_552 + 7] ^= 1;
    let source = opened(damaged, &identity).unwrap();
    let mut buf = [0; 10];
    source.read_at(100, &mut buf).unwrap();
    let error = source.read_at(65_530, &mut buf).unwrap_err();
    assert!(matches!(error, SourceError::Corrupt { .. }));
}

fn opened_if_sealed(file: &[u8], identity: &Identity) -> Result<Arc<dyn ByteSource>, SealError> {
    if file.len() < MAGIC.len() {
        return Err(SealError::Payload);
    }
    opened(file.to_vec(), identity)
}

#[test]
fn a_core_takes_only_what_comes_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("core.age");
    let file = fs::File::create_new(&path).unwrap();
    let identity = Identity::generate().unwrap();
    let inner = crate::pipeline::FileOutput::new(file, 4096).with_sums();
    let mut out = crate::pipeline::SealedOutput::new(inner, &[identity.recipient()]).unwrap();
    let bytes: Vec<u8> = (0..300_000_u32).map(|n| (n / 3).to_le_bytes()[0]).collect();
    out.write_at(0, &bytes[..1000]).unwrap();
    let error = out.write_at(0, b"again").unwrap_err();
    assert!(error.to_string().contains("in order"), "{error}");
    out.write_at(1000, &bytes[1000..]).unwrap();
    let sums = out.finish().unwrap().sums.unwrap();
    sums.check(&mut fs::File::open(&path).unwrap()).unwrap();
    let source = opened(fs::read(&path).unwrap(), &identity).unwrap();
    assert!(content(&*source).unwrap() == bytes);
}

#[test]
fn nothing_is_encrypted_after_a_write_that_failed() {
    let identity = Identity::generate().unwrap();
    let (_, cipher) = header::write(&[identity.recipient()]).unwrap();
    let mut encryptor = chunks::Encryptor::new(cipher);
    let full = vec![7; 70_000];
    let failed = encryptor.push(&full, &mut |_| Err(io::Error::other("no space")));
    assert_eq!(failed.unwrap_err().to_string(), "no space");
    let again = encryptor.push(&full, &mut |_| Ok(()));
    assert!(again.unwrap_err().to_string().contains("earlier piece"));
}

#[test]
fn scratch_files_show_nothing_and_are_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let file = crate::files::create_file(dir.path(), "t").unwrap();
    let mut scratch = Scratch::new(file.try_clone().unwrap()).unwrap();
    let bytes = vec![0x41; 100_000];
    for (at, part) in bytes.chunks(33_333).enumerate() {
        vmcore::write::SpoolFile::append_at(&mut scratch, at as u64 * 33_333, part).unwrap();
    }
    let stored = fs::read(dir.path().join("t")).unwrap();
    assert!(!stored.windows(8).any(|eight| eight == b"AAAAAAAA"));
    let mut read = vec![0; 50_001];
    vmcore::write::SpoolFile::read_at(&scratch, 49_999, &mut read).unwrap();
    assert!(read == bytes[49_999..]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_part_of_any_length_comes_back(
        len in prop_oneof![0..300_usize, 65_500..65_600_usize, 131_000..131_100_usize],
        steps in prop::collection::vec(1..70_000_usize, 1..6),
        seed in any::<u32>(),
    ) {
        let identity = Identity::generate().unwrap();
        let bytes: Vec<u8> = (0..len as u32).map(|n| n.wrapping_mul(seed | 1).to_be_bytes()[0]).collect();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut out = NewFile::new(file.reopen().unwrap(), &[identity.recipient()]).unwrap();
        let mut rest = bytes.as_slice();
        for step in steps.iter().cycle() {
            let (now, later) = rest.split_at(*step.min(&rest.len()));
            out.write_all(now).unwrap();
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        let again = out.read_again().unwrap();
        prop_assert!(content(&*again).unwrap() == bytes);
        let mut read = Vec::new();
        file.read_to_end(&mut read).unwrap();
        let source = opened(read, &identity).unwrap();
        prop_assert_eq!(source.facts().cut_off, None);
        let from = seed as usize % (len + 1);
        let mut part = vec![0; (seed as usize / 7) % (len - from + 1)];
        source.read_at(from as u64, &mut part).unwrap();
        prop_assert!(part == bytes[from..from + part.len()]);
    }
}
