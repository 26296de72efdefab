// SPDX-License-Identifier: MIT
// What a report says about small runs whose answers are known, and that hostile text stays text.
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "bench/report/findings.h"
#include "bench/report/kernel_rows.h"
#include "bench/report/page.h"
#include "bench/report/plots.h"
#include "bench/report/text.h"

#define HEADER                                                                                                                   \
    "cell,status,reason,model,method,prune_ratio,format,batch,layout,ranks,threads,decode_tps,decode_tps_lo,decode_tps_hi,ppl,"  \
    "dlnppl,dlnppl_se,weight_bytes,roof_fraction,roof_note,itl_ms_p50,comm_share\n"

static char error[512];

static void load(const char *csv, struct report_run *run) {
    *error = '\0';
    assert_int_equal(report_run_parse(csv, run, error, sizeof error), 0);
}

static const struct report_cell *cell(const struct report_run *run, const char *id) {
    for (size_t i = 0; i < run->cell_count; i++)
        if (!strcmp(run->cells[i].id, id))
            return &run->cells[i];
    fail_msg("no cell %s", id);
    return NULL;
}

// All that is said of a model, as plain text: "Topic: text" lines. The caller frees.
static char *said(const struct report_run *run, int model) {
    struct findings findings;
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_int_equal(findings_model(run, model, &findings), 0);
    for (size_t i = 0; i < findings.count; i++) {
        fprintf(out, "%s: ", findings.list[i].topic);
        finding_plain(out, findings.list[i].text);
        fputc('\n', out);
    }
    fclose(out);
    findings_free(&findings);
    return text;
}

static void assert_says(const char *text, const char *part) {
    if (!strstr(text, part))
        fail_msg("expected \"%s\" in:\n%s", part, text);
}
static void assert_silent(const char *text, const char *part) {
    if (strstr(text, part))
        fail_msg("did not expect \"%s\" in:\n%s", part, text);
}

static void check(const char *csv, const char *const *says, const char *const *silent) {
    struct report_run run;
    load(csv, &run);
    char *text = said(&run, 0);
    for (; says && *says; says++)
        assert_says(text, *says);
    for (; silent && *silent; silent++)
        assert_silent(text, *silent);
    assert_silent(text, "nan");
    assert_silent(text, "inf");
    free(text);
    report_run_free(&run);
}
#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_fastest_and_budget(void **state) {
    (void)state;
    check(HEADER "a,ok,,m,none,0,f32,1,t1,1,1,100,99,101,20,0,0,4000,0.9,bandwidth,10,\n"
                 "b,ok,,m,none,0,q8g32,1,t1,1,1,200,198,202,20.02,0.001,0.0005,1000,0.7,bandwidth,5,\n"
                 "c,ok,,m,none,0,q5g32,1,t1,1,1,250,248,252,20.18,0.009,0.002,700,0.6,bandwidth,4,\n"
                 "d,ok,,m,none,0,q4g32,1,t1,1,1,300,297,303,20.6,0.03,0.002,500,0.5,bandwidth,3.3,\n",
          LIST("Fastest: q4g32: 300 tokens/s (297–303), 3.00× (2.96–3.04) its unpruned f32, +3.0% perplexity (+2.6% to +3.5%).",
               "with 95% certainty: q8g32, 200 tokens/s (198–202), +0.10% perplexity", // not q5, which is only perhaps inside
               "Undecided, as its interval reaches beyond the budget: q5g32", "- q4g32: 50% of its roof",
               "- q8g32: 70% of its roof (reading bytes from memory). Fewer bytes or more bandwidth",
               "q8g32: 2.00× (1.97–2.03)", "Not varied, so nothing is said about it: prune, batch and layout."),
          LIST("Too close", "One sequence", "Pruning:", "Batch:", "Layout:"));
}

