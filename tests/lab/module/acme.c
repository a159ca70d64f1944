// A kernel module that dies in a chosen way. It is compiled without the kernel's headers: what it
// needs of them are a few layouts that are the same in Linux 5.10 to 7.2, and the size and offsets
// of struct module, which src/module.rs reads out of a module of the same kernel.
//
// THIS_SIZE, NAME_AT, INIT_AT, EXIT_AT, VERMAGIC and HOW come from the command line; LOCKDEP, too,
// where the kernel checks the order of its locks (CONFIG_PROVE_LOCKING).

#define NULL_DEREF 1
#define BUG 2
#define SOFTIRQ 3
#define HARDIRQ 4
#define SPINNER 5
#define NOTIFIERS 6
#define NOTIFIER_SLOW 7
#define NOTIFIER_CRASHES 8
#define DIVIDE 9
#define STACK 10
#define LOCKUP 11
#define BAD_ADDRESS 12
#define WARN 13
#define DEADLOCK 14
#define SOFT_LOCKUP 15
#define RCU_STALL 16
#define OVERFLOW 17
#define DOUBLE_FAULT 18
#define PANIC_IN_IRQ 19
#define COUNTERS 20
#define HARD_LOCKUP 21
#define USE_AFTER_FREE 22
#define OUT_OF_BOUNDS 23
#define ARRAY_INDEX 24
#define LIST_CORRUPTION 25
#define REFCOUNT 26
#define ATOMIC_SLEEP 27

#define INFO(tag, name, value) \
    __attribute__((section(".modinfo"), used)) static const char name[] = tag "=" value
INFO("license", info_license, "GPL");
INFO("name", info_name, "acme");
INFO("depends", info_depends, "");
INFO("retpoline", info_retpoline, "Y");
INFO("vermagic", info_vermagic, VERMAGIC);

#define TEXT(x) #x
#define STRING(x) TEXT(x)
__asm__(".pushsection .gnu.linkonce.this_module, \"aw\"\n"
        ".balign 64\n"
        ".globl __this_module\n"
        "__this_module:\n"
        ".zero " STRING(NAME_AT) "\n"
        ".asciz \"acme\"\n"
        ".zero " STRING(INIT_AT) " - " STRING(NAME_AT) " - 5\n"
        ".quad init_module\n"
        ".zero " STRING(EXIT_AT) " - " STRING(INIT_AT) " - 8\n"
        ".quad cleanup_module\n"
        ".zero " STRING(THIS_SIZE) " - " STRING(EXIT_AT) " - 8\n"
        ".popsection\n");

#include "machine.h"

int PRINTK(const char *format, ...);

// A device that was taken away while its poller still runs.
struct acme {
    char name[24];
    unsigned long irqs;
};
struct acme *volatile acme_device;

__attribute__((noinline)) unsigned long acme_poll(void)
{
#ifdef NULL_IS_READABLE
    acme_device->irqs++;
#endif
    return acme_device->irqs;
}

__attribute__((noinline)) unsigned long acme_work(void)
{
    return acme_poll() + 1;
}

#if HOW == SOFTIRQ
// struct timer_list: include/linux/timer_types.h
struct timer {
    void *next, **pprev;
    unsigned long expires;
    void (*function)(struct timer *);
    unsigned int flags;
    unsigned int pad[8];
};
int mod_timer(struct timer *timer, unsigned long expires);
extern unsigned long volatile jiffies;
static void fire(struct timer *timer)
{
    (void)timer;
    acme_work();
}
static struct timer timer = { .function = fire };
#endif

#if HOW == BUG || HOW == WARN
__attribute__((used)) const char acme_file[] = "acme.c";
__attribute__((noinline)) void acme_check(void)
{
#if HOW == BUG
    TRAP(77, 0);
#else
    // BUGFLAG_WARNING and TAINT_WARN
    TRAP(77, 0x901);
#endif
}
#endif

