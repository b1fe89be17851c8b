/* tests/base/cgroup_test.c - quotas and limits are found in both versions, in containers, and in
 * every group above ours. */
#include "scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cgroup.h"
#include "base/file.h"

static void put(const char *path, const char *text)
{
	char full[512];

	snprintf(full, sizeof(full), "%s%s", scratch, path);
	char *slash = strrchr(full, '/');
	*slash = '\0';
	assert_int_equal(file_mkdirs(full, UNIT_IGNORED), ERR_NONE);
	*slash = '/';
	assert_int_equal(file_write_atomic(full, text, strlen(text), 0600, UNIT_IGNORED), ERR_NONE);
}

static void nothing_mounted_is_no_limit(void **state)
{
	(void)state;
	assert_int_equal(cgroup_cpu_quota_millicores(scratch), 0);
	assert_int_equal(cgroup_memory_free_bytes(scratch), INT64_MAX);
}

static void version_2_gives_its_least_quota_up_to_the_mount(void **state)
{
	(void)state;
	put("/proc/self/mountinfo",
		"20 1 0:1 / / rw - ext4 /dev/root rw\n"
		"31 20 0:2 / /sys/fs/cgroup rw,nosuid shared:4 master:1 - cgroup2 cgroup2 "
		"rw,nsdelegate\n");
	put("/proc/self/cgroup", "0::/a/b\n");
	put("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
	assert_int_equal(cgroup_cpu_quota_millicores(scratch), 0);
	put("/sys/fs/cgroup/a/cpu.max", "350000 100000\n");
	assert_int_equal(cgroup_cpu_quota_millicores(scratch), 3500);
	put("/sys/fs/cgroup/a/b/cpu.max", "50000 20000\n");
	assert_int_equal(cgroup_cpu_quota_millicores(scratch), 2500);
}

static void version_1_is_read_through_the_group_its_mount_shows(void **state)
{
	(void)state;
	put("/proc/self/mountinfo",
		"31 20 0:2 /docker/1f /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
		"32 20 0:2 /docker/1f /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup "
		"rw,cpu,cpuacct\n");
	put("/proc/self/cgroup",
		"4:cpuset:/docker/1f\n3:cpu,cpuacct:/docker/1f/job\n0::/elsewhere\n");
	put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "400000\n");
	put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
	put("/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "-1\n");
	put("/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
	assert_int_equal(cgroup_cpu_quota_millicores(scratch), 4000);
	put("/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "150000\n");
	assert_int_equal(cgroup_cpu_quota_millicores(scratch), 1500);
}

static void a_group_the_mount_does_not_show_falls_back_to_the_mount(void **state)
{
	(void)state;
	put("/proc/self/mountinfo",
		"32 20 0:2 /docker/1f /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup "
		"rw,cpu,cpuacct\n");
	put("/proc/self/cgroup", "3:cpu,cpuacct:/host/path/of/us\n");
	assert_int_equal(cgroup_cpu_quota_millicores(scratch), 4000);
}

static void memory_of_version_2_is_what_the_tightest_group_leaves(void **state)
{
	(void)state;
	put("/proc/self/mountinfo",
		"31 20 0:2 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n");
	put("/proc/self/cgroup", "0::/m/job\n");
	put("/sys/fs/cgroup/m/job/memory.max", "max\n");
	put("/sys/fs/cgroup/m/job/memory.current", "900\n");
	assert_int_equal(cgroup_memory_free_bytes(scratch), INT64_MAX);
	put("/sys/fs/cgroup/m/memory.max", "5000\n");
	put("/sys/fs/cgroup/m/memory.current", "3000\n");
	assert_int_equal(cgroup_memory_free_bytes(scratch), 2000);
	put("/sys/fs/cgroup/m/job/memory.max", "1000\n");
	assert_int_equal(cgroup_memory_free_bytes(scratch), 100);
	put("/sys/fs/cgroup/m/job/memory.stat", "anon 100\nfile 800\ninactive_file 700\n");
	assert_int_equal(cgroup_memory_free_bytes(scratch), 800);
	put("/sys/fs/cgroup/m/memory.current", "9000\n");
	assert_int_equal(cgroup_memory_free_bytes(scratch), 0);
}

static void memory_of_version_1_is_read_through_the_group_its_mount_shows(void **state)
{
	(void)state;
	put("/proc/self/mountinfo",
		"32 20 0:2 /docker/1f /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
	put("/proc/self/cgroup", "7:memory:/docker/1f/job\n0::/elsewhere\n");
	put("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "9223372036854771712\n");
	put("/sys/fs/cgroup/memory/job/memory.usage_in_bytes", "4096\n");
	assert_int_equal(cgroup_memory_free_bytes(scratch), INT64_MAX);
	put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "10000\n");
	put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "4000\n");
	put("/sys/fs/cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 500\n");
	assert_int_equal(cgroup_memory_free_bytes(scratch), 6500);
	put("/proc/self/cgroup", "7:memory:/docker/1f2/other\n");
	assert_int_equal(cgroup_memory_free_bytes(scratch), 6500);
}

static void nonsense_does_not_limit(void **state)
{
	(void)state;
	put("/proc/self/mountinfo", "- - - -\n\n31\n32 20 0:2 / /sys/fs/cgroup rw -\n"
		"31 20 0:2 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
	put("/proc/self/cgroup", "::\n0\n0::/a/b\n");
	put("/sys/fs/cgroup/a/cpu.max", "-5 0\n");
	put("/sys/fs/cgroup/a/b/cpu.max", "many\n");
	put("/sys/fs/cgroup/a/b/memory.max", "-1\n");
	put("/sys/fs/cgroup/a/memory.max", "5\n");  /* and nobody says how much is used */
	assert_int_equal(cgroup_cpu_quota_millicores(scratch), 0);
	assert_int_equal(cgroup_memory_free_bytes(scratch), INT64_MAX);
}

static void a_quota_of_almost_nothing_is_not_none(void **state)
{
	(void)state;
	put("/proc/self/mountinfo",
		"31 20 0:2 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
	put("/proc/self/cgroup", "0::/small\n");
	put("/sys/fs/cgroup/small/cpu.max", "1 99999999999999999999999\n");
	assert_int_equal(cgroup_cpu_quota_millicores(scratch), 1);
	put("/sys/fs/cgroup/small/cpu.max", "99999999999999999999999 1\n");
	assert_int_equal(cgroup_cpu_quota_millicores(scratch), 0);
	put("/sys/fs/cgroup/small/cpu.max", "9223372036854774 1\n");
	assert_int_equal(cgroup_cpu_quota_millicores(scratch), 9223372036854774000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_mounted_is_no_limit),
		cmocka_unit_test(version_2_gives_its_least_quota_up_to_the_mount),
		cmocka_unit_test(version_1_is_read_through_the_group_its_mount_shows),
		cmocka_unit_test(a_group_the_mount_does_not_show_falls_back_to_the_mount),
		cmocka_unit_test(memory_of_version_2_is_what_the_tightest_group_leaves),
		cmocka_unit_test(memory_of_version_1_is_read_through_the_group_its_mount_shows),
		cmocka_unit_test(nonsense_does_not_limit),
		cmocka_unit_test(a_quota_of_almost_nothing_is_not_none),
	};

	return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
