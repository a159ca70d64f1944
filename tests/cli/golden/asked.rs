//! What is asked of each core.

/// Names of the files, and the commands in each; CORE is the core.
pub(super) const ASKED: &[(&str, &[&str])] = &[
    (
        "report",
        &[
            "report CORE",
            "report CORE --section checks,modules,locks --log-lines 3",
            "report CORE --section log --log-lines 3",
            "report CORE --section stacks",
        ],
    ),
    ("report-json", &["report CORE --json"]),
    (
        "bt",
        &[
            "bt CORE",
            "bt CORE --all",
            "bt CORE --cpu 1 --registers",
            "bt CORE --cpus",
            "bt CORE --pid 99",
            "bt CORE --state Z",
            "bt CORE --state Q",
        ],
    ),
    (
        "bt-json",
        &[
            "bt CORE --json",
            "bt CORE --state D --json",
            "bt CORE --state Z --json",
        ],
    ),
    (
        "ps",
        &[
            "ps CORE",
            "ps CORE --threads",
            "ps CORE --tree",
            "ps CORE --state D",
            "ps CORE --state x",
        ],
    ),
    ("ps-json", &["ps CORE --json"]),
    (
        "dmesg",
        &[
            "dmesg CORE",
            "dmesg CORE --level 4",
            "dmesg CORE --since 60",
            "dmesg CORE --follow-panic",
        ],
    ),
    ("dmesg-json", &["dmesg CORE --level 4 --json"]),
    ("mods", &["mods CORE", "mods CORE --tainting"]),
    ("mods-json", &["mods CORE --json"]),
    (
        "sym",
        &[
            "sym CORE panic ffffffff81000005 crasher_write crasher:crasher_open",
            "sym CORE nothing",
            "sym CORE vfs_writ",
            "dis CORE vfs_writ",
        ],
    ),
    (
        "sym-json",
        &["sym CORE panic ffffffffc0200006 nothing --json"],
    ),
    (
        "struct",
        &[
            "struct CORE list_head",
            "struct CORE task_struct init_task",
            "struct CORE task_struct init_task --path tasks.next",
            "struct CORE module_state",
            "struct CORE crasher_device",
            "struct CORE crasher:crasher_device",
            "struct CORE module ffffffffc0202000 --path version",
            "struct CORE rq runqueues",
            "struct CORE rq runqueues --cpu 1",
            "struct CORE rq runqueues --cpus --path curr",
            "struct CORE rq init_task --cpu 1",
            "struct CORE task_struct dead000000000100",
            "struct CORE task_struct.comm init_task",
            "struct CORE task_strut",
            "struct CORE task_struct --path com",
            "struct CORE nothing",
        ],
    ),
    (
        "struct-json",
        &[
            "struct CORE task_struct init_task --path real_parent->comm --json",
            "struct CORE mod_kallsyms ffffffffc0202080 --json",
            "struct CORE module_state --json",
            "struct CORE pcpu_hot pcpu_hot --cpus --json",
        ],
    ),
    (
        "dis",
        &[
            "dis CORE vfs_write",
            "dis CORE crasher_write+0x6",
            "dis CORE init_task",
            "dis CORE runqueues",
            "dis CORE ffffffffc0201400",
            "dis CORE nothing",
        ],
    ),
    ("dis-json", &["dis CORE vfs_write --json"]),
    (
        "read",
        &[
            "read CORE linux_banner 60",
            "read CORE ffff888000100000 0x20",
            "read CORE --phys 100000 16",
            "read CORE linux_banner 24 --raw",
            "read CORE runqueues 16",
            "read CORE linux_baner 16",
            "read CORE runqueues 16 --cpu 0",
        ],
    ),
    ("slabs", &["report CORE --section slabs,memory"]),
    (
        "what",
        &[
            "what CORE crasher_write+0x6",
            "what CORE init_task",
            "what CORE runqueues+0x20 --cpu 1",
            "what CORE ffff888001800b84",
            "what CORE ffffc90000053f18",
            "what CORE ffff8880030a10d0",
            "what CORE dead000000000100",
        ],
    ),
    (
        "what-json",
        &[
            "what CORE ffff8880030a10d0 --json",
            "what CORE ffff888001800b84 --json",
            "what CORE runqueues+0x20 --cpu 1 --json",
            "what CORE crasher_write+0x6 --json",
            "what CORE dead000000000100 --json",
        ],
    ),
    (
        "absent",
        &[
            "read CORE --phys 3900000 16",
            "read CORE ffff888003900ff8 16",
            "struct CORE task_struct ffff888000100f80",
        ],
    ),
    (
        "vmlinux",
        &[
            "vmlinux CORE made.vmlinux",
            "vmlinux CORE made.vmlinux",
            "vmlinux CORE nowhere/made.vmlinux",
        ],
    ),
    ("info", &["info CORE"]),
    ("info-json", &["info CORE --json"]),
    ("pages", &["pages CORE"]),
    ("pages-json", &["pages CORE --json"]),
    ("verify", &["verify CORE"]),
    ("verify-json", &["verify CORE --json"]),
];
