/* tests/model/quantize_file_test.c - a model as one GGUF file: what llama.cpp's converter makes of
 * a directory, what was there of another file, and nothing when it does not come to its end. */
#include "scratch.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "chip/format.h"
#include "model/files/gguf_write.h"
#include "model/model_builder.h"
#include "model/quantize/export.h"
#include "model/quantize/quantize_file.h"
#include "model/weights/weights.h"
#include "test_data.h"

static enum err write_model(const char *source, const char *out, const char *type,
	struct err_info *info)
{
	const struct quantize_job job = {
		.path = source, .out = out, .mix = quantize_mix_find(type), .threads = 2,
		.force = true};
	struct quantize_report report;

	assert_non_null(job.mix);
	return quantize_file(&job, &report, info);
}

static void must_write(const char *source, const char *out, const char *type)
{
	struct err_info info = {0};

	if (write_model(source, out, type, &info))
		fail_msg("%s", info.text);
}

struct opened {
	struct file_map map;
	struct gguf gguf;
};

static struct opened open_file(const char *path)
{
	struct err_info info = {0};
	struct opened o = {0};

	if (file_map_open(&o.map, path, &info) ||
		gguf_open(&o.gguf, o.map.data, o.map.size, path, &info))
		fail_msg("%s", info.text);
	return o;
}

static void close_file(struct opened *o)
{
	gguf_close(&o->gguf);
	file_map_close(&o->map);
}

static bool ends(const struct stored_tensor *t, const char *name)
{
	const size_t size = strlen(name);

	return t->name_size >= size && memcmp(t->name + t->name_size - size, name, size) == 0;
}

/* Equal; what another library computed, an exp or a quotient, in all but the last bits. */
static void assert_same_tensor(const struct stored_tensor *a, const struct stored_tensor *b)
{
	const bool computed = ends(a, "ssm_a") || ends(a, "rope_freqs.weight");

	assert_ptr_equal(a->dtype, b->dtype);
	assert_int_equal(a->size_bytes, b->size_bytes);
	assert_memory_equal(a->dims, b->dims, a->dim_count * sizeof(a->dims[0]));
	if (!computed) {
		assert_memory_equal(a->data, b->data, a->size_bytes);
		return;
	}
	for (size_t i = 0; i < a->size_bytes; i += sizeof(float)) {
		float x, y;

		memcpy(&x, a->data + i, sizeof(x));
		memcpy(&y, b->data + i, sizeof(y));
		assert_true(fabsf(x - y) <= fabsf(x) * 3e-7F);
	}
}

static void assert_same_tensors(const struct gguf *a, const struct gguf *b)
{
	assert_int_equal(a->tensors.count, b->tensors.count);
	for (uint32_t i = 0; i < a->tensors.count; i++) {
		const struct stored_tensor *t = &a->tensors.tensors[i], *u = &b->tensors.tensors[i];

		assert_int_equal(t->name_size, u->name_size);
		assert_memory_equal(t->name, u->name, t->name_size);
		assert_same_tensor(t, u);
	}
}

static bool is_key(const struct gguf_key *key, const char *name)
{
	return key->name_size == strlen(name) && memcmp(key->name, name, key->name_size) == 0;
}

/* A directory may say no first token, and of vision nothing is kept. */
static bool is_left_out(const char *name)
{
	return strcmp(name, "tokenizer.ggml.bos_token_id") == 0 ||
		strstr(name, ".n_deepstack_layers");
}

/* Every key of b is in a and the same, but for its name; returns how many are. */
static uint32_t count_same_keys(const struct gguf *a, const struct gguf *b)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < b->key_count; i++) {
		const struct gguf_key *key = &b->keys[i];
		char name[GGUF_KEY_BYTES_MAX + 1];

		snprintf(name, sizeof(name), "%.*s", (int)key->name_size, key->name);
		const struct gguf_key *other = gguf_find(a, name);
		if (is_key(key, "general.name") || (!other && is_left_out(name)))
			continue;
		if (!other)
			fail_msg("%s is missing", name);
		if (other->type != key->type || other->size_bytes != key->size_bytes ||
			memcmp(other->data, key->data, key->size_bytes) != 0)
			fail_msg("%s differs", name);
		count++;
	}
	return count;
}

