//! Ids and the text of which they are made.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// The longest id of a policy, risk alert or activity, in bytes.
pub const ID_BYTES_MAX: usize = 128;

/// Names a tenant. Part of every key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TenantId(Uuid);

impl TenantId {
    /// Returns the tenant of that UUID.
    #[must_use]
    pub const fn new(id: Uuid) -> Self {
        Self(id)
    }

    /// Returns the UUID.
    #[must_use]
    pub fn uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a text is no id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IdError {
    /// It is empty, or blank.
    #[error("must not be empty")]
    Empty,
    /// It is longer than the bound, which is given in bytes.
    #[error("must be at most {0} bytes")]
    TooLong(usize),
    /// It holds a control, bidirectional or zero-width character, which would make two ids look alike.
    #[error("must not hold control, bidirectional or zero-width characters")]
    Invisible,
}

/// Checks that `text` is 1 to `max` bytes, not blank, and free of characters that a reader cannot see.
///
/// # Errors
/// The first rule that it breaks.
pub fn check_text(text: &str, max: usize) -> Result<(), IdError> {
    if text.trim().is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > max {
        return Err(IdError::TooLong(max));
    }
    if text.chars().any(is_invisible) {
        return Err(IdError::Invisible);
    }
    Ok(())
}

/// Says whether a character is a control, or changes how its neighbours are shown.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}')
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the text as it is.
            ///
            /// # Errors
            /// When it is empty, longer than [`ID_BYTES_MAX`], or holds invisible characters.
            pub fn new(text: &str) -> Result<Self, IdError> {
                check_text(text, ID_BYTES_MAX)?;
                Ok(Self(text.into()))
            }

            /// Returns the text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id! {
    /// Names a policy of insider risk management.
    PolicyId
}
text_id! {
    /// Names a risk alert.
    RiskAlertId
}
text_id! {
    /// Names an activity, as its source did. Unique in a tenant.
    ActivityId
}

impl ActivityId {
    /// Returns an id that was one before.
    pub(super) fn kept(text: &str) -> Self {
        Self(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_visible_text_within_its_bound() {
        assert!(PolicyId::new("Data leaks").is_ok());
        assert_eq!(PolicyId::new("  ").unwrap_err(), IdError::Empty);
        assert_eq!(PolicyId::new(&"x".repeat(129)).unwrap_err(), IdError::TooLong(128));
        for hidden in ["a\0b", "a\u{202E}b", "a\u{200B}b", "a\u{85}b"] {
            assert_eq!(PolicyId::new(hidden).unwrap_err(), IdError::Invisible);
        }
    }
}
