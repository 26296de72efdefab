// SPDX-License-Identifier: MIT
// Runs made up in memory: what differs by a known factor must come out with that verdict, what does not must not.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <gsl/gsl_randist.h>
#include <gsl/gsl_rng.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/compare/by.h"
#include "bench/compare/document.h"
#include "bench/compare/write.h"

enum { FORMATS = 3, LAYOUTS = 2, SAMPLES = 20 };
static const char *const formats[FORMATS] = {"f32", "q8g32", "q4g32"};
static const char *const layouts[LAYOUTS] = {"t1", "t2"};

struct made {
    char *cells, *samples;
    struct report_run run;
};

// Every cell runs at 1000·(format + 1)·(layout + 1) tokens/s times `factor` in decode, prefill at ten times that, with 1% of noise.
struct making {
    double factor[FORMATS];
    double ppl[FORMATS];
    const char *text_hash, *weights_hash, *failed_format, *name;
    int samples;
    unsigned long seed;
};

static void make_run(const struct making *making, struct made *made) {
    char error[512];
    size_t size;
    gsl_rng *rng = gsl_rng_alloc(gsl_rng_mt19937);
    gsl_rng_set(rng, making->seed);
    FILE *cells = open_memstream(&made->cells, &size), *samples = open_memstream(&made->samples, &size);
    fputs("cell,status,reason,model,method,prune_ratio,format,act,kv,batch,prompt,gen,layout,ranks,threads,provider,isa,device,prefill_tps,prefill_tps_lo,"
          "prefill_tps_hi,decode_tps,decode_tps_lo,decode_tps_hi,ppl,ppl_se,dlnppl,dlnppl_se,prune,weights_hash,text_hash\n", cells);
    fputs("cell,phase,index,ns,tokens,t_start,round\n", samples);
    for (int f = 0; f < FORMATS; f++)
        for (int l = 0; l < LAYOUTS; l++) {
            double speed = 1000.0 * (f + 1) * (l + 1) * making->factor[f];
            bool failed = making->failed_format && !strcmp(making->failed_format, formats[f]);
            fprintf(cells, "c%d%d,%s,%s,m,none,0,%s,q8,f32,1,32,16,%s,1,%d,own,avx2,cpu,", f, l, failed ? "failed" : "ok", failed ? "diverged: at token 3" : "",
                    formats[f], layouts[l], l + 1);
            if (failed)
                fputs(",,,,,,,,,", cells);
            else
                fprintf(cells, "%.9g,%.9g,%.9g,%.9g,%.9g,%.9g,%g,0.3,%g,0.001", 10 * speed, 9.9 * speed, 10.1 * speed, speed, 0.99 * speed, 1.01 * speed,
                        making->ppl[f], log(making->ppl[f] / 30));
            fprintf(cells, ",none,%s,%s\n", making->weights_hash, making->text_hash);
            for (int s = 0; s < making->samples && !failed; s++)
                for (int phase = 0; phase < 2; phase++)
                    fprintf(samples, "c%d%d,%s,%d,%.0f,16,0,%d\n", f, l, phase ? "decode" : "prefill", s,
                            16e9 / (phase ? speed : 10 * speed) * exp(gsl_ran_gaussian(rng, 0.01)), s * 2 / making->samples);
        }
    fclose(cells);
    fclose(samples);
    gsl_rng_free(rng);
    assert_int_equal(report_run_parse(made->cells, &made->run, error, sizeof error), 0);
    assert_int_equal(csv_table_parse(made->samples, strlen(made->samples), "samples.csv", &made->run.sample_table, error, sizeof error), 0);
    made->run.directory = making->name;
}

static void free_run(struct made *made) {
    report_run_free(&made->run);
    free(made->cells);
    free(made->samples);
}

static const struct making base = {{1, 1, 1}, {30, 30.1, 31}, "text", "weights", NULL, "first", SAMPLES, 1};

static const struct compared_cell *find(const struct comparison *comparison, const char *format) {
    for (size_t i = 0; i < comparison->cell_count; i++)
        if (!strcmp(comparison->cells[i].b->format, format))
            return &comparison->cells[i];
    fail_msg("no cell of %s", format);
    return NULL;
}

static void compare(const struct making *x, const struct making *y, struct made *a, struct made *b, struct comparison *comparison) {
    char error[512] = "";
    make_run(x, a);
    make_run(y, b);
    int result = compare_runs(&a->run, &b->run, &compare_defaults, comparison, error, sizeof error);
    if (result)
        fail_msg("%s", error);
}

