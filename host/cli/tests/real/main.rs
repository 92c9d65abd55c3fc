//! The whole program against a real control plane: what clusters do to a run, and what a person then sees.
//!
//! There is no node: each test plays the kubelet, and so reaches every failure that there is. Tests share one control plane
//! and keep to namespaces of their own; those that break a part of it start one of theirs.

#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;
mod kit;
mod leases;

mod faults;
mod jobs;
mod kills;
mod objects;
mod pending;
mod permissions;
mod proxy;
mod pytorch;
mod queues;
mod quotas;
mod removal;
mod strangers;
mod tokens;
