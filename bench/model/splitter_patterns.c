// SPDX-License-Identifier: MIT
// The patterns of published tokenizers, under the names that GGUF has for them. A stage that llama.cpp or a model's authors apply after
// another is a stage here too.
#include <string.h>

#include "bench/model/splitter.h"

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define SPACES       "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define GPT2         "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define LLAMA3       CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES
#define QWEN2        CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES
#define QWEN35                                                                                                                \
    CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" SPACES
#define SEED_CODER   CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" SPACES
#define BAILING                                                                                                               \
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"

// Words by case: capitals then small letters, or capitals alone, with their marks (GPT-4o's form).
#define CASED(tail)                                                                                        \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+" tail         \
    "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*" tail
#define GPT4O        CASED(CONTRACTIONS "?") "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" SPACES
#define TEKKEN       CASED("") "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" SPACES

// DeepSeek LLM: letters of scripts with case, punctuation and symbols, Chinese and Korean.
#define DEEPSEEK_LETTERS \
    "\\s?[A-Za-z\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}\\x{1bc}-\\x{1bf}\\x{1c4}-\\x{293}" \
    "\\x{295}-\\x{2af}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37b}-\\x{37d}\\x{37f}\\x{386}\\x{388}-\\x{38a}" \
    "\\x{38c}\\x{38e}-\\x{3a1}\\x{3a3}-\\x{3f5}\\x{3f7}-\\x{481}\\x{48a}-\\x{52f}\\x{531}-\\x{556}\\x{10a0}-" \
    "\\x{10c5}\\x{13a0}-\\x{13f5}\\x{13f8}-\\x{13fd}\\x{1c90}-\\x{1cba}\\x{1cbd}-\\x{1cbf}\\x{1d00}-\\x{1d2b}" \
    "\\x{1d6b}-\\x{1d77}\\x{1d79}-\\x{1d9a}\\x{1e00}-\\x{1f15}\\x{1f18}-\\x{1f1d}\\x{1f20}-\\x{1f45}\\x{1f48}" \
    "-\\x{1f4d}\\x{1f50}-\\x{1f57}\\x{1f59}\\x{1f5b}\\x{1f5d}\\x{1f5f}-\\x{1f7d}\\x{1f80}-\\x{1fb4}\\x{1fb6}-" \
    "\\x{1fbc}\\x{1fbe}\\x{1fc2}-\\x{1fc4}\\x{1fc6}-\\x{1fcc}\\x{1fd0}-\\x{1fd3}\\x{1fd6}-\\x{1fdb}\\x{1fe0}-" \
    "\\x{1fec}\\x{1ff2}-\\x{1ff4}\\x{1ff6}-\\x{1ffc}\\x{2102}\\x{2107}\\x{210a}-\\x{2113}\\x{2115}\\x{2119}-" \
    "\\x{211d}\\x{2124}\\x{2126}\\x{2128}\\x{212a}-\\x{212d}\\x{212f}-\\x{2134}\\x{2139}\\x{213c}-\\x{213f}" \
    "\\x{2145}-\\x{2149}\\x{214e}\\x{2183}\\x{2184}\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}\\x{2ceb}-\\x{2cee}" \
    "\\x{2cf2}\\x{2cf3}\\x{a640}-\\x{a66d}\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}\\x{a771}-\\x{a787}\\x{a78b}-" \
    "\\x{a78e}\\x{ab70}-\\x{abbf}\\x{fb00}-\\x{fb06}\\x{fb13}-\\x{fb17}\\x{ff21}-\\x{ff3a}\\x{ff41}-\\x{ff5a}" \
    "\\x{10400}-\\x{1044f}\\x{104b0}-\\x{104d3}\\x{104d8}-\\x{104fb}\\x{10c80}-\\x{10cb2}\\x{10cc0}-" \
    "\\x{10cf2}\\x{118a0}-\\x{118df}\\x{1e900}-\\x{1e943}]+"
#define DEEPSEEK_MARKS \
    "\\s?[!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}\\x{3000}-\\x{3002}]+"
#define DEEPSEEK_HAN \
    "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+"
