//! Lets C11's timed waits go by the clock that a process sees shifted.
//!
//! libfaketime shifts what a process reads of the clock, and does not know `cnd_timedwait`: a caller
//! would compute its deadline by the shifted clock and wait for it by the true one. Kafka's client
//! waits that way. This library stands before the C library's function and waits as the kernel does
//! on a machine whose clock is set back: until the clock, as the process sees it by then, has reached
//! the deadline. A clock that is set ahead is noticed no sooner than the wait would have ended.

#![allow(unsafe_code, reason = "it takes the place of a C function")]

use libc::{CLOCK_REALTIME, SYS_clock_gettime, c_char, c_int, c_long, c_void, timespec};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

/// As in `threads.h` of glibc.
const TIMED_OUT: c_int = 4;

const SECOND_NS: i64 = 1_000_000_000;
const NAME: *const c_char = c"cnd_timedwait".as_ptr();

type Wait = unsafe extern "C" fn(*mut c_void, *mut c_void, *const timespec) -> c_int;

/// # Safety
/// As the C function of this name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cnd_timedwait(
    condition: *mut c_void,
    mutex: *mut c_void,
    deadline: *const timespec,
) -> c_int {
    let Some(wait) = waiting_by_the_true_clock() else {
        return TIMED_OUT;
    };
    // SAFETY: the caller passes what the C function asks for.
    let deadline = unsafe { nanoseconds(*deadline) };
    loop {
        let left = deadline - nanoseconds(shifted_now());
        if left <= 0 {
            return TIMED_OUT;
        }
        let end = instant(nanoseconds(true_now()) + left);
        // SAFETY: as above, and `end` outlives the call.
        let answer = unsafe { wait(condition, mutex, &raw const end) };
        if answer != TIMED_OUT {
            return answer;
        }
    }
}

/// The C library's own function; none where it has none.
fn waiting_by_the_true_clock() -> Option<Wait> {
    static FOUND: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
    let mut found = FOUND.load(Ordering::Relaxed);
    if found.is_null() {
        // SAFETY: the name ends in NUL.
        found = unsafe { libc::dlsym(libc::RTLD_NEXT, NAME) };
        FOUND.store(found, Ordering::Relaxed);
    }
    // SAFETY: that is its type, or null, which is `None`.
    unsafe { std::mem::transmute::<*mut c_void, Option<Wait>>(found) }
}

/// What the process sees: libfaketime stands before this function.
fn shifted_now() -> timespec {
    let mut now = instant(0);
    // SAFETY: `now` is valid for the call.
    unsafe { libc::clock_gettime(CLOCK_REALTIME, &raw mut now) };
    now
}

/// The system's clock: nothing stands before a system call.
fn true_now() -> timespec {
    let mut now = instant(0);
    // SAFETY: `now` is valid for the call.
    unsafe {
        libc::syscall(
            SYS_clock_gettime,
            c_long::from(CLOCK_REALTIME),
            &raw mut now,
        )
    };
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
