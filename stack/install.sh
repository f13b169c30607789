#!/usr/bin/env bash
# Copies our binaries into a stack's bin/, each by renaming, so that those which run are not
# disturbed.
#
# usage: stack/install.sh TARGET_FOLDER ROOT

set -euo pipefail
from=$1
bin=$2/bin

mkdir -p "$bin"
for name in holdfast holdfast-stack order-api consumer cdc-sync; do
    cp --reflink=auto "$from/$name" "$bin/.$name.new"
    mv -f "$bin/.$name.new" "$bin/$name"
done
