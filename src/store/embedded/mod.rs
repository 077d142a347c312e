//! The embedded engine: fjall for the truth, memory for reads.
