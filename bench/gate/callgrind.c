// SPDX-License-Identifier: MIT
#include "bench/gate/callgrind.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Names are written once, "(12) name", and then by their number, "(12)".
struct names {
    char **text; // (count)
    size_t count;
};

// A line of costs: an instruction of the program itself, or of a library.
struct cost {
    uint64_t address, instructions;
    size_t function; // in reader.functions_seen
};

// A stretch of lines of one function.
struct seen {
    const char *object, *file, *name;
};

struct reader {
    struct names files, functions, objects;
    const char *object,
        *file;          // as the last line that names one says; file: of the line of source, which may be inlined
    struct seen *seen;  // (seen_count)
    struct cost *costs; // (cost_count)
    size_t seen_count, seen_room, cost_count, cost_room;
    uint64_t address;
    bool is_call;    // the next line of costs is what a call cost, which the called function has already
    uint64_t totals; // as the file says them; 0: it does not
};

static void free_names(struct names *names) {
    for (size_t i = 0; i < names->count; i++)
        free(names->text[i]);
    free(names->text);
}

static int read_name(struct names *names, const char *text, const char **name) {
    static const size_t MOST = 10000000;
    char *end;
    if (*text != '(')
        return -EINVAL; // callgrind writes no name without a number
    size_t id = strtoul(text + 1, &end, 10);
    if (end == text + 1 || *end != ')' || id > MOST)
        return -EINVAL;
    if (id >= names->count) {
        size_t count = id + id / 2 + 64;
        char **grown = realloc(names->text, count * sizeof *grown);
        if (!grown)
            return -ENOMEM;
        memset(grown + names->count, 0, (count - names->count) * sizeof *grown);
        names->text = grown;
        names->count = count;
    }
    end += 1 + strspn(end + 1, " ");
    if (*end && !names->text[id] && !(names->text[id] = strdup(end)))
        return -ENOMEM;
    *name = names->text[id];
    return *name ? 0 : -EINVAL;
}

// Room for one more of what `*array` holds.
static int grow(void *array, size_t count, size_t *room, size_t size) {
    if (count < *room)
        return 0;
    size_t wanted = *room ? 2 * *room : 1024;
    void *grown = realloc(*(void **)array, wanted * size);
    if (!grown)
        return -ENOMEM;
    *(void **)array = grown;
    *room = wanted;
    return 0;
}

static int begin_function(struct reader *reader, const char *text) {
    const char *name;
    int result = read_name(&reader->functions, text, &name);
    if (!result)
        result = grow(&reader->seen, reader->seen_count, &reader->seen_room, sizeof *reader->seen);
    // The function stands in the file that was named last; what is inlined comes behind its name.
    if (!result)
        reader->seen[reader->seen_count++] =
            (struct seen){reader->object ? reader->object : "", reader->file ? reader->file : "", name};
    return result;
}

// "0x4a31b0 112 3": address, line of source, instructions. Addresses and lines may be written as the difference from
// those before, or "*".
static int read_costs(struct reader *reader, const char *line) {
    char *end;
    if (*line == '+' || *line == '-')
        reader->address += (uint64_t)strtoll(line, &end, 0);
    else if (*line == '*')
        end = (char *)line + 1;
    else
        reader->address = strtoull(line, &end, 16);
    const char *cost = end + strspn(end, " ");
    cost += strcspn(cost, " "); // the line
    bool is_call = reader->is_call;
    reader->is_call = false;
    uint64_t instructions = strtoull(cost, &end, 10);
    if (end == cost || is_call)
        return 0;
    if (!reader->seen_count)
        return -EINVAL;
    int result = grow(&reader->costs, reader->cost_count, &reader->cost_room, sizeof *reader->costs);
    if (!result)
        reader->costs[reader->cost_count++] = (struct cost){reader->address, instructions, reader->seen_count - 1};
    return result;
}

static const char *after(const char *line, const char *key) {
    size_t length = strlen(key);
    return strncmp(line, key, length) ? NULL : line + length;
}

static int read_line(struct callgrind_profile *profile, struct reader *reader, const char *line) {
    const char *value, *ignored;
    if (isdigit((unsigned char)*line) || *line == '+' || *line == '-' || *line == '*')
        return read_costs(reader, line);
    if ((value = after(line, "fn=")))
        return begin_function(reader, value);
    if ((value = after(line, "fl=")) || (value = after(line, "fi=")) || (value = after(line, "fe=")))
        return read_name(&reader->files, value, &reader->file);
    if ((value = after(line, "ob=")))
        return read_name(&reader->objects, value, &reader->object);
    // What is called: of use only for its name.
    if ((value = after(line, "cfi=")) || (value = after(line, "cfl=")))
        return read_name(&reader->files, value, &ignored);
    if ((value = after(line, "cfn=")))
        return read_name(&reader->functions, value, &ignored);
    if ((value = after(line, "cob=")))
        return read_name(&reader->objects, value, &ignored);
    if (after(line, "calls="))
        reader->is_call = true;
    else if ((value = after(line, "totals:")))
        reader->totals = strtoull(value, NULL, 10);
    else if ((value = after(line, "cmd:")) && !profile->command)
        return (profile->command = strdup(value + strspn(value, " "))) ? 0 : -ENOMEM;
    else if ((value = after(line, "events:")) && !after(value + strspn(value, " "), "Ir"))
        return -EINVAL;
    else if ((value = after(line, "positions:")) && strcmp(value + strspn(value, " "), "instr line"))
        return -EINVAL;
    return 0;
}

// ---------------------------------------------------------------------------------------------------------------------

