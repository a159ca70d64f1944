//! An example or two for the man page of each verb. A test parses every one of them.

/// The command without the program's name, and what it does.
pub(super) type Example = (&'static str, &'static str);

/// The examples by the page's name: `afterpanic`, `afterpanic-config-import`.
const PAGES: &[(&str, &[Example])] = &[
    (
        "afterpanic",
        &[
            ("doctor", "Check this machine before the first crash."),
            (
                "reserve --apply",
                "Reserve memory for the capture kernel. Then reboot.",
            ),
            (
                "load",
                "Arm this machine. The systemd unit does this at boot.",
            ),
            ("rehearse", "Prove it in a VM."),
            (
                "report",
                "Print why the kernel died, from the last core here.",
            ),
        ],
    ),
    (
        "afterpanic-doctor",
        &[
            ("doctor", "Print each check with its fix."),
            ("doctor --json", "The same for a program."),
        ],
    ),
    (
        "afterpanic-reserve",
        &[
            (
                "reserve",
                "Print what to reserve, and what would be written.",
            ),
            ("reserve --apply", "Write it to the boot configuration."),
        ],
    ),
    (
        "afterpanic-load",
        &[
            (
                "load",
                "Build the image where an input changed, and load it.",
            ),
            (
                "load --dry-run",
                "Print kernel, image and command line. Load nothing.",
            ),
        ],
    ),
    ("afterpanic-unload", &[("unload", "Disarm this machine.")]),
    (
        "afterpanic-status",
        &[(
            "status",
            "Exit with 0 if this machine is armed, else with 3.",
        )],
    ),
    (
        "afterpanic-rehearse",
        &[(
            "rehearse",
            "Panic this kernel, image and config in a VM, and verify the core.",
        )],
    ),
    (
        "afterpanic-crash-test",
        &[(
            "crash-test --yes",
            "Panic this machine. After the reboot: afterpanic status.",
        )],
    ),
    (
        "afterpanic-list",
        &[("list", "List the crashes in the stores of the config.")],
    ),
    (
        "afterpanic-report",
        &[
            ("report", "Print why the last crash happened."),
            ("report console.log", "The same from a console log."),
        ],
    ),
    (
        "afterpanic-signature",
        &[(
            "signature last",
            "Print the name of the bug, to find it again.",
        )],
    ),
    (
        "afterpanic-dmesg",
        &[("dmesg last", "Print the crashed kernel's log.")],
    ),
    (
        "afterpanic-bt",
        &[
            ("bt last", "Print the stack that panicked."),
            ("bt last --all", "Print the stack of every task."),
        ],
    ),
    (
        "afterpanic-ps",
        &[("ps last", "List the tasks at the time of the panic.")],
    ),
    (
        "afterpanic-mods",
        &[("mods last", "List the modules that were loaded.")],
    ),
    (
        "afterpanic-struct",
        &[("struct last task_struct", "Print the layout of a type.")],
    ),
    (
        "afterpanic-sym",
        &[("sym last panic", "Print the address of a function.")],
    ),
    (
        "afterpanic-dis",
        &[("dis last panic", "Disassemble a function.")],
    ),
    (
        "afterpanic-read",
        &[("read last jiffies 8", "Print eight bytes at a symbol.")],
    ),
    (
        "afterpanic-what",
        &[(
            "what last 0xffff888003a41c00",
            "Print what is at an address.",
        )],
    ),
    (
        "afterpanic-info",
        &[("info vmcore", "Print what a file of any format holds.")],
    ),
    (
        "afterpanic-verify",
        &[(
            "verify last",
            "Exit with 0 if every checksum is right, else with 5.",
        )],
    ),
    (
        "afterpanic-convert",
        &[(
            "convert last core.kdump",
            "Make a file that crash and drgn open directly.",
        )],
    ),
    (
        "afterpanic-pages",
        &[(
            "pages last",
            "Count the pages by kind, and what each level keeps.",
        )],
    ),
    (
        "afterpanic-mount",
        &[(
            "mount last /mnt",
            "Show the core as files for gdb, drgn and crash.",
        )],
    ),
    (
        "afterpanic-vmlinux",
        &[(
            "vmlinux last /tmp/vmlinux",
            "Make a vmlinux from the last core, for crash, drgn and gdb.",
        )],
    ),
    (
        "afterpanic-drgn",
        &[
            ("drgn last", "Open the last core in drgn."),
            ("drgn last script.py", "Run a script of drgn on it."),
        ],
    ),
    (
        "afterpanic-crash",
        &[("crash last", "Open the last core in crash.")],
    ),
    (
        "afterpanic-config",
        &[("config check", "Check /etc/afterpanic.toml.")],
    ),
    (
        "afterpanic-config-check",
        &[(
            "config check",
            "Print the place of the first error, and exit with 2.",
        )],
    ),
    (
        "afterpanic-config-show",
        &[("config show", "Print every key that is in force.")],
    ),
    (
        "afterpanic-config-import",
        &[
            (
                "config import",
                "Translate the files that this machine has.",
            ),
            (
                "config import /etc/kdump.conf --skip 7",
                "Leave out line 7, which blocks.",
            ),
        ],
    ),
    (
        "afterpanic-image",
        &[(
            "image list",
            "List the files of the image, with the reason for each.",
        )],
    ),
    (
        "afterpanic-image-build",
        &[("image build", "Build the image of this machine.")],
    ),
    (
        "afterpanic-image-list",
        &[("image list", "List its files, with the reason for each.")],
    ),
    (
        "afterpanic-image-show",
        &[("image show plan.json", "Print the plan in the image.")],
    ),
    (
        "afterpanic-image-check",
        &[(
            "image check",
            "Exit with 0 if the image is current, else with 3.",
        )],
    ),
    (
        "afterpanic-image-extract",
        &[("image extract /tmp/image", "Unpack the image.")],
    ),
    (
        "afterpanic-reboot",
        &[(
            "reboot --kernel /boot/vmlinuz",
            "Boot this kernel, past the firmware.",
        )],
    ),
    (
        "afterpanic-capture",
        &[(
            "capture vmcore /tmp/crash",
            "Write a core by hand, as after a panic.",
        )],
    ),
    (
        "afterpanic-collect",
        &[(
            "collect",
            "Finish what a crash left. The systemd unit does this at boot.",
        )],
    ),
];

/// The examples of a page.
pub(super) fn of(page: &str) -> &'static [Example] {
    let found = PAGES.iter().find(|(name, _)| *name == page);
    found.map_or(&[], |(_, examples)| examples)
}

#[cfg(test)]
pub(super) fn all() -> &'static [(&'static str, &'static [Example])] {
    PAGES
}
