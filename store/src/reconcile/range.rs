//! A range of ids: those whose hexadecimal form begins with the same digits. Pure.

use domain::OrderId;

/// The digits of an id.
const DIGITS: u8 = 32;
/// More digits than a place can number.
const DIGITS_MAX: u8 = 15;

/// The ids that begin with these hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdRange {
    /// How many digits, 0 to 15.
    digits: u8,
    /// The digits as a number.
    place: u64,
}

impl IdRange {
    /// All ids.
    pub const ALL: Self = Self {
        digits: 0,
        place: 0,
    };

    /// Every range of so many digits (at most 15), in order.
    pub fn all_of(digits: u8) -> impl Iterator<Item = Self> {
        let digits = digits.min(DIGITS_MAX);
        (0..1_u64 << (4 * digits)).map(move |place| Self { digits, place })
    }

    /// The range of so many digits (at most 15) that holds this id.
    pub fn of(id: OrderId, digits: u8) -> Self {
        let digits = digits.min(DIGITS_MAX);
        let bits = u128::from_be_bytes(*id.as_bytes());
        let place = bits.checked_shr(u32::from(4 * (DIGITS - digits)));
        Self {
            digits,
            place: u64::try_from(place.unwrap_or(0)).unwrap_or(u64::MAX),
        }
    }

    /// The range that the database calls by this place.
    pub(super) fn at(digits: u8, place: u64) -> Self {
        Self { digits, place }
    }

    /// How many digits its ids share.
    pub fn digits(self) -> u8 {
        self.digits
    }

    /// The sixteen ranges it is made of; none when it is as narrow as can be.
    pub fn cut(self) -> Option<impl Iterator<Item = Self>> {
        let digits = Some(self.digits + 1).filter(|digits| *digits <= DIGITS_MAX)?;
        let first = self.place << 4;
        Some((first..first + 16).map(move |place| Self { digits, place }))
    }

    /// The first of its ids.
    pub fn first(self) -> OrderId {
        OrderId::from_bytes(self.first_bits().to_be_bytes())
    }

    /// The last of its ids.
    pub fn last(self) -> OrderId {
        let rest = u128::MAX.checked_shr(u32::from(4 * self.digits));
        OrderId::from_bytes((self.first_bits() | rest.unwrap_or(0)).to_be_bytes())
    }

    fn first_bits(self) -> u128 {
        let shift = u32::from(4 * (DIGITS - self.digits));
        u128::from(self.place).checked_shl(shift).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_lies_in_its_range_and_in_one_of_the_sixteen_it_is_cut_into(
            bytes: [u8; 16], digits in 0_u8..DIGITS_MAX
        ) {
            let id = OrderId::from_bytes(bytes);
            let range = IdRange::of(id, digits);
            prop_assert!(range.first() <= id && id <= range.last());
            let parts: Vec<IdRange> = range.cut().unwrap().collect();
            let holding = parts.iter().filter(|part| part.first() <= id && id <= part.last());
            prop_assert_eq!(holding.collect::<Vec<_>>(), [&IdRange::of(id, digits + 1)]);
            prop_assert_eq!((parts[0].first(), parts[15].last()), (range.first(), range.last()));
        }
    }

    #[test]
    fn the_ranges_of_some_digits_are_all_ids() {
        let ranges: Vec<IdRange> = IdRange::all_of(2).collect();
        assert_eq!(ranges.len(), 256);
        assert_eq!(ranges[0].first(), IdRange::ALL.first());
        assert_eq!(ranges[255].last(), IdRange::ALL.last());
        assert_eq!(IdRange::ALL.last(), OrderId::from_bytes([0xff; 16]));
        assert!(IdRange::at(DIGITS_MAX, 0).cut().is_none());
    }
}
