#!/usr/bin/env bash
# Regenerates the stubs into a temporary folder and fails when they differ from the committed ones.
set -euo pipefail

cd "$(dirname "$0")/.."
fresh="$(mktemp -d)"
trap 'rm -rf "$fresh"' EXIT
scripts/generate_stubs.sh "$fresh"
if ! diff -r -q -x __pycache__ "$fresh/oncue/v1" clients/python/oncue/v1; then
  echo "The stubs are older than the protos: run scripts/generate_stubs.sh and commit the result." >&2
  exit 1
fi
