//! Starts the kernel's NFS server without its helpers: what rpc.mountd(8) would answer is written into the
//! kernel's caches before anybody asks.
//!
//! Version 4 alone: version 3 needs rpcbind(8), and rpc.mountd(8) for the mount protocol.
//! Source of the facts: fs/nfsd/nfsctl.c, fs/nfsd/export.c (`svc_export_parse`, `expkey_parse`) and
//! net/sunrpc/svcauth_unix.c (`ip_map_parse`), Linux 5.10 to 7.2; the flags are those of
//! include/uapi/linux/nfsd/export.h.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

/// The server's own filesystem.
pub(super) const CONTROL: &str = "/proc/fs/nfsd";
/// The caches.
const CACHES: &str = "/proc/net/rpc";
/// The name of all clients together.
const DOMAIN: &str = "all";
/// A time that does not come, in seconds since 1970: the largest that every kernel takes.
const NEVER: &str = "2147483647";
/// NFSEXP_INSECURE_PORT, NFSEXP_NOSUBTREECHECK and NFSEXP_FSID; root stays root, and nothing is read-only.
const FLAGS: u32 = 0x2 | 0x400 | 0x2000;
/// Seconds in which nobody may open a file after the start; there is nobody whose files were open.
const GRACE: &str = "10";

/// Exports a directory as the root of all exports to these addresses.
///
/// # Errors
/// The kernel has no such server or refuses a line; the file that refused.
pub(super) fn export(directory: &Path, to: &[String]) -> Result<(), (String, io::Error)> {
    let control =
        |name: &str, value: &str| write(&format!("{CONTROL}/{name}"), &format!("{value}\n"));
    control("nfsv4gracetime", GRACE)?;
    // The versions that would have to be registered with rpcbind. Newer kernels do not know 2.
    let _ = control("versions", "-2");
    control("versions", "-3")?;
    control("portlist", "tcp 2049")?;
    control("threads", "4")?;
    let cache = |name: &str, line: String| write(&format!("{CACHES}/{name}/channel"), &line);
    for address in to {
        cache("auth.unix.ip", format!("nfsd {address} {NEVER} {DOMAIN}\n"))?;
    }
    let directory = directory.display();
    // Handles of kind 1 carry the export's number, which is 0 for the root of all.
    cache(
        "nfsd.fh",
        format!("{DOMAIN} 1 \\x00000000 {NEVER} {directory}\n"),
    )?;
    let line = format!("{DOMAIN} {directory} {NEVER} {FLAGS} 65534 65534 0\n");
    cache("nfsd.export", line)
}

/// Writes a line at once: each write(2) is one entry.
fn write(path: &str, line: &str) -> Result<(), (String, io::Error)> {
    let written = OpenOptions::new().write(true).open(path);
    let written = written.and_then(|mut file| file.write_all(line.as_bytes()));
    written.map_err(|error| (path.to_owned(), error))
}
