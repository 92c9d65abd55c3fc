//! The embedded cluster answers as Kubernetes does, but where the list says that it does not, and why.

use ilab_test_conformance::{Place, Transcript, known, script};
use std::path::{Path, PathBuf};

/// Writes a transcript where a person can look at it, and compare.
fn keep(name: &str, transcript: &Transcript) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("conformance");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    std::fs::write(&path, transcript.shown()).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_cluster_answers_as_kubernetes_does() {
    let real = async {
        let place = Place::real().await;
        (script::tell(&place).await, place.forgets())
    };
    let own = async { script::tell(&Place::embedded().await).await };
    let ((kubernetes, forgets), mut embedded) = tokio::join!(real, own);
    let kept = [keep("kubernetes.json", &kubernetes), keep("embedded.json", &embedded)];
    if !forgets {
        embedded.exchanges.retain(|one| !one.name.starts_with(script::EXPIRED));
    }
    let found = Transcript::differences(&kubernetes, &embedded);
    let list = known::read(known::LIST).unwrap();
    let faults =
        known::faults(&list, &found, |entry| forgets || !entry.exchange.starts_with(script::EXPIRED));
    assert!(
        faults.is_empty(),
        "tests/conformance/differences.yaml does not tell what differs, of which there are {}:\n\n{}\n\nthe transcripts: {}, {}",
        faults.len(),
        faults.join("\n"),
        kept[0].display(),
        kept[1].display(),
    );
}
