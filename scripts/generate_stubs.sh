#!/usr/bin/env bash
# Writes the Python stubs of protos/ into clients/python (or into the folder named first).
#
# They are made with the oldest grpcio-tools that the project supports, in an environment of their own: generated code
# refuses to be imported under a grpcio or protobuf older than the one it was made with. A change of these pins is a
# change of the floors in pyproject.toml (grpcio>=1.75.1, protobuf>=6.31.1).
set -euo pipefail

GRPCIO_TOOLS=1.75.1      # protoc 31.1: generated code needs protobuf >= 6.31.1, and runs on 7.x
PROTOBUF=6.33.6          # runs the plugins only
MYPY_PROTOBUF=5.1.0
SETUPTOOLS=80.9.0        # grpcio-tools of this age still asks for pkg_resources

cd "$(dirname "$0")/.."
out="${1:-clients/python}"
tools="${ONCUE_STUB_TOOLS:-build/stub-tools}"

if [ ! -e "$tools/ready-$GRPCIO_TOOLS-$PROTOBUF-$MYPY_PROTOBUF" ]; then
  rm -rf "$tools"
  python3 -m venv "$tools"
  "$tools/bin/pip" install --quiet --disable-pip-version-check \
    "grpcio-tools==$GRPCIO_TOOLS" "grpcio==$GRPCIO_TOOLS" "protobuf==$PROTOBUF" \
    "mypy-protobuf==$MYPY_PROTOBUF" "setuptools==$SETUPTOOLS"
  touch "$tools/ready-$GRPCIO_TOOLS-$PROTOBUF-$MYPY_PROTOBUF"
fi

rm -rf "$out/oncue/v1"
mkdir -p "$out/oncue/v1"
PATH="$PWD/$tools/bin:$PATH" "$tools/bin/python" -m grpc_tools.protoc \
  --proto_path=protos \
  --python_out="$out" --grpc_python_out="$out" --mypy_out="quiet:$out" --mypy_grpc_out="quiet,only_async:$out" \
  protos/oncue/v1/*.proto
# Files without a service need no gRPC stubs.
for proto in protos/oncue/v1/*.proto; do
  if ! grep -q '^service ' "$proto"; then
    rm -f "$out/oncue/v1/$(basename "$proto" .proto)_pb2_grpc.py" "$out/oncue/v1/$(basename "$proto" .proto)_pb2_grpc.pyi"
  fi
done
printf '"""Generated from protos/oncue/v1 by scripts/generate_stubs.sh. Do not edit."""\n' > "$out/oncue/v1/__init__.py"
