// SPDX-License-Identifier: MIT
#include "harness/topology.h"

#include "harness/topology_internal.h"

#include <errno.h>
#include <hwloc.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The info attribute of the root object that carries what hwloc does not know.
static const char info_name[] = "LLMSweep";

__attribute__((format(printf, 4, 5))) static int refuse(int status, char *error, size_t size, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    if (error && size)
        vsnprintf(error, size, format, list);
    va_end(list);
    return status;
}

// ---------------------------------------------------------------------------------------------------------------------
// From hwloc's tree to ours

static int pus_below(hwloc_topology_t hwloc, hwloc_obj_t object)
{
    return object->cpuset ? hwloc_get_nbobjs_inside_cpuset_by_type(hwloc, object->cpuset, HWLOC_OBJ_PU) : 0;
}

// hwloc knows more types than matter here (groups without a meaning, memory-side caches): those are passed through.
static bool node_from(hwloc_obj_t object, struct node *node)
{
    *node = (struct node){.os_index = object->os_index == HWLOC_UNKNOWN_INDEX ? -1 : (int)object->os_index,
                          .first_child = -1, .next = -1};
    switch (object->type) {
    case HWLOC_OBJ_MACHINE: node->type = NODE_MACHINE; return true;
    case HWLOC_OBJ_PACKAGE: node->type = NODE_PACKAGE; return true;
    case HWLOC_OBJ_DIE: node->type = NODE_DIE; return true;
    case HWLOC_OBJ_GROUP: node->type = NODE_GROUP; return true;
    case HWLOC_OBJ_CORE: node->type = NODE_CORE; return true;
    case HWLOC_OBJ_PU: node->type = NODE_PU; return true;
    default: break;
    }
    if (!hwloc_obj_type_is_cache(object->type))
        return false;
    node->type = NODE_CACHE;
    node->level = (int)object->attr->cache.depth;
    node->bytes = object->attr->cache.size;
    hwloc_obj_cache_type_t type = object->attr->cache.type;
    node->cache = type == HWLOC_OBJ_CACHE_DATA ? 'd' : type == HWLOC_OBJ_CACHE_INSTRUCTION ? 'i' : 'u';
    return true;
}

struct walk {
    struct topology *topology;
    hwloc_topology_t hwloc;
    int capacity, next_pu, next_core, next_package;
    int core, package; // that the walk is in; -1 = none
};

// Adds object and all below, in preorder. Returns its index, −1 when it was passed through (its children then hang on `parent`).
static void add_object(struct walk *walk, hwloc_obj_t object, int parent, int *last_child)
{
    struct topology *topology = walk->topology;
    struct node node;
    int here = parent, below = -1, core = walk->core, package = walk->package;
    int *last = last_child;
    if (node_from(object, &node)) {
        here = topology->nodes++;
        node.first_pu = walk->next_pu;
        node.pus = pus_below(walk->hwloc, object);
        topology->node[here] = node;
        if (*last_child >= 0)
            topology->node[*last_child].next = here;
        else if (parent >= 0)
            topology->node[parent].first_child = here;
        *last_child = here;
        last = &below;
        if (node.type == NODE_CORE)
            walk->core = walk->next_core++;
        if (node.type == NODE_PACKAGE)
            walk->package = walk->next_package++;
        if (node.type == NODE_PU)
            topology->pu[walk->next_pu++] = (struct pu){.os_index = node.os_index, .core = walk->core,
                                                        .package = walk->package, .numa = -1, .kind = -1};
    }
    for (hwloc_obj_t child = object->first_child; child; child = child->next_sibling)
        add_object(walk, child, here, last);
    walk->core = core;
    walk->package = package;
}

static int pu_at(const struct topology *topology, unsigned os_index)
{
    for (int i = 0; i < topology->pus; i++)
        if (topology->pu[i].os_index == (int)os_index)
            return i;
    return -1;
}

