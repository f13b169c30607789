# Shared by the fetch scripts: where the cache is, how progress is said, and the three habits that
# make a fetch safe to interrupt: one fetcher at a time, unpack beside and rename when whole, and a
# manifest of checksums written last.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [ -z "${HOLDFAST_CACHE:-}" ]; then
    if [ "$(id -u)" = 0 ]; then
        HOLDFAST_CACHE=/var/cache/holdfast
    else
        HOLDFAST_CACHE=$HOME/.cache/holdfast
    fi
fi
export HOLDFAST_CACHE
mkdir -p "$HOLDFAST_CACHE"
[ ! -O "$HOLDFAST_CACHE" ] || chmod 755 "$HOLDFAST_CACHE"

# Maven's settings, proxies and mirrors are the machine's own; only its downloads go to our cache.
maven_repository=$HOLDFAST_CACHE/maven

say() { printf '  %-14s %s\n' "$1" "$2" >&2; }

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Runs a quiet command and shows the end of its output only when it fails.
quietly() {
    local log=$HOLDFAST_CACHE/fetch.log
    if ! "$@" >"$log" 2>&1; then
        tail -n 25 "$log" >&2
        return 1
    fi
}

# Holds the cache's lock until this shell ends, so that a second fetcher waits and then finds
# everything in place.
lock_cache() {
    exec 9>"$HOLDFAST_CACHE/.lock"
    if ! flock --nonblock 9; then
        say cache 'another fetch is running: waiting for it'
        flock 9
    fi
}

# Whether a folder was fetched whole: its manifest is the last thing written into it.
# HOLDFAST_VERIFY=1 checks every file against it again.
is_whole() {
    [ -f "$1/MANIFEST.sha256" ] || return 1
    [ "${HOLDFAST_VERIFY:-0}" = 1 ] || return 0
    (cd "$1" && sha256sum --quiet --strict --check MANIFEST.sha256)
}

# An empty folder beside the target, left over from nobody.
staging_for() {
    rm -rf "$1.partial"
    mkdir -p "$1.partial"
    printf '%s' "$1.partial"
}

# Writes the manifest and puts the staged folder in its place in one step.
publish() {
    local staged=$1 target=$2
    (cd "$staged" && find . -type f ! -name MANIFEST.sha256 -print0 | sort -z | xargs -0 sha256sum) \
        >"$HOLDFAST_CACHE/manifest.partial"
    mv "$HOLDFAST_CACHE/manifest.partial" "$staged/MANIFEST.sha256"
    chmod -R a+rX "$staged"
    rm -rf "$target"
    mv "$staged" "$target"
}
