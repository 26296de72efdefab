// SPDX-License-Identifier: MIT
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/model/corpus.h"
#include "bench/quality/choice.h"

enum { LARGEST_CHOICES = 64 };

static void free_item(struct choice_item *item)
{
    free(item->context);
    for (int i = 0; item->choices != NULL && i < item->count; i++)
        free(item->choices[i]);
    free(item->choices);
}

void choice_task_free(struct choice_task *task)
{
    for (size_t i = 0; i < task->count; i++)
        free_item(&task->items[i]);
    free(task->items);
    *task = (struct choice_task){ 0 };
}

// Appends an item, which it takes over, also when it fails.
static int append(struct choice_task *task, struct choice_item *item)
{
    bool missing = item->context == NULL || item->choices == NULL;
    for (int i = 0; !missing && i < item->count; i++)
        missing = item->choices[i] == NULL;
    struct choice_item *grown = missing ? NULL : realloc(task->items, (task->count + 1) * sizeof(*grown));
    if (grown == NULL) {
        free_item(item);
        return -ENOMEM;
    }
    task->items = grown;
    grown[task->count++] = *item;
    return 0;
}

static int read_item(struct choice_task *task, const char *line, char *reason, size_t reason_size)
{
    json_error_t wrong;
    json_t *root = json_loads(line, 0, &wrong), *context = json_object_get(root, "context"), *choices = json_object_get(root, "choices"),
           *answer = json_object_get(root, "answer");
    int status = -EINVAL;
    const size_t count = json_array_size(choices);
    bool texts = true;
    for (size_t i = 0; i < count; i++)
        texts = texts && json_string_length(json_array_get(choices, i)) > 0;
    if (root == NULL)
        snprintf(reason, reason_size, "%s", wrong.text);
    else if (!json_is_string(context))
        snprintf(reason, reason_size, "\"context\" is missing or no text");
    else if (count < 2 || count > LARGEST_CHOICES || !texts)
        snprintf(reason, reason_size, "\"choices\" wants 2 to %d texts that are not empty", LARGEST_CHOICES);
    else if (!json_is_integer(answer) || json_integer_value(answer) < 0 || (size_t)json_integer_value(answer) >= count)
        snprintf(reason, reason_size, "\"answer\" wants the number of a choice, from 0 to %zu", count - 1);
    else {
        struct choice_item item = { .context = strdup(json_string_value(context)), .choices = calloc(count, sizeof(char *)), .count = (int)count,
                                    .answer = (int)json_integer_value(answer) };
        for (size_t i = 0; item.choices != NULL && i < count; i++)
            item.choices[i] = strdup(json_string_value(json_array_get(choices, i)));
        status = append(task, &item);
        snprintf(reason, reason_size, "out of memory");
    }
    json_decref(root);
    return status;
}

int choice_task_read(struct choice_task *task, const char *path, char *error, size_t error_size)
{
    *task = (struct choice_task){ 0 };
    const char *slash = strrchr(path, '/');
    snprintf(task->name, sizeof(task->name), "%s", slash != NULL ? slash + 1 : path);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        const int status = -errno;
        snprintf(error, error_size, "%s: %s", path, strerror(errno));
        return status;
    }
    char *line = NULL;
    size_t room = 0;
    int status = 0, number = 0;
    for (ssize_t length; status == 0 && (length = getline(&line, &room, file)) >= 0;) {
        char reason[200];
        number++;
        if (line[strspn(line, " \t\r\n")] == '\0')
            continue;
        status = read_item(task, line, reason, sizeof(reason));
        if (status != 0)
            snprintf(error, error_size, "%s:%d: %s", path, number, reason);
    }
    free(line);
    fclose(file);
    if (status == 0 && task->count == 0) {
        snprintf(error, error_size, "%s holds no items, such as {\"context\": \"The sky is\", \"choices\": [\" blue\", \" made\"], \"answer\": 0}", path);
        status = -EINVAL;
    }
    if (status != 0)
        choice_task_free(task);
    return status;
}

// ---------------------------------------------------------------------------------------------------------------------
// WordNet: the head of a synset's line stands before its gloss in the corpus

struct noun {
    char word[40], gloss[160];
    size_t half; // where the gloss is cut for endings: at a space
};

