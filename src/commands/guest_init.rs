//! `afterpanic guest-init`: PID 1 of the machine that `rehearse` makes panic. Hidden.

/// Arguments of `guest-init`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A part of the work in a process of its own
    role: Option<String>,
}

/// Follows the script in the initramfs; returns only when that failed.
pub fn run(args: &Args) -> crate::exit::Exit {
    if rehearse::guest::init::main(args.role.as_deref()) {
        crate::exit::Exit::Done
    } else {
        crate::exit::Exit::Failed
    }
}
