//! What blocked pods wait for: images, configuration, secrets and claims. A change of any makes them look again.

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::task::JoinSet;

use super::Ctx;

/// Starts all watches.
pub(super) fn watch_all(ctx: &Arc<Ctx>, tasks: &mut JoinSet<()>) -> io::Result<()> {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
    let wanted = AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_DELETE | AddWatchFlags::IN_CLOSE_WRITE;
    inotify.add_watch(&ctx.images.refs(), wanted)?;
    tasks.spawn(images(ctx.clone(), Receiver::from_owned_fd_unchecked(OwnedFd::from(inotify))?));
    tasks.spawn(objects::<ConfigMap>(ctx.clone(), Api::all(ctx.client.clone())));
    tasks.spawn(objects::<Secret>(ctx.clone(), Api::all(ctx.client.clone())));
    tasks.spawn(objects::<PersistentVolumeClaim>(ctx.clone(), Api::all(ctx.client.clone())));
    Ok(())
}

/// Images are imported by other processes, so the folder is watched and not the store.
async fn images(ctx: Arc<Ctx>, mut folder: Receiver) {
    let mut events = vec![0; 16 << 10];
    // What happened does not matter; that something did does. An inotify descriptor is read as a pipe is.
    while folder.read(&mut events).await.is_ok_and(|read| read > 0) {
        ctx.changes.send_modify(|count| *count += 1);
    }
}

async fn objects<K>(ctx: Arc<Ctx>, api: Api<K>)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
    while let Some(event) = events.next().await {
        if matches!(event, Ok(watcher::Event::InitDone | watcher::Event::Apply(_))) {
            ctx.changes.send_modify(|count| *count += 1);
        }
    }
}
