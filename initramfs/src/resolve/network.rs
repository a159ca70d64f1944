//! The way to a server: which of our addresses, which router, which interface, and what drives it.
//!
//! The kernel itself says which source address it would use (connect(2) on a datagram socket sends
//! nothing), so rules and tables of any kind count. The router comes from `/proc/net/route` and
//! `/proc/net/ipv6_route` (net/ipv4/fib_trie.c and net/ipv6/route.c, Linux 5.10 to 7.2), the interface
//! from `/sys/class/net`.

mod link;
mod routes;

use super::error::ResolveError;
use super::sysfs::Machine;
use crate::closure::Wanted;
use plan::Way;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long the name service may take: it asks several servers, each for some seconds.
const LOOKUP: Duration = Duration::from_secs(20);

/// Bytes of an answer of the name service that are looked at.
const LONGEST_ANSWER: u64 = 64 << 10;

/// Addresses of one server that are planned for.
const MAX_ADDRESSES: usize = 8;

/// An address of an interface of this machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Own {
    pub interface: String,
    pub address: IpAddr,
    pub prefix: u8,
}

/// What only the running machine can be asked.
pub(super) trait Network {
    /// The addresses of a name.
    fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>>;
    /// The address of ours that packets to a server carry.
    fn source(&self, server: IpAddr) -> io::Result<IpAddr>;
    /// The addresses of all interfaces.
    fn own(&self) -> io::Result<Vec<Own>>;
}

/// This machine's network, whose state is not in files.
pub(super) struct Running;

impl Network for Running {
    /// By getent(1): a static program cannot load the machine's name service modules.
    fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let mut child = Command::new("getent")
            .args(["ahosts", "--", name])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        // Read at once: a child whose pipe is full waits. What is cut are more addresses than are planned for.
        let answer = child.stdout.take().map(|pipe| {
            std::thread::spawn(move || {
                let mut answer = Vec::new();
                let _ = pipe.take(LONGEST_ANSWER).read_to_end(&mut answer);
                answer
            })
        });
        let until = Instant::now() + LOOKUP;
        while child.try_wait()?.is_none() {
            if Instant::now() > until {
                child.kill()?;
                child.wait()?;
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let answer = answer.and_then(|reader| reader.join().ok());
        let answer = answer.unwrap_or_default();
        let text = String::from_utf8_lossy(&answer);
        let mut found: Vec<IpAddr> = Vec::new();
        for line in text.lines() {
            let address = line.split_whitespace().next().and_then(|a| a.parse().ok());
            found.extend(address.filter(|address| !found.contains(address)));
        }
        Ok(found)
    }

    fn source(&self, server: IpAddr) -> io::Result<IpAddr> {
        let any = match server {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
        socket.connect(SocketAddr::new(server, NFS_PORT))?;
        Ok(socket.local_addr()?.ip())
    }

    fn own(&self) -> io::Result<Vec<Own>> {
        let ip = |storage: &nix::sys::socket::SockaddrStorage| {
            let v4 = storage.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
            v4.or_else(|| storage.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
        };
        let addresses = nix::ifaddrs::getifaddrs()?;
        Ok(addresses
            .filter_map(|one| {
                let mask = ip(one.netmask.as_ref()?)?;
                Some(Own {
                    address: ip(one.address.as_ref()?)?,
                    prefix: ones(mask),
                    interface: one.interface_name,
                })
            })
            .collect())
    }
}

/// The port of NFS 4; any would do to ask for a route.
const NFS_PORT: u16 = 2049;

/// The leading ones of a netmask.
fn ones(mask: IpAddr) -> u8 {
    let ones = match mask {
        IpAddr::V4(mask) => u32::from(mask).leading_ones(),
        IpAddr::V6(mask) => u128::from(mask).leading_ones(),
    };
    u8::try_from(ones).unwrap_or(0)
}

/// The ways to a server, one for each of its addresses that has one; their modules are added to
/// `wanted`.
///
/// # Errors
/// The name has no address, or no address can be reached by an interface that the capture kernel can
/// bring up.
pub(super) fn ways(
    machine: &Machine,
    network: &dyn Network,
    target: &config::Target,
    what: &str,
    wanted: &mut Vec<Wanted>,
) -> Result<Vec<Way>, ResolveError> {
    let (_, server) = target.server().unwrap_or_default();
    let addresses = addresses(network, &server)?;
    let mut ways: Vec<Way> = Vec::new();
    let mut refused = None;
    for address in addresses.into_iter().take(MAX_ADDRESSES) {
        match way(machine, network, address, what, wanted) {
            Ok(way) => ways.push(Way {
                dhcp: target.dhcp && way.source.is_ipv4(),
                ..way
            }),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    match refused {
        Some(error) if ways.is_empty() => Err(error),
        _ => Ok(ways),
    }
}

/// The addresses of a server, one at least.
///
/// # Errors
/// It has none.
pub(super) fn addresses(network: &dyn Network, server: &str) -> Result<Vec<IpAddr>, ResolveError> {
    let no_address = |source| ResolveError::NoAddress {
        server: server.to_owned(),
        source,
    };
    let mut addresses = match server.parse() {
        Ok(address) => vec![address],
        Err(_) => network.lookup(server).map_err(|e| no_address(Some(e)))?,
    };
    // The resolver chooses the family. Within one, its order may change with every question, and the plan
    // must not.
    let first = addresses.first().map(IpAddr::is_ipv4);
    addresses.sort_by_key(|address| (Some(address.is_ipv4()) != first, *address));
    match addresses.is_empty() {
        true => Err(no_address(None)),
        false => Ok(addresses),
    }
}

fn way(
    machine: &Machine,
    network: &dyn Network,
    server: IpAddr,
    what: &str,
    wanted: &mut Vec<Wanted>,
) -> Result<Way, ResolveError> {
    let no_way = |why: String| ResolveError::NoWay { server, why };
    let source = network
        .source(server)
        .map_err(|error| no_way(error.to_string()))?;
    if source.is_loopback() || source == server {
        return Err(no_way("it is this machine itself".to_owned()));
    }
    let own = network
        .own()
        .map_err(|error| no_way(error.to_string()))?
        .into_iter()
        .find(|own| own.address == source)
        .ok_or_else(|| no_way(format!("no interface has the address {source}")))?;
    let gateway = routes::gateway(machine.root, &own.interface, server);
    let link = link::resolve(machine, &own.interface, what, wanted)?;
    Ok(Way {
        server,
        source,
        prefix: own.prefix,
        gateway,
        dhcp: false,
        link,
    })
}

#[cfg(test)]
mod tests;
