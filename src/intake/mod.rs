//! Outside JSON to domain values, or which field is wrong. Tolerant of fields it does not know, strict about what
//! the others mean. Decides nothing.