static void test_budget_kept_by_the_reference_alone(void **state) {
    (void)state;
    check(HEADER "a,ok,,m,none,0,f32,1,t1,1,1,100,99,101,20,0,,4000,,,,\n"
                 "b,ok,,m,none,0,q4g32,1,t1,1,1,300,297,303,20.1,0.005,,500,,,,\n",
          // Without a standard error the second cell can't be sure.
          LIST("certainty: f32, 100 tokens/s (99.0–101), the perplexity of the reference.", "Undecided", "no roof was measured"), NULL);
    check(HEADER "b,ok,,m,none,0,q4g32,1,t1,1,1,300,297,303,25,0.22,0.001,500,,,,\n", LIST("no cell is surely inside it"), NULL);
}

static void test_ties(void **state) {
    (void)state;
    check(HEADER "a,ok,,m,none,0,f32,1,t1,1,1,100,97,103,,,,,,,,\n"
                 "b,ok,,m,none,0,bf16,1,t1,1,1,101,98,104,,,,,,,,\n"
                 "c,ok,,m,none,0,q8g32,1,t1,1,1,100,97,103,,,,,,,,\n",
          LIST("Fastest: bf16: 101 tokens/s", "Too close to call: f32 and 1 more, whose intervals overlap with its.",
               "Quality was not measured for this model"),
          LIST("perplexity ("));
}

static void test_one_sequence_apart_from_all(void **state) {
    (void)state;
    check(HEADER "a,ok,,m,none,0,f32,1,t1,1,1,100,99,101,,,,,0.95,bandwidth,10,\n"
                 "b,ok,,m,none,0,f32,8,t1,1,1,600,595,605,,,,,1.31,compute,13,\n",
          LIST("Fastest: f32, batch 8: 600 tokens/s (595–605) over all sequences.", "For one sequence at a time: f32, batch 1, 100 tokens/s",
               "- f32, 1 to 8: 6.00× (5.92–6.08) (ideal: 8×); each sequence waits 13.0 ms for a token instead of 10.0 ms",
               "131% of its roof (arithmetic). A share above 100% marks a mistake",
               "1 cell is faster than its roof allows"),
          LIST("Too close", "its unpruned"));
}

static void test_roof_that_moved(void **state) {
    (void)state;
    struct report_run run;
    load(HEADER "a,ok,,m,none,0,f32,1,t1,1,1,100,99,101,,,,,1.2,bandwidth over,10,\n"
                "b,ok,,m,none,0,f32,8,t1,1,1,600,595,605,,,,,1.31,compute over,13,\n", &run);
    run.json = json_pack("{s:{s:{s:[f,f]},s:{s:[f,f]}}}", "roofs", "t1", "stream", 33.04e9, 28.36e9, "t2", "stream", 1e9, 9e9);
    char *text = said(&run, 0);
    assert_says(text, "120% of its roof (reading bytes from memory). A share above 100% marks a mistake in the count of bytes or in the roof "
                      "(layout t1: 28.4 to 33.0 GB/s in this run, as where others share the memory): do not build on it.");
    assert_says(text, "131% of its roof (arithmetic). A share above 100% marks a mistake in the count of bytes or in the roof: do not");
    free(text);
    json_decref(run.json);
    run.json = json_pack("{s:{s:{s:[f,f]}}}", "roofs", "t1", "stream", 30e9, 30.1e9);
    text = said(&run, 0);
    assert_silent(text, "in this run");
    free(text);
    report_run_free(&run);
}

static void test_layouts(void **state) {
    (void)state;
    check(HEADER "a,ok,,m,none,0,f32,8,t1,1,1,100,100,100,,,,,,,,\n"
                 "b,ok,,m,none,0,f32,8,t2,1,2,180,178,182,,,,,,,,0\n"
                 "c,ok,,m,none,0,f32,8,tp2,2,1,140,139,141,,,,,,,,0.25\n"
                 "d,skipped,needs 4 cores,m,none,0,f32,8,tp4,4,1,,,,,,,,,,,\n",
          LIST("Speed against t1 (unpruned):", "- t2: 1.80× (1.78–1.82) on 2× the threads, 90% efficient\n",
               "- tp2: 1.40× (1.39–1.41) on 2× the threads, 70% efficient, 25% of its time in communication"),
          LIST("tp4", "Batch:"));
}

