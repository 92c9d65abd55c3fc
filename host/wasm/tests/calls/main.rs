//! Components that misbehave, and what the host makes of them.

mod hostile;
mod loading;
mod remembering;
mod support;
mod wasi;
