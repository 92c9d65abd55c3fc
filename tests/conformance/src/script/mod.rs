//! The script. A chapter is told in a namespace of its own, and all of them at once; within a chapter one thing comes after another.
//!
//! A chapter must not go another way because of what it is answered, or there is nothing to compare; it waits for what both clusters
//! come to, and writes down what is there then.

mod apply;
mod deletion;
mod expired;
mod jobs;
mod jobs_failing;
mod kinds;
mod manifests;
mod objects;
mod pods;
mod pytorch;
mod pytorch_failing;
mod selectors;
mod updates;
mod validation;
mod watches;

use crate::talk::Talk;
use crate::{Place, Transcript};
use futures::FutureExt;
use futures::future::{LocalBoxFuture, join_all};
use std::panic::AssertUnwindSafe;

type Chapter = (&'static str, for<'a> fn(&'a mut Talk) -> LocalBoxFuture<'a, ()>);

macro_rules! chapters {
    ($($name:ident),* $(,)?) => {
        &[$((stringify!($name), |talk| $name::tell(talk).boxed_local())),*]
    };
}

const CHAPTERS: &[Chapter] = chapters![
    objects,
    kinds,
    updates,
    validation,
    apply,
    selectors,
    watches,
    deletion,
    pods,
    jobs,
    jobs_failing,
    pytorch,
    pytorch_failing,
];

/// The chapter that not every cluster can be told: it makes the cluster forget what has changed.
pub const EXPIRED: &str = "expired";

/// Tells a cluster the script, and gives what it answered.
///
/// # Panics
/// When something that the script waits for does not come about, with what was there instead.
pub async fn tell(place: &Place) -> Transcript {
    let told = CHAPTERS.iter().map(|(name, chapter)| {
        let told = async move {
            let mut talk = begin(place, name).await;
            chapter(&mut talk).await;
            talk.end()
        };
        // One that fails must not hide what the others would say; what it says is printed when it does.
        AssertUnwindSafe(told).catch_unwind().map(|told| told.map_err(|_| *name))
    });
    let (told, failed): (Vec<_>, Vec<_>) = split(join_all(told).await);
    assert!(failed.is_empty(), "{place:?} did not come to the end of {failed:?}: see above");
    let mut exchanges: Vec<_> = told.into_iter().flatten().collect();
    if place.forgets() {
        // After all the others: it takes their connections.
        let mut talk = begin(place, EXPIRED).await;
        expired::tell(&mut talk, place).await;
        exchanges.extend(talk.end());
    }
    Transcript { exchanges }
}

fn split<T, E>(results: Vec<Result<T, E>>) -> (Vec<T>, Vec<E>) {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(one) => good.push(one),
            Err(one) => bad.push(one),
        }
    }
    (good, bad)
}

async fn begin(place: &Place, name: &'static str) -> Talk {
    let namespace = place.namespace(&format!("conformance-{}", name.replace('_', "-"))).await;
    Talk::new(name, place.client().await, namespace)
}
