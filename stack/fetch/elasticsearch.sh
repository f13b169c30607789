#!/usr/bin/env bash
# Fetches Elasticsearch as the small distribution that its own integration tests run on: a real
# node with few modules. The checksum is pinned here, because not every mirror carries one for it.

. "$(dirname "$0")/common.sh"

version=8.19.8
sha256=8d943e94cef02cbceb6e39cd00175bb04e5f882fa32783a473880b8691a54376
target=$HOLDFAST_CACHE/elasticsearch-$version
artifact=org.elasticsearch.distribution.integ-test-zip:elasticsearch:$version:zip
copy=org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy

main() {
    lock_cache
    if ! is_whole "$target"; then
        say elasticsearch "downloading Elasticsearch $version (98 MB)"
        download
    fi
    say elasticsearch "Elasticsearch $version"
}

download() {
    local staged zip
    staged=$(staging_for "$target")
    quietly mvn --batch-mode --no-transfer-progress --lax-checksums -Dmaven.repo.local="$maven_repository" \
        "$copy" -Dartifact="$artifact" -DoutputDirectory="$staged" ||
        fail 'Elasticsearch could not be downloaded; run this again to go on from here'
    zip=$staged/elasticsearch-$version.zip
    if ! printf '%s  %s\n' "$sha256" "$zip" | sha256sum --quiet --strict --check; then
        rm -rf "$maven_repository/org/elasticsearch"
        fail "elasticsearch-$version.zip is not what was expected; it was removed, run this again"
    fi
    (cd "$staged" && unzip -q "$zip" && mv "elasticsearch-$version"/* . && rm -r "elasticsearch-$version" "$zip")
    chmod 755 "$staged"/bin/* "$staged"/modules/*/*/*/bin/* 2>/dev/null || true
    rm -rf "$maven_repository/org/elasticsearch"
    publish "$staged" "$target"
}

main "$@"
