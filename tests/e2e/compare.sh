#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Runs side by side on the command line: a run against itself, against one whose speeds were changed, and everything that can be wrong
# with what is given.
set -u
program=$PWD/${BUILD:-build}/llmsweep
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0
wrong() { echo "wrong: $*"; status=1; }

a=$work/a b=$work/b
cp -r tests/golden/run "$a"
cp -r tests/golden/run "$b"

# The same run: nothing differs.
"$program" compare "$a" "$b" > "$work/same" 2> "$work/said" || wrong "exit $? on equal runs: $(cat "$work/said")"
grep -q 'Nothing that was recorded' "$work/same" || wrong "equal environments are not called so"
grep -qE '[1-9][0-9]* (faster|slower)' "$work/same" && wrong "a run differs from itself"

# Another machine and decode speeds halved.
sed -i 's/"cpu_model": "[^"]*"/"cpu_model": "Another CPU"/' "$b/run.json"
awk -F, -v OFS=, 'NR > 1 && $2 == "decode" {$4 = $4 * 2} {print}' "$a/samples.csv" > "$b/samples.csv"
awk -F, -v OFS=, 'NR == 1 {for (i = 1; i <= NF; i++) at[$i] = i; n = split("decode_tps decode_tps_lo decode_tps_hi", c, " ")}
    NR > 1 {for (i = 1; i <= n; i++) if ($at[c[i]] != "") $at[c[i]] = $at[c[i]] / 2} {print}' "$a/cells.csv" > "$b/cells.csv"
"$program" compare "$a" "$b" > "$work/text" 2> "$work/said" || wrong "exit $? on unequal runs: $(cat "$work/said")"
grep -q 'Another CPU' "$work/text" || wrong "another CPU is not told"
mean=$("$program" compare "$a" "$b" --format json | python3 -c 'import json,sys; print(json.load(sys.stdin)["comparisons"][0]["verdicts"]["decode"]["geometric_mean"])')
[ "${mean%%0000*}" = 0.5 ] || [ "$mean" = 0.5 ] || wrong "decode's mean ratio is $mean instead of 0.5"
for form in markdown csv json html; do
    "$program" compare "$a" "$b" --format $form -o "$work/out.$form" 2> "$work/said" || wrong "$form: $(cat "$work/said")"
    [ -s "$work/out.$form" ] || wrong "$form is empty"
done
grep -q '^| .* |$' "$work/out.markdown" || wrong "no table in the Markdown"
grep -nE 'https?:|src=|@import|url\(' "$work/out.html" && wrong "the page refers to something outside itself"
[ "$(grep -c '<svg ' "$work/out.html")" -ge 1 ] || wrong "no plot in the page"
grep -oE " id=['\"][^'\"]*" "$work/out.html" | sed "s/ id=['\"]//" | sort | uniq -d | grep . && wrong "ids that are there twice"
"$program" compare "$a" "$b" --by run --watts 50,100 --cost 1,2 | grep -q 'tokens per joule' || wrong "no tokens per joule"
"$program" compare "$a" --by format | grep -q 'Side by side' || wrong "one run by format"

