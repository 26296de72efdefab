// SPDX-License-Identifier: MIT
#include "bench/gate/witness.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bench/compare/document.h"
#include "bench/gate/callgrind.h"
#include "bench/gate/gate.h"
#include "harness/clock.h"
#include "harness/records.h"

enum arm { ARM_BASE, ARM_HEAD, ARM_AGAIN, ARMS };
enum { PROCESS_SECONDS = 1800, SHOWN = 12 };
static const char *const arm_names[ARMS] = {"base", "head", "again"};
// A file that executes less than this share of all instructions is not judged: it does its work by the length of what
// it reads and prints.
static const double SHARE = 0.001;

int witness_available(const struct gate_options *options, char *error, size_t error_size) {
    char log[4200], said[4600];
    char *words[] = {"valgrind", "--version", NULL};
    snprintf(log, sizeof log, "%s/valgrind.log", options->folder);
    int result = gate_command(options, words, log, 60, said, sizeof said);
    if (result && result != -EINTR) {
        snprintf(
            error, error_size,
            "--witness needs valgrind, which is not installed or does not run (scripts/setup.sh --test installs it)");
        result = -EINVAL;
    }
    return result;
}

// ---------------------------------------------------------------------------------------------------------------------
// Counting

struct tally {
    char folder[40], file[100], function[120];
    uint64_t count[ARMS];
};
struct tallies {
    struct tally *of;
    size_t count;
    size_t cells[ARMS]; // that ran
};

static int take_profile(struct tallies *tallies, const struct callgrind_profile *profile, enum arm arm) {
    struct tally *grown = realloc(tallies->of, (tallies->count + profile->count + 1) * sizeof *grown);
    if (!grown)
        return -ENOMEM;
    tallies->of = grown;
    for (size_t i = 0; i < profile->count; i++) {
        const struct callgrind_count *from = &profile->counts[i];
        // The harness waits for time to pass; libraries are not what a commit changes.
        if (strcmp(from->folder, "kernels") && strcmp(from->folder, "bench"))
            continue;
        struct tally *tally = &tallies->of[tallies->count++];
        *tally = (struct tally){.file = ""};
        tally->count[arm] = from->instructions;
        memcpy(tally->folder, from->folder, sizeof tally->folder);
        memcpy(tally->file, from->file, sizeof tally->file);
        memcpy(tally->function, from->function, sizeof tally->function);
    }
    return 0;
}

