// The ways to die that only a kernel with its own checkers notices (kernel/6.12-debug.config). The
// declarations are those of Linux 6.12: include/linux/{slab,list,refcount,spinlock_api_smp}.h.

#if HOW == USE_AFTER_FREE || HOW == OUT_OF_BOUNDS
// GFP_KERNEL: direct and kswapd reclaim, I/O, filesystems.
#define GFP_KERNEL 0xcc0
void *__kmalloc_noprof(unsigned long size, unsigned int flags);
void kfree(const void *object);
static char *volatile acme_buffer;
__attribute__((noinline)) int acme_take(void)
{
    acme_buffer = __kmalloc_noprof(100, GFP_KERNEL);
    return acme_buffer != 0;
}
#endif

#if HOW == USE_AFTER_FREE
__attribute__((noinline)) void acme_drop(void)
{
    kfree(acme_buffer);
}
__attribute__((noinline)) int acme_read_freed(void)
{
    return acme_buffer[8];
}
static int acme_die(void)
{
    if (!acme_take())
        return 0;
    acme_drop();
    return acme_read_freed();
}
#endif

#if HOW == OUT_OF_BOUNDS
__attribute__((noinline)) void acme_fill(int size)
{
    for (int n = 0; n < size; n++)
        acme_buffer[n] = 'a';
}
static int acme_die(void)
{
    if (acme_take())
        acme_fill(101);
    return 0;
}
#endif

#if HOW == ARRAY_INDEX
static volatile int acme_slots[8];
__attribute__((noinline)) int acme_slot(int n)
{
    return acme_slots[n];
}
static volatile int acme_wanted = 8;
static int acme_die(void)
{
    return acme_slot(acme_wanted);
}
#endif

#if HOW == LIST_CORRUPTION
struct list {
    struct list *next, *prev;
};
_Bool __list_del_entry_valid_or_report(struct list *entry);
static struct list head, entry;
__attribute__((noinline)) void acme_unlink(struct list *old)
{
    if (!__list_del_entry_valid_or_report(old))
        return;
    old->next->prev = old->prev;
    old->prev->next = old->next;
}
static int acme_die(void)
{
    head.next = head.prev = &entry;
    // Somebody wrote over it.
    entry.next = &head;
    entry.prev = &entry;
    acme_unlink(&entry);
    return 0;
}
#endif

#if HOW == REFCOUNT
// enum refcount_saturation_type: REFCOUNT_SUB_UAF
#define SUB_UAF 3
void refcount_warn_saturate(int *count, int type);
static int acme_users;
__attribute__((noinline)) void acme_put(void)
{
    int old = __atomic_fetch_sub(&acme_users, 1, __ATOMIC_RELEASE);
    if (old <= 0)
        refcount_warn_saturate(&acme_users, SUB_UAF);
}
static int acme_die(void)
{
    acme_put();
    return 0;
}
#endif

#if HOW == ATOMIC_SLEEP
// Room for a raw_spinlock with its debug members; LD_WAIT_SPIN.
struct spinlock {
    unsigned long room[32];
};
void __raw_spin_lock_init(struct spinlock *lock, const char *name, void *key, short inner);
void _raw_spin_lock(struct spinlock *lock);
void _raw_spin_unlock(struct spinlock *lock);
void msleep(unsigned int ms);
static struct spinlock acme_lock;
static unsigned long acme_lock_key[8];
__attribute__((noinline)) void acme_wait(void)
{
    _raw_spin_lock(&acme_lock);
    msleep(10);
    _raw_spin_unlock(&acme_lock);
}
static int acme_die(void)
{
    __raw_spin_lock_init(&acme_lock, "acme_lock", acme_lock_key, 2);
    acme_wait();
    return 0;
}
#endif