static void add_numa_nodes(struct topology *topology, hwloc_topology_t hwloc)
{
    for (hwloc_obj_t object = NULL; (object = hwloc_get_next_obj_by_type(hwloc, HWLOC_OBJ_NUMANODE, object));) {
        struct numa_node *numa = &topology->numa[topology->numa_nodes++];
        uint64_t bytes = object->attr->numanode.local_memory;
        *numa = (struct numa_node){.os_index = (int)object->os_index, .bytes = bytes ? (double)bytes : NAN,
                                   .pus = pus_below(hwloc, object)};
        bool found = false;
        for (int i = 0; object->cpuset && i < topology->pus; i++)
            if (hwloc_bitmap_isset(object->cpuset, (unsigned)topology->pu[i].os_index)) {
                if (!found)
                    numa->first_pu = i;
                found = true;
                if (topology->pu[i].numa < 0) // the closest memory is listed first, and is the PU's own
                    topology->pu[i].numa = numa->os_index;
            }
    }
}

static void add_kinds(struct topology *topology, hwloc_topology_t hwloc)
{
    int kinds = hwloc_cpukinds_get_nr(hwloc, 0);
    hwloc_bitmap_t set = hwloc_bitmap_alloc();
    topology->kind = kinds > 0 && set ? calloc((size_t)kinds, sizeof *topology->kind) : NULL;
    for (int i = 0; topology->kind && i < kinds; i++) {
        struct cpu_kind *kind = &topology->kind[topology->kinds++];
        struct hwloc_info_s *infos;
        unsigned count = 0;
        *kind = (struct cpu_kind){.efficiency = -1, .max_mhz = NAN};
        if (hwloc_cpukinds_get_info(hwloc, (unsigned)i, set, &kind->efficiency, &count, &infos, 0))
            continue;
        for (unsigned k = 0; k < count; k++) {
            if (!strcmp(infos[k].name, "CoreType"))
                topology_copy_text(kind->name, sizeof kind->name, infos[k].value);
            if (!strcmp(infos[k].name, "FrequencyMaxMHz"))
                kind->max_mhz = atof(infos[k].value);
        }
        for (int p = 0; p < topology->pus; p++)
            if (hwloc_bitmap_isset(set, (unsigned)topology->pu[p].os_index))
                topology->pu[p].kind = i;
    }
    hwloc_bitmap_free(set);
}

static void add_device(struct topology *topology, hwloc_obj_t object)
{
    static const char *const os_types[] = {[HWLOC_OBJ_OSDEV_BLOCK] = "block", [HWLOC_OBJ_OSDEV_GPU] = "gpu",
                                           [HWLOC_OBJ_OSDEV_NETWORK] = "network",
                                           [HWLOC_OBJ_OSDEV_OPENFABRICS] = "openfabrics", [HWLOC_OBJ_OSDEV_DMA] = "dma",
                                           [HWLOC_OBJ_OSDEV_COPROC] = "coprocessor"};
    struct device *device = &topology->device[topology->devices++];
    hwloc_obj_t pci = object;
    while (pci && pci->type != HWLOC_OBJ_PCI_DEVICE)
        pci = pci->parent;
    if (pci) {
        const struct hwloc_pcidev_attr_s *at = &pci->attr->pcidev;
        snprintf(device->bus, sizeof device->bus, "%04x:%02x:%02x.%x", at->domain & 0xffff, at->bus, at->dev, at->func);
        topology_copy_text(device->vendor, sizeof device->vendor, hwloc_obj_get_info_by_name(pci, "PCIVendor"));
        topology_copy_text(device->model, sizeof device->model, hwloc_obj_get_info_by_name(pci, "PCIDevice"));
    }
    if (object->type == HWLOC_OBJ_PCI_DEVICE) {
        snprintf(device->type, sizeof device->type, "pci");
        snprintf(device->name, sizeof device->name, "class %04x", object->attr->pcidev.class_id);
        if (!*device->model)
            snprintf(device->model, sizeof device->model, "%04x:%04x", object->attr->pcidev.vendor_id,
                     object->attr->pcidev.device_id);
        return;
    }
    hwloc_obj_osdev_type_t type = object->attr->osdev.type;
    snprintf(device->type, sizeof device->type, "%s",
             (size_t)type < sizeof os_types / sizeof *os_types ? os_types[type] : "other");
    topology_copy_text(device->name, sizeof device->name, object->name);
    const char *model = hwloc_obj_get_info_by_name(object, "GPUModel");
    if (model)
        topology_copy_text(device->model, sizeof device->model, model);
}

