// SPDX-License-Identifier: MIT
// The topology as people read it, and as JSON.
#include "harness/topology_internal.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void format_bytes(double bytes, char *text, size_t size)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    int unit = 0;
    while (bytes >= 1024 && unit < 5) {
        bytes /= 1024;
        unit++;
    }
    snprintf(text, size, bytes < 10 && bytes != floor(bytes) ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
}

static const char *cache_suffix(char cache) { return cache == 'd' ? "d" : cache == 'i' ? "i" : ""; }

static void format_node(const struct topology *topology, const struct node *node, char *text, size_t size)
{
    char bytes[32];
    switch (node->type) {
    case NODE_MACHINE: snprintf(text, size, "machine"); break;
    case NODE_PACKAGE: snprintf(text, size, "package %d", node->os_index); break;
    case NODE_DIE: snprintf(text, size, "die %d", node->os_index); break;
    case NODE_GROUP: snprintf(text, size, "group"); break;
    case NODE_CORE:
        snprintf(text, size, "core %d", topology->pu[node->first_pu].core);
        break;
    case NODE_PU:
        snprintf(text, size, "PU %d%s", node->os_index, topology->pu[node->first_pu].usable ? "" : " (not usable)");
        break;
    case NODE_CACHE:
        format_bytes((double)node->bytes, bytes, sizeof bytes);
        snprintf(text, size, "L%d%s %s", node->level, cache_suffix(node->cache), node->bytes ? bytes : "(size not told)");
        break;
    }
}

// One line for a chain of nodes that each hold the next alone ("L2 1 MiB + L1d 48 KiB + core 0: PU 0, PU 64"), as lstopo does.
static void print_tree(FILE *out, const struct topology *topology, int at, int depth)
{
    const struct node *node = &topology->node[at];
    char text[96];
    fprintf(out, "%*s", 2 * depth, "");
    for (;;) {
        format_node(topology, node, text, sizeof text);
        fputs(text, out);
        if (node->type == NODE_CORE || node->first_child < 0 || topology->node[node->first_child].next >= 0)
            break;
        node = &topology->node[node->first_child];
        fputs(" + ", out);
    }
    bool core = node->type == NODE_CORE;
    for (int c = node->first_child; core && c >= 0; c = topology->node[c].next) {
        format_node(topology, &topology->node[c], text, sizeof text);
        fprintf(out, "%s %s", c == node->first_child ? ":" : ",", text);
    }
    for (int i = 0; i < topology->numa_nodes; i++)
        if (topology->numa[i].first_pu == node->first_pu && topology->numa[i].pus == node->pus)
            fprintf(out, " [NUMA node %d]", topology->numa[i].os_index);
    fputc('\n', out);
    for (int c = node->first_child; !core && c >= 0; c = topology->node[c].next)
        print_tree(out, topology, c, depth + 1);
}

static int cores_below(const struct topology *topology, const struct node *node)
{
    int cores = 0, last = -1;
    for (int i = node->first_pu; i < node->first_pu + node->pus; i++) {
        cores += topology->pu[i].core != last;
        last = topology->pu[i].core;
    }
    return cores;
}

// "L2 1 MiB × 8, each for 1 core, 2 PUs": caches of the same size and reach in one line.
static const char *print_caches_of(FILE *out, const struct topology *topology, int level, char type, const char *label)
{
    for (int n = 0; n < topology->nodes; n++) {
        const struct node *node = &topology->node[n];
        if (node->type != NODE_CACHE || node->level != level || node->cache != type)
            continue;
        int same = 0, before = 0;
        for (int k = 0; k < topology->nodes; k++) {
            const struct node *other = &topology->node[k];
            bool alike = other->type == NODE_CACHE && other->level == level && other->cache == type &&
                         other->bytes == node->bytes && other->pus == node->pus;
            same += alike;
            before += alike && k < n;
        }
        if (before)
            continue;
        int cores = cores_below(topology, node);
        char text[96];
        format_node(topology, node, text, sizeof text);
        fprintf(out, "%-12s %s × %d, each for %d core%s, %d PU%s\n", label, text, same, cores, cores == 1 ? "" : "s", node->pus,
                node->pus == 1 ? "" : "s");
        label = "";
    }
    return label;
}