#if HOW == BAD_ADDRESS
__attribute__((noinline)) void acme_store(void)
{
    // Where KASAN's shadow would be: nothing is mapped there.
    *(volatile unsigned long *)0xfffff000deadb000 = 1;
}
#endif

#if HOW == SOFT_LOCKUP || HOW == RCU_STALL
void __rcu_read_lock(void);
__attribute__((noinline)) void acme_spin(void)
{
    for (;;)
        PAUSE();
}
#endif

#if HOW == COUNTERS
// The first zone is the first member of the first node: include/linux/mmzone.h. Item 0 is
// NR_FREE_PAGES.
struct zone;
extern struct zone *node_data[];
void mod_zone_page_state(struct zone *zone, int item, long delta);
#endif

#if HOW == HARD_LOCKUP
__attribute__((noinline)) void acme_spin(void)
{
    INTERRUPTS_OFF();
    for (;;)
        PAUSE();
}
#endif

#if HOW == LOCKUP
__attribute__((noinline)) void acme_spin(void)
{
    INTERRUPTS_OFF();
    // The host reads this and sends one. The console is written before printk returns.
    PRINTK("\0011guest: waits for a non-maskable interrupt\n");
    for (;;)
        PAUSE();
}
#endif

#if HOW == OVERFLOW
__attribute__((noinline)) unsigned long acme_recurse(unsigned long n)
{
    volatile unsigned long here[64];
    here[n % 64] = n;
    if (!n)
        return 0;
    return acme_recurse(n + 1) + here[(n + 1) % 64];
}
#endif

#if HOW == DOUBLE_FAULT
__attribute__((noinline)) void acme_lose_stack(void)
{
    __asm__ volatile("movabs $0xfffff000deadb000, %%rsp; push %%rax" ::: "memory");
}
#endif

#if HOW == DEADLOCK
// Room for a struct mutex and a lock_class_key of any configuration.
struct lock {
    unsigned long room[64];
};
struct task;
// Weak: a kernel has the one or the other (kernel/locking/mutex.c); 7.2 without lockdep has the second.
__attribute__((weak)) void __mutex_init(struct lock *lock, const char *name, void *key);
__attribute__((weak)) void mutex_init_generic(struct lock *lock);
// As data: code of aarch64 cannot reach the address 0 of the one that is missing.
static void (*volatile with_name)(struct lock *lock, const char *name, void *key) = __mutex_init;
static void (*volatile without)(struct lock *lock) = mutex_init_generic;
static void init(struct lock *lock, const char *name, void *key)
{
    if (with_name)
        with_name(lock, name, key);
    else
        without(lock);
}
#ifdef LOCKDEP
// CONFIG_DEBUG_LOCK_ALLOC: mutex_lock() is a macro.
void mutex_lock_nested(struct lock *lock, unsigned int subclass);
#define mutex_lock(lock) mutex_lock_nested(lock, 0)
#else
void mutex_lock(struct lock *lock);
#endif
void mutex_unlock(struct lock *lock);
void msleep(unsigned int ms);
struct task *kthread_create_on_node(int (*function)(void *), void *data, int node,
                                    const char *name, ...);
int wake_up_process(struct task *task);
struct lock acme_first, acme_second;
static unsigned long first_key[8], second_key[8];
static int acme_forth(void *data)
{
    (void)data;
    mutex_lock(&acme_first);
    msleep(500);
    mutex_lock(&acme_second);
    mutex_unlock(&acme_second);
    mutex_unlock(&acme_first);
    return 0;
}
static int acme_back(void *data)
{
    (void)data;
    mutex_lock(&acme_second);
    msleep(500);
    mutex_lock(&acme_first);
    mutex_unlock(&acme_first);
    mutex_unlock(&acme_second);
    return 0;
}
#endif

