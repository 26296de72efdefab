#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A stored run in every form that it can be written in, read back: by the program that the form is for where it is installed (Google Benchmark's
# compare.py, Otava, junitparser), and against its documented fields everywhere. LLMSWEEP_PYTHON names another Python that has them.
set -u
program=$PWD/${BUILD:-build}/llmsweep
python=${LLMSWEEP_PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0
wrong() { echo "wrong: $*"; status=1; }

run=tests/golden/run
for form in llama-bench-csv llama-bench-jsonl google-benchmark github-action-benchmark-bigger github-action-benchmark-smaller bencher otava junit markdown; do
    "$program" export $run --format $form -o "$work/$form" 2> "$work/said" || wrong "$form: $(cat "$work/said")"
    "$program" export $run --format $form 2> /dev/null | cmp -s - "$work/$form" || wrong "$form: standard output differs from -o"
done

python3 - "$work" $run << 'END' || status=1
import csv, json, math, statistics, sys, xml.etree.ElementTree as tree
work, run = sys.argv[1:]
cells = {row['cell']: row for row in csv.DictReader(open(run + '/cells.csv'))}
timed = [c for c in cells.values() if c['status'] in ('ok', 'noisy')]
samples = {}
for row in csv.DictReader(open(run + '/samples.csv')):
    if row['cell'] in cells and cells[row['cell']] in timed:
        samples.setdefault((row['cell'], row['phase']), []).append(int(row['ns']))
bad = 0
def expect(what, found, wanted):
    global bad
    if found != wanted:
        print(f'wrong: {what}: {found!r} instead of {wanted!r}')
        bad += 1
def load(name):
    def refuse(word): raise ValueError(f'{name} holds a bare {word}')
    return json.load(open(f'{work}/{name}'), parse_constant=refuse)

# llama-bench: both forms say the same, in its columns
columns = ('build_commit build_number cpu_info gpu_info backends model_filename model_type model_size model_n_params n_batch n_ubatch n_threads cpu_mask '
           'cpu_strict poll type_k type_v n_gpu_layers split_mode main_gpu no_kv_offload flash_attn devices tensor_split tensor_buft_overrides use_mmap '
           'embeddings no_op_offload n_prompt n_gen n_depth test_time avg_ns stddev_ns avg_ts stddev_ts').split()
table = list(csv.DictReader(open(work + '/llama-bench-csv')))
lines = [json.loads(line) for line in open(work + '/llama-bench-jsonl')]
enough = [key for key, ns in samples.items() if len(ns) >= 2]
expect('llama-bench columns', list(table[0]), columns)
expect('llama-bench rows', len(table), len(enough))
expect('JSONL rows', len(lines), len(enough))
for row, line in zip(table, lines):
    expect('avg_ns', int(row['avg_ns']), line['avg_ns'])
    expect('mean of samples_ns', abs(statistics.fmean(line['samples_ns']) - line['avg_ns']) <= 1, True)
    expect('mean of samples_ts', math.isclose(statistics.fmean(line['samples_ts']), line['avg_ts'], rel_tol=1e-6), True)
    expect('one of n_prompt and n_gen', (line['n_prompt'] > 0) + (line['n_gen'] > 0), 1)

# Google Benchmark: an iteration row for every sample
google = load('google-benchmark')
expect('schema', google['context']['json_schema_version'], 1)
expect('iterations', len(google['benchmarks']), sum(map(len, samples.values())))
for row in google['benchmarks']:
    expect('run_type', row['run_type'], 'iteration')
names = {row['name'] for row in google['benchmarks']}
expect('names are told apart', len(names), len(samples))

# github-action-benchmark, Bencher
for name in 'bigger', 'smaller':
    entries = load('github-action-benchmark-' + name)
    expect('fields', all({'name', 'unit', 'value'} <= set(e) and isinstance(e['value'], (int, float)) for e in entries), True)
    expect('names are told apart', len({e['name'] for e in entries}), len(entries))
bencher = load('bencher')
expect('benchmarks', len(bencher), 2 * len(timed))
for measures in bencher.values():
    for measure in measures.values():
        expect('bounds', measure.get('lower_value', -1e300) <= measure['value'] <= measure.get('upper_value', 1e300), True)
by_rate = sorted(m['throughput']['value'] for n, m in bencher.items() if n.startswith('decode/'))
expect('decode speeds', by_rate, sorted(float(c['decode_tps']) for c in timed if c['decode_tps']))

# Otava, JUnit
otava = list(csv.reader(open(work + '/otava')))
expect('rows of one run', len(otava), 2)
expect('metrics', len(otava[0]), 3 + 2 * len(timed))
expect('no name twice', len(set(otava[0])), len(otava[0]))
junit = tree.parse(work + '/junit').getroot()
expect('test cases', len(junit.findall('.//testcase')), len(cells))
expect('declared', sum(int(s.get('tests')) for s in junit), len(cells))
for status, tag in (('failed', 'failure'), ('skipped', 'skipped')):
    wanted = sum(c['status'] == status or (status == 'skipped' and c['status'] == 'unsupported') for c in cells.values())
    expect(tag, len(junit.findall('.//' + tag)), wanted)
sys.exit(bad > 0)
END
[ "$(grep -c '^| ' "$work/markdown")" -gt 3 ] || wrong "no table in the Markdown"

# The programs themselves
compare=$(ls /usr/share/benchmark/compare.py 2> /dev/null)
if [ -n "$compare" ] && "$python" -c 'import scipy' 2> /dev/null; then
    "$python" "$compare" --no-color benchmarks "$work/google-benchmark" "$work/google-benchmark" > "$work/compared" 2>&1 || wrong "compare.py: $(tail -1 "$work/compared")"
    grep -q 'U Test' "$work/compared" || wrong "compare.py does not test the samples"
else
    echo "compare.py or scipy is not installed: Google Benchmark's form was checked by its fields only"
fi
if "$python" -c 'import junitparser' 2> /dev/null; then
    "$python" -c 'import sys, junitparser; suites = junitparser.JUnitXml.fromfile(sys.argv[1]); sys.exit(sum(1 for s in suites for c in s) == 0)' "$work/junit" || wrong "junitparser finds no case"
else
    echo "junitparser is not installed: JUnit's form was checked as XML only"
fi
otava=$(dirname "$(command -v "$python")")/otava
if [ -x "$otava" ]; then
    # 40 runs, of which the later 20 are a tenth slower.
    for i in $(seq 40); do
        mkdir "$work/run$i" && cp $run/*.csv $run/run.json "$work/run$i"
        sed -i -E "s/\"started\": \"[^\"]*\"/\"started\": \"2026-01-$(printf %02d $(((i - 1) / 2 + 1)))T$(printf %02d $((i % 2 * 12))):00:00Z\"/; s/\"commit\": \"[^\"]*\"/\"commit\": \"c$i\"/" "$work/run$i/run.json"
        awk -F, -v OFS=, -v i="$i" 'NR == 1 {for (c = 1; c <= NF; c++) if ($c == "decode_tps") at = c} NR > 1 && $at != "" {$at *= (i > 20 ? 0.9 : 1) * (1 + (i * 7 % 5 - 2) / 500)} {print}' \
            $run/cells.csv > "$work/run$i/cells.csv"
    done
    "$program" export $(seq -f "$work/run%g" 40) --format otava -o "$work/series.csv" || wrong "40 runs for Otava"
    column=$(head -1 "$work/series.csv" | tr ',' '\n' | grep -m1 '^decode/')
    cat > "$work/otava.yaml" << END
tests:
  series:
    type: csv
    file: $work/series.csv
    time_column: time
    attributes: [commit, machine]
    metrics:
      speed:
        column: "$column"
        direction: 1
END
    OTAVA_CONFIG="$work/otava.yaml" "$otava" analyze series --since 2026-01-01 > "$work/analysis" 2>&1 || wrong "Otava: $(tail -1 "$work/analysis")"
    grep -q -- '-10' "$work/analysis" || wrong "Otava does not find the step: $(tail -5 "$work/analysis")"
else
    echo "Otava is not installed: its form was checked as CSV only"
fi

# Bad input
expect2() {
    local expected=$1
    shift
    "$program" export "$@" > "$work/out" 2> "$work/said"
    local code=$?
    [ $code -eq 2 ] || wrong "exit $code instead of 2: $*"
    [ ! -s "$work/out" ] || wrong "something on standard output: $*"
    grep -q "$expected" "$work/said" || wrong "no '$expected' in: $(cat "$work/said")"
}
expect2 'no such file' "$work/none" --format junit
expect2 "did you mean 'junit'" $run --format juni
expect2 'takes one run' $run $run --format junit
expect2 '\-\-format is missing' $run
exit $status
