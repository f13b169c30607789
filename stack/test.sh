#!/usr/bin/env bash
# Runs the workspace's tests on a stack of their own, with fresh data, and takes it down at the end
# whatever happens. Its logs stay in ROOT/log.
#
# usage: stack/test.sh ROOT [arguments of cargo test]

set -euo pipefail
root=$1
shift
target=${CARGO_TARGET_DIR:-target}
stack=$root/holdfast-stack

cargo build --locked --workspace --bins

# The tests replace binaries when they build: what drives the stack stands aside.
mkdir -p "$root"
cp "$target/debug/holdfast-stack" "$root/.new"
mv -f "$root/.new" "$stack"

take_down() {
    status=$?
    "$stack" --root "$root" down || true
    if [ "$status" != 0 ]; then
        echo "tests failed; the servers' logs are in $root/log" >&2
    fi
    exit "$status"
}
trap take_down EXIT
trap 'exit 130' INT TERM

"$stack" --root "$root" up --fresh --bin-dir "$(cd "$target/debug" && pwd)"
. "$root/stack.env"
HOLDFAST_TEST_STACK=$(cd "$root" && pwd)
export HOLDFAST_TEST_STACK
cargo test --locked --workspace "$@"
