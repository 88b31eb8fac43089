//! What the five tools know about processes, and the conventions they all keep.
//!
//! # Theory of operation
//!
//! A process is never touched by bare number. [`table`] reads every `/proc/PID/stat` in one
//! pass; what was selected from it is an [`identity::Identity`], a PID with its start time; a
//! [`identity::Pinned`] process is that identity held by a pidfd, and only a pinned process is
//! signalled or waited for. [`tree`] turns roots and a table into members and can be asked again
//! with a newer table; [`guard`] names the processes that no tool ever signals; [`terminate`]
//! puts these together: first signal, grace, freeze, search to a fixpoint, kill, and returns
//! what became of each member as plain data.
//!
//! Around them stands what makes five programs behave as one family: [`duration`], [`signal`],
//! [`pidfile`], [`common`] options, [`exec`] for programs that stand in front of another, [`record`] for standard
//! output and [`words`] for standard error.

pub mod common;
pub mod describe;
pub mod duration;
pub mod exec;
pub mod guard;
pub mod identity;
pub mod pidfile;
pub mod record;
pub mod signal;
pub mod sys;
pub mod table;
pub mod terminate;
pub mod tree;
pub mod words;
