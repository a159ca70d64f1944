//! Drivers of a fixture machine, and files that they may ask for.

use super::*;
use crate::closure::Picked;
use crate::resolve::fixture::{Fixture, RUNNING};

/// A module with this text as its information: an ELF file with nothing else in it.
fn module(info: &str) -> Vec<u8> {
    const NAMES: &[u8] = b"\0.shstrtab\0.modinfo\0";
    let names_at = 64;
    let info_at = names_at + NAMES.len();
    let table_at = (info_at + info.len()).next_multiple_of(8);
    let mut file = vec![0; table_at];
    file[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
    file[16..20].copy_from_slice(&[1, 0, 62, 0]);
    file[20] = 1;
    file[40..48].copy_from_slice(&(table_at as u64).to_le_bytes());
    file[52] = 64;
    file[58..64].copy_from_slice(&[64, 0, 3, 0, 1, 0]);
    file[names_at..info_at].copy_from_slice(NAMES);
    file[info_at..info_at + info.len()].copy_from_slice(info.as_bytes());
    let mut section = |name: u32, kind: u32, at: usize, size: usize| {
        let mut header = [0; 64];
        header[..4].copy_from_slice(&name.to_le_bytes());
        header[4..8].copy_from_slice(&kind.to_le_bytes());
        header[24..32].copy_from_slice(&(at as u64).to_le_bytes());
        header[32..40].copy_from_slice(&(size as u64).to_le_bytes());
        file.extend(header);
    };
    section(0, 0, 0, 0);
    section(1, 3, names_at, NAMES.len());
    section(11, 1, info_at, info.len());
    file
}

fn picked(name: &str) -> Picked {
    Picked {
        name: name.into(),
        why: vec!["it is a network card".into()],
        required: true,
        target: 0,
    }
}

fn closure(modules: &[&str]) -> Closure {
    Closure {
        modules: modules.iter().map(|name| picked(name)).collect(),
        ..Closure::default()
    }
}

#[test]
fn files_are_found_where_the_kernel_looks() {
    let fixture = Fixture::new();
    fixture.modules(&["drivers/net/card", "fs/some"]);
    let dir = format!("/lib/modules/{RUNNING}/kernel");
    let info =
        "license=GPL\0firmware=card/a.fw\0firmware=card/b.fw\0firmware=c.fw\0firmware=none.fw\0";
    fixture.file(&format!("{dir}/drivers/net/card.ko"), module(info));
    fixture.file(&format!("{dir}/fs/some.ko"), module("firmware=c.fw\0"));
    fixture.file("/lib/firmware/card/a.fw.zst", "packed");
    fixture.file("/lib/firmware/card/b.fw", "old");
    fixture.file("/lib/firmware/updates/card/b.fw", "new");
    fixture.file("/lib/firmware/real.fw", "here");
    fixture.link("/lib/firmware/c.fw", "real.fw");
    let index = fixture.index(RUNNING);
    let Firmware { files, notes } =
        of(&fixture.root(), &index, &closure(&["card", "some"])).unwrap();
    let paths: Vec<_> = files
        .iter()
        .map(|(path, _)| path.to_str().unwrap())
        .collect();
    assert_eq!(
        paths,
        [
            "/lib/firmware/c.fw",
            "/lib/firmware/card/a.fw.zst",
            "/lib/firmware/updates/card/b.fw"
        ]
    );
    assert_eq!(files[0].1, "firmware of card");
    assert!(notes.is_empty(), "{notes:?}");
}

#[test]
fn a_driver_that_gets_nothing_is_named() {
    let fixture = Fixture::new();
    fixture.modules(&["drivers/net/card", "drivers/net/plain"]);
    let dir = format!("/lib/modules/{RUNNING}/kernel/drivers/net");
    let info = "firmware=../../etc/shadow\0firmware=/etc/shadow\0";
    fixture.file(&format!("{dir}/card.ko"), module(info));
    fixture.file("/etc/shadow", "x");
    let index = fixture.index(RUNNING);
    let Firmware { files, notes } =
        of(&fixture.root(), &index, &closure(&["card", "plain"])).unwrap();
    assert!(files.is_empty(), "{files:?}");
    assert_eq!(notes.len(), 1);
    assert!(
        notes[0].starts_with("card can load firmware such as "),
        "{notes:?}"
    );
}

#[test]
fn a_driver_from_outside_the_kernel_tree_gets_its_firmware() {
    let fixture = Fixture::new();
    let dir = fixture.host(&format!("/lib/modules/{RUNNING}"));
    let dep = dir.join("modules.dep");
    let text = std::fs::read_to_string(&dep).unwrap();
    std::fs::write(&dep, format!("{text}updates/dkms/own.ko:\n")).unwrap();
    let path = format!("/lib/modules/{RUNNING}/updates/dkms/own.ko");
    fixture.file(&path, module("firmware=own.bin\0"));
    fixture.file("/lib/firmware/own.bin", "x");
    let found = of(&fixture.root(), &fixture.index(RUNNING), &closure(&["own"])).unwrap();
    assert_eq!(found.files.len(), 1, "{found:?}");
}

#[test]
fn a_driver_in_the_kernel_image_gets_its_firmware() {
    let fixture = Fixture::new();
    let info = "ext4.alias=fs-ext4\0big_card.firmware=big.bin\0";
    fixture.file(
        &format!("/lib/modules/{RUNNING}/modules.builtin.modinfo"),
        info,
    );
    fixture.file("/lib/firmware/big.bin", "x");
    let index = fixture.index(RUNNING);
    let closure = Closure {
        builtin: vec![("big_card".into(), "it is a network card".into())],
        ..Closure::default()
    };
    let Firmware { files, .. } = of(&fixture.root(), &index, &closure).unwrap();
    assert_eq!(files.len(), 1, "{files:?}");
}
