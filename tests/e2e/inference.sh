#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# generate and eval on the embedded model: the same text in every layout, quality in the order of the formats, clear refusals.
set -u
llmsweep=${BUILD:-build}/llmsweep
model=bench/models/embedded.gguf
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0
fail() { echo "$1"; status=1; }

# --- the same greedy text, whatever the layout
$llmsweep generate $model -p "a small animal" -n 24 > "$work/t1" 2> "$work/t1.err" || fail "generate failed: $(cat "$work/t1.err")"
[ "$(wc -w < "$work/t1")" -ge 3 ] || fail "generate wrote no text"
grep -q 'tokens/s' "$work/t1.err" || fail "generate says no speed: $(cat "$work/t1.err")"
$llmsweep generate $model -p "a small animal" -n 24 --layout t2 > "$work/t2" 2> /dev/null
cmp -s "$work/t1" "$work/t2" || fail "t2 wrote: $(cat "$work/t2") and t1: $(cat "$work/t1")"
if command -v mpirun > /dev/null; then
    options=(--oversubscribe --bind-to none)
    [ "$(id -u)" != 0 ] || options+=(--allow-run-as-root)
    for layout in tp2 pp2; do
        timeout 100 mpirun "${options[@]}" -n 2 $llmsweep generate $model -p "a small animal" -n 24 --layout $layout > "$work/out" 2> "$work/err" ||
            fail "$layout failed: $(cat "$work/err")"
        cmp -s "$work/t1" "$work/out" || fail "$layout wrote: $(cat "$work/out") and t1: $(cat "$work/t1")"
    done
fi

# --- draws: the seed decides
draw() { $llmsweep generate $model -p "the act of" -n 24 --temp 1.2 --top-k 200 --top-p 0.95 --seed "$1" 2> /dev/null; }
draw 1 > "$work/a" && draw 1 > "$work/b" && draw 2 > "$work/c"
cmp -s "$work/a" "$work/b" || fail "the same seed wrote different texts"
cmp -s "$work/a" "$work/c" && fail "two seeds wrote the same text"

# --- quality
number() { sed -n "s/.*\"$2\": \([-0-9.e+]*\).*/\1/p" "$work/$1.json"; }
for format in f32 q8g32 q4g32 q2g32; do
    $llmsweep eval $model --tokens 2048 --format $format --json > "$work/$format.json" 2> "$work/err" || fail "eval $format failed: $(cat "$work/err")"
done
$llmsweep eval $model --tokens 2048 --format q8g32 --prune 2:4 --json > "$work/pruned.json"
awk "BEGIN { exit !($(number q8g32 kld) < $(number q4g32 kld) && $(number q4g32 kld) < $(number q2g32 kld)) }" ||
    fail "KL divergence of 8, 4 and 2 bits is out of order: $(number q8g32 kld) $(number q4g32 kld) $(number q2g32 kld)"
awk "BEGIN { exit !($(number f32 ppl) > 5 && $(number f32 ppl) < 300 && $(number q8g32 ppl) / $(number f32 ppl) < 1.01) }" ||
    fail "perplexity is $(number f32 ppl) in f32 and $(number q8g32 ppl) in 8 bits"
awk "BEGIN { exit !($(number q2g32 weight_bytes) < $(number q4g32 weight_bytes) && $(number pruned weight_bytes) < $(number q8g32 weight_bytes)) }" ||
    fail "fewer bits or 2:4 do not store fewer bytes"
grep -q '"kld": null' "$work/f32.json" || fail "the model is compared with itself"

# --- calibrated methods: better than those that do not look at activations, the same on every layout, calibrated once
export LLMSWEEP_CACHE=$work/cache
for what in "none q3g32" "none gptq:q3g32" "2:4 f32" "sparsegpt:2:4 f32"; do
    read -r prune format <<< "$what"
    $llmsweep eval $model --tokens 2048 --prune "$prune" --format "$format" --act f32 --json > "$work/${prune//:/}-${format//:/}.json" 2> "$work/err" ||
        fail "eval of $what failed: $(cat "$work/err")"
