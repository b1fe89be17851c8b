/* base/cgroup.h - how much processor time and memory the control groups leave us (Linux cgroups,
 * version 1 and 2). */
#ifndef BASE_CGROUP_H
#define BASE_CGROUP_H

#include <stdint.h>

/* The least quota of this process's group and the groups above it, in thousandths of a core; 0
 * when nothing is limited. root is put before every path ("" outside tests). What cannot be
 * read does not limit. */
int64_t cgroup_cpu_quota_millicores(const char *root);
/* The least that the limits of this process's group and the groups above it leave free, INT64_MAX
 * when there are none. File pages that can be given up count as free. Same root. */
int64_t cgroup_memory_free_bytes(const char *root);

#endif
