//! The functions of the toy kernel: real instructions that call each other, and their ORC.

use crate::unwind::OrcRule;
use std::collections::BTreeMap;

/// What a function is made like.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// Pushes rbx and keeps so many bytes below it.
    Plain(u8),
    /// Stands above nothing: where a stack ends.
    End,
    /// The registers of user mode stand above its frame.
    Entry,
}

/// A piece of text under construction.
pub(super) struct Code {
    base: u64,
    bytes: Vec<u8>,
    starts: BTreeMap<&'static str, u64>,
    /// Bytes between a function's stack pointer at a call and its return address.
    frames: BTreeMap<&'static str, u64>,
    returns: BTreeMap<(&'static str, &'static str), u64>,
    direct: Vec<(usize, &'static str)>,
    /// In order.
    pub rules: Vec<OrcRule>,
}

impl Code {
    /// Nothing yet, at `base`.
    pub(super) fn new(base: u64) -> Self {
        Self {
            base,
            bytes: Vec::new(),
            starts: BTreeMap::new(),
            frames: BTreeMap::new(),
            returns: BTreeMap::new(),
            direct: Vec::new(),
            rules: Vec::new(),
        }
    }

    fn here(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    fn begin(&mut self, name: &'static str, frame: u64) {
        while !self.bytes.len().is_multiple_of(16) {
            self.bytes.push(0xcc);
        }
        self.starts.insert(name, self.here());
        self.frames.insert(name, frame);
    }

    fn rule(&mut self, offset: i16) {
        self.rules.push(OrcRule::call(self.here(), offset));
    }

    /// A function that calls others in turn; `*name` calls through a pointer.
    pub(super) fn function(&mut self, name: &'static str, kind: Kind, calls: &[&'static str]) {
        let locals = match kind {
            Kind::Plain(locals) => locals,
            Kind::End | Kind::Entry => 0,
        };
        let plain = matches!(kind, Kind::Plain(_));
        self.begin(name, if plain { 8 + u64::from(locals) } else { 0 });
        let at = self.here();
        match kind {
            Kind::Plain(_) => {
                self.rule(8);
                self.bytes.push(0x53);
                self.rule(16);
                if locals > 0 {
                    // sub $locals,%rsp
                    self.bytes.extend([0x48, 0x83, 0xec, locals]);
                    self.rule(16 + i16::from(locals));
                }
                // mov %rdi,%rbx
                self.bytes.extend([0x48, 0x89, 0xfb]);
            }
            Kind::End => self.rules.push(OrcRule {
                base: "none",
                what: "end",
                ..OrcRule::call(at, 0)
            }),
            Kind::Entry => self.rules.push(OrcRule {
                what: "regs",
                ..OrcRule::call(at, 0)
            }),
        }
        for call in calls {
            if let Some(target) = call.strip_prefix('*') {
                // call *0x18(%rbx)
                self.bytes.extend([0xff, 0x53, 0x18]);
                self.returns.insert((name, target), self.here());
            } else {
                self.bytes.push(0xe8);
                self.direct.push((self.bytes.len(), call));
                self.bytes.extend([0; 4]);
                self.returns.insert((name, call), self.here());
            }
        }
        if plain {
            if locals > 0 {
                // add $locals,%rsp
                self.bytes.extend([0x48, 0x83, 0xc4, locals]);
                self.rule(16);
            }
            self.bytes.push(0x5b);
            self.rule(8);
            self.bytes.push(0xc3);
        } else {
            // ud2
            self.bytes.extend([0x0f, 0x0b]);
        }
    }