done
awk "BEGIN { exit !($(number none-gptqq3g32 kld) < $(number none-q3g32 kld) && $(number sparsegpt24-f32 kld) < $(number 24-f32 kld)) }" ||
    fail "KL divergence: GPTQ $(number none-gptqq3g32 kld), nearest $(number none-q3g32 kld); SparseGPT $(number sparsegpt24-f32 kld), magnitude $(number 24-f32 kld)"
kept=$(find "$work/cache" -name '*.calibrated' | wc -l)
[ "$kept" -eq 2 ] || fail "$kept calibrated models are kept, not 2"
if command -v mpirun > /dev/null; then
    timeout 100 mpirun "${options[@]}" -n 2 $llmsweep eval $model --tokens 2048 --format gptq:q3g32 --act f32 --layout tp2 --json > "$work/tp2.json" 2> "$work/err" ||
        fail "gptq on tp2 failed: $(cat "$work/err")"
    awk "BEGIN { d = $(number tp2 ppl) / $(number none-gptqq3g32 ppl) - 1; exit !(d < 1e-4 && d > -1e-4) }" ||
        fail "gptq has perplexity $(number none-gptqq3g32 ppl), and $(number tp2 ppl) on tp2"
    [ "$(find "$work/cache" -name '*.calibrated' | wc -l)" -eq 2 ] || fail "tp2 calibrated again"
fi

# --- multiple choice, and another file as the baseline
printf '%s\n' '{"context": "the act of", "choices": [" making something", " zx qj vv kq"], "answer": 0}' \
    '{"context": "a person who", "choices": ["))) ;; ((", " has a right to something"], "answer": 1}' > "$work/task.jsonl"
$llmsweep eval $model --task "$work/task.jsonl" --format q8g32 --json > "$work/task.json" 2> "$work/err" || fail "a task failed: $(cat "$work/err")"
[ "$(number task accuracy_normalised)" = 1.0 ] && [ "$(number task mcnemar_p_raw)" = 1.0 ] || fail "the task's verdict: $(cat "$work/task.json")"
cp $model "$work/copy.gguf"
$llmsweep eval $model --tokens 2048 --baseline "$work/copy.gguf" --json > "$work/same.json" 2> "$work/err" || fail "a file as baseline failed: $(cat "$work/err")"
awk "BEGIN { exit !($(number same kld) < 1e-6 && $(number same top1) == 1 && $(number same dlnppl) == 0) }" || fail "a model is not its copy: $(cat "$work/same.json")"

# --- refusals: one line, exit code 2
refuse() { # what the line must say, then the arguments
    local expected=$1
    shift
    $llmsweep "$@" > "$work/out" 2> "$work/err"
    [ $? -eq 2 ] || fail "exit code is not 2: llmsweep $*"
    head -n 1 "$work/err" | grep -q "$expected" || fail "llmsweep $*: '$(head -n 1 "$work/err")' does not say '$expected'"
    [ ! -s "$work/out" ] || fail "llmsweep $* wrote to stdout"
}
refuse "unknown format 'q9'" generate $model -p a --format q9
refuse "needs 2 ranks" generate $model -p a --layout tp2
refuse "exceed the model's context" generate $model -p a -n 100000
refuse "no-such.gguf" eval no-such.gguf
refuse "dimensions only" eval "$(ls bench/models/shapes/*0.5b*.ini | head -n 1)"
refuse "names one model" eval
refuse "not both" eval $model --task wordnet --text README.md
refuse "no-such.jsonl" eval $model --task no-such.jsonl
refuse "unknown format 'q9'" eval $model --baseline q9
refuse "takes a ratio or n:m" eval $model --prune wanda:b16x4:50%
echo "too short" > "$work/short.txt"
refuse "short.txt" eval $model --text "$work/short.txt"
exit $status
