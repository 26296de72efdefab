#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A history of runs: appended once each, its planted step found and the commit named, torn and foreign files refused with a line. Where Otava is
# installed (LLMSWEEP_PYTHON names a Python beside it), both find the step at the same commit.
set -u
program=$PWD/${BUILD:-build}/llmsweep
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0
wrong() { echo "wrong: $*"; status=1; }

golden=tests/golden/run
history=$work/history.csv
for i in $(seq 30); do
    mkdir "$work/run$i" && cp $golden/*.csv $golden/run.json "$work/run$i"
    sed -i -E "s/\"started\": \"[^\"]*\"/\"started\": \"2026-01-$(printf %02d "$i")T00:00:00Z\"/; s/\"commit\": \"[^\"]*\"/\"commit\": \"commit$i\"/" "$work/run$i/run.json"
    # From the 21st on decode is a twelfth slower; 0.4% of noise.
    awk -F, -v OFS=, -v i="$i" 'NR == 1 {for (c = 1; c <= NF; c++) if ($c ~ /^decode_tps/) at[c]} NR > 1 {for (c in at) if ($c != "") $c *= (i > 20 ? 11 / 12 : 1) * (1 + (i * 7 % 5 - 2) / 500)} {print}' \
        $golden/cells.csv > "$work/run$i/cells.csv"
done
"$program" history add "$work"/run{1..30} --file "$history" > "$work/out" 2> "$work/said" || wrong "add: $(cat "$work/said")"
rows=$(wc -l < "$history")
"$program" history add "$work/run7" --file "$history" > /dev/null 2> "$work/said" && wrong "a run was added twice"
grep -q 'already' "$work/said" || wrong "no word on the second time: $(cat "$work/said")"
[ "$(wc -l < "$history")" -eq "$rows" ] || wrong "rows were added for a run that is there"

"$program" history show --file "$history" > "$work/text" 2> "$work/said" || wrong "show: $(cat "$work/said")"
grep -q '^ *commit21 ' "$work/text" || wrong "the step's commit is not named: $(head -20 "$work/text")"
grep -v '^ *commit21 ' "$work/text" | grep -q '^ *commit[0-9]' && wrong "other commits are named: $(cat "$work/text")"
"$program" history show --file "$history" --format json > "$work/json" || wrong "show as JSON"
python3 - "$work/json" << 'END' || status=1
import json, sys
series = json.load(open(sys.argv[1]))
decode = [s for s in series if s['name'].startswith('decode/')]
prefill = [s for s in series if s['name'].startswith('prefill/')]
bad = [s['name'] for s in decode if [p['index'] for p in s['change_points']] != [20]] + [s['name'] for s in prefill if s['change_points']]
print('wrong: change points of', bad) if bad else None
sys.exit(bool(bad) or not decode or not prefill)
END
"$program" history show --file "$history" --filter 'decode/*' --format html -o "$work/page.html" 2> "$work/said" || wrong "page: $(cat "$work/said")"
grep -q 'commit21' "$work/page.html" || wrong "the page does not name the commit"
grep -q '<svg ' "$work/page.html" || wrong "no plot in the page"
grep -nE 'https?:|src=|@import|url\(' "$work/page.html" && wrong "the page refers to something outside itself"

otava=$(dirname "$(command -v "${LLMSWEEP_PYTHON:-python3}")")/otava
if [ -x "$otava" ]; then
    "$program" export "$work"/run{1..30} --format otava -o "$work/series.csv"
    column=$(head -1 "$work/series.csv" | tr ',' '\n' | grep -m1 '^decode/')
    printf 'tests:\n  series:\n    type: csv\n    file: %s\n    time_column: time\n    attributes: [commit, machine]\n    metrics:\n      speed:\n        column: "%s"\n        direction: 1\n' \
        "$work/series.csv" "$column" > "$work/otava.yaml"
    OTAVA_CONFIG="$work/otava.yaml" "$otava" analyze series --since 2025-12-01 --attrs commit --output json > "$work/analysis" 2> /dev/null
    grep -q '2026-01-21\|commit21' "$work/analysis" || { OTAVA_CONFIG="$work/otava.yaml" "$otava" analyze series --since 2025-12-01 > "$work/analysis" 2>&1
        awk '/-8\.|-8%/ {found = 1} END {exit !found}' "$work/analysis" || wrong "Otava does not find the step there: $(tail -30 "$work/analysis")"; }
else
    echo "Otava is not installed: change points were not compared with it"
fi

# Bad input
expect2() {
    local expected=$1
    shift
    "$program" history "$@" > "$work/out" 2> "$work/said"
    local code=$?
    [ $code -eq 2 ] || wrong "exit $code instead of 2: $*"
    grep -q "$expected" "$work/said" || wrong "no '$expected' in: $(cat "$work/said")"
}
expect2 'begins one' show --file "$work/none.csv"
expect2 'this is not a history' show --file "$golden/cells.csv"
expect2 'no series' show --file "$history" --machine nowhere
expect2 'add or show' remove
expect2 'name the folder' add
# A torn last row is left out, and cut off by the next addition.
truncate -s -15 "$history"
"$program" history show --file "$history" > /dev/null 2> "$work/said" || wrong "a torn row stops show: $(cat "$work/said")"
exit $status
