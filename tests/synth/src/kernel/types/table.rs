//! Structs and enums of the toy kernel.

type Member = (&'static str, &'static str, u32);
pub(super) type Struct = (&'static str, u32, &'static [Member]);

/// Name, size, members (name, type, offset in bytes). A type is the name of one above, `*name` a
/// pointer, `*` a pointer to nothing known, `name[n]` an array.
pub(super) const STRUCTS: &[Struct] = &[
    (
        "list_head",
        16,
        &[("next", "*list_head", 0), ("prev", "*list_head", 8)],
    ),
    ("atomic_t", 4, &[("counter", "int", 0)]),
    ("atomic_long_t", 8, &[("counter", "long", 0)]),
    (
        "thread_info",
        24,
        &[("flags", "ulong", 0), ("cpu", "uint", 16)],
    ),
    ("thread_struct", 32, &[("sp", "ulong", 16)]),
    (
        "inactive_task_frame",
        56,
        &[
            ("r15", "ulong", 0),
            ("r14", "ulong", 8),
            ("r13", "ulong", 16),
            ("r12", "ulong", 24),
            ("bx", "ulong", 32),
            ("bp", "ulong", 40),
            ("ret_addr", "ulong", 48),
        ],
    ),
    ("irq_stack", 0x4000, &[("stack", "char[16384]", 0)]),
    ("thread_union", 0x4000, &[("stack", "ulong[2048]", 0)]),
    ("cpumask", 8, &[("bits", "ulong[1]", 0)]),
    (
        "percpu_counter",
        40,
        &[
            ("lock", "uint", 0),
            ("count", "long", 8),
            ("list", "list_head", 16),
            ("counters", "*int", 32),
        ],
    ),
    (
        "mm_struct",
        0x100,
        &[
            ("mm_count", "atomic_t", 0),
            ("pgd", "*", 8),
            ("arg_start", "ulong", 0x10),
            ("arg_end", "ulong", 0x18),
            ("rss_stat", "percpu_counter[4]", 0x20),
        ],
    ),
    (
        "signal_struct",
        0x60,
        &[("nr_threads", "int", 8), ("thread_head", "list_head", 0x20)],
    ),
    (
        "task_struct",
        0x200,
        &[
            ("thread_info", "thread_info", 0),
            ("__state", "uint", 0x18),
            ("flags", "uint", 0x1c),
            ("stack", "*", 0x20),
            ("on_cpu", "int", 0x28),
            ("exit_state", "int", 0x2c),
            ("pid", "int", 0x30),
            ("tgid", "int", 0x34),
            ("real_parent", "*task_struct", 0x38),
            ("mm", "*mm_struct", 0x40),
            ("signal", "*signal_struct", 0x48),
            ("comm", "char[16]", 0x50),
            ("start_time", "u64", 0x60),
            ("utime", "u64", 0x68),
            ("stime", "u64", 0x70),
            ("tasks", "list_head", 0x80),
            ("thread_node", "list_head", 0x90),
            ("thread", "thread_struct", 0xa0),
        ],
    ),
    (
        "rq",
        0x40,
        &[
            ("nr_running", "uint", 4),
            ("clock", "u64", 8),
            ("idle", "*task_struct", 0x18),
            ("curr", "*task_struct", 0x20),
        ],
    ),
    (
        "pcpu_hot",
        64,
        &[
            ("current_task", "*task_struct", 0),
            ("cpu_number", "int", 12),
            ("hardirq_stack_ptr", "*", 32),
        ],
    ),
    (
        "mutex",
        40,
        &[
            ("owner", "atomic_long_t", 0),
            ("wait_lock", "uint", 8),
            ("wait_list", "list_head", 16),
        ],
    ),
    (
        "mutex_waiter",
        32,
        &[
            ("list", "list_head", 0),
            ("task", "*task_struct", 16),
            ("ww_ctx", "*", 24),
        ],
    ),
    (
        "elf64_sym",
        24,
        &[
            ("st_name", "uint", 0),
            ("st_info", "char", 4),
            ("st_other", "char", 5),
            ("st_shndx", "ushort", 6),
            ("st_value", "u64", 8),
            ("st_size", "u64", 16),
        ],
    ),
    (
        "mod_kallsyms",
        24,
        &[
            ("symtab", "*elf64_sym", 0),
            ("num_symtab", "uint", 8),
            ("strtab", "*char", 16),
        ],
    ),
    (
        "module_memory",
        16,
        &[("base", "*", 0), ("size", "uint", 8)],
    ),
    (
        "mod_arch_specific",
        24,
        &[
            ("num_orcs", "uint", 0),
            ("orc_unwind_ip", "*int", 8),
            ("orc_unwind", "*", 16),
        ],
    ),
    (
        "module",
        0x200,
        &[
            ("state", "module_state", 0),
            ("list", "list_head", 8),
            ("name", "char[56]", 0x18),
            ("build_id", "char[20]", 0x50),
            ("version", "*char", 0x68),
            ("srcversion", "*char", 0x70),
            ("core_kallsyms", "mod_kallsyms", 0x80),
            ("mem", "module_memory[7]", 0xa0),
            ("arch", "mod_arch_specific", 0x120),
            ("taints", "ulong", 0x140),
            ("refcnt", "atomic_t", 0x148),
            ("source_list", "list_head", 0x150),
            ("percpu", "*", 0x168),
            ("percpu_size", "uint", 0x170),
        ],
    ),
    ("kmem_cache_order_objects", 4, &[("x", "uint", 0)]),
    (
        "kmem_cache_node",
        40,
        &[
            ("partial", "list_head", 8),
            ("nr_slabs", "atomic_long_t", 24),
            ("total_objects", "atomic_long_t", 32),
        ],
    ),
    (
        "kmem_cache_cpu",
        32,
        &[
            ("freelist", "*", 0),
            ("slab", "*slab", 16),
            ("partial", "*slab", 24),
        ],
    ),
    (
        "kmem_cache",
        88,
        &[
            ("oo", "kmem_cache_order_objects", 0),
            ("size", "uint", 8),
            ("object_size", "uint", 12),
            ("name", "*char", 16),
            ("list", "list_head", 24),
            ("node", "*kmem_cache_node[1]", 40),
            ("cpu_slab", "*kmem_cache_cpu", 48),
            ("random", "ulong", 56),
            ("offset", "uint", 64),
        ],
    ),
    (
        "slab",
        64,
        &[
            ("slab_list", "list_head", 8),
            ("slab_cache", "*kmem_cache", 24),
            ("inuse", "ushort", 32),
            ("objects", "ushort", 34),
            ("next", "*slab", 40),
        ],
    ),
    ("btf", 16, &[("data", "*", 0), ("data_size", "uint", 8)]),
    (
        "btf_module",
        32,
        &[
            ("list", "list_head", 0),
            ("btf", "*btf", 16),
            ("module", "*module", 24),
        ],
    ),
    (
        "module_use",
        48,
        &[
            ("source_list", "list_head", 0),
            ("target_list", "list_head", 16),
            ("source", "*module", 32),
            ("target", "*module", 40),
        ],
    ),
    (
        "page",
        64,
        &[
            ("flags", "ulong", 0),
            ("compound_head", "ulong", 8),
            ("mapping", "*", 24),
            ("index", "ulong", 32),
            ("private", "ulong", 40),
            ("_mapcount", "atomic_t", 48),
            ("_refcount", "atomic_t", 52),
        ],
    ),
    (
        "rb_node",
        24,
        &[
            ("__rb_parent_color", "ulong", 0),
            ("rb_right", "*rb_node", 8),
            ("rb_left", "*rb_node", 16),
        ],
    ),
    ("rb_root", 8, &[("rb_node", "*rb_node", 0)]),
    (
        "vm_struct",
        32,
        &[("flags", "ulong", 8), ("caller", "*", 24)],
    ),
    (
        "vmap_area",
        56,
        &[
            ("va_start", "ulong", 0),
            ("va_end", "ulong", 8),
            ("rb_node", "rb_node", 16),
            ("vm", "*vm_struct", 40),
        ],
    ),
    ("anon_vma", 16, &[("rb_root", "rb_root", 8)]),
    (
        "vm_area_struct",
        40,
        &[
            ("vm_start", "ulong", 0),
            ("vm_end", "ulong", 8),
            ("vm_mm", "*mm_struct", 16),
            ("vm_pgoff", "ulong", 24),
        ],
    ),
    (
        "anon_vma_chain",
        32,
        &[("vma", "*vm_area_struct", 0), ("rb", "rb_node", 8)],
    ),
];

pub(super) type Enum = (&'static str, &'static [&'static str]);

/// Enumerators from 0 on.
pub(super) const ENUMS: &[Enum] = &[
    (
        "module_state",
        &[
            "MODULE_STATE_LIVE",
            "MODULE_STATE_COMING",
            "MODULE_STATE_GOING",
            "MODULE_STATE_UNFORMED",
        ],
    ),
    (
        "mod_mem_type",
        &[
            "MOD_TEXT",
            "MOD_DATA",
            "MOD_RODATA",
            "MOD_RO_AFTER_INIT",
            "MOD_INIT_TEXT",
            "MOD_INIT_DATA",
            "MOD_INIT_RODATA",
            "MOD_MEM_NUM_TYPES",
        ],
    ),
];
