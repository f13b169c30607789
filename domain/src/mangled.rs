//! Bytes from outside as they come on a bad day, for tests of decoders: good ones with something
//! done to them.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// How many inputs a decoder must survive.
pub const CASES: u64 = 1_000_000;

/// What decoders have stumbled over before: ends of ranges, depths, half characters, other types.
const TRAPS: [&[u8]; 20] = [
    b"",
    b"null",
    b"-0",
    b"1e400",
    b"0.1",
    b"9223372036854775807",
    b"9223372036854775808",
    b"-9223372036854775809",
    b"18446744073709551616",
    b"[[[[[[[[[[[[[[[[",
    b"{\"a\":{\"a\":{\"a\":",
    b"\\ud800",
    b"\\u0000",
    b"\"",
    b"\0",
    b"\xff\xfe",
    b"\xf0\x9f\x92",
    b"%00",
    b"\r\n",
    b"..",
];

/// Calls `decode` with [`CASES`] inputs, each a mangled one of `good`. A panic is told with the
/// number of the case, which alone makes its input, and the input itself.
pub fn each_mangled(good: &[Vec<u8>], mut decode: impl FnMut(&[u8])) {
    for case in 0..CASES {
        let input = mangled(good, case);
        let told = TellOnPanic(case, &input);
        decode(&input);
        drop(told);
    }
}

struct TellOnPanic<'a>(u64, &'a [u8]);

impl Drop for TellOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self(case, input) = self;
            eprintln!("case {case}: \"{}\"", input.escape_ascii());
        }
    }
}

/// The input of one case: always the same.
pub fn mangled(good: &[Vec<u8>], case: u64) -> Vec<u8> {
    let mut rng = SmallRng::seed_from_u64(case);
    let mut bytes = good.choose(&mut rng).cloned().unwrap_or_default();
    for _ in 0..rng.random_range(1..4) {
        mangle(&mut bytes, good, &mut rng);
    }
    bytes
}

fn mangle(bytes: &mut Vec<u8>, good: &[Vec<u8>], rng: &mut SmallRng) {
    let from = rng.random_range(0..=bytes.len());
    let to = rng.random_range(from..=bytes.len().min(from + 12));
    let put: Vec<u8> = match rng.random_range(0..7) {
        0 => Vec::new(),
        1 => bytes[from..to].repeat(2),
        2 => vec![rng.random()],
        3 => bytes[from..to].iter().map(|byte| byte ^ 1).collect(),
        4 => return bytes.truncate(from),
        5 => {
            let other = good.choose(rng).map_or(&[][..], Vec::as_slice);
            other[from.min(other.len())..to.min(other.len())].to_vec()
        }
        _ => TRAPS
            .choose(rng)
            .map(|trap| trap.to_vec())
            .unwrap_or_default(),
    };
    bytes.splice(from..to, put);
}