static void finish(struct made *a, struct made *b, struct comparison *comparison) {
    compare_free(comparison);
    free_run(a);
    free_run(b);
}

static void test_verdicts(void **state) {
    (void)state;
    struct making other = base;
    struct made a, b;
    struct comparison comparison;
    other.factor[1] = 1.2, other.factor[2] = 0.85, other.seed = 2;
    compare(&base, &other, &a, &b, &comparison);
    assert_int_equal(comparison.cell_count, FORMATS * LAYOUTS);
    assert_int_equal(comparison.lone_count, 0);
    for (int phase = 0; phase < COMPARE_PHASES; phase++) {
        assert_int_equal(find(&comparison, "f32")->speed[phase].verdict, VERDICT_SAME);
        assert_int_equal(find(&comparison, "q8g32")->speed[phase].verdict, VERDICT_FASTER);
        assert_int_equal(find(&comparison, "q4g32")->speed[phase].verdict, VERDICT_SLOWER);
        assert_int_equal(comparison.verdicts[phase][VERDICT_FASTER], LAYOUTS);
        assert_int_equal(comparison.verdicts[phase][VERDICT_SLOWER], LAYOUTS);
        struct figure ratio = find(&comparison, "q8g32")->speed[phase].ratio;
        assert_true(ratio.lo < 1.2 && 1.2 < ratio.hi && ratio.hi - ratio.lo < 0.05);
        assert_true(fabs(comparison.geometric_mean[phase] - cbrt(1.2 * 0.85)) < 0.01);
    }
    assert_int_equal(comparison.worse + comparison.better, 0);
    // The fields of the document agree with the verdicts.
    struct report_run runs[2] = {a.run, b.run};
    struct compare_output output = {.runs = runs, .run_count = 2, .comparisons = &comparison};
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_int_equal(compare_write_document(&output, DOCUMENT_TEXT, out), 0);
    fclose(out);
    assert_non_null(strstr(text, "decode: 6 cells; 2 faster, 2 slower, 2 the same"));
    free(text);
    out = open_memstream(&text, &size);
    assert_int_equal(compare_write_json(&output, out), 0);
    fclose(out);
    json_t *json = json_loads(text, 0, NULL), *first = json_array_get(json_object_get(json, "comparisons"), 0);
    assert_int_equal(json_array_size(json_object_get(first, "cells")), 6);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(json_object_get(first, "verdicts"), "decode"), "slower")), 2);
    json_decref(json);
    free(text);
    out = open_memstream(&text, &size);
    assert_int_equal(compare_write_csv(&output, out), 0);
    fclose(out);
    struct csv_table table;
    char error[200];
    assert_int_equal(csv_table_parse(text, size, "compare.csv", &table, error, sizeof error), 0);
    assert_int_equal(table.rows, 12);
    assert_true(fabs(csv_table_number(&table, 5, csv_table_column(&table, "ratio")) - 1) < 0.3);
    csv_table_free(&table);
    free(text);
    finish(&a, &b, &comparison);
}

// The same speeds again and again: never a verdict.
static void test_no_false_alarm(void **state) {
    (void)state;
    for (unsigned long seed = 2; seed < 40; seed++) {
        struct making other = base;
        struct made a, b;
        struct comparison comparison;
        other.seed = seed;
        compare(&base, &other, &a, &b, &comparison);
        for (int phase = 0; phase < COMPARE_PHASES; phase++)
            assert_int_equal(comparison.verdicts[phase][VERDICT_FASTER] + comparison.verdicts[phase][VERDICT_SLOWER], 0);
        finish(&a, &b, &comparison);
    }
}

// One sample a cell gives no interval, so no verdict, however large the difference; nor do rounds that lie further apart than the runs.
static void test_no_verdict_without_ground(void **state) {
    (void)state;
    struct making few = base, few_other = base;
    struct made a, b;
    struct comparison comparison;
    few.samples = few_other.samples = 1;
    few_other.factor[0] = 3;
    compare(&few, &few_other, &a, &b, &comparison);
    assert_int_equal(comparison.verdicts[COMPARE_DECODE][VERDICT_AMBIGUOUS], 6);
    assert_non_null(strstr(find(&comparison, "f32")->speed[COMPARE_DECODE].why, "1 and 1 samples"));
    finish(&a, &b, &comparison);
}

