//! Tests of the `crashkernel=` parser: the forms of kernel-parameters.txt, hostile values, round
//! trips.

use super::*;

const M: u64 = 1 << 20;
const G: u64 = 1 << 30;

#[test]
fn every_form() {
    let parsed = |text: &str| Value::parse(text).unwrap();
    assert_eq!(
        parsed("192M"),
        Value::Size {
            size: 192 * M,
            offset: None
        }
    );
    assert_eq!(
        parsed("64M@16m"),
        Value::Size {
            size: 64 * M,
            offset: Some(16 * M)
        }
    );
    assert_eq!(
        parsed("0x4000000@0x1000000"),
        Value::Size {
            size: 64 * M,
            offset: Some(16 * M)
        }
    );
    assert_eq!(
        parsed("010"),
        Value::Size {
            size: 8,
            offset: None
        }
    );
    assert_eq!(parsed("512M,high"), Value::High(512 * M));
    assert_eq!(parsed("0,low"), Value::Low(0));
    assert_eq!(parsed("1G,cma"), Value::Cma(G));
    let Value::Ranges { ranges, offset } = parsed("512M-2G:64M,2G-:128M@16M") else {
        panic!()
    };
    assert_eq!(offset, Some(16 * M));
    assert_eq!(
        ranges[0],
        SizeRange {
            start: 512 * M,
            end: Some(2 * G),
            size: 64 * M
        }
    );
    assert_eq!(
        ranges[1],
        SizeRange {
            start: 2 * G,
            end: None,
            size: 128 * M
        }
    );
}

#[test]
fn the_kernel_rounds_ram_up_before_it_chooses() {
    let value = Value::parse("1G-2G:64M,2G-:128M").unwrap();
    assert_eq!(value.size_for(G - 1), Some(64 * M), "rounds up to 1 GiB");
    assert_eq!(value.size_for(G - 128 * M), Some(0));
    assert_eq!(value.size_for(2 * G - 1), Some(128 * M));
    assert_eq!(Value::Low(5).size_for(G), None);
    assert_eq!(Value::High(5).size_for(G), Some(5));
}

#[test]
fn what_the_kernel_refuses_is_refused_with_the_place() {
    for (text, at) in [
        ("", "character 1"),
        ("M", "character 1"),
        ("64Q", "character 3"),
        ("64M@", "character 5"),
        ("64M,hig", "character 4"),
        ("2G-1G:64M", "before it starts"),
        ("1G:64M", "'-' is missing"),
        ("1G-2G:", "a number is missing"),
        ("1G-2G:64M,", "a number is missing"),
        ("99999999999999999999", "too large"),
        ("17179869184G", "too large"),
        ("64M ", "left over"),
        ("0x", "a number"),
    ] {
        let said = Value::parse(text).unwrap_err().to_string();
        assert!(said.contains(at), "{text:?}: {said}");
    }
}

#[test]
fn what_is_written_is_read_back_and_garbage_never_panics() {
    let pieces = [
        "64M", "1G", "-", ":", ",", "@", ",high", ",low", ",cma", "0x", "0", "é", "K", "07", " ",
    ];
    let mut seed: u64 = 7;
    let mut accepted = 0;
    for _ in 0..4_000 {
        let mut text = String::new();
        for _ in 0..6 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            text.push_str(pieces[usize::try_from(seed >> 33).unwrap() % pieces.len()]);
        }
        for cut in 0..=text.len() {
            if let Some(part) = text.get(..cut)
                && let Ok(value) = Value::parse(part)
            {
                accepted += 1;
                assert_eq!(Value::parse(&value.to_string()).unwrap(), value, "{part:?}");
                assert!(!value.explain().is_empty());
            }
        }
    }
    assert!(accepted > 500, "only {accepted} values were valid");
}

#[test]
fn parameters_come_from_before_the_dashes() {
    let line = "a crashkernel=1M,high \"crashkernel=2M\" x=\"crashkernel=9M\" crashkernel=3M,low -- crashkernel=4M";
    assert_eq!(parameters(line), ["1M,high", "3M,low"]);
}

#[test]
fn offset_0_means_anywhere() {
    let said = Value::parse("256M@0").unwrap().explain();
    assert!(said.contains("if there is room"), "{said}");
    let said = Value::parse("2G-:256M@0").unwrap().explain();
    assert!(!said.contains("exactly"), "{said}");
}