static const char *last_part(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

// How far from where its file says the program was loaded, by where its main begins. False where main did not run.
static bool find_bias(const struct reader *reader, const struct symbols *symbols, uint64_t *bias) {
    uint64_t first = UINT64_MAX;
    for (size_t i = 0; i < reader->cost_count; i++) {
        const struct seen *seen = &reader->seen[reader->costs[i].function];
        if (!strcmp(seen->name, "main") && !strcmp(last_part(seen->object), symbols->name) &&
            reader->costs[i].address < first)
            first = reader->costs[i].address;
    }
    for (size_t i = 0; i < symbols->count && first != UINT64_MAX; i++)
        if (!strcmp(symbols->of[i].function, "main")) {
            *bias = first - symbols->of[i].address;
            return true;
        }
    return false;
}

// The folder of this project's sources that a path lies in, wherever the tree was built.
static void find_folder(const char *path, char *folder, size_t size) {
    static const char *const folders[] = {"kernels", "bench", "harness"};
    const char *found = NULL;
    *folder = '\0';
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        size_t length = strlen(folders[i]);
        for (const char *at = strstr(path, folders[i]); at; at = strstr(at + 1, folders[i]))
            if ((at == path || at[-1] == '/') && at[length] == '/' && (!found || at > found)) {
                found = at;
                snprintf(folder, size, "%s", folders[i]);
            }
    }
}

static void place(const struct reader *reader, const struct cost *cost, const struct symbols *symbols, uint64_t bias,
                  struct callgrind_count *count) {
    const struct seen *seen = &reader->seen[cost->function];
    bool own = !strcmp(last_part(seen->object), symbols->name);
    const struct symbol *symbol = own ? symbols_at(symbols, cost->address - bias) : NULL;
    *count = (struct callgrind_count){.instructions = cost->instructions};
    if (own)
        find_folder(seen->file, count->folder, sizeof count->folder);
    snprintf(count->file, sizeof count->file, "%s",
             symbol && symbol->file ? symbol->file : last_part(own ? seen->file : seen->object));
    snprintf(count->function, sizeof count->function, "%s", symbol ? symbol->function : seen->name);
    // A recursive call is named f\'2; it is f all the same.
    count->function[strcspn(count->function, "\'")] = '\0';
}

static int by_place(const void *a, const void *b) {
    const struct callgrind_count *x = a, *y = b;
    int order = strcmp(x->folder, y->folder);
    if (!order)
        order = strcmp(x->file, y->file);
    return order ? order : strcmp(x->function, y->function);
}

static int sum_up(struct callgrind_profile *profile, const struct reader *reader, const struct symbols *symbols) {
    uint64_t bias;
    if (!find_bias(reader, symbols, &bias))
        return -ENOEXEC;
    profile->counts = calloc(reader->cost_count + 1, sizeof *profile->counts);
    if (!profile->counts)
        return -ENOMEM;
    size_t room = 0;
    for (size_t i = 0; i < reader->cost_count; i++) {
        struct callgrind_count count;
        place(reader, &reader->costs[i], symbols, bias, &count);
        profile->instructions += count.instructions;
        // Neighbours mostly belong together.
        if (room && !by_place(&profile->counts[room - 1], &count))
            profile->counts[room - 1].instructions += count.instructions;
        else
            profile->counts[room++] = count;
    }
    qsort(profile->counts, room, sizeof *profile->counts, by_place);
    for (size_t i = 0; i < room; i++)
        if (profile->count && !by_place(&profile->counts[profile->count - 1], &profile->counts[i]))
            profile->counts[profile->count - 1].instructions += profile->counts[i].instructions;
        else
            profile->counts[profile->count++] = profile->counts[i];
    return 0;
}

int callgrind_read(const char *path, const struct symbols *symbols, struct callgrind_profile *profile, char *error,
                   size_t error_size) {
    struct reader reader = {.seen = NULL};
    char *line = NULL;
    size_t room = 0, number = 0;
    *profile = (struct callgrind_profile){0};
    FILE *file = fopen(path, "r");
    if (!file) {
        int code = -errno;
        snprintf(error, error_size, "%s: cannot read: %s", path, strerror(-code));
        return code;
    }
    int result = 0;
    while (!result && getline(&line, &room, file) >= 0) {
        line[strcspn(line, "\n")] = '\0';
        number++;
        result = read_line(profile, &reader, line);
    }
    fclose(file);
    free(line);
    if (result)
        snprintf(error, error_size, "%s:%zu: %s", path, number,
                 result == -ENOMEM ? "not enough memory" : "not what callgrind writes with --dump-instr=yes");
    else if (!reader.totals) {
        snprintf(error, error_size, "%s: ends before its total; was callgrind interrupted?", path);
        result = -EINVAL;
    } else if ((result = sum_up(profile, &reader, symbols))) {
        snprintf(error, error_size, "%s: %s", path,
                 result == -ENOMEM ? "not enough memory"
                                   : "the program's main is not in it, so its functions cannot be told apart");
        result = result == -ENOEXEC ? -EINVAL : result;
    } else if (reader.totals != profile->instructions) {
        snprintf(error, error_size, "%s: its lines add up to %llu and not to its total, %llu", path,
                 (unsigned long long)profile->instructions, (unsigned long long)reader.totals);
        result = -EINVAL;
    }
    free_names(&reader.files);
    free_names(&reader.functions);
    free_names(&reader.objects);
    free(reader.seen);
    free(reader.costs);
    return result;
}

void callgrind_free(struct callgrind_profile *profile) {
    free(profile->command);
    free(profile->counts);
    *profile = (struct callgrind_profile){0};
}
