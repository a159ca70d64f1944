//! What the fuzz targets of the loader run: shared by the targets and by the tests that replay the
//! corpus.
//!
//! No input may panic, hang, or take memory that its own size does not justify.

use config::Config;
use config::import::{self, Source as Imports, Suite};
use loader::arm::{self, Choice, LoadRequest, Source};
use loader::bootloader::{self, BootLoader, Effect};
use loader::fdt::Tree;
use loader::kernel::{Call, Recorder};
use loader::kimage::{Arm64Image, BzImage};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A kernel image: its header, and what is cut out of it; the containers that a kernel comes in; a device tree.
pub(crate) fn image(data: &[u8]) {
    if let Some(tree) = Tree::parse(data) {
        let written = tree.write();
        assert_eq!(written.as_deref().and_then(Tree::parse), Some(tree));
    }
    if let Ok(image) = Arm64Image::parse(data) {
        assert!(image.text_offset < Arm64Image::ALIGNMENT && image.size >= data.len() as u64);
    }
    let _ = initramfs::kernel::pe::is_signed(data);
    let _ = initramfs::kernel::uki::kernel_of(data.to_vec());
    let Ok(found) = BzImage::parse(data) else {
        return;
    };
    assert!(found.header(data).len() <= data.len());
    assert!(found.payload(data).len() <= data.len());
    assert!(found.alignment.is_power_of_two());
}

/// The config, the peers' configs, and `crashkernel=`.
pub(crate) fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Err(error) = Config::parse(&text) {
        assert!(!error.to_string().is_empty());
    }
    for suite in [Suite::KdumpConf, Suite::KdumpTools] {
        let source = Imports {
            path: Path::new("config"),
            suite,
            text: &text,
        };
        let _ = import::import(&[source], &[]);
    }
    for word in loader::crashkernel::parameters(&text) {
        if let Ok(value) = loader::crashkernel::Value::parse(&word) {
            let _ = value.explain();
        }
    }
}

/// Another suite's config, by the name of its file: what comes out is a config that means the same when
/// it is read again.
pub(crate) fn importers(data: &[u8]) {
    let Some((which, data)) = data.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(data);
    let names = ["kdump.conf", "kdump-tools", "kdump", "kdumpst.conf"];
    let name = names[usize::from(*which) % names.len()];
    let Some(source) = Imports::of(Path::new(name), &text) else {
        return;
    };
    let imported = import::import(&[source], &[]);
    let lines = text.lines().count();
    for row in &imported.rows {
        assert!((1..=lines).contains(&row.line), "{row:?}");
        assert!((row.line..=lines).contains(&row.last), "{row:?}");
    }
    for shown in [imported.config.show(), imported.config.show_changed()] {
        let again = Config::parse(&shown).map_err(|why| why.to_string());
        assert_eq!(again.as_ref(), Ok(&imported.config), "{shown}");
    }
}

/// A machine with the files of a boot loader; made once.
fn booted() -> &'static Path {
    static MACHINE: OnceLock<PathBuf> = OnceLock::new();
    MACHINE.get_or_init(|| {
        let root = std::env::temp_dir().join(format!("boot-fuzz-{}", std::process::id()));
        for dir in [
            "usr/sbin",
            "etc/default/grub.d",
            "etc/kernel",
            "boot/loader/entries",
        ] {
            let _ = fs::create_dir_all(root.join(dir));
        }
        root
    })
}

