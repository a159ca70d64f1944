//! Every variable, who reads it, and what it is in our keys.

use std::collections::BTreeMap;

use dump::Level;
use plan::When;
use vmcore::write::OutputFormat;

use super::super::imported::Fate;
use super::super::shell::{self, Value};
use super::super::suite::Suite;
use super::super::{cmdline, collector, hook};
use super::{fail, read};
use crate::model::{Action, Auto, Config};

use Suite::{KdumpTools, Kdumpst, OpenEmbedded, Suse, Sysconfig};

/// The variables of kdump-tools.
const DEBIAN: [&str; 24] = [
    "USE_KDUMP",
    "KDUMP_SYSCTL",
    "KDUMP_KERNEL",
    "KDUMP_INITRD",
    "KDUMP_COREDIR",
    "KDUMP_FAIL_CMD",
    "KDUMP_DUMP_DMESG",
    "KDUMP_NUM_DUMPS",
    "KDUMP_COMPRESSION",
    "MAKEDUMP_ARGS",
    "KDUMP_KEXEC_ARGS",
    "KDUMP_CMDLINE",
    "KDUMP_CMDLINE_APPEND",
    "HOSTTAG",
    "NFS",
    "NFS_TIMEO",
    "NFS_RETRANS",
    "NFS_MOUNT_RETRY",
    "SSH",
    "SSH_KEY",
    "SSH_KDUMP_RETRY",
    "FTP",
    "FTP_USER",
    "FTP_PASSWORD",
];

/// The rest of them.
const DEBIAN_MORE: [&str; 2] = ["FTP_PORT", "DEBUG_KERNEL"];

/// The variables of kdump-utils.
const FEDORA: [&str; 14] = [
    "KDUMP_KERNELVER",
    "KDUMP_COMMANDLINE",
    "KDUMP_COMMANDLINE_REMOVE",
    "KDUMP_COMMANDLINE_APPEND",
    "FADUMP_COMMANDLINE_APPEND",
    "KEXEC_ARGS",
    "KDUMP_BOOTDIR",
    "KDUMP_IMG",
    "KDUMP_IMG_EXT",
    "VMCORE_CREATION_NOTIFICATION",
    "KDUMP_STDLOGLVL",
    "KDUMP_SYSLOGLVL",
    "KDUMP_KMSGLOGLVL",
    "MKDUMPRD_ARGS",
];

/// The variables of SUSE's kdump.
const SUSE: [&str; 36] = [
    "KDUMP_CRASHKERNEL",
    "KDUMP_UPDATE_BOOTLOADER",
    "KDUMP_KERNELVER",
    "KDUMP_CPUS",
    "KDUMP_COMMANDLINE",
    "KDUMP_COMMANDLINE_APPEND",
    "KDUMP_AUTO_RESIZE",
    "KDUMP_FADUMP",
    "KDUMP_FADUMP_SHELL",
    "FADUMP_COMMANDLINE_APPEND",
    "KEXEC_OPTIONS",
    "MAKEDUMPFILE_OPTIONS",
    "KDUMP_IMMEDIATE_REBOOT",
    "KDUMP_TRANSFER",
    "KDUMP_SAVEDIR",
    "KDUMP_KEEP_OLD_DUMPS",
    "KDUMP_FREE_DISK_SIZE",
    "KDUMP_VERBOSE",
    "KDUMP_DUMPLEVEL",
    "KDUMP_DUMPFORMAT",
    "KDUMP_CONTINUE_ON_ERROR",
    "KDUMP_REQUIRED_PROGRAMS",
    "KDUMP_PRESCRIPT",
    "KDUMP_POSTSCRIPT",
    "KDUMP_NETCONFIG",
    "KDUMP_NET_TIMEOUT",
    "KDUMP_SMTP_SERVER",
    "KDUMP_SMTP_USER",
    "KDUMP_SMTP_PASSWORD",
    "KDUMP_NOTIFICATION_TO",
    "KDUMP_NOTIFICATION_CC",
    "KDUMP_HOST_KEY",
    "KDUMP_SSH_IDENTITY",
    "KDUMP_COPY_KERNEL",
    "KDUMPTOOL_FLAGS",
    "KDUMP_RUNLEVEL",
];

