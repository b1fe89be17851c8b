/* base/cgroup.c - see cgroup.h. /proc/self/mountinfo says where a controller is mounted and which
 * group that mount shows; /proc/self/cgroup says which group is ours. From there up to the mount,
 * each may have a limit. */
#include "base/cgroup.h"

#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/math.h"

#define TEXT_BYTES_MAX   (1 << 20)
#define MEMORY_UNLIMITED ((int64_t)1 << 62)  /* version 1 says so with a number near 2^63 */

/* What one group limits, INT64_MAX: nothing. */
typedef int64_t group_limit(const char *root, const char *dir, bool v2);

struct controller {
	const char *name;      /* as version 1 mounts it; version 2 has all in one */
	group_limit *limit;
};

/* One mounted hierarchy that has the controller. */
struct hierarchy {
	bool v2;
	char shown[PATH_MAX];  /* the group that the mount point shows */
	char mount[PATH_MAX];
};

/* The text of root + dir + "/" + name; NULL if it cannot be read. Freed by the
 * caller with buf_free. */
static char *read_text(struct buf *text, const char *root, const char *dir, const char *name)
{
	char path[PATH_MAX];
	struct err_info ignored = {0};

	buf_init(text, TEXT_BYTES_MAX);
	const int length = snprintf(path, sizeof(path), "%s%s/%s", root, dir, name);
	if (length < 0 || (size_t)length >= sizeof(path) || file_read(text, path, &ignored))
		return NULL;
	return text->data;
}

static bool list_has(const char *list, const char *word)
{
	const size_t length = strlen(word);

	for (const char *at = list; (at = strstr(at, word)); at += length) {
		const bool starts = at == list || at[-1] == ',';

		if (starts && (at[length] == ',' || at[length] == '\0'))
			return true;
	}
	return false;
}

/* "ID PARENT DEVICE SHOWN MOUNT OPTIONS... - TYPE SOURCE SUPER_OPTIONS" (proc(5)). */
static bool parse_mount(char *line, const char *controller, struct hierarchy *h)
{
	char *words[64] = {0};
	char *rest = NULL;
	size_t count = 0;
	size_t dash = 0;

	for (char *word = strtok_r(line, " ", &rest); word && count < 64;
		word = strtok_r(NULL, " ", &rest)) {
		if (strcmp(word, "-") == 0)
			dash = count;
		words[count++] = word;
	}
	if (dash < 5 || dash + 3 >= count || strlen(words[3]) >= PATH_MAX ||
		strlen(words[4]) >= PATH_MAX)
		return false;
	h->v2 = strcmp(words[dash + 1], "cgroup2") == 0;
	if (!h->v2 && !(strcmp(words[dash + 1], "cgroup") == 0 &&
		list_has(words[dash + 3], controller)))
		return false;
	memcpy(h->shown, words[3], strlen(words[3]) + 1);
	memcpy(h->mount, words[4], strlen(words[4]) + 1);
	return true;
}

/* Our group in the hierarchy, from lines "ID:CONTROLLERS:/path"; controllers are
 * empty in version 2. */
static bool find_group(char *text, const char *controller, bool v2, char group[PATH_MAX])
{
	char *rest = NULL;

	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char *controllers = strchr(line, ':');
		char *path = controllers ? strchr(controllers + 1, ':') : NULL;

		if (!path || strlen(path + 1) >= PATH_MAX)
			continue;
		*path = '\0';
		if (v2 ? controllers[1] == '\0' : list_has(controllers + 1, controller)) {
			memcpy(group, path + 1, strlen(path + 1) + 1);
			return true;
		}
	}
	return false;
}

/* The least limit from our group up to the mount point. */
static int64_t limit_in(const char *root, const struct controller *c, const struct hierarchy *h,
	const char *group)
{
	const size_t shown_length = strcmp(h->shown, "/") == 0 ? 0 : strlen(h->shown);
	const size_t mount_length = strlen(h->mount);
	char dir[2 * PATH_MAX];
	int64_t least = INT64_MAX;

	/* A container may see a group path that its mount does not show: then the mount point
	 * is all there is. */
	const bool inside = strncmp(group, h->shown, shown_length) == 0 &&
		(group[shown_length] == '/' || group[shown_length] == '\0');
	snprintf(dir, sizeof(dir), "%s%s", h->mount, inside ? group + shown_length : "");
	for (;;) {
		least = math_min_i64(least, c->limit(root, dir, h->v2));
		char *slash = strrchr(dir, '/');
		if (!slash || (size_t)(slash - dir) < mount_length)
			return least;
		*slash = '\0';
	}
}

