//! What is reserved on each architecture: one row each. How its kernels are read and laid out for kexec_load(2) lies in
//! [`crate::kimage`] and [`crate::kexec_load`]; everything is compiled and tested on every host.

use crate::refusal::Refusal;

/// An architecture.
pub(crate) struct Arch {
    /// The least to reserve on hardware, by RAM: what RHEL 9 reserves.
    pub(crate) least_reserved: &'static str,
    /// What Fedora's kdump-utils reserves, for comparison.
    pub(crate) fedora: &'static str,
    /// What is added to a figure that was measured on x86-64.
    pub(crate) measured_elsewhere: &'static str,
}

pub(crate) const X86_64: Arch = Arch {
    least_reserved: "1G-4G:192M,4G-64G:256M,64G-:512M",
    fedora: "2G-64G:256M,64G-:512M",
    measured_elsewhere: "",
};

pub(crate) const AARCH64: Arch = Arch {
    least_reserved: "1G-4G:256M,4G-64G:320M,64G-:576M",
    fedora: "1G-4G:256M,4G-64G:320M,64G-:576M",
    measured_elsewhere: " on x86_64",
};

/// Refuses machines that no capture kernel can be loaded on; whatever loads, reserves or rehearses asks first.
///
/// # Errors
/// The machine that this program is built for has no row here. The sentence says what works on it.
pub fn check() -> Result<(), Refusal> {
    check_named(std::env::consts::ARCH)
}

fn check_named(arch: &'static str) -> Result<(), Refusal> {
    match arch {
        "x86_64" | "aarch64" => Ok(()),
        other => Err(Refusal::Architecture { name: other }),
    }
}

/// The one that this program is built for; on others [`check`] refuses before this is asked.
pub(crate) const HOST: &Arch = match cfg!(target_arch = "aarch64") {
    true => &AARCH64,
    false => &X86_64,
};

#[cfg(test)]
mod tests {
    use super::check_named;

    #[test]
    fn other_machines_are_told_in_one_sentence_what_works() {
        assert!(check_named("x86_64").is_ok() && check_named("aarch64").is_ok());
        for name in ["powerpc64", "s390x", "riscv64"] {
            let said = check_named(name).unwrap_err().to_string();
            assert!(said.contains(name) && said.contains("afterpanic report CORE"));
            assert!(!said.contains(". "), "{said}");
        }
    }
}