/// The variables of OpenEmbedded's kexec-tools.
const OPENEMBEDDED: [&str; 10] = [
    "KDUMP_KVER",
    "KDUMP_CMDLINE",
    "KDUMP_CMDLINE_APPEND",
    "KDUMP_KIMAGE",
    "KDUMP_VMCORE_PATH",
    "MAKEDUMPFILE_ARGS",
    "MAKEDUMPFILE",
    "KEXEC_ARGS",
    "KEXEC",
    "LOGGER",
];

/// The variables of kdumpst and its forerunner kdump-steamos.
const KDUMPST: [&str; 14] = [
    "USE_PSTORE_RAM",
    "PSTORE_MEM_AMOUNT",
    "PSTORE_RECORD_SZ",
    "MOUNT_DEVNODE",
    "MOUNT_FOLDER",
    "KDUMP_FOLDER",
    "FULL_COREDUMP",
    "MAKEDUMPFILE_COREDUMP_CMD",
    "MAKEDUMPFILE_DMESG_CMD",
    "KDUMP_APPEND_CMDLINE",
    "GRUB_AUTOSET",
    "GRUB_BOOT_FILE",
    "GRUB_CFG_FILE",
    "GRUB_CMDLINE",
];

/// The variables that a suite reads.
pub(super) fn names(suite: Suite) -> impl Iterator<Item = &'static str> {
    let (first, more): (&'static [&'static str], &'static [&'static str]) = match suite {
        KdumpTools => (&DEBIAN, &DEBIAN_MORE),
        Sysconfig => (&FEDORA, &[]),
        Suse => (&SUSE, &[]),
        OpenEmbedded => (&OPENEMBEDDED, &[]),
        Kdumpst => (&KDUMPST, &[]),
        Suite::KdumpConf => (&[], &[]),
    };
    first.iter().chain(more).copied()
}

/// Whether a suite reads a variable.
pub(crate) fn knows(suite: Suite, name: &str) -> bool {
    names(suite).any(|known| known == name)
}

/// Whether any suite does.
pub(super) fn is_known(name: &str) -> bool {
    Suite::SHELL.into_iter().any(|suite| knows(suite, name))
}

/// Whether a variable says where the core goes.
pub(super) fn is_target(name: &str) -> bool {
    super::path::is_one(name) || name == "KDUMP_TRANSFER"
}

/// Whether a variable holds words of a kernel's command line.
pub(super) fn is_cmdline(name: &str) -> bool {
    matches!(
        name,
        "KDUMP_CMDLINE"
            | "KDUMP_COMMANDLINE"
            | "KDUMP_CMDLINE_APPEND"
            | "KDUMP_COMMANDLINE_APPEND"
            | "KDUMP_APPEND_CMDLINE"
    )
}

/// Whether a variable only names programs that afterpanic does not need.
pub(super) fn is_informative(name: &str) -> bool {
    matches!(name, "KEXEC" | "MAKEDUMPFILE" | "LOGGER")
}

/// Why such a variable needs no counterpart.
pub(super) fn informative(suite: Suite) -> String {
    format!(
        "a program of {}, which afterpanic does not need",
        suite.program()
    )
}

/// What depends on more than one variable.
pub(super) fn settle(suite: Suite, values: &BTreeMap<&str, &Value>, config: &mut Config) {
    let full = values.get("FULL_COREDUMP").and_then(|value| value.text());
    if suite == Kdumpst && full.as_deref() == Some("0") {
        config.dump.format = None;
    }
}

