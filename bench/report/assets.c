// SPDX-License-Identifier: MIT
#include "bench/report/assets.h"

// Paths are from the repository's root, where the compiler runs.
#define EMBED(symbol, path)                                                                                                      \
    __asm__(".pushsection .rodata\n"                                                                                             \
            ".global " #symbol ", " #symbol "_end\n" #symbol ":\n"                                                               \
            ".incbin \"" path "\"\n" #symbol "_end:\n"                                                                           \
            ".byte 0\n"                                                                                                          \
            ".popsection\n")

EMBED(report_css, "bench/report/page.css");
EMBED(report_js, "bench/report/page.js");

#define SCRIPT(name)                                                                                                             \
    EMBED(report_gp_##name, "scripts/plot/" #name ".gp");                                                                        \
    extern const char report_gp_##name[], report_gp_##name##_end[];
SCRIPT(style)
SCRIPT(pareto)
SCRIPT(prune)
SCRIPT(bits)
SCRIPT(heatmap)
SCRIPT(batch)
SCRIPT(layout)
SCRIPT(roofline)
SCRIPT(counters)
SCRIPT(kernels)
SCRIPT(kernel_roofline)
SCRIPT(compare)
SCRIPT(history)

#define ASSET(name) {#name ".gp", report_gp_##name, report_gp_##name##_end}
const struct report_asset report_scripts[] = {
    ASSET(style), ASSET(pareto), ASSET(prune), ASSET(bits), ASSET(heatmap), ASSET(batch),
    ASSET(layout), ASSET(roofline), ASSET(counters), ASSET(kernels), ASSET(kernel_roofline), ASSET(compare), ASSET(history), {NULL, NULL, NULL},
};
