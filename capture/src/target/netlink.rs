//! Requests to the kernel's routing socket: interfaces up, addresses, routes, VLANs.
//!
//! One request, one answer, no state. Source of the layouts: include/uapi/linux/{netlink,rtnetlink,
//! if_link,if_addr}.h, unchanged from Linux 5.10 to 7.2. Numbers are in this machine's byte order.

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_CREATE: u16 = 0x400;
const NLMSG_ERROR: u16 = 2;
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_VLAN_ID: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_F_NODAD: u8 = 2;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;
const RTN_UNICAST: u8 = 1;
const RTNH_F_ONLINK: u32 = 4;
const IFF_UP: u32 = 1;

/// Bytes of the header of a message.
const HEADER: usize = 16;

/// A connection to the kernel's network configuration.
pub(super) struct Netlink {
    socket: OwnedFd,
}

/// A message that grows.
struct Message {
    bytes: Vec<u8>,
}

impl Message {
    fn new(kind: u16, flags: u16, body: &[u8]) -> Self {
        let flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(body);
        Self { bytes }
    }

    fn with(mut self, kind: u16, value: &[u8]) -> Self {
        self.bytes.extend(attribute(kind, value));
        self
    }

    /// The message with its length.
    fn finished(mut self) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        for (to, from) in self.bytes.iter_mut().zip(length.to_ne_bytes()) {
            *to = from;
        }
        self.bytes
    }
}

/// An attribute: length, kind, value, and zeros up to a multiple of four.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len().saturating_add(4)).unwrap_or(u16::MAX);
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// The body of a message about an interface (struct ifinfomsg).
fn interface(index: u32, flags: u32, change: u32) -> Vec<u8> {
    [0, index, flags, change]
        .iter()
        .flat_map(|word| word.to_ne_bytes())
        .collect()
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// The address family as the kernel numbers it (include/linux/socket.h).
fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { 2 } else { 10 }
}

impl Netlink {
    /// # Errors
    /// What the kernel said.
    pub(super) fn open() -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        Ok(Self { socket })
    }

    /// Sends a request and waits for its answer.
    fn ask(&self, message: Message) -> io::Result<()> {
        let fd = self.socket.as_raw_fd();
        send(fd, &message.finished(), MsgFlags::empty())?;
        let mut answer = [0_u8; 4096];
        let length = recv(fd, &mut answer, MsgFlags::empty())?;
        result(answer.get(..length).unwrap_or_default())
    }

    /// Brings an interface up, with its largest packet in bytes.
    ///
    /// # Errors
    /// What the kernel said.
    pub(super) fn up(&self, index: u32, mtu: u32) -> io::Result<()> {
        // A driver may refuse a size that the bond or VLAN above has already taken over. Small packets
        // still arrive.
        let body = interface(index, 0, 0);
        let _ = self.ask(Message::new(RTM_NEWLINK, 0, &body).with(IFLA_MTU, &mtu.to_ne_bytes()));
        self.ask(Message::new(
            RTM_NEWLINK,
            0,
            &interface(index, IFF_UP, IFF_UP),
        ))
    }

    /// Makes a VLAN on another interface.
    ///
    /// # Errors
    /// What the kernel said: EOPNOTSUPP where the module 8021q is not loaded.
    pub(super) fn vlan(&self, below: u32, name: &str, id: u16) -> io::Result<()> {
        let data = attribute(IFLA_VLAN_ID, &id.to_ne_bytes());
        let info = [
            attribute(IFLA_INFO_KIND, b"vlan\0"),
            attribute(IFLA_INFO_DATA, &data),
        ]
        .concat();
        let name = [name.as_bytes(), b"\0"].concat();
        let message = Message::new(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &interface(0, 0, 0));
        self.ask(
            message
                .with(IFLA_IFNAME, &name)
                .with(IFLA_LINK, &below.to_ne_bytes())
                .with(IFLA_LINKINFO, &info),
        )
    }

    /// Gives an interface an address. IPv6 does not wait until it is known to be unique: the crashed
    /// kernel had it.
    ///
    /// # Errors
    /// What the kernel said.
    pub(super) fn address(&self, index: u32, address: IpAddr, prefix: u8) -> io::Result<()> {
        let mut body = vec![family(address), prefix, IFA_F_NODAD, RT_SCOPE_UNIVERSE];
        body.extend(index.to_ne_bytes());
        let octets = octets(address);
        let message = Message::new(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &body);
        self.ask(message.with(IFA_LOCAL, &octets).with(IFA_ADDRESS, &octets))
    }

    /// Makes a route to one host, by a router or directly. The router need not be in our network.
    ///
    /// # Errors
    /// What the kernel said.
    pub(super) fn route(
        &self,
        index: u32,
        host: IpAddr,
        gateway: Option<IpAddr>,
    ) -> io::Result<()> {
        let octets_of_host = octets(host);
        let bits = u8::try_from(octets_of_host.len().saturating_mul(8)).unwrap_or(u8::MAX);
        let (scope, flags) = match gateway {
            Some(_) => (RT_SCOPE_UNIVERSE, RTNH_F_ONLINK),
            None => (RT_SCOPE_LINK, 0),
        };
        let mut body = vec![
            family(host),
            bits,
            0,
            0,
            RT_TABLE_MAIN,
            RTPROT_STATIC,
            scope,
            RTN_UNICAST,
        ];
        body.extend(flags.to_ne_bytes());
        let mut message = Message::new(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &body)
            .with(RTA_DST, &octets_of_host)
            .with(RTA_OIF, &index.to_ne_bytes());
        if let Some(gateway) = gateway {
            message = message.with(RTA_GATEWAY, &octets(gateway));
        }
        self.ask(message)
    }
}

/// What an answer says: an error of 0 is the acknowledgement.
fn result(answer: &[u8]) -> io::Result<()> {
    let kind = answer.get(4..6).and_then(|bytes| bytes.try_into().ok());
    let code = answer
        .get(HEADER..HEADER + 4)
        .and_then(|bytes| bytes.try_into().ok())
        .map(i32::from_ne_bytes);
    match (kind.map(u16::from_ne_bytes), code) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(NLMSG_ERROR), Some(code)) => Err(io::Error::from_raw_os_error(
            code.checked_neg().unwrap_or(libc::EIO),
        )),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_the_kernel_s_layout() {
        let message = Message::new(RTM_NEWLINK, 0, &interface(7, IFF_UP, IFF_UP))
            .with(IFLA_IFNAME, b"eth0\0")
            .finished();
        assert_eq!(message.len(), 16 + 16 + 12);
        assert_eq!(message[..4], 44_u32.to_ne_bytes());
        assert_eq!(message[4..6], 16_u16.to_ne_bytes());
        assert_eq!(message[20..24], 7_u32.to_ne_bytes());
        assert_eq!(message[32..34], 9_u16.to_ne_bytes());
        assert_eq!(&message[36..], b"eth0\0\0\0\0");
    }

    #[test]
    fn answers_are_errors_or_none() {
        let answer = |code: i32| {
            let mut bytes = vec![0; 4];
            bytes.extend(NLMSG_ERROR.to_ne_bytes());
            bytes.extend([0; 10]);
            bytes.extend(code.to_ne_bytes());
            bytes
        };
        assert!(result(&answer(0)).is_ok());
        let error = result(&answer(-libc::EEXIST)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EEXIST));
        assert!(result(&[]).is_err() && result(&answer(i32::MIN)).is_err());
    }
}
