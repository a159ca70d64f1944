//! An address by DHCP, for a target that asks for it: four packets, or the recorded address.
//!
//! A switch with DHCP snooping lets only those addresses through that it has seen a server give, and forgets
//! them when the link goes down. Facts: RFC 2131, section 2 (layout) and table 5 (what a request holds);
//! RFC 2132 (options). The card has no address yet, so the answers are asked for as broadcasts, which the kernel
//! gives to any socket (net/ipv4/route.c, `ip_route_input_slow`, Linux 5.10 to 7.2).

use nix::sys::socket::{setsockopt, sockopt};
use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

/// How long servers are asked at most.
const ASKS: Duration = Duration::from_secs(15);
/// How long one answer is waited for.
const WAITS: Duration = Duration::from_secs(2);

const CLIENT: u16 = 68;
const SERVER: u16 = 67;
/// What the options begin with.
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Bytes before the cookie.
const FIXED: usize = 236;
/// Bytes of a message of BOOTP (RFC 951, section 3), which relays may insist on.
const LEAST: usize = 300;

const MASK: u8 = 1;
const ROUTER: u8 = 3;
const ADDRESS: u8 = 50;
const KIND: u8 = 53;
const FROM: u8 = 54;
const WANTED: u8 = 55;
const END: u8 = 255;

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;

/// What a server gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lease {
    /// Our address.
    pub(super) address: Ipv4Addr,
    /// The length of its network's prefix, where the server said it.
    pub(super) prefix: Option<u8>,
    /// The first router, where there is one.
    pub(super) router: Option<Ipv4Addr>,
    /// The server.
    pub(super) server: Ipv4Addr,
}

/// Asks for an address on an interface; `before` is the one that is preferred.
///
/// # Errors
/// No server answered in time, or the kernel refused a socket, in one sentence.
pub(super) fn ask(name: &str, mac: &str, before: Ipv4Addr) -> Result<Lease, String> {
    let failed = |error: io::Error| format!("Cannot ask for an address on {name}: {error}");
    let until = Instant::now() + ASKS;
    let socket = socket(name).map_err(failed)?;
    let mac = hardware(mac).ok_or_else(|| format!("{name} has no Ethernet address"))?;
    while Instant::now() < until {
        let discover = packet(DISCOVER, mac, before, None);
        let Some(offer) = exchange(&socket, &discover, OFFER).map_err(failed)? else {
            continue;
        };
        let request = packet(REQUEST, mac, offer.address, Some(offer.server));
        if let Some(lease) = exchange(&socket, &request, ACK).map_err(failed)? {
            return Ok(lease);
        }
    }
    Err(format!("No DHCP server gave {name} an address"))
}

fn socket(name: &str) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, CLIENT))?;
    setsockopt(&socket, sockopt::BindToDevice, &OsString::from(name))?;
    socket.set_broadcast(true)?;
    socket.set_read_timeout(Some(WAITS))?;
    Ok(socket)
}

/// `52:54:00:12:34:56` as bytes.
fn hardware(mac: &str) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut parts = mac.split(':');
    for byte in &mut bytes {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    // Other networks have longer ones.
    parts.next().is_none().then_some(bytes)
}

/// Sends a packet and waits for its answer of a kind; none: no server gave one in time.
fn exchange(socket: &UdpSocket, packet: &[u8], kind: u8) -> io::Result<Option<Lease>> {
    socket.send_to(packet, (Ipv4Addr::BROADCAST, SERVER))?;
    let until = Instant::now() + WAITS;
    let mut buffer = [0; 1500];
    while Instant::now() < until {
        let answer = match socket.recv(&mut buffer) {
            Ok(len) => buffer.get(..len).unwrap_or_default(),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => break,
                _ => return Err(error),
            },
        };
        if let Some(lease) = read(answer, packet, kind) {
            return Ok(Some(lease));
        }
    }
    Ok(None)
}

/// A packet that asks. Without a client identifier: the server knows us by the hardware address.
fn packet(kind: u8, mac: [u8; 6], address: Ipv4Addr, server: Option<Ipv4Addr>) -> [u8; LEAST] {
    let [_, _, number @ ..] = mac;
    let parts: [(usize, &[u8]); 9] = [
        // Zeros between options are padding. This is a request on Ethernet, whose addresses have 6 bytes.
        (0, &[1, 1, 6]),
        // The number of the exchange: the end of the hardware address is ours alone on this link.
        (4, &number),
        // The answer is to be broadcast.
        (10, &[0x80]),
        (28, &mac),
        (FIXED, &COOKIE),
        (240, &[KIND, 1, kind, ADDRESS, 4]),
        (245, &address.octets()),
        (249, &[WANTED, 2, MASK, ROUTER]),
        (259, &[END]),
    ];
    let mut bytes = [0; LEAST];
    let mut put = |at: usize, part: &[u8]| {
        for (to, from) in bytes.iter_mut().skip(at).zip(part) {
            *to = *from;
        }
    };
    for (at, part) in parts {
        put(at, part);
    }
    if let Some(server) = server {
        put(253, &[FROM, 4]);
        put(255, &server.octets());
    }
    bytes
}

