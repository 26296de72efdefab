#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# How often the gate cries wolf, and what it finds, on this machine: gates between two builds of one source, and between it and builds of which one
# kernel takes 5% or 3% longer in every call. Goes on where it stopped: each gate appends a row to results/calibration/gates.csv, and
# results/calibration/README.md says what all rows say.
#   scripts/gate_calibration.sh [ROUNDS [PLANTED]]   until there are so many gates of equal builds (100) and of each slowed one (as many)
#   scripts/gate_calibration.sh --report             writes the README from the rows there are
# CALIBRATION_WORK (build/calibration) keeps the builds and is used again; CALIBRATION_FLAGS are options of the gate; CALIBRATION_KERNEL is the slowed
# kernel (the one that runs q4g32 here).
set -euo pipefail
cd "$(dirname "$0")/.."
folder=results/calibration work=${CALIBRATION_WORK:-build/calibration}
kinds=(same-a slow-5 slow-3)
gates=$folder/gates.csv
header=kind,started,commit,exit,figures,slower,faster,ambiguous,found_in_kernel,slower_elsewhere,pairs,looked_again,seconds,kernel
stop() { echo "gate_calibration.sh: $2" >&2; exit "$1"; }

report() {
    python3 - "$gates" > "$folder/README.md.new" << 'END'
import csv, math, sys
rows = list(csv.DictReader(open(sys.argv[1])))
def wilson(k, n, z=1.96):
    if not n:
        return 'no gate yet'
    p, d = k / n, 1 + z * z / n
    middle, half = (p + z * z / (2 * n)) / d, z / d * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return f'{k} of {n} ({100 * k / n:.1f}%, 95% interval {100 * max(middle - half, 0):.1f}–{100 * min(middle + half, 1):.1f}%)'
kinds = {k: [r for r in rows if r['kind'] == k] for k in ('same-a', 'slow-5', 'slow-3')}
print('# What the gate finds, and how often it cries wolf\n')
print('Made by `make gate-calibration` (scripts/gate_calibration.sh); every gate is a row of [gates.csv](gates.csv). A slowed kernel waits after every call,\n'
      'by the time stamp counter, for the share of that call.\n')
print('| gates | wanted | found |\n|---|---|---|')
alarms = sum(int(r['slower']) + int(r['faster']) > 0 for r in kinds['same-a'])
print(f"| two builds of one source: any figure called slower or faster | at most 1% | {wilson(alarms, len(kinds['same-a']))} |")
for kind, share, wanted in (('slow-5', 5, 95), ('slow-3', 3, 80)):
    found = sum(int(r['found_in_kernel']) > 0 for r in kinds[kind])
    slowed = ', '.join(sorted({f"`{r['kernel']}`" for r in kinds[kind]})) or 'a kernel'
    print(f'| {slowed} {share}% slower: found in its figures | at least {wanted}% | {wilson(found, len(kinds[kind]))} |')
elsewhere = sum(int(r['slower_elsewhere']) > 0 for k in ('slow-5', 'slow-3') for r in kinds[k])
print(f"| the same gates: something else called slower | | {wilson(elsewhere, len(kinds['slow-5'] + kinds['slow-3']))} |")
if rows:
    seconds = sorted(float(r['seconds']) for r in rows)
    print(f'\nFigures a gate: {rows[-1]["figures"]}. A gate took {seconds[len(seconds) // 2]:.0f} s (longest {seconds[-1]:.0f} s).')
if kinds['same-a']:
    same = kinds['same-a']
    print(f'Between equal builds {sum(int(r["ambiguous"]) for r in same) / len(same):.1f} figures a gate were ambiguous, and '
          f'{sum(int(r["looked_again"]) for r in same) / len(same):.1f} were looked at again.')
END
    mv "$folder/README.md.new" "$folder/README.md"
}

mkdir -p "$folder" "$work"
# A row that was cut off while it was written is dropped; rows of other columns are not added to.
if [ -s "$gates" ]; then
    [ "$(head -1 "$gates")" = "$header" ] || stop 2 "$gates has other columns than this script writes; move it away"
    python3 - "$gates" << 'END'
import os, sys
text = open(sys.argv[1]).read()
kept = [line for line in text.splitlines(True) if line.endswith('\n') and line.count(',') == text.splitlines()[0].count(',')]
if ''.join(kept) != text:
    print('gate_calibration.sh: a torn row was dropped', file=sys.stderr)
    open(sys.argv[1] + '.new', 'w').writelines(kept)
    os.replace(sys.argv[1] + '.new', sys.argv[1])
END
else
    echo "$header" > "$gates"
fi
if [ "${1:-}" = --report ]; then
    report
    cat "$folder/README.md"
    exit
