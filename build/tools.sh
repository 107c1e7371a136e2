#!/usr/bin/env bash
# Builds the pinned tools into a directory, once. They stand in tools/go.mod, a module of its own (docs/adr/0007); protoc-gen-go comes
# from our go.mod, so that the generated code and the runtime it is compiled with are of one version.
# usage: build/tools.sh DIR | build/tools.sh --key     the key changes whenever other tools would come out
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${1:?usage: tools.sh DIR|--key}" = --key ]; then
  { cat tools/go.mod tools/go.sum build/tools.sh; grep google.golang.org/protobuf go.mod; go version; } | cksum | cut -d' ' -f1
  exit 0
fi
dir=$1
[ ! -f "$dir/.complete" ] || exit 0
echo "building the pinned tools into $dir (a few minutes when nothing is cached) ..." >&2
mkdir -p "$(dirname "$dir")"
new=$(mktemp -d "$dir.XXXXXX") # built aside: another make may be building the same
trap 'rm -rf "$new"' EXIT
(cd tools && CGO_ENABLED=0 go build -o "$new/" tool)
CGO_ENABLED=0 go build -o "$new/protoc-gen-go" google.golang.org/protobuf/cmd/protoc-gen-go
touch "$new/.complete"
chmod 755 "$new"
if [ ! -f "$dir/.complete" ]; then
  rm -rf "$dir"
  mv "$new" "$dir" 2>/dev/null || [ -f "$dir/.complete" ] # the other was first: its tools are the same
fi
