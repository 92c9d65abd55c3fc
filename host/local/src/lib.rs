//! A Kubernetes API subset, its controllers and its node in one process.
