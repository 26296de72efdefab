// SPDX-License-Identifier: MIT
// Multiple choice: the model reads a context and each of its possible continuations, and takes the likeliest.
//
// A task is a JSONL file, one item a line: {"context": "…", "choices": ["…", "…"], "answer": 0}. A choice is appended to the context as
// it stands, with its own space in front where there is one. The score of a choice is Σ ln p of its tokens (raw), and that over its
// length in bytes (normalised: Gao et al., the Language Model Evaluation Harness's acc_norm).
#ifndef LLMSWEEP_CHOICE_H
#define LLMSWEEP_CHOICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/model/engine.h"

struct tokenizer;

struct choice_item {
    char *context;
    char **choices; // (count)
    int count, answer;
};
struct choice_task {
    struct choice_item *items; // (count)
    size_t count;
    char name[64];
};

// -EINVAL with "file:line: what is wrong", -ENOENT, -ENOMEM.
int choice_task_read(struct choice_task *task, const char *path, char *error, size_t error_size);
// Made from WordNet's nouns whose glosses the embedded model was not trained on, always the same: "wordnet" asks for the word that a
// gloss explains among four, "wordnet-endings" for the second half of a gloss among those of four. -EINVAL for another name.
int choice_task_wordnet(struct choice_task *task, const char *name, size_t items, char *error, size_t error_size);
void choice_task_free(struct choice_task *task);

// One bit an item: whether the likeliest choice is the answer.
struct choice_verdicts {
    size_t count;
    bool *raw, *normalised; // (count)
};
// Scores all items through the engine, whose max_context is `positions`, `batch` continuations at a time (a multiple of the replicas).
// bos: put before each context; −1: none. Collective; every rank gets the same. -EINVAL (an item that is longer, or whose context is
// empty without a BOS), -ENOMEM, -EDOM when a logit is not finite. verdicts: choice_verdicts_free.
int choice_measure(struct engine *engine, const struct tokenizer *tokenizer, int bos, int positions, int batch,
                   const struct choice_task *task, struct choice_verdicts *verdicts, char *error, size_t error_size);
void choice_verdicts_free(struct choice_verdicts *verdicts);

// Accuracy with its standard error √(p(1−p)/(n−1)).
void choice_accuracy(const bool *right, size_t count, double *accuracy, double *standard_error);
// McNemar 1947, exact: of the items that only one of two models got right, how unlikely so uneven a split is if both are equally good
// (two-sided binomial). lost: right at first and wrong now; won: the other way round.
struct choice_comparison {
    size_t lost, won;
    double p;
};
void choice_compare(const bool *before, const bool *after, size_t count, struct choice_comparison *comparison);

#endif
