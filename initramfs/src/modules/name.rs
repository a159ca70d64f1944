//! Names of modules.

/// A module's name as the kernel says it: from a path or a name with dashes.
///
/// `kernel/drivers/block/virtio-blk.ko.xz` and `virtio-blk` are both `virtio_blk`.
#[must_use]
pub fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.split_once(".ko").map_or(file, |(stem, _)| stem);
    stem.replace('-', "_")
}
