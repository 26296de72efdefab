// SPDX-License-Identifier: MIT
// Learns a byte-level BPE vocabulary: words are counted first, then the most frequent pair of neighbours is joined
// until the vocabulary is full (Sennrich et al. 2016, algorithm 1). Ties go to the smaller pair of ids, so that
// the same text always gives the same vocabulary.
#ifndef LLMSWEEP_BPE_TRAIN_H
#define LLMSWEEP_BPE_TRAIN_H

#include <stddef.h>

struct tokenizer;
struct corpus;

// Ids 0…255 are the single bytes, then the merges in the order in which they were learned; the last id is the control
// token "<|endoftext|>" that separates documents (BOS and EOS). vocab ≥ 257. If the text runs out of pairs the
// remaining ids become unused tokens. Only documents that are not held out are read.
// Returns 0 or -errno with a one-line reason.
int bpe_train(struct tokenizer **tokenizer, const struct corpus *corpus, int vocab, char *error, size_t error_size);

#endif