static void add_devices(struct topology *topology, hwloc_topology_t hwloc)
{
    for (hwloc_obj_t object = NULL; (object = hwloc_get_next_pcidev(hwloc, object));)
        add_device(topology, object);
    for (hwloc_obj_t object = NULL; (object = hwloc_get_next_osdev(hwloc, object));)
        add_device(topology, object);
}

static int convert(struct topology *topology, hwloc_topology_t hwloc)
{
    int capacity = 0, numa = hwloc_get_nbobjs_by_type(hwloc, HWLOC_OBJ_NUMANODE);
    for (int depth = 0; depth < hwloc_topology_get_depth(hwloc); depth++)
        capacity += (int)hwloc_get_nbobjs_by_depth(hwloc, depth);
    topology->pus = hwloc_get_nbobjs_by_type(hwloc, HWLOC_OBJ_PU);
    int devices = hwloc_get_nbobjs_by_type(hwloc, HWLOC_OBJ_PCI_DEVICE) + hwloc_get_nbobjs_by_type(hwloc, HWLOC_OBJ_OS_DEVICE);
    topology->node = calloc((size_t)capacity + 1, sizeof *topology->node);
    topology->pu = calloc((size_t)topology->pus + 1, sizeof *topology->pu);
    topology->numa = calloc((size_t)(numa > 0 ? numa : 0) + 1, sizeof *topology->numa);
    topology->device = calloc((size_t)(devices > 0 ? devices : 0) + 1, sizeof *topology->device);
    if (!topology->node || !topology->pu || !topology->numa || !topology->device)
        return -ENOMEM;
    struct walk walk = {.topology = topology, .hwloc = hwloc, .core = -1, .package = -1};
    int last = -1;
    add_object(&walk, hwloc_get_root_obj(hwloc), -1, &last);
    // A machine that tells no cores: every PU is one.
    for (int i = 0; i < topology->pus && !walk.next_core; i++)
        topology->pu[i].core = i;
    add_numa_nodes(topology, hwloc);
    add_kinds(topology, hwloc);
    add_devices(topology, hwloc);
    hwloc_const_bitmap_t allowed = hwloc_topology_get_allowed_cpuset(hwloc);
    for (int i = 0; i < topology->pus; i++)
        topology->pu[i].allowed = topology->pu[i].usable = hwloc_bitmap_isset(allowed, (unsigned)topology->pu[i].os_index);
    topology->offline_pus = hwloc_bitmap_weight(hwloc_topology_get_complete_cpuset(hwloc)) - topology->pus;

    struct topology_summary *sum = &topology->summary;
    hwloc_obj_t package = hwloc_get_obj_by_type(hwloc, HWLOC_OBJ_PACKAGE, 0);
    if (package) {
        topology_copy_text(sum->cpu_model, sizeof sum->cpu_model, hwloc_obj_get_info_by_name(package, "CPUModel"));
        topology_copy_text(sum->cpu_vendor, sizeof sum->cpu_vendor, hwloc_obj_get_info_by_name(package, "CPUVendor"));
    }
    sum->this_machine = hwloc_topology_is_thissystem(hwloc);
    sum->quota_cpus = sum->memory_limit_bytes = sum->memory_bytes = NAN;
    return 0;
}

