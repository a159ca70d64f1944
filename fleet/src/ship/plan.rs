//! Which files of a crash directory leave, and why not the others.

use store::manifest::{CAPTURE_LOG, DMESG, FILE, PANIC_LOG, REPORT_HTML, REPORT_JSON, REPORT_TXT};

/// What is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    /// dmesg.txt and capture.log.
    pub logs: bool,
    /// Cores, the essential one, and pages.map.
    pub cores: bool,
    /// Cores that are not sealed, too.
    pub unsealed: bool,
    /// Some texts are hashed or dropped, so nothing leaves that holds them in clear.
    pub redacted: bool,
}

/// What a file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sort {
    Report,
    Log,
    Core,
    Other,
}

/// What happens to a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// It leaves.
    Ship,
    /// It was not asked for.
    Stay,
    /// It was asked for and may not leave.
    Refused(&'static str),
}

fn sort(name: &str) -> Sort {
    match name.strip_suffix(".age").unwrap_or(name) {
        REPORT_JSON | REPORT_TXT | REPORT_HTML | PANIC_LOG => Sort::Report,
        DMESG | CAPTURE_LOG => Sort::Log,
        "pages.map" => Sort::Core,
        name if name.starts_with("vmcore.") || name.starts_with("essential.") => Sort::Core,
        _ => Sort::Other,
    }
}

/// Decides for one file. The manifest is not asked about: it always leaves, last.
pub(super) fn fate(name: &str, wanted: Wanted) -> Fate {
    if name == FILE {
        return Fate::Stay;
    }
    let sealed = name.ends_with(".age");
    let asked = match sort(name) {
        Sort::Report => true,
        Sort::Log => wanted.logs,
        Sort::Core => wanted.cores,
        Sort::Other => false,
    };
    match sort(name) {
        _ if !asked => Fate::Stay,
        // Kinds of pages by their numbers; no content.
        Sort::Core if name == "pages.map" => Fate::Ship,
        Sort::Core if !sealed && wanted.redacted => {
            Fate::Refused("it is not sealed, and [fleet.redact] hides what it holds")
        }
        Sort::Core if !sealed && !wanted.unsealed => Fate::Refused(
            "it is not sealed. Seal cores by recipients in [dump], or use --allow-unsealed",
        ),
        Sort::Core => Fate::Ship,
        _ if wanted.redacted && !sealed && name != REPORT_JSON => Fate::Stay,
        _ => Fate::Ship,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_leave_and_cores_stay() {
        let plain = Wanted::default();
        for name in [
            "report.json",
            "report.txt",
            "report.html",
            "panic.log",
            "report.json.age",
        ] {
            assert_eq!(fate(name, plain), Fate::Ship, "{name}");
        }
        for name in [
            "dmesg.txt",
            "vmcore.elf.zst",
            "manifest.json",
            "id_rsa",
            "vmcore.elf.zst.age",
        ] {
            assert_eq!(fate(name, plain), Fate::Stay, "{name}");
        }
    }

    #[test]
    fn only_sealed_cores_leave() {
        let mut cores = Wanted {
            cores: true,
            ..Wanted::default()
        };
        assert!(matches!(fate("vmcore.elf.zst", cores), Fate::Refused(_)));
        assert!(matches!(fate("essential.elf.zst", cores), Fate::Refused(_)));
        assert_eq!(fate("vmcore.elf.zst.age", cores), Fate::Ship);
        cores.unsealed = true;
        assert_eq!(fate("vmcore.elf.zst", cores), Fate::Ship);
        cores.redacted = true;
        assert!(matches!(fate("vmcore.elf.zst", cores), Fate::Refused(_)));
    }

    #[test]
    fn what_is_hidden_leaves_in_no_other_file() {
        let wanted = Wanted {
            logs: true,
            redacted: true,
            ..Wanted::default()
        };
        assert_eq!(fate("report.json", wanted), Fate::Ship);
        assert_eq!(fate("dmesg.txt.age", wanted), Fate::Ship);
        for name in [
            "report.txt",
            "report.html",
            "panic.log",
            "dmesg.txt",
            "capture.log",
        ] {
            assert_eq!(fate(name, wanted), Fate::Stay, "{name}");
        }
    }
}
