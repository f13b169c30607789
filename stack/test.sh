#!/usr/bin/env bash
# Runs the workspace's tests on a stack of their own, with fresh data, and takes it down at the end
# whatever happens. Its logs stay in ROOT/log.
#
# usage: stack/test.sh ROOT [arguments of cargo test]

set -euo pipefail
root=$1
shift
here=$(dirname "$0")
stack=$root/bin/holdfast-stack

# Fault points are in test builds only.
features=(--features consumer/failpoints)

# The tests' own targets are built here too: a build of the binaries alone would unify features
# otherwise, and compile most dependencies twice.
cargo build --locked --workspace --all-targets "${features[@]}"
"$here/install.sh" "${CARGO_TARGET_DIR:-target}/debug" "$root"

output=$root/log/tests.log

# A test that returns an error says in its words what is wrong; a backtrace would hide them.
export RUST_LIB_BACKTRACE=${RUST_LIB_BACKTRACE:-0}

# What failed and how, once more, where nobody has to search for it.
tell_failures() {
    [ -e "$output" ] || return 0
    awk '/^---- .* stdout ----$/ { shown = 1; lines = 0; print "" }
         /^failures:$/ || /^[Ss]tack backtrace:$/ { shown = 0 }
         shown && lines++ < 20 || /didn.t exit successfully/' "$output" >&2
}

take_down() {
    status=$?
    trap - EXIT
    "$stack" --root "$root" down || true
    if [ "$status" != 0 ]; then
        tell_failures
        echo "tests failed; the logs are in $root/log" >&2
    fi
    exit "$status"
}
trap take_down EXIT
trap 'exit 130' INT TERM

"$stack" --root "$root" up --fresh
. "$root/stack.env"
HOLDFAST_TEST_STACK=$(cd "$root" && pwd)
export HOLDFAST_TEST_STACK
cargo test --locked --workspace --no-fail-fast "${features[@]}" "$@" 2>&1 | tee "$output"