static void test_pruning_and_why_it_gave_nothing(void **state) {
    (void)state;
    check(HEADER "a,ok,,m,none,0,f32,1,t1,1,1,100,99,101,20,0,0,4000,0.9,bandwidth,,\n"
                 "b,ok,,m,magnitude,0.5,f32+s50,1,t1,1,1,150,149,151,25,0.22,0.01,2100,0.8,bandwidth,,\n"  // a gain
                 "c,ok,,m,none,0,q2g32,1,t1,1,1,400,396,404,40,0.7,0.01,310,0.9,bandwidth,,\n"
                 "d,ok,,m,magnitude,0.5,q2g32+s50,1,t1,1,1,300,297,303,50,0.9,0.01,310,0.7,bandwidth,,\n"  // no fewer bytes
                 "e,ok,,m,none,0,q8g32,1,t1,1,1,200,198,202,20,0.001,0.001,1060,0.9,cache:bandwidth,,\n"
                 "f,ok,,m,magnitude,0.5,q8g32+s50,1,t1,1,1,190,188,192,25,0.22,0.01,690,0.5,cache:bandwidth,,\n" // unpacking
                 "g,ok,,m,none,0,f32,32,t1,1,1,900,891,909,20,0,0,4000,0.9,compute,,\n"
                 "h,ok,,m,magnitude,0.5,f32+s50,32,t1,1,1,850,842,858,25,0.22,0.01,2100,0.8,compute,,\n"   // arithmetic
                 "i,ok,,m,none,0,q4g32,32,t1,1,1,950,,,20,0,0,560,0.9,bandwidth,,\n"
                 "j,ok,,m,magnitude,0.5,q4g32+s50,32,t1,1,1,990,,,25,0.22,0.01,380,0.8,bandwidth,,\n"      // no interval
                 "k,ok,,m,none,0,q3g32,32,t1,1,1,950,900,1000,20,0,0,560,0.9,bandwidth,,\n"
                 "l,ok,,m,magnitude,0.5,q3g32+s50,32,t1,1,1,940,880,1000,25,0.22,0.01,380,0.8,bandwidth,,\n", // too wide
          LIST("Of 6 pairs that differ in pruning only, 1 is surely faster pruned, 3 surely not (less than 5%), 2 too uncertain to tell.",
               "- in 1 the pruned weights take no fewer bytes", "- in 1 arithmetic is the lower roof",
               "- in 1 the pruned kernel gets less out of its roof", "in 1 of these the weights fit in the last-level cache",
               "- 50%: q2g32 0.75× (0.74–0.76) to f32 1.50× (1.48–1.52); f32 +25% perplexity"),
          LIST("show no reason"));
    check(HEADER "a,ok,,m,none,0,f32,1,t1,1,1,100,99,101,,,,4000,,,,\n"
                 "b,ok,,m,magnitude,0.9,f32+s90,1,t1,1,1,300,297,303,,,,600,,,,\n",
          LIST("Of 1 pair that differs in pruning only, 1 is surely faster pruned, 0 surely not (less than 5%)."), LIST("Of those", "uncertain"));
}

static void test_nothing_timed(void **state) {
    (void)state;
    check(HEADER "a,failed,died,m,none,0,f32,1,t1,1,1,,,,,,,,,,,\nb,oom,too big,m,none,0,f32,8,t1,1,1,,,,,,,,,,,\n",
          LIST("No figures: No cell of this model was timed"), LIST("Fastest"));
    struct report_run run;
    load(HEADER, &run);
    assert_int_equal(run.model_count, 0);
    struct findings findings;
    assert_int_equal(findings_run(&run, &findings), 0);
    assert_string_equal(findings.list[0].text, "0 cells.");
    findings_free(&findings);
    report_run_free(&run);
}