/// What the machine has (one byte), then the files of its boot loader, with NULs between them: a
/// change that is proposed takes effect, and is complete.
pub(crate) fn boot_files(data: &[u8]) {
    let Some((has, data)) = data.split_first() else {
        return;
    };
    let root = booted();
    let put = |path: &str, content: Option<&[u8]>| {
        let _ = match content {
            Some(content) => fs::write(root.join(path), content),
            None => fs::remove_file(root.join(path)),
        };
    };
    let bit = |n: u32| (has >> n & 1 == 1).then_some(&b""[..]);
    put("usr/sbin/update-grub", bit(0));
    put("etc/debian_version", bit(1));
    let mut parts = data.split(|byte| *byte == 0);
    for path in [
        "etc/default/grub",
        "etc/default/grub.d/50-x.cfg",
        "etc/default/grub.d/zz-z.cfg",
        "etc/default/grub.d/90-afterpanic.cfg",
        "etc/default/grub.d/zz-afterpanic.cfg",
        "boot/loader/entries/a.conf",
        "boot/loader/entries/b.conf",
        "etc/kernel/cmdline",
    ] {
        put(path, parts.next().filter(|part| !part.is_empty()));
    }
    for value in ["256M", "1G-:192M"] {
        let Ok(change) = bootloader::propose(root, value) else {
            continue;
        };
        let _ = change.diff();
        if change.by_hand.is_some() || bootloader::apply(root, &change).is_err() {
            continue;
        }
        if change.boot_loader == BootLoader::Grub {
            let effect = bootloader::effect(root, value);
            assert!(!matches!(effect, Effect::NotTaken(_)), "{effect:?}");
        }
        let again = bootloader::propose(root, value).map_err(|why| why.to_string());
        let edits = again.map(|again| again.diff());
        assert_eq!(edits, Ok(String::new()));
    }
}

/// A machine with a reservation, as files; made once.
fn machine() -> &'static Path {
    static MACHINE: OnceLock<PathBuf> = OnceLock::new();
    MACHINE.get_or_init(|| {
        let root = std::env::temp_dir().join(format!("loader-fuzz-{}", std::process::id()));
        for (path, text) in [
            (
                "proc/iomem",
                "1000-9fbff : System RAM\n100000-bffdffff : System RAM\n  21600000-241fffff : Kernel code\n",
            ),
            ("sys/kernel/kexec_crash_size", "100663296"),
            ("sys/kernel/kexec_crash_loaded", "0"),
            ("sys/kernel/vmcoreinfo", "6000 1024"),
            ("sys/devices/system/cpu/cpu0/crash_notes", "5000"),
            ("sys/devices/system/cpu/cpu0/crash_notes_size", "368"),
        ] {
            let path = root.join(path);
            if let Some(parent) = path.parent() {
                let _ = fs::create_dir_all(parent);
            }
            let _ = fs::write(path, text);
        }
        root
    })
}

/// Where a region lies (four bytes, in pages) and how large it is (three), the size of the capture
/// image (two), then a kernel: either it is refused, or every rule of the system call is kept.
pub(crate) fn segments(data: &[u8]) {
    let Some((head, kernel)) = data.split_first_chunk::<9>() else {
        return;
    };
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b));
    let start = number(&head[..4]) << 12;
    let end = start + (number(&head[4..7]) << 12);
    if end <= start {
        return;
    }
    let root = machine();
    let iomem = format!(
        "1000-9fbff : System RAM\n100000-fffffffffff : System RAM\n  {start:x}-{:x} : Crash kernel\n",
        end - 1
    );
    let vmlinuz = root.join("vmlinuz");
    if fs::write(root.join("proc/iomem"), iomem).is_err() || fs::write(&vmlinuz, kernel).is_err() {
        return;
    }
    let recorder = Recorder::default();
    let request = LoadRequest {
        root: root.to_owned(),
        kernel: vmlinuz,
        image: Source::Bytes(vec![7; number(&head[7..]) as usize + 1]),
        cmdline: "console=ttyS0".into(),
        syscall: Choice::Load,
        ..LoadRequest::default()
    };
    if arm::load(&recorder, &request).is_err() {
        assert!(recorder.calls().is_empty(), "refused after the call");
        return;
    }
    for call in recorder.calls() {
        let Call::Load {
            segments, entry, ..
        } = call
        else {
            continue;
        };
        let mut last = start;
        let mut sorted: Vec<(u64, u64, usize)> = segments
            .iter()
            .map(|(address, size, bytes)| (*address, *size, bytes.len()))
            .collect();
        sorted.sort_unstable();
        for (address, size, bytes) in sorted {
            assert!(address % 4096 == 0 && size % 4096 == 0 && bytes as u64 <= size);
            assert!(
                address >= last && address + size <= end,
                "outside or overlapping"
            );
            last = address + size;
        }
        assert!((start..end).contains(&entry));
    }
}
