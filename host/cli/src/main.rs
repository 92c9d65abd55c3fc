//! The binary `ilab-host`; also found by kubectl under the name `kubectl-ilab`.

fn main() -> std::process::ExitCode {
    ilab_host::main(std::env::args_os())
}
