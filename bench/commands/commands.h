// SPDX-License-Identifier: MIT
// The commands of the program, one file each in this folder. Each gets argv from its own name on, prints its results to stdout and its
// complaints to stderr ("llmsweep: what: where: cure"), and returns the exit code: 0 done, 1 a verdict against you, 2 wrong usage or
// input, 3 the harness itself failed.
#ifndef LLMSWEEP_COMMANDS_H
#define LLMSWEEP_COMMANDS_H

#include <stdbool.h>

// A row that main.c lists and dispatches on.
struct command {
    const char *name, *arguments, *help;
    int (*run)(int argc, char **argv);
};

int command_plan(int argc, char **argv);
int command_run(int argc, char **argv);
int command_worker(int argc, char **argv);
int command_report(int argc, char **argv);
int command_compare(int argc, char **argv);
int command_gate(int argc, char **argv);
int command_export(int argc, char **argv);
int command_history(int argc, char **argv);
int command_eval(int argc, char **argv);
int command_export_model(int argc, char **argv);
int command_generate(int argc, char **argv);
int command_kernels(int argc, char **argv);
int command_peers(int argc, char **argv);
int command_roof(int argc, char **argv);
int command_topo(int argc, char **argv);
int command_train(int argc, char **argv);

// numbers.c: whether an option's text is a whole number in [lowest, highest], and that number.
bool command_number(const char *text, int lowest, int highest, int *value);

#define LLMSWEEP_VERSION "0.1.0"

#endif
