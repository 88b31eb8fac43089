//! portfree: frees a port.
//!
//! # Theory of operation
//!
//! Options become a [`plan`]. The [`sockets`] on its ports are asked of the kernel by socket
//! diagnostics ([`netlink`], or [`procnet`] where those are denied); where none holds a port,
//! `/proc` is not scanned at all. The [`holders`] of the others are found in one pass over the
//! [`descriptors`] of all processes, and [`select`] decides which of them and of their descendants are signalled.
//! [`free`] ends them, looks again until nothing of them is left, waits where somebody might
//! start them again ([`restart`]), and has the port proved free by binding it ([`prove`],
//! [`assess`]). What became of it is told by [`report`] and [`tell`]; [`origin`], [`forwarder`]
//! and [`stop`] know where a process comes from and what would really stop it.

mod assess;
mod cli;
mod describe;
mod descriptors;
mod exit;
mod forwarder;
mod free;
mod holders;
mod netlink;
mod next;
mod origin;
#[cfg(test)]
mod packaging;
mod plan;
mod ports;
mod procnet;
mod prove;
mod report;
mod restart;
mod run;
mod select;
mod show;
mod sockets;
mod stop;
mod sys;
mod tell;

fn main() -> std::process::ExitCode {
    run::run().into()
}
