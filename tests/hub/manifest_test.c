/* tests/hub/manifest_test.c - a manifest is read as it was written, or refused. */
#include "unit.h"

#include <string.h>

#include "base/mem.h"
#include "hub/manifest.h"

#define SHA256 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SHA1   "0123456789abcdef0123456789abcdef01234567"

static enum err parse(const char *text, struct err_info *info)
{
	struct manifest m;
	const enum err code = manifest_parse(&m, text, strlen(text), info);

	manifest_free(&m);
	return code;
}

static void assert_refused(const char *text, const char *why)
{
	struct err_info info = {0};

	assert_int_not_equal(parse(text, &info), ERR_NONE);
	if (!strstr(info.text, why))
		fail_msg("%s: %s", text, info.text);
}

static void what_is_written_is_read(void **state)
{
	struct manifest m, again;
	struct buf text;

	(void)state;
	assert_int_equal(manifest_init(&m, 2, UNIT_IGNORED), ERR_NONE);
	assert_int_equal(hub_name_parse(&m.name, "Qwen/Qwen3-0.6B:q8_0", false, UNIT_IGNORED),
		ERR_NONE);
	strncpy(m.source, "https://huggingface.co", sizeof(m.source) - 1);
	strncpy(m.licence, "apache-2.0", sizeof(m.licence) - 1);
	m.files[0] = (struct manifest_file){.path = "a\"b.gguf", .size_bytes = (uint64_t)5 << 30,
		.sha256 = SHA256};
	m.files[1] = (struct manifest_file){.path = "c/README.md", .git_sha1 = SHA1};
	m.file_count = 2;
	m.model = m.files[0].path;
	buf_init(&text, MANIFEST_BYTES_MAX);
	manifest_print(&m, &text);
	assert_int_equal(manifest_parse(&again, text.data, text.size, UNIT_IGNORED), ERR_NONE);
	assert_string_equal(again.name.owner, "Qwen");
	assert_string_equal(again.name.type, "q8_0");
	assert_string_equal(again.source, "https://huggingface.co");
	assert_string_equal(again.revision, "");
	assert_string_equal(again.model, "a\"b.gguf");
	assert_int_equal(again.file_count, 2);
	assert_int_equal(manifest_size(&again), (uint64_t)5 << 30);
	assert_string_equal(again.files[0].sha256, SHA256);
	assert_string_equal(again.files[0].git_sha1, "");
	assert_string_equal(again.files[1].path, "c/README.md");
	assert_string_equal(again.files[1].git_sha1, SHA1);
	manifest_free(&m);
	manifest_free(&again);
	buf_free(&text);
}

#define HEAD "{\"format\":1,\"name\":\"a/b\",\"type\":\"original\","

static void what_does_not_hold_is_refused_by_name(void **state)
{
	(void)state;
	assert_int_equal(parse(HEAD "\"files\":[]}", UNIT_IGNORED), ERR_NONE);
	assert_refused("", "");
	assert_refused("[]", "not an object");
	assert_refused("{\"format\":2}", "format 2, known is 1");
	assert_refused("{\"format\":1}", "files: not an array");
	assert_refused("{\"format\":1,\"files\":[]}", "name or type is missing");
	assert_refused("{\"format\":1,\"name\":\"../x\",\"type\":\"a\",\"files\":[]}",
		"is not the name");
	assert_refused("{\"format\":1,\"name\":\"a/b\",\"type\":\"..\",\"files\":[]}",
		"'..' is not a type");
	assert_refused(HEAD "\"files\":[{}]}", "a file without path or size");
	assert_refused(HEAD "\"files\":[{\"path\":\"a\"}]}", "a file without path or size");
	assert_refused(HEAD "\"files\":[{\"path\":\"../a\",\"size\":1}]}", "it leaves its folder");
	assert_refused(HEAD "\"files\":[{\"path\":\"a\",\"size\":-1}]}", "size");
	assert_refused(HEAD "\"files\":[{\"path\":\"a\",\"size\":1,\"sha256\":\"xy\"}]}",
		"sha256: not 64 hexadecimal digits");
	assert_refused(HEAD "\"files\":[],\"model\":\"a\"}", "'a' is none of its files");
	assert_refused(HEAD "\"source\":7,\"files\":[]}", "source");
}

static void a_heap_that_ends_is_an_error(void **state)
{
	static const char text[] = HEAD "\"files\":[{\"path\":\"a\",\"size\":1}],\"model\":\"a\"}";
	enum err code = ERR_MEMORY;
	int64_t n;

	(void)state;
	for (n = 1; n < 100 && code; n++) {
		mem_fail_after(n, 1);
		code = parse(text, UNIT_IGNORED);
		mem_fail_after(0, 0);
		assert_true(code == ERR_MEMORY || code == ERR_NONE);
	}
	assert_int_equal(code, ERR_NONE);
	assert_true(n > 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(what_does_not_hold_is_refused_by_name),
		cmocka_unit_test(a_heap_that_ends_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
