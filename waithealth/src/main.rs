//! waithealth: waits until servers are healthy, is fooled by nothing, always ends in time.
//!
//! # Theory of operation
//!
//! [`cli`] reads the command line into a plan; a target that can never be right ([`target`]) is
//! wrong usage before anything is probed. [`wait`] gives every target a thread of its own, in
//! which [`attempts`] makes one attempt after the other with the pauses of [`pause`], and only
//! says so when a target answers otherwise than before. The main thread sleeps until then, or
//! until the time is up; it waits for no thread, so nothing a server or a resolver does can
//! delay the end. A process that was named to live on ([`watched`]) has a thread, too, that sleeps
//! until its end. Where a single attempt is all there is to do, and nothing in it blocks beyond its
//! deadline, the main thread makes it itself.
//!
//! An attempt has one deadline, for name look-up ([`names`]), connecting to every address
//! ([`reach`]), and each read and write ([`wire`]). What is said over the connection is a
//! [`probe`] per protocol; what was heard is an [`answer`].
#![cfg_attr(not(test), no_main)]

mod answer;
mod attempts;
mod cli;
mod exit;
mod field;
mod mailbox;
mod names;
#[cfg(test)]
mod packaging;
mod pause;
mod probe;
mod reach;
mod report;
mod request;
mod run;
mod target;
#[cfg_attr(not(feature = "tls"), path = "no_tls.rs")]
mod tls;
mod wait;
mod watched;
mod wire;

treekill::begin_at!(crate::main);

fn main() {
    run::run(std::env::args_os().skip(1).collect()).end()
}
