#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The embedded model through somebody else's eyes: the Python package "gguf" must find the tensors and keys that we wrote.
set -u
cd "$(dirname "$0")/../.." || exit 1
python=${PYTHON:-python3}
if ! "$python" -c 'import gguf' 2>/dev/null; then
    echo "skipped: the Python package 'gguf' is not installed (PYTHON=… names an interpreter that has it)"
    exit 77
fi
"$python" - bench/models/embedded.gguf <<'PYTHON'
import sys
import gguf

reader = gguf.GGUFReader(sys.argv[1])
failed = False


def check(what, found, expected):
    global failed
    if found != expected:
        print(f"{what}: {found!r}, expected {expected!r}")
        failed = True


key = {name: field.contents() for name, field in reader.fields.items()}
check("architecture", key["general.architecture"], "llama")
check("block count", key["llama.block_count"], 6)
check("tokenizer", (key["tokenizer.ggml.model"], key["tokenizer.ggml.pre"]), ("gpt2", "gpt-2"))
tokens, merges = key["tokenizer.ggml.tokens"], key["tokenizer.ggml.merges"]
check("tokens", len(tokens), 4096)
check("different tokens", len(set(tokens)), 4096)
check("merges", len(merges), 4096 - 257)
check("merges that join two tokens into a third", sum(set(m.split(" ")) | {m.replace(" ", "")} <= set(tokens) for m in merges), len(merges))
check("last token", tokens[4095], "<|endoftext|>")
check("BOS and EOS", (key["tokenizer.ggml.bos_token_id"], key["tokenizer.ggml.eos_token_id"]), (4095, 4095))
shapes = {tensor.name: [int(n) for n in tensor.shape] for tensor in reader.tensors}
check("tensors", len(shapes), 56)
check("embedding", shapes.get("token_embd.weight"), [256, 4096])
check("down projection", shapes.get("blk.5.ffn_down.weight"), [768, 256])
check("weights", sum(int(tensor.n_elements) for tensor in reader.tensors), 5770496)
for tensor in reader.tensors:
    check(f"{tensor.name}'s type", tensor.tensor_type.name, "F32" if tensor.name.endswith("norm.weight") else "F16")
    check(f"{tensor.name} is finite", bool((abs(tensor.data) < 1000).all()), True)
sys.exit(failed)
PYTHON
