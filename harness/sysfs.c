// SPDX-License-Identifier: MIT
#include "harness/sysfs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Reads a whole small file; the files of /proc have no size, so it grows. NULL when it cannot be read. The caller frees.
static char *read_all(const char *root, const char *path)
{
    char full[PATH_MAX];
    int length = snprintf(full, sizeof full, "%s%s", root ? root : "", path);
    if (length < 0 || (size_t)length >= sizeof full)
        return NULL;
    int file = open(full, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return NULL;
    size_t used = 0, capacity = 4096;
    char *text = malloc(capacity);
    while (text) {
        ssize_t got = read(file, text + used, capacity - used - 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            free(text);
            text = NULL;
            break;
        }
        used += (size_t)got;
        text[used] = '\0';
        if (got == 0 || used > (4u << 20))
            break;
        if (capacity - used < 2) {
            char *larger = realloc(text, capacity *= 2);
            if (!larger)
                free(text);
            text = larger;
        }
    }
    close(file);
    return text;
}

static void copy_trimmed(char *to, size_t size, const char *from, size_t length)
{
    while (length && isspace((unsigned char)*from))
        from++, length--;
    while (length && isspace((unsigned char)from[length - 1]))
        length--;
    if (length >= size)
        length = size - 1;
    memcpy(to, from, length);
    to[length] = '\0';
}

bool sysfs_text(const char *root, const char *path, char *text, size_t size)
{
    text[0] = '\0';
    char *all = read_all(root, path);
    if (!all)
        return false;
    copy_trimmed(text, size, all, strlen(all));
    free(all);
    return true;
}

static double number_of(const char *text)
{
    char *end;
    double value = strtod(text, &end);
    return end == text ? NAN : value;
}

double sysfs_number(const char *root, const char *path)
{
    char text[64];
    return sysfs_text(root, path, text, sizeof text) ? number_of(text) : NAN;
}

bool sysfs_keyed_text(const char *root, const char *path, const char *key, char *text, size_t size)
{
    text[0] = '\0';
    char *all = read_all(root, path);
    size_t length = strlen(key);
    bool found = false;
    for (char *line = all; line && *line && !found;) {
        char *end = strchrnul(line, '\n');
        // "model" must not find "model name": only blanks and one colon may stand between the key and its value.
        if (!strncmp(line, key, length) && (line[length] == ':' || isspace((unsigned char)line[length]) ||
                                             (length && key[length - 1] == ':'))) {
            const char *value = line + length;
            while (value < end && isblank((unsigned char)*value))
                value++;
            bool colon = value < end && *value == ':';
            if (colon || !memchr(line + length, ':', (size_t)(end - line) - length) || key[length - 1] == ':') {
                value += colon;
                copy_trimmed(text, size, value, (size_t)(end - value));
                found = true;
            }
        }
        line = *end ? end + 1 : end;
    }
    free(all);
    return found;
}

double sysfs_keyed_number(const char *root, const char *path, const char *key)
{
    char text[128];
    return sysfs_keyed_text(root, path, key, text, sizeof text) ? number_of(text) : NAN;
}

static int compare_names(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

int sysfs_list(const char *root, const char *path, char ***names, size_t *count)
{
    *names = NULL;
    *count = 0;
    char full[PATH_MAX];
    int length = snprintf(full, sizeof full, "%s%s", root ? root : "", path);
    if (length < 0 || (size_t)length >= sizeof full)
        return -ENAMETOOLONG;
    DIR *folder = opendir(full);
    if (!folder)
        return -errno;
    int status = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_name[0] == '.')
            continue;
        char **larger = realloc(*names, (*count + 1) * sizeof **names);
        if (larger)
            *names = larger;
        if (!larger || !(larger[*count] = strdup(entry->d_name))) {
            status = -ENOMEM;
            break;
        }
        (*count)++;
    }
    closedir(folder);
    if (status) {
        sysfs_list_free(*names, *count);
        *names = NULL;
        *count = 0;
    } else if (*count) {
        qsort(*names, *count, sizeof **names, compare_names);
    }
    return status;
}

void sysfs_list_free(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

// ---------------------------------------------------------------------------------------------------------------------
// Control groups

static bool has_word(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; (at = strstr(at, word)); at += length)
        if ((at == list || at[-1] == ',') && (at[length] == ',' || !at[length]))
            return true;
    return false;
}