// A run is a driver and its workers, each with a file; it is the workers that compute.
static int take_files(struct tallies *tallies, const char *folder, const char *program, enum arm arm, char *error,
                      size_t error_size) {
    struct symbols symbols;
    DIR *list = NULL;
    size_t workers = 0;
    int result = symbols_read(program, &symbols, error, error_size);
    if (!result && !(list = opendir(folder))) {
        result = -errno;
        snprintf(error, error_size, "%s: %s", folder, strerror(-result));
    }
    for (struct dirent *entry; !result && (entry = readdir(list));) {
        char path[4600];
        struct callgrind_profile profile = {0};
        if (*entry->d_name == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        result = callgrind_read(path, &symbols, &profile, error, error_size);
        const char *last = profile.command ? strrchr(profile.command, ' ') : NULL;
        if (!result && last && !strcmp(last, " worker")) {
            workers++;
            result = take_profile(tallies, &profile, arm);
        }
        callgrind_free(&profile);
    }
    if (list)
        closedir(list);
    symbols_free(&symbols);
    if (!result && !workers) {
        snprintf(error, error_size, "%s: callgrind wrote nothing of a worker", folder);
        result = -EIO;
    }
    return result;
}

// Fewer cells execute fewer instructions: all must have run what base ran.
static int check_cells(struct tallies *tallies, const char *run, enum arm arm, char *error, size_t error_size) {
    struct report_run ran;
    int result = report_run_load(run, &ran, error, error_size);
    for (size_t i = 0; i < ran.cell_count && !result; i++)
        tallies->cells[arm] += ran.cells[i].timed;
    report_run_free(&ran);
    if (!result && (!tallies->cells[arm] || tallies->cells[arm] != tallies->cells[ARM_BASE])) {
        snprintf(
            error, error_size,
            "%s: %zu cells ran, and %zu of base: their instructions cannot be compared (its cells.csv has the reasons)",
            run, tallies->cells[arm], tallies->cells[ARM_BASE]);
        result = -EIO;
    }
    return result;
}

// The sampling by count, not by time: one sample after one of warm-up, so that every process does the same.
static int count(const struct gate_options *options, const char *program, enum arm arm, struct tallies *tallies,
                 char *error, size_t error_size) {
    enum { WORDS = 128 };
    static const char *const sets[] = {"rounds=1",      "min_samples=1",    "max_samples=1", "warmup_min=1",
                                       "warmup_max=1",  "quality_tokens=0", "roof_time=0",   "counters=none",
                                       "timeout=3600s", "layout=t1",        "seed=1"};
    char counts[4200], run[4200], log[4200], to[4300];
    char *words[WORDS] = {"env",
                          "LLMSWEEP_ISA=avx2",
                          "OMP_NUM_THREADS=1",
                          "OPENBLAS_CORETYPE=Haswell",
                          "ONEDNN_MAX_CPU_ISA=AVX2",
                          "GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-ERMS,-FSRM",
                          "valgrind",
                          "-q",
                          "--tool=callgrind",
                          "--trace-children=yes",
                          "--dump-instr=yes",
                          to,
                          (char *)program,
                          "run",
                          (char *)options->witness_spec,
                          "-o",
                          run,
                          "--quiet"};
    size_t used = 0;
    snprintf(counts, sizeof counts, "%s/witness/%s.counts", options->folder, arm_names[arm]);
    snprintf(run, sizeof run, "%s/witness/%s", options->folder, arm_names[arm]);
    snprintf(log, sizeof log, "%s/witness/%s.log", options->folder, arm_names[arm]);
    snprintf(to, sizeof to, "--callgrind-out-file=%s/%%p", counts);
    while (words[used])
        used++;
    for (size_t i = 0; i < options->override_count + sizeof sets / sizeof *sets; i++) {
        if (used + 3 > WORDS) {
            snprintf(error, error_size, "too many settings");
            return -EINVAL;
        }
        words[used++] = "--set";
        words[used++] =
            (char *)(i < options->override_count ? options->overrides[i] : sets[i - options->override_count]);
    }
    folder_remove(counts);
    folder_remove(run);
    if (mkdir(counts, 0777)) {
        int code = -errno;
        snprintf(error, error_size, "%s: %s", counts, strerror(-code));
        return code;
    }
    if (options->messages)
        fprintf(options->messages, "counting the instructions of %s\n",
                arm == ARM_AGAIN ? "base again" : arm_names[arm]);
    int result = gate_command(options, words, log, PROCESS_SECONDS, error, error_size);
    if (!result)
        result = check_cells(tallies, run, arm, error, error_size);
    if (!result)
        result = take_files(tallies, counts, program, arm, error, error_size);
    return result;
}

// ---------------------------------------------------------------------------------------------------------------------
// Judging

static int by_place(const void *a, const void *b) {
    const struct tally *x = a, *y = b;
    int order = strcmp(x->folder, y->folder);
    if (!order)
        order = strcmp(x->file, y->file);
    return order ? order : strcmp(x->function, y->function);
}

static int by_added(const void *a, const void *b) {
    const struct witness_row *x = a, *y = b;
    int64_t p = (int64_t)(x->head - x->base), q = (int64_t)(y->head - y->base);
    return p != q ? (p < q ? 1 : -1) : strcmp(x->file, y->file);
}

static void add_row(struct witness_row *to, const struct witness_row *from) {
    to->base += from->base;
    to->head += from->head;
    to->again += from->again;
}

static void judge(const struct gate_options *options, uint64_t all, struct witness_row *row) {
    row->change = row->base ? (double)row->head / (double)row->base - 1 : NAN;
    row->noise = row->base ? fabs((double)row->again / (double)row->base - 1) : NAN;
    bool counts = (double)(row->base > row->head ? row->base : row->head) >= SHARE * (double)all;
    double least = fmax(options->witness_limit, 3 * row->noise);
    row->rose = counts && (row->base ? row->change >= least : row->head > 0);
    row->fell = counts && row->base && row->change <= -least;
}

// Rows of files out of those of functions.
static int make_rows(const struct gate_options *options, struct tallies *tallies, struct witness *witness) {
    struct witness_row *rows = calloc(tallies->count + 2, sizeof *rows);
    if (!rows)
        return -ENOMEM;
    witness->rows = rows;
    witness->row_count = 1;
    if (tallies->count)
        qsort(tallies->of, tallies->count, sizeof *tallies->of, by_place);
    int64_t most = 0;
    for (size_t i = 0, next; i < tallies->count; i = next) {
        const struct tally *first = &tallies->of[i];
        struct witness_row function = {.base = 0}, *row = &rows[witness->row_count - 1];
        for (next = i; next < tallies->count && !by_place(first, &tallies->of[next]); next++)
            add_row(&function, &(struct witness_row){.base = tallies->of[next].count[ARM_BASE],
                                                     .head = tallies->of[next].count[ARM_HEAD],
                                                     .again = tallies->of[next].count[ARM_AGAIN]});
        if (witness->row_count == 1 || strcmp(row->file, first->file) || strcmp(row->folder, first->folder)) {
            row = &rows[witness->row_count++];
            memcpy(row->folder, first->folder, sizeof row->folder);
            memcpy(row->file, first->file, sizeof row->file);
            most = -1;
        }
        int64_t change = llabs((int64_t)(function.head - function.base));
        if (change > most) {
            most = change;
            memcpy(row->function, first->function, sizeof row->function);
        }
        add_row(row, &function);
        add_row(&rows[0], &function);
    }
    for (size_t r = 0; r < witness->row_count; r++) {
        judge(options, rows[0].base, &rows[r]);
        witness->rose += r && rows[r].rose;
        witness->fell += r && rows[r].fell;
    }
    qsort(rows + 1, witness->row_count - 1, sizeof *rows, by_added);
    return 0;
}

int witness_run(const struct gate_options *options, char *const programs[2], struct witness *witness, char *error,
                size_t error_size) {
    struct tallies tallies = {0};
    char folder[4200];
    *witness = (struct witness){0};
    uint64_t start = clock_now();
    snprintf(folder, sizeof folder, "%s/witness", options->folder);
    int result = mkdir(folder, 0777) && errno != EEXIST ? -errno : 0;
    if (result)
        snprintf(error, error_size, "%s: %s", folder, strerror(-result));
    for (int arm = 0; arm < ARMS && !result; arm++)
        result = count(options, programs[arm == ARM_HEAD], (enum arm)arm, &tallies, error, error_size);
    if (!result && (result = make_rows(options, &tallies, witness)))
        snprintf(error, error_size, "not enough memory");
    if (!result && !witness->rows[0].base) {
        snprintf(error, error_size, "%s: callgrind knows no source file of this project; was it built without -g?",
                 folder);
        result = -EINVAL;
    }
    free(tallies.of);
    witness->seconds = clock_seconds(start, clock_now());
    return result;
}

void witness_free(struct witness *witness) {
    free(witness->rows);
    *witness = (struct witness){0};
}

// ---------------------------------------------------------------------------------------------------------------------
// Writing

// A kernel by its name, which is that of its file.
static void name_row(const struct witness_row *row, char *text, size_t size) {
    bool kernel = !strcmp(row->folder, "kernels");
    snprintf(text, size, "%s%.*s", kernel ? "kernel " : "",
             (int)(strlen(row->file) - (kernel && strlen(row->file) > 2 ? 2 : 0)), row->file);
}

void witness_write(const struct gate_options *options, const struct witness *witness, struct document *document) {
    static const char *const names[] = {"kernel or file", "function", "base", "head", "change", "verdict"};
    size_t shown = 0;
    if (!witness->row_count)
        return;
    document_heading(document, 3, "Instructions");
    document_paragraph(document,
                       "Counted by callgrind with AVX2 on one thread (%s, %.0f s): %.4g in base, %.4g in head. %zu of "
                       "%zu files execute at least %.3g%% more, %zu as "
                       "much less. Instructions say nothing about memory, and some are slower than others: a rise is a "
                       "hint and makes no regression by itself.",
                       options->witness_spec, witness->seconds, (double)witness->rows[0].base,
                       (double)witness->rows[0].head, witness->rose, witness->row_count - 1,
                       options->witness_limit * 100, witness->fell);
    if (!witness->rose && !witness->fell)
        return;
    document_table(document, 6, names, 1u << 2 | 1u << 3 | 1u << 4);
    for (size_t r = 1; r < witness->row_count && shown < SHOWN; r++) {
        const struct witness_row *row = &witness->rows[r];
        char name[180], base[32], head[32], change[32];
        if (!row->rose && !row->fell)
            continue;
        name_row(row, name, sizeof name);
        snprintf(base, sizeof base, "%.6g", (double)row->base);
        snprintf(head, sizeof head, "%.6g", (double)row->head);
        snprintf(change, sizeof change, row->base ? "%+.2f%%" : "new", row->change * 100);
        document_row(document, (const char *[]){name, row->function, base, head, change, row->rose ? "more" : "less"});
        shown++;
    }
    if (shown < witness->rose + witness->fell)
        document_paragraph(document, "%zu more are in gate.json.", witness->rose + witness->fell - shown);
}

json_t *witness_json(const struct witness *witness) {
    json_t *rows = json_array();
    for (size_t r = 0; r < witness->row_count; r++) {
        const struct witness_row *row = &witness->rows[r];
        json_array_append_new(rows,
                              json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:o, s:o, s:b, s:b}", "folder", row->folder,
                                        "file", row->file, "function", row->function, "base", (json_int_t)row->base,
                                        "head", (json_int_t)row->head, "again", (json_int_t)row->again, "change",
                                        isfinite(row->change) ? json_real(row->change) : json_null(), "noise",
                                        isfinite(row->noise) ? json_real(row->noise) : json_null(), "rose", row->rose,
                                        "fell", row->fell));
    }
    return json_pack("{s:i, s:i, s:f, s:o}", "rose", (int)witness->rose, "fell", (int)witness->fell, "seconds",
                     witness->seconds, "files", rows);
}
