use super::*;
use std::process::Command;

/// A key file of ssh-keygen, and its public half.
fn made(kind: &[&str], passphrase: &str) -> (Vec<u8>, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    let status = Command::new("ssh-keygen")
        .args(["-q", "-N", passphrase, "-C", "of a test", "-f"])
        .arg(&path)
        .args(kind)
        .status();
    assert!(status.unwrap().success());
    let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
    (std::fs::read(&path).unwrap(), public)
}

#[test]
fn keys_of_ssh_keygen_have_the_same_public_half() {
    for kind in [
        &["-t", "ed25519"][..],
        &["-t", "rsa", "-b", "3072"],
        &["-t", "ecdsa", "-b", "256"],
    ] {
        // ECDSA's secret number is shorter once in 256 keys.
        let (private, public) = made(kind, "");
        let key = PrivateKey::parse(&private).unwrap();
        let public: HostKey = public.parse().unwrap();
        assert_eq!(key.public().unwrap(), public, "{kind:?}");
        assert_eq!(format!("{key:?}"), "PrivateKey");
    }
}

#[test]
fn keys_that_cannot_be_used_say_why() {
    let why = |text: &[u8]| PrivateKey::parse(text).unwrap_err().to_string();
    let (sealed, public) = made(&["-t", "ed25519"], "secret");
    assert!(why(&sealed).contains("passphrase"));
    assert!(why(public.as_bytes()).contains("OpenSSH's format"));
    let (old, _) = made(&["-t", "rsa", "-m", "PEM"], "");
    assert!(why(&old).contains("ssh-keygen -p"));
    let (wide, _) = made(&["-t", "ecdsa", "-b", "384"], "");
    assert!(why(&wide).contains("of this kind"));
}

#[test]
fn a_key_cut_anywhere_is_an_error() {
    let (private, _) = made(&["-t", "ed25519"], "");
    let text = String::from_utf8(private).unwrap();
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let bytes = STANDARD.decode(body).unwrap();
    // The comment and the padding behind the key are not looked at.
    for cut in 0..bytes.len() - 40 {
        let text = format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode(&bytes[..cut]));
        assert!(PrivateKey::parse(text.as_bytes()).is_err(), "{cut}");
    }
}

#[test]
fn host_keys_are_read_as_they_are_written() {
    let (_, public) = made(&["-t", "ed25519"], "");
    let key: HostKey = public.parse().unwrap();
    assert_eq!(key.to_string().parse::<HostKey>().unwrap(), key);
    assert!(key.fingerprint().starts_with("SHA256:"));
    for wrong in [
        "",
        "ssh-ed25519",
        "ssh-ed25519 !",
        "ssh-rsa AAAAC3NzaC1lZDI1NTE5",
    ] {
        assert!(wrong.parse::<HostKey>().is_err(), "{wrong}");
    }
    let other = public.replace("ssh-ed25519", "ssh-rsa");
    assert!(other.parse::<HostKey>().is_err());
}
