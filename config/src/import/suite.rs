//! The suites, and how they differ.

/// A suite and, where it has two kinds of files, the kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// `/etc/kdump.conf`: Fedora, RHEL and their kin.
    KdumpConf,
    /// `/etc/default/kdump-tools`: Debian, Ubuntu.
    KdumpTools,
    /// `/etc/sysconfig/kdump` of kdump-utils: Fedora, RHEL and their kin.
    Sysconfig,
    /// `/etc/sysconfig/kdump` of SUSE's kdump.
    Suse,
    /// `/etc/sysconfig/kdump.conf` of OpenEmbedded's kexec-tools.
    OpenEmbedded,
    /// `/usr/share/kdumpst.d/*`: Arch Linux, SteamOS.
    Kdumpst,
}

impl Suite {
    /// The suites whose files are shell assignments.
    pub(super) const SHELL: [Self; 5] = [
        Self::KdumpTools,
        Self::Sysconfig,
        Self::Suse,
        Self::OpenEmbedded,
        Self::Kdumpst,
    ];

    /// Whose files these are.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::KdumpConf => "kdump.conf of kdump-utils (Fedora, RHEL)",
            Self::KdumpTools => "the file of kdump-tools (Debian, Ubuntu)",
            Self::Sysconfig => "sysconfig/kdump of kdump-utils (Fedora, RHEL)",
            Self::Suse => "sysconfig/kdump of SUSE's kdump",
            Self::OpenEmbedded => "the kdump.conf of OpenEmbedded's kexec-tools",
            Self::Kdumpst => "a file of kdumpst (Arch Linux, SteamOS)",
        }
    }

    /// The program that reads the file.
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::KdumpConf | Self::Sysconfig => "kdump-utils",
            Self::KdumpTools => "kdump-tools",
            Self::Suse => "SUSE's kdump",
            Self::OpenEmbedded => "OpenEmbedded's kdump",
            Self::Kdumpst => "kdumpst",
        }
    }

    /// Whether two files can be parts of one config.
    #[must_use]
    pub fn belongs_to(self, other: Self) -> bool {
        self.program() == other.program()
    }

    /// Whether bash reads the file, which has `+=`; else the system's sh does (dash, busybox), which has
    /// not.
    pub(super) fn is_bash(self) -> bool {
        !matches!(self, Self::KdumpTools | Self::OpenEmbedded)
    }

    /// What the suite does without a line for it and afterpanic does otherwise.
    #[must_use]
    pub fn differences(self) -> &'static str {
        match self {
            Self::Kdumpst => {
                "kdumpst keeps every core; afterpanic keeps 5 unless `dumps` in [keep] says otherwise"
            }
            Self::KdumpTools => {
                "kdump-tools keeps every core unless KDUMP_NUM_DUMPS is set; afterpanic keeps 5 unless \
                 `dumps` in [keep] says otherwise"
            }
            Self::KdumpConf | Self::Sysconfig | Self::OpenEmbedded => {
                "the other suite keeps every core; afterpanic keeps 5 unless `dumps` in [keep] says otherwise"
            }
            Self::Suse => {
                "SUSE's kdump keeps every core unless KDUMP_KEEP_OLD_DUMPS is set; afterpanic keeps 5 \
                 unless `dumps` in [keep] says otherwise"
            }
        }
    }
}
