//! The SDK for stage authors: typed manifests, plan builder, export macro, unit-test kit.
