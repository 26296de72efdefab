// SPDX-License-Identifier: MIT
#include "harness/roof.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cpuid.h>

#include <omp.h>

#include "harness/clock.h"
#include "harness/roof_loops.h"

enum { PAGE = 4096, HUGE_PAGE = 2 << 20, STREAM_CHUNK = 256 << 10, STREAM_TOUCH = 64 << 10, SAMPLES = 25, LEAST_SAMPLES = 6, SPINS = 20000 };

static const char *const isa_names[ROOF_ISA_COUNT] = {"scalar", "avx2", "avx512", "avx512vnni", "avx512bf16", "amx"};

const char *roof_isa_name(enum roof_isa isa) {
    return isa_names[isa];
}

int roof_isa_parse(const char *word, enum roof_isa *isa) {
    for (int i = 0; i < ROOF_ISA_COUNT; i++)
        if (strcmp(word, isa_names[i]) == 0) {
            *isa = (enum roof_isa)i;
            return 0;
        }
    return -EINVAL;
}

// Linux saves AMX's registers only for processes that ask.
static bool may_use_matrix_tiles(void) {
    enum { BF16_BIT = 1 << 22, TILE_BIT = 1 << 24, INT8_BIT = 1 << 25, ARCH_REQUEST_STATE = 0x1023, TILE_DATA = 18 };
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & BF16_BIT) && (d & TILE_BIT) && (d & INT8_BIT) &&
           syscall(SYS_arch_prctl, ARCH_REQUEST_STATE, TILE_DATA) == 0;
}

enum roof_isa roof_isa_detect(void) {
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return ROOF_SCALAR;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
        return ROOF_AVX2;
    if (!__builtin_cpu_supports("avx512vnni"))
        return ROOF_AVX512;
    if (!__builtin_cpu_supports("avx512bf16"))
        return ROOF_AVX512VNNI;
    return may_use_matrix_tiles() ? ROOF_AMX : ROOF_AVX512BF16;
}

// ---------------------------------------------------------------------------------------------------------------------
// A thread's share of the buffers, written by that thread first.
struct lane {
    char *stream, *hot;
    size_t position;        // in the stream: the next chunk to read
    volatile uint64_t sink; // what the loops return, so that they are not left out
} __attribute__((aligned(128)));

struct roof_bench {
    struct roof_request request;
    size_t stream_share, hot_share; // bytes of a lane
    struct lane *lanes;             // (threads)
};

static size_t round_up(size_t bytes, size_t unit) {
    return (bytes + unit - 1) / unit * unit;
}

// NULL where there is no memory. Written, as pages that were never written are all one page of zeros.
static char *map_buffer(size_t bytes) {
    char *buffer = mmap(NULL, round_up(bytes, HUGE_PAGE), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (buffer == MAP_FAILED)
        return NULL;
    madvise(buffer, round_up(bytes, HUGE_PAGE), MADV_HUGEPAGE);
    for (size_t i = 0; i < bytes; i += PAGE)
        buffer[i] = 1;
    return buffer;
}

static void open_lane(struct roof_bench *bench, int thread) {
    struct lane *lane = &bench->lanes[thread];
    if (bench->request.bind)
        bench->request.bind(thread, bench->request.context);
    if (bench->stream_share)
        lane->stream = map_buffer(bench->stream_share);
    if (bench->hot_share)
        lane->hot = map_buffer(bench->hot_share);
}

// What the kernel says can still be used; 0 if it does not say.
static size_t available_memory(void) {
    unsigned long long kilobytes = 0;
    char line[128];
    FILE *file = fopen("/proc/meminfo", "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %llu kB", &kilobytes) == 1)
            break;
    if (file)
        fclose(file);
    return (size_t)kilobytes * 1024;
}

static int check(const struct roof_request *request, char *error, size_t error_size) {
    const char *wrong = NULL;
    if (request->threads < 1 || request->threads > 4096)
        wrong = "threads must be 1..4096";
    else if (!(request->seconds > 0 && request->seconds <= 60))
        wrong = "the time for a figure must be above 0 and at most 60 seconds";
    else if (request->isa < 0 || request->isa >= ROOF_ISA_COUNT)
        wrong = "unknown instruction set";
    if (wrong)
        snprintf(error, error_size, "roof: %s", wrong);
    return wrong ? -EINVAL : 0;
}

static int too_few_threads(int asked, int got, char *error, size_t error_size) {
    snprintf(error, error_size, "roof: asked for %d threads and got %d: raise OMP_THREAD_LIMIT", asked, got);
    return -EAGAIN;
}