/// What an answer to a packet gives, if it is one of this kind.
fn read(answer: &[u8], packet: &[u8], kind: u8) -> Option<Lease> {
    // Number of the exchange and hardware address are those of the packet.
    let same = |at: std::ops::Range<usize>| Some(answer.get(at.clone())? == packet.get(at)?);
    let is_ours = answer.first() == Some(&2) && same(4..8)? && same(28..34)? && same(FIXED..240)?;
    if !is_ours {
        return None;
    }
    let mut lease = Lease {
        address: address(answer.get(16..20)?)?,
        prefix: None,
        router: None,
        server: Ipv4Addr::UNSPECIFIED,
    };
    let mut is_kind = false;
    let mut rest = answer.get(240..)?;
    while let [option, after @ ..] = rest {
        rest = match option {
            0 => after,
            &END => break,
            _ => {
                let (len, after) = after.split_first()?;
                let (value, after) = after.split_at_checked(usize::from(*len))?;
                match *option {
                    KIND => is_kind = value == [kind],
                    MASK => lease.prefix = prefix(value),
                    ROUTER => lease.router = address(value.get(..4)?),
                    FROM => lease.server = address(value)?,
                    _ => {}
                }
                after
            }
        };
    }
    (is_kind && !lease.server.is_unspecified()).then_some(lease)
}

fn address(bytes: &[u8]) -> Option<Ipv4Addr> {
    let bytes: [u8; 4] = bytes.try_into().ok()?;
    let address = Ipv4Addr::from(bytes);
    (!address.is_unspecified()).then_some(address)
}

/// The length of a mask that is ones, then zeros.
fn prefix(mask: &[u8]) -> Option<u8> {
    let mask = u32::from(address(mask)?);
    let ones = mask.leading_ones();
    let whole = ones + mask.trailing_zeros() == 32 || ones == 32;
    u8::try_from(ones).ok().filter(|_| whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
    const US: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
    const THEM: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

    /// An answer as RFC 2131 lays it out.
    fn answer(to: &[u8], kind: u8, more: &[u8]) -> Vec<u8> {
        let mut bytes = to[..FIXED].to_vec();
        bytes[0] = 2;
        bytes[16..20].copy_from_slice(&US.octets());
        bytes.extend(COOKIE);
        bytes.extend([0, KIND, 1, kind, FROM, 4, 10, 0, 2, 2]);
        bytes.extend(more);
        bytes.push(END);
        bytes
    }

    #[test]
    fn a_request_is_laid_out_as_the_standard_says() {
        let bytes = packet(REQUEST, MAC, US, Some(THEM));
        assert_eq!(bytes.len(), 300);
        assert_eq!(
            bytes[..12],
            [1, 1, 6, 0, 0, 0x12, 0x34, 0x56, 0, 0, 0x80, 0]
        );
        assert_eq!(bytes[28..34], MAC);
        let options = [
            53, 1, 3, 50, 4, 10, 0, 2, 15, 55, 2, 1, 3, 54, 4, 10, 0, 2, 2, 255,
        ];
        assert_eq!(bytes[236..240], [99, 130, 83, 99]);
        assert_eq!(bytes[240..240 + options.len()], options);
        let options = [
            53, 1, 1, 50, 4, 10, 0, 2, 15, 55, 2, 1, 3, 0, 0, 0, 0, 0, 0, 255,
        ];
        assert!(packet(DISCOVER, MAC, US, None)[240..].starts_with(&options));
    }

    #[test]
    fn an_answer_gives_address_network_and_router() {
        let asked = packet(DISCOVER, MAC, US, None);
        let whole = answer(
            &asked,
            OFFER,
            &[1, 4, 255, 255, 254, 0, 3, 8, 10, 0, 2, 3, 10, 0, 2, 4],
        );
        let lease = Lease {
            address: US,
            prefix: Some(23),
            router: Some(Ipv4Addr::new(10, 0, 2, 3)),
            server: THEM,
        };
        assert_eq!(read(&whole, &asked, OFFER), Some(lease));
        // Another kind, another machine's, not an answer, cut off anywhere before its end.
        assert_eq!(read(&whole, &asked, ACK), None);
        let other = packet(DISCOVER, [0x52, 0x54, 0, 0x12, 0x34, 0x57], US, None);
        assert_eq!(read(&whole, &other, OFFER), None);
        assert_eq!(read(&asked, &asked, DISCOVER), None);
        for len in 0..250 {
            assert_eq!(read(&whole[..len], &asked, OFFER), None, "{len}");
        }
        // No mask, or one with holes; the mask of a single address.
        let of = |more: &[u8]| {
            read(&answer(&asked, ACK, more), &asked, ACK)
                .unwrap()
                .prefix
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[1, 4, 255, 0, 255, 0]), None);
        assert_eq!(of(&[1, 4, 255, 255, 255, 255]), Some(32));
    }

    #[test]
    fn hardware_addresses_are_read() {
        assert_eq!(hardware("52:54:00:12:34:56"), Some(MAC));
        assert_eq!(hardware("52:54:00:12:34"), None);
        assert_eq!(hardware("52:54:00:12:34:56:78"), None);
        assert_eq!(hardware(""), None);
    }
}
