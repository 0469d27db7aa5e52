#!/bin/sh
# The contract is well formed, and breaks nobody who was built against its last released form (protos/released.binpb).
# A release that adds to the contract runs `scripts/buf build protos --exclude-source-info -o protos/released.binpb`.
set -eu
cd "$(dirname "$0")/.."
scripts/buf lint protos
scripts/buf format --diff --exit-code protos
scripts/buf breaking protos --against protos/released.binpb
