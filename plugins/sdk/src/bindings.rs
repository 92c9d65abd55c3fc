//! The component's ABI, generated from `wit/stage.wit`. Nothing but `guest` uses it.
#![expect(missing_docs, unsafe_code, unreachable_pub, reason = "generated code; the ABI of a component is raw pointers")]

wit_bindgen::generate!({
    world: "stage-plugin",
    path: "../../wit",
    pub_export_macro: true,
    default_bindings_module: "ilab_stage_sdk::bindings",
});
