/* tests/hub/choose_test.c - which files of a repository make a model. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "hub/choose.h"

static struct manifest listing;
static bool asked;

/* A repository of these files, blank separated, and what is chosen of it. */
static enum err choose(const char *name, const char *files, struct err_info *info)
{
	manifest_free(&listing);
	assert_int_equal(manifest_init(&listing, 64, UNIT_IGNORED), ERR_NONE);
	assert_int_equal(hub_name_parse(&listing.name, name, true, UNIT_IGNORED), ERR_NONE);
	while (*files) {
		const size_t size = strcspn(files, " ");
		struct manifest_file *f = &listing.files[listing.file_count++];

		*f = (struct manifest_file){.size_bytes = size};
		f->path = arena_strndup(&listing.memory, files, size);
		files += size + strspn(files + size, " ");
	}
	return choose_files(&listing, &asked, info);
}

static void assert_chosen(const char *name, const char *files, const char *type, const char *model,
	const char *chosen)
{
	struct err_info info = {0};
	char got[1000] = "";
	size_t used = 0;

	if (choose(name, files, &info))
		fail_msg("%s", info.text);
	for (uint32_t i = 0; i < listing.file_count; i++)
		used += (size_t)snprintf(got + used, sizeof(got) - used, "%s%s", i ? " " : "",
			listing.files[i].path);
	assert_string_equal(got, chosen);
	assert_string_equal(listing.name.type, type);
	assert_string_equal(listing.model, model);
}

static void assert_refused(const char *name, const char *files, const char *why)
{
	struct err_info info = {0};

	assert_int_not_equal(choose(name, files, &info), ERR_NONE);
	if (!strstr(info.text, why))
		fail_msg("%s", info.text);
}

static void of_safetensors_what_a_model_needs(void **state)
{
	(void)state;
	assert_chosen("a/b", ".gitattributes LICENSE README.md config.json configuration.json "
		"generation_config.json merges.txt model.safetensors pytorch_model.bin "
		"rust_model.ot tokenizer.json tokenizer_config.json vocab.json onnx/model.onnx "
		"onnx/config.json chat_template.jinja trainer_state.json figures/a.png", "original",
		"", "LICENSE README.md config.json configuration.json generation_config.json "
		"merges.txt model.safetensors tokenizer.json tokenizer_config.json vocab.json "
		"chat_template.jinja");
}

static void the_weights_once(void **state)
{
	(void)state;
	assert_chosen("a/b", "config.json model-00001-of-00002.safetensors "
		"model-00002-of-00002.safetensors model.safetensors.index.json model.safetensors "
		"consolidated.safetensors original/model.safetensors", "original", "",
		"config.json model-00001-of-00002.safetensors model-00002-of-00002.safetensors "
		"model.safetensors.index.json");
	assert_chosen("a/b", "config.json model.safetensors model.fp16.safetensors", "original", "",
		"config.json model.safetensors");
	assert_refused("a/b", "adapter_model.safetensors adapter_config.json", "no config.json");
	assert_refused("a/b", "config.json pytorch_model.bin", "neither *.safetensors nor *.gguf");
}

static void a_type_of_safetensors_is_to_be_made(void **state)
{
	(void)state;
	assert_chosen("a/b:q4_k", "config.json model.safetensors", "original", "",
		"config.json model.safetensors");
	assert_false(asked);
	assert_chosen("a/b:original", "config.json model.safetensors", "original", "",
		"config.json model.safetensors");
	assert_true(asked);
}

static void assert_type(const char *path, const char *type)
{
	char out[HUB_PART_BYTES];

	if (!type) {
		assert_false(choose_type_of(path, out));
		return;
	}
	assert_true(choose_type_of(path, out));
	assert_string_equal(out, type);
}