/* The files of tests/golden/gguf were made by the rules of llama.cpp's converter, from the weights
 * of these directories. */
static void a_directory_becomes_what_the_converter_makes_of_it(void **state)
{
	static const char *const cases[][3] = {
		{"checkpoints/qwen3-mini-f16", "gguf/qwen3-mini-f16.gguf", "f16"},
		{"checkpoints/qwen3-mini-bf16-sharded", "gguf/qwen3-mini-bf16.gguf", "bf16"},
		{"checkpoints/qwen3_5-mini-bf16", "gguf/qwen3_5-mini-bf16.gguf", "bf16"},
		{"checkpoints/qwen3_5-mini-packed-bf16", "gguf/qwen3_5-mini-f32.gguf", "f32"},
		{"checkpoints/qwen3_5-mini-older-f16", "gguf/qwen3_5-mini-f32.gguf", "f32"},
		{"checkpoints/llama-mini-bf16", "gguf/llama-mini-bf16.gguf", "bf16"},
		{"checkpoints/qwen2_moe-bf16-sharded", "gguf/qwen2_moe-bf16.gguf", "bf16"},
		{"checkpoints/qwen3_moe-f16-stacked", "gguf/qwen3_moe-f16.gguf", "f16"},
		{"checkpoints/qwen3_next-bf16", "gguf/qwen3_next-bf16.gguf", "bf16"},
		{"checkpoints/qwen3_5_moe-bf16", "gguf/qwen3_5_moe-bf16.gguf", "bf16"},
		{"checkpoints/qwen3-vl-moe-bf16", "gguf/qwen3-vl-moe-bf16.gguf", "bf16"},
		{"checkpoints/qwen2-mini-f16", "gguf/qwen2-mini-f16.gguf", "f16"},
		{"checkpoints/qwen2-vl-mini-bf16", "gguf/qwen2-vl-mini-f32.gguf", "f32"},
		{"checkpoints/llama-f32", "gguf/llama-f32.gguf", "f32"},
		{"checkpoints/qwen3-yarn-bf16", "gguf/qwen3-yarn-bf16.gguf", "bf16"},
		{"checkpoints/qwen3-vl-mini-bf16", "gguf/qwen3-vl-mini-bf16.gguf", "bf16"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char source[256], golden[256];

		snprintf(source, sizeof(source), "golden/%s", cases[i][0]);
		snprintf(golden, sizeof(golden), "golden/%s", cases[i][1]);
		must_write(test_path(source), scratch_path("made.gguf"), cases[i][2]);
		struct opened made = open_file(scratch_path("made.gguf"));
		struct opened wanted = open_file(test_path(golden));
		assert_same_tensors(&made.gguf, &wanted.gguf);
		assert_true(count_same_keys(&made.gguf, &wanted.gguf) >= 18);
		close_file(&wanted);
		close_file(&made);
	}
}

static void a_file_is_carried_over_with_all_its_keys(void **state)
{
	(void)state;
	must_write(test_path("golden/gguf/qwen3_5-q8_0.gguf"), scratch_path("same.gguf"), "q8_0");
	struct opened wanted = open_file(test_path("golden/gguf/qwen3_5-q8_0.gguf"));
	struct opened made = open_file(scratch_path("same.gguf"));
	int64_t file_type = 0;

	assert_same_tensors(&made.gguf, &wanted.gguf);
	assert_int_equal(count_same_keys(&made.gguf, &wanted.gguf) + 1,
		wanted.gguf.key_count); /* and general.name */
	assert_int_equal(gguf_get_int(&made.gguf, "general.file_type", 0, 100, &file_type,
		UNIT_IGNORED), ERR_NONE);
	assert_int_equal(file_type, 7);
	struct gguf_string name = {0};
	assert_int_equal(gguf_get_string(&made.gguf, "general.name", &name, UNIT_IGNORED), ERR_NONE);
	assert_int_equal(name.size, 7);
	assert_memory_equal(name.data, "qwen3_5", 7);
	close_file(&made);
	close_file(&wanted);
}

/* The keys of a directory, and the embedding: what its layers are is read from no more. */
static void write_keys(const struct weights *w, const char *path)
{
	const struct chip_matrix *embed = weights_matrix(w, WEIGHT_EMBED, 0);
	const uint64_t dims[] = {embed->rows, embed->columns};
	struct err_info info = {0};
	struct gguf_writer writer;
	struct export e;

	assert_int_equal(export_open(&e, w, &info), ERR_NONE);
	gguf_writer_init(&writer);
	if (export_keys(&e, test_path("golden/checkpoints/qwen3_5-mini-bf16"), "m", &writer, &info))
		fail_msg("%s", info.text);
	gguf_write_tensor(&writer, "token_embd.weight", 17, dims, 2, dtype_of_chip(embed->type));
	assert_int_equal(gguf_writer_open(&writer, path, &info), ERR_NONE);
	assert_int_equal(gguf_writer_data(&writer, weights_row(embed, 0),
		embed->rows * chip_row_bytes(embed->type, 0, embed->columns), &info), ERR_NONE);
	assert_int_equal(gguf_writer_commit(&writer, &info), ERR_NONE);
	gguf_writer_close(&writer);
	export_close(&e);
}

/* An interval, or where there is none a flag for each layer. */
static void layers_in_any_order_are_the_same_in_the_file(void **state)
{
	static const char *const orders[] = {"dddadddad", "dadada", "addd", "ddaad", "aaad"};

	(void)state;
	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		json_t *config = model_builder_parse(MODEL_BUILDER_QWEN3_5), *types = json_array();
		const size_t layers = strlen(orders[i]);
		struct err_info info = {0};
		struct model_config c;
		struct weights w;

		for (size_t j = 0; j < layers; j++)
			json_array_append_new(types, json_string(orders[i][j] == 'd'
				? "linear_attention" : "full_attention"));
		json_object_set_new(config, "layer_types", types);
		json_object_set_new(config, "num_hidden_layers", json_integer((json_int_t)layers));
		json_object_set_new(config, "vocab_size", json_integer(320));
		char *text = json_dumps(config, 0);
		struct buf file = model_builder_safetensors(text, "model.",
			&(struct model_builder_change){0});
		const struct model_config_texts texts = {.config = config};

		if (weights_open_texts(&w, &texts, file.data, file.size, &info))
			fail_msg("%s", info.text);
		write_keys(&w, scratch_path("keys.gguf"));
		struct opened made = open_file(scratch_path("keys.gguf"));

		if (model_config_from_gguf(&c, &made.gguf, &made.gguf.tensors, &info))
			fail_msg("%s", info.text);
		assert_int_equal(c.layers, layers);
		assert_memory_equal(c.layer_kind, w.config.layer_kind, layers);
		close_file(&made);
		weights_close(&w);
		buf_free(&file);
		free(text);
		json_decref(config);
	}
}

