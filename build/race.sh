#!/usr/bin/env bash
# Prints "-race" when the race detector can be built. It needs a C compiler; where there is none, and Debian's packages can be
# installed, one is. Elsewhere the tests run without it, and say so.
set -euo pipefail
cc=${CC:-$(go env CC)}
if ! command -v "$cc" >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing a C compiler for -race ..." >&2
  { apt-get update -q && apt-get install -q -y --no-install-recommends gcc libc6-dev; } >&2 || true
fi
if command -v "$cc" >/dev/null; then
  echo "-race"
else
  echo "no C compiler ($cc): the tests run without -race" >&2
fi
