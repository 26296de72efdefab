#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The gate on the command line, with a stand-in for the program whose speed is known: equal versions pass, a planted slowdown fails and is named, worse
# quality fails whatever the speed, a cell that no longer runs is broken, and bad input is told in a line. The real program is judged by
# `make gate-calibration`, which takes hours.
set -u
program=$PWD/${BUILD:-build}/llmsweep
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0
wrong() { echo "wrong: $*"; status=1; }
printf '[sweep]\nbatch = 1\n' > "$work/gate.ini"
slug=$("$program" topo --json | sed -n 's/.*"slug": "\([^"]*\)".*/\1/p')

# A stand-in: `run SPEC -o DIR …` writes a run of eight cells through two kernels, 1% of noise, speed × FACTOR for the cells of the second kernel.
stand_in() { # folder, factor, perplexity of the second kernel's cells, status of the last cell
    mkdir -p "$1"
    cat > "$1/llmsweep" << END
#!/usr/bin/env python3
import os, random, sys
out = sys.argv[sys.argv.index('-o') + 1]
open('$work/args', 'a').write(' '.join(sys.argv[1:]) + '\\n')
os.makedirs(out)
quality = 'quality_tokens=0' not in sys.argv
with open(out + '/cells.csv', 'w') as cells, open(out + '/samples.csv', 'w') as samples:
    print('cell,status,reason,model,method,prune_ratio,format,act,kv,batch,prompt,gen,layout,ranks,threads,provider,isa,device,prefill_tps,prefill_tps_lo,'
          'prefill_tps_hi,decode_tps,decode_tps_lo,decode_tps_hi,ppl,ppl_se,dlnppl,dlnppl_se,prune,kernel,weights_hash,text_hash', file=cells)
    print('cell,phase,index,ns,tokens,t_start,round', file=samples)
    for i in range(8):
        second = i >= 4
        speed = 1000 * (i + 1) * ($2 if second else 1)
        status = '$4' if i == 7 else 'ok'
        name = f'{i}{quality}'
        ppl = f'{$3 if second else 30},0.2,{0.1 if second else 0},0.0005' if quality and status == 'ok' else ',,,'
        speeds = f'{10 * speed},{9 * speed},{11 * speed},{speed},{.9 * speed},{1.1 * speed}' if status == 'ok' else ',,,,,'
        print(f'{name},{status},{"" if status == "ok" else "no kernel"},m,none,0,{"q4g32" if second else "q8g32"},q8,f32,{i % 4 + 1},32,16,t1,1,1,own,avx2,cpu,{speeds},{ppl},none,'
              f'kernel_{"b" if second else "a"},w,{"t" if quality else ""}', file=cells)
        for s in range(5 if status == 'ok' else 0):
            for phase, rate in ('prefill', 10 * speed), ('decode', speed):
                print(f'{name},{phase},{s},{int(16e12 / rate * random.gauss(1, .01)) // 1000},16,0,0', file=samples)
open(out + '/run.json', 'w').write('{"schema": 1, "machine": {"slug": "$slug"}, "program": {"commit": "c"}}')
END
    chmod +x "$1/llmsweep"
}
stand_in "$work/base" 1 33 ok
stand_in "$work/same" 1 33 ok
stand_in "$work/slow" 0.94 33 ok
stand_in "$work/worse" 1.2 33.5 ok
stand_in "$work/broken" 1 33 failed

gate() { # expected code, head
    : > "$work/args"
    "$program" gate --base "$work/base" --head "$work/$2" --spec "$work/gate.ini" -o "$work/out-$2" --quiet ${3:-} > "$work/$2.txt" 2> "$work/said"
    local code=$?
    [ $code -eq "$1" ] || wrong "exit $code instead of $1 for '$2': $(cat "$work/said" "$work/$2.txt")"
}
gate 0 same
grep -q 'Gate: no regression' "$work/same.txt" || wrong "equal versions are not called so"
grep -q 'smallest change that this gate would have found' "$work/same.txt" || wrong "no smallest effect"
gate 1 slow
grep -q 'kernel kernel_b, mean of 4 cells .*slower' "$work/slow.txt" || wrong "the slower kernel is not named"
grep -q 'kernel_a.*slower' "$work/slow.txt" && wrong "the other kernel is called slower"
# The second set is twice as long, and of the formats in question only.
again=$(grep -c 'format=q4g32$' "$work/args")
[ "$again" -ge 72 ] || wrong "the second set ran $again processes of the slower format"
grep -q 'format=.*q8g32' "$work/args" && wrong "the second set runs formats that are not in question"
grep -q 'kernel kernel_b, mean of 8 figures  *both .*slower' "$work/slow.txt" || wrong "prefill and decode of the slower kernel are not judged together"
python3 - "$work/out-slow" << 'END' || status=1
import csv, json, sys
found = json.load(open(sys.argv[1] + '/gate.json'))
pairs = list(csv.DictReader(open(sys.argv[1] + '/pairs.csv')))
slower = [f for f in found['figures'] if f['judgement']['verdict'] == 'slower']
bad = [f for f in slower if f['kernel'] != 'kernel_b' or not 0.9 < f['judgement']['ratio'] < 0.97 or 'second_look' not in f]
print('wrong: slower:', bad) if bad else None
sys.exit(bool(bad) or not slower or found['exit_code'] != 1 or len(pairs) < 12 * 20 or not any(p['look'] == '2' for p in pairs))
END
gate 1 worse --pairs=10
grep -q 'the quality of 4 is worse' "$work/worse.txt" || wrong "worse quality passes because it is faster"
gate 1 broken --pairs=10
grep -q '1 cells are broken' "$work/broken.txt" || wrong "a broken cell is not told"

