#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# llmsweep topo: this machine, captured ones and made-up ones; results on stdout, messages on stderr, exit codes.
set -u
program=${BUILD:-build}/llmsweep
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
status=0
wrong() { echo "topo.sh: $1"; status=1; }

for machine in two_sockets_smt hybrid asymmetric one_core restricted; do
    golden=tests/golden/topology/$machine
    "$program" topo --xml "$golden.xml" 2> "$scratch/err" | diff "$golden.txt" - || wrong "$machine: text differs"
    "$program" topo --json --xml "$golden.xml" 2>> "$scratch/err" | diff "$golden.json" - || wrong "$machine: JSON differs"
    [ ! -s "$scratch/err" ] || wrong "$machine: messages where there is nothing to say"
done

# This machine: as many usable PUs as nproc finds, and the same machine again from the XML that was written.
"$program" topo --json -o "$scratch/here.xml" > "$scratch/here.json" || wrong "exit $? for this machine"
grep -q "\"this_machine\": true" "$scratch/here.json" || wrong "this machine is not this one"
usable=$(sed -n '/"usable": {/,/}/s/.*"pus": \([0-9]*\).*/\1/p' "$scratch/here.json" | head -n 1)
[ "$usable" = "$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)" ] || wrong "usable PUs: $usable, nproc: $(nproc)"
"$program" topo --json --xml "$scratch/here.xml" > "$scratch/again.json" || wrong "exit $? for the XML of this machine"
grep -v '"this_machine"' "$scratch/here.json" | diff - <(grep -v '"this_machine"' "$scratch/again.json") || wrong "the XML loses something"

# A narrower cpuset is the same machine with less to use.
first=$(taskset -cp $$ | sed 's/.*: //; s/[-,].*//')
taskset -c "$first" "$program" topo --json > "$scratch/narrow.json"
[ "$(grep '"hash"' "$scratch/narrow.json")" = "$(grep '"hash"' "$scratch/here.json")" ] || wrong "another cpuset, another hash"
grep -q "\"list\": \"$first\"" "$scratch/narrow.json" || wrong "usable is not PU $first alone"

"$program" topo --synthetic "package:2 core:3 pu:2" | grep -q "2 packages, .*6 cores, 12 PUs" || wrong "a made-up machine"

refused() { # what stderr has to name, arguments
    local name=$1
    shift
    "$program" topo "$@" > "$scratch/out" 2> "$scratch/err"
    local code=$?
    [ $code -eq 2 ] || wrong "topo $*: exit $code instead of 2"
    [ ! -s "$scratch/out" ] || wrong "topo $*: something on stdout"
    grep -qF -- "$name" "$scratch/err" || wrong "topo $*: '$name' not named in: $(cat "$scratch/err")"
}
refused "$scratch/none.xml" --xml "$scratch/none.xml"
refused "README" --xml LICENSE/README
refused "LICENSE" --xml LICENSE
refused "core:x" --synthetic core:x
refused "exclude each other" --synthetic core:1 --xml a.xml
refused "takes no argument" here
refused "unknown option --frobnicate" --frobnicate
refused "missing behind --xml" --xml
refused "/nonexistent/a.xml" --synthetic "core:1 pu:1" -o /nonexistent/a.xml
[ $status -ne 0 ] || echo "topo.sh: all as expected"
exit $status
