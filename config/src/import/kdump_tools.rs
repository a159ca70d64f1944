//! Shell assignments: `/etc/default/kdump-tools`, `/etc/sysconfig/kdump`. Nothing is executed, so only
//! plain values and `X="$X more"` are read.

use std::path::PathBuf;

use vmcore::write::OutputFormat;

use super::collector;
use super::imported::{Imported, action};
use super::shell::{self, Value};
use crate::model::{Action, Auto, KernelChoice, Syscall};
use crate::units::Size;

/// Words of kdump-tools for the capture kernel's command line that afterpanic derives itself.
const DERIVED: [&str; 4] = ["reset_devices", "nr_cpus=1", "irqpoll", "usbcore.nousb"];

/// The unit that their initramfs starts. Ours has no systemd.
const UNIT: &str = "systemd.unit=";

/// Keys of a path below which the suite makes a directory a crash.
const PATH_KEYS: [&str; 3] = ["KDUMP_COREDIR", "KDUMP_VMCORE_PATH", "KDUMP_SAVEDIR"];

/// Keys that say where the core goes.
const TARGET_KEYS: [&str; 6] = [
    "KDUMP_COREDIR",
    "KDUMP_VMCORE_PATH",
    "KDUMP_SAVEDIR",
    "NFS",
    "SSH",
    "FTP",
];

/// Takes over what has a counterpart.
pub(super) fn read(text: &str, out: &mut Imported) {
    for (at, line) in text.lines().enumerate() {
        let at = at + 1;
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let assignment = line
            .split_once('=')
            .map(|(key, value)| {
                (
                    key.strip_suffix('+').map_or((key, false), |k| (k, true)),
                    value,
                )
            })
            .filter(|((key, _), _)| shell::is_name(key));
        let Some(((key, plus), value)) = assignment else {
            out.note(at, "this is not an assignment and was left out");
            continue;
        };
        if plus {
            out.note(
                at,
                format!(
                    "{key}+= was left out: dash has no +=, so kdump-tools never had this value"
                ),
            );
            continue;
        }
        let fixed = shell::dated_directory(value).filter(|_| PATH_KEYS.contains(&key));
        match (shell::value(key, value), fixed) {
            (Value::Computed, Some(directory)) => {
                path(&directory, out);
                out.note(
                    at,
                    format!(
                        "the date in {key} is left out: cores go to {directory}, and each crash directory has the time in its name"
                    ),
                );
            }
            (Value::Set(value), _) => one(at, key, &value, out),
            (Value::Append(value), _) if key.ends_with("APPEND") => append(&value, out),
            (Value::Append(_) | Value::Computed, _) if TARGET_KEYS.contains(&key) => {
                out.lose_target(
                    at,
                    format!("{key} is computed by the shell and was left out"),
                );
            }
            (Value::Append(_) | Value::Computed, _) => {
                out.note(
                    at,
                    format!("{key} is computed by the shell and was left out"),
                );
            }
        }
    }
}

/// Words for the capture kernel's command line.
fn append(value: &str, out: &mut Imported) {
    let words = value
        .split_ascii_whitespace()
        .filter(|word| !DERIVED.contains(word) && !word.starts_with(UNIT))
        .map(str::to_owned);
    out.config.capture_kernel.cmdline_add.extend(words);
}

fn path(value: &str, out: &mut Imported) {
    if let Some(first) = out.config.target.first_mut() {
        first.path = PathBuf::from("/").join(value);
    }
}

/// Arguments of the program kexec.
fn kexec(at: usize, value: &str, out: &mut Imported) {
    for word in value.split_ascii_whitespace() {
        let syscall = match word {
            "-s" | "--kexec-file-syscall" => Syscall::File,
            "-c" | "--kexec-syscall" => Syscall::Load,
            "-a" | "--kexec-syscall-auto" => Syscall::Auto,
            _ => {
                out.note(at, format!("the kexec option {word} has no counterpart"));
                continue;
            }
        };
        out.config.capture_kernel.syscall = syscall;
    }
}

