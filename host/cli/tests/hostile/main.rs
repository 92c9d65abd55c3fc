//! Hostile components, as against hostile manifests: none gets through, none takes the host along, and each is told in one line.
//!
//! They are made here, of words and WebAssembly text ([`ilab_test_support::Puppet`]), and given to the program as a person would. What
//! it says of each is pinned in `../golden/hostile.txt`, with its exit code.

#[path = "../common/mod.rs"]
mod common;

mod calls;
mod descriptors;
mod files;
mod kit;
mod plans;
mod terminal;

use kit::{Trick, tried};
use std::fmt::Write as _;

/// Each with its name, and what it is given to. More than there are tricks of this many kinds would be a mistake in a list.
fn tricks() -> Vec<Trick> {
    [files::tricks(), calls::tricks(), descriptors::tricks(), plans::tricks()].concat()
}

#[test]
fn none_of_the_components_gets_through() {
    let tricks = tricks();
    assert!(tricks.len() >= 100, "{} tricks", tricks.len());
    let mut names: Vec<&str> = tricks.iter().map(|trick| trick.name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|two| two[0] != two[1]), "a name is there twice: {names:?}");
    let mut text = String::new();
    for (trick, told) in tricks.iter().zip(tried(&tricks)) {
        let _ = writeln!(text, "{}\n  {} {}", trick.name, told.code, told.error);
    }
    common::golden("hostile.txt", &text);
}
