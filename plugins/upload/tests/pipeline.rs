//! The six stages together, as the host sees them.

use ilab_core::contract::Descriptor;
use ilab_core::graph::{Offer, Pipeline, flags};
use ilab_core::names::PluginDigest;
use ilab_stage_sdk::Stage;
use ilab_stage_sdk::testkit::check_descriptor;

fn offers() -> Vec<Offer> {
    let components: [(&str, &[&dyn Stage]); 5] = [
        ("upload.wasm", ilab_stage_upload::stages()),
        ("final-eval.wasm", ilab_stage_final_eval::stages()),
        ("mt-bench.wasm", ilab_stage_mt_bench::stages()),
        ("train.wasm", ilab_stage_train::stages()),
        ("fetch.wasm", ilab_stage_fetch::stages()),
    ];
    let offer = |file: &str, stage: &dyn Stage| Offer {
        descriptor: check_descriptor(stage),
        file: file.into(),
        digest: PluginDigest::of(file.as_bytes()),
    };
    components
        .iter()
        .flat_map(|&(file, stages)| stages.iter().map(move |&stage| offer(file, stage)))
        .collect()
}

#[test]
fn they_form_one_pipeline_in_the_order_of_the_workflow() {
    let pipeline = Pipeline::new(offers()).unwrap();
    let order: Vec<&str> = pipeline.stages().iter().map(|offer| offer.name().as_str()).collect();
    assert_eq!(
        order,
        [
            "sdg-data-fetch",
            "train-phase-1",
            "train-phase-2",
            "mt-bench",
            "final-eval",
            "upload-trained-model"
        ]
    );
}

#[test]
fn a_flag_means_the_same_in_every_stage() {
    let offers = offers();
    let descriptors: Vec<&Descriptor> = offers.iter().map(|offer| &offer.descriptor).collect();
    let flags = flags(&descriptors).unwrap();
    let sets = |name: &str| flags.iter().find(|info| info.flag == name).map(|info| info.sets.len());
    assert_eq!(sets("nproc-per-node"), Some(4), "B16: both phases and both evaluations");
    assert_eq!(sets("model-to-train"), Some(2));
    for once in [
        "force-pull",
        "training-1-epoch-num",
        "training-2-epoch-num",
        "training-1-effective-batch-size",
        "training-2-effective-batch-size",
    ] {
        assert_eq!(sets(once), Some(1), "{once}");
    }
}