fn one(at: usize, key: &str, value: &str, out: &mut Imported) {
    match key {
        "USE_KDUMP" if value == "0" => {
            out.note(
                at,
                "kdump is switched off here; to do the same run: systemctl disable afterpanic",
            );
        }
        "USE_KDUMP" => {}
        "KDUMP_KERNEL" if value == "/var/lib/kdump/vmlinuz" => {}
        "KDUMP_KERNEL" | "KDUMP_KIMAGE" if value.starts_with('/') => {
            out.config.capture_kernel.kernel = KernelChoice::Path(PathBuf::from(value));
        }
        "KDUMP_INITRD" => out.note(at, "afterpanic builds its own image"),
        "KDUMP_COREDIR" | "KDUMP_VMCORE_PATH" => path(value, out),
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
            Err(_) => out.note(at, format!("\"{value}\" is not a number of dumps")),
        },
        "KDUMP_COMPRESSION" => out.note(at, "cores are always compressed; see dump.format"),
        "MAKEDUMP_ARGS" => collector::take(at, value.split_ascii_whitespace(), out),
        "KDUMP_KEXEC_ARGS" | "KEXEC_ARGS" | "KEXEC_OPTIONS" => kexec(at, value, out),
        "KDUMP_CMDLINE" | "KDUMP_COMMANDLINE" if value.is_empty() => {}
        "KDUMP_CMDLINE" | "KDUMP_COMMANDLINE" => out.note(
            at,
            "a complete command line is not taken over; `afterpanic load --dry-run` prints the derived one",
        ),
        "KDUMP_CMDLINE_APPEND" | "KDUMP_COMMANDLINE_APPEND" => append(value, out),
        "KDUMP_COMMANDLINE_REMOVE" => {
            let names = value.split_ascii_whitespace().map(str::to_owned);
            out.config.capture_kernel.cmdline_drop.extend(names);
        }
        "NFS" | "SSH" | "FTP" if value.is_empty() => {}
        "NFS" | "SSH" | "FTP" => out.lose_target(
            at,
            format!("{key}={value}: this version writes to local filesystems only"),
        ),
        "NFS_TIMEO" | "NFS_RETRANS" | "SSH_KEY" | "FTP_USER" | "FTP_PASSWORD" | "FTP_PORT"
        | "HOSTTAG" => {
            out.note(
                at,
                format!("{key}: this version writes to local filesystems only"),
            );
        }
        _ => sysconfig(at, key, value, out),
    }
}

/// Keys of SUSE's and Fedora's /etc/sysconfig/kdump.
fn sysconfig(at: usize, key: &str, value: &str, out: &mut Imported) {
    match key {
        _ if value.is_empty() => {}
        "KDUMP_SAVEDIR" => match value.split_once("://") {
            None => path(value, out),
            Some(("file", local)) => path(local, out),
            Some((scheme, _)) => out.lose_target(
                at,
                format!("{key}={value}: this version does not write to {scheme} targets"),
            ),
        },
        "KDUMP_KEEP_OLD_DUMPS" => match value.parse() {
            // Both suites: 0 removes nothing.
            Ok(dumps) => out.config.keep.dumps = dumps,
            Err(_) => out.note(at, format!("{key}={value} has no counterpart")),
        },
        "KDUMP_FREE_DISK_SIZE" => {
            match value
                .parse::<u64>()
                .ok()
                .and_then(|n| n.checked_mul(1 << 20))
            {
                Some(bytes) => out.config.keep.free = Size(bytes),
                None => out.note(at, format!("{key}={value} is not a size in MiB")),
            }
        }
        "KDUMP_DUMPLEVEL" => collector::level(at, value, out),
        "KDUMP_DUMPFORMAT" => match value.to_ascii_lowercase().as_str() {
            "elf" => out.config.dump.format = Some(OutputFormat::Elf),
            "compressed" => out.config.dump.format = Some(OutputFormat::KdumpZlib),
            "zstd" => out.config.dump.format = Some(OutputFormat::KdumpZstd),
            "none" => out.config.dump.format = None,
            "lzo" | "snappy" => out.note(
                at,
                format!("cores are compressed with zstd instead of {value}"),
            ),
            _ => out.note(at, format!("{key}={value} has no counterpart")),
        },
        "KDUMP_CPUS" => match value.parse::<u32>() {
            Ok(0) => out.note(
                at,
                format!("{key}=0 has no counterpart; the reserved memory decides"),
            ),
            Ok(cpus @ 1..=4096) => out.config.capture_kernel.cpus = Auto::Set(cpus),
            _ => out.note(at, format!("{key}={value} is not a number of CPUs")),
        },
        "KDUMP_IMMEDIATE_REBOOT" if matches!(value, "no" | "NO" | "false") => {
            out.config.after.success = Action::Halt;
            out.config.after.failure = Action::Halt;
        }
        "KDUMP_IMMEDIATE_REBOOT" => {}
        _ => out.note(at, format!("{key} has no counterpart")),
    }
}