#if HOW == HARDIRQ || HOW == PANIC_IN_IRQ
// struct irq_work: include/linux/irq_work.h
struct irq_work {
    void *next;
    unsigned int flags;
    unsigned short src, dst;
    void (*function)(struct irq_work *);
    void *task;
};
_Bool irq_work_queue(struct irq_work *work);
#if HOW == PANIC_IN_IRQ
void panic(const char *format, ...);
__attribute__((noinline)) void acme_give_up(void)
{
    panic("acme: the device is on fire");
}
#endif
static void fire(struct irq_work *work)
{
    (void)work;
#if HOW == PANIC_IN_IRQ
    acme_give_up();
#else
    acme_work();
#endif
}
static struct irq_work work = { .function = fire };
#endif

#if HOW == SPINNER
int smp_call_function_single(int cpu, void (*function)(void *), void *info, int wait);
static volatile int spins;
static void spin(void *info)
{
    (void)info;
    spins = 1;
    for (;;)
        PAUSE();
}
#endif

#if HOW == NOTIFIERS || HOW == NOTIFIER_SLOW || HOW == NOTIFIER_CRASHES
// struct notifier_block: include/linux/notifier.h
struct notifier {
    int (*call)(struct notifier *self, unsigned long action, void *data);
    struct notifier *next;
    int priority;
};
struct notifier_head;
extern struct notifier_head panic_notifier_list;
int atomic_notifier_chain_register(struct notifier_head *head, struct notifier *block);
void __const_udelay(unsigned long loops);
static int acme_panics(struct notifier *self, unsigned long action, void *data)
{
    (void)self, (void)action, (void)data;
    PRINTK("\0011acme: the notifier runs\n");
#if HOW == NOTIFIER_SLOW
    // 0x10c7 a microsecond: asm-generic/delay.h. Three seconds.
    for (int n = 0; n < 3000; n++)
        __const_udelay(1000 * 0x10c7);
    PRINTK("\0011acme: the notifier is through\n");
#elif HOW == NOTIFIER_CRASHES
    // Once: the oops panics again, and a notifier that always crashes would never let that end.
    static int crashed;
    if (!crashed++)
        acme_work();
#endif
    return 0;
}
static struct notifier notifier = { .call = acme_panics, .priority = 100 };
#endif

#include "checkers.h"

int init_module(void)
{
    PRINTK("\0014acme: loaded\n");
#if HOW == NULL_DEREF
    acme_work();
#elif HOW == BUG || HOW == WARN
    acme_check();
#elif HOW == BAD_ADDRESS
    acme_store();
#elif HOW == SOFT_LOCKUP
    acme_spin();
#elif HOW == RCU_STALL
    __rcu_read_lock();
    acme_spin();
#elif HOW == OVERFLOW
    acme_recurse(1);
#elif HOW == DOUBLE_FAULT
    acme_lose_stack();
#elif HOW == DEADLOCK
    init(&acme_first, "acme_first", first_key);
    init(&acme_second, "acme_second", second_key);
    wake_up_process(kthread_create_on_node(acme_forth, 0, -1, "acme-forth"));
    wake_up_process(kthread_create_on_node(acme_back, 0, -1, "acme-back"));
#elif HOW == SOFTIRQ
    mod_timer(&timer, jiffies + 10);
#elif HOW == HARDIRQ || HOW == PANIC_IN_IRQ
    irq_work_queue(&work);
#elif HOW == SPINNER
    smp_call_function_single(1, spin, 0, 0);
    while (!spins)
        PAUSE();
    acme_work();
#elif HOW == NOTIFIERS || HOW == NOTIFIER_SLOW || HOW == NOTIFIER_CRASHES
    atomic_notifier_chain_register(&panic_notifier_list, &notifier);
#elif HOW == DIVIDE
    __asm__ volatile("xor %%ecx, %%ecx; mov $1, %%eax; cltd; idiv %%ecx" ::: "eax", "ecx", "edx");
#elif HOW == STACK
    JUMP_AWAY();
#elif HOW == LOCKUP || HOW == HARD_LOCKUP
    acme_spin();
#elif HOW == COUNTERS
    mod_zone_page_state(node_data[0], 0, 100000);
    acme_work();
#elif HOW >= USE_AFTER_FREE
    acme_die();
#endif
    return 0;
}

void cleanup_module(void)
{
}
