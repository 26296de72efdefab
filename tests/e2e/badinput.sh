#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Wrong input to plan and run: one clear line that names the place and the cure, exit code 2, and nothing that was recorded is lost.
set -u
program=${BUILD:-build}/llmsweep
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
status=0

# expect CODE PATTERN COMMAND… : the exit code, and one line on stderr that matches the pattern (an extended regular expression).
expect() {
    local code=$1 pattern=$2
    shift 2
    "$@" > "$scratch/out" 2> "$scratch/err" < /dev/null
    local got=$?
    if [ $got -ne "$code" ]; then
        echo "badinput.sh: exit $got instead of $code: $*"; head -5 "$scratch/err"; status=1
    elif ! grep -qE "$pattern" "$scratch/err"; then
        echo "badinput.sh: '$pattern' is not in what was said: $*"; head -5 "$scratch/err"; status=1
    elif [ "$(grep -c '^llmsweep' "$scratch/err")" -ne 1 ]; then
        echo "badinput.sh: not one line: $*"; head -5 "$scratch/err"; status=1
    fi
}
spec() { # text
    printf '%b' "$1" > "$scratch/s.ini"
}
bad() { # pattern, spec's text, further arguments of plan
    local pattern=$1 text=$2
    shift 2
    spec "$text"
    expect 2 "$pattern" "$program" plan "$scratch/s.ini" "$@"
}

# Specs
bad 's\.ini:1: unknown key .prunes. \(known: model, prune, .*; did you mean .prune.\?\)' 'prunes = 50%\n'
bad 's\.ini:2: unknown axis .formt. \(known: .*; did you mean .format.\?\)' '[sweep]\nzip = prune formt\n'
bad 's\.ini:3: .*q9.*(known|bits|q8)' 'prune = none\n\nformat = f32, q9\n'
bad 's\.ini:1: .*150%' 'prune = 150%\n'
bad 's\.ini:1: .*-20%' 'prune = -20%\n'
bad "s\.ini:1: batch = '0' is not a whole number within 1 and 65536" 'batch = 0\n'
bad "s\.ini:1: batch = '2.5' is not" 'batch = 2.5\n'
bad 's\.ini:1: .*zz3' 'layout = zz3\n'
bad 's\.ini:1: unknown provider .mkl. \(known: own, openblas, onednn\)' 'provider = mkl\n'
bad 's\.ini:2: unknown section \[swep\] \(known: \[sweep\]' '[swep]\nbatch = 1\n'
bad 's\.ini:1: ci = 80% is out of range' 'ci = 80%\n'
bad '\-\-set batch=none: batch = .none. is not a whole number' 'batch = 1\n' --set batch=none
bad '\-\-set batchh=1: unknown key .batchh. .*did you mean .batch.' 'batch = 1\n' --set batchh=1
expect 2 'no/such\.ini: cannot read: No such file' "$program" plan no/such.ini
expect 2 'name one spec' "$program" plan
expect 2 "unknown command 'rnu' \(known: run, .*did you mean 'run'" "$program" rnu
head -c 3000 "$program" > "$scratch/s.ini"
expect 2 's\.ini' "$program" plan "$scratch/s.ini"

# Models
bad 'no/model\.gguf: .*No such file' 'model = no/model.gguf\n'
head -c 100000 bench/models/embedded.gguf > "$scratch/short.gguf"
bad 'short\.gguf' "model = $scratch/short.gguf\n"
head -c 100000 /dev/zero > "$scratch/zero.gguf"
bad 'zero\.gguf' "model = $scratch/zero.gguf\n"
printf '[model]\nname = x\nvocab = 10\nd_model = -4\n' > "$scratch/shape.ini"
bad 'shape\.ini' "model = $scratch/shape.ini\n"

# Texts
: > "$scratch/empty.txt"
bad 'empty\.txt' "text = $scratch/empty.txt\n"
bad 'llmsweep' "text = $program\n"
printf 'too short\n' > "$scratch/short.txt"
bad 'short\.txt' "text = $scratch/short.txt\n"
bad 'missing\.txt: .*No such file' "text = $scratch/missing.txt\n"

