//! Says something to the person who runs the host. Bounded: the host drops what is too much.

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Only for whoever looks for a defect.
    Debug,
    /// Worth knowing.
    Info,
    /// Probably not what the user wants.
    Warn,
    /// Something went wrong.
    Error,
}

/// Says it: to the host in a component, to stderr elsewhere.
pub fn log(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    {
        use crate::bindings::ilab::pipeline::host_log;
        let level = match level {
            Level::Debug => host_log::Level::Debug,
            Level::Info => host_log::Level::Info,
            Level::Warn => host_log::Level::Warn,
            Level::Error => host_log::Level::Error,
        };
        host_log::log(level, message);
    }
    #[cfg(not(target_arch = "wasm32"))]
    eprintln!("{level:?}: {message}");
}

/// Says that something is probably not what the user wants.
pub fn warn(message: &str) {
    log(Level::Warn, message);
}

/// Says something worth knowing.
pub fn info(message: &str) {
    log(Level::Info, message);
}