static void cut_with_binding(struct topology *topology, hwloc_topology_t hwloc)
{
    hwloc_bitmap_t set = hwloc_bitmap_alloc();
    if (set && !hwloc_get_cpubind(hwloc, set, HWLOC_CPUBIND_PROCESS))
        for (int i = 0; i < topology->pus; i++)
            topology->pu[i].usable &= hwloc_bitmap_isset(set, (unsigned)topology->pu[i].os_index);
    hwloc_bitmap_free(set);
}

// ---------------------------------------------------------------------------------------------------------------------
// Loading

static void summarize(struct topology *topology)
{
    struct topology_summary *sum = &topology->summary;
    int last_core = -1, last_usable_core = -1, last_package = -2, last_usable_package = -2, in_core = 0;
    for (int i = 0; i < topology->pus; i++) {
        const struct pu *pu = &topology->pu[i];
        sum->pus++;
        sum->usable_pus += pu->usable;
        in_core = pu->core == last_core ? in_core + 1 : 1;
        sum->smt = in_core > sum->smt ? in_core : sum->smt;
        sum->cores += pu->core != last_core;
        sum->packages += pu->package >= 0 && pu->package != last_package;
        last_core = pu->core;
        last_package = pu->package;
        if (pu->usable) {
            sum->usable_cores += pu->core != last_usable_core;
            sum->usable_packages += pu->package >= 0 && pu->package != last_usable_package;
            last_usable_core = pu->core;
            last_usable_package = pu->package;
        }
    }
    sum->numa_nodes = topology->numa_nodes;
    sum->cpu_kinds = topology->kinds;
    double bytes = 0;
    for (int i = 0; i < topology->numa_nodes; i++)
        bytes += topology->numa[i].bytes; // one that is not told makes the sum not told
    sum->memory_bytes = topology->numa_nodes ? bytes : NAN;
}