#define DEEPSEEK3_HAN \
    "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+"
#define DEEPSEEK3 \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p" \
    "{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

#define FALCON(marks) "[\\p{P}\\$\\+<=>\\^~\\|" marks "]+"
#define DIGITS3       "[0-9][0-9][0-9]"
#define BLOOM         " ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{ff0c}\\x{3001}\\x{964}\\x{6d4}\\x{60c}]+"

enum { MOST_STAGES = 6 };

static const struct {
    const char *names; // parted by spaces; the first is the one written to files
    struct splitter_stage stages[MOST_STAGES];
} known[] = {
    {"gpt-2 phi-2 roberta-bpe mpt olmo jais trillion granite-docling exaone4 gigachat mellum a.x-4.0 modern-bert", {{.pattern = GPT2}}},
    {"smollm starcoder refact command-r cohere2_moe codeshell exaone minerva-7b mellum2", {{.pattern = "\\p{N}"}, {.pattern = GPT2}}},
    {"llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 dbrx smaug-bpe glm4 chatglm-bpe", {{.pattern = LLAMA3}}},
    {"qwen2 deepseek-r1-qwen megrez kormo openpangu stablelm2 hunyuan solar-open grok-2", {{.pattern = QWEN2}}},
    {"qwen35", {{.pattern = QWEN35}}},
    {"seed-coder", {{.pattern = SEED_CODER}}},
    {"bailingmoe bailingmoe2 llada-moe", {{.pattern = BAILING}}},
    {"gpt-4o llama4 kanana2 minimax-m2", {{.pattern = GPT4O}}},
    {"tekken", {{.pattern = TEKKEN}}},
    {"deepseek-llm",
     {{.pattern = "[\\r\\n]"},
      {.pattern = DEEPSEEK_LETTERS},
      {.pattern = DEEPSEEK_MARKS},
      {.pattern = "\\s+$"},
      {.pattern = DEEPSEEK_HAN},
      {.pattern = "\\p{N}+"}}},
    {"deepseek-coder",
     {{.pattern = "[\\r\\n]"},
      {.pattern = "\\s?\\p{L}+"},
      {.pattern = "\\s?\\p{P}+"},
      {.pattern = DEEPSEEK_HAN},
      {.pattern = "\\p{N}"}}},
    {"deepseek-v3 hunyuan-dense joyai-llm", {{.pattern = "\\p{N}{1,3}"}, {.pattern = DEEPSEEK3_HAN}, {.pattern = DEEPSEEK3}}},
    {"falcon", {{.pattern = FALCON("`")}, {.pattern = GPT2}, {.pattern = DIGITS3}}},
    {"default", {{.pattern = FALCON("")}, {.pattern = GPT2}, {.pattern = "\\p{N}+"}, {.pattern = DIGITS3}}},
    {"bloom poro-chat gpt3-finnish", {{.pattern = BLOOM}}},
    {"viking", {{.pattern = BLOOM}, {.pattern = "\\p{N}"}}},
};
enum { KNOWN = sizeof known / sizeof *known };

static bool has_name(const char *names, const char *name)
{
    const size_t length = strlen(name);
    for (const char *at = names; length && (at = strstr(at, name)); at += length) {
        if ((at == names || at[-1] == ' ') && (at[length] == ' ' || !at[length]) && !strchr(name, ' '))
            return true;
    }
    return false;
}

static int count_stages(int i)
{
    int count = 0;
    while (count < MOST_STAGES && known[i].stages[count].pattern)
        count++;
    return count;
}

const struct splitter_stage *splitter_known_stages(const char *name, int *count)
{
    for (int i = 0; i < KNOWN; i++) {
        if (has_name(known[i].names, name)) {
            *count = count_stages(i);
            return known[i].stages;
        }
    }
    return NULL;
}

const char *splitter_known_name(const struct splitter_stage *stages, int count)
{
    for (int i = 0; i < KNOWN; i++) {
        int same = count_stages(i) == count;
        for (int k = 0; k < count && same; k++)
            same = !strcmp(stages[k].pattern, known[i].stages[k].pattern);
        if (same)
            return known[i].names;
    }
    return NULL;
}
