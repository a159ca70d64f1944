//! What stands in the toy kernel's image and in its per-CPU areas.

use super::*;
use crate::kallsyms::{self, Encoding};
use crate::unwind::{OrcLayout, orc_table};

impl Kernel {
    /// What stands in the image itself.
    pub(super) fn image(&mut self) {
        let text = self.text.build();
        let etext = (TEXT + text.len() as u64).next_multiple_of(4096);
        self.ram.put_image(TEXT, &text);
        let (ips, orc) = orc_table(OrcLayout::Types, &self.text.rules, ORC_IPS);
        // `.orc_header` of 6.4 to 7.0.
        let hash = [
            0xfe, 0x5d, 0x32, 0xbf, 0x58, 0x1b, 0xd6, 0x3b, 0x2c, 0xa9, 0xa5, 0xc6, 0x5b, 0xa5,
            0xa6, 0x25, 0xea, 0xb3, 0xfe, 0x24,
        ];
        self.ram.put_image(ORC_IPS - 20, &hash);
        self.ram.put_image(ORC_IPS, &ips);
        self.ram.put_image(ORC, &orc);
        let banner = format!("Linux version {RELEASE} (root@build) #1 SMP PREEMPT_DYNAMIC\n\0");
        self.ram.put_image(RODATA, banner.as_bytes());
        let version = "#1 SMP PREEMPT_DYNAMIC Sat Nov 21 12:00:00 UTC 2026";
        for (n, text) in (0..).zip(["Linux", "web-03", RELEASE, version, "x86_64"]) {
            self.ram.put_image(UTS + n * 65, text.as_bytes());
        }
        self.ram
            .put_image64(TOTAL_RAM, (RAM_END - RAM_START) / 4096);
        self.ram.put_image64(PAGE_OFFSET, DIRECT);
        let line = self.alloc(0x80);
        self.put(line, b"root=/dev/vda1 ro quiet crashkernel=256M\0");
        self.put64(COMMAND_LINE, line);
        for (at, name) in self.text.symbols() {
            self.name(at, 'T', name);
        }
        for (at, kind, name) in [
            (TEXT, 'T', "_text"),
            (etext, 'T', "_etext"),
            (RODATA, 'R', "linux_banner"),
            (ORC_IPS, 'R', "__start_orc_unwind_ip"),
            (ORC_IPS + ips.len() as u64, 'R', "__stop_orc_unwind_ip"),
            (ORC, 'R', "__start_orc_unwind"),
            (ORC + orc.len() as u64, 'R', "__stop_orc_unwind"),
            (INIT_TASK, 'D', "init_task"),
            (PER_CPU_OFFSET, 'D', "__per_cpu_offset"),
            (MASKS, 'D', "__cpu_possible_mask"),
            (MASKS + 8, 'D', "__cpu_online_mask"),
            (PANIC_CPU, 'D', "panic_cpu"),
            (MODULES, 'd', "modules"),
            (BTF_MODULES, 'd', "btf_modules"),
            (SLAB_CACHES, 'd', "slab_caches"),
            (TOTAL_RAM, 'B', "_totalram_pages"),
            (COMMAND_LINE, 'D', "saved_command_line"),
            (CRASH_NOTES, 'D', "crash_notes"),
            (PAGE_OFFSET, 'D', "page_offset_base"),
            (RODATA, 'R', "__start_rodata"),
            (DATA, 'R', "__end_rodata"),
            (DATA, 'D', "_sdata"),
            (LOG, 'D', "__init_begin"),
            (LOG, 'D', "_edata"),
            (LOG, 'B', "__bss_start"),
            (END, 'B', "_end"),
            (0, 'A', "__per_cpu_start"),
            (MODULE_AREA, 'A', "__per_cpu_end"),
            (VMAP_ROOT, 'b', "vmap_area_root"),
            (PCPU_HOT, 'A', "pcpu_hot"),
            (RUNQUEUES, 'A', "runqueues"),
        ] {
            self.name(at, kind, name);
        }
        self.line_symbol(TEXT, "_stext");
        self.line_symbol(UTS, "init_uts_ns");
        self.ram.line("OFFSET(uts_namespace.name)=0");
        self.ram
            .line("BUILD-ID=5f9d2c0a7be14d36a8c1f0e2d3b4a59687786950");
        self.ram.line(&format!("CRASHTIME={CRASH_TIME}"));
    }

    /// Names an address of the image.
    fn name(&mut self, at: u64, kind: char, name: &str) {
        self.symbols.push((at, kind, name.to_owned()));
    }

    /// Names an address in VMCOREINFO, too.
    pub(super) fn line_symbol(&mut self, at: u64, name: &str) {
        self.name(at, 'D', name);
        self.ram.line(&format!("SYMBOL({name})={at:x}"));
    }

    pub(super) fn percpu(&mut self) {
        self.ram.put_image64(MASKS, 3);
        self.ram.put_image64(MASKS + 8, 3);
        // CPU 0, or PANIC_CPU_INVALID.
        let running = self.crash == super::Crash::Running;
        let cpu = if running { u32::MAX } else { 0 };
        self.ram.put_image(PANIC_CPU, &cpu.to_le_bytes());
        self.ram.put_image64(CRASH_NOTES, NOTES);
        for cpu in 0..2 {
            let area = Self::area(cpu);
            self.put(area, &[0; AREA_USED as usize]);
            self.ram.put_image64(PER_CPU_OFFSET + cpu * 8, area);
            let stack = self.stack();
            let hot = area + PCPU_HOT;
            let pointer = hot + types::offset("pcpu_hot", "hardirq_stack_ptr");
            self.put64(pointer, stack + 0x4000 - 8);
        }
    }

    /// kallsyms and BTF.
    pub(super) fn tables(&mut self) {
        let (blob, module) = types::blobs();
        self.ram.put_image(BTF, &blob);
        self.module_types(&module);
        self.name(BTF, 'R', "__start_BTF");
        self.name(BTF + blob.len() as u64, 'R', "__stop_BTF");
        let mut symbols = self.symbols.clone();
        // Stable: names of one address keep their order.
        symbols.sort_by_key(|symbol| symbol.0);
        kallsyms::put_at(
            &mut self.ram,
            KALLSYMS,
            &symbols,
            Encoding::AbsolutePerCpu,
            true,
        );
    }
}
