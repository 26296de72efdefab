// SPDX-License-Identifier: MIT
// Other programs beside ours: what llama-bench prints is read by names, and a peer that fails, hangs or talks nonsense is an error.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "bench/model/gguf.h"
#include "bench/model/model.h"
#include "bench/workloads/peers.h"
#include "bench/workloads/peers_process.h"

#define CLOSE(a, b) assert_true(((a) > (b) ? (a) - (b) : (b) - (a)) <= 1e-9 * (b))

static char error[512];

// Columns in another order than any release's, keys that nobody knows, a message before the array.
static void test_speeds_by_name(void **state) {
    (void)state;
    struct peer_speeds speeds;
    const char *text = "loading [model]\n[\n {\"avg_ts\": 40.5, \"n_gen\": 64, \"other\": [1, 2], \"n_prompt\": 0, \"build_commit\": \"abc\","
                       " \"build_number\": 7},\n {\"n_prompt\": 512, \"n_gen\": 0, \"avg_ts\": 1000.25, \"build_number\": \"7\", \"build_commit\": \"abc\"},\n"
                       " {\"n_prompt\": 512, \"n_gen\": 64, \"avg_ts\": 300, \"build_number\": 7, \"build_commit\": \"abc\"}\n]\n";
    assert_int_equal(peer_speeds_parse(text, &speeds, error, sizeof error), 0);
    CLOSE(speeds.prefill, 1000.25);
    CLOSE(speeds.decode, 40.5);
    assert_string_equal(speeds.build, "abc (7)");
}

static void test_speeds_missing(void **state) {
    (void)state;
    struct peer_speeds speeds;
    assert_int_not_equal(peer_speeds_parse("usage: llama-bench", &speeds, error, sizeof error), 0);
    assert_non_null(strstr(error, "no JSON array"));
    assert_int_not_equal(peer_speeds_parse("[{\"n_prompt\": 512, \"n_gen\": 0, \"avg_ts\": 10}]", &speeds, error, sizeof error), 0);
    assert_non_null(strstr(error, "decode"));
    // a row of prompt and generation together is neither
    assert_int_not_equal(peer_speeds_parse("[{\"n_prompt\": 512, \"n_gen\": 64, \"avg_ts\": 10}]", &speeds, error, sizeof error), 0);
}

static void test_process(void **state) {
    (void)state;
    char *output;
    assert_int_equal(peer_process_run((const char *const[]){"sh", "-c", "echo out; echo said >&2", NULL}, "/tmp", 10, &output, error, sizeof error), 0);
    assert_string_equal(output, "out\n");
    free(output);
    assert_true(peer_process_run((const char *const[]){"sh", "-c", "echo why >&2; exit 3", NULL}, "/tmp", 10, &output, error, sizeof error) < 0);
    assert_non_null(strstr(error, "why"));
    assert_null(output);
    assert_true(peer_process_run((const char *const[]){"sh", "-c", "exec sleep 30", NULL}, "/tmp", 1, &output, error, sizeof error) < 0);
    assert_non_null(strstr(error, "longer than 1 s"));
    assert_true(peer_process_run((const char *const[]){"/no/such/program", NULL}, "/tmp", 1, &output, error, sizeof error) < 0);
}

static void write_script(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0755), 0);
}

// A peer of shell: its quantizer knows one type, and its speeds do not change.
static void test_compare(void **state) {
    (void)state;
    char folder[] = "/tmp/llmsweep-test-XXXXXX", bench[64], quantize[64];
    assert_non_null(mkdtemp(folder));
    assert_int_equal(setenv("TMPDIR", folder, 1), 0);
    snprintf(bench, sizeof bench, "%s/llama-bench", folder);
    snprintf(quantize, sizeof quantize, "%s/llama-quantize", folder);
    write_script(quantize, "#!/bin/sh\n[ \"$4\" = Q8_0 ] && cp \"$2\" \"$3\"\n");
    write_script(bench, "#!/bin/sh\n[ -s \"$2\" ] || exit 1\n: > left-behind\n"
                        "echo '[{\"n_prompt\":32,\"n_gen\":0,\"avg_ts\":100},{\"n_prompt\":0,\"n_gen\":4,\"avg_ts\":10}]'\n");
    const struct model_config config = {.name = "t", .vocab = 256, .d_model = 64, .layers = 1, .heads = 2, .kv_heads = 1, .head_dim = 32,
                                        .ffn = 128, .context = 64, .rope_theta = 10000, .norm_eps = 1e-5f};
    const struct peers_options options = {.prompt = 32, .gen = 4, .pairs = 6, .limit = 20, .activation = ACTIVATION_Q8G};
    const struct peer peer = {bench, quantize};
    struct peers *peers;
    struct peer_result result;
    assert_int_equal(peers_open(&peers, &config, &options, error, sizeof error), 0);
    assert_int_equal(peers_compare(peers, &peer, "q8g32", "Q8_0", 1, &result, error, sizeof error), 0);
    for (int phase = 0; phase < PEER_PHASES; phase++) {
        const double theirs = phase == PEER_PREFILL ? 100 : 10;
        CLOSE(result.phase[phase].theirs.estimate, theirs);
        assert_true(result.phase[phase].ours.lo > 0 && result.phase[phase].roof_fraction > 0);
        CLOSE(result.phase[phase].ratio.estimate, result.phase[phase].ours.estimate / theirs);
        assert_true(result.phase[phase].ratio.coverage >= 0.95);
    }
    assert_true(peers_compare(peers, &peer, "q8g32", "Q9_9", 1, &result, error, sizeof error) < 0);
    write_script(bench, "#!/bin/sh\necho broken >&2; exit 1\n");
    assert_true(peers_compare(peers, &peer, "q8g32", "Q8_0", 1, &result, error, sizeof error) < 0);
    assert_non_null(strstr(error, "broken"));
    peers_close(peers);
    assert_int_equal(unlink(bench) | unlink(quantize), 0);
    assert_int_equal(rmdir(folder), 0); // nothing else is left in it
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_speeds_by_name), cmocka_unit_test(test_speeds_missing),
                                       cmocka_unit_test(test_process), cmocka_unit_test(test_compare)};
    return cmocka_run_group_tests_name("peers", tests, NULL, NULL);
}
