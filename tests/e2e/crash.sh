#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Workers of the real program that are killed and stopped from outside, in one rank and in several: each costs its own cell.
set -u
program=${BUILD:-build}/llmsweep
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
wrong() { echo "crash.sh: $1"; exit 1; }

cat > "$scratch/s.ini" << 'SPEC'
prompt = 8
gen = 4
quality_tokens = 0
roof_time = 0
counters = none
rounds = 1
ci = 0.01%
min_samples = 1
max_samples = 100000
max_time = 700ms
warmup_time = 0s
timeout = 1s
batch = 2, 4, 6, 8
SPEC
# hit LAYOUT SIGNAL: runs the sweep in that layout, sends the signal to its newest rank while it samples.
hit() {
    rm -rf "$scratch/run"
    "$program" run "$scratch/s.ini" -o "$scratch/run" --set layout="$1" --quiet > "$scratch/out" 2> "$scratch/err" &
    local driver=$!
    for _ in $(seq 600); do
        [ -s "$scratch/run/cells.csv" ] && [ "$(wc -l < "$scratch/run/cells.csv")" -ge 2 ] && break
        sleep 0.05
    done
    local worker
    worker=$(pgrep -nf "$(readlink -f "$program") worker") || { cat "$scratch/err"; wrong "$1: no worker to hit"; }
    kill -"$2" "$worker"
    wait $driver || { cat "$scratch/err"; wrong "$1: the run exits with $? after its worker got SIG$2"; }
    [ "$(wc -l < "$scratch/run/cells.csv")" -eq 5 ] || wrong "$1: not 4 rows after SIG$2"
    [ "$(grep -cE '^[0-9a-f]{16},(ok|noisy),' "$scratch/run/cells.csv")" -eq 3 ] ||
        { cut -d, -f1-3 "$scratch/run/cells.csv"; wrong "$1: SIG$2 cost more or less than one cell"; }
    for _ in $(seq 40); do
        kill -0 "$worker" 2> /dev/null || return 0
        sleep 0.05
    done
    wrong "$1: the worker that got SIG$2 is still there"
}
hit t1 KILL
grep -q ',failed,its worker was killed by SIGKILL' "$scratch/run/cells.csv" || wrong "t1: the row does not name SIGKILL"
hit t1 STOP
grep -q ',timeout,no answer within' "$scratch/run/cells.csv" || wrong "t1: a stopped worker is no timeout"
if command -v mpirun > /dev/null; then
    hit tp2 KILL
    grep -q ',failed,' "$scratch/run/cells.csv" || wrong "tp2: a killed rank is no failure"
    hit tp2 STOP
    grep -q ',timeout,' "$scratch/run/cells.csv" || wrong "tp2: a stopped rank is no timeout"
fi
# More memory than there is: not even tried.
"$program" run "$scratch/s.ini" -o "$scratch/oom" --set memory_limit=20M --quiet > /dev/null 2>&1
grep -q ',oom,.needs about' "$scratch/oom/cells.csv" || wrong "a cell that needs more memory than allowed is no oom"
exit 0