static void test_quality(void **state) {
    (void)state;
    struct making worse = base, other_text = base, other_weights = base;
    struct made a, b;
    struct comparison comparison;
    worse.ppl[2] = 31.5;
    compare(&base, &worse, &a, &b, &comparison);
    const struct compared_cell *cell = find(&comparison, "q4g32");
    assert_true(cell->worse && !cell->better && fabs(cell->dlnppl.value - log(31.5 / 31)) < 1e-6);
    assert_true(find(&comparison, "q8g32")->dlnppl.hi == 0 && !find(&comparison, "q8g32")->worse);
    assert_int_equal(comparison.worse, LAYOUTS);
    finish(&a, &b, &comparison);

    other_text.text_hash = "another", other_text.ppl[2] = 60;
    compare(&base, &other_text, &a, &b, &comparison);
    assert_int_equal(comparison.worse, 0);
    assert_true(isnan(find(&comparison, "q4g32")->dlnppl.value));
    assert_non_null(strstr(comparison.quality_note, "different texts in 6 of 6"));
    finish(&a, &b, &comparison);

    char error[512] = "";
    other_weights.weights_hash = "others";
    make_run(&base, &a);
    make_run(&other_weights, &b);
    assert_int_equal(compare_runs(&a.run, &b.run, &compare_defaults, &comparison, error, sizeof error), -EINVAL);
    assert_non_null(strstr(error, "different weights"));
    finish(&a, &b, &comparison);
}

static void test_broken_and_lone(void **state) {
    (void)state;
    struct making broken = base;
    struct made a, b;
    struct comparison comparison;
    broken.failed_format = "q8g32";
    compare(&base, &broken, &a, &b, &comparison);
    assert_int_equal(comparison.broken, LAYOUTS);
    assert_true(find(&comparison, "q8g32")->broken && !find(&comparison, "q8g32")->speed[COMPARE_DECODE].present);
    finish(&a, &b, &comparison);
}

static void test_by(void **state) {
    (void)state;
    struct made a;
    struct by_table table;
    char error[512] = "";
    make_run(&base, &a);
    double watts = 50, cost = 2;
    assert_int_equal(by_build(&a.run, 1, &(struct by_options){.keys = "threads", .watts = &watts, .cost = &cost}, &table, error, sizeof error), 0);
    assert_int_equal(table.value_count, 2);
    assert_int_equal(table.group_count, FORMATS);
    assert_string_equal(table.values[1].name, "2 threads");
    assert_true(fabs(table.values[1].relative - 2) < 1e-9); // by construction
    assert_true(fabs(table.values[0].per_core - cbrt(1e3 * 2e3 * 3e3)) < 1e-6);
    assert_true(fabs(table.values[0].per_watt - cbrt(6e9) / 50) < 1e-6);
    assert_true(fabs(table.values[0].per_cost - cbrt(6e9) * 1800) < 1e-3);
    by_free(&table);
    assert_int_equal(by_build(&a.run, 1, &(struct by_options){.keys = "format"}, &table, error, sizeof error), 0);
    assert_int_equal(table.value_count, FORMATS);
    assert_int_equal(table.group_count, LAYOUTS);
    by_free(&table);
    assert_int_equal(by_build(&a.run, 1, &(struct by_options){.keys = "formats"}, &table, error, sizeof error), -EINVAL);
    assert_non_null(strstr(error, "did you mean 'format'"));
    by_free(&table);
    free_run(&a);
}

static void test_document(void **state) {
    (void)state;
    struct document *document = document_new();
    char *text;
    size_t size;
    document_heading(document, 2, "A %s", "heading");
    document_table(document, 2, (const char *[]){"a|b", "n"}, 2);
    document_row(document, (const char *[]){"×", "12"});
    document_row(document, (const char *[]){"<b>", NULL});
    FILE *out = open_memstream(&text, &size);
    assert_int_equal(document_write(document, DOCUMENT_TEXT, out), 0);
    fclose(out);
    assert_string_equal(text, "A heading\n---------\n  a|b   n\n  ×    12\n  <b>    \n\n");
    free(text);
    out = open_memstream(&text, &size);
    assert_int_equal(document_write(document, DOCUMENT_MARKDOWN, out), 0);
    fclose(out);
    assert_string_equal(text, "## A heading\n\n| a\\|b | n |\n|---|---:|\n| × | 12 |\n| \\<b\\> |  |\n\n");
    free(text);
    out = open_memstream(&text, &size);
    assert_int_equal(document_write(document, DOCUMENT_HTML, out), 0);
    fclose(out);
    assert_non_null(strstr(text, "<td>&lt;b&gt;</td>"));
    free(text);
    document_free(document);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts), cmocka_unit_test(test_no_false_alarm), cmocka_unit_test(test_no_verdict_without_ground),
        cmocka_unit_test(test_quality), cmocka_unit_test(test_broken_and_lone), cmocka_unit_test(test_by), cmocka_unit_test(test_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