static void print_caches(FILE *out, const struct topology *topology)
{
    const char *label = "caches";
    for (int level = 1; level <= 5; level++)
        for (const char *type = "diu"; *type; type++)
            label = print_caches_of(out, topology, level, *type, label);
    if (*label)
        fprintf(out, "%-12s not told\n", label);
}

static char *list_of(const struct topology *topology, int first, int count, enum pu_set set)
{
    size_t size = (size_t)count * 12 + 16;
    char *list = malloc(size);
    if (list)
        topology_pu_list(topology, first, count, set, list, size);
    return list;
}

static void print_list(FILE *out, const struct topology *topology, int first, int count, enum pu_set set)
{
    char *list = list_of(topology, first, count, set);
    fputs(list && *list ? list : "none", out);
    free(list);
}

static void print_kinds(FILE *out, const struct topology *topology)
{
    for (int k = 0; k < topology->kinds; k++) {
        const struct cpu_kind *kind = &topology->kind[k];
        if (topology->kinds == 1 && !*kind->name && isnan(kind->max_mhz))
            return;
        int count = 0, *indices = calloc((size_t)topology->pus + 1, sizeof *indices);
        size_t size = (size_t)topology->pus * 12 + 16;
        char *list = malloc(size);
        for (int i = 0; indices && i < topology->pus; i++)
            if (topology->pu[i].kind == k)
                indices[count++] = topology->pu[i].os_index;
        if (list && indices) {
            index_list_format(indices, (size_t)count, list, size);
            fprintf(out, "%-12s PUs %s%s%s", k ? "" : "CPU kinds", list, *kind->name ? ", " : "", kind->name);
            if (kind->efficiency >= 0 && topology->kinds > 1)
                fprintf(out, ", speed class %d", kind->efficiency);
            if (!isnan(kind->max_mhz))
                fprintf(out, ", up to %.0f MHz", kind->max_mhz);
            fputc('\n', out);
        }
        free(indices);
        free(list);
    }
}

static void print_devices(FILE *out, const struct topology *topology)
{
    for (int i = 0; i < topology->devices; i++) {
        const struct device *device = &topology->device[i];
        fprintf(out, "%-12s %s %s%s%s%s%s%s%s\n", i ? "" : "devices", device->type, device->name, *device->bus ? " at " : "",
                device->bus, *device->vendor ? ", " : "", device->vendor, *device->model ? " " : "", device->model);
    }
    fprintf(out, "%-12s %s\n", "GPUs", topology->gpus.verdict);
    for (int i = 0; i < topology->gpus.count; i++) {
        const struct gpu *gpu = &topology->gpus.gpu[i];
        char bytes[32] = "memory not known";
        if (!isnan(gpu->memory_bytes))
            format_bytes(gpu->memory_bytes, bytes, sizeof bytes);
        fprintf(out, "%-12s %s %s %s, %s, driver %s (%s)\n", "", gpu->bus, gpu->vendor, gpu->model, bytes,
                *gpu->driver ? gpu->driver : "none", gpu->seen_by);
    }
}

