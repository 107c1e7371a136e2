#!/usr/bin/env bash
# Asks the Go vulnerability database about the code and its modules. Exit codes: 0 nothing is known, 1 it could not be asked, 3 something is.
# usage: build/vuln.sh GOVULNCHECK [PACKAGE...]
set -uo pipefail
tool=${1:?usage: vuln.sh GOVULNCHECK [PACKAGE...]}
shift
[ $# -gt 0 ] || set -- ./...
said=$("$tool" ${GOVULNDB:+-db "$GOVULNDB"} "$@" 2>&1)
rc=$?
printf '%s\n' "$said"
case $rc in
  0 | 3) exit $rc ;;
esac
case $said in
  *"fetching vulnerabilities"*)
    echo "The vulnerability database could not be reached: this run says nothing about vulnerabilities." >&2
    echo "Run make vuln where its address can be reached, or set GOVULNDB to the URL of a copy." >&2
    ;;
  *) echo "govulncheck failed: this run says nothing about vulnerabilities." >&2 ;;
esac
exit 1