static struct mix_model mix_model_of(const struct weights *w)
{
	struct export e;

	assert_int_equal(export_open(&e, w, UNIT_IGNORED), ERR_NONE);
	const struct mix_model model = e.model;

	export_close(&e);
	return model;
}

/* Blocks of multi-token prediction count; 80 layers are llama.cpp's word for a 70B, whose values
 * get more bits if queries share them. */
static void a_mix_sees_the_model_as_llama_cpp_does(void **state)
{
	struct weights w;

	(void)state;
	assert_int_equal(weights_open(&w, test_path("golden/gguf/qwen3_5-q8_0.gguf"), UNIT_IGNORED),
		ERR_NONE);
	struct mix_model m = mix_model_of(&w);
	assert_true(m.layers == w.config.layers + 1 && m.heads_per_kv == 2 && m.tied);
	assert_true(m.experts == 0 && !m.wide_values);
	weights_close(&w);
	assert_int_equal(weights_open(&w, test_path("golden/gguf/llama-f32.gguf"), UNIT_IGNORED),
		ERR_NONE);
	w.config.layers = 80;
	assert_true(mix_model_of(&w).wide_values && !mix_model_of(&w).tied);
	w.config.layers = 79;
	assert_false(mix_model_of(&w).wide_values);
	w.config.layers = 80;
	w.config.heads = w.config.kv_heads;
	assert_false(mix_model_of(&w).wide_values);
	w.config.arch = MODEL_ARCH_QWEN2;
	assert_true(mix_model_of(&w).wide_values);
	w.config.arch = MODEL_ARCH_QWEN3;
	assert_false(mix_model_of(&w).wide_values);
	weights_close(&w);
}

