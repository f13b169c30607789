//! Limits of the texts that come from outside, each with its unit in its name.

/// Most characters of an order's reference.
pub const REFERENCE_CHARS_MAX: usize = 128;
/// Most characters of an order's description.
pub const DESCRIPTION_CHARS_MAX: usize = 1_000;
/// Most characters of an account's name.
pub const NAME_CHARS_MAX: usize = 200;
/// Most characters of an Idempotency-Key.
pub const IDEMPOTENCY_KEY_CHARS_MAX: usize = 255;
/// Most characters of a tenant's or merchant's name.
pub const SCOPE_NAME_CHARS_MAX: usize = 64;

/// Why a text is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Longer than its limit.
    #[error("must have at most {max} characters")]
    TooLong {
        /// The limit.
        max: usize,
    },
    /// Nothing in it.
    #[error("must not be empty")]
    Empty,
    /// A character that is not allowed here.
    #[error("must not contain the character U+{0:04X}")]
    Character(u32),
}

/// A text for people: any characters but controls other than tab and line ends.
pub fn check_text(text: &str, chars_max: usize) -> Result<(), TextError> {
    if text.chars().count() > chars_max {
        return Err(TextError::TooLong { max: chars_max });
    }
    let refused = |c: &char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    match text.chars().find(refused) {
        Some(c) => Err(TextError::Character(c.into())),
        None => Ok(()),
    }
}

/// An Idempotency-Key: 1 to 255 visible ASCII characters or spaces.
pub fn check_idempotency_key(key: &str) -> Result<(), TextError> {
    check_ascii(key, IDEMPOTENCY_KEY_CHARS_MAX, |c| {
        c == ' ' || c.is_ascii_graphic()
    })
}

/// A tenant's or merchant's name: 1 to 64 of letters, digits, `-`, `_`, `.`.
pub fn check_scope_name(name: &str) -> Result<(), TextError> {
    check_ascii(name, SCOPE_NAME_CHARS_MAX, |c| {
        c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
    })
}

fn check_ascii(text: &str, chars_max: usize, allowed: fn(char) -> bool) -> Result<(), TextError> {
    if text.is_empty() {
        return Err(TextError::Empty);
    }
    if text.chars().count() > chars_max {
        return Err(TextError::TooLong { max: chars_max });
    }
    match text.chars().find(|c| !allowed(*c)) {
        Some(c) => Err(TextError::Character(c.into())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_count_characters_not_bytes() {
        assert!(check_text(&"ä".repeat(128), 128).is_ok());
        assert_eq!(
            check_text(&"ä".repeat(129), 128),
            Err(TextError::TooLong { max: 128 })
        );
        assert_eq!(check_text("a\0b", 10), Err(TextError::Character(0)));
    }

    #[test]
    fn keys_and_names_are_plain() {
        assert!(check_idempotency_key("a b-c:1").is_ok());
        assert_eq!(check_idempotency_key(""), Err(TextError::Empty));
        assert!(check_idempotency_key("ä").is_err());
        assert!(check_scope_name("shop-1_x.y").is_ok());
        assert!(check_scope_name("a/b").is_err());
    }

    #[test]
    fn keys_and_names_have_a_greatest_length() {
        let key = |chars: usize| check_idempotency_key(&"k".repeat(chars));
        let name = |chars: usize| check_scope_name(&"n".repeat(chars));
        assert_eq!((key(255), name(64)), (Ok(()), Ok(())));
        assert_eq!(key(256), Err(TextError::TooLong { max: 255 }));
        assert_eq!(name(65), Err(TextError::TooLong { max: 64 }));
    }
}
