// SPDX-License-Identifier: MIT
// Plans: the product, the union, names, illegal cells with reasons, estimates; 10,000 cells within a second.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>

#include "harness/plan.h"
#include "harness/topology.h"
#include "tests/unit/null_workload.h"

static char error[1200];
static struct machine_limits limits = {.cores = 4, .memory_bytes = 1000000, .cache_bytes = 1 << 20};

static void make(struct spec *spec, struct plan *plan, const char *text) {
    if (spec_parse(spec, &null_workload, "a.ini", text, strlen(text), NULL, 0, error, sizeof error))
        fail_msg("%s", error);
    if (plan_make(plan, spec, &limits, error, sizeof error))
        fail_msg("%s", error);
}
static void drop(struct spec *spec, struct plan *plan) {
    plan_free(plan);
    spec_free(spec);
}

static void test_product_and_union(void **state) {
    (void)state;
    struct spec spec;
    struct plan plan;
    make(&spec, &plan, "variant = red, green\n[sweep \"a\"]\nsize = 1, 2, 3\n[sweep \"b\"]\nsize = 3, 4\nlayout = t1\n");
    assert_int_equal(plan.count, 2 * 3 + 2); // red and green of size 3 are in both
    assert_int_equal(plan.runnable, plan.count);
    drop(&spec, &plan);
    make(&spec, &plan, "size = 1, 2, 1\n");
    assert_int_equal(plan.count, 2);
    drop(&spec, &plan);
    make(&spec, &plan, "zip = variant size\nvariant = red, red, green\nsize = 1, 2, 1\n");
    assert_int_equal(plan.count, 3);
    drop(&spec, &plan);
    make(&spec, &plan, "zip = variant size\nvariant = red, green, blue\nsize = 1, 2, 3\nlayout = t1, r2\n");
    assert_int_equal(plan.count, 6);
    for (size_t i = 0; i < plan.count; i++)
        assert_true(!strcmp(plan.cells[i].cell.value[NULL_VARIANT], "green") == !strcmp(plan.cells[i].cell.value[NULL_SIZE], "2"));
    drop(&spec, &plan);
}

static void test_names(void **state) {
    (void)state;
    struct spec spec;
    struct plan plan;
    char name[17], again[17];
    make(&spec, &plan, "size = 0.5\n");
    memcpy(name, plan.cells[0].cell.name, sizeof name);
    assert_int_equal(strlen(name), 16);
    // The name of a cell is part of the records of earlier runs: it may change only with the schema.
    assert_string_equal(name, "c64b76031d6ea16e");
    drop(&spec, &plan);
    make(&spec, &plan, "# the same, said otherwise\nci = 9%\n[sweep \"x\"]\nsize = 50%\n");
    memcpy(again, plan.cells[0].cell.name, sizeof again);
    assert_string_equal(name, again);
    drop(&spec, &plan);
    make(&spec, &plan, "size = 0.5\nthing = chair\n"); // a setting that defines
    assert_string_not_equal(name, plan.cells[0].cell.name);
    drop(&spec, &plan);
    make(&spec, &plan, "size = 0.5\nvariant = green\n");
    assert_string_not_equal(name, plan.cells[0].cell.name);
    drop(&spec, &plan);
}

static void test_reasons(void **state) {
    (void)state;
    struct spec spec;
    struct plan plan;
    limits.no_launcher = "no launcher here";
    make(&spec, &plan, "variant = red, blue\nlayout = t1, t2, r2\nsize = 1, 5000\n");
    limits.no_launcher = NULL;
    size_t skipped = 0, hungry = 0, fine = 0;
    for (size_t i = 0; i < plan.count; i++) {
        const struct plan_cell *cell = &plan.cells[i];
        bool is_blue = !strcmp(cell->cell.value[NULL_VARIANT], "blue"), is_big = !strcmp(cell->cell.value[NULL_SIZE], "5000");
        if (is_blue && !strcmp(cell->cell.value[NULL_LAYOUT], "t2"))
            assert_string_equal(cell->reason, "blue cannot be threaded");
        else if (!strcmp(cell->cell.value[NULL_LAYOUT], "r2"))
            assert_string_equal(cell->reason, "no launcher here");
        else if (is_big)
            assert_string_equal(cell->reason, "needs about 0.01 GB of memory, 0.00 GB may be used");
        else
            assert_null(cell->reason);
        skipped += cell->status == CELL_SKIPPED, hungry += cell->status == CELL_OOM, fine += cell->status == CELL_OK;
    }
    assert_int_equal(skipped, 6);
    assert_int_equal(hungry, 3);
    assert_int_equal(fine, plan.runnable);
    assert_int_equal(fine, 3);
    assert_true(plan.launcher_missing);
    assert_true(plan.seconds > 0);
    drop(&spec, &plan);
}

