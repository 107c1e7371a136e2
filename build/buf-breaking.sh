#!/usr/bin/env bash
# Compares the contract with the one that strangers may have compiled against: the last release tag, else where we left main, else the
# commit before, else (with edits that are not committed) the last commit. A repository without any earlier contract has nothing to
# break, and says so.
# usage: build/buf-breaking.sh BUF
set -euo pipefail
buf=$1
cd "$(dirname "$0")/.."
head=$(git rev-parse --verify --quiet HEAD) || { echo "contract: no commit to compare with"; exit 0; }
edited=$(git status --porcelain shared/proto)
for ref in "$(git describe --tags --abbrev=0 2>/dev/null || true)" origin/main main HEAD~1 HEAD; do
  [ -n "$ref" ] || continue
  commit=$(git merge-base HEAD "$ref" 2>/dev/null) || continue # not main itself: it may have fields that we do not have yet
  [ "$commit" != "$head" ] || [ -n "$edited" ] || continue
  [ -n "$(git ls-tree "$commit" shared/proto/)" ] || continue
  dir=$(mktemp -d)
  trap 'rm -rf "$dir"' EXIT
  git archive "$commit" shared/proto buf.yaml | tar -x -C "$dir"
  "$buf" breaking --against "$dir" || { echo "contract: breaks what was compiled against $ref (${commit:0:12})" >&2; exit 1; }
  echo "contract: compatible with $ref (${commit:0:12})"
  exit 0
done
echo "contract: no earlier version to compare with"