static int64_t limit_of_mount(const char *root, const struct controller *c, char *line)
{
	char group[PATH_MAX];
	struct hierarchy h;
	struct buf groups;
	int64_t limit = INT64_MAX;

	if (!parse_mount(line, c->name, &h))
		return INT64_MAX;
	char *text = read_text(&groups, root, "/proc/self", "cgroup");
	if (text && find_group(text, c->name, h.v2, group))
		limit = limit_in(root, c, &h, group);
	buf_free(&groups);
	return limit;
}

static int64_t least_limit(const char *root, const struct controller *c)
{
	struct buf mounts;
	char *rest = NULL;
	int64_t least = INT64_MAX;

	char *text = read_text(&mounts, root, "/proc/self", "mountinfo");
	for (char *line = text ? strtok_r(text, "\n", &rest) : NULL; line;
		line = strtok_r(NULL, "\n", &rest))
		least = math_min_i64(least, limit_of_mount(root, c, line));
	buf_free(&mounts);
	return least;
}

/* ---- processor time -------------------------------------------------------------------------- */

/* Quota and period in microseconds of one group; false when it has none. */
static bool read_quota(const char *root, const char *dir, bool v2, int64_t *quota, int64_t *period)
{
	struct buf text;
	bool found;

	const char *value = read_text(&text, root, dir, v2 ? "cpu.max" : "cpu.cfs_quota_us");
	if (v2) {
		found = value && sscanf(value, "%" SCNd64 " %" SCNd64, quota, period) == 2;
		buf_free(&text);
		return found && *quota > 0 && *period > 0;
	}
	found = value && sscanf(value, "%" SCNd64, quota) == 1;
	buf_free(&text);
	value = read_text(&text, root, dir, "cpu.cfs_period_us");
	found = found && value && sscanf(value, "%" SCNd64, period) == 1;
	buf_free(&text);
	return found && *quota > 0 && *period > 0;
}

static int64_t quota_of_group(const char *root, const char *dir, bool v2)
{
	int64_t quota;
	int64_t period;

	if (!read_quota(root, dir, v2, &quota, &period) || quota >= INT64_MAX / 1000)
		return INT64_MAX;
	return math_max_i64(quota * 1000 / period, 1);
}

int64_t cgroup_cpu_quota_millicores(const char *root)
{
	static const struct controller cpu = {"cpu", quota_of_group};
	const int64_t least = least_limit(root, &cpu);

	return least == INT64_MAX ? 0 : least;
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* A number alone in a file, and not below 0; false otherwise ("max"). */
static bool read_bytes(const char *root, const char *dir, const char *name, int64_t *bytes)
{
	struct buf text;
	const char *value = read_text(&text, root, dir, name);
	const bool found = value && sscanf(value, "%" SCNd64, bytes) == 1 && *bytes >= 0;

	buf_free(&text);
	return found;
}

/* File pages that nobody has used lately count as used, and are given up when memory is wanted. */
static int64_t reclaimable_bytes(const char *root, const char *dir, bool v2)
{
	const char *key = v2 ? "inactive_file " : "total_inactive_file ";
	struct buf text;
	char *rest = NULL;
	int64_t bytes = 0;

	char *lines = read_text(&text, root, dir, "memory.stat");
	for (char *line = lines ? strtok_r(lines, "\n", &rest) : NULL; line;
		line = strtok_r(NULL, "\n", &rest))
		if (strncmp(line, key, strlen(key)) == 0 &&
			sscanf(line + strlen(key), "%" SCNd64, &bytes) != 1)
			bytes = 0;
	buf_free(&text);
	return bytes < 0 ? 0 : bytes;
}

static int64_t free_of_group(const char *root, const char *dir, bool v2)
{
	int64_t limit;
	int64_t used;

	if (!read_bytes(root, dir, v2 ? "memory.max" : "memory.limit_in_bytes", &limit) ||
		limit >= MEMORY_UNLIMITED)
		return INT64_MAX;
	if (!read_bytes(root, dir, v2 ? "memory.current" : "memory.usage_in_bytes", &used))
		return INT64_MAX;
	used -= math_min_i64(used, reclaimable_bytes(root, dir, v2));
	return limit > used ? limit - used : 0;
}

int64_t cgroup_memory_free_bytes(const char *root)
{
	static const struct controller memory = {"memory", free_of_group};

	return least_limit(root, &memory);
}
