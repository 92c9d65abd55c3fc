//! Images: root file systems by reference, imported from a folder or an archive. Nothing is pulled from a network.

mod archive;
mod reference;
mod store;

pub use archive::ArchiveError;
pub use reference::{BadReference, Reference};
pub use store::{Image, ImageConfig, ImageError, ImageSource, ImageStore, PullPolicy};
