#!/usr/bin/env bash
# Installs what plugins in other languages than Go need, once: npm's packages for Node into a cache outside the source tree, Debian's for
# Python. Prints the directory of node_modules, and nothing else when all is there. The tests that need them fail without; they never skip.
# usage: build/languages.sh CACHE_DIR
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${1:?usage: languages.sh CACHE_DIR}
project="$here/../examples/doctor-node"
dir="$cache/node-plugin-$(cksum < "$project/package-lock.json" | cut -d' ' -f1)"

node() {
  [ ! -f "$dir/.complete" ] || return 0
  command -v npm >/dev/null || { echo "npm is missing: install Node.js 20 or newer with npm; the tests of Node plugins need it." >&2; return 1; }
  mkdir -p "$cache"
  local new
  new=$(mktemp -d "$dir.XXXXXX") # made aside: another make may be doing the same
  cp "$project/package.json" "$project/package-lock.json" "$new/"
  echo "installing the packages of Node plugins into $dir ..." >&2
  for try in 1 2 3; do
    if npm ci --prefix "$new" --ignore-scripts --no-audit --no-fund --loglevel=error >&2; then
      touch "$new/.complete"
      chmod 755 "$new"
      [ -e "$dir" ] || mv "$new" "$dir" || return 1 # else the other was first
      rm -rf "$new"
      return 0
    fi
    echo "npm failed (try $try of 3)" >&2
    sleep $((try * 3))
  done
  rm -rf "$new"
  return 1
}

python() {
  local check='import grpc, google.protobuf.descriptor_pool'
  ! /usr/bin/python3 -c "$check" 2>/dev/null || return 0
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing Debian's python3-grpcio and python3-protobuf ..." >&2
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends python3 python3-grpcio python3-protobuf; } >&2 || true
  fi
  /usr/bin/python3 -c "$check" || { echo "/usr/bin/python3 lacks grpc or protobuf: install python3-grpcio and python3-protobuf; the tests of Python plugins need them." >&2; return 1; }
}

failed=0
node || failed=1
python || failed=1 # both are tried: all that is missing is told at once
[ "$failed" = 0 ] || echo "without these the tests of plugins in those languages fail" >&2
echo "$dir/node_modules"