static void test_layouts_must_fit(void **state) {
    (void)state;
    struct spec spec;
    struct plan plan;
    struct topology *topology;
    assert_int_equal(topology_load(&(struct topology_source){.synthetic = "package:1 core:2 pu:1"}, &topology, error, sizeof error), 0);
    limits.topology = topology;
    make(&spec, &plan, "layout = t1, r2, r64\n");
    assert_int_equal(plan.runnable, 2);
    assert_int_equal(plan.cells[2].status, CELL_SKIPPED);
    assert_non_null(strstr(plan.cells[2].reason, "64"));
    drop(&spec, &plan);
    limits.oversubscribe = true;
    make(&spec, &plan, "layout = t1, r2, r64\n");
    assert_int_equal(plan.runnable, 3);
    drop(&spec, &plan);
    limits.oversubscribe = false;
    limits.topology = NULL;
    topology_free(topology);
}

// Once for all cells that share it, in the layout that is quickest at it.
static void test_quality_is_counted_once(void **state) {
    (void)state;
    static const char *const texts[] = {"variant = red, green\nlayout = t1, t2\n", "variant = red, green\nlayout = t2, t1\n"};
    for (int i = 0; i < 2; i++) {
        struct spec spec;
        struct plan plan;
        double cells = 0;
        make(&spec, &plan, texts[i]);
        for (size_t cell = 0; cell < plan.count; cell++)
            cells += plan_cell_seconds(&plan.cells[cell]);
        assert_int_equal(plan.runnable, 4);
        assert_true(fabs(plan.seconds - cells - 2 * 0.01) < 1e-9);
        drop(&spec, &plan);
    }
}

static void test_ten_thousand(void **state) {
    (void)state;
    struct spec spec;
    struct plan plan;
    uint64_t start = clock_now();
    make(&spec, &plan, "variant = red, green\nsize = 1-5000\n");
    double seconds = clock_seconds(start, clock_now());
    assert_int_equal(plan.count, 10000);
    if (!(seconds < 1))
        fail_msg("10,000 cells took %.2f s", seconds);
    drop(&spec, &plan);
    const char *text = "variant = red, green, blue\nsize = 1-90000\ndoes = ok, hang, kill, crash\n";
    assert_int_equal(spec_parse(&spec, &null_workload, "a.ini", text, strlen(text), NULL, 0, error, sizeof error), 0);
    assert_int_equal(plan_make(&plan, &spec, &limits, error, sizeof error), -EINVAL);
    assert_non_null(strstr(error, "are more than the 1000000 that one run may have"));
    spec_free(&spec);
}

static void test_json(void **state) {
    (void)state;
    struct spec spec;
    struct plan plan;
    char label[200];
    make(&spec, &plan, "variant = red, blue\nlayout = t2\n");
    json_t *json = plan_json(&plan);
    assert_int_equal(json_integer_value(json_object_get(json, "planned")), 2);
    const json_t *blue = json_array_get(json_object_get(json, "cells"), 1);
    assert_string_equal(json_string_value(json_object_get(blue, "status")), "skipped");
    assert_string_equal(json_string_value(json_object_get(blue, "reason")), "blue cannot be threaded");
    assert_null(json_object_get(blue, "seconds"));
    json_decref(json);
    plan_cell_label(&plan, &plan.cells[1].cell, label, sizeof label);
    assert_string_equal(label, "variant=blue");
    drop(&spec, &plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_product_and_union), cmocka_unit_test(test_names), cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_layouts_must_fit),  cmocka_unit_test(test_quality_is_counted_once), cmocka_unit_test(test_ten_thousand), cmocka_unit_test(test_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