static void test_models_are_apart(void **state) {
    (void)state;
    struct report_run run;
    load(HEADER "a,ok,,one,none,0,f32,1,t1,1,1,100,99,101,20,0,0,,,,,\n"
                "b,noisy,wide,two,none,0,q4g32,1,t1,1,1,900,800,1000,,,,,,,,\n"
                "c,mystery,?,two,none,0,f32,1,t1,1,1,5000,,,,,,,,,,\n"
                "d,ok,,one,none,0,f32,1,t1,1,1", // torn
         &run);
    assert_int_equal(run.model_count, 2);
    assert_true(run.torn);
    char *one = said(&run, 0), *two = said(&run, 1);
    assert_says(one, "Fastest: f32: 100 tokens/s");
    assert_silent(one, "900");
    assert_says(two, "900 tokens/s (800–1000)");
    assert_says(two, "1 of 1 cells is noisy");
    assert_silent(two, "5000"); // a status that is not known gives no figure
    struct findings findings;
    assert_int_equal(findings_run(&run, &findings), 0);
    assert_string_equal(findings.list[0].text, "3 cells: 1 ok, 1 noisy, 1 of a status that this version does not know. A file ends in a "
                                               "torn row, which was left out: the run was interrupted.");
    findings_free(&findings);
    free(one);
    free(two);
    report_run_free(&run);
}

static void test_prefill_where_nothing_is_generated(void **state) {
    (void)state;
    struct report_run run;
    load("cell,status,model,format,batch,layout,decode_tps,prefill_tps,prefill_tps_lo,prefill_tps_hi\n"
         "a,ok,m,f32,1,t1,,500,490,510\n", &run);
    assert_string_equal(run.speed_name, "prefill");
    assert_true(run.cells[0].timed && run.cells[0].speed.value == 500);
    report_run_free(&run);
}

static void test_ratio(void **state) {
    (void)state;
    struct figure ratio = figure_ratio((struct figure){200, 190, 210}, (struct figure){100, 100, 100});
    assert_true(fabs(ratio.value - 2) < 1e-12 && fabs(ratio.lo - 1.9) < 1e-12 && fabs(ratio.hi - 2.1) < 1e-12);
    ratio = figure_ratio((struct figure){100, 90, 110}, (struct figure){100, 90, 110}); // √2 of each, in the logarithm
    assert_true(fabs(log(ratio.hi) - hypot(log(1.1), log(1 / 0.9))) < 1e-12);
    assert_true(fabs(log(ratio.lo) + hypot(log(1 / 0.9), log(1.1))) < 1e-12);
    assert_true(isnan(figure_ratio((struct figure){NAN, NAN, NAN}, ratio).value));
}

static void test_refuses_what_is_no_run(void **state) {
    (void)state;
    struct report_run run;
    assert_int_equal(report_run_parse("a,b\n1,2\n", &run, error, sizeof error), -EINVAL);
    assert_says(error, "no column 'cell'");
    report_run_free(&run);
    assert_int_equal(report_run_load("tests/golden/no such run", &run, error, sizeof error), -ENOENT);
    assert_says(error, "tests/golden/no such run/cells.csv");
    report_run_free(&run);
}

