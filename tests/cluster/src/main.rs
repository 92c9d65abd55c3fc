//! A real Kubernetes to try things on: prints its kubeconfig and lives until its input ends or Ctrl-C.

use clap::Parser;
use ilab_test_cluster::{Cluster, ClusterError};
use serde_json::json;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Start a real Kubernetes on this machine, to try things on. One line of JSON tells where it is; it ends with Ctrl-C or the end
/// of its input.
#[derive(Debug, Parser)]
struct Arguments {
    /// Run Kubeflow's training operator too.
    #[arg(long)]
    training_operator: bool,
    /// Run a node too, so that pods run; as root.
    #[arg(long)]
    node: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), ClusterError> {
    let cluster = if arguments.node { Cluster::with_node().await? } else { Cluster::control_plane().await? };
    if arguments.training_operator {
        cluster.training_operator().await?;
    }
    // Before anybody can know that it is up: until then Ctrl-C ends this as it ends any program, and the cluster with it.
    let mut interrupt = signal(SignalKind::interrupt())
        .map_err(|source| ClusterError::Io { what: "Ctrl-C cannot be listened for".to_owned(), source })?;
    println!(
        "{}",
        json!({
            "kubeconfig": cluster.kubeconfig(),
            "folder": cluster.folder(),
            "processes": cluster.process_ids(),
        })
    );
    let (ended, input) = tokio::sync::oneshot::channel();
    // A thread that nobody waits for: a read from a terminal cannot be called off.
    std::thread::spawn(move || {
        // An error ends the input too.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = ended.send(());
    });
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = input => {}
    }
    Ok(())
}
