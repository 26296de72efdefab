// SPDX-License-Identifier: MIT
// llmsweep: the command line.
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/commands/commands.h"
#include "harness/settings.h"
#include "kernels/kernel.h"

static const struct command commands[] = {
    {"run", "SPEC [-o DIR] [--resume] [--set KEY=VALUE] [--report]", "run a sweep and record it", command_run},
    {"plan", "SPEC [--json] [--set KEY=VALUE]", "list a sweep's cells, and what they will take", command_plan},
    {"report", "RUN…", "write a run's report", command_report},
    {"compare", "A B [C…] [--by KEYS] [--format FORM]", "put stored runs side by side, cell by cell", command_compare},
    {"gate", "--base REV|DIR [--head REV|DIR] [--spec SPEC]", "judge a change by pairs of runs: slower, worse, broken?", command_gate},
    {"export", "RUN… --format FORM [-o FILE]", "write a run for other programs", command_export},
    {"history", "add RUN… | show [--file FILE] [--format FORM]", "speeds over time, and where they changed", command_history},
    {"eval", "MODEL [--text FILE] [--format W] [--prune W] [--json]", "say how good a model is, and what compression costs it",
     command_eval},
    {"generate", "MODEL -p TEXT [-n TOKENS] [--format W] [--layout W]", "continue a text", command_generate},
    {"export-model", "MODEL -o FILE.gguf [--format W] [--prune W] [--type T]", "write a pruned or quantized model as GGUF",
     command_export_model},
    {"kernels", "[--list | --check | --bench] [--filter GLOB] [--csv F]", "list, check or time single kernels", command_kernels},
    {"peers", "[--llama-bench PATH] [--threads LIST] [--json]", "time OpenBLAS, oneDNN and llama.cpp beside ours", command_peers},
    {"roof", "[--threads N] [--json]", "measure what the machine could do at best", command_roof},
    {"topo", "[--json] [--xml FILE | --synthetic DESCRIPTION]", "describe the machine", command_topo},
    {"train", "SPEC", "train a model", command_train},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static void print_help(FILE *out) {
    fprintf(out, "llmsweep %s: what pruning, quantization, batching and a parallel layout each buy on this machine, and at what cost\n"
                 "\nusage: llmsweep COMMAND [arguments]     (llmsweep COMMAND --help says more)\n\n",
            LLMSWEEP_VERSION);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-12s %s\n  %-12s   %s\n", commands[i].name, commands[i].help, "", commands[i].arguments);
    fprintf(out, "\nexample: llmsweep run bench/specs/default.ini --report\n"
                 "exit codes: 0 done, 1 a verdict against you, 2 wrong usage or input, 3 the harness itself failed\n");
}

// The instruction set that LLMSWEEP_ISA allows. False for a word that is none.
static bool lower_isa(void) {
    const char *word = getenv("LLMSWEEP_ISA");
    enum isa isa;
    if (!word || !*word)
        return true;
    if (isa_parse(word, &isa)) {
        fprintf(stderr, "llmsweep: LLMSWEEP_ISA: unknown instruction set '%s' (known: " ISA_WORDS ")\n", word);
        return false;
    }
    isa_ceiling(isa);
    return true;
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "--help";
    if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
        print_help(argc > 1 ? stdout : stderr);
        return argc > 1 ? 0 : 2;
    }
    if (!strcmp(name, "--version")) {
        printf("llmsweep %s\n", LLMSWEEP_VERSION);
        return 0;
    }
    if (!lower_isa())
        return 2;
    // Matrices on their way to be packed come from the system and go back to it, always: among packed ones in the heap they would leave holes.
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    mallopt(M_TRIM_THRESHOLD, 4 << 20);
    // Started by the driver only, so it is not in the list.
    if (!strcmp(name, "worker"))
        return command_worker(argc - 1, argv + 1);
    for (size_t i = 0; i < COMMANDS; i++)
        if (!strcmp(name, commands[i].name))
            return commands[i].run(argc - 1, argv + 1);
    const char *known[COMMANDS];
    for (size_t i = 0; i < COMMANDS; i++)
        known[i] = commands[i].name;
    char reason[400];
    word_unknown("command", name, known, COMMANDS, reason, sizeof reason);
    fprintf(stderr, "llmsweep: %s\n", reason);
    return 2;
}
