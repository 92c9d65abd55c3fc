//! What unit tests of stages need: a context made from the descriptor, and golden files.
