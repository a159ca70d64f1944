//! The first router on the way to an address, from the kernel's own tables as text.

use crate::root::Root;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The router that packets to `server` go to by `interface`; none when it is on the same link.
pub(super) fn gateway(root: &Root, interface: &str, server: IpAddr) -> Option<IpAddr> {
    match server {
        IpAddr::V4(server) => {
            let table = root.text("/proc/net/route")?;
            ipv4(&table, interface, server).map(IpAddr::V4)
        }
        IpAddr::V6(server) => {
            let table = root.text("/proc/net/ipv6_route")?;
            ipv6(&table, interface, server).map(IpAddr::V6)
        }
    }
}

/// Of `/proc/net/route`: `Iface Destination Gateway Flags RefCnt Use Metric Mask …`. Addresses are the
/// bytes on the wire as one number of this machine, in hex.
fn ipv4(table: &str, interface: &str, server: Ipv4Addr) -> Option<Ipv4Addr> {
    let wire = |text: &str| {
        let number = u32::from_str_radix(text, 16).ok()?;
        Some(u32::from_be_bytes(number.to_ne_bytes()))
    };
    let rows = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let mask = wire(fields.get(7)?)?;
        let metric: u32 = fields.get(6)?.parse().ok()?;
        let matches = u32::from(server) & mask == wire(fields.get(1)?)?;
        let row = (mask.count_ones(), u32::MAX - metric, wire(fields.get(2)?)?);
        (*fields.first()? == interface && matches).then_some(row)
    });
    let (_, _, gateway) = rows.max_by_key(|(mask, preference, _)| (*mask, *preference))?;
    (gateway != 0).then(|| Ipv4Addr::from(gateway))
}

/// Of `/proc/net/ipv6_route`: destination, its length, source, its length, next hop, metric, two
/// counters, flags, interface; all in hex.
fn ipv6(table: &str, interface: &str, server: Ipv6Addr) -> Option<Ipv6Addr> {
    let number = |text: &str| u128::from_str_radix(text, 16).ok();
    let rows = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let length = u32::from_str_radix(fields.get(1)?, 16).ok()?;
        let mask = u128::MAX
            .checked_shl(128_u32.checked_sub(length)?)
            .unwrap_or(0);
        let metric = u32::from_str_radix(fields.get(5)?, 16).ok()?;
        let matches = u128::from(server) & mask == number(fields.first()?)?;
        let row = (length, u32::MAX - metric, number(fields.get(4)?)?);
        (*fields.last()? == interface && matches).then_some(row)
    });
    let (_, _, gateway) = rows.max_by_key(|(length, preference, _)| (*length, *preference))?;
    (gateway != 0).then(|| Ipv6Addr::from(gateway))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_and_the_smallest_metric_win() {
        let table = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
            eth0 00000000 0202000A 0003 0 0 200 00000000 0 0 0\n\
            eth0 00000000 0302000A 0003 0 0 100 00000000 0 0 0\n\
            eth1 00000000 0402000A 0003 0 0 1 00000000 0 0 0\n\
            eth0 0002000A 00000000 0001 0 0 100 00FFFFFF 0 0 0\n";
        let to = |server: &str| ipv4(table, "eth0", server.parse().unwrap());
        assert_eq!(to("192.0.2.7"), Some(Ipv4Addr::new(10, 0, 2, 3)));
        assert_eq!(to("10.0.2.9"), None);
        assert_eq!(ipv4("broken\nrow\n", "eth0", Ipv4Addr::LOCALHOST), None);
    }

    #[test]
    fn ipv6_routers_are_found() {
        let zero = "0".repeat(32);
        let net = "fec00000000000000000000000000000";
        let router = "fe800000000000000000000000000002";
        let table = format!(
            "{net} 40 {zero} 00 {zero} 00000100 00000001 00000000 00000001     eth0\n\
             {zero} 00 {zero} 00 {router} 00000400 00000001 00000000 00000003     eth0\n\
             {zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo\n"
        );
        let to = |server: &str| ipv6(&table, "eth0", server.parse().unwrap());
        assert_eq!(to("2001:db8::1"), Some("fe80::2".parse().unwrap()));
        assert_eq!(to("fec0::7"), None);
    }
}
