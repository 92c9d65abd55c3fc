//! The final-eval stage component of InstructLab.