// The group of this process in the hierarchy that carries `controller` ("" = the unified one of version 2), as a path below
// that hierarchy's root. /proc/self/cgroup has lines "number:controllers:path".
static bool group_path(const char *root, const char *controller, char *path, size_t size)
{
    char *all = read_all(root, "/proc/self/cgroup");
    bool found = false;
    char *save = NULL;
    for (char *line = all ? strtok_r(all, "\n", &save) : NULL; line && !found; line = strtok_r(NULL, "\n", &save)) {
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(++controllers, ':') : NULL;
        if (!group)
            continue;
        *group++ = '\0';
        if (*controller ? has_word(controllers, controller) : !*controllers) {
            snprintf(path, size, "%s", group);
            found = true;
        }
    }
    free(all);
    return found;
}

// Where that hierarchy is mounted, and which of its groups is seen at the mount point (containers show a subtree). A line of
// /proc/self/mountinfo: id parent major:minor root mount-point options … - type source super-options.
static bool group_mount(const char *root, const char *controller, char *mount, size_t mount_size, char *base,
                        size_t base_size)
{
    char *all = read_all(root, "/proc/self/mountinfo");
    bool found = false;
    char *save = NULL;
    for (char *line = all ? strtok_r(all, "\n", &save) : NULL; line && !found; line = strtok_r(NULL, "\n", &save)) {
        char *tail = strstr(line, " - ");
        char type[32], super[512] = "", seen[PATH_MAX], point[PATH_MAX];
        if (!tail || sscanf(tail + 3, "%31s %*s %511s", type, super) < 1 ||
            sscanf(line, "%*s %*s %*s %4095s %4095s", seen, point) != 2)
            continue;
        if (*controller ? !strcmp(type, "cgroup") && has_word(super, controller) : !strcmp(type, "cgroup2")) {
            snprintf(mount, mount_size, "%s", point);
            snprintf(base, base_size, "%s", strcmp(seen, "/") ? seen : "");
            found = true;
        }
    }
    free(all);
    return found;
}

// Calls visit for the folder of this process's group and every one above it that is mounted. False when there is no such
// hierarchy.
static bool walk_groups(const char *root, const char *controller, void (*visit)(const char *, const char *, void *),
                        void *context)
{
    char group[PATH_MAX], mount[PATH_MAX], base[PATH_MAX], folder[2 * PATH_MAX];
    if (!group_path(root, controller, group, sizeof group) ||
        !group_mount(root, controller, mount, sizeof mount, base, sizeof base))
        return false;
    // The path counts from the hierarchy's root; what is mounted may begin further down, or elsewhere, in a namespace.
    const char *below = group;
    if (!strncmp(group, base, strlen(base)) && (group[strlen(base)] == '/' || !group[strlen(base)]))
        below = group + strlen(base);
    else if (*base)
        below = "";
    if (strstr(below, "/.."))
        below = "";
    snprintf(folder, sizeof folder, "%s%s", mount, strcmp(below, "/") ? below : "");
    size_t top = strlen(mount);
    for (;;) {
        visit(root, folder, context);
        char *slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < top)
            return true;
        *slash = '\0';
    }
}

// `folder/name` without the warning that the longest of both might not fit: such a path cannot be opened anyway.
static const char *in_folder(char *path, size_t size, const char *folder, const char *name)
{
    int length = snprintf(path, size, "%s/%s", folder, name);
    return length > 0 && (size_t)length < size ? path : "";
}

struct quota {
    double cpus;
    bool readable;
    char source[PATH_MAX];
};

static void smaller_quota(struct quota *quota, double cpus, const char *path)
{
    quota->readable = true;
    if (cpus > 0 && !(quota->cpus <= cpus)) {
        quota->cpus = cpus;
        snprintf(quota->source, sizeof quota->source, "%s", path);
    }
}

static void visit_quota_v2(const char *root, const char *folder, void *context)
{
    char path[PATH_MAX], text[64];
    double period;
    if (!sysfs_text(root, in_folder(path, sizeof path, folder, "cpu.max"), text, sizeof text))
        return;
    char *blank = strchr(text, ' ');
    period = blank ? number_of(blank) : 100000;
    smaller_quota(context, !strncmp(text, "max", 3) ? NAN : number_of(text) / period, path);
}

