#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Ctrl-C leaves a valid run that --resume finishes; no worker is left behind; what was done is not done again.
set -u
program=${BUILD:-build}/llmsweep
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
wrong() { echo "resume.sh: $1"; exit 1; }

cat > "$scratch/s.ini" << 'SPEC'
prompt = 8
gen = 4
quality_tokens = 512
roof_time = 0
counters = none
rounds = 2
min_samples = 2
max_samples = 4
max_time = 20ms
warmup_time = 0s
format = f32, q8g32, q4g32
batch = 2, 4
layout = t1, tp2
SPEC
run=("$program" run "$scratch/s.ini" -o "$scratch/run")
"${run[@]}" > /dev/null 2> "$scratch/err" &
driver=$!
for _ in $(seq 600); do # until some visits are recorded
    [ -s "$scratch/run/journal.jsonl" ] && [ "$(wc -l < "$scratch/run/journal.jsonl")" -ge 5 ] && break
    sleep 0.05
done
workers=$(pgrep -P $driver; pgrep -P "$(pgrep -d, -P $driver)")
kill -INT $driver
wait $driver
code=$?
[ $code -eq 130 ] || { cat "$scratch/err"; wrong "an interrupted run exits with $code instead of 130"; }
grep -q "llmsweep: interrupted with .*; go on with: llmsweep run $scratch/s.ini -o $scratch/run --resume" "$scratch/err" ||
    wrong "an interrupted run does not say how to go on: $(tail -1 "$scratch/err")"
[ -n "$workers" ] || wrong "no workers were seen"
for worker in $workers; do
    for _ in $(seq 40); do # a launcher's ranks are reaped by whoever inherits them
        kill -0 "$worker" 2> /dev/null || continue 2
        sleep 0.05
    done
    wrong "worker $worker outlived the driver: $(tr '\0' ' ' < /proc/$worker/cmdline)"
done
before=$(wc -l < "$scratch/run/journal.jsonl")
[ "$before" -lt 27 ] || wrong "the run was over before it was interrupted"
cp "$scratch/run/journal.jsonl" "$scratch/journal"
grep -q '"finished"' "$scratch/run/run.json" && wrong "run.json says that an interrupted run is finished"

printf 'torn,row' >> "$scratch/run/cells.csv"
"${run[@]}" --resume > "$scratch/out" 2> "$scratch/err" || { cat "$scratch/err"; wrong "the run does not go on"; }
grep -q 'a torn last line was dropped' "$scratch/err" || wrong "nothing was said of the torn line"
[ "$(wc -l < "$scratch/run/cells.csv")" -eq 13 ] || wrong "not 12 rows after resuming"
[ "$(tail -n +2 "$scratch/run/cells.csv" | cut -d, -f1 | sort -u | wc -l)" -eq 12 ] || wrong "a cell has two rows"
tail -n +2 "$scratch/run/cells.csv" | cut -d, -f2 | grep -qvE '^(ok|noisy)$' && wrong "a cell has no figures"
head -n "$before" "$scratch/run/journal.jsonl" | cmp -s - "$scratch/journal" || wrong "what was recorded before was changed"
[ "$(wc -l < "$scratch/run/journal.jsonl")" -eq 27 ] || wrong "$(wc -l < "$scratch/run/journal.jsonl") visits and judgements instead of 12 x 2 + 3"
grep -q '"finished"' "$scratch/run/run.json" || wrong "run.json does not say that the run is finished"
exit 0
