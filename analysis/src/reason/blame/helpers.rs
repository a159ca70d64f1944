//! The table of helpers: names by group. A name is compared without leading underscores and without what
//! the compiler put behind a dot; `*` at an end stands for anything, `^` at
//! the start keeps the underscores.

use super::Groups;

/// A group and its names.
pub(super) const HELPERS: &[(Groups, &str)] = &[
    (
        Groups::REPORT,
        "*_panic \
         panic panic_* vpanic nmi_panic dump_stack* show_stack* show_regs* show_trace* show_registers \
         report_bug handle_bug fixup_bug warn warn_slowpath* warn_printk warn_alloc check_panic_on_warn \
         die die_body die_addr die_kernel_fault oops_begin oops_end no_context bad_area* bad_kernel* page_fault \
         page_fault_oops do_page_fault* do_user_addr_fault do_kern_addr_fault do_kernel_fault \
         do_bad_area do_translation_fault do_tag_check_* do_tag_recovery do_mem_abort do_alignment_fault do_sp_pc_abort do_DataAbort \
         do_PrefetchAbort do_bad dabt_svc pabt_svc und_svc und_fault do_undefinstr do_undef_instr \
         kernelmode_fixup_or_oops exc_* asm_exc_* async_page_fault do_async_page_fault do_trap \
         do_error_trap do_*_trap trap_* do_invalid_op invalid_op do_general_protection \
         general_protection do_divide_error divide_error do_int3 int3 do_double_fault double_fault \
         do_stack_segment stack_segment do_coprocessor_segment_overrun error_entry error_code \
         el1* el1h* bug_handler brk_handler do_el1_* do_debug_exception call_break_hook \
         program_check* do_program_check interrupt_return handle_page_fault do_entInstr \
         bad_page_fault data_access_common* instruction_access_common* do_exception* pgm_check* \
         do_report_trap do_trap_* handle_exception* trap_da resume_userspace_exception \
         arm_notify_die notify_die atomic_notifier_call_chain end_report print_report print_address_description* \
         print_memory* panic_bad_stack handle_bad_stack bad_stack start_report describe_object* describe_address* crash_kexec* machine_kexec* crash_setup_regs crash_save_cpu \
         machine_crash_shutdown stack_chk_fail handle_stack_overflow unwind_backtrace arch_stack_walk* \
         stack_trace_* save_stack* dump_backtrace* walk_stackframe* c_backtrace show_stack_log_lvl bad_page \
         sched_show_task show_state* handle_cfi_failure report_cfi* cfi_slowpath* cfi_check* ubsan_* \
         default_do_nmi nmi_handle unknown_nmi_error end_repeat_nmi perf_event_overflow \
         handle_pmi_common intel_pmu_handle_irq perf_event_nmi_handler watchdog_timer_fn watchdog_overflow_callback watchdog_hardlockup_* watchdog_buddy_* panic_on_rcu_stall",
    ),
    (
        Groups::SANITIZER,
        "sanitizer_* asan_* *kasan* hwasan_* msan_* *kmsan* tsan_* kcsan_* *_kcsan_* ubsan_* \
         check_memory_region* check_region_inline memory_is_* memory_is_poisoned* bytes_is_nonzero \
         read_word_at_a_time kfence_* handle_overflow write_comp_data check_kcov_mode fentry",
    ),
    (
        Groups::MEMORY,
        "*memcpy* *memmove* *memset* *memcmp* *memchr* *strcmp* *strncmp* *strscpy* *strlcpy* *strnlen* *strlen* *strchr* *strstr* *strnstr* *string* *set_bit* *clear_bit* *change_bit* *test_bit* *_pointer \
         nla_memcpy nla_memcmp nla_strcmp nla_strscpy ucs2_str* text_poke_mem* memcpy* memmove* memset* memcmp* memchr* memscan bcmp strcmp* strncmp* strcpy* strncpy* strlcpy* \
         strscpy* strlen* strnlen* strchr* strrchr* strstr* strnstr* strcat* strlcat* strncat* \
         strcasecmp* strncasecmp* strsep strspn strcspn strpbrk strim skip_spaces sized_strscpy \
         fortify_panic fortify_report *_indirect_thunk_* x86_return_thunk* *_return_thunk \
         copy_page clear_bit set_bit test_bit \
         test_and_* change_bit atomic_* arch_atomic* raw_atomic* \
         variable_test_bit constant_test_bit  read_once_size write_once_size",
    ),
    (
        Groups::LIST,
        "*list_add* *list_del* *list_replace* *list_move* *list_splice* \
         llist_add_batch llist_del_first plist_add plist_del list_add* list_del* list_replace* list_move* list_splice* hlist_add* hlist_del* hlist_nulls_* list_empty* \
         list_bl_* list_cut* INIT_LIST_HEAD hlist_unhashed* list_bulk_move*",
    ),
    (
        Groups::USER,
        "*copy_from_user* *copy_to_user* copyin copyout get_user* put_user* *_get_user* *_put_user* *might_fault* \
         kfifo_copy_* csum_and_copy_* copy_to_user* copy_from_user* copy_user* copy_to_iter_mcsafe arch_copy_to_user arch_copy_from_user \
         copyin copyout instrument_copy_* might_fault put_user* get_user get_user_1 get_user_2 get_user_4 get_user_8 get_user_nocheck* get_user_asm* get_user_size* clear_user raw_copy_* \
         rep_movs_alternative rep_stos_alternative check_copy_size check_object_size check_heap_object \
         usercopy_abort usercopy_warn report_usercopy strncpy_from_user do_strncpy_from_user strnlen_user \
         access_ok might_sleep* might_resched* *copy_to_iter* *copy_from_iter* copy_page_to_iter* copy_page_from_iter* copy_folio_to_iter* memcpy_to_iter* memcpy_from_iter* raw_get_user* raw_put_user* asm_copy_*_user",
    ),
    (
        Groups::LOCK,
        "*_read_lock_* *_write_lock_* *_read_unlock_* *_write_unlock_* *perf_trace_* *_wake_up_* \
         ldsem_* *_read_unlock *_read_unlock_special *_read_trylock mutex_is_locked *lock_acquire *lock_release lock_class* look_up_lock_class seqprop_* *_seqprop_assert* warn_bogus_irq_restore task_blocks_on_rt_mutex *task_rq_lock *_write_lock *_write_unlock *_read_lock register_lock_class reacquire_held_locks validate_chain check_prev_add check_prevs_add check_deadlock check_noncircular check_irq_usage check_flags* check_usage* check_wait_context check_redundant check_lock* check_chain_key check_preemption_disabled lock_downgrade lock_pin* lock_repin* lock_unpin* lock_set_class lock_set_subclass debug_locks_off mark_lock* \
         lockdep_* *_lockdep_* lock_is_held* print_*_bug print_*_dependency *spin_lock* *spin_unlock* *spin_trylock* spin_dump spin_bug \
         rwlock_bug raw_read_lock* raw_read_unlock* raw_read_trylock* raw_write_lock* raw_write_unlock* \
         raw_write_trylock* do_raw_* read_lock* read_unlock* write_lock* write_unlock* queued_spin_* queued_read_* queued_write_* queued_fetch_* \
         native_queued_* pv_queued_* pv_wait* pv_kick* virt_spin_lock arch_spin_* mcs_spin_* \
         queue_spin_* queue_read_* queue_write_* ticket_spin_* rspin_until_* *spin_rq_* \
         mutex_lock* mutex_trylock* mutex_unlock* mutex_remove_waiter mutex_can_spin* mutex_optimistic* mutex_spin* \
         mutex_fastpath* ww_mutex_* ww_mutex_lock* osq_* down down_read* down_write* down_trylock down_timeout down_interruptible down_killable down_common up up_read up_write downgrade_write \
         rwsem_* rtlock_* rt_mutex_* rt_spin_* rt_read_* rt_write_* percpu_down* percpu_up* percpu_rwsem* \
         seqcount_* read_seqbegin write_seqlock* write_sequnlock* local_bh_enable* local_bh_disable* \
         trace_hardirqs_* trace_softirqs_* wake_up wake_up_common* wake_up_process wake_up_state wake_up_bit wake_up_locked* wake_up_sync* wake_up_interruptible* find_held_lock mark_held_locks hlock_class \
         save_trace add_lock_to_list noop_count lock_stat* lock_contended lock_acquired debug_check_no_locks_* \
         debug_spin_* debug_mutex_* debug_rt_mutex* perf_trace* trace_event_raw_event_lock* class_*_constructor \
         class_*_destructor",
    ),
    (
        Groups::PRINT,
        "*printk* *snprintf* *scnprintf* *print_hex_dump* print_unlock* \
         printk* vprintk* _printk dev_printk* dev_info dev_notice dev_warn dev_err dev_alert dev_crit dev_emerg \
         dev_vprintk* netdev_printk* netdev_err netdev_warn netdev_info netdev_notice netdev_crit netdev_alert netdev_emerg dev_err_probe dev_warn_probe va_format string string_nocheck pointer vsnprintf snprintf vscnprintf scnprintf \
         sprintf vsprintf kasprintf kvasprintf* number symbol_string ip*_string mac_address_string hex_string resource_string bitmap_string uuid_string escaped_string time_str dentry_name special_hex_number format_decode hex_dump_to_buffer print_hex_dump widen_string \
         vkdb_printf seq_printf seq_vprintf bstr_printf vbin_printf \
         dentry_name",
    ),
    (
        Groups::ALLOC,
        "*malloc* *zalloc* *calloc* *alloc_page* *kmem_cache* *krealloc* *memdup* *strdup* *strndup* \
         kmalloc* kzalloc* kcalloc* krealloc* kvmalloc* kvcalloc* kvzalloc* devm_k* *_kmalloc *_vmalloc \
         *_wmalloc *_omalloc *_zalloc *kasprintf kvrealloc* vmalloc* vzalloc* vcalloc kmem_* *slab_* \
         alloc_page* alloc_pages* alloc_contig* folio_alloc* get_free_page* get_zeroed_page kfree kfree_const kfree_sensitive kzfree kfree_link kfree_strarray \
         kfree_nolock kfree_skb* kfree_call_rcu* kvfree kvfree_sensitive kvfree_call_rcu free_page* free_pages* free_large_kmalloc free_kmem_pages do_kmem_cache* do_kmalloc* \
         cache_alloc* cache_free* allocate_slab kmemdup* memdup_* kstrdup* kstrndup strdup strndup* \
         alloc_percpu* kasprintf kvasprintf mempool_alloc* mempool_free* mempool_kmalloc* mempool_kfree ksize *_alloc_noprof \
         alloc_frozen_* dma_alloc* dma_direct_alloc* dmam_alloc* devm_kmalloc* devres_alloc*",
    ),
    (
        Groups::POOL,
        "rmqueue* get_page_from_freelist prep_new_page post_alloc_hook free_unref_* free_one_page \
         free_frozen_* free_tail_* free_pcp* cache_grow* new_slab* poison_* unpoison_* deactivate_slab \
         get_partial* set_freepointer get_freepointer* setup_object* should_fail* fail_dump \
         fail_usercopy memcg_charge* memcg_*_charge* memcg_*uncharge* memcg_slab_* memcg_kmem_* memcg_alloc_abort* obj_cgroup_*charge* kmemleak_* create_object alloc_object pcpu_alloc* pcpu_find_block* pcpu_block_* pcpu_chunk_* pcpu_populate* pcpu_create* pcpu_memcg_* object_err \
         slab_err print_trailer print_tracking check_bytes_and_report check_object check_slab \
         slab_pad_check slab_fix slab_bug free_to_partial* check_slab* free_debug_processing \
         alloc_debug_processing free_consistency_checks alloc_consistency_checks set_page_owner \
         reset_page_owner object_*",
    ),
    (
        Groups::MAKER,
        "debug_objects_* *kmemleak* *kmem* *slab* *alloc* *strdup* *strndup* *memdup* *asprintf* *idr_get* *list_lru_init* *pcpu_create* *mmap* *create_object*",
    ),
    (
        Groups::COUNT,
        "*kobject_* \
         refcount_* kref_* kobject_* kobj_child_* kobj_kset_* kobj_ns_* ref_tracker_* percpu_ref_get* percpu_ref_put* percpu_ref_tryget* percpu_ref_kill* percpu_ref_init percpu_ref_exit percpu_ref_reinit percpu_ref_resurrect rcuref_*",
    ),
    (
        Groups::WAIT,
        "schedule* preempt_schedule* io_schedule* context_switch switch_to* cond_resched* \
         mutex_lock* rtnl_lock* console_lock device_lock inode_lock* lock_mount* read_lock* write_lock* lock_two_nondirectories bdi_* *_slowlock* *_lock_slowpath \
         rwbase_* rtmutex_* rt_mutex_* wait_* do_wait_* freeze_queue_wait blk_mq_freeze_queue_wait* folio_wait_* *wait_for_common *wait_for_completion* wait_for_common \
         down down_* rwsem_* percpu_rwsem_* percpu_down_* out_of_line_wait_on_* bit_wait* bit_wait_io* folio_lock* folio_lock_io* lock_page* \
         lock_buffer wait_on_* *synchronize_* wait_rcu_gp rcu_barrier* cancel_* flush_work* flush_delayed_work \
         flush_workqueue* drain_workqueue kthread kthread_stop* kthread_park kthread_flush_work* kthread_flush_worker call_rwsem_* \
         jbd2_log_wait_commit* completion_done hrtimer_nanosleep do_nanosleep msleep* usleep_range* rwlock_* \
         lock_sock* sleep_on_page*",
    ),
    (
        Groups::TEARDOWN,
        "*device_add* *device_del *device_del_* *device_unregister* *device_release* *device_destroy* *device_remove_file* *queue_work* *flush_work* *drain_workqueue *destroy_workqueue* *cancel_work_sync *kthread_stop* *del_timer* *finish_wait *insert_work *hwrng_unregister *unregister_netdev* \
         kthread_flush_work* kthread_cancel_work* *dpm_sysfs* *sysfs_remove* devres_release_all device_release device_release_driver* klist_* sk_stop_timer* del_timer* timer_delete* timer_shutdown* try_to_del_timer* flush_work* cancel_work* cancel_delayed_work* cancel_work_timer try_to_grab_pending \
         flush_workqueue* drain_workqueue destroy_workqueue finish_wait kthread_stop kobject_del kobject_put \
         kobject_uevent_env kobject_uevent add_uevent_var get_device_parent device_add device_del device_unregister \
         device_destroy hwrng_unregister i2c_del_adapter unregister_client device_for_each_child* \
         rollback_registered* unregister_netdev* sysfs_remove* device_remove_file* \
         tty_unregister_device dummy_urb_enqueue usb_kill_urb usb_kill_anchored_urbs usb_control_msg* usb_hcd_submit_urb usb_submit_urb \
         start_flush_work touch_work_lockdep_map queue_work* queue_delayed_work* insert_work mod_timer lock_timer_base \
         complete complete_all complete_with_flags *wait_for_completion* cleanup_srcu_struct",
    ),
    (
        Groups::OBJECT,
        "debug_* rcu* call_rcu* *_rcu hrtimer_* timer_* timer_fixup* work_* percpu_* init_timer* init_work kobject_* \
         *rcu* *timer_* *work_* assert_* lookup_object* activate_* *_is_static_object init_srcu* cleanup_srcu* ^__free_*",
    ),
    (Groups::RCU, "*rcu* *kmem* *slab*"),
    (
        Groups::PREEMPT,
        "*preempt* check_preemption* might_sleep* might_resched* cant_sleep* debug_smp_processor_id *processor_id* *this_cpu* \
         schedule_bug schedule_debug schedule schedule_* preempt_schedule* cond_resched* context_switch \
         io_schedule* msleep* ssleep* usleep_range* fsleep* do_nanosleep hrtimer_nanosleep *wait_for_common \
         *wait_for_completion* synchronize_rcu* wait_rcu_gp",
    ),
    (
        Groups::LIBRARY,
        "find_next_bit find_first_bit* find_next_zero_bit csum_partial* do_csum iov_iter_* iterate_* rb_next* rb_prev* rb_first* rb_last* rb_replace* rb_link_node* rb_set_parent* rb_rotate_* rb_change_child* rb_add* rb_find* rbtree_* rb_insert* rb_erase* xa_* xas_* radix_tree_* idr_* ida_* rht_* rhashtable_* rhltable_* llist_* plist_* \
         klist_* interval_tree_* assoc_array_* maple_tree_* mas_* mtree_* mab_* sg_next sg_init* sg_alloc* sg_free* sg_miter_* \
         sg_set* sg_copy_* sg_pcopy* bitmap_set bitmap_clear bitmap_zero bitmap_fill bitmap_weight* bitmap_parse* bitmap_print* bitmap_find_* bitmap_and* bitmap_or bitmap_xor bitmap_equal bitmap_subset bitmap_intersects bitmap_copy* bitmap_from_* bitmap_to_* bitmap_allocate_region bitmap_release_region percpu_counter_* lockref_* kfifo_* llist_* raw_readb raw_readw raw_readl raw_readq raw_writeb raw_writew raw_writel raw_writeq readb readw readl readq writeb writew writel \
         writeq ioread* iowrite* inb inw inl outb outw outl logic_in* logic_out* read_once_* phys_addr* virt_to_* phys_to_* page_address kunmap* kmap* \
         crc32* crc16* hash_name* hash_mix jhash* siphash* ref_tracker_* stack_depot_* depot_* sort_r do_swap match_token get_option* \
         kstrto* simple_strto* parse_int* hex_to_bin hex2bin bin2hex debugfs_* kthread_create* kthread_run* call_srcu* \
         synchronize_srcu* cleanup_srcu* init_srcu* srcu_*",
    ),
    (
        Groups::BUFFER,
        "alloc_skb* netdev_alloc_skb* napi_alloc_skb* dev_alloc_skb* sock_alloc_send_* sock_wmalloc *kfree_skb* sk_skb_reason_drop consume_skb* skb_release_* skb_free_head sk_alloc_* skb_panic skb_over_panic skb_under_panic skb_push* skb_put* skb_pull* skb_trim* skb_unlink skb_queue_* skb_dequeue* skb_insert* skb_cow* skb_header_pointer \
         pskb_* skb_copy_bits skb_store_bits skb_checksum* skb_to_sgvec* folio_unlock folio_lock folio_put* folio_get folio_ref_* folio_mark_* folio_wait_* folio_end_* folio_mapping folio_test_* folio_set_* folio_clear_* folio_flags folio_add_* folio_undo_* folio_zero_* folio_try_* folio_copy* page_ref_* page_cache_* page_mapping page_to_* page_folio page_zone page_pool_* page_frag_* page_copy_sane page_is_* page_mapcount page_kasan_* *compound_head* put_page* get_page* lock_page* unlock_page* set_page_* \
         clear_page_* clear_highpage* find_lock_entries find_get_entries find_get_page* find_lock_page* filemap_get_* pagecache_get_page truncate_inode_pages* invalidate_mapping_pages* PageTail PageHead mark_buffer_* brelse* bforget* unlock_buffer* lock_buffer* \
         drop_nlink inc_nlink set_nlink clear_nlink iput ihold igrab dput fast_dput dget*   mntput* mntget* sock_hold sock_put sk_free get_device put_device of_node_* \
             dma_pool_* dma_free_* sock_init_data* get_pfnblock* pfn_to_* ",
    ),
    (
        Groups::EVENT,
        "lock_timer_base mod_timer* timer_* add_timer* add_timer_on timer_pending detach_timer* detach_if_pending internal_add_timer calc_wheel_index \
         debug_object_* debug_timer_* debug_check_* debug_print_* debug_work_* debug_hrtimer_* lookup_object* *_is_static_object timer_fixup_* work_fixup_* hrtimer_fixup_* rcuhead_fixup_* queue_work* queue_delayed_work* mod_delayed_work* insert_work* \
         get_work_pool* get_work_pwq* is_chained_work complete complete_all complete_with_flags wait_for_completion* *wait_for_common* do_wait_for_common \
         swake_up* autoremove_wake_function default_wake_function prepare_to_wait* add_wait_queue* remove_wait_queue* init_waitqueue* ep_poll_callback \
         pollwake hrtimer_start* hrtimer_cancel* hrtimer_try_to_cancel* hrtimer_active hrtimer_forward* hrtimer_init* tasklet_* kthread_queue_* kthread_cancel_* irq_work_queue* schedule_work* call_rcu* kvfree_call_rcu* \
         kfree_call_rcu* raise_softirq* notifier_call_chain* atomic_notifier* blocking_notifier* raw_notifier* srcu_notifier* call_netdevice_notifiers* notifier_chain_*",
    ),
    (
        Groups::CRYPTO,
        "aes_* aesti_* xts_encrypt* xts_decrypt* crypto_cipher_* crypto_skcipher_encrypt* crypto_skcipher_decrypt* crypto_cbc_* crypto_ecb_* crypto_ctr_* crypto_lskcipher_* crypto_aead_encrypt crypto_aead_decrypt crypto_shash_* cbc_* ecb_* ctr_*   chacha* poly1305* sha1_* sha256_* sha512_* sha3_* blake2* curve25519* md5_*  des3_* ghash_* gf128* \
         skcipher_walk_*  blkcipher_walk_*   aead_walk_* scatterwalk_*    shash_* ahash_* hash_walk_* sm3_* sm4_*",
    ),
    (Groups::REGISTER, "*proc_*"),
    (
        Groups::USB,
        "usb_submit_urb usb_start_wait_urb usb_bulk_msg usb_interrupt_msg usb_control_msg* usb_internal_control_msg",
    ),
    (
        Groups::SOCKET,
        "lock_sock* release_sock sock_release_ownership lock_sock_fast",
    ),
    (
        Groups::TICK,
        "apic_timer_interrupt smp_apic_timer_interrupt *sysvec_* *_interrupt *local_apic_timer* hrtimer_* tick_* update_process_times \
         rcu_* *_stall* check_cpu_stall print_other_cpu_stall sched_show_task nmi_* *_nmi irq_work_* arch_trigger_* do_nmi nmi exc_nmi \
         arch_timer_* handle_irq* generic_handle_* handle_percpu_* gic_* handle_domain_irq irq_enter* irq_exit* \
         el1_irq el1h_64_irq* el1_interrupt call_on_irq_stack do_interrupt_handler default_do_nmi nmi_handle \
         timer_interrupt decrementer_* common_interrupt ret_from_intr common_spurious \
         delay delay_tsc native_* kvm_* pv_native_*",
    ),
    (
        Groups::ENTRY,
        "entry_* do_syscall_* do_fast_syscall_* x64_sys_call ia32_sys_call invoke_syscall el0_* el0t_* el0_svc* do_el0_svc ret_from_* \
         kthread kthreadd worker_thread process_one_work process_scheduled_works smpboot_thread_fn start_secondary* secondary_startup* \
         cpu_startup_entry do_idle rest_init x86_64_start_* arch_call_rest_init common_startup_64 \
         system_call* syscall_* sys_call_table ret_fast_syscall syscall_exit_* do_softirq* irq_exit* handle_softirqs \
         asm_sysvec_* sysvec_* task_work_run prepare_exit_to_usermode resume_user_mode_work",
    ),
    (
        Groups::HANDED,
        "*kfree_skb* *dput* *drop_nlink* *mark_buffer_dirty* *readb *readw *readl *readq *writeb *writew *writel *writeq \
         stack_trace_* arch_stack_walk* show_stack* dump_stack* dump_backtrace* walk_stack* rb_* rbtree_* debug_object* timer_is_static_object work_is_static_object xas_start xas_load xas_find xas_find_* rhashtable_lookup* rhltable_lookup* ida_free phys_addr* crc* sg_init_one extract_user_to_sg extract_iter_to_sg stack_depot_* depot_* \
         readb readw readl readq writeb writew writel writeq raw_readb raw_readw raw_readl raw_readq raw_writeb raw_writew raw_writel raw_writeq logic_in* logic_out* \
         read_once_* assertfail assfail asswarn xfs_corruption_error ext4_handle_error ext4_error* ext4_abort* btrfs_panic btrfs_assertfail get_taint print_tainted* iput iput_final ihold dput fast_dput drop_nlink put_device mark_buffer_dirty* kfree_skb* sk_skb_reason_drop \
         folio_unlock lock_page unlock_page lock_page_killable filemap_alloc_folio* filemap_get_folio* find_or_create_page do_read_cache_folio do_read_cache_page \
         read_cache_page* pagecache_get_page grab_cache_page_write_begin find_lock_entries truncate_inode_pages_range find_next_and_bit",
    ),
    (Groups::CPU, "*preempt* debug_* *processor_id* *this_cpu*"),
    (Groups::PACKET, "^skb_*"),
    (
        Groups::BYTES,
        "*alloc_skb* netlink_ack netlink_rcv_skb *_encrypt crypto_* cipher_* drbg_* rng_*",
    ),
    (
        Groups::FREE,
        "*vfree* *vunmap* remove_vm_area find_vm_area *kfree* *slab_* free_pages* kvfree*",
    ),
    (
        Groups::PAGES,
        "*free_page* *put_page* *get_page* *update_page* *release_page* *free_unref* folio* *truncate_inode_pages* *page_frag_free* \
         *alloc* *vmap* *page_owner*",
    ),
    (Groups::KEY, "*_lock* lock_* *_unlock* *lockdep* *stack*"),
];
