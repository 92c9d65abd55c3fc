//! A component that asks for WASI: one stage tells what it got, the others try to abuse it.

wit_bindgen::generate!({ path: ["../../../../wit", "wit"], world: "test:guest/wasi-stage", generate_all });

use exports::ilab::pipeline::stage::{Context, Descriptor, Error, Excerpt, Guest, Plan};
use wasi::cli::{environment, exit, stderr};
use wasi::clocks::{monotonic_clock, wall_clock};
use wasi::filesystem::preopens;
use wasi::random::random;
use wasi::sockets::network::{ErrorCode, IpAddressFamily};
use wasi::sockets::tcp_create_socket;

const NAMES: [&str; 8] = ["report", "sleep", "poll", "wait-forever", "stderr", "handles", "random", "exit"];
const HOUR: u64 = 3_600_000_000_000;

struct Component;

fn report() -> String {
    let tcp = match tcp_create_socket::create_tcp_socket(IpAddressFamily::Ipv4) {
        Ok(_) => "a socket".to_owned(),
        Err(ErrorCode::AccessDenied) => "access denied".to_owned(),
        Err(_) => "another error".to_owned(),
    };
    format!(
        r#"{{"environment":{},"arguments":{},"directories":{},"seconds":{},"monotonic":[{},{}],"random":{:?},"tcp":"{tcp}"}}"#,
        environment::get_environment().len(),
        environment::get_arguments().len(),
        preopens::get_directories().len(),
        wall_clock::now().seconds,
        monotonic_clock::now(),
        monotonic_clock::now(),
        random::get_random_bytes(8),
    )
}

impl Guest for Component {
    fn stages() -> Vec<Descriptor> {
        NAMES
            .iter()
            .map(|name| Descriptor {
                name: (*name).to_owned(),
                summary: "A stage for tests".into(),
                group: "wasi".into(),
                selected_by: None,
                after: vec![],
                parameters: vec![],
                credentials: vec![],
                volumes: vec![],
                inputs: vec![],
                outputs: vec![],
                creates: vec![],
                licence: None,
                homepage: None,
            })
            .collect()
    }

    fn render(stage: String, _context: Context) -> Result<Plan, Error> {
        let manifest = match stage.as_str() {
            "report" => report(),
            "sleep" => {
                monotonic_clock::subscribe_duration(HOUR).block();
                "{}".into()
            }
            "poll" => {
                let (one, two) =
                    (monotonic_clock::subscribe_duration(HOUR), monotonic_clock::subscribe_duration(HOUR));
                format!(r#"{{"ready":{:?},"one":{}}}"#, wasi::io::poll::poll(&[&one, &two]), one.ready())
            }
            "wait-forever" => loop {
                monotonic_clock::subscribe_duration(HOUR).block();
            },
            "stderr" => {
                let stream = stderr::get_stderr();
                let _ = stream.blocking_write_and_flush(b"panic: the guest \x1b[31mgave up\n");
                for _ in 0..1000 {
                    let _ = stream.blocking_write_and_flush(&[b'x'; 4096]);
                }
                core::arch::wasm32::unreachable()
            }
            "handles" => loop {
                std::mem::forget(monotonic_clock::subscribe_duration(HOUR));
            },
            "random" => format!("{}", random::get_random_bytes(1 << 40).len()),
            _ => {
                exit::exit(Err(()));
                "{}".into()
            }
        };
        Ok(Plan { manifests: vec![manifest], targets: vec![], excerpts: vec![] })
    }

    fn collect(_stage: String, _context: Context, _excerpts: Vec<Excerpt>) -> Result<String, Error> {
        Ok("{}".into())
    }
}

export!(Component);
