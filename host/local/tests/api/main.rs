//! One client's transcript against the embedded API server, in process and over a socket. Every script takes a plain
//! client, and what it asserts is what Kubernetes 1.34 answers.

mod kit;

mod applying;
mod bodies;
mod objects;
mod serving;
mod state;
mod watching;
