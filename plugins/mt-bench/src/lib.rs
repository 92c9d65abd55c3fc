//! The mt-bench stage component of InstructLab.
