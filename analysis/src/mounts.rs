//! What was mounted, in the namespace of the first process.
//!
//! Facts: fs/mount.h, fs/namespace.c, fs/d_path.c, 5.10 to 7.2: the mounts of a namespace were a list up to
//! 6.7 and have been a red-black tree since 6.8. Paths are put together from dentries as the kernel
//! does it, from the mount point up through the parents. Mount options are not read.

use crate::hex::Hex;
use serde::{Deserialize, Serialize};
use vmcore::addr::VirtAddr;
use vmcore::kernel::{Kernel, KernelError, Member, chain};

/// `fs.mount-max` is 100,000.
const MAX_MOUNTS: u64 = 200_000;
/// Steps of one path, over dentries and mounts.
const MAX_STEPS: usize = 1024;
/// NAME_MAX.
const MAX_NAME: usize = 255;
/// SB_RDONLY.
const SB_RDONLY: u64 = 1;

/// A mount.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mount {
    /// Its `struct mount`.
    pub address: Hex,
    /// What is mounted: a device, or the name given to it.
    pub source: String,
    /// Where.
    pub target: String,
    /// The file system's type.
    pub fs_type: String,
    /// Whether the file system is read-only.
    pub read_only: bool,
    /// The file system's `s_id`: the device's short name for file systems on a device.
    pub id: String,
}

/// All mounts.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mounts {
    /// In the kernel's order.
    pub mounts: Vec<Mount>,
    /// What could not be read.
    pub warnings: Vec<String>,
}

/// Reads the mounts of the first process's namespace.
///
/// # Errors
/// When the namespace or the layout of its structures is not to be had.
pub fn read(kernel: &Kernel) -> Result<Mounts, KernelError> {
    let layout = Layout::of(kernel)?;
    let init = kernel.symbol("init_task")?;
    let nsproxy = VirtAddr(kernel.read_field(init, "task_struct", "nsproxy")?);
    let namespace = VirtAddr(kernel.read_field(nsproxy, "nsproxy", "mnt_ns")?);
    let mut found = Mounts::default();
    let mut take = |mount: Result<VirtAddr, KernelError>| -> bool {
        let read = mount.and_then(|mount| layout.mount(kernel, mount));
        match read {
            Ok(mount) => found.mounts.push(mount),
            Err(why) => {
                found
                    .warnings
                    .push(format!("a mount is missing: {}", chain(&why)));
                return found.warnings.len() < 16;
            }
        }
        true
    };
    let what = "the list of mounts";
    if let (Ok(root), Ok(node)) = (
        kernel.member("mnt_namespace", "mounts"),
        kernel.member("mount", "mnt_node"),
    ) && kernel.member("mnt_namespace", "list").is_err()
    {
        let root = namespace.wrapping_add(root.offset);
        for mount in kernel.tree(root, node.offset, MAX_MOUNTS, what) {
            if !take(mount) {
                break;
            }
        }
    } else {
        let head = namespace.wrapping_add(kernel.member("mnt_namespace", "list")?.offset);
        let link = kernel.member("mount", "mnt_list")?.offset;
        for mount in kernel.list(head, link, MAX_MOUNTS, what) {
            // A reader of /proc/mounts has a cursor in the list, up to 6.7: it has no file system.
            let cursor = mount
                .as_ref()
                .is_ok_and(|mount| kernel.read_member(*mount, &layout.sb).ok() == Some(0));
            if !cursor && !take(mount) {
                break;
            }
        }
    }
    Ok(found)
}

struct Layout {
    parent: Member,
    mountpoint: Member,
    devname: Member,
    root: Member,
    sb: Member,
    d_parent: Member,
    d_name: Member,
    s_type: Member,
    s_flags: Member,
    s_id: Member,
    type_name: Member,
}

impl Layout {
    fn of(kernel: &Kernel) -> Result<Self, KernelError> {
        let mount = |path: &str| kernel.member("mount", path);
        let dentry = |path: &str| kernel.member("dentry", path);
        let block = |path: &str| kernel.member("super_block", path);
        Ok(Self {
            parent: mount("mnt_parent")?,
            mountpoint: mount("mnt_mountpoint")?,
            devname: mount("mnt_devname")?,
            root: mount("mnt.mnt_root")?,
            sb: mount("mnt.mnt_sb")?,
            d_parent: dentry("d_parent")?,
            d_name: dentry("d_name.name").or_else(|_| dentry("__d_name.name"))?,
            s_type: block("s_type")?,
            s_flags: block("s_flags")?,
            s_id: block("s_id")?,
            type_name: kernel.member("file_system_type", "name")?,
        })
    }

    fn mount(&self, kernel: &Kernel, at: VirtAddr) -> Result<Mount, KernelError> {
        let number = |member: &Member| kernel.read_member(at, member);
        let text = |at: u64| -> String {
            let bytes = kernel.read_cstr(VirtAddr(at), 4096).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let block = VirtAddr(number(&self.sb)?);
        let fs_type = VirtAddr(kernel.read_member(block, &self.s_type)?);
        let id = kernel
            .read_cstr(block.wrapping_add(self.s_id.offset), 32)
            .unwrap_or_default();
        Ok(Mount {
            address: at.into(),
            source: text(number(&self.devname)?),
            target: self.path(kernel, at)?,
            fs_type: text(kernel.read_member(fs_type, &self.type_name)?),
            read_only: kernel.read_member(block, &self.s_flags)? & SB_RDONLY != 0,
            id: String::from_utf8_lossy(&id).into_owned(),
        })
    }

    /// The path of a mount's root: its mount point's names up to the root of the tree.
    fn path(&self, kernel: &Kernel, mount: VirtAddr) -> Result<String, KernelError> {
        let mut names: Vec<String> = Vec::new();
        let mut mount = mount;
        let mut dentry = VirtAddr(kernel.read_member(mount, &self.root)?);
        for _ in 0..MAX_STEPS {
            if dentry.0 == kernel.read_member(mount, &self.root)? {
                let parent = VirtAddr(kernel.read_member(mount, &self.parent)?);
                if parent == mount || parent.0 == 0 {
                    break;
                }
                dentry = VirtAddr(kernel.read_member(mount, &self.mountpoint)?);
                mount = parent;
                continue;
            }
            let parent = VirtAddr(kernel.read_member(dentry, &self.d_parent)?);
            if parent == dentry {
                break;
            }
            let name = VirtAddr(kernel.read_member(dentry, &self.d_name)?);
            let name = kernel.read_cstr(name, MAX_NAME).unwrap_or_default();
            names.push(String::from_utf8_lossy(&name).into_owned());
            dentry = parent;
        }
        names.reverse();
        Ok(format!("/{}", names.join("/")))
    }
}
