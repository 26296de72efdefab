#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# generate and eval from the command line: the same text again for a seed, whole UTF-8, and one clear line for models and texts that are none.
set -u
program=${BUILD:-build}/llmsweep
model=bench/models/embedded.gguf
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
status=0

wrong() { echo "generate.sh: $*"; head -3 "$scratch/err"; status=1; }
expect() { # exit code, pattern of the one line that names the trouble, command…
    local code=$1 pattern=$2
    shift 2
    "$@" > "$scratch/out" 2> "$scratch/err" < /dev/null
    local got=$?
    [ $got -eq "$code" ] || wrong "exit $got instead of $code: $*"
    grep -qE "$pattern" "$scratch/err" || wrong "'$pattern' is not said: $*"
    [ "$(grep -c '^llmsweep' "$scratch/err")" -eq 1 ] || wrong "not one line: $*"
    [ ! -s "$scratch/out" ] || wrong "something on stdout: $*"
}

# The same seed, the same text; another, another; greedy is temperature 0; layouts by threads alone agree.
draw() { "$program" generate $model -p "a small animal" -n 24 "$@" 2> "$scratch/err"; }
[ "$(draw --temperature 1 --top-k 50 --top-p 0.95 --seed 7)" = "$(draw --temp 1 --top-k 50 --top-p 0.95 --seed 7)" ] || wrong "a seed does not repeat itself"
[ "$(draw --temperature 1 --seed 7)" != "$(draw --temperature 1 --seed 8)" ] || wrong "two seeds give one text"
[ "$(draw)" = "$(draw --temperature 1 --top-k 1 --seed 9)" ] || wrong "the likeliest token is not what top-k 1 draws"
[ "$(draw)" = "$(draw --threads 2)" ] || wrong "two threads say something else"
draw > "$scratch/out"
grep -qE '^prompt: [0-9]+ tokens, [0-9.]+ tokens/s   generated: [0-9]+ tokens, [0-9.]+ tokens/s' "$scratch/err" || wrong "no speeds on stderr"
for seed in 1 2 3; do # hot draws hit bytes that are no characters
    "$program" generate $model -p x -n 200 --temperature 5 --seed $seed 2> "$scratch/err" | iconv -f UTF-8 -t UTF-8 > /dev/null || wrong "the output is not UTF-8"
done

# Usage
expect 2 'generate: -p TEXT is missing' "$program" generate $model
expect 2 'temperature wants a number' "$program" generate $model -p x --temperature hot
expect 2 'threads wants a number' "$program" generate $model -p x --threads 0
expect 2 'no chat template; leave --chat out' "$program" generate $model -p x --chat
expect 2 '\-\-system goes with --chat' "$program" generate $model -p x --system y
expect 2 "exceed the model's context .*smaller -n" "$program" generate $model -p x -n 100000

# Models that are none
mkdir "$scratch/folder"
: > "$scratch/empty.gguf"
head -c 50000 $model > "$scratch/short.gguf"
printf '{"weights": 1}' > "$scratch/text.gguf"
printf 'GGUF\377\377\377\377' > "$scratch/version.gguf"
# a pre-tokenizer of another name, of the same length
sed 's/\(tokenizer.ggml.pre.\{12\}\)gpt-2/\1gpt-9/' $model > "$scratch/pre.gguf"
for name in missing empty short text version; do
    expect 2 "$name\.gguf" "$program" generate "$scratch/$name.gguf" -p x
    expect 2 "$name\.gguf" "$program" eval "$scratch/$name.gguf"
done
if cmp -s $model "$scratch/pre.gguf"; then wrong "the pre-tokenizer was not renamed"; fi
expect 2 "unknown pre-tokenizer 'gpt-9' \(known: gpt-2, smollm, llama-bpe" "$program" generate "$scratch/pre.gguf" -p x
expect 2 "$scratch/folder: " "$program" generate "$scratch/folder" -p x

# Texts that are none
: > "$scratch/empty.txt"
printf 'too short to fill a window\n' > "$scratch/short.txt"
head -c 100000 "$program" > "$scratch/binary.txt"
{ head -c 3000 README.md; printf '\303('; head -c 3000 README.md; } > "$scratch/latin.txt"
expect 2 'missing\.txt: .*No such file' "$program" eval $model --text "$scratch/missing.txt"
expect 2 "$scratch/folder: is a folder" "$program" eval $model --text "$scratch/folder"
for name in empty short binary latin; do
    expect 2 "$name\.txt" "$program" eval $model --text "$scratch/$name.txt"
done
exit $status
