#!/bin/sh
# The ten-step test: from the example's texts to fourteen modules that are measured, in a copy of it. Says how long that took.
set -eu
work=${1:-$(mktemp -d)/gita}
mkdir -p "$work"
cp -R "$(dirname "$0")/." "$work"
begun=$(date +%s)
python -m endonym run --project "$work" --plan "$work/quick.toml"
python -m endonym modules ls --project "$work"
echo "$(($(date +%s) - begun)) seconds, in $work" >&2
