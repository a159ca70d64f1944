//! Options of mount(2): what an NFS server is asked for, and which words are flags.
//!
//! The capture kernel and the system that sends crash directories after the reboot mount alike: no helper
//! runs and the kernel asks user space nothing (fs/nfs/fs_context.c, Linux 5.10 to 7.2).

use nix::mount::MsFlags;
use std::net::IpAddr;

/// Mount options that are flags to mount(2); the rest goes to the filesystem.
const FLAGS: [(&str, MsFlags); 8] = [
    ("noatime", MsFlags::MS_NOATIME),
    ("nodiratime", MsFlags::MS_NODIRATIME),
    ("relatime", MsFlags::MS_RELATIME),
    ("strictatime", MsFlags::MS_STRICTATIME),
    ("nodev", MsFlags::MS_NODEV),
    ("nosuid", MsFlags::MS_NOSUID),
    ("noexec", MsFlags::MS_NOEXEC),
    ("sync", MsFlags::MS_SYNCHRONOUS),
];

/// Options of mount(8) and fstab that mean nothing to the kernel.
const IGNORED: [&str; 8] = [
    "rw", "defaults", "auto", "noauto", "nofail", "exec", "suid", "dev",
];

/// Tenths of a second until a request is sent again, and how often. Then it fails (nfs(5): soft).
const PATIENCE: [&str; 3] = ["soft", "timeo=50", "retrans=3"];

/// Flags and data of a list of options.
#[must_use]
pub fn split(options: &[String]) -> (MsFlags, String) {
    let mut flags = MsFlags::MS_NODEV | MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    let mut data = Vec::new();
    for option in options {
        if let Some((_, flag)) = FLAGS.iter().find(|(name, _)| name == option) {
            flags |= *flag;
        } else if !IGNORED.contains(&option.as_str()) && !option.starts_with("x-") {
            data.push(option.as_str());
        }
    }
    (flags, data.join(","))
}

/// What an NFS server is mounted from: `192.0.2.7:/srv/dumps`.
#[must_use]
pub fn nfs_source(server: IpAddr, export: &str) -> String {
    match server {
        IpAddr::V4(address) => format!("{address}:{export}"),
        IpAddr::V6(address) => format!("[{address}]:{export}"),
    }
}

/// The options for one version of the protocol (`4.2`, `3`), a server's address and our own, and those of the
/// config.
#[must_use]
pub fn nfs_options(version: &str, server: IpAddr, own: IpAddr, more: &[String]) -> Vec<String> {
    let proto = if server.is_ipv4() { "tcp" } else { "tcp6" };
    let mut options = vec![
        format!("vers={version}"),
        format!("addr={server}"),
        format!("clientaddr={own}"),
        format!("proto={proto}"),
        "sec=sys".to_owned(),
    ];
    options.extend(PATIENCE.map(str::to_owned));
    if version == "3" {
        // Locks would need a daemon. The mount protocol goes to the same server.
        options.push("nolock".to_owned());
        options.push(format!("mountaddr={server}"));
    }
    options.extend(more.iter().cloned());
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_flags_and_data() {
        let options: Vec<String> = [
            "rw",
            "noatime",
            "subvol=/@crash",
            "x-systemd.automount",
            "nofail",
        ]
        .map(String::from)
        .to_vec();
        let (flags, data) = split(&options);
        assert!(flags.contains(MsFlags::MS_NOATIME | MsFlags::MS_NODEV));
        assert_eq!(data, "subvol=/@crash");
    }

    #[test]
    fn options_for_nfs_hold_addresses_and_patience() {
        let options = |version: &str, address: &str, more: &[String]| {
            let address = address.parse().unwrap();
            nfs_options(version, address, address, more).join(",")
        };
        assert_eq!(
            options("4.2", "192.0.2.7", &["rsize=65536".into()]),
            "vers=4.2,addr=192.0.2.7,clientaddr=192.0.2.7,proto=tcp,sec=sys,soft,timeo=50,retrans=3,rsize=65536"
        );
        let three = options("3", "fd00::7", &[]);
        assert!(three.contains("proto=tcp6") && three.ends_with("nolock,mountaddr=fd00::7"));
        assert_eq!(
            nfs_source("fd00::7".parse().unwrap(), "/srv"),
            "[fd00::7]:/srv"
        );
    }
}
