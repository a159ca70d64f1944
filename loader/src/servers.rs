//! The ways to the targets' servers: as they were when the capture kernel was loaded, and now.
//!
//! The capture kernel asks no name service and no router: an address, a route, a card or a name that
//! changed since then makes the loaded image stale. A way that cannot be found now does not: it may come
//! back, and loading again would only lose the target.

use crate::probe::running_release;
use crate::root;
use crate::state::{self, LoadedState, StateError};
use config::Config;
use initramfs::modules::Index;
use initramfs::read::Contents;
use initramfs::resolve;
use initramfs::root::Root;
use plan::{Plan, Server, Way};
use std::net::IpAddr;
use std::path::Path;

/// What became of the ways since the load.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Compared {
    /// What makes the image stale, each in a few words.
    pub(crate) changed: Vec<String>,
    /// What could not be looked at, and why.
    pub(crate) warnings: Vec<String>,
}

/// Where the targets on servers are named for afterpanic-network.service; missing where there are none.
const MARK: &str = "/var/lib/afterpanic/servers";

/// Notes whether the config has targets on servers.
///
/// # Errors
/// The file cannot be written or removed.
pub fn mark(root: &Path, config: &Config) -> Result<(), StateError> {
    let path = root::under(root, MARK);
    let targets = captured(config).filter_map(config::Target::server);
    let text: String = targets.map(|(target, _)| format!("{target}\n")).collect();
    state::mark(&path, &text)
}

/// The targets that the capture kernel writes to.
fn captured(config: &Config) -> impl Iterator<Item = &config::Target> {
    config.target.iter().filter(|target| !target.at_boot)
}

/// The servers in the plan of a capture image; none where it is not ours.
pub(crate) fn of_image(image: &[u8]) -> Vec<Server> {
    let plan = || {
        let contents = Contents::new(image).ok()?;
        Plan::parse(&contents.file(plan::PATH).ok()?).ok()
    };
    let targets = plan().map(|plan| plan.targets).unwrap_or_default();
    targets.iter().filter_map(|one| one.kind.server()).collect()
}

/// Compares the servers of the config with those of what is loaded.
pub(crate) fn compare(root: &Path, config: &Config, loaded: &LoadedState) -> Compared {
    let targets = || captured(config).filter(|target| target.server().is_some());
    let wanted: Vec<(String, String)> = targets().filter_map(|target| target.server()).collect();
    if wanted.is_empty() {
        return Compared::default();
    }
    let release = running_release(root).unwrap_or_default();
    let index = match Index::open(root, &release) {
        Ok(index) => index,
        Err(why) => {
            return Compared {
                warnings: vec![format!("cannot check the ways to the servers: {why}")],
                ..Compared::default()
            };
        }
    };
    let tree = Root::new(root);
    judge(&wanted, &loaded.servers, &|at| {
        let target = targets().nth(at).ok_or_else(String::new)?;
        resolve::ways(&tree, &index, target).map_err(|why| why.to_string())
    })
}

/// `wanted` are the config's targets on servers and the servers' names; `ask` finds the ways to one by its
/// place.
fn judge(
    wanted: &[(String, String)],
    loaded: &[Server],
    ask: &dyn Fn(usize) -> Result<Vec<Way>, String>,
) -> Compared {
    let mut out = Compared::default();
    for (at, (target, name)) in wanted.iter().enumerate() {
        let before = loaded.iter().find(|server| server.target == *target);
        match (before, ask(at)) {
            (Some(before), Ok(now)) => out.changed.extend(difference(name, &before.ways, &now)),
            (None, Ok(_)) => out.changed.push(format!(
                "the target {target} is not in the capture image, and {name} can be reached now"
            )),
            (Some(_), Err(why)) => out.warnings.push(format!(
                "cannot check the way to {name}, which stays as it was loaded. {why}"
            )),
            (None, Err(why)) => out.warnings.push(format!(
                "the target {target} is not in the capture image. {why}"
            )),
        }
    }
    out
}