# Against stored runs of this machine: two are too few, five show a loss and no more; those of another machine are refused.
stored=$work/baselines/$slug
mkdir -p "$stored"
against() { # expected code, head
    "$program" gate --baseline "$work/baselines" --head "$work/$2" --spec "$work/gate.ini" -o "$work/out-$2" --quiet > "$work/$2.txt" 2> "$work/said"
    local code=$?
    [ $code -eq "$1" ] || wrong "exit $code instead of $1 for '$2' against stored runs: $(cat "$work/said" "$work/$2.txt")"
}
for run in 1 2 3 4 5; do
    "$work/base/llmsweep" run "$work/gate.ini" -o "$stored/$run"
    [ $run -eq 2 ] && { against 4 slow; grep -q 'No figure has 3 stored runs' "$work/slow.txt" || wrong "two stored runs are judged by: $(cat "$work/slow.txt")"; }
done
stand_in "$work/half" 0.5 33 ok
against 1 half
grep -q 'of 16 figures 8 are the same, 0 faster, 8 slower' <(tr 'O' 'o' < "$work/half.txt") || wrong "half the speed of half the cells is called: $(cat "$work/half.txt")"
grep -q 'How weak this is: .*smallest loss' "$work/half.txt" || wrong "it does not say how weak it is"
[ "$(grep -c '"verdict": "slower"' "$work/out-half/gate.json")" -eq 8 ] || wrong "gate.json has not 8 slower figures"
against 1 worse
grep -q 'of 8 cells 4 are worse than every stored run' "$work/worse.txt" || wrong "worse quality than all stored runs' passes: $(cat "$work/worse.txt")"
[ "$(grep -c '"quality": "worse"' "$work/out-worse/gate.json")" -eq 4 ] || wrong "gate.json has not 4 worse cells"
sed -i "s/$slug/another-machine/" "$stored"/*/run.json
against 2 half
grep -q 'is of machine another-machine, and this is .*run pairs here: llmsweep gate --base' "$work/said" || wrong "another machine's runs are not refused: $(cat "$work/said")"
sed -i "s/another-machine/$slug/" "$stored"/*/run.json
"$program" history add "$stored"/1 --file "$work/history.csv" > /dev/null 2>&1 && wrong "a run without a start went into a history"
printf 'machine,name,tps,ppl,text_hash\n' > "$work/history.csv"
for factor in 1.01 1 0.99 1.02; do
    python3 - "$work/out-half/gate.json" "$slug" $factor >> "$work/history.csv" << 'END'
import json, sys
for f in json.load(open(sys.argv[1]))['figures']:
    print(f"{sys.argv[2]},{f['name']},{f['tps'] * float(sys.argv[3])},{f['ppl'] or ''},t")
END
done
"$program" gate --baseline "$work/history.csv" --head "$work/half" --spec "$work/gate.ini" -o "$work/o4" --quiet > "$work/out" 2>&1 || wrong "the same speeds as in a history: $(cat "$work/out")"
grep -q 'of 8 cells 0 are worse' <(tr '\n' ' ' < "$work/out") || wrong "the same quality as in a history: $(cat "$work/out")"
sed -i 's/,33.0,t$/,32.9,t/' "$work/history.csv"
"$program" gate --baseline "$work/history.csv" --head "$work/half" --spec "$work/gate.ini" -o "$work/o8" --quiet > "$work/out" 2>&1 && wrong "worse quality than in a history passes"
grep -q 'of 8 cells 4 are worse' <(tr '\n' ' ' < "$work/out") || wrong "worse quality than in a history: $(cat "$work/out")"

expect2() {
    local expected=$1
    shift
    "$program" gate "$@" --quiet > "$work/out" 2> "$work/said"
    local code=$?
    [ $code -eq 2 ] || wrong "exit $code instead of 2: $*"
    grep -q "$expected" "$work/said" || wrong "no '$expected' in: $(cat "$work/said")"
}
expect2 '\-\-base is missing' --head "$work/same"
expect2 'holds neither' --base "$work" --head "$work/same" -o "$work/o1"
expect2 'neither a folder nor a revision' --base no-such-revision --head "$work/same" -o "$work/o2"
expect2 'give one of them' --base "$work/base" --baseline "$stored"
expect2 'no run.s folder in it' --baseline "$work/same" --head "$work/same" -o "$work/o5"
expect2 'this is not a history' --baseline "$stored/1/cells.csv" --head "$work/same" -o "$work/o6"
expect2 'No such file' --baseline "$work/no-such" --head "$work/same" -o "$work/o7"
expect2 'from 10 to 1000' --base "$work/base" --pairs 3
expect2 'such as 2%' --base "$work/base" --threshold 0
# A version whose program fails is a failure of the gate, not a verdict.
mkdir "$work/failing" && printf '#!/bin/sh\necho nothing works >&2\nexit 3\n' > "$work/failing/llmsweep" && chmod +x "$work/failing/llmsweep"
"$program" gate --base "$work/base" --head "$work/failing" --spec "$work/gate.ini" -o "$work/o3" --quiet > /dev/null 2> "$work/said"
[ $? -eq 3 ] || wrong "a failing program is no error of the gate"
grep -q 'exited with code 3: nothing works' "$work/said" || wrong "its last words are not told: $(cat "$work/said")"
exit $status
