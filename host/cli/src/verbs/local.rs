//! `local …`: the embedded cluster's images, and its API on a socket.

use crate::args::{ImageVerb, LocalState, LocalVerb, Where};
use crate::report::{print_data, write_out};
use crate::{CliError, connect, exit};
use ilab_local::node::{ImageError, ImageSource, ImageStore};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};

/// Runs one of them.
///
/// # Errors
/// An image that cannot be imported, a state folder in use, a port that is taken.
pub async fn run(verb: LocalVerb) -> Result<(), CliError> {
    match verb {
        LocalVerb::Image(verb) => image(verb),
        LocalVerb::Serve { port, state } => serve(port, state).await,
    }
}

fn wrong(error: ImageError) -> CliError {
    let code = match error {
        ImageError::Io { .. } => exit::FAILURE,
        _ => exit::USAGE,
    };
    CliError::from_error(code, &error)
}

fn store(state: &LocalState) -> Result<ImageStore, CliError> {
    ImageStore::open(state.resolve()?.join("images")).map_err(wrong)
}

fn image(verb: ImageVerb) -> Result<(), CliError> {
    match verb {
        ImageVerb::Import { reference, source, state } => {
            let source = ImageSource::detect(&source).map_err(wrong)?;
            let image = store(&state)?.import(&reference, &source, None).map_err(wrong)?;
            eprintln!("imported {} ({})", image.reference.as_str(), image.rootfs.display());
            Ok(())
        }
        ImageVerb::List { state, output } => {
            let images = store(&state)?.list().map_err(wrong)?;
            if output.output.is_some() {
                return print_data(&images, output.output);
            }
            let mut text = String::new();
            for image in &images {
                let _ = writeln!(text, "{}\t{}", image.reference.as_str(), image.rootfs.display());
            }
            write_out(&text)
        }
        ImageVerb::Remove { reference, state } => {
            let image = store(&state)?.remove(&reference).map_err(wrong)?;
            eprintln!("removed {}", image.reference.as_str());
            Ok(())
        }
    }
}

async fn serve(port: u16, state: LocalState) -> Result<(), CliError> {
    let local = connect::open_local(&Where { local: true, state, ..Where::default() }).await?;
    let failed = |e: ilab_local::LocalError| CliError::from_error(exit::CLUSTER, &e);
    let served = local.serve(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await.map_err(failed)?;
    println!("http://{}", served.address());
    eprintln!(
        "serving the embedded cluster; kubectl --server http://{} get pods; ctrl-C ends it",
        served.address()
    );
    tokio::signal::ctrl_c().await.map_err(|e| CliError::from_error(exit::FAILURE, &e))?;
    local.shutdown().await.map_err(failed)
}