# Bad input: one line that says what, exit 2, nothing on standard output.
expect2() { # what is expected in the message, arguments…
    local expected=$1
    shift
    "$program" compare "$@" > "$work/out" 2> "$work/said"
    local code=$?
    [ $code -eq 2 ] || wrong "exit $code instead of 2: $*"
    [ ! -s "$work/out" ] || wrong "something on standard output: $*"
    [ "$(wc -l < "$work/said")" -eq 1 ] || wrong "not one line: $(cat "$work/said")"
    grep -q "$expected" "$work/said" || wrong "no '$expected' in: $(cat "$work/said")"
}
expect2 'at least two runs' "$a"
expect2 'no such file' "$a" "$work/none"
expect2 "did you mean 'format'" "$a" --by formt
expect2 'one a run' "$a" "$b" --by run --watts 5
expect2 'one a run' "$a" --by format --watts nan
expect2 'text, markdown, csv, json or html' "$a" "$b" --format xml
expect2 'above 0 and below 100' "$a" "$b" --threshold x
mkdir "$work/newer" "$work/failed" "$work/other" "$work/torn" "$work/broken" "$work/twice" "$work/empty"
cp "$a"/* "$work/newer" && sed -i 's/"schema": [0-9]*/"schema": 99/' "$work/newer/run.json"
expect2 'schema 99, and this program knows' "$a" "$work/newer"
cp "$a"/* "$work/other" && sed -i -E '2,$s/^([^,]*,[^,]*,[^,]*,)([^,]*)/\1another-model-\2/' "$work/other/cells.csv"
awk -F, 'NR > 1 && $3 !~ /"/' "$work/other/cells.csv" | head -1 | grep -q another-model || wrong "the test's other model is not another"
sed -i '/"/d' "$work/other/cells.csv"
expect2 'have no cell in common' "$a" "$work/other"
head -1 "$a/cells.csv" > "$work/empty/cells.csv"
expect2 'the run has no cells' "$a" "$work/empty"
awk -F, -v OFS=, 'NR == 1 {for (i = 1; i <= NF; i++) at[$i] = i} NR > 1 && !/"/ {$2 = "failed"; $3 = "diverged"; for (i = at["prefill_tps"]; i <= NF; i++) $i = ""; print} NR == 1' \
    "$a/cells.csv" > "$work/failed/cells.csv"
expect2 'none of its [0-9]* cells has a speed' "$a" "$work/failed"
sed '3s/^[^,]*,//' "$a/cells.csv" > "$work/broken/cells.csv"
expect2 'cells.csv:3' "$a" "$work/broken"
sed '1s/decode_tps_lo/decode_tps/' "$a/cells.csv" > "$work/twice/cells.csv"
expect2 'twice\|two columns' "$a" "$work/twice"
# Cells that differ in a column of a later version only: not joined, not averaged, and not part of a history or an export.
python3 - "$a/cells.csv" "$work/newer/cells.csv" << 'END'
import csv, sys
rows = list(csv.DictReader(open(sys.argv[1])))
out = csv.DictWriter(open(sys.argv[2], 'w'), list(rows[0]) + ['surprise'], lineterminator='\n')
out.writeheader()
out.writerows(dict(row, cell=row['cell'] + surprise, surprise=surprise) for row in rows for surprise in '12')
END
cp "$a/run.json" "$work/newer"
unknown='differ in nothing that this program knows'
expect2 "$unknown" "$a" "$work/newer"
expect2 "$unknown" "$work/newer" --by format
"$program" history add "$work/newer" --file "$work/newer.csv" > /dev/null 2> "$work/said" && wrong "a history takes cells that it cannot tell apart"
grep -q "$unknown" "$work/said" && [ ! -e "$work/newer.csv" ] || wrong "what the history says of them: $(cat "$work/said")"
"$program" export "$work/newer" --format bencher > /dev/null 2> "$work/said" && wrong "an export has cells that it cannot tell apart"
# Half of the cells are of another model: the other half is compared, and it says what is not.
mkdir -p "$work/mixed"
cp "$a"/* "$work/mixed"
awk -F, -v OFS=, 'NR > 1 && NR % 2 && !/"/ {$4 = "another-model-" $4} {print}' "$a/cells.csv" > "$work/mixed/cells.csv"
"$program" compare "$a" "$work/mixed" > "$work/out" 2> "$work/said" || wrong "mixed models: $(cat "$work/said")"
others=$(awk -F, 'NR > 1 && $4 ~ /^another-model/' "$work/mixed/cells.csv" | wc -l)
[ "$others" -gt 20 ] && grep -q "not compared: $others cells, only in the second run" "$work/out" || wrong "nothing on the $others cells of another model"
# One sample a cell gives no interval: ambiguous, never a verdict.
mkdir -p "$work/one"
cp "$b"/* "$work/one"
awk -F, 'NR == 1 || !seen[$1 $2]++' "$b/samples.csv" > "$work/one/samples.csv"
"$program" compare "$a" "$work/one" > "$work/out" 2> "$work/said" || wrong "one sample a cell: $(cat "$work/said")"
grep -q 'decode: [0-9]* cells; 0 faster, 0 slower, 0 the same' "$work/out" || wrong "one sample a cell has a verdict: $(grep 'decode:' "$work/out")"
# A torn last row is left out and told.
cp "$a"/* "$work/torn" && truncate -s -20 "$work/torn/cells.csv"
"$program" compare "$a" "$work/torn" > "$work/out" 2> "$work/said" || wrong "a torn row stops the comparison: $(cat "$work/said")"
grep -q 'a torn last row was left out' "$work/out" || wrong "no word on the torn row"
exit $status