static void visit_quota_v1(const char *root, const char *folder, void *context)
{
    char path[PATH_MAX], other[PATH_MAX];
    double quota = sysfs_number(root, in_folder(path, sizeof path, folder, "cpu.cfs_quota_us"));
    double period = sysfs_number(root, in_folder(other, sizeof other, folder, "cpu.cfs_period_us"));
    if (!isnan(quota))
        smaller_quota(context, quota > 0 && period > 0 ? quota / period : NAN, path);
}

double cgroup_cpu_quota(const char *root, char *source, size_t source_size)
{
    struct quota quota = {.cpus = NAN};
    bool any = walk_groups(root, "", visit_quota_v2, &quota);
    any |= walk_groups(root, "cpu", visit_quota_v1, &quota);
    if (!isnan(quota.cpus))
        snprintf(source, source_size, "%s", quota.source);
    else
        snprintf(source, source_size, "%s",
                 quota.readable ? "no quota is set" : any ? "the control groups show no CPU controller" : "no control groups");
    return quota.cpus;
}

struct memory {
    double limit, left;
};

static void visit_memory(const char *root, const char *folder, struct memory *memory, const char *limit_name,
                         const char *used_name, const char *cache_key)
{
    char path[PATH_MAX];
    double limit = sysfs_number(root, in_folder(path, sizeof path, folder, limit_name));
    // Version 1 writes "no limit" as the largest number of pages; no machine has 2^60 bytes.
    if (!(limit < 0x1p60))
        return;
    double used = sysfs_number(root, in_folder(path, sizeof path, folder, used_name));
    double cache = sysfs_keyed_number(root, in_folder(path, sizeof path, folder, "memory.stat"), cache_key);
    double left = limit - used + (isnan(cache) ? 0 : cache);
    if (!(memory->limit <= limit))
        memory->limit = limit;
    if (!(memory->left <= left))
        memory->left = left < 0 ? 0 : left;
}

static void visit_memory_v2(const char *root, const char *folder, void *context)
{
    visit_memory(root, folder, context, "memory.max", "memory.current", "inactive_file");
}

static void visit_memory_v1(const char *root, const char *folder, void *context)
{
    visit_memory(root, folder, context, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file");
}

double cgroup_memory_limit(const char *root, double *left)
{
    struct memory memory = {NAN, NAN};
    walk_groups(root, "", visit_memory_v2, &memory);
    walk_groups(root, "memory", visit_memory_v1, &memory);
    if (left)
        *left = memory.left;
    return memory.limit;
}

static void visit_throttled(const char *root, const char *folder, void *context)
{
    char path[PATH_MAX];
    double *seconds = context;
    in_folder(path, sizeof path, folder, "cpu.stat");
    double micro = sysfs_keyed_number(root, path, "throttled_usec"); // version 2
    double nano = sysfs_keyed_number(root, path, "throttled_time");  // version 1
    double here = !isnan(micro) ? micro * 1e-6 : nano * 1e-9;
    if (!isnan(here))
        *seconds = isnan(*seconds) ? here : *seconds + here;
}

double cgroup_throttled_seconds(const char *root)
{
    double seconds = NAN;
    walk_groups(root, "", visit_throttled, &seconds);
    walk_groups(root, "cpu", visit_throttled, &seconds);
    return seconds;
}

static void visit_kills(const char *root, const char *folder, void *context)
{
    char path[PATH_MAX];
    double *kills = context;
    // Of the process's own group, which comes first; version 2 counts those below with it.
    if (isnan(*kills))
        *kills = sysfs_keyed_number(root, in_folder(path, sizeof path, folder, "memory.events"), "oom_kill");
    if (isnan(*kills))
        *kills = sysfs_keyed_number(root, in_folder(path, sizeof path, folder, "memory.oom_control"), "oom_kill");
}

double cgroup_out_of_memory_kills(const char *root)
{
    double unified = NAN, memory = NAN, machine = sysfs_keyed_number(root, "/proc/vmstat", "oom_kill");
    walk_groups(root, "", visit_kills, &unified);
    walk_groups(root, "memory", visit_kills, &memory);
    return (isnan(unified) ? 0 : unified) + (isnan(memory) ? 0 : memory) + (isnan(machine) ? 0 : machine);
}