char *topology_text(const struct topology *topology)
{
    const struct topology_summary *sum = &topology->summary;
    char *text = NULL, slug[64], bytes[32] = "not told";
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    topology_slug(topology, slug, sizeof slug);
    fprintf(out, "%-12s %s%s\n", "machine", slug, sum->this_machine ? "" : " (not this one)");
    fprintf(out, "%-12s %s\n", "CPU", *sum->cpu_model ? sum->cpu_model : "not told");
    fprintf(out, "%-12s %s\n", "hypervisor", *sum->hypervisor ? sum->hypervisor : "not told");
    fprintf(out, "%-12s %d package%s, %d NUMA node%s, %d core%s, %d PU%s (at most %d a core)", "holds", sum->packages,
            sum->packages == 1 ? "" : "s", sum->numa_nodes, sum->numa_nodes == 1 ? "" : "s", sum->cores,
            sum->cores == 1 ? "" : "s", sum->pus, sum->pus == 1 ? "" : "s", sum->smt);
    if (topology->offline_pus > 0)
        fprintf(out, ", %d more offline", topology->offline_pus);
    fprintf(out, "\n%-12s %d core%s, %d PU%s: ", "usable", sum->usable_cores, sum->usable_cores == 1 ? "" : "s", sum->usable_pus,
            sum->usable_pus == 1 ? "" : "s");
    print_list(out, topology, 0, topology->pus, PUS_USABLE);
    fprintf(out, " (allowed ");
    print_list(out, topology, 0, topology->pus, PUS_ALLOWED);
    fprintf(out, ", complete ");
    print_list(out, topology, 0, topology->pus, PUS_ALL);
    fprintf(out, ")\n%-12s ", "CPU quota");
    if (isnan(sum->quota_cpus))
        fprintf(out, "%s\n", sum->quota_source);
    else
        fprintf(out, "%.2f CPUs (%s)\n", sum->quota_cpus, sum->quota_source);
    if (!isnan(sum->memory_bytes))
        format_bytes(sum->memory_bytes, bytes, sizeof bytes);
    fprintf(out, "%-12s %s", "memory", bytes);
    if (!isnan(sum->memory_limit_bytes)) {
        format_bytes(sum->memory_limit_bytes, bytes, sizeof bytes);
        fprintf(out, ", limited to %s by a control group", bytes);
    }
    fputc('\n', out);
    for (int i = 0; i < topology->numa_nodes; i++) {
        const struct numa_node *numa = &topology->numa[i];
        snprintf(bytes, sizeof bytes, "size not told");
        if (!isnan(numa->bytes))
            format_bytes(numa->bytes, bytes, sizeof bytes);
        fprintf(out, "%-12s node %d, %s, PUs ", i ? "" : "NUMA", numa->os_index, bytes);
        print_list(out, topology, numa->first_pu, numa->pus, PUS_ALL);
        fputc('\n', out);
    }
    print_caches(out, topology);
    print_kinds(out, topology);
    fprintf(out, "%-12s %s\n", "ISA", *topology->isa ? topology->isa : "not told");
    print_devices(out, topology);
    for (int i = 0; i < topology->notes; i++)
        fprintf(out, "%-12s %s\n", "note", topology->note[i]);
    fputc('\n', out);
    print_tree(out, topology, 0, 0);
    if (fclose(out)) {
        free(text);
        return NULL;
    }
    return text;
}

// ---------------------------------------------------------------------------------------------------------------------

static json_t *number_or_null(double value)
{
    if (isnan(value))
        return json_null();
    return value == floor(value) && fabs(value) < 0x1p53 ? json_integer((json_int_t)value) : json_real(value);
}

static json_t *text_or_null(const char *text) { return *text ? json_string(text) : json_null(); }

static json_t *list_json(const struct topology *topology, int first, int count, enum pu_set set)
{
    char *list = list_of(topology, first, count, set);
    json_t *json = list ? json_string(list) : json_null();
    free(list);
    return json;
}

static json_t *caches_json(const struct topology *topology)
{
    json_t *array = json_array();
    for (int n = 0; n < topology->nodes; n++) {
        const struct node *node = &topology->node[n];
        if (node->type == NODE_CACHE)
            json_array_append_new(
                array, json_pack("{si ss so so}", "level", node->level, "type",
                                 node->cache == 'd' ? "data" : node->cache == 'i' ? "instruction" : "unified", "bytes",
                                 node->bytes ? json_integer((json_int_t)node->bytes) : json_null(), "pus",
                                 list_json(topology, node->first_pu, node->pus, PUS_ALL)));
    }
    return array;
}

static json_t *cores_json(const struct topology *topology)
{
    json_t *array = json_array();
    for (int i = 0; i < topology->pus;) {
        const struct pu *pu = &topology->pu[i];
        int end = i;
        json_t *usable = json_array(), *all = json_array();
        for (; end < topology->pus && topology->pu[end].core == pu->core; end++) {
            json_array_append_new(all, json_integer(topology->pu[end].os_index));
            if (topology->pu[end].usable)
                json_array_append_new(usable, json_integer(topology->pu[end].os_index));
        }
        json_array_append_new(array, json_pack("{si so so so so so}", "core", pu->core, "package",
                                               pu->package < 0 ? json_null() : json_integer(pu->package), "numa_node",
                                               pu->numa < 0 ? json_null() : json_integer(pu->numa), "kind",
                                               pu->kind < 0 ? json_null() : json_integer(pu->kind), "pus", all, "usable", usable));
        i = end;
    }
    return array;
}

