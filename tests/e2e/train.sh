#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# llmsweep train: a small model from a small text, interrupted and gone on with; bad input is one line and exit code 2.
set -u
program=${BUILD:-build}/llmsweep
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
status=0
wrong() { echo "train.sh: $1"; status=1; }
export OMP_NUM_THREADS=1 # on this size threads only wait for each other

for i in $(seq 600); do
    printf 'the %s %s the %s\n\n' "$(shuf -n1 -e cat dog owl fox --random-source=<(yes $i))" \
        "$(shuf -n1 -e sees hears follows --random-source=<(yes $((i / 3))))" \
        "$(shuf -n1 -e hill river house road --random-source=<(yes $((i / 7))))"
done > "$scratch/text"
cat > "$scratch/spec.ini" << SPEC
[model]
name = tiny
vocab = 300
d_model = 32
layers = 2
heads = 4
kv_heads = 2
head_dim = 8
ffn = 64
context = 64
tied_embeddings = yes
[text]
text = $scratch/text
[training]
sequences = 2
length = 32
epochs = 30
learning_rate = 3e-3
warmup = 20
evaluate_every = 50
evaluate_windows = 2
[output]
output = $scratch/tiny.gguf
curve = $scratch/curve.csv
checkpoint = $scratch/checkpoint
SPEC

# Stopped by Ctrl-C it leaves a checkpoint and says how to go on; then it goes on and finishes. (Background jobs of a
# shell ignore SIGINT, so env makes it deadly again.)
env --default-signal=INT "$program" train "$scratch/spec.ini" > "$scratch/out" 2> "$scratch/err" &
trainer=$!
for _ in $(seq 300); do
    [ -s "$scratch/checkpoint" ] && break
    sleep 0.05
done
kill -INT $trainer 2> "$scratch/kill"
wait $trainer
code=$?
if [ -s "$scratch/tiny.gguf" ]; then
    echo "train.sh: finished before it could be stopped"
else
    [ $code -eq 3 ] || wrong "exit $code after Ctrl-C"
    grep -q 'go on with --resume' "$scratch/err" || wrong "Ctrl-C does not say how to go on: $(tail -n 1 "$scratch/err")"
    "$program" train "$scratch/spec.ini" --resume > "$scratch/out" 2> "$scratch/err" || wrong "exit $? with --resume: $(tail -n 1 "$scratch/err")"
fi
[ "$(cat "$scratch/out")" = "$scratch/tiny.gguf" ] || wrong "stdout does not name the model: $(cat "$scratch/out")"
[ "$(head -c 4 "$scratch/tiny.gguf")" = GGUF ] || wrong "no GGUF file was written"
[ ! -e "$scratch/checkpoint" ] || wrong "the checkpoint of a finished training is left behind"
awk -F, 'NR == 2 { first = $8 } END { exit !(NR > 3 && $8 < first && $8 > 1) }' "$scratch/curve.csv" ||
    wrong "held-out perplexity does not fall: $(cut -d, -f1,8 "$scratch/curve.csv" | tr '\n' ' ')"
cut -d, -f1 "$scratch/curve.csv" | tail -n +2 | sort -nuc || wrong "the curve's steps are not in order, each once"

refused() { # what stderr has to name, arguments
    local name=$1
    shift
    "$program" train "$@" > "$scratch/out" 2> "$scratch/err"
    local code=$?
    [ $code -eq 2 ] || wrong "train $*: exit $code instead of 2"
    [ ! -s "$scratch/out" ] || wrong "train $*: something on stdout"
    grep -qF -e "$name" "$scratch/err" || wrong "train $*: does not say '$name' but '$(cat "$scratch/err")'"
}
printf 'a\0b' > "$scratch/binary"
: > "$scratch/empty"
sed 's/^epochs/epoch/' "$scratch/spec.ini" > "$scratch/typo.ini"
sed 's/^kv_heads.*/kv_heads = 3/' "$scratch/spec.ini" > "$scratch/heads.ini"
refused 'usage'
refused '--frobnicate' "$scratch/spec.ini" --frobnicate
refused "$scratch/none.ini" "$scratch/none.ini"
refused "typo.ini:17: unknown key 'epoch'" "$scratch/typo.ini"
refused 'kv_heads' "$scratch/heads.ini"
refused 'NUL' "$scratch/spec.ini" --text "$scratch/binary"
refused 'empty' "$scratch/spec.ini" --text "$scratch/empty"
refused "$scratch/none" "$scratch/spec.ini" --text "$scratch/none"
refused 'no checkpoint' "$scratch/spec.ini" --resume
exit $status
