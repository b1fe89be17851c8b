/* base/cgroup.c - see cgroup.h. /proc/self/mountinfo says where the cpu controller is mounted and which group that
 * mount shows; /proc/self/cgroup says which group is ours. From there up to the mount, each may have a quota. */
#include "base/cgroup.h"

#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"

#define TEXT_BYTES_MAX (1 << 20)

/* One mounted hierarchy that has the cpu controller. */
struct hierarchy {
	bool v2;
	char shown[PATH_MAX];  /* the group that the mount point shows */
	char mount[PATH_MAX];
};

/* The text of root + dir + "/" + name; NULL if it cannot be read. Freed by the caller with buf_free. */
static char *read_text(struct buf *text, const char *root, const char *dir, const char *name)
{
	char path[PATH_MAX];

	buf_init(text, TEXT_BYTES_MAX);
	const int length = snprintf(path, sizeof(path), "%s%s/%s", root, dir, name);
	if (length < 0 || (size_t)length >= sizeof(path) || file_read(text, path, NULL))
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
static bool parse_mount(char *line, struct hierarchy *h)
{
	char *words[64] = {0};
	char *rest = NULL;
	size_t count = 0;
	size_t dash = 0;

	for (char *word = strtok_r(line, " ", &rest); word && count < 64; word = strtok_r(NULL, " ", &rest)) {
		if (strcmp(word, "-") == 0)
			dash = count;
		words[count++] = word;
	}
	if (dash < 5 || dash + 3 >= count || strlen(words[3]) >= PATH_MAX || strlen(words[4]) >= PATH_MAX)
		return false;
	h->v2 = strcmp(words[dash + 1], "cgroup2") == 0;
	if (!h->v2 && !(strcmp(words[dash + 1], "cgroup") == 0 && list_has(words[dash + 3], "cpu")))
		return false;
	memcpy(h->shown, words[3], strlen(words[3]) + 1);
	memcpy(h->mount, words[4], strlen(words[4]) + 1);
	return true;
}

/* Our group in the hierarchy, from lines "ID:CONTROLLERS:/path"; controllers are empty in version 2. */
static bool find_group(char *text, bool v2, char group[PATH_MAX])
{
	char *rest = NULL;

	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char *controllers = strchr(line, ':');
		char *path = controllers ? strchr(controllers + 1, ':') : NULL;

		if (!path || strlen(path + 1) >= PATH_MAX)
			continue;
		*path = '\0';
		if (v2 ? controllers[1] == '\0' : list_has(controllers + 1, "cpu")) {
			memcpy(group, path + 1, strlen(path + 1) + 1);
			return true;
		}
	}
	return false;
}

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

/* The least quota from our group up to the mount point; 0: none. */
static int64_t quota_in(const char *root, const struct hierarchy *h, const char *group)
{
	const size_t shown_length = strcmp(h->shown, "/") == 0 ? 0 : strlen(h->shown);
	char dir[2 * PATH_MAX];
	int64_t least = 0;

	/* A container may see a group path that its mount does not show: then the mount point is all there is. */
	const bool inside = strncmp(group, h->shown, shown_length) == 0;
	snprintf(dir, sizeof(dir), "%s%s", h->mount, inside ? group + shown_length : "");
	const size_t mount_length = strlen(h->mount);
	for (;;) {
		int64_t quota;
		int64_t period;

		if (read_quota(root, dir, h->v2, &quota, &period) && quota < INT64_MAX / 1000) {
			const int64_t millicores = quota * 1000 / period;

			least = least == 0 || millicores < least ? millicores : least;
		}
		char *slash = strrchr(dir, '/');
		if (!slash || (size_t)(slash - dir) < mount_length)
			return least;
		*slash = '\0';
	}
}

static int64_t quota_of_mount(const char *root, char *line)
{
	char group[PATH_MAX];
	struct hierarchy h;
	struct buf groups;
	int64_t quota = 0;

	if (!parse_mount(line, &h))
		return 0;
	char *text = read_text(&groups, root, "/proc/self", "cgroup");
	if (text && find_group(text, h.v2, group))
		quota = quota_in(root, &h, group);
	buf_free(&groups);
	return quota;
}

int64_t cgroup_cpu_quota_millicores(const char *root)
{
	struct buf mounts;
	char *rest = NULL;
	int64_t least = 0;

	char *text = read_text(&mounts, root, "/proc/self", "mountinfo");
	for (char *line = text ? strtok_r(text, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest)) {
		const int64_t quota = quota_of_mount(root, line);

		if (quota > 0)
			least = least == 0 || quota < least ? quota : least;
	}
	buf_free(&mounts);
	return least;
}
