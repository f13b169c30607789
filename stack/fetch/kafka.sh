#!/usr/bin/env bash
# Fetches Kafka's server as the jars it is published in. Maven checks their checksums, and keeps
# what it has when interrupted.

. "$(dirname "$0")/common.sh"

version=4.1.1
target=$HOLDFAST_CACHE/kafka-$version
copy_dependencies=org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies

main() {
    lock_cache
    if ! is_whole "$target"; then
        say kafka "downloading Kafka $version (43 MB)"
        download
    fi
    say kafka "Kafka $version"
}

download() {
    local staged
    staged=$(staging_for "$target")
    quietly mvn --batch-mode --no-transfer-progress --strict-checksums -Dmaven.repo.local="$maven_repository" \
        -f "$here/kafka-pom.xml" "$copy_dependencies" -DoutputDirectory="$staged/libs" ||
        fail 'Kafka could not be downloaded; run this again to go on from here'
    [ -f "$staged/libs/kafka_2.13-$version.jar" ] || fail "the download lacks kafka_2.13-$version.jar"
    rm -rf "$staged/target"
    publish "$staged" "$target"
}

main "$@"
