//! A network of the tests' own, where the machine allows one: nothing that they send leaves it, multicast included.

use crate::shell;
use std::path::Path;
use std::process::Command;

/// Makes loopback, and a link that looks like the machine's: some addresses are to be found beside loopback's.
const SET_UP: &str = "
    PATH=$PATH:/usr/sbin:/sbin
    ip link set lo up &&
    ip link add peerline0 type veth peer name peerline1 &&
    ip address add 192.0.2.2/24 dev peerline0 &&
    ip -6 address add fd00::2/64 dev peerline0 nodad &&
    ip link set peerline1 up && ip link set peerline0 up &&
    ip route add default dev peerline0 && ip -6 route add default dev peerline0 &&
    exec \"$@\"
";

/// A named namespace with a table of nftables in it.
const TRANSLATOR: &str = "
    PATH=$PATH:/usr/sbin:/sbin
    name=peerline-$$
    ip netns add $name || exit 1
    ip netns exec $name nft add table ip t
    made=$?
    ip netns delete $name
    exit $made
";

/// Whether tests can make networks with address translators.
pub(crate) fn translators() -> bool {
    shell::succeeds("sh", &["-c", TRANSLATOR])
}

/// The command in a network namespace of its own (cargo is then offline: everything must be built or fetched), or as it
/// is, with a line that says so, where none can be made.
pub(crate) fn isolated(command: Command) -> Command {
    if !shell::succeeds("unshare", &["--net", "--", "sh", "-c", SET_UP, "sh", "true"]) {
        eprintln!(
            "No network namespace can be made here (it takes root): the tests use this machine's own interfaces."
        );
        return command;
    }
    let mut isolated = Command::new("unshare");
    isolated
        .args(["--net", "--", "sh", "-c", SET_UP, "sh"])
        .arg(command.get_program())
        .args(command.get_args())
        .env("CARGO_NET_OFFLINE", "true")
        .current_dir(command.get_current_dir().unwrap_or(Path::new(".")));
    keep_environment(&command, &mut isolated);
    isolated
}

/// What `from` adds to its environment or takes away from it is added to that of `to`, or taken away.
fn keep_environment(from: &Command, to: &mut Command) {
    for (name, value) in from.get_envs() {
        match value {
            Some(value) => to.env(name, value),
            None => to.env_remove(name),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_takes_from_its_environment_stays_away() {
        let mut command = Command::new("cargo");
        command.env("ADDED", "1").env_remove("CARGO_PKG_NAME");
        let mut wrapped = Command::new("sh");
        keep_environment(&command, &mut wrapped);
        assert!(wrapped.get_envs().eq(command.get_envs()));
        assert_eq!(wrapped.get_envs().count(), 2);
    }
}