static json_t *kinds_json(const struct topology *topology)
{
    json_t *array = json_array();
    for (int k = 0; k < topology->kinds; k++)
        json_array_append_new(array, json_pack("{si so so so}", "kind", k, "name", text_or_null(topology->kind[k].name), "speed_class",
                                               topology->kind[k].efficiency < 0 ? json_null()
                                                                                : json_integer(topology->kind[k].efficiency),
                                               "max_mhz", number_or_null(topology->kind[k].max_mhz)));
    return array;
}

struct json_t *topology_json(const struct topology *topology)
{
    const struct topology_summary *sum = &topology->summary;
    char slug[64], hash[20];
    topology_slug(topology, slug, sizeof slug);
    snprintf(hash, sizeof hash, "%016" PRIx64, topology_hash(topology));
    json_t *numa = json_array(), *devices = json_array(), *notes = json_array(), *isa = json_array();
    for (int i = 0; i < topology->numa_nodes; i++)
        json_array_append_new(numa, json_pack("{si so so}", "node", topology->numa[i].os_index, "bytes",
                                              number_or_null(topology->numa[i].bytes), "pus",
                                              list_json(topology, topology->numa[i].first_pu, topology->numa[i].pus, PUS_ALL)));
    for (int i = 0; i < topology->devices; i++) {
        const struct device *device = &topology->device[i];
        json_array_append_new(devices, json_pack("{ss ss so so so}", "type", device->type, "name", device->name, "bus",
                                                 text_or_null(device->bus), "vendor", text_or_null(device->vendor), "model",
                                                 text_or_null(device->model)));
    }
    for (int i = 0; i < topology->notes; i++)
        json_array_append_new(notes, json_string(topology->note[i]));
    char words[sizeof topology->isa], *save = NULL;
    memcpy(words, topology->isa, sizeof words);
    for (char *word = strtok_r(words, " ", &save); word; word = strtok_r(NULL, " ", &save))
        json_array_append_new(isa, json_string(word));
    uint64_t bytes = 0;
    bool cached = topology_last_level_cache(topology, NULL, 0, &bytes);
    json_t *complete = json_pack("{si si si si si si so}", "packages", sum->packages, "numa_nodes", sum->numa_nodes, "cores",
                                 sum->cores, "pus", sum->pus, "pus_a_core", sum->smt, "offline_pus", topology->offline_pus,
                                 "list", list_json(topology, 0, topology->pus, PUS_ALL));
    json_t *usable = json_pack("{si si si so}", "packages", sum->usable_packages, "cores", sum->usable_cores, "pus",
                               sum->usable_pus, "list", list_json(topology, 0, topology->pus, PUS_USABLE));
    return json_pack("{si ss ss sb so so so so so so so ss so so so so so so so so so so so}", "schema", 1, "slug", slug, "hash",
                     hash, "this_machine", sum->this_machine, "cpu_model", text_or_null(sum->cpu_model), "cpu_vendor",
                     text_or_null(sum->cpu_vendor), "hypervisor", text_or_null(sum->hypervisor), "complete", complete, "usable",
                     usable, "allowed_list", list_json(topology, 0, topology->pus, PUS_ALLOWED), "quota_cpus",
                     number_or_null(sum->quota_cpus), "quota_source", sum->quota_source, "memory_limit_bytes",
                     number_or_null(sum->memory_limit_bytes), "memory_bytes", number_or_null(sum->memory_bytes),
                     "last_level_cache_bytes", cached ? json_integer((json_int_t)bytes) : json_null(), "numa", numa, "caches",
                     caches_json(topology), "cores", cores_json(topology), "cpu_kinds", kinds_json(topology), "isa", isa,
                     "devices", devices, "gpus", gpu_report_json(&topology->gpus), "notes", notes);
}