static void a_files_name_says_its_type(void **state)
{
	(void)state;
	assert_type("Qwen3-0.6B-Q8_0.gguf", "q8_0");
	assert_type("qwen2.5-0.5b-instruct-q4_k_m.gguf", "q4_k");
	assert_type("qwen2.5-7b-instruct-q4_k_m-00001-of-00002.gguf", "q4_k");
	assert_type("Qwen3-8B.Q5_K_S.gguf", "q5_k_s");
	assert_type("Qwen3-8B-UD-Q4_K_XL.gguf", "ud-q4_k_xl");
	assert_type("BF16/Qwen3-8B-BF16-00001-of-00002.gguf", "bf16");
	assert_type("qwen2.5-0.5b-instruct-fp16.gguf", "f16");
	assert_type("Qwen3-4B-IQ4_NL.gguf", "iq4_nl");
	assert_type("Qwen3-30B-A3B-MXFP4_MOE.gguf", "mxfp4_moe");
	assert_type("Qwen3-1.7B-TQ1_0.gguf", "tq1_0");
	assert_type("model_q4_0.gguf", "q4_0");
	assert_type("Q8_0.GGUF", "q8_0");
	assert_type("model.gguf", NULL);
	assert_type("Qwen3-Q8.5-chat.gguf", NULL);
	assert_type("mmproj-F16.gguf", NULL);
	assert_type("Qwen3-0.6B-Q8_0.bin", NULL);
	assert_type("q.gguf", NULL);
	assert_type(".gguf", NULL);
}

#define THREE "README.md m-Q4_K_M.gguf m-Q8_0.gguf m-BF16.gguf mmproj-F16.gguf imatrix.gguf config.json"

static void of_gguf_the_file_of_the_type(void **state)
{
	(void)state;
	assert_chosen("a/b-GGUF", THREE, "q4_k", "m-Q4_K_M.gguf", "README.md m-Q4_K_M.gguf");
	assert_true(asked);
	assert_chosen("a/b-GGUF:q8_0", THREE, "q8_0", "m-Q8_0.gguf", "README.md m-Q8_0.gguf");
	assert_refused("a/b-GGUF:q2_k", THREE, "has no file of type q2_k; it has q4_k, q8_0, bf16");
	assert_chosen("a/b", "m-Q8_0.gguf", "q8_0", "m-Q8_0.gguf", "m-Q8_0.gguf");
	assert_chosen("a/b", "m.gguf", "original", "m.gguf", "m.gguf");
	assert_refused("a/b", "m-Q8_0.gguf m-F16.gguf", "which type? Add one of these: q8_0, f16");
}

static void a_repository_called_gguf_is_one_and_others_are_not(void **state)
{
	(void)state;
	assert_chosen("a/b-GGUF", "config.json model.safetensors m-Q8_0.gguf", "q8_0",
		"m-Q8_0.gguf", "m-Q8_0.gguf");
	assert_chosen("a/b", "config.json model.safetensors m-Q8_0.gguf", "original", "",
		"config.json model.safetensors");
}

#define PART(n) "q/m-Q8_0-0000" #n "-of-00003.gguf"

static void a_split_file_is_all_its_parts(void **state)
{
	(void)state;
	assert_chosen("a/b:q8_0", PART(2) " " PART(1) " " PART(3) " q/m-Q4_0.gguf", "q8_0", PART(1),
		PART(2) " " PART(1) " " PART(3));
	assert_refused("a/b", PART(1) " " PART(3), "2 of its 3 parts are listed");
	assert_refused("a/b:q8_0", PART(1) " " PART(2) " " PART(4), "2 of its 3 parts are listed");
	assert_refused("a/b:q8_0", PART(1) " " PART(2) " q/m-Q8_0-+0003-of-00003.gguf",
		"2 of its 3 parts are listed");
	assert_refused("a/b", PART(2) " " PART(3), "which type? Add one of these: q8_0");
	/* the whole one, where there are both */
	assert_chosen("a/b", PART(1) " " PART(2) " " PART(3) " m-Q8_0.gguf", "q8_0", "m-Q8_0.gguf",
		"m-Q8_0.gguf");
}

static void clashes_are_refused(void **state)
{
	(void)state;
	assert_refused("a/b", "config.json Config.JSON model.safetensors", "cannot be two files");
	assert_refused("a/b", "LICENSE LICENSE config.json model.safetensors", "cannot be two");
	assert_refused("a/b", "config.json config.json model.safetensors", "cannot be two files");
}

static int forget(void **state)
{
	(void)state;
	manifest_free(&listing);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_safetensors_what_a_model_needs),
		cmocka_unit_test(the_weights_once),
		cmocka_unit_test(a_type_of_safetensors_is_to_be_made),
		cmocka_unit_test(a_files_name_says_its_type),
		cmocka_unit_test(of_gguf_the_file_of_the_type),
		cmocka_unit_test(a_repository_called_gguf_is_one_and_others_are_not),
		cmocka_unit_test(a_split_file_is_all_its_parts),
		cmocka_unit_test(clashes_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, forget);
}
