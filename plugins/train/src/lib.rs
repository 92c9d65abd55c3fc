//! The train stage component of InstructLab.
