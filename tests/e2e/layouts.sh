#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Every layout generates the tokens that one rank generates: 2, 4 and 8 ranks on however few cores there are.
set -u
command -v mpirun > /dev/null || { echo "mpirun is missing (scripts/setup.sh installs it)"; exit 77; }
program=${BUILD:-build}/tests/unit/test_engine
options=(--oversubscribe --bind-to none)
[ "$(id -u)" != 0 ] || options+=(--allow-run-as-root)
status=0
layouts() { # ranks, layouts of so many ranks
    local ranks=$1
    shift
    timeout -k 5 240 mpirun "${options[@]}" -n "$ranks" "$program" "$@" || { echo "$ranks ranks failed: $*"; status=1; }
}
layouts 2 dp2 tp2 pp2 tp2.t2
layouts 4 tp4 pp4 dp2.tp2 tp2.pp2
layouts 8 tp8 dp2.tp2.pp2
exit $status