#define EVIL "<script>alert(1)</script>\"'&"
static void test_hostile_text_stays_text(void **state) {
    (void)state;
    struct report_run run;
    char *html = NULL;
    size_t size;
    load("cell,status,reason,model,method,prune_ratio,format,batch,layout,decode_tps,prune\n"
         "\"<script>alert(1)</script>\"\"'&\",ok,,\"<script>alert(1)</script>\"\"'&\",none,0,\"<script>alert(1)</script>\"\"'&\",1,"
         "\"<script>alert(1)</script>\"\"'&\",10,\"<script>alert(1)</script>\"\"'&\"\n"
         "b,failed,\"<script>alert(1)</script>\"\"'&\",\"<script>alert(1)</script>\"\"'&\",none,0,f32,1,t1,,none\n",
         &run);
    assert_string_equal(run.cells[0].model, EVIL);
    struct findings findings[1];
    struct report_plot *plots = calloc(report_plot_count + report_kernel_plot_count, sizeof *plots);
    assert_int_equal(findings_model(&run, 0, findings), 0);
    for (size_t i = 0; i < report_plot_count + report_kernel_plot_count; i++) {
        FILE *data = tmpfile();
        if (i < report_plot_count)
            report_plot_prepare(&run, 0, i, &plots[i], data);
        else
            report_kernels_prepare(&run, i - report_plot_count, &plots[i], data);
        rewind(data);
        for (int c; (c = fgetc(data)) != EOF;)
            assert_null(strchr("<>&'`\\", c));
        assert_null(strchr(plots[i].variables, '<'));
        fclose(data);
    }
    FILE *out = open_memstream(&html, &size);
    report_page_write(out, &(struct report_page){&run, findings, plots});
    fclose(out);
    assert_silent(html, "<script>alert");
    assert_says(html, "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;");
    free(html);
    free(plots);
    findings_free(findings);
    report_run_free(&run);
}

// Of ours the scalar ones are left aside; what is above its roof is counted and is no best; the bound is the lower roof, also where the
// file does not name it.
static void test_kernels(void **state) {
    (void)state;
    static const char csv[] = "kernel,op,isa,shape,cache,median_ns,lo,hi,gops,gbs,roof,roof_fraction,checked,status,bound,provider\n"
                              "linear_q8_q4_avx2,linear,avx2,q4g32 16x32 m1,cold,100,99,101,60,10,20,0.5,yes,ok,bandwidth,own\n"
                              "linear_q8_q4_avx2,linear,avx2,q4g32 16x32 m128,hot,100,99,101,80,1,100,0.8,yes,ok,compute,own\n"
                              "linear_q8_q8_avx2,linear,avx2,q8g32 16x32 m1,cold,100,99,101,60,16,20,0.8,yes,noisy,,own\n"
                              "linear_q8_q6_avx2,linear,avx2,q6g32 16x32 m1,cold,100,99,101,60,30,20,1.5,yes,ok,bandwidth,own\n"
                              "linear_f32_f32_onednn,linear,scalar,f32 16x32 m1,cold,100,99,101,60,18,20,0.9,yes,ok,bandwidth,onednn\n"
                              "linear_q8_any_scalar,linear,scalar,q8g32 16x32 m1,cold,100,99,101,60,19,20,0.95,yes,ok,bandwidth,own\n"
                              "broken,linear,avx2,q8g32 16x32 m1,cold,,,,,,,,yes,ok,bandwidth,own\n";
    struct report_run run;
    struct findings found;
    char figures[512];
    size_t count;
    load(HEADER "ab,ok,,m,none,0,f32,1,t1,1,1,100,99,101,20,0,0,4000,0.9,bandwidth,,\n", &run);
    assert_int_equal(findings_kernels(&run, &found), 0);
    assert_int_equal(found.count, 0);
    assert_int_equal(csv_table_parse(csv, sizeof csv - 1, "kernels.csv", &run.kernel_table, error, sizeof error), 0);
    struct kernel_row *rows = kernel_rows(&run, &count);
    assert_int_equal(count, 6);
    assert_true(rows[2].memory_bound && rows[2].noisy && rows[2].cold && !rows[1].memory_bound && !rows[1].cold);
    assert_true(rows[0].bandwidth == 20 && rows[1].peak == 100 && isnan(rows[0].peak));
    kernel_row_figures(&rows[0], figures, sizeof figures);
    assert_says(figures, "linear_q8_q4_avx2\nq4g32 16x32 m1, cold\n100 ns (99.0–101)\n60.0 GOP/s, 10.0 GB/s\n50% of its roof (bandwidth)");
    free(rows);
    assert_int_equal(findings_kernels(&run, &found), 0);
    assert_int_equal(found.count, 1);
    assert_says(found.list[0].text, "5 kernels were timed by themselves, 6 timings");
    assert_says(found.list[0].text, "where reading bytes bounds, 2 of 3 timings reach three quarters of the roof; half of them reach 80% or more; "
                                    "the best is linear_q8_q8_avx2 (q8g32 16x32 m1) at 80%");
    assert_says(found.list[0].text, "where arithmetic bounds, 1 of 1 timings reach");
    assert_says(found.list[0].text, "1 of the timings is noisy");
    assert_says(found.list[0].text, "1 is above the roof");
    findings_free(&found);
    report_run_free(&run);
}

