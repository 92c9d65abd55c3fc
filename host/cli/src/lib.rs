//! Runs the InstructLab workflow on Kubernetes, every stage a WebAssembly component.