/* Every second tensor of g, and in the first shard all keys. */
static void write_shard(const struct gguf *g, uint32_t number, const char *path)
{
	struct err_info info = {0};
	struct gguf_writer w;

	gguf_writer_init(&w);
	for (uint32_t i = 0; number == 0 && i < g->key_count; i++)
		gguf_write_key(&w, &g->keys[i]);
	gguf_write_u32(&w, "split.no", number);
	gguf_write_u32(&w, "split.count", 2);
	gguf_write_u32(&w, "split.tensors.count", g->tensors.count);
	for (uint32_t i = number; i < g->tensors.count; i += 2) {
		const struct stored_tensor *t = &g->tensors.tensors[i];

		gguf_write_tensor(&w, t->name, t->name_size, t->dims, t->dim_count, t->dtype);
	}
	assert_int_equal(gguf_writer_open(&w, path, &info), ERR_NONE);
	for (uint32_t i = number; i < g->tensors.count; i += 2) {
		const struct stored_tensor *t = &g->tensors.tensors[i];

		assert_int_equal(gguf_writer_data(&w, t->data, t->size_bytes, &info), ERR_NONE);
	}
	assert_int_equal(gguf_writer_commit(&w, &info), ERR_NONE);
	gguf_writer_close(&w);
}

static void shards_become_one_file(void **state)
{
	(void)state;
	struct opened whole = open_file(test_path("golden/gguf/qwen3-q8_0.gguf"));

	write_shard(&whole.gguf, 0, scratch_path("s-00001-of-00002.gguf"));
	write_shard(&whole.gguf, 1, scratch_path("s-00002-of-00002.gguf"));
	must_write(scratch_path("s-00001-of-00002.gguf"), scratch_path("joined.gguf"), "q8_0");
	struct opened made = open_file(scratch_path("joined.gguf"));
	assert_same_tensors(&made.gguf, &whole.gguf);
	assert_null(gguf_find(&made.gguf, "split.count"));
	close_file(&made);
	close_file(&whole);
}

static void every_mix_can_be_opened_again(void **state)
{
	static const char *const types[] = {"f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0",
		"q5_1", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl", "iq4_xs", "mxfp4"};

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct err_info info = {0};
		struct weights w;

		must_write(test_path("golden/checkpoints/qwen3_5-bf16"), scratch_path("m.gguf"),
			types[i]);
		if (weights_open(&w, scratch_path("m.gguf"), &info))
			fail_msg("%s: %s", types[i], info.text);
		weights_close(&w);
	}
}

static void assert_same_bytes(const char *a, const char *b)
{
	struct err_info info = {0};
	struct file_map x, y;

	assert_int_equal(file_map_open(&x, a, &info), ERR_NONE);
	assert_int_equal(file_map_open(&y, b, &info), ERR_NONE);
	assert_int_equal(x.size, y.size);
	assert_memory_equal(x.data, y.data, x.size);
	file_map_close(&x);
	file_map_close(&y);
}

static void the_number_of_threads_does_not_show(void **state)
{
	struct quantize_job job = {.path = test_path("golden/checkpoints/qwen3-f32"),
		.mix = quantize_mix_find("q4_k")};
	struct quantize_report report;
	struct err_info info = {0};

	(void)state;
	job.out = scratch_path("one.gguf");
	job.threads = 1;
	assert_int_equal(quantize_file(&job, &report, &info), ERR_NONE);
	job.out = scratch_path("five.gguf");
	job.threads = 5;
	assert_int_equal(quantize_file(&job, &report, &info), ERR_NONE);
	assert_same_bytes(scratch_path("one.gguf"), scratch_path("five.gguf"));
	assert_true(report.narrow_tensors > 0 && report.values == 221792);
}

