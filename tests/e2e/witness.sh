#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The gate's second witness: a version of which three kernels execute 1% more instructions than they need is told, and these kernels are named, and
# nothing else; without Valgrind there is a line that says so.
set -u
program=$PWD/${BUILD:-build}/llmsweep
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0
wrong() { echo "wrong: $*"; status=1; }

mkdir "$work/empty"
env PATH="$work/empty" "$program" gate --base . --head . --witness-only -o "$work/without" --quiet > "$work/out" 2> "$work/said"
code=$?
[ $code -eq 2 ] || wrong "exit $code instead of 2 without valgrind"
[ "$(wc -l < "$work/said")" -eq 1 ] && grep -q 'needs valgrind.*setup.sh --test' "$work/said" || wrong "without valgrind it says: $(cat "$work/said")"
[ $status -eq 0 ] || exit 1
command -v valgrind > /dev/null || { echo "everything but the counting: valgrind is missing (scripts/setup.sh --test installs it)"; exit 77; }

# Nops in proportion to the work, about 1% of what the kernel executes in these cells; faster kernels make that more.
head=$work/head built=${BUILD:-build}
mkdir -p "$head/build"
cp -a Makefile bench harness kernels scripts "$head"
cp -a "$built"/bench "$built"/harness "$built"/kernels "$built"/*.a "$built"/*.h "$built"/llmsweep "$head/build"
plant() { # kernel, one nop for so many products
    local file=$head/kernels/linear/$1.c
    sed -i "/^LINEAR_[A-Z0-9]*_KERNEL/i static void planted(const struct linear_call *call) {\n    linear(call);\n    for (long i = (long)call->m * (call->end - call->begin) * call->weights->columns / $2; i > 0; i--)\n        __asm__ volatile(\"nop\");\n}\n#define linear planted" "$file"
    grep -q planted "$file" || wrong "nothing could be planted into $1"
}
plant linear_q8_q4_avx2 3000
plant linear_f32_f32_avx2 5000
plant linear_q8_q8bitmask_avx2 660
make -s -C "$head" all > "$work/make.log" 2>&1 || { wrong "make: $(tail -3 "$work/make.log")"; exit 1; }

cat > "$work/witness.ini" << END
model = bench/models/shapes/tiny.ini
prompt = 12
gen = 4
[sweep]
zip = prune format
prune  = none, none, 50%
format = f32, q4g32, q8g32
END
"$program" gate --base . --head "$head" --witness-only --witness-spec "$work/witness.ini" -o "$work/gate" --quiet > "$work/out" 2> "$work/said"
code=$?
[ $code -eq 4 ] || wrong "exit $code instead of 4: $(cat "$work/said" "$work/out")"
grep -q '^Gate: more instructions' "$work/out" || wrong "not called more instructions: $(head -1 "$work/out")"
python3 - "$work/gate/gate.json" << 'END' || status=1
import json, sys
found = json.load(open(sys.argv[1]))['witness']
rose = {f['file']: f['change'] for f in found['files'] if f['rose'] and f['folder']}
planted = {'linear_q8_q4_avx2.c', 'linear_f32_f32_avx2.c', 'linear_q8_q8bitmask_avx2.c'}
if set(rose) != planted or found['rose'] != 3 or found['fell'] or not all(0.006 < c < 0.02 for c in rose.values()):
    sys.exit(f'wrong: what rose: {rose} of {found["rose"]}; fell: {found["fell"]}')
noise = max(f['noise'] for f in found['files'] if f['folder'] == 'kernels' and f['base'] > 1e5)
if not noise < 0.001:
    sys.exit(f'wrong: counting base twice differs by {noise}')
END
for kernel in linear_q8_q4_avx2 linear_f32_f32_avx2 linear_q8_q8bitmask_avx2; do
    grep -q "^ *kernel $kernel .*+[01]\.[0-9]*%.*more" "$work/out" || wrong "$kernel is not named: $(cat "$work/out")"
done
exit $status
