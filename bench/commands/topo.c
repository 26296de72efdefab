// SPDX-License-Identifier: MIT
// llmsweep topo: prints what the machine is made of.
#include "harness/topology.h"

#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int command_topo(int argc, char **argv);

static const char usage[] =
    "usage: llmsweep topo [--json] [--xml FILE | --synthetic DESCRIPTION] [-o FILE.xml]\n"
    "  --json                   as JSON\n"
    "  --xml FILE               the machine that hwloc's XML describes, such as a run's topology.xml\n"
    "  --synthetic DESCRIPTION  a machine made up, such as \"package:2 l3:1 core:4 pu:2\"\n"
    "  -o FILE.xml              also write it as hwloc XML\n";

static int wrong(const char *problem, const char *word)
{
    fprintf(stderr, "llmsweep: topo: %s%s\n%s", problem, word, usage);
    return 2;
}

// 0 printed, 2 wrong usage or input, 3 out of memory or an output that cannot be written.
int command_topo(int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            {"xml", required_argument, NULL, 'x'},
                                            {"synthetic", required_argument, NULL, 's'},
                                            {"output", required_argument, NULL, 'o'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    struct topology_source source = {0};
    const char *output = NULL;
    bool as_json = false;
    optind = 1;
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, ":o:h", options, NULL)) != -1;)
        switch (option) {
        case 'j': as_json = true; break;
        case 'x': source.xml = optarg; break;
        case 's': source.synthetic = optarg; break;
        case 'o': output = optarg; break;
        case 'h': fputs(usage, stdout); return 0;
        case ':': return wrong("a value is missing behind ", argv[optind - 1]);
        default: return wrong("unknown option ", argv[optind - 1]);
        }
    if (optind < argc)
        return wrong("takes no argument besides its options: ", argv[optind]);
    if (source.xml && source.synthetic)
        return wrong("--xml and --synthetic exclude each other", "");

    char error[512];
    struct topology *topology;
    if (topology_load(&source, &topology, error, sizeof error)) {
        fprintf(stderr, "llmsweep: topo: %s\n", error);
        return 2;
    }
    if (output && topology_save_xml(topology, output, error, sizeof error)) {
        fprintf(stderr, "llmsweep: topo: %s\n", error);
        topology_free(topology);
        return 2;
    }
    int code = 0;
    if (as_json) {
        json_t *json = topology_json(topology);
        if (!json || json_dumpf(json, stdout, JSON_INDENT(2)) || putchar('\n') == EOF)
            code = 3;
        json_decref(json);
    } else {
        char *text = topology_text(topology);
        if (!text || fputs(text, stdout) == EOF)
            code = 3;
        free(text);
    }
    if (fflush(stdout))
        code = 3;
    if (code)
        fprintf(stderr, "llmsweep: topo: the topology cannot be printed\n");
    topology_free(topology);
    return code;
}
