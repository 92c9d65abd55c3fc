//! A real Kubernetes to try things on: prints its kubeconfig and lives until its input ends or Ctrl-C.

use clap::Parser;
use ilab_test_cluster::{Cluster, ClusterError, STORAGE_CLASS};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Start a real Kubernetes on this machine, to try things on. One line of JSON tells where it is; it ends with Ctrl-C or the end
/// of its input.
///
/// Exit codes: 0 ended as asked, 1 something did not start, 2 wrong use, 3 this machine cannot run a node.
#[derive(Debug, Parser)]
struct Arguments {
    /// Run Kubeflow's training operator too.
    #[arg(long)]
    training_operator: bool,
    /// Run a node too, so that pods run; as root.
    #[arg(long)]
    node: bool,
    /// Put a root file system into the node as an image.
    #[arg(long = "image", value_name = "REFERENCE=FOLDER", value_parser = image, requires = "node")]
    images: Vec<(String, PathBuf)>,
}

/// What a program that needs a node takes as a reason to leave something out.
const NO_NODE: u8 = 3;

fn image(text: &str) -> Result<(String, PathBuf), String> {
    let (reference, folder) = text.split_once('=').ok_or("it has the form REFERENCE=FOLDER")?;
    let folder = PathBuf::from(folder);
    if reference.is_empty() || !folder.is_dir() {
        return Err(format!("{} is no folder, or has no name for the image before it", folder.display()));
    }
    Ok((reference.to_owned(), folder))
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            if matches!(error, ClusterError::NoNode(_)) { ExitCode::from(NO_NODE) } else { ExitCode::FAILURE }
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), ClusterError> {
    let cluster = if arguments.node { Cluster::with_node().await? } else { Cluster::control_plane().await? };
    if arguments.training_operator {
        cluster.training_operator().await?;
    }
    for (reference, folder) in &arguments.images {
        cluster.import_image(reference, folder)?;
    }
    let mut told = json!({
        "kubeconfig": cluster.kubeconfig(),
        "kubectl": cluster.kubectl().get_program().display().to_string(),
        "folder": cluster.folder(),
        "processes": cluster.process_ids(),
    });
    // A cluster of somebody's own has its own classes and its own ways to this machine.
    if let Some(address) = arguments.node.then(|| cluster.host_address().ok()).flatten() {
        told["hostAddress"] = json!(address);
        told["storageClass"] = json!(STORAGE_CLASS);
    }
    // Before anybody can know that it is up: until then Ctrl-C ends this as it ends any program, and the cluster with it.
    let mut interrupt = signal(SignalKind::interrupt())
        .map_err(|source| ClusterError::Io { what: "Ctrl-C cannot be listened for".to_owned(), source })?;
    println!("{told}");
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
