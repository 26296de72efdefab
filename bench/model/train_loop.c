// SPDX-License-Identifier: MIT
#include "bench/model/train_loop.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/model/bpe_train.h"
#include "bench/model/corpus.h"
#include "bench/model/gguf.h"
#include "bench/model/tokenizer.h"
#include "bench/model/train_checkpoint.h"
#include "bench/model/train_pass.h"
#include "kernels/optimizer/adamw.h"

struct training {
    const struct train_spec *spec;
    struct corpus corpus;
    struct model model, gradient, best;
    float *first_moment, *second_moment; // (parameter_count) each
    struct train_pass *pass;
    int32_t *ids; // the current epoch's stream
    size_t id_count;
    long epoch;      // whose stream it is; -1 for none yet
    uint32_t *order; // (corpus.count)
    int32_t *heldout;
    size_t heldout_count;
    int32_t *inputs, *targets; // (sequences, length)
    long steps_per_epoch, steps, step;
    int64_t best_step;
    double best_loss;
    uint64_t hash;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// splitmix64 (Steele et al. 2014).
static uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

double train_learning_rate(const struct train_spec *spec, long step, long steps)
{
    if (step < spec->warmup)
        return spec->learning_rate * (double)(step + 1) / spec->warmup;
    const double done = steps > spec->warmup ? (double)(step - spec->warmup) / (double)(steps - spec->warmup) : 1;
    return spec->final_learning_rate +
           (spec->learning_rate - spec->final_learning_rate) * 0.5 * (1 + cos(M_PI * fmin(done, 1)));
}

// The documents in a new order, as one stream: which follows which carries no meaning that could be learned by heart.
static int load_epoch(struct training *t, long epoch)
{
    uint64_t state = t->spec->seed * 1000003u + (uint64_t)epoch;
    for (size_t i = 0; i < t->corpus.count; i++)
        t->order[i] = (uint32_t)i;
    for (size_t i = t->corpus.count; i > 1; i--) { // Fisher–Yates
        const size_t other = next_random(&state) % i;
        const uint32_t swap = t->order[i - 1];
        t->order[i - 1] = t->order[other];
        t->order[other] = swap;
    }
    free(t->ids);
    t->ids = NULL;
    t->epoch = epoch;
    return corpus_encode(&t->corpus, t->model.tokenizer, false, t->order, &t->ids, &t->id_count);
}

static void load_batch(const struct training *t, const int32_t *stream, size_t first_window)
{
    const size_t length = (size_t)t->spec->length;
    for (int s = 0; s < t->spec->sequences; s++) {
        const int32_t *window = stream + (first_window + (size_t)s) * length;
        memcpy(t->inputs + (size_t)s * length, window, length * sizeof *window);
        memcpy(t->targets + (size_t)s * length, window + 1, length * sizeof *window);
    }
}

// Mean held-out loss over about `windows` windows spread evenly over the held-out text.
static double evaluate(const struct training *t, size_t windows)
{
    const size_t length = (size_t)t->spec->length, batch = (size_t)t->spec->sequences;
    const size_t available = (t->heldout_count - 1) / length, batches = available / batch;
    const size_t wanted = (windows + batch - 1) / batch;
    const size_t stride = wanted < batches ? batches / wanted : 1;
    double loss = 0;
    size_t count = 0;
    for (size_t b = 0; b < batches && count < wanted; b += stride, count++) {
        load_batch(t, t->heldout, b * batch);
        train_forward(t->pass, &t->model, t->inputs, 0, 0);
        loss += train_loss(t->pass, t->targets);
    }
    return loss / (double)count;
}

static void update_tensor(struct training *t, const struct adamw *adamw, float *weights, size_t count)
{
    enum { CHUNK = 1 << 15 };
    const size_t offset = (size_t)(weights - t->model.storage);
    float *const gradient = t->gradient.storage + offset, *const first = t->first_moment + offset;
    float *const second = t->second_moment + offset;
#pragma omp parallel for schedule(static) if (count > CHUNK)
    for (size_t at = 0; at < count; at += CHUNK)
        adamw_step(adamw, weights + at, gradient + at, first + at, second + at,
                   count - at < CHUNK ? count - at : CHUNK);
}

// Weight decay on matrices only, as is usual: a norm's weights have no reason to be small.
static void apply_gradient(struct training *t, double rate, double norm)
{
    const struct train_spec *spec = t->spec;
    const struct model_config *c = &t->model.config;
    const struct adamw matrix = {.learning_rate = (float)rate,
                                 .beta1 = (float)spec->beta1,
                                 .beta2 = (float)spec->beta2,
                                 .epsilon = (float)spec->epsilon,
                                 .weight_decay = (float)spec->weight_decay,
                                 .gradient_scale = spec->clip > 0 && norm > spec->clip ? (float)(spec->clip / norm) : 1,
                                 .step = t->step + 1};
    struct adamw vector = matrix;
    vector.weight_decay = 0;
    const size_t d = (size_t)c->d_model, embedding = (size_t)c->vocab * d;
    update_tensor(t, &matrix, t->model.embedding, embedding);
    if (!c->tied_embeddings)
        update_tensor(t, &matrix, t->model.output, embedding);
    update_tensor(t, &vector, t->model.final_norm, d);
    for (int l = 0; l < c->layers; l++) {
        struct layer_weights *layer = &t->model.layers[l];
        update_tensor(t, &vector, layer->attention_norm, d);
        update_tensor(t, &vector, layer->ffn_norm, d);
        for (enum layer_matrix m = 0; m < LAYER_MATRICES; m++) {
            int out, in;
            model_matrix_shape(c, m, &out, &in);
            update_tensor(t, &matrix, layer->matrix[m], (size_t)out * (size_t)in);
        }
    }
}

// One optimizer step. *loss and *norm are of this step's batch. -EDOM if the training diverged.
static int take_step(struct training *t, double *loss, double *norm, char *error, size_t error_size)
{
    const long epoch = t->step / t->steps_per_epoch, place = t->step % t->steps_per_epoch;
    if (epoch != t->epoch && load_epoch(t, epoch)) {
        snprintf(error, error_size, "%s: no memory for the text's tokens", t->corpus.source);
        return -ENOMEM;
    }
    load_batch(t, t->ids, (size_t)place * (size_t)t->spec->sequences);
    memset(t->gradient.storage, 0, t->gradient.parameter_count * sizeof(float));
    train_forward(t->pass, &t->model, t->inputs, (float)t->spec->dropout, (uint32_t)t->step);
    *loss = train_loss_gradient(t->pass, t->targets);
    train_backward(t->pass, &t->model, t->inputs, &t->gradient);
    *norm = sqrt(sum_of_squares(t->gradient.storage, t->gradient.parameter_count));
    if (!isfinite(*loss) || !isfinite(*norm)) {
        snprintf(error, error_size, "step %ld: the loss is no longer finite (lower learning_rate, or clip more)",
                 t->step);
        return -EDOM;
    }
    apply_gradient(t, train_learning_rate(t->spec, t->step, t->steps), *norm);
    t->step++;
    return 0;
}

static int save(struct training *t, char *error, size_t error_size)
{
    const struct train_checkpoint checkpoint = {.spec_hash = t->hash,
                                                .parameters = t->model.parameter_count,
                                                .step = t->step,
                                                .best_step = t->best_step,
                                                .best_loss = t->best_loss,
                                                .weights = t->model.storage,
                                                .first_moment = t->first_moment,
                                                .second_moment = t->second_moment,
                                                .best_weights = t->best.storage};
    return train_checkpoint_write(&checkpoint, t->spec->checkpoint, error, error_size);
}

static int restore(struct training *t, char *error, size_t error_size)
{
    struct train_checkpoint checkpoint = {.spec_hash = t->hash,
                                          .parameters = t->model.parameter_count,
                                          .weights = t->model.storage,
                                          .first_moment = t->first_moment,
                                          .second_moment = t->second_moment,
                                          .best_weights = t->best.storage};
    const int rc = train_checkpoint_read(&checkpoint, t->spec->checkpoint, error, error_size);
    if (rc)
        return rc;
    t->step = (long)checkpoint.step;
    t->best_step = checkpoint.best_step;
    t->best_loss = checkpoint.best_loss;
    return 0;
}

// What the course of the training depends on: the numbers of the spec, the text, the vocabulary.
static uint64_t hash_course(const struct training *t)
{
    char line[512];
    const struct train_spec *s = t->spec;
    const struct model_config *c = &s->model;
    const int length = snprintf(
        line, sizeof line, "%d %d %d %d %d %d %d %d %g %g %d %d | %d %d %g %g %g %g %g %g %g %g %g %d %llu | %zu %zu",
        c->vocab, c->d_model, c->layers, c->heads, c->kv_heads, c->head_dim, c->ffn, c->context, (double)c->rope_theta,
        (double)c->norm_eps, c->rope_style, c->tied_embeddings, s->sequences, s->length, s->epochs, s->learning_rate,
        s->final_learning_rate, s->beta1, s->beta2, s->epsilon, s->weight_decay, s->clip, s->dropout, s->warmup,
        (unsigned long long)s->seed, t->id_count, t->heldout_count);
    uint64_t hash = 0xcbf29ce484222325u;
    for (int i = 0; i < length; i++)
        hash = (hash ^ (uint8_t)line[i]) * 0x100000001b3u;
    for (size_t i = 0; i < t->heldout_count; i++)
        hash = (hash ^ (uint32_t)t->heldout[i]) * 0x100000001b3u;
    return hash;
}

static int prepare_text(struct training *t, char *error, size_t error_size)
{
    const struct train_spec *spec = t->spec;
    int rc = *spec->text ? corpus_load_text(&t->corpus, spec->text, error, error_size)
                         : corpus_load_glosses(&t->corpus, *spec->wordnet ? spec->wordnet : NULL, error, error_size);
    if (!rc)
        rc = bpe_train(&t->model.tokenizer, &t->corpus, spec->model.vocab, error, error_size);
    if (rc)
        return rc;
    t->order = malloc(t->corpus.count * sizeof *t->order);
    if (!t->order || load_epoch(t, 0) ||
        corpus_encode(&t->corpus, t->model.tokenizer, true, NULL, &t->heldout, &t->heldout_count)) {
        snprintf(error, error_size, "%s: no memory for the text's tokens", t->corpus.source);
        return -ENOMEM;
    }
    const size_t batch = (size_t)spec->sequences * (size_t)spec->length;
    if (t->id_count <= batch || t->heldout_count <= batch) {
        snprintf(
            error, error_size,
            "%s: %zu tokens to train on and %zu held out are too few for a batch of %zu (give more text, or lower sequences)",
            t->corpus.source, t->id_count, t->heldout_count, batch);
        return -EINVAL;
    }
    t->steps_per_epoch = (long)((t->id_count - 1) / batch);
    t->steps = (long)ceil(spec->epochs * (double)t->steps_per_epoch);
    return 0;
}

static int prepare(struct training *t, char *error, size_t error_size)
{
    const struct train_spec *spec = t->spec;
    int rc = model_allocate(&t->model, &spec->model);
    if (!rc)
        rc = prepare_text(t, error, error_size);
    if (rc)
        return rc;
    model_randomize(&t->model, spec->seed);
    const size_t tokens = (size_t)spec->sequences * (size_t)spec->length;
    t->first_moment = calloc(t->model.parameter_count, sizeof(float));
    t->second_moment = calloc(t->model.parameter_count, sizeof(float));
    t->inputs = malloc(tokens * sizeof *t->inputs);
    t->targets = malloc(tokens * sizeof *t->targets);
    if (model_allocate(&t->gradient, &spec->model) || model_clone(&t->best, &t->model) || !t->first_moment ||
        !t->second_moment || !t->inputs || !t->targets ||
        train_pass_create(&t->pass, &spec->model, spec->sequences, spec->length)) {
        snprintf(error, error_size, "no memory to train %zu parameters on batches of %zu tokens (lower sequences)",
                 t->model.parameter_count, tokens);
        return -ENOMEM;
    }
    t->best_step = -1;
    t->best_loss = INFINITY;
    t->hash = hash_course(t);
    return 0;
}

static void release(struct training *t)
{
    corpus_free(&t->corpus);
    model_free(&t->best);
    model_free(&t->gradient);
    model_free(&t->model);
    train_pass_free(t->pass);
    free(t->first_moment);
    free(t->second_moment);
    free(t->ids);
    free(t->order);
    free(t->heldout);
    free(t->inputs);
    free(t->targets);
}

// Opens the curve; when resuming, keeps only the rows up to the checkpoint's step. *seconds gets the last kept row's
// time.
static FILE *open_curve(const struct training *t, double *seconds, char *error, size_t error_size)
{
    static const char header[] =
        "step,epoch,tokens,learning_rate,train_loss,gradient_norm,heldout_loss,heldout_perplexity,seconds\n";
    const char *path = t->spec->curve;
    char *kept = NULL, line[512];
    size_t kept_bytes = 0;
    FILE *old = t->step ? fopen(path, "r") : NULL;
    FILE *memory = old ? open_memstream(&kept, &kept_bytes) : NULL;
    while (memory && fgets(line, sizeof line, old)) {
        char *end;
        const long step = strtol(line, &end, 10);
        if (*end != ',' || end == line || step > t->step)
            continue;
        fputs(line, memory);
        *seconds = strtod(strrchr(line, ',') + 1, NULL);
    }
    if (memory)
        fclose(memory);
    if (old)
        fclose(old);
    FILE *curve = fopen(path, "w");
    if (curve)
        fprintf(curve, "%s%s", header, kept ? kept : "");
    else
        snprintf(error, error_size, "%s: the curve cannot be written: %s", path, strerror(errno));
    free(kept);
    return curve;
}

struct progress {
    double before;                         // seconds that earlier parts of a resumed training took
    double start, last_report, evaluating; // seconds; evaluating: spent on held-out text, which is no training speed
    long start_step, steps_since;
    double loss_since;
};

static int tell(const struct training *t, struct progress *p, double norm, double heldout,
                int (*report)(void *context, const struct train_report *report), void *context)
{
    const double time = now(), speed = (double)(t->step - p->start_step) / (time - p->start - p->evaluating);
    const struct train_report r = {.step = t->step,
                                   .steps = t->steps,
                                   .loss = p->loss_since / (double)p->steps_since,
                                   .learning_rate = train_learning_rate(t->spec, t->step - 1, t->steps),
                                   .gradient_norm = norm,
                                   .heldout_perplexity = exp(heldout),
                                   .best_perplexity = t->best_step < 0 ? NAN : exp(t->best_loss),
                                   .tokens_per_second = speed * t->spec->sequences * t->spec->length,
                                   .seconds_left = (double)(t->steps - t->step) * (time - p->start) /
                                                   (double)(t->step - p->start_step)};
    p->last_report = time;
    return report ? report(context, &r) : 0;
}

static int loop(struct training *t, FILE *curve, double seconds_before,
                int (*report)(void *context, const struct train_report *report), void *context, char *error,
                size_t error_size)
{
    const struct train_spec *spec = t->spec;
    struct progress p = {.before = seconds_before, .start = now(), .last_report = now(), .start_step = t->step};
    while (t->step < t->steps) {
        double loss, norm;
        int rc = take_step(t, &loss, &norm, error, error_size);
        if (rc)
            return rc;
        p.loss_since += loss;
        p.steps_since++;
        const bool last = t->step == t->steps, evaluation = last || t->step % spec->evaluate_every == 0;
        double heldout = NAN;
        if (evaluation) {
            const double before = now();
            heldout = evaluate(t, (size_t)spec->evaluate_windows);
            if (heldout < t->best_loss) {
                t->best_loss = heldout;
                t->best_step = t->step;
                memcpy(t->best.storage, t->model.storage, t->model.parameter_count * sizeof(float));
            }
            fprintf(curve, "%ld,%.4f,%lld,%.6g,%.5f,%.4f,%.5f,%.4f,%.1f\n", t->step,
                    (double)t->step / (double)t->steps_per_epoch, (long long)t->step * spec->sequences * spec->length,
                    train_learning_rate(spec, t->step - 1, t->steps), p.loss_since / (double)p.steps_since, norm,
                    heldout, exp(heldout), p.before + now() - p.start);
            fflush(curve);
            rc = save(t, error, error_size);
            if (rc)
                return rc;
            p.evaluating += now() - before;
        }
        if (evaluation || now() - p.last_report > 10) {
            if (tell(t, &p, norm, heldout, report, context)) {
                snprintf(error, error_size, "stopped at step %ld of %ld (go on with --resume)", t->step, t->steps);
                return evaluation || !save(t, error, error_size) ? -EINTR : -EIO;
            }
        }
        if (evaluation)
            p.loss_since = (double)(p.steps_since = 0);
    }
    return 0;
}

int train_run(const struct train_spec *spec, bool resume,
              int (*report)(void *context, const struct train_report *report), void *context, char *error,
              size_t error_size)
{
    struct training t = {.spec = spec, .epoch = -1};
    FILE *curve = NULL;
    double seconds_before = 0;
    int rc = train_spec_check(spec, spec->model.name, error, error_size);
    if (!rc)
        rc = prepare(&t, error, error_size);
    if (!rc && resume)
        rc = restore(&t, error, error_size);
    if (!rc) {
        curve = open_curve(&t, &seconds_before, error, error_size);
        rc = curve ? 0 : -EIO;
    }
    if (!rc)
        rc = loop(&t, curve, seconds_before, report, context, error, error_size);
    if (curve)
        fclose(curve);
    if (!rc) {
        model_hash(&t.best);
        rc = gguf_write_model(spec->output, &t.best, strcmp(spec->format, "f32") ? TENSOR_F16 : TENSOR_F32, error,
                              error_size);
    }
    if (!rc)
        unlink(spec->checkpoint);
    release(&t);
    return rc;
}
