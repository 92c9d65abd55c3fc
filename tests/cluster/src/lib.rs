//! A real Kubernetes for the tests: etcd, API server and controller manager, the Kubeflow training operator on wish, all built
//! from their Go modules by `tests/tools/kubernetes` and kept in the user's cache.
//!
//! One control plane a test process is the rule ([`Cluster::shared`]); without a node a test plays the kubelet
//! ([`PlayedKubelet`]), and so reaches every failure there is; containers' logs are read from a [`PlayedNode`]. What a test starts ends with it: a janitor process outside the
//! test's own sees its end and removes the rest.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `ILAB_TEST_KUBECONFIG` | a kubeconfig: that cluster is used, and nothing of it is stopped or installed |
//! | `ILAB_TEST_KEEP` | not empty: the folder with the logs is left |

mod apply;
mod cluster;
mod control_plane;
mod error;
mod etcd;
mod kubeconfig;
mod kueue;
mod namespace;
mod node;
mod operator;
mod pki;
mod played;
mod played_node;
mod seen;
mod supervisor;
mod tools;
mod wait;

pub use cluster::{Cluster, KUBECONFIG_VARIABLE};
pub use error::ClusterError;
pub use kubeconfig::Identity;
pub use namespace::Namespace;
pub use node::STORAGE_CLASS;
pub use operator::PROBE_IMAGE;
pub use played::PlayedKubelet;
pub use played_node::PlayedNode;
pub use seen::{PATIENCE, seen};
