//! What a component may use. Everything that a guest can make grow is here.

use std::time::Duration;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Bounds on one component and on one call of it.
///
/// The defaults are far above what a stage needs (a Rust stage renders in 0.1 ms with 2 MiB, a Python one with 20 MiB) and
/// far below what would hurt the host.
///
/// ```
/// use ilab_wasm::Limits;
/// use std::time::Duration;
/// let strict = Limits { call_time: Duration::from_millis(200), ..Limits::default() };
/// assert_eq!(strict.memory_bytes, 256 << 20);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory of one call, all memories of the component together. Default: 256 MiB.
    pub memory_bytes: usize,
    /// How long one call may take, instantiation included. Default: 5 s.
    pub call_time: Duration,
    /// Stack of the guest's code. Calls run on the caller's thread, so it has to leave room on a stack of 2 MiB.
    /// Default: 512 KiB.
    pub stack_bytes: usize,
    /// Elements of all tables together. Default: 200,000.
    pub table_elements: usize,
    /// Tables of one call. Default: 64.
    pub tables: usize,
    /// Linear memories of one call. Default: 16.
    pub memories: usize,
    /// Core instances of one call. Default: 64.
    pub instances: usize,
    /// Handles to resources that are alive at once, WASI's included. Default: 1,000.
    pub handles: usize,
    /// Size of a component's file. Default: 64 MiB.
    pub component_bytes: u64,
    /// How long compiling one component may take. It binds where a compile command is set
    /// ([`Host::with_compile_command`](crate::Host::with_compile_command)): only a process can be stopped. Default: 120 s.
    pub compile_time: Duration,
    /// Memory of the process that compiles, where the system can bound it. Default: 3 GiB.
    pub compile_memory_bytes: u64,
    /// What one call may hand to the host: its result, and each message that it logs. Default: 4 MiB.
    pub returned_bytes: usize,
    /// Text that one call may log. Default: 64 KiB.
    pub log_bytes: usize,
    /// Lines that one call may log. Default: 200.
    pub log_lines: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 256 * MIB,
            call_time: Duration::from_secs(5),
            stack_bytes: 512 * KIB,
            table_elements: 200_000,
            tables: 64,
            memories: 16,
            instances: 64,
            handles: 1_000,
            component_bytes: 64 << 20,
            compile_time: Duration::from_secs(120),
            compile_memory_bytes: 3 << 30,
            returned_bytes: 4 * MIB,
            log_bytes: 64 * KIB,
            log_lines: 200,
        }
    }
}

/// A number of bytes for people: `256 MiB`, `1.5 KiB`, `17 bytes`.
pub(crate) fn bytes(count: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one decimal is printed")]
    for (unit, size) in [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if count >= size {
            let text = format!("{:.1}", count as f64 / size as f64);
            return format!("{} {unit}", text.trim_end_matches(".0"));
        }
    }
    format!("{count} bytes")
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_are_readable() {
        for (count, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1536, "1.5 KiB"),
            (256 << 20, "256 MiB"),
            (3 << 30, "3 GiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }
}