/// What differs between the ways to a server, in a few words; nothing where the plan is current.
fn difference(name: &str, before: &[Way], now: &[Way]) -> Option<String> {
    if before == now {
        return None;
    }
    let addresses = |ways: &[Way]| {
        let addresses = ways.iter().map(|way| way.server.to_string());
        addresses.collect::<Vec<_>>().join(", ")
    };
    if addresses(before) != addresses(now) {
        return Some(format!(
            "the address of {name} is now {} (was {})",
            addresses(now),
            addresses(before)
        ));
    }
    let pair = before.iter().zip(now).find(|(before, now)| before != now);
    let (was, is) = pair?;
    let router = |way: &Way| {
        way.gateway
            .map_or_else(|| "none".to_owned(), |router: IpAddr| router.to_string())
    };
    let text = if was.link.name != is.link.name {
        format!(
            "the way to {name} leads over {} (was {})",
            is.link.name, was.link.name
        )
    } else if was.link != is.link {
        format!("the interface {} changed", is.link.name)
    } else if was.dhcp != is.dhcp {
        format!("dhcp of the target on {name} changed")
    } else if was.gateway != is.gateway {
        format!(
            "the router on the way to {name} is now {} (was {})",
            router(is),
            router(was)
        )
    } else {
        format!(
            "the address of {} is now {}/{} (was {}/{})",
            is.link.name, is.source, is.prefix, was.source, was.prefix
        )
    };
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use plan::{Link, LinkKind};
    use std::fs;

    fn way(change: impl Fn(&mut Way)) -> Way {
        let mut way = Way {
            server: "192.0.2.7".parse().unwrap(),
            source: "10.0.2.15".parse().unwrap(),
            prefix: 24,
            gateway: Some("10.0.2.2".parse().unwrap()),
            dhcp: false,
            link: Link {
                name: "eth0".into(),
                mtu: 1500,
                kind: LinkKind::Card {
                    mac: "52:54:00:00:00:01".into(),
                    device: String::new(),
                },
            },
        };
        change(&mut way);
        way
    }

    fn compared(loaded: Option<Way>, now: &Result<Way, String>) -> Compared {
        let target = "nas:/srv/dumps".to_owned();
        let loaded = loaded.map(|way| Server {
            target: target.clone(),
            name: "nas".into(),
            ways: vec![way],
        });
        let loaded: Vec<Server> = loaded.into_iter().collect();
        judge(&[(target, "nas".into())], &loaded, &|at| {
            assert_eq!(at, 0);
            now.clone().map(|way| vec![way])
        })
    }

    #[test]
    fn each_change_of_a_way_makes_the_image_stale_and_is_named() {
        let same = compared(Some(way(|_| ())), &Ok(way(|_| ())));
        assert_eq!(same, Compared::default());
        type Change = fn(&mut Way);
        let changes: [(Change, &str); 6] = [
            (|way| way.dhcp = true, "dhcp of the target on nas changed"),
            (
                |way| way.server = "192.0.2.8".parse().unwrap(),
                "the address of nas is now 192.0.2.8 (was 192.0.2.7)",
            ),
            (
                |way| way.source = "10.0.2.16".parse().unwrap(),
                "the address of eth0 is now 10.0.2.16/24 (was 10.0.2.15/24)",
            ),
            (
                |way| way.gateway = None,
                "the router on the way to nas is now none (was 10.0.2.2)",
            ),
            (
                |way| way.link.name = "eth1".into(),
                "the way to nas leads over eth1 (was eth0)",
            ),
            (|way| way.link.mtu = 9000, "the interface eth0 changed"),
        ];
        for (change, text) in changes {
            let found = compared(Some(way(|_| ())), &Ok(way(change)));
            assert_eq!(found.changed, [text]);
            assert!(found.warnings.is_empty());
        }
    }

    #[test]
    fn targets_on_servers_are_marked_for_the_unit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("var/lib/afterpanic/servers");
        let set = |text: &str| mark(dir.path(), &Config::parse(text).unwrap()).unwrap();
        set("");
        assert!(!path.exists());
        set("[[target]]\nnfs = \"nas:/srv/dumps\"\nat_boot = true\n[[target]]\npath = \"/x\"\n");
        assert!(!path.exists(), "the capture kernel does not go there");
        set("[[target]]\nnfs = \"nas:/srv/dumps\"\n[[target]]\npath = \"/x\"\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "nas:/srv/dumps\n");
        set("");
        assert!(!path.exists());
    }

    #[test]
    fn a_way_that_is_gone_stays_as_it_was_and_one_that_came_back_is_loaded() {
        let gone = compared(Some(way(|_| ())), &Err("No route.".into()));
        assert!(gone.changed.is_empty());
        assert!(gone.warnings[0].contains("stays as it was loaded. No route."));
        let back = compared(None, &Ok(way(|_| ())));
        assert!(back.changed[0].contains("nas can be reached now"));
        let still = compared(None, &Err("No route.".into()));
        assert!(still.changed.is_empty() && still.warnings[0].contains("is not in the capture"));
    }
}
