//! Components that misbehave, and what the host makes of them.

mod hostile;
mod loading;
mod support;
mod wasi;