# Layouts that the machine cannot hold are cells with a reason, not errors.
spec 'layout = t1, t4096, dp2\n'
if ! "$program" plan "$scratch/s.ini" > "$scratch/out" || ! grep -q 'skipped .*layout=t4096: .*4096' "$scratch/out" ||
    ! grep -q 'batch 1 cannot be split over 2 replicas' "$scratch/out"; then
    echo "badinput.sh: illegal layouts have no reason:"; cat "$scratch/out"; status=1
fi

# Runs
quick=(--set prompt=4 --set gen=2 --set quality_tokens=0 --set roof_time=0 --set counters=none --set max_time=2ms --set min_samples=1
    --set rounds=1 --set max_samples=2 --set warmup_time=0s --quiet)
spec 'batch = 1, 2\n'
expect 2 '/proc/no: cannot write results there: .*choose another folder with -o' "$program" run "$scratch/s.ini" -o /proc/no "${quick[@]}"
expect 2 'never: no run to resume there' "$program" run "$scratch/s.ini" -o "$scratch/never" --resume "${quick[@]}"
"$program" run "$scratch/s.ini" -o "$scratch/run" "${quick[@]}" > /dev/null || { echo "badinput.sh: a plain run fails"; status=1; }
cp "$scratch/run/cells.csv" "$scratch/before.csv"
expect 2 'run: holds a run already; finish it with --resume' "$program" run "$scratch/s.ini" -o "$scratch/run" "${quick[@]}"
expect 2 'was begun with another spec' "$program" run "$scratch/s.ini" -o "$scratch/run" --resume "${quick[@]}" --set batch=1,4
sed -i '1s/cell,/sell,/' "$scratch/run/cells.csv"
expect 2 'cells\.csv:1: these are not the columns' "$program" run "$scratch/s.ini" -o "$scratch/run" --resume "${quick[@]}"
sed -i '1s/sell,/cell,/' "$scratch/run/cells.csv"
cmp -s "$scratch/run/cells.csv" "$scratch/before.csv" || { echo "badinput.sh: recorded rows were changed"; status=1; }

# A sweep of which nothing can run records nothing.
spec 'batch = 1\nlayout = tp64, t4096\n'
expect 2 's.ini:2: none of 2 cells can run here; layout=tp64: ' "$program" run "$scratch/s.ini" -o "$scratch/none"
[ ! -e "$scratch/none" ] || { echo "badinput.sh: a folder for a sweep that cannot run"; status=1; }

# No mpirun: what can run does, the rest is skipped and says why; exit code 2.
spec 'batch = 2\nlayout = t1, tp2\nlauncher = no-mpirun-here -np {ranks}\n'
expect 2 'no no-mpirun-here on this machine to start several ranks: install openmpi-bin' \
    "$program" run "$scratch/s.ini" -o "$scratch/nompi" "${quick[@]}"
grep -q 'skipped,.no no-mpirun-here on this machine' "$scratch/nompi/cells.csv" || { echo "badinput.sh: no skipped row without a launcher"; status=1; }
grep -qE '^[0-9a-f]{16},(ok|noisy),' "$scratch/nompi/cells.csv" || { echo "badinput.sh: no figures without a launcher"; status=1; }

# A full disk: a clear stop.
if mkdir "$scratch/full" && mount -t tmpfs -o size=48k tmpfs "$scratch/full" 2> /dev/null; then
    spec 'batch = 1-40\n'
    expect 3 'No space left on device; free some space and resume' "$program" run "$scratch/s.ini" -o "$scratch/full/run" "${quick[@]}"
    mount -o remount,size=4m "$scratch/full"
    "$program" run "$scratch/s.ini" -o "$scratch/full/run" --resume "${quick[@]}" > /dev/null || { echo "badinput.sh: a run does not go on after the disk was full"; status=1; }
    [ "$(wc -l < "$scratch/full/run/cells.csv")" -eq 41 ] || { echo "badinput.sh: rows were lost on a full disk"; status=1; }
    umount "$scratch/full"
fi
exit $status
