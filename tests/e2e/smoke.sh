#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The smoke sweep: every cell has figures and quality or a reason, the records fit together, stdout and stderr are clean.
set -u
program=${BUILD:-build}/llmsweep
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export LLMSWEEP_CACHE=$scratch/cache # what calibration makes
wrong() { echo "smoke.sh: $1"; exit 1; }

"$program" run bench/specs/smoke.ini -o "$scratch/run" > "$scratch/out" 2> "$scratch/err" ||
    { cat "$scratch/err"; wrong "exit code $?"; }
cells=$scratch/run/cells.csv
planned=$("$program" plan bench/specs/smoke.ini | tail -1 | cut -d' ' -f1)
runnable=$("$program" plan bench/specs/smoke.ini | tail -1 | sed 's/.*cells, \([0-9]*\) to run.*/\1/')
[ "$(wc -l < "$cells")" -eq $((planned + 1)) ] || wrong "$(wc -l < "$cells") lines of cells.csv for $planned cells"
bad=$(grep -cE '^[0-9a-f]{16},(failed|timeout|oom|unsupported),' "$cells")
[ "$bad" -eq 0 ] || { grep -E '^[0-9a-f]{16},(failed|timeout|oom|unsupported),' "$cells" | cut -d, -f1-12; wrong "$bad cells failed"; }
grep -qP '\r' "$scratch/err" && wrong "carriage returns where there is no terminal"
grep -q "results: $scratch/run" "$scratch/out" || wrong "the summary does not say where the results are"
grep -q '% in warm-up' "$scratch/out" || wrong "the summary does not say how the time was spent"

# column NAME: its number
column() { head -1 "$cells" | tr , '\n' | grep -nx "$1" | cut -d: -f1; }
# Quoted fields may hold commas: they are blanked before awk splits the rows.
check() { # name, condition on v (a number), what
    sed 's/"[^"]*"/-/g' "$cells" | awk -F, -v c="$(column "$1")" 'NR > 1 && ($2 == "ok" || $2 == "noisy") { v = $c; if (v == "" || !('"$2"')) { print $1, v; exit 1 } }' ||
        wrong "$1 is not $3"
}
check prefill_tps 'v > 0' 'above 0'
check decode_tps 'v > 0' 'above 0'
check weight_bytes 'v > 100000' 'a size'
check ppl 'v > 1 && v < 4096' 'a perplexity'
check kld 'v >= 0 && v < 20' 'a divergence'
check top1 'v > 0 && v <= 1' 'a share'
check huge_page_bytes 'v >= 0 && v < 2 ^ 40' 'a size'
check buffer_bytes 'v > 0 && v < 2 ^ 40' 'a size'
check program_bytes 'v > 2 ^ 20 && v < 2 ^ 40' 'a size'
check samples 'v >= 6' 'enough samples'
check roof_fraction 'v > 0' 'above 0'
check verified 'v == "exact" || v == "tolerance" || v == "same"' 'a verdict'
# A peak holds at least the program and the packed weights, on however many ranks.
sed 's/"[^"]*"/-/g' "$cells" | awk -F, -v p="$(column peak_rss_bytes)" -v o="$(column program_bytes)" -v w="$(column weight_bytes)" \
    'NR > 1 && $p != "" && !($p >= $o + $w) { print $1, $p, $o, $w; exit 1 }' || wrong "a cell's peak is below its program and weights"
# A pruned or quantized cell stores less than f32.
sed 's/"[^"]*"/-/g' "$cells" | awk -F, -v f="$(column format)" -v b="$(column bits_per_weight)" \
    'NR > 1 && $b != "" && $f != "f32" && !($b < 32) { print $f, $b; exit 1 }' || wrong "a compressed cell stores no fewer bits"
# samples.csv has two phases for every sample of every cell.
total=$(sed 's/"[^"]*"/-/g' "$cells" | awk -F, -v c="$(column samples)" 'NR > 1 { n += $c } END { print n }')
[ "$(($(wc -l < "$scratch/run/samples.csv") - 1))" -eq $((2 * total)) ] || wrong "samples.csv and cells.csv disagree"
[ "$(cut -d, -f1 "$scratch/run/counters.csv" | sort -u | wc -l)" -eq $((runnable + 1)) ] || wrong "some cells have no counters"
for file in run.json topology.xml; do [ -s "$scratch/run/$file" ] || wrong "no $file"; done
for key in '"share"' '"driver_peak_bytes"' '"commit"' '"spec"' '"seed"' '"libraries"' '"roofs"' '"finished"'; do
    grep -q "$key" "$scratch/run/run.json" || wrong "run.json has no $key"
done
peak=$(sed -n 's/.*driver: peak resident set \([0-9]*\).*/\1/p' "$scratch/out")
[ "$peak" -le 50 ] || wrong "the driver took $peak MB"
exit 0
