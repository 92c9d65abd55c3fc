//! Loads, limits and calls stage components.
