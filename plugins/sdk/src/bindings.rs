//! The component's ABI, generated from `wit/stage.wit`. Nothing but `guest` uses it.
#![expect(missing_docs, reason = "generated code; its documentation is wit/stage.wit")]

wit_bindgen::generate!({
    world: "stage-plugin",
    path: "../../wit",
    pub_export_macro: true,
    default_bindings_module: "ilab_stage_sdk::bindings",
});
