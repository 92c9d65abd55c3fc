//! The fetch stage component of InstructLab.
