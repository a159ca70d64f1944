//! The first program of `lab init`'s last side: the calls without which no disk is mounted, and
//! nothing else. Beside its own start, what it takes is the kernel's time.

use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use std::fs::{self, File};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

const DISK: &str = "/dev/vda";

// When it fails, the kernel panics because its first program has ended, and says why above.
fn main() -> std::io::Result<()> {
    let none = MsFlags::empty();
    mount(Some("dev"), "/dev", Some("devtmpfs"), none, None::<&str>)?;
    let module = File::open("/lib/modules/virtio_blk.ko")?;
    finit_module(&module, c"", ModuleInitFlags::empty())?;
    while !Path::new(DISK).exists() {
        sleep(Duration::from_millis(1));
    }
    fs::create_dir("/target")?;
    mount(Some(DISK), "/target", Some("ext4"), none, None::<&str>)?;
    loop {
        sleep(Duration::from_secs(60));
    }
}
