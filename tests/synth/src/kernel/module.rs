//! The module `crasher`.

use super::types::offset;
use super::{BTF_MODULES, Kernel, MODULE_AREA, MODULES};
use crate::unwind::{OrcLayout, orc_table};

/// Where its text lies; two pages of data and tables follow.
pub(super) const BASE: u64 = 0xffff_ffff_c020_0000;
const TABLES: u64 = BASE + 0x1000;
const MODULE: u64 = BASE + 0x2000;
const MODULE_BTF: u64 = MODULE + 0x400;

impl Kernel {
    pub(super) fn module(&mut self) {
        for page in 0..3 {
            self.map_page(BASE + page * 4096);
        }
        let text = self.module.build();
        self.put(BASE, &text);
        let rules = self.module.rules.clone();
        let (ips, orc) = orc_table(OrcLayout::Types, &rules, TABLES);
        self.put(TABLES, &ips);
        self.put(TABLES + 0x200, &orc);
        let (symtab, strtab) = (TABLES + 0x400, TABLES + 0x600);
        let mut names = vec![0];
        let functions = self.module.symbols();
        for (slot, (value, name)) in (1..).zip(&functions) {
            let mut symbol = (names.len() as u32).to_le_bytes().to_vec();
            // A global function in section 1.
            symbol.extend([0x12, 0, 1, 0]);
            symbol.extend(value.to_le_bytes());
            symbol.extend(16_u64.to_le_bytes());
            self.put(symtab + slot * 24, &symbol);
            names.extend(name.as_bytes());
            names.push(0);
        }
        // A per-CPU variable, in section 2: its address is that of the pointer to it.
        let slot = functions.len() as u64 + 1;
        let mut symbol = (names.len() as u32).to_le_bytes().to_vec();
        symbol.extend([0x01, 0, 2, 0]);
        symbol.extend((MODULE_AREA + 8).to_le_bytes());
        symbol.extend(8_u64.to_le_bytes());
        self.put(symtab + slot * 24, &symbol);
        names.extend(b"crasher_hits\0");
        self.put(strtab, &names);
        let strings = TABLES + 0x800;
        self.put(strings, b"1.4\0");
        self.put(strings + 16, b"9A1F3C5D7E9B2468ACE0135\0");

        let at = |member: &str| MODULE + offset("module", member);
        self.put(at("name"), b"crasher\0");
        self.put(
            at("build_id"),
            &std::array::from_fn::<u8, 20, _>(|n| n as u8 * 11 + 1),
        );
        self.put64(at("version"), strings);
        self.put64(at("srcversion"), strings + 16);
        let kallsyms = at("core_kallsyms");
        self.put64(kallsyms + offset("mod_kallsyms", "symtab"), symtab);
        self.put32(
            kallsyms + offset("mod_kallsyms", "num_symtab"),
            functions.len() as u32 + 2,
        );
        self.put64(kallsyms + offset("mod_kallsyms", "strtab"), strtab);
        // MOD_TEXT, MOD_DATA and MOD_RODATA, a page each.
        for (slot, base) in [(0, BASE), (1, MODULE), (2, TABLES)] {
            let area = at("mem") + slot * 16;
            self.put64(area + offset("module_memory", "base"), base);
            self.put32(area + offset("module_memory", "size"), 4096);
        }
        self.put64(at("percpu"), MODULE_AREA);
        self.put32(at("percpu_size"), 16);
        let arch = at("arch");
        self.put32(
            arch + offset("mod_arch_specific", "num_orcs"),
            rules.len() as u32,
        );
        self.put64(arch + offset("mod_arch_specific", "orc_unwind_ip"), TABLES);
        self.put64(
            arch + offset("mod_arch_specific", "orc_unwind"),
            TABLES + 0x200,
        );
        // Out of tree and unsigned.
        self.put64(at("taints"), 1 << 12 | 1 << 13);
        // MODULE_REF_BASE and one user.
        self.put32(at("refcnt"), 2);
        self.list(at("source_list"), &[]);
        self.list(MODULES, &[at("list")]);
    }

    /// The module's types, as the kernel keeps them since 5.11.
    pub(super) fn module_types(&mut self, blob: &[u8]) {
        self.put(MODULE_BTF + 0x40, blob);
        self.put64(MODULE_BTF + offset("btf", "data"), MODULE_BTF + 0x40);
        self.put32(MODULE_BTF + offset("btf", "data_size"), blob.len() as u32);
        let entry = MODULE_BTF + 0x10;
        self.put64(entry + offset("btf_module", "btf"), MODULE_BTF);
        self.put64(entry + offset("btf_module", "module"), MODULE);
        self.list(BTF_MODULES, &[entry + offset("btf_module", "list")]);
    }
}
