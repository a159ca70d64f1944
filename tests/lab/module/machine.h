// What the machine's instructions are: a trap with an entry in the table of bugs, a wait in a loop,
// interrupts off, and the faults that only some machines have.

// struct bug_entry: include/asm-generic/bug.h, with relative pointers, until 6.18.
#define BUG_ENTRY(line, flags) \
    ".pushsection __bug_table, \"aw\"\n" \
    "2: .long 1b - .\n" \
    ".long acme_file - .\n" \
    ".short " STRING(line) ", " STRING(flags) "\n" \
    ".org 2b + 12\n" \
    ".popsection\n"

#if defined(__x86_64__)

#define TRAP(line, flags) __asm__ volatile("1: ud2\n" BUG_ENTRY(line, flags))
#define PAUSE() __asm__ volatile("pause")
#define INTERRUPTS_OFF() __asm__ volatile("cli")
#define JUMP_AWAY() __asm__ volatile("mov $0xdead000000000000, %%rax; jmp *%%rax" ::: "rax")

#elif defined(__aarch64__)

// BUG_BRK_IMM: arch/arm64/include/asm/brk-imm.h.
#define TRAP(line, flags) __asm__ volatile("1: brk #0x800\n" BUG_ENTRY(line, flags))
#define PAUSE() __asm__ volatile("yield")
#define INTERRUPTS_OFF() __asm__ volatile("msr daifset, #2")
#define JUMP_AWAY() __asm__ volatile("mov x16, #0xdead000000000000\n br x16" ::: "x16")
// The kernel puts its veneers there (arch/arm64/include/asm/module.lds.h) and refuses a module without them. The
// last one is new, and came to older series by updates.
__asm__(".pushsection .plt, \"ax\"\n.byte 0\n.popsection\n"
        ".pushsection .init.plt, \"ax\"\n.byte 0\n.popsection\n"
        ".pushsection .text.ftrace_trampoline, \"ax\"\n.byte 0\n.popsection\n"
        ".pushsection .init.text.ftrace_trampoline, \"ax\"\n.byte 0\n.popsection\n");

#elif defined(__riscv)

// The kernel puts its veneers there (arch/riscv/include/asm/module.lds.h) and refuses a module without them.
__asm__(".pushsection .plt, \"ax\"\n.byte 0\n.popsection\n"
        ".pushsection .got, \"aw\"\n.byte 0\n.popsection\n"
        ".pushsection .got.plt, \"aw\"\n.byte 0\n.popsection\n");

#elif defined(__powerpc64__)

// The same (arch/powerpc/include/asm/module.h).
__asm__(".pushsection .stubs, \"ax\", @nobits\n.align 3\n.popsection\n"
        ".pushsection .ftrace.tramp, \"ax\", @nobits\n.align 3\n.popsection\n");

#elif defined(__s390x__)

// The first page is the lowcore, which can be read; only writes to it fail (low-address protection).
#define NULL_IS_READABLE 1

#else
#error "nothing is known of this machine"
#endif

#if !defined(__x86_64__) && (HOW == DIVIDE || HOW == DOUBLE_FAULT)
#error "only x86_64 dies this way"
#endif
