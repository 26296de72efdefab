// SPDX-License-Identifier: MIT
#include "bench/commands/sweep.h"

#include <errno.h>
#include <gnu/libc-version.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/commands/commands.h"
#include "bench/workloads/workloads.h"
#include "harness/launch.h"
#include "harness/machine.h"
#include "kernels/blas.h"
#include "kernels/kernel.h"
#include "version.h"

int sweep_override(struct sweep_overrides *overrides, const char *item) {
    if (overrides->count == sizeof overrides->item / sizeof *overrides->item)
        return -E2BIG;
    overrides->item[overrides->count++] = item;
    return 0;
}

static void read_limits(const struct loaded_sweep *sweep, struct machine_limits *limits) {
    const struct settings *settings = sweep->spec.settings;
    double free_bytes = machine_memory_available(NULL), limit = settings_number(settings, "memory_limit");
    double total = topology_summary(sweep->topology)->memory_bytes;
    double usable = isfinite(free_bytes) ? free_bytes : isfinite(total) ? total : 1e18;
    *limits = (struct machine_limits){
        .cores = topology_summary(sweep->topology)->usable_cores,
        .memory_bytes = (uint64_t)(limit > 0 ? limit : usable),
        .topology = sweep->topology,
        .oversubscribe = !strcmp(settings_text(settings, "oversubscribe"), "yes"),
        .no_launcher = *sweep->launcher_reason ? sweep->launcher_reason : NULL,
    };
    if (!topology_last_level_cache(sweep->topology, NULL, 0, &limits->cache_bytes))
        limits->cache_bytes = 0;
}

int sweep_load(struct loaded_sweep *sweep, const char *path, const struct sweep_overrides *overrides, bool with_devices, char *error,
               size_t error_size) {
    struct machine_limits limits;
    *sweep = (struct loaded_sweep){0};
    int result = spec_load(&sweep->spec, &inference_workload, path, overrides->item, overrides->count, error, error_size);
    if (!result)
        result = topology_load(&(struct topology_source){.no_devices = !with_devices}, &sweep->topology, error, error_size);
    if (!result) {
        char reason[sizeof sweep->launcher_reason];
        if (!launcher_found(settings_text(sweep->spec.settings, "launcher"), reason, sizeof reason))
            memcpy(sweep->launcher_reason, reason, sizeof reason);
        read_limits(sweep, &limits);
        result = plan_make(&sweep->plan, &sweep->spec, &limits, error, error_size);
    }
    if (result)
        sweep_free(sweep);
    return result;
}

void sweep_free(struct loaded_sweep *sweep) {
    if (sweep->plan.spec)
        plan_free(&sweep->plan);
    if (sweep->spec.settings)
        spec_free(&sweep->spec);
    topology_free(sweep->topology);
    *sweep = (struct loaded_sweep){0};
}

static void print_setting(const struct setting *row) {
    printf("  %-15s %s (default %s%s)\n", row->name, row->help, *row->fallback ? row->fallback : "empty",
           row->per_sweep ? "; may differ by section" : "");
}

void sweep_print_keys(void) {
    const struct workload *workload = &inference_workload;
    printf("\naxes of a spec (lists 'a, b', ranges '1-32*2' and '64-256+64'):\n");
    for (size_t i = 0; i < workload->axis_count; i++)
        printf("  %-15s %s (default %s)\n", workload->axes[i].name, workload->axes[i].help, workload->axes[i].fallback);
    printf("  %-15s axes that walk together, such as 'prune format | prompt gen'; all others are crossed\n", "zip");
    printf("\nsettings:\n");
    for (size_t i = 0; i < workload->setting_count; i++)
        print_setting(&workload->settings[i]);
    for (size_t i = 0; i < harness_setting_count; i++)
        print_setting(&harness_settings[i]);
}

static json_t *describe_libraries(void) {
    static const struct {
        const char *name, *version;
    } linked[] = {BUILD_LIBRARIES};
    json_t *libraries = json_object();
    for (size_t i = 0; i < sizeof linked / sizeof *linked; i++)
        json_object_set_new(libraries, linked[i].name, json_string(linked[i].version));
    json_object_set_new(libraries, "glibc", json_string(gnu_get_libc_version()));
    json_object_set_new(libraries, "openblas_build", json_string(blas_config()));
    json_object_set_new(libraries, "openblas_threads", json_string(blas_parallel() == 2   ? "openmp"
                                                                   : blas_parallel() == 1 ? "own pthread pool"
                                                                                          : "none"));
    return libraries;
}

json_t *sweep_about(const struct loaded_sweep *sweep, const struct sweep_overrides *overrides) {
    const struct topology_summary *summary = topology_summary(sweep->topology);
    struct machine_facts facts;
    json_t *list = json_array(), *machine;
    char slug[64], isa[32];
    machine_facts(NULL, &facts);
    machine = machine_facts_json(&facts);
    topology_slug(sweep->topology, slug, sizeof slug);
    snprintf(isa, sizeof isa, "%s", isa_name(isa_current()));
    json_object_set_new(machine, "slug", json_string(slug));
    json_object_set_new(machine, "cpu_model", json_string(summary->cpu_model));
    json_object_set_new(machine, "hypervisor", json_string(summary->hypervisor));
    json_object_set_new(machine, "usable_cores", json_integer(summary->usable_cores));
    json_object_set_new(machine, "usable_pus", json_integer(summary->usable_pus));
    json_object_set_new(machine, "last_level_cache_bytes", json_integer((json_int_t)sweep->plan.limits.cache_bytes));
    json_object_set_new(machine, "memory_limit_bytes", json_integer((json_int_t)sweep->plan.limits.memory_bytes));
    if (isfinite(summary->quota_cpus))
        json_object_set_new(machine, "quota_cpus", json_real(summary->quota_cpus));
    json_object_set_new(machine, "isa", json_string(isa));
    for (size_t i = 0; i < overrides->count; i++)
        json_array_append_new(list, json_string(overrides->item[i]));
    return json_pack("{s:{s:s, s:s, s:s, s:s}, s:o, s:o, s:{s:o}, s:s}", "program", "version", LLMSWEEP_VERSION, "commit", BUILD_COMMIT,
                     "compiler", BUILD_COMPILER, "flags", BUILD_FLAGS, "libraries", describe_libraries(), "machine", machine, "spec",
                     "overrides", list, "quality",
                     "windows of 512 tokens, the first replaced by BOS, the second half scored; paired with the unpruned f32 cell");
}