int roof_open(struct roof_bench **out, const struct roof_request *request, char *error, size_t error_size) {
    *out = NULL;
    int code = check(request, error, error_size);
    if (code)
        return code;
    size_t threads = (size_t)request->threads, available = available_memory();
    struct roof_bench *bench = calloc(1, sizeof *bench);
    struct lane *lanes = aligned_alloc(_Alignof(struct lane), threads * sizeof *lanes);
    if (!bench || !lanes) {
        free(bench);
        free(lanes);
        snprintf(error, error_size, "roof: out of memory");
        return -ENOMEM;
    }
    memset(lanes, 0, threads * sizeof *lanes);
    *bench = (struct roof_bench){.request = *request, .lanes = lanes};
    size_t stream = request->stream_bytes;
    if (available && stream > available / 2)
        stream = available / 2;
    bench->stream_share = round_up(stream / threads, STREAM_CHUNK);
    bench->hot_share = round_up(request->hot_bytes / threads, PAGE);
    if (bench->request.isa > roof_isa_detect())
        bench->request.isa = roof_isa_detect();
    int got = 0;
#pragma omp parallel num_threads(request->threads)
    {
#pragma omp single
        got = omp_get_num_threads();
        if (got == request->threads)
            open_lane(bench, omp_get_thread_num());
    }
    if (got != request->threads) {
        roof_close(bench);
        return too_few_threads(request->threads, got, error, error_size);
    }
    for (size_t t = 0; t < threads; t++)
        if ((bench->stream_share && !lanes[t].stream) || (bench->hot_share && !lanes[t].hot))
            code = -ENOMEM;
    if (code) {
        snprintf(error, error_size, "roof: no memory for %zu bytes read by %zu threads", stream + request->hot_bytes,
                 threads);
        roof_close(bench);
        return code;
    }
    *out = bench;
    return 0;
}

void roof_close(struct roof_bench *bench) {
    if (!bench)
        return;
    for (int t = 0; t < bench->request.threads; t++) {
        if (bench->lanes[t].stream)
            munmap(bench->lanes[t].stream, round_up(bench->stream_share, HUGE_PAGE));
        if (bench->lanes[t].hot)
            munmap(bench->lanes[t].hot, round_up(bench->hot_share, HUGE_PAGE));
    }
    free(bench->lanes);
    free(bench);
}

// ---------------------------------------------------------------------------------------------------------------------
// Units of work: what one lane does `units` times between two looks at the clock.
struct figure {
    void (*work)(const struct roof_bench *bench, struct lane *lane, const struct figure *figure, uint64_t units);
    double amount; // bytes or operations of one lane and unit
    enum roof_peak peak;
};

// One chunk after the other, around the whole buffer, so that a byte comes again only after all the others.
static void read_stream(const struct roof_bench *bench, struct lane *lane, const struct figure *figure,
                        uint64_t units) {
    (void)figure;
    roof_read_function *read = roof_stream_loop(bench->request.isa);
    for (uint64_t unit = 0; unit < units; unit++) {
        lane->sink |= read(lane->stream + lane->position, STREAM_CHUNK);
        lane->position = (lane->position + STREAM_CHUNK) % bench->stream_share;
    }
}

// A virtual machine's host may have dropped its translations of this memory while other memory was set up: the next pass over it was
// then seen to be slower by a third, whenever that came. Touched here, so that no sample is that pass; every 64 KB, which is enough for the
// host's huge pages and takes 3 ms for 2 GB.
static void touch_stream(const struct roof_bench *bench, struct lane *lane) {
    for (size_t i = 0; i < bench->stream_share; i += STREAM_TOUCH)
        lane->sink |= (uint64_t)((volatile char *)lane->stream)[i];
}

static void read_hot(const struct roof_bench *bench, struct lane *lane, const struct figure *figure, uint64_t units) {
    (void)figure;
    roof_read_function *read = roof_read_loop(bench->request.isa);
    for (uint64_t unit = 0; unit < units; unit++)
        lane->sink |= read(lane->hot, bench->hot_share);
}

enum { PEAK_ROUNDS = 256 };
static void multiply_add(const struct roof_bench *bench, struct lane *lane, const struct figure *figure,
                         uint64_t units) {
    lane->sink |= (uint64_t)fabs(roof_peak_loop(bench->request.isa, figure->peak).function(units * PEAK_ROUNDS));
}

// ---------------------------------------------------------------------------------------------------------------------
// All lanes start together and the sample ends with the last one. Spins, as sleeping would cost more than a sample;
// yields after a while, for a machine with fewer cores than threads.
struct barrier {
    atomic_int arrived, turn;
};

static void wait_for_all(struct barrier *barrier, int threads) {
    int turn = atomic_load(&barrier->turn);
    if (atomic_fetch_add(&barrier->arrived, 1) == threads - 1) {
        atomic_store(&barrier->arrived, 0);
        atomic_fetch_add(&barrier->turn, 1);
        return;
    }
    for (int spins = 0; atomic_load(&barrier->turn) == turn; spins++)
        if (spins > SPINS)
            sched_yield();
}

