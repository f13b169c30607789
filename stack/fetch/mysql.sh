#!/usr/bin/env bash
# Fetches MySQL from Debian's unstable suite and unpacks it beside the host's packages, never over
# them: a private apt state with an almost empty package status, so that the server comes with its
# own C library and loader. apt checks the signatures. Exits 3 where that cannot work here, so that
# the caller can fall back to MariaDB.

. "$(dirname "$0")/common.sh"

target=$HOLDFAST_CACHE/mysql
apt_state=$HOLDFAST_CACHE/mysql-apt

main() {
    lock_cache
    if is_whole "$target"; then
        say mysql "$(cat "$target/VERSION")"
        return
    fi
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || give_up 'this is not a Debian machine'
    make_apt_state
    say mysql "reading the package lists of Debian's unstable suite"
    quietly apt_here update || give_up 'the package lists could not be read'
    say mysql 'downloading the server and the libraries it needs (about 90 MB)'
    quietly apt_here install --download-only --no-install-recommends --yes mysql-server-core mysql-client-core ||
        give_up 'the packages could not be downloaded'
    unpack
    say mysql "$(cat "$target/VERSION")"
}

give_up() {
    say mysql "not available: $1"
    exit 3
}

apt_here() { APT_CONFIG=$apt_state/apt.conf apt-get -q "$@"; }

# The mirror is the one this machine uses already. Downloads stay in place when interrupted, and apt
# goes on from there.
make_apt_state() {
    local mirror keyring
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
        grep -v -e security -e backports | grep -m1 debian) || give_up 'no Debian mirror is configured'
    keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    [ -f "$keyring" ] || give_up "$keyring is missing (package debian-archive-keyring)"
    mkdir -p "$apt_state"/{lists/partial,archives/partial,preferences.d}
    printf 'deb [signed-by=%s] %s unstable main\n' "$keyring" "$mirror" >"$apt_state/sources.list"
    # Maintainer scripts never run here, so what only they need is called installed.
    : >"$apt_state/status"
    local package
    for package in perl perl-base debconf adduser init-system-helpers passwd psmisc; do
        printf 'Package: %s\nStatus: install ok installed\nVersion: 999\nArchitecture: %s\nMulti-Arch: allowed\nMaintainer: none\nDescription: none\n\n' \
            "$package" "$(dpkg --print-architecture)" >>"$apt_state/status"
    done
    cat >"$apt_state/apt.conf" <<CONF
Dir::Etc::SourceList "$apt_state/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::PreferencesParts "$apt_state/preferences.d";
Dir::State "$apt_state";
Dir::State::Lists "$apt_state/lists";
Dir::State::status "$apt_state/status";
Dir::Cache "$apt_state";
Dir::Cache::archives "$apt_state/archives";
APT::Sandbox::User "root";
APT::Keep-Downloaded-Packages "true";
APT::Get::AllowUnauthenticated "false";
Acquire::Retries "3";
Acquire::Languages "none";
Debug::NoLocking "true";
CONF
}

unpack() {
    local staged package
    staged=$(staging_for "$target")
    # The suite has a merged /usr: the links must be there before the first file.
    mkdir -p "$staged"/usr/{bin,sbin,lib,lib64}
    ln -s usr/bin usr/sbin usr/lib usr/lib64 "$staged/"
    for package in "$apt_state"/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C "$staged" \
            --exclude ./usr/share/doc --exclude ./usr/share/man --exclude ./usr/share/locale \
            --exclude ./usr/sbin/mysqld-debug --exclude ./usr/share/perl --exclude ./etc
    done
    write_launcher "$staged" mysqld "$(cd "$staged" && find usr/sbin usr/bin -name mysqld | head -1)"
    write_launcher "$staged" mysql usr/bin/mysql
    local version
    version=$("$staged/mysqld" --no-defaults --version 2>/dev/null | grep -o 'Ver [0-9.]*') ||
        give_up 'the server was unpacked but does not run here'
    printf 'MySQL %s\n' "${version#Ver }" >"$staged/VERSION"
    publish "$staged" "$target"
    rm -rf "$apt_state"
}

# Runs a program of the folder with the folder's own loader and libraries.
write_launcher() {
    local staged=$1 name=$2 program=$3
    cat >"$staged/$name" <<'LAUNCHER'
#!/bin/sh
root=$(cd "$(dirname "$0")" && pwd)
for loader in "$root"/lib64/ld-linux*.so.? "$root"/usr/lib/*/ld-linux*.so.? "$root"/usr/lib/ld-linux*.so.?; do
    [ -e "$loader" ] && break
done
libraries=$(printf '%s:' "$root"/usr/lib/*-linux-gnu)$root/usr/lib
LAUNCHER
    printf 'exec "$loader" --library-path "$libraries" "$root/%s" "$@"\n' "$program" >>"$staged/$name"
    chmod 755 "$staged/$name"
}

main "$@"
