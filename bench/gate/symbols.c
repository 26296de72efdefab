// SPDX-License-Identifier: MIT
#include "bench/gate/symbols.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/records.h"

static bool fits(const struct symbols *symbols, uint64_t offset, uint64_t bytes) {
    return offset <= symbols->image_bytes && bytes <= symbols->image_bytes - offset;
}

static int by_address(const void *a, const void *b) {
    const struct symbol *x = a, *y = b;
    return (x->address > y->address) - (x->address < y->address);
}

// Local symbols stand behind the name of the file that they came from, global ones behind all of them.
static int take(struct symbols *symbols, const Elf64_Shdr *table, const Elf64_Shdr *strings) {
    size_t count = table->sh_size / sizeof(Elf64_Sym);
    const char *file = NULL, *text = symbols->image + strings->sh_offset;
    if (!strings->sh_size || text[strings->sh_size - 1])
        return -ENOEXEC;
    symbols->of = calloc(count + 1, sizeof *symbols->of);
    if (!symbols->of)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        Elf64_Sym symbol;
        memcpy(&symbol, symbols->image + table->sh_offset + i * sizeof symbol, sizeof symbol);
        if (symbol.st_name >= strings->sh_size)
            return -ENOEXEC;
        bool local = ELF64_ST_BIND(symbol.st_info) == STB_LOCAL;
        if (ELF64_ST_TYPE(symbol.st_info) == STT_FILE)
            file = text[symbol.st_name] ? text + symbol.st_name : NULL;
        else if (ELF64_ST_TYPE(symbol.st_info) == STT_FUNC && symbol.st_shndx != SHN_UNDEF && symbol.st_size)
            symbols->of[symbols->count++] =
                (struct symbol){symbol.st_value, symbol.st_size, text + symbol.st_name, local ? file : NULL};
    }
    qsort(symbols->of, symbols->count, sizeof *symbols->of, by_address);
    return symbols->count ? 0 : -ENOEXEC;
}

static int parse(struct symbols *symbols) {
    Elf64_Ehdr head;
    if (symbols->image_bytes < sizeof head)
        return -ENOEXEC;
    memcpy(&head, symbols->image, sizeof head);
    if (memcmp(head.e_ident, ELFMAG, SELFMAG) || head.e_ident[EI_CLASS] != ELFCLASS64 ||
        head.e_ident[EI_DATA] != ELFDATA2LSB || head.e_shentsize != sizeof(Elf64_Shdr) ||
        !fits(symbols, head.e_shoff, (uint64_t)head.e_shnum * sizeof(Elf64_Shdr)))
        return -ENOEXEC;
    for (size_t i = 0; i < head.e_shnum; i++) {
        Elf64_Shdr section, strings;
        memcpy(&section, symbols->image + head.e_shoff + i * sizeof section, sizeof section);
        if (section.sh_type != SHT_SYMTAB || section.sh_link >= head.e_shnum)
            continue;
        memcpy(&strings, symbols->image + head.e_shoff + section.sh_link * sizeof strings, sizeof strings);
        if (!fits(symbols, section.sh_offset, section.sh_size) || !fits(symbols, strings.sh_offset, strings.sh_size))
            return -ENOEXEC;
        return take(symbols, &section, &strings);
    }
    return -ENOEXEC;
}

int symbols_read(const char *path, struct symbols *symbols, char *error, size_t error_size) {
    static const size_t MOST = (size_t)1 << 30;
    const char *slash = strrchr(path, '/');
    *symbols = (struct symbols){0};
    snprintf(symbols->name, sizeof symbols->name, "%s", slash ? slash + 1 : path);
    int result = file_read(path, MOST, &symbols->image, &symbols->image_bytes, error, error_size);
    if (result)
        return result;
    result = parse(symbols);
    if (result == -ENOEXEC)
        snprintf(error, error_size, "%s: no 64-bit ELF program with a symbol table (stripped?)", path);
    else if (result)
        snprintf(error, error_size, "%s: not enough memory", path);
    return result;
}

void symbols_free(struct symbols *symbols) {
    free(symbols->of);
    free(symbols->image);
    *symbols = (struct symbols){0};
}

const struct symbol *symbols_at(const struct symbols *symbols, uint64_t address) {
    size_t lo = 0, hi = symbols->count; // the last symbol that does not begin behind it
    while (lo < hi) {
        size_t middle = lo + (hi - lo) / 2;
        if (symbols->of[middle].address <= address)
            lo = middle + 1;
        else
            hi = middle;
    }
    const struct symbol *found = lo ? &symbols->of[lo - 1] : NULL;
    return found && address - found->address < found->size ? found : NULL;
}
