//! Encrypted memory: SME on the machine itself, SEV and TDX in a guest, TDX on a host.
//!
//! Facts: arch/x86/mm/mem_encrypt_amd.c, arch/x86/coco, arch/x86/virt/vmx/tdx. /proc/cpuinfo shows `sme`, `sev`,
//! `sev_es` and `sev_snp` on a host that could; a guest shows /dev/sev-guest, /sys/devices/system/cpu/sev/vmpl
//! (6.12 and later) and the flag `tdx_guest`. SME is on with `mem_encrypt=on`, or as the kernel was built. A dump
//! of encrypted memory needs a capture kernel that encrypts too (Linux 4.20 and later); SNP and TDX guests kexec
//! since 6.11 to 6.16, by parts. A host whose TDX module has started refuses kexec on CPUs with the bug
//! `tdx_pw_mce` (6.18 and later), before that on all.

use super::finding::{Examined, Finding, Level, finding};
use crate::root;
use crate::words::words;

const CHECK: &str = "platform";
/// What proves that it works, where nothing else does.
const PROVE: &str = "prove it: sudo afterpanic crash-test --yes (and name the target on a disk that the guest sees without the hypervisor's help)";

/// A word of the first line of /proc/cpuinfo that begins so.
fn cpu_has(on: &Examined<'_>, line: &str, word: &str) -> bool {
    let text = root::text(on.root, "/proc/cpuinfo").unwrap_or_default();
    let found = text
        .lines()
        .find(|l| l.split(':').next().is_some_and(|name| name.trim() == line));
    found.is_some_and(|found| found.split_whitespace().any(|w| w == word))
}

pub(super) fn check(on: &Examined<'_>) -> Vec<Finding> {
    let has = |path: &str| root::under(on.root, path).exists();
    let cmdline = root::text(on.root, "/proc/cmdline").unwrap_or_default();
    let parameters = words(&cmdline);
    let given = |word: &str| parameters.iter().any(|given| given == word);
    let guest = crate::platform::is_guest(on.root);
    if has("/dev/tdx_guest") || cpu_has(on, "flags", "tdx_guest") {
        return vec![
            finding(
                CHECK,
                Level::Warn,
                "a TDX guest (its memory is encrypted): a capture kernel starts from Linux 6.11 on",
            )
            .fix(PROVE),
        ];
    }
    let snp = has("/dev/sev-guest") || has("/sys/devices/system/cpu/sev/vmpl");
    if snp || guest && (cpu_has(on, "flags", "sev_snp") || cpu_has(on, "flags", "sev")) {
        let kind = match snp || cpu_has(on, "flags", "sev_snp") {
            true => {
                "an SEV-SNP guest (its memory is encrypted): a capture kernel starts from Linux 6.16 on"
            }
            false => "an SEV guest (its memory is encrypted): the capture kernel must encrypt too",
        };
        return vec![finding(CHECK, Level::Warn, kind).fix(PROVE)];
    }
    let mut out = Vec::new();
    let tdx = given("kvm_intel.tdx=1")
        || given("kvm_intel.tdx=Y")
        || ["1", "Y"].contains(
            &root::text(on.root, "/sys/module/kvm_intel/parameters/tdx")
                .unwrap_or_default()
                .as_str(),
        );
    if tdx && !guest {
        let (level, what) = match cpu_has(on, "bugs", "tdx_pw_mce") {
            true => (
                Level::Fail,
                "this CPU cannot kexec while it is on (bug tdx_pw_mce)",
            ),
            false => (
                Level::Warn,
                "kernels before 6.18 refuse kexec while it is on",
            ),
        };
        out.push(finding(CHECK, level, format!("a TDX host: {what}")).fix(
            "take kvm_intel.tdx=1 off the command line where no TDX guest is needed, then reboot",
        ));
    }
    if given("mem_encrypt=on") && !guest {
        let dropped = on
            .config
            .capture_kernel
            .cmdline_drop
            .iter()
            .any(|word| word == "mem_encrypt");
        out.push(match dropped {
            true => finding(CHECK, Level::Fail, "SME encrypts this machine's memory, and cmdline_drop takes mem_encrypt=on from the capture kernel: it could not read the crashed kernel's memory")
                .fix("remove mem_encrypt from cmdline_drop in [capture_kernel] of /etc/afterpanic.toml"),
            false => finding(CHECK, Level::Ok, "SME encrypts this machine's memory; the capture kernel gets mem_encrypt=on too"),
        });
    }
    out
}