// A gloss without its examples, of a noun that is one plain word and does not occur in it.
static bool read_noun(const struct corpus *corpus, const struct document *document, struct noun *noun)
{
    const char *line = document->text;
    while (line > corpus->storage && line[-1] != '\n')
        line--;
    char kind;
    if (sscanf(line, "%*d %*d %c %*x %39s", &kind, noun->word) != 2 || kind != 'n')
        return false;
    for (const char *c = noun->word; *c; c++)
        if (*c < 'a' || *c > 'z')
            return false;
    size_t length = 0;
    while (length < document->bytes && document->text[length] != ';' && document->text[length] != '"')
        length++;
    while (length > 0 && document->text[length - 1] == ' ')
        length--;
    if (length < 24 || length >= sizeof(noun->gloss) || strlen(noun->word) < 3)
        return false;
    memcpy(noun->gloss, document->text, length);
    noun->gloss[length] = '\0';
    if (strstr(noun->gloss, noun->word) != NULL)
        return false;
    for (noun->half = length / 2; noun->half < length && noun->gloss[noun->half] != ' '; noun->half++)
        ;
    return noun->half < length;
}

static uint64_t next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

static int make_item(struct choice_task *task, const struct noun *nouns, size_t count, size_t which, bool endings, uint64_t *random)
{
    enum { CHOICES = 4 };
    size_t chosen[CHOICES];
    struct choice_item item = { .choices = calloc(CHOICES, sizeof(char *)), .count = CHOICES, .answer = (int)(next(random) % CHOICES) };
    for (int i = 0; i < CHOICES; i++) {
        bool taken = true;
        while (taken) { // the answer once, and three others
            chosen[i] = i == item.answer ? which : (size_t)next(random) % count;
            taken = i != item.answer && chosen[i] == which;
            for (int j = 0; j < i; j++)
                taken = taken || chosen[j] == chosen[i] || strcmp(nouns[chosen[j]].word, nouns[chosen[i]].word) == 0;
            if (taken && i == item.answer) // two synsets of one word: an earlier choice gives way
                i = -1, taken = false;
        }
    }
    char text[256];
    const struct noun *answer = &nouns[which];
    if (endings)
        snprintf(text, sizeof(text), "%.*s", (int)answer->half, answer->gloss);
    else
        snprintf(text, sizeof(text), "Definition: %s.\nWord:", answer->gloss);
    item.context = strdup(text);
    for (int i = 0; item.choices != NULL && i < CHOICES; i++) {
        const struct noun *noun = &nouns[chosen[i]];
        snprintf(text, sizeof(text), "%s%s", endings ? "" : " ", endings ? noun->gloss + noun->half : noun->word);
        item.choices[i] = strdup(text);
    }
    return append(task, &item);
}

int choice_task_wordnet(struct choice_task *task, const char *name, size_t items, char *error, size_t error_size)
{
    *task = (struct choice_task){ 0 };
    snprintf(task->name, sizeof(task->name), "%s", name);
    const bool endings = strcmp(name, "wordnet-endings") == 0;
    if (!endings && strcmp(name, "wordnet") != 0) {
        snprintf(error, error_size, "unknown task '%s' (known: wordnet, wordnet-endings, a .jsonl file)", name);
        return -EINVAL;
    }
    struct corpus corpus = { 0 };
    int status = corpus_load_glosses(&corpus, NULL, error, error_size);
    if (status != 0)
        return status;
    struct noun *nouns = malloc((corpus.count + 1) * sizeof(*nouns));
    size_t count = 0;
    for (size_t i = 0; nouns != NULL && i < corpus.count; i++)
        count += corpus.documents[i].heldout && read_noun(&corpus, &corpus.documents[i], &nouns[count]);
    corpus_free(&corpus);
    uint64_t random = 1;
    if (nouns != NULL && count < 16) {
        snprintf(error, error_size, "WordNet's glosses give only %zu questions", count);
        status = -EINVAL;
    }
    // spread over the alphabet of kinds that the file is sorted by
    items = items < count ? items : count;
    for (size_t i = 0; nouns != NULL && status == 0 && i < items; i++)
        status = make_item(task, nouns, count, i * count / items, endings, &random);
    if (nouns == NULL || status == -ENOMEM) {
        snprintf(error, error_size, "out of memory for WordNet's questions");
        status = -ENOMEM;
    }
    free(nouns);
    if (status != 0)
        choice_task_free(task);
    return status;
}