// Shared by the threads of one figure; thread 0 writes it between the barriers.
struct session {
    struct barrier barrier;
    uint64_t units;
    bool done;
    double begin; // seconds on the clock
    double rates[4 * SAMPLES];
    size_t count;
};

// Doubles the units until a sample is long enough, then keeps samples until the time is over.
static void judge_sample(struct session *session, const struct roof_request *request, double ns, double amount) {
    double shortest = fmax(clock_shortest_sample_ns(0.001), request->seconds * 1e9 / SAMPLES);
    double passed = clock_seconds(0, clock_now()) - session->begin;
    if (session->count == 0 && ns < shortest / 2 && passed < request->seconds) {
        double factor = fmin(8, shortest / fmax(ns, 1));
        session->units = (uint64_t)ceil((double)session->units * fmax(factor, 1.5));
        return;
    }
    session->rates[session->count++] = amount * (double)session->units * request->threads / (ns * 1e-9);
    session->done = session->count == 4 * SAMPLES || (passed >= request->seconds && session->count >= LEAST_SAMPLES);
}

static void run_lane(const struct roof_bench *bench, const struct figure *figure, struct session *session, int thread) {
    int threads = bench->request.threads;
    for (;;) {
        wait_for_all(&session->barrier, threads);
        if (session->done)
            return;
        uint64_t begin = clock_now();
        figure->work(bench, &bench->lanes[thread], figure, session->units);
        wait_for_all(&session->barrier, threads);
        if (thread == 0)
            judge_sample(session, &bench->request, (double)(clock_now() - begin), figure->amount);
    }
}

static int measure(const struct roof_bench *bench, const struct figure *figure, struct stats_interval *rate,
                   char *error, size_t error_size) {
    struct session session = {.units = 1, .begin = clock_seconds(0, clock_now())};
    int threads = bench->request.threads, got = 0;
#pragma omp parallel num_threads(threads)
    {
#pragma omp single
        got = omp_get_num_threads();
        if (got == threads)
            run_lane(bench, figure, &session, omp_get_thread_num());
    }
    if (got != threads)
        return too_few_threads(threads, got, error, error_size);
    int code = stats_median_ci(session.rates, session.count, 0.95, rate);
    if (code)
        snprintf(error, error_size, "roof: the clock gave no usable sample");
    return code;
}

static int measure_peak(const struct roof_bench *bench, enum roof_peak peak, struct stats_interval *rate, char *error,
                        size_t error_size) {
    struct roof_peak_loop loop = roof_peak_loop(bench->request.isa, peak);
    if (!loop.function || (bench->request.only && !(bench->request.only & 1u << peak)))
        return 0;
    struct figure figure = {multiply_add, loop.operations * PEAK_ROUNDS, peak};
    return measure(bench, &figure, rate, error, error_size);
}

int roof_sample(struct roof_bench *bench, struct roof *roof, char *error, size_t error_size) {
    const struct roof_request *request = &bench->request;
    const struct stats_interval absent = {NAN, NAN, NAN, NAN};
    size_t threads = (size_t)request->threads, stream = bench->stream_share * threads;
    *roof = (struct roof){.threads = request->threads,
                          .isa = request->isa,
                          .stream = absent,
                          .hot = absent,
                          .stream_bytes = stream,
                          .hot_bytes = bench->hot_share * threads,
                          .stream_large_enough = request->cache_bytes && stream > 4 * request->cache_bytes,
                          .fp32 = absent,
                          .int8 = absent,
                          .bf16 = absent};
    int code = 0;
    if (bench->stream_share) {
        for (int t = 0; t < request->threads; t++)
            touch_stream(bench, &bench->lanes[t]);
        code = measure(bench, &(struct figure){.work = read_stream, .amount = STREAM_CHUNK}, &roof->stream, error,
                       error_size);
    }
    if (!code && bench->hot_share)
        code = measure(bench, &(struct figure){.work = read_hot, .amount = (double)bench->hot_share}, &roof->hot, error,
                       error_size);
    if (code || !request->peaks)
        return code;
    code = measure_peak(bench, ROOF_PEAK_FP32, &roof->fp32, error, error_size);
    if (!code)
        code = measure_peak(bench, ROOF_PEAK_INT8, &roof->int8, error, error_size);
    if (!code)
        code = measure_peak(bench, ROOF_PEAK_BF16, &roof->bf16, error, error_size);
    return code;
}

int roof_measure(const struct roof_request *request, struct roof *roof, char *error, size_t error_size) {
    struct roof_bench *bench;
    int code = roof_open(&bench, request, error, error_size);
    if (!code)
        code = roof_sample(bench, roof, error, error_size);
    roof_close(bench);
    return code;
}

double roof_tokens_per_second(double bandwidth, double peak, double bytes_per_token, double operations_per_token) {
    double memory = bandwidth / bytes_per_token, compute = peak / operations_per_token;
    return isnan(memory) || isnan(compute) ? NAN : fmin(memory, compute);
}