int topology_load(const struct topology_source *source, struct topology **out, char *error, size_t error_size)
{
    static const struct topology_source this_machine;
    source = source ? source : &this_machine;
    *out = NULL;
    if (source->xml && source->synthetic)
        return refuse(-EINVAL, error, error_size, "a topology is loaded from XML or from a description, not from both");
    struct topology *topology = calloc(1, sizeof *topology);
    hwloc_topology_t hwloc = NULL;
    if (!topology || hwloc_topology_init(&hwloc)) {
        free(topology);
        return refuse(-ENOMEM, error, error_size, "topology: out of memory");
    }
    topology->hwloc = hwloc;
    int status = 0;
    if (source->xml && (errno = 0, hwloc_topology_set_xml(hwloc, source->xml))) {
        status = errno == ENOENT ? -ENOENT : -EINVAL;
        refuse(status, error, error_size, "%s: %s", source->xml,
               errno == ENOENT || errno == EACCES ? strerror(errno) : "not the XML of a topology (lstopo FILE.xml writes one)");
    } else if (source->synthetic && hwloc_topology_set_synthetic(hwloc, source->synthetic)) {
        status = refuse(-EINVAL, error, error_size,
                        "'%s' does not describe a machine; an example: \"package:2 l3:1 core:4 pu:2\"", source->synthetic);
    }
    if (!status) {
        hwloc_topology_set_flags(hwloc, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
        hwloc_topology_set_all_types_filter(hwloc, HWLOC_TYPE_FILTER_KEEP_ALL);
        hwloc_topology_set_type_filter(hwloc, HWLOC_OBJ_GROUP, HWLOC_TYPE_FILTER_KEEP_STRUCTURE);
        hwloc_topology_set_io_types_filter(hwloc, source->no_devices ? HWLOC_TYPE_FILTER_KEEP_NONE
                                                                     : HWLOC_TYPE_FILTER_KEEP_IMPORTANT);
        const char *place = source->xml ? source->xml : source->synthetic ? source->synthetic : "this machine";
        if (hwloc_topology_load(hwloc))
            status = refuse(-EINVAL, error, error_size, "%s: no topology can be loaded from it", place);
        else if ((status = convert(topology, hwloc)))
            refuse(status, error, error_size, "%s: out of memory", place);
    }
    if (status) {
        topology_free(topology);
        return status;
    }
    if (topology->summary.this_machine) {
        cut_with_binding(topology, hwloc);
        topology_own_find(topology, source);
    } else {
        topology_own_read(topology, hwloc_obj_get_info_by_name(hwloc_get_root_obj(hwloc), info_name));
    }
    summarize(topology);
    *out = topology;
    return 0;
}

void topology_free(struct topology *topology)
{
    if (!topology)
        return;
    if (topology->hwloc)
        hwloc_topology_destroy(topology->hwloc);
    free(topology->node);
    free(topology->numa);
    free(topology->pu);
    free(topology->kind);
    free(topology->device);
    free(topology);
}

int topology_save_xml(const struct topology *topology, const char *path, char *error, size_t error_size)
{
    // hwloc only adds info attributes: the exported copy gets ours, so that saving twice does not write it twice.
    hwloc_topology_t copy;
    if (hwloc_topology_dup(&copy, topology->hwloc))
        return refuse(-ENOMEM, error, error_size, "%s: out of memory", path);
    char *text = topology_own_write(topology);
    int status = 0;
    hwloc_obj_t root = hwloc_get_root_obj(copy);
    if (!text || (!hwloc_obj_get_info_by_name(root, info_name) && hwloc_obj_add_info(root, info_name, text)))
        status = refuse(-ENOMEM, error, error_size, "%s: out of memory", path);
    else if (errno = 0, hwloc_topology_export_xml(copy, path, 0))
        status = refuse(errno ? -errno : -EIO, error, error_size, "%s: cannot be written: %s", path,
                        errno ? strerror(errno) : "hwloc could not export it");
    free(text);
    hwloc_topology_destroy(copy);
    return status;
}

// ---------------------------------------------------------------------------------------------------------------------
// Binding

int topology_bind_thread_to(const struct topology *topology, const int *pus, size_t count, char *error, size_t error_size)
{
    if (!topology->summary.this_machine)
        return refuse(-EINVAL, error, error_size, "a thread cannot be bound on another machine's topology");
    hwloc_bitmap_t set = hwloc_bitmap_alloc();
    int status = set ? 0 : -ENOMEM;
    for (size_t i = 0; !status && i < count; i++) {
        int at = pus[i] < 0 ? -1 : pu_at(topology, (unsigned)pus[i]);
        if (at < 0 || !topology->pu[at].usable)
            status = refuse(-EINVAL, error, error_size, "PU %d is not among those that this process may use", pus[i]);
        else
            hwloc_bitmap_set(set, (unsigned)pus[i]);
    }
    if (!status && !count)
        status = refuse(-EINVAL, error, error_size, "a thread needs at least one PU");
    if (!status && hwloc_set_cpubind(topology->hwloc, set, HWLOC_CPUBIND_THREAD)) {
        status = errno ? -errno : -EIO;
        refuse(status, error, error_size, "binding a thread to PU %d failed: %s", pus[0], strerror(-status));
    }
    hwloc_bitmap_free(set);
    return status;
}

int topology_bind_thread(const struct topology *topology, int pu, char *error, size_t error_size)
{
    return topology_bind_thread_to(topology, &pu, 1, error, error_size);
}

int topology_binding(const struct topology *topology, char *list, size_t size)
{
    hwloc_bitmap_t set = topology->summary.this_machine ? hwloc_bitmap_alloc() : NULL;
    if (!set)
        return topology->summary.this_machine ? -ENOMEM : -EINVAL;
    int status = 0;
    if (hwloc_get_cpubind(topology->hwloc, set, HWLOC_CPUBIND_THREAD))
        status = errno ? -errno : -EIO;
    else {
        int length = hwloc_bitmap_list_snprintf(list, size, set);
        status = length < 0 ? -EIO : (size_t)length >= size ? -ENOSPC : 0;
    }
    hwloc_bitmap_free(set);
    return status;
}