/// Takes a value over.
pub(super) fn take(name: &str, value: &str, config: &mut Config, fate: &mut Fate) {
    let value = value.trim();
    if value.is_empty() {
        return fate.take("the default");
    }
    match name {
        "KDUMP_CMDLINE_APPEND" | "KDUMP_COMMANDLINE_APPEND" | "KDUMP_APPEND_CMDLINE" => {
            cmdline::append(value, config, fate);
        }
        "KDUMP_COMMANDLINE_REMOVE" => cmdline::remove(value, config, fate),
        "KDUMP_CMDLINE" | "KDUMP_COMMANDLINE" => fate.nothing(
            "a complete command line is not taken over; `afterpanic load --dry-run` prints the derived one",
        ),
        "KDUMP_KEXEC_ARGS" | "KEXEC_ARGS" | "KEXEC_OPTIONS" => read::kexec(value, config, fate),
        "MAKEDUMP_ARGS" | "MAKEDUMPFILE_ARGS" | "MAKEDUMPFILE_COREDUMP_CMD" => {
            collector::take(&shell::words(value), collector::Extent::All, config, fate);
        }
        "MAKEDUMPFILE_OPTIONS" => {
            collector::take(&shell::words(value), collector::Extent::Further, config, fate);
        }
        "MAKEDUMPFILE_DMESG_CMD" => fate.take("the log is always written, before anything else"),
        "KDUMP_NUM_DUMPS" | "KDUMP_KEEP_OLD_DUMPS" => read::dumps(value, config, fate),
        "KDUMP_FREE_DISK_SIZE" => read::free(value, config, fate),
        "KDUMP_DUMPLEVEL" => collector::level(value, config, fate),
        "KDUMP_DUMPFORMAT" => format(value, config, fate),
        "KDUMP_CPUS" => cpus(value, config, fate),
        "KDUMP_FAIL_CMD" => fail::take(value, config, fate),
        "KDUMP_CRASHKERNEL" | "GRUB_CMDLINE" => read::crashkernel(value, config, fate),
        "KDUMP_IMMEDIATE_REBOOT" | "KDUMP_CONTINUE_ON_ERROR" => switch(name, value, config, fate),
        "KDUMP_NOTIFICATION_TO" => read::mail(value, config, fate),
        "KDUMP_PRESCRIPT" => hook::program(When::Pre, value, config, fate),
        "KDUMP_POSTSCRIPT" => hook::program(When::Post, value, config, fate),
        "KDUMP_REQUIRED_PROGRAMS" => hook::files(value, config, fate),
        _ => no_key(name, value, fate),
    }
}

fn format(value: &str, config: &mut Config, fate: &mut Fate) {
    let format = match value.to_ascii_lowercase().as_str() {
        "elf" => Some(OutputFormat::Elf),
        "compressed" => Some(OutputFormat::KdumpZlib),
        "zstd" => Some(OutputFormat::KdumpZstd),
        "none" => None,
        // A copy of /proc/vmcore.
        "raw" => {
            config.dump.level = Level::ALL;
            Some(OutputFormat::Elf)
        }
        "lzo" | "snappy" => {
            return fate.remark(format!(
                "cores are compressed with zstd instead of {}",
                value.to_ascii_lowercase()
            ));
        }
        _ => return fate.nothing(format!("\"{value}\" is not a format")),
    };
    config.dump.format = format;
    fate.take("format in [dump]");
}

fn cpus(value: &str, config: &mut Config, fate: &mut Fate) {
    match value.parse::<u32>() {
        Ok(0) => {
            fate.remark("all CPUs: cpus = \"auto\" takes as many as the reserved memory allows");
        }
        Ok(cpus @ 1..=4096) => {
            config.capture_kernel.cpus = Auto::Set(cpus);
            fate.take("cpus in [capture_kernel]");
        }
        _ => fate.nothing(format!("\"{value}\" is not a number of CPUs")),
    }
}

/// Yes or no, where one of them is what afterpanic does.
fn switch(name: &str, value: &str, config: &mut Config, fate: &mut Fate) {
    match (read::truth(value), name) {
        (None, _) => fate.nothing(format!("\"{value}\" is neither true nor false")),
        (Some(true), _) => fate.take("what afterpanic does"),
        (Some(false), "KDUMP_IMMEDIATE_REBOOT") => {
            config.after.success = Action::Halt;
            config.after.failure = Action::Halt;
            fate.take("success and failure in [after]");
        }
        (Some(false), _) => hook::rescue("/bin/bash", config, fate),
    }
}