struct patience {
	uint64_t calls_left;
	uint64_t done;
	uint64_t total;
};

static bool wait_patiently(void *context, uint64_t done, uint64_t total)
{
	struct patience *p = context;

	assert_true(done >= p->done && done <= total);
	p->done = done;
	p->total = total;
	return p->calls_left-- > 1;
}

static void who_gives_up_finds_nothing_half_done(void **state)
{
	struct patience patience = {.calls_left = 5};
	const struct quantize_job job = {.path = test_path("golden/checkpoints/qwen3-f32"),
		.out = scratch_path("never.gguf"), .mix = quantize_mix_find("q8_0"),
		.progress = wait_patiently, .context = &patience};
	const size_t entries = scratch_entries();
	struct quantize_report report;
	struct err_info info = {0};

	(void)state;
	assert_int_equal(quantize_file(&job, &report, &info), ERR_CANCELLED);
	assert_int_equal(scratch_entries(), entries);
	patience = (struct patience){.calls_left = UINT64_MAX};
	info = (struct err_info){0};
	assert_int_equal(quantize_file(&job, &report, &info), ERR_NONE);
	assert_true(patience.done == patience.total && patience.total == report.values);
}

static void what_is_there_is_kept_unless_it_is_said(void **state)
{
	struct quantize_job job = {.path = test_path("golden/gguf/qwen3-q8_0.gguf"),
		.out = scratch_path("there.gguf"), .mix = quantize_mix_find("q8_0")};
	struct quantize_report report;
	struct err_info info = {0};

	(void)state;
	assert_int_equal(file_write_atomic(job.out, "x", 1, 0600, &info), ERR_NONE);
	assert_int_equal(quantize_file(&job, &report, &info), ERR_EXISTS);
	assert_non_null(strstr(info.text, "--force"));
	job.force = true;
	info = (struct err_info){0};
	assert_int_equal(quantize_file(&job, &report, &info), ERR_NONE);
	job.path = job.out;
	assert_int_equal(quantize_file(&job, &report, &info), ERR_INPUT);
	assert_non_null(strstr(info.text, "is what is read"));
	job.out = scratch;
	info = (struct err_info){0};
	assert_int_equal(quantize_file(&job, &report, &info), ERR_EXISTS);
}

static void whatever_fails_nothing_is_left(void **state)
{
	const char *source = test_path("golden/gguf/qwen3-mini-f16.gguf");
	const size_t entries = scratch_entries();
	int64_t n;

	(void)state;
	for (n = 1; n < 1000; n++) {
		struct err_info info = {0};

		file_fail_after(n, 0);
		const enum err code = write_model(source, scratch_path("w.gguf"), "q8_0", &info);
		file_fail_after(0, 0);
		if (!code)
			break;
		(void)remove(scratch_path("w.gguf")); /* whole, but its directory not synced */
		assert_int_equal(scratch_entries(), entries);
	}
	assert_true(n > 20 && n < 1000);
	(void)remove(scratch_path("w.gguf"));
	for (n = 1; n < 1000; n++) {
		struct err_info info = {0};

		mem_fail_after(n, 0);
		const enum err code = write_model(source, scratch_path("w.gguf"), "q8_0", &info);
		mem_fail_after(0, 0);
		if (!code)
			break;
		assert_int_equal(scratch_entries(), entries);
	}
	assert_true(n > 10 && n < 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_directory_becomes_what_the_converter_makes_of_it),
		cmocka_unit_test(a_file_is_carried_over_with_all_its_keys),
		cmocka_unit_test(layers_in_any_order_are_the_same_in_the_file),
		cmocka_unit_test(a_mix_sees_the_model_as_llama_cpp_does),
		cmocka_unit_test(shards_become_one_file),
		cmocka_unit_test(every_mix_can_be_opened_again),
		cmocka_unit_test(the_number_of_threads_does_not_show),
		cmocka_unit_test(who_gives_up_finds_nothing_half_done),
		cmocka_unit_test(what_is_there_is_kept_unless_it_is_said),
		cmocka_unit_test(whatever_fails_nothing_is_left),
	};

	return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
