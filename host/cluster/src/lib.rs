//! The Kubernetes client side of ilab-host: apply, watch, logs, events, run records.