    /// A function of these bytes, after the first `pushes` of which a word is on the stack.
    pub(super) fn raw(&mut self, name: &'static str, pushes: bool, bytes: &[u8]) {
        self.begin(name, if pushes { 8 } else { 0 });
        self.rule(8);
        if pushes {
            self.rules.push(OrcRule::call(self.here() + 1, 16));
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Where a function begins.
    pub(super) fn at(&self, name: &str) -> u64 {
        self.starts[name]
    }

    /// Whether there is such a function.
    pub(super) fn has(&self, name: &str) -> bool {
        self.starts.contains_key(name)
    }

    /// Bytes between a function's stack pointer and its return address.
    pub(super) fn frame(&self, name: &str) -> u64 {
        self.frames[name]
    }

    /// Where `callee` returns to in `caller`.
    pub(super) fn return_of(&self, caller: &str, callee: &str) -> u64 {
        let found = self
            .returns
            .iter()
            .find(|((a, b), _)| *a == caller && *b == callee);
        *found
            .unwrap_or_else(|| panic!("{caller} does not call {callee}"))
            .1
    }

    /// The functions, ascending.
    pub(super) fn symbols(&self) -> Vec<(u64, &'static str)> {
        let mut all: Vec<_> = self.starts.iter().map(|(name, at)| (*at, *name)).collect();
        all.sort_unstable();
        all
    }

    /// The bytes, with the calls led to where they go.
    pub(super) fn build(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for (at, callee) in &self.direct {
            let next = self.base + *at as u64 + 4;
            let distance = self.at(callee).wrapping_sub(next) as u32;
            bytes[*at..at + 4].copy_from_slice(&distance.to_le_bytes());
        }
        bytes
    }
}

/// The kernel's own text.
pub(super) fn kernel(base: u64) -> Code {
    let mut code = Code::new(base);
    let plain = Kind::Plain(0);
    code.function(
        "secondary_startup_64_no_verify",
        Kind::End,
        &["start_secondary"],
    );
    code.function(
        "entry_SYSCALL_64_after_hwframe",
        Kind::Entry,
        &["do_syscall_64"],
    );
    code.function("ret_from_fork_asm", Kind::End, &["ret_from_fork"]);
    code.function("ret_from_fork", plain, &["*kthreadd", "*kthread"]);
    code.function("kthread", plain, &["*watchdog", "*worker_thread"]);
    for (name, calls) in [
        ("do_syscall_64", &["ksys_write", "do_epoll_wait"][..]),
        ("start_secondary", &["cpu_startup_entry"]),
        ("cpu_startup_entry", &["do_idle"]),
        ("do_idle", &["default_idle"]),
        ("kthreadd", &["schedule"]),
        ("worker_thread", &["schedule"]),
        ("watchdog", &["schedule", "panic"]),
        ("do_epoll_wait", &["schedule"]),
        ("ksys_write", &["fdget_pos", "vfs_write"]),
        ("fdget_pos", &["__mutex_lock"]),
        ("vfs_write", &["*crasher_write", "*proc_reg_write"]),
        ("proc_reg_write", &["*write_sysrq_trigger"]),
        ("write_sysrq_trigger", &["__handle_sysrq"]),
        ("__handle_sysrq", &["*sysrq_handle_crash"]),
        ("sysrq_handle_crash", &["panic"]),
        ("schedule", &["__schedule"]),
        ("__schedule", &["__switch_to_asm"]),
        ("vpanic", &["__crash_kexec"]),
        ("panic", &["vpanic"]),
        ("__crash_kexec", &["machine_kexec"]),
    ] {
        code.function(name, plain, calls);
    }
    // Room for the waiter.
    code.function("__mutex_lock", Kind::Plain(0x30), &["schedule"]);
    // sti; hlt; cli; ret
    code.raw("default_idle", false, &[0xfb, 0xf4, 0xfa, 0xc3]);
    // mov %rsp,0x10(%rdi); mov 0x10(%rsi),%rsp; ret
    code.raw(
        "__switch_to_asm",
        false,
        &[0x48, 0x89, 0x67, 0x10, 0x48, 0x8b, 0x66, 0x10, 0xc3],
    );
    code.raw("machine_kexec", false, &[0x0f, 0x0b]);
    code
}

/// The module's text.
pub(super) fn module(base: u64) -> Code {
    let mut code = Code::new(base);
    // push %rbx; mov %rdi,%rbx; xor %eax,%eax; mov 0x18(%rax),%rax; pop %rbx; ret
    let faulty = [
        0x53, 0x48, 0x89, 0xfb, 0x31, 0xc0, 0x48, 0x8b, 0x40, 0x18, 0x5b, 0xc3,
    ];
    code.raw("crasher_write", true, &faulty);
    // xor %eax,%eax; ret
    code.raw("crasher_open", false, &[0x31, 0xc0, 0xc3]);
    code
}
