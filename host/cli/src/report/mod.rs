//! What people and machines get to see. Reporters read events and never decide anything.

mod bar;
mod compile;
mod data;
mod json;
mod terminal;

pub use bar::TransferBar;
pub use compile::CompileBar;
pub use data::{print_data, to_yaml, write_documents, write_out};
pub use json::JsonLines;
pub use terminal::Terminal;