fi
# One at a time; a gate that outlived its script holds the lock, too.
exec 9> "$work/lock"
flock -n 9 || { echo "gate_calibration.sh: waiting for another one that uses $work" >&2; flock -w 900 9 || stop 3 "another one still uses $work"; }
rounds=${1:-100} planted=${2:-${1:-100}}
[[ $rounds =~ ^[1-9][0-9]*$ && $planted =~ ^[1-9][0-9]*$ ]] || stop 2 "ROUNDS and PLANTED are numbers of gates, not '$rounds' and '$planted'"
[ -x build/llmsweep ] || make -s -j"$(nproc)" all
kernel=${CALIBRATION_KERNEL:-$(build/llmsweep kernels --list | sed -n 's/^q4g32  *q8  *\(linear_[a-z0-9_]*\):.*/\1/p')}
file=kernels/linear/$kernel.c
[ -f "$file" ] || stop 2 "no $file; name the kernel that runs q4g32 here in CALIBRATION_KERNEL (llmsweep kernels --list)"

# A tree is made beside its place and moved there when it is built, so that an interrupted one is made again.
ready() { # kind, percent that the kernel takes longer (0: none)
    local tree=$work/$1 made=$work/making
    [ -x "$tree/build/llmsweep" ] && return
    rm -rf "$tree" "$made"
    mkdir -p "$made"
    git archive HEAD | tar -x -C "$made"
    git rev-parse --short=12 HEAD > "$made/commit"
    if [ "$2" -gt 0 ]; then
        sed -i "/^LINEAR_Q8_KERNEL/i #include <x86intrin.h>\nstatic void planted(const struct linear_call *call) {\n    unsigned long long start = __rdtsc();\n    linear(call);\n    unsigned long long until = start + (__rdtsc() - start) * (100 + $2) / 100;\n    while (__rdtsc() < until)\n        ;\n}\n#define linear planted" "$made/$file"
        grep -q planted "$made/$file" || stop 3 "could not plant a slowdown into $file"
    fi
    echo "building $tree" >&2
    make -s -C "$made" -j"$(nproc)" all
    mv "$made" "$tree"
}
# Paths of equal length.
ready base-a 0
ready same-a 0
ready slow-5 5
ready slow-3 3
for kind in "${kinds[@]}"; do
    cmp -s "$work/base-a/commit" "$work/$kind/commit" || stop 2 "$work/$kind is not of base-a's commit; remove it, or the whole of $work, to build it again"
done

judge() { # kind
    local out=$work/gate code=0 started commit
    rm -rf "$out"
    started=$(date -u +%Y-%m-%dT%H:%M:%SZ)
    commit=$(cat "$work/base-a/commit")
    # shellcheck disable=SC2086
    build/llmsweep gate --base "$work/base-a" --head "$work/$1" -o "$out" --quiet ${CALIBRATION_FLAGS:-} > "$work/said" 2>&1 &
    gate=$!
    wait $gate || code=$?
    gate=
    if [ ! -s "$out/gate.json" ]; then
        echo "gate_calibration.sh: a gate failed with code $code: $(tail -1 "$work/said")" >&2
        return 1
    fi
    python3 - "$out/gate.json" "$kernel" "$1" "$started" "$commit" "$code" >> "$gates" << 'END'
import json, sys
found = json.load(open(sys.argv[1]))
kernel, kind, started, commit, code = sys.argv[2:]
verdicts = [(f['kernel'], f['judgement']['verdict']) for f in found['figures']]
count = lambda v: sum(w == v for _, w in verdicts)
here = sum(v == 'slower' and k == kernel for k, v in verdicts)
again = sum('second_look' in f for f in found['figures'])
print(f"{kind},{started},{commit},{code},{len(verdicts)},{count('slower')},{count('faster')},{count('ambiguous')},{here},{count('slower') - here},"
      f"{found['blocks']},{again},{found['seconds']:.0f},{kernel}")
END
    tail -1 "$gates" >&2
}

gate=
trap '[ -z "$gate" ] || kill $gate 2> /dev/null || true; exit 130' INT TERM HUP
have() { grep -c "^$1," "$gates" || true; }
failures=0
while :; do
    # The kind that has the smallest share of its gates is next, so that an interruption leaves some of each.
    next='' fewest=1000
    for kind in "${kinds[@]}"; do
        [ "$kind" = same-a ] && wanted=$rounds || wanted=$planted
        share=$((1000 * $(have "$kind") / wanted))
        [ $share -lt $fewest ] && next=$kind fewest=$share
    done
    [ -n "$next" ] || break
    if judge "$next"; then
        failures=0
        report
    elif [ $((++failures)) -ge 3 ]; then
        stop 3 "three gates in a row failed"
    fi
done
report
cat "$folder/README.md"