/// Variables whose value decides whether there is anything to take over.
fn no_key(name: &str, value: &str, fate: &mut Fate) {
    let is = |expected: bool| read::truth(value) == Some(expected);
    match name {
        "USE_KDUMP" if is(true) => fate.take("`systemctl enable afterpanic`"),
        "USE_KDUMP" => {
            fate.nothing(
                "kdump is switched off here; for afterpanic: systemctl disable afterpanic",
            );
        }
        "KDUMP_INITRD" if value == "/var/lib/kdump/initrd.img" => {
            fate.take("afterpanic builds its own image");
        }
        "KDUMP_INITRD" | "MKDUMPRD_ARGS" => fate.nothing("afterpanic builds its own image"),
        "KDUMP_DUMP_DMESG" if is(false) => {
            fate.nothing("the log is always written, before anything else");
        }
        "KDUMP_DUMP_DMESG" => fate.take("the log is always written, before anything else"),
        "KDUMP_COMPRESSION" => fate.nothing("cores are compressed anyway; see format in [dump]"),
        "KDUMP_SYSCTL" => fate.nothing("afterpanic sets no sysctl; write it to /etc/sysctl.d"),
        "KDUMP_TRANSFER" => {
            fate.block(
                "this program saves the core where only it knows; afterpanic runs no such program",
            );
        }
        "KDUMP_UPDATE_BOOTLOADER" => {
            fate.nothing("`afterpanic reserve --apply` changes the boot loader, when you say so");
        }
        "KDUMP_AUTO_RESIZE" | "KDUMP_FADUMP" | "KDUMP_FADUMP_SHELL" if is(false) => {
            fate.take("what afterpanic does");
        }
        "KDUMP_AUTO_RESIZE" => fate.nothing("the reservation is not made smaller at boot"),
        "KDUMP_FADUMP" | "KDUMP_FADUMP_SHELL" | "FADUMP_COMMANDLINE_APPEND" => {
            fate.nothing("for POWER machines only");
        }
        "KDUMP_VERBOSE" if value == "0" => fate.take(""),
        "KDUMP_VERBOSE" | "KDUMP_STDLOGLVL" | "KDUMP_SYSLOGLVL" | "KDUMP_KMSGLOGLVL" => {
            fate.nothing("capture.log in the crash directory has every step");
        }
        "KDUMP_NETCONFIG" if value == "auto" => fate.take("the default"),
        "KDUMP_NET_TIMEOUT" if value == "30" => fate.take("the default"),
        "KDUMP_NETCONFIG" => fate.nothing("the network is what it was while loading"),
        "NFS_TIMEO" | "NFS_RETRANS" | "NFS_MOUNT_RETRY" | "KDUMP_NET_TIMEOUT" => {
            fate.nothing("deadline in [[target]] says how long a server may take");
        }
        "FTP_USER" | "FTP_PASSWORD" | "FTP_PORT" => {
            fate.nothing("this version does not write to FTP servers");
        }
        "SSH_KDUMP_RETRY" => fate.nothing("a connection that breaks is made again"),
        "KDUMP_HOST_KEY" => fate.nothing(super::super::imported::RECORD),
        "HOSTTAG" if value == "hostname" => {
            fate.take("crash directories begin with the host's name");
        }
        "HOSTTAG" => fate.nothing(
            "crash directories begin with the host's name; host_tag in [dump] sets another one",
        ),
        "KDUMP_SMTP_SERVER" | "KDUMP_SMTP_USER" | "KDUMP_SMTP_PASSWORD" => {
            fate.nothing("mails go through sendmail, which has its own settings");
        }
        "KDUMP_NOTIFICATION_CC" => {
            fate.nothing("mails go to one address; make it an alias of both");
        }
        "VMCORE_CREATION_NOTIFICATION" if is(true) => {
            fate.take("`afterpanic status` names the last crash");
        }
        "USE_PSTORE_RAM" if is(false) => fate.take("a capture kernel is loaded"),
        "USE_PSTORE_RAM" => {
            fate.nothing(
                "kdumpst keeps only a log in RAM with this; afterpanic loads a capture kernel",
            );
        }
        "PSTORE_MEM_AMOUNT" | "PSTORE_RECORD_SZ" => {
            fate.nothing("ramoops is set up on the kernel's command line");
        }
        "FULL_COREDUMP" if value == "0" => fate.take("format = \"none\" in [dump]"),
        "FULL_COREDUMP" => fate.take("a core is written"),
        "GRUB_AUTOSET" | "GRUB_BOOT_FILE" | "GRUB_CFG_FILE" => {
            fate.nothing("`afterpanic reserve --apply` finds the boot loader, when you say so");
        }
        _ if is_informative(name) => fate.take("a program that afterpanic does not need"),
        _ => fate.nothing(format!("{name} has no counterpart")),
    }
}
