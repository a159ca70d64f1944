//! `/etc/default/kdump-tools`: shell assignments, of which only plain ones are understood.

use std::path::PathBuf;

use super::{Imported, action, collector};
use crate::model::{KernelChoice, Syscall};

/// What kdump-tools puts on the capture kernel's command line and afterpanic derives itself.
const DERIVED: [&str; 5] = [
    "reset_devices",
    "systemd.unit=kdump-tools-dump.service",
    "nr_cpus=1",
    "irqpoll",
    "usbcore.nousb",
];

/// Takes over what has a counterpart.
pub(super) fn read(text: &str, out: &mut Imported) {
    for (at, line) in text.lines().enumerate() {
        let at = at + 1;
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            out.note(at, "this is no assignment and was left out");
            continue;
        };
        let value = unquote(value);
        if value.contains(['$', '`']) {
            out.note(
                at,
                format!("{key} is worked out by the shell and was left out"),
            );
            continue;
        }
        one(at, key.trim(), &value, out);
    }
}

fn one(at: usize, key: &str, value: &str, out: &mut Imported) {
    let target = |out: &mut Imported, path: &str| {
        if let Some(first) = out.config.target.first_mut() {
            first.path = PathBuf::from("/").join(path);
        }
    };
    match key {
        "USE_KDUMP" if value == "0" => {
            out.note(
                at,
                "kdump was switched off; do the same with: systemctl disable afterpanic",
            );
        }
        "USE_KDUMP" => {}
        "KDUMP_KERNEL" if value == "/var/lib/kdump/vmlinuz" => {}
        "KDUMP_KERNEL" if value.starts_with('/') => {
            out.config.capture_kernel.kernel = KernelChoice::Path(PathBuf::from(value));
        }
        "KDUMP_INITRD" => out.note(at, "the image is afterpanic's own"),
        "KDUMP_COREDIR" => target(out, value),
        "KDUMP_FAIL_CMD" => {
            let program = value.split_ascii_whitespace().next().unwrap_or_default();
            match action(program.rsplit('/').next().unwrap_or_default()) {
                Some(action) => out.config.after.failure = action,
                None => out.note(at, format!("\"{value}\" is not run; the machine reboots")),
            }
        }
        "KDUMP_DUMP_DMESG" => out.note(at, "the log is always written, before anything else"),
        "KDUMP_NUM_DUMPS" => match value.parse() {
            Ok(dumps) => out.config.keep.dumps = dumps,
            Err(_) => out.note(at, format!("\"{value}\" is no number of dumps")),
        },
        "KDUMP_COMPRESSION" => out.note(at, "cores are compressed anyway; see dump.format"),
        "MAKEDUMP_ARGS" => collector::take(at, value.split_ascii_whitespace(), out),
        "KDUMP_KEXEC_ARGS" => {
            for word in value.split_ascii_whitespace() {
                let syscall = match word {
                    "-s" | "--kexec-file-syscall" => Syscall::File,
                    "-c" | "--kexec-syscall" => Syscall::Load,
                    "-a" | "--kexec-syscall-auto" => Syscall::Auto,
                    _ => {
                        out.note(at, format!("{word} of kexec has no counterpart"));
                        continue;
                    }
                };
                out.config.capture_kernel.syscall = syscall;
            }
        }
        "KDUMP_CMDLINE" => out.note(
            at,
            "a whole command line is not taken over; it is derived, see: afterpanic load --dry-run",
        ),
        "KDUMP_CMDLINE_APPEND" => {
            let words = value
                .split_ascii_whitespace()
                .filter(|word| !DERIVED.contains(word))
                .map(str::to_owned);
            out.config.capture_kernel.cmdline_add.extend(words);
        }
        "NFS" | "NFS_TIMEO" | "NFS_RETRANS" | "SSH" | "SSH_KEY" | "FTP" | "FTP_USER"
        | "FTP_PASSWORD" | "FTP_PORT" | "HOSTTAG" => {
            out.note(
                at,
                format!("{key}: network targets are not supported; choose a local disk"),
            );
        }
        _ => out.note(at, format!("{key} has no counterpart")),
    }
}

/// A shell word without its quotes and without a comment behind it.
fn unquote(value: &str) -> String {
    let value = value.trim();
    for quote in ['"', '\''] {
        if let Some(rest) = value.strip_prefix(quote) {
            return rest.split(quote).next().unwrap_or_default().to_owned();
        }
    }
    value
        .split([' ', '\t', '#'])
        .next()
        .unwrap_or_default()
        .to_owned()
}
