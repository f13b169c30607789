#!/usr/bin/env bash
# Installs by apt what this machine lacks. `packages.sh build` looks after what compiling needs,
# `packages.sh servers` after what fetching and running the servers needs, `packages.sh testing`
# after what only tests need. Without root it prints
# the one command to run. Debian's own services do not start: we run ours with our own data.

. "$(dirname "$0")/common.sh"

missing=()

main() {
    case "${1:-}" in
    build) look_for_build ;;
    servers) look_for_servers ;;
    testing) look_for_testing ;;
    *) fail 'usage: packages.sh build|servers|testing' ;;
    esac
    if [ "${#missing[@]}" -gt 0 ]; then
        lock_cache
        install_missing
    fi
    if [ "$1" = build ]; then
        ensure_cargo
    fi
}

look_for_build() {
    local program
    for program in gcc:build-essential make:build-essential perl:perl pkg-config:pkg-config curl:curl; do
        has_program "${program%%:*}" || missing+=("${program##*:}")
    done
    [ -e /usr/include/openssl/ssl.h ] || missing+=(libssl-dev)
    [ -e /usr/include/zlib.h ] || missing+=(zlib1g-dev)
}

look_for_servers() {
    local program
    for program in unzip:unzip flock:util-linux setsid:util-linux curl:curl; do
        has_program "${program%%:*}" || missing+=("${program##*:}")
    done
    has_java_17 || missing+=(openjdk-17-jre-headless)
    has_program mvn || missing+=(maven)
    has_program redis-server || missing+=(redis-server)
    [ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
    # The unstable suite is verified with these keys.
    [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing+=(debian-archive-keyring)
    if [ "${STACK_DB:-mysql}" = mariadb ] && ! has_program mariadbd; then
        missing+=(mariadb-server)
    fi
}

look_for_testing() {
    # Shows one process another time.
    compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null || missing+=(libfaketime)
    # The follower is tested on both databases.
    has_program mariadbd || missing+=(mariadb-server)
}

# Servers stand in /usr/sbin, which is not on everybody's path.
has_program() { PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null; }

has_java_17() {
    local java
    for java in "${JAVA_HOME:-/nonexistent}/bin/java" /usr/lib/jvm/*17*/bin/java; do
        [ ! -x "$java" ] || return 0
    done
    return 1
}

install_missing() {
    local wanted
    wanted=$(printf '%s\n' "${missing[@]}" | sort -u | tr '\n' ' ')
    command -v apt-get >/dev/null ||
        fail "this machine lacks: $wanted(named as Debian packages); install them and run this again"
    if [ "$(id -u)" != 0 ]; then
        fail "this machine lacks some packages; run this, then try again:
    sudo apt-get update && sudo apt-get install --no-install-recommends --yes $wanted"
    fi
    say packages "installing $wanted"
    keep_services_from_starting
    export DEBIAN_FRONTEND=noninteractive
    quietly apt-get -q update || fail 'apt-get update failed'
    # shellcheck disable=SC2086 # one word per package
    quietly apt-get -q install --no-install-recommends --yes $wanted || fail "apt-get install $wanted failed"
    say packages 'installed'
}

# A policy file for the time of the installation, unless the machine has its own.
keep_services_from_starting() {
    [ ! -e /usr/sbin/policy-rc.d ] || return 0
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
}

# The toolchain: whatever cargo is there, or rustup's, or rustup by apt where the suite has it.
ensure_cargo() {
    PATH=$PATH:$HOME/.cargo/bin
    if has_program cargo && cargo --version >/dev/null 2>&1; then
        return
    fi
    if ! has_program rustup && [ "$(id -u)" = 0 ] && apt-cache show rustup >/dev/null 2>&1; then
        missing=(rustup)
        install_missing
    fi
    if has_program rustup; then
        say rust 'installing the stable toolchain'
        rustup toolchain install stable --profile minimal --component rustfmt --component clippy
        rustup default stable
        return
    fi
    fail "Rust 1.95 or newer is missing; install rustup as the Rust project's own page says
    (https://rustup.rs), for example: curl --proto '=https' -sSf https://sh.rustup.rs | sh -s -- -y
then run this again"
}

main "$@"
