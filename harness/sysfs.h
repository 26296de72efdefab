// SPDX-License-Identifier: MIT
// Small files of /proc and /sys, and the control groups that this process sits in. `root` is put before every path: "" or NULL
// is this machine, anything else a captured tree.
#ifndef LLMSWEEP_SYSFS_H
#define LLMSWEEP_SYSFS_H

#include <stdbool.h>
#include <stddef.h>

// First `size` − 1 bytes of a file, blanks and newlines at its end removed. False, and an empty text, when it cannot be read.
bool sysfs_text(const char *root, const char *path, char *text, size_t size);
// A file that holds one number. NAN when it cannot be read or holds none.
double sysfs_number(const char *root, const char *path);
// The number behind "key" at the start of a line ("MemTotal:", "nr_throttled"). NAN when there is none.
double sysfs_keyed_number(const char *root, const char *path, const char *key);
// What stands behind "key" and its ':' or blanks, to the end of that line. False, and an empty text, when there is none.
bool sysfs_keyed_text(const char *root, const char *path, const char *key, char *text, size_t size);
// Names in a folder, sorted. The caller frees with sysfs_list_free. -errno when it cannot be read.
int sysfs_list(const char *root, const char *path, char ***names, size_t *count);
void sysfs_list_free(char **names, size_t count);

// CPUs' worth of time that the control groups of this process grant, the smallest of its group and all above: cpu.max, or
// cpu.cfs_quota_us / cpu.cfs_period_us. NAN = no quota is set, or none can be read; source says which, or names the file.
double cgroup_cpu_quota(const char *root, char *source, size_t source_size);
// Memory limit in bytes, likewise (memory.max, memory.limit_in_bytes); NAN = none. *left, if not NULL: what the tightest group
// leaves free, page cache counted as free; NAN with no limit.
double cgroup_memory_limit(const char *root, double *left);
// Seconds for which the quota has stopped this process's groups so far (cpu.stat); NAN when not told.
double cgroup_throttled_seconds(const char *root);
// A count that grows when the kernel kills a process for want of memory: in this process's group (memory.events, memory.oom_control),
// or, since a launcher may put workers into another one, anywhere on the machine (/proc/vmstat). 0 where nothing is told.
double cgroup_out_of_memory_kills(const char *root);

#endif
