//! Lets the Kafka client's threads wait by a steady clock.
//!
//! librdkafka waits with C11's `cnd_timedwait`, whose deadline is a time of day. Where the clock is
//! set back, each wait lasts as much longer, and until then the client stands still: no heartbeat, no
//! callback (confluentinc/librdkafka, issue 2145). It is linked into our binaries, so the function
//! defined here takes the place of the C library's.

#![allow(unsafe_code, reason = "it takes the place of a C function")]

use libc::{CLOCK_MONOTONIC, CLOCK_REALTIME, c_int, clockid_t, timespec};
use libc::{pthread_cond_t, pthread_mutex_t};

/// The answers of `threads.h` in glibc.
const SUCCESS: c_int = 0;
const ERROR: c_int = 2;
const TIMED_OUT: c_int = 4;

const SECOND_NS: i64 = 1_000_000_000;
/// A wait reports its deadline after this long at the latest, should the clock have been set back
/// since that was computed. librdkafka looks at its own monotonic clock then, and waits again.
const WAIT_MAX_NS: i64 = SECOND_NS;

unsafe extern "C" {
    /// Since glibc 2.30.
    fn pthread_cond_clockwait(
        condition: *mut pthread_cond_t,
        mutex: *mut pthread_mutex_t,
        clock: clockid_t,
        deadline: *const timespec,
    ) -> c_int;
}

/// Sees to it that the linker takes the function from here.
pub(crate) fn link() {
    std::hint::black_box(cnd_timedwait as *const ());
}

/// C11's function, whose conditions and mutexes are those of POSIX threads in glibc.
///
/// # Safety
/// As of the C function: all three are valid, and this thread holds the mutex.
#[unsafe(no_mangle)]
unsafe extern "C" fn cnd_timedwait(
    condition: *mut pthread_cond_t,
    mutex: *mut pthread_mutex_t,
    deadline: *const timespec,
) -> c_int {
    // SAFETY: the caller passes a valid one.
    let left = unsafe { nanoseconds(*deadline) } - nanoseconds(now(CLOCK_REALTIME));
    if left <= 0 {
        return TIMED_OUT;
    }
    let end = instant(nanoseconds(now(CLOCK_MONOTONIC)) + left.min(WAIT_MAX_NS));
    // SAFETY: the caller passes what the function asks for, and `end` outlives the call.
    match unsafe { pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, &raw const end) } {
        0 => SUCCESS,
        libc::ETIMEDOUT => TIMED_OUT,
        _ => ERROR,
    }
}

fn now(clock: clockid_t) -> timespec {
    let mut now = instant(0);
    // SAFETY: `now` is valid for the call.
    unsafe { libc::clock_gettime(clock, &raw mut now) };
    now
}

fn nanoseconds(time: timespec) -> i64 {
    time.tv_sec * SECOND_NS + time.tv_nsec
}

fn instant(nanoseconds: i64) -> timespec {
    timespec {
        tv_sec: nanoseconds / SECOND_NS,
        tv_nsec: nanoseconds % SECOND_NS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    /// Waits for nothing until the time of day has come; how long that took.
    fn wait_until(deadline_ns: i64) -> Duration {
        let mut condition = libc::PTHREAD_COND_INITIALIZER;
        let mut mutex = libc::PTHREAD_MUTEX_INITIALIZER;
        let deadline = instant(deadline_ns);
        let begun = Instant::now();
        // SAFETY: all three outlive the calls, and the mutex is held.
        let answer = unsafe {
            libc::pthread_mutex_lock(&raw mut mutex);
            cnd_timedwait(&raw mut condition, &raw mut mutex, &raw const deadline)
        };
        assert_eq!(answer, TIMED_OUT);
        begun.elapsed()
    }

    #[test]
    fn a_wait_ends_at_its_deadline() {
        let today = nanoseconds(now(CLOCK_REALTIME));
        assert!(wait_until(today - SECOND_NS) < Duration::from_millis(100));
        assert!(wait_until(today + SECOND_NS / 5) > Duration::from_millis(100));
    }

    #[test]
    fn a_wait_whose_deadline_moved_away_as_the_clock_was_set_back_ends_soon() {
        let today = nanoseconds(now(CLOCK_REALTIME));
        let waited = wait_until(today + 1020 * SECOND_NS);
        assert!(waited < Duration::from_secs(60), "{waited:?}");
    }
}