static void test_svg(void **state) {
    (void)state;
    struct report_run run;
    load(HEADER "ab,ok,,m,none,0,f32,1,t1,1,1,100,99,101,20,0,0,4000,0.9,bandwidth,,\n", &run);
    char *svg = report_svg_inline(
        &run,
        "<?xml version=\"1.0\"?><svg width=\"5\" viewBox=\"0 0 560 400\" xmlns=\"http://www.w3.org/2000/svg\">"
        "<g id=\"gnuplot_canvas\">\n<g id='gpPt6'/><g fill=\"none\" color=\"black\" x>\n</g>"
        "<path stroke='rgb(  0, 114, 178)'/><path fill='rgb(1,2,3)'/>"
        "<g onmousemove=\"gnuplot_svg.showHypertext(evt,'cell0')\" onmouseout=\"gnuplot_svg.hideHypertext()\"><title> </title>\n"
        "<use xlink:href='#gpPt6' color='black'/></g></g></svg>",
        "pareto", "a <title>");
    assert_non_null(svg);
    assert_says(svg, "<svg viewBox=\"0 0 560 400\" role=\"img\" aria-label=\"a &lt;title&gt;\">");
    assert_says(svg, "<a href=\"#cell-ab\"><title>f32\ndecode: 100 tokens/s (99.0–101)");
    assert_says(svg, "<use href='#pareto-gpPt6' color=\"currentColor\"/></a></g></svg>");
    assert_says(svg, "id='pareto-gpPt6'");
    assert_says(svg, "var(--c1)");
    assert_says(svg, "#010203");
    assert_silent(svg, "http");
    assert_silent(svg, "onmouse");
    assert_silent(svg, "x>");
    free(svg);
    assert_null(report_svg_inline(&run, "not a picture", "x", "x"));
    report_run_free(&run);
}

static void test_numbers(void **state) {
    (void)state;
    static const struct {
        double value;
        const char *text;
    } numbers[] = {{0, "0"},         {0.00012, "0.00012"}, {0.0123, "0.0123"}, {0.456, "0.456"}, {1, "1.00"},    {9.996, "10.0"},
                   {12.345, "12.3"}, {99.96, "100"},       {999.6, "1000"},    {1234, "1230"},   {12345, "12\u202f300"},
                   {1e6, "1\u202f000\u202f000"},           {NAN, "–"},         {INFINITY, "–"}};
    static const struct {
        double value;
        const char *text;
    } changes[] = {{1, "±0%"}, {1.001, "+0.10%"}, {1.031, "+3.1%"}, {1.5, "+50%"}, {0.98, "−2.0%"}, {2.5, "×2.50"}, {NAN, "–"}};
    char text[64];
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        assert_string_equal(number_text(numbers[i].value, text, sizeof text), numbers[i].text);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        assert_string_equal(change_text(changes[i].value, text, sizeof text), changes[i].text);
    assert_string_equal(bytes_text(23456789, text, sizeof text), "23.5 MB");
    assert_string_equal(bytes_text(999.7, text, sizeof text), "1.00 kB");
}

