#!/usr/bin/env bash
# Compares the contract with the one that strangers may have compiled against: the last release tag, else main, else the commit
# before. A repository without any earlier contract has nothing to break, and says so.
# usage: build/buf-breaking.sh BUF
set -euo pipefail
buf=$1
cd "$(dirname "$0")/.."
for ref in "$(git describe --tags --abbrev=0 2>/dev/null || true)" origin/main main HEAD~1; do
  [ -n "$ref" ] || continue
  commit=$(git rev-parse --verify --quiet "$ref^{commit}") || continue
  [ "$commit" != "$(git rev-parse HEAD)" ] || [ -n "$(git status --porcelain shared/proto)" ] || continue
  git cat-file -e "$commit:shared/proto" 2>/dev/null || continue
  dir=$(mktemp -d)
  trap 'rm -rf "$dir"' EXIT
  git archive "$commit" shared/proto buf.yaml | tar -x -C "$dir"
  "$buf" breaking --against "$dir"
  echo "contract: compatible with $ref (${commit:0:12})"
  exit 0
done
echo "contract: no earlier version to compare with"
