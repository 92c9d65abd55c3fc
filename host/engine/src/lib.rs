//! The run loop: one owner of run state that turns plans into applied objects, verdicts and outputs.