// The slice that the plots of pruning are drawn at: where pruned cells are, not where most cells are.
static bool is_pruned(const struct report_cell *cell) {
    return strcmp(cell->axis[AXIS_PRUNE], "none");
}
static void test_slice(void **state) {
    (void)state;
    struct report_run run;
    load(HEADER "a,ok,,m,none,0,f32,1,t1,1,1,100,,,,,,,,,,\nb,ok,,m,none,0,q8g32,1,t1,1,1,100,,,,,,,,,,\n"
                "c,ok,,m,none,0,f32,8,t2,1,2,100,,,,,,,,,,\nd,ok,,m,magnitude,0.5,f32+s50,8,t2,1,2,100,,,,,,,,,,\n"
                "e,ok,,m,n:m,0.5,f32+2:4,8,t1,1,1,100,,,,,,,,,,\n", &run);
    unsigned fixed = 1u << AXIS_BATCH | 1u << AXIS_LAYOUT;
    char label[128];
    report_slice_label(&run, report_slice(&run, 0, fixed, 0, NULL), fixed, label, sizeof label);
    assert_string_equal(label, "batch 1, layout t1");
    report_slice_label(&run, report_slice(&run, 0, fixed, LARGEST_BATCH, NULL), fixed, label, sizeof label);
    assert_string_equal(label, "batch 8, layout t2");
    report_slice_label(&run, report_slice(&run, 0, fixed, 0, is_pruned), fixed, label, sizeof label);
    assert_string_equal(label, "batch 8, layout t2"); // as many as at t1: the more threads
    assert_null(report_slice(&run, 1, fixed, 0, NULL));
    assert_string_equal(cell(&run, "d")->axis[AXIS_PRUNE], "50%");
    assert_string_equal(cell(&run, "e")->axis[AXIS_PRUNE], "2:4");
    assert_string_equal(cell(&run, "d")->axis[AXIS_VARIANT], "f32");
    const char *order[] = {"a", "c", "d", "e", "b"}; // by format, pruning, batch, layout, whatever the order of the file
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(run.cells[i].id, order[i]);
    report_run_free(&run);
}

// Activations and providers are in a format's name only where they tell cells apart.
static void test_variants(void **state) {
    (void)state;
    struct report_run run;
    load("cell,status,model,format,act,provider,isa,batch,layout,decode_tps\n"
         "a,ok,m,f32,f32,own,avx512,1,t1,1\nb,ok,m,f32,f32,openblas,avx512,1,t1,1\n"
         "c,ok,m,q4g32,q8,own,avx512vnni,1,t1,1\nd,ok,m,q4g32,f32,own,avx512,1,t1,1\n"
         "e,ok,m,q8g32,q8,own,avx2,1,t1,1\nf,ok,m,q8g32,q8,own,avx512vnni,1,t1,1\ng,ok,m,q2g32,q8,own,avx2,1,t1,1\n", &run);
    const char *expected[] = {"f32 own", "f32 openblas", "q4g32 act q8", "q4g32 act f32", "q8g32 avx2", "q8g32 avx512vnni", "q2g32"};
    for (size_t i = 0; i < 7; i++)
        assert_string_equal(cell(&run, (char[]){(char)('a' + (int)i), '\0'})->axis[AXIS_VARIANT], expected[i]);
    report_run_free(&run);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fastest_and_budget),
        cmocka_unit_test(test_budget_kept_by_the_reference_alone),
        cmocka_unit_test(test_ties),
        cmocka_unit_test(test_one_sequence_apart_from_all),
        cmocka_unit_test(test_roof_that_moved),
        cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_pruning_and_why_it_gave_nothing),
        cmocka_unit_test(test_nothing_timed),
        cmocka_unit_test(test_models_are_apart),
        cmocka_unit_test(test_prefill_where_nothing_is_generated),
        cmocka_unit_test(test_ratio),
        cmocka_unit_test(test_refuses_what_is_no_run),
        cmocka_unit_test(test_hostile_text_stays_text),
        cmocka_unit_test(test_kernels), cmocka_unit_test(test_svg),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_slice),
        cmocka_unit_test(test_variants),
    };
    return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
