//! A cable between a machine and the server: a Unix socket, and a card at each end.

use std::path::{Path, PathBuf};

/// One cable. Which end a card is at tells its hardware address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cable {
    socket: PathBuf,
    n: usize,
}

impl Cable {
    pub(super) fn new(sockets: &Path, n: usize) -> Self {
        Self {
            socket: sockets.join(n.to_string()),
            n,
        }
    }

    /// QEMU's arguments for the server's end.
    pub(super) fn server(&self) -> [String; 4] {
        self.end("on", "virtio-net-pci", 2)
    }

    /// QEMU's arguments for the machine's end: a card that QEMU calls `device`.
    #[must_use]
    pub fn machine(&self, device: &str) -> [String; 4] {
        self.end("off", device, 1)
    }

    fn end(&self, listens: &str, device: &str, last: u8) -> [String; 4] {
        let n = self.n;
        // A bond by 802.3ad asks its cards how fast they are.
        let speed = match device {
            "virtio-net-pci" => ",speed=1000,duplex=full",
            _ => "",
        };
        let way = format!(
            "stream,id=net{n},server={listens},addr.type=unix,addr.path={}",
            self.socket.display()
        );
        let card =
            format!("{device},netdev=net{n},mac=52:54:00:70:{n:02x}:{last:02x},romfile={speed}");
        ["-netdev".into(), way, "-device".into(), card]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_on_one_socket_and_have_addresses_of_their_own() {
        let cable = Cable::new(Path::new("/tmp/x"), 1);
        let [.., server] = cable.server();
        let [_, way, _, machine] = cable.machine("e1000e");
        assert!(
            way.ends_with("server=off,addr.type=unix,addr.path=/tmp/x/1"),
            "{way}"
        );
        assert_eq!(machine, "e1000e,netdev=net1,mac=52:54:00:70:01:01,romfile=");
        assert!(server.contains("mac=52:54:00:70:01:02"), "{server}");
    }
}
