//! The upload stage component of InstructLab.
