/* tests/engine/golden_test.c - small random models give the logits that Hugging Face transformers
 * gives, in every layout and format, on every instruction set this machine has.
 * tests/golden/index.json lists the cases and the bounds. */
#include "engine/support.h"

#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "chip/format.h"
#include "model/arch/config.h"

#define TOKENS_MAX 4096
/* More take the reference, and instruction sets that are emulated, longer than all the rest. */
#define SLOW_TOKENS_MAX 300

static json_t *index_json;
static const char *only;  /* part of the name of the models to check; NULL for all */

static void read_text(struct buf *out, const char *dir, const char *name)
{
	struct err_info info = {0};
	char relative[512], path[1024];

	snprintf(relative, sizeof(relative), "%s/%s", dir, name);
	support_path(path, sizeof(path), relative);
	buf_init(out, (size_t)64 << 20);
	if (file_read(out, path, &info))
		fail_msg("%s", info.text);
}

static uint32_t read_tokens(const char *name, uint32_t tokens[TOKENS_MAX])
{
	struct buf text;
	uint32_t count = 0;
	char *end;

	read_text(&text, "golden", name);
	for (const char *at = text.data; count < TOKENS_MAX; at = end) {
		const unsigned long id = strtoul(at, &end, 10);

		if (end == at)
			break;
		tokens[count++] = (uint32_t)id;
	}
	buf_free(&text);
	assert_true(count > 0);
	return count;
}

/* The array of a .npy file: float32 after its header. */
static const float *npy_values(const struct buf *file)
{
	uint16_t header;

	assert_true(file->size > 10 && memcmp(file->data, "\x93NUMPY\x01", 7) == 0);
	memcpy(&header, file->data + 8, 2);
	return (const float *)(const void *)(file->data + 10 + header);
}

/* How far logits are off, over the real vocabulary. */
struct difference {
	double max_abs, square, reference_square;
	double divergence;          /* nats, summed over rows */
	uint32_t same, rows;        /* rows with the same argmax; all */
};

/* The largest logit and the logarithm of the sum of exponentials. */
static double normaliser(const float *logits, uint32_t columns, uint32_t *best)
{
	double sum = 0;

	*best = 0;
	for (uint32_t c = 1; c < columns; c++)
		if (logits[c] > logits[*best])
			*best = c;
	for (uint32_t c = 0; c < columns; c++)
		sum += exp((double)logits[c] - (double)logits[*best]);
	return (double)logits[*best] + log(sum);
}

static void compare_row(struct difference *d, const float *got, const float *expected,
	uint32_t columns)
{
	uint32_t best, best_expected;
	const double all = normaliser(got, columns, &best);
	const double all_expected = normaliser(expected, columns, &best_expected);

	for (uint32_t c = 0; c < columns; c++) {
		const double want = expected[c], off = (double)got[c] - want;
		const double log_p = want - all_expected, log_q = (double)got[c] - all;

		if (!(fabs(off) <= d->max_abs))
			d->max_abs = fabs(off);
		d->square += off * off;
		d->reference_square += want * want;
		d->divergence += exp(log_p) * (log_p - log_q);
	}
	d->same += best == best_expected;
	d->rows++;
}

/* Of so few rows the share with the same argmax says nothing. */
#define SAME_ROWS 16

/* What may be off: more where the instruction set rounds what BF16 matrices multiply. */
static json_t *bounds_of(json_t *one, const char *isa)
{
	json_t *rounded = json_object_get(one, "class_rounded");
	json_t *class = rounded && support_isa_rounds(isa) ? rounded :
		json_object_get(one, "class");
	json_t *bounds = json_object_get(json_object_get(index_json, "classes"),
		json_string_value(class));

	assert_non_null(bounds);
	return bounds;
}

/* What may be off with keys and values of that type. */
static json_t *bounds_cached(const char *kv_type)
{
	char class[32];

	snprintf(class, sizeof(class), "cached_%s", kv_type);
	json_t *bounds = json_object_get(json_object_get(index_json, "classes"), class);

	assert_non_null(bounds);
	return bounds;
}

static double bound(json_t *bounds, const char *name)
{
	json_t *value = json_object_get(bounds, name);

	assert_true(json_is_number(value));
	return json_number_value(value);
}

static bool is_within(const struct difference *d, json_t *bounds)
{
	return d->max_abs <= bound(bounds, "max_abs") &&
		sqrt(d->square / d->reference_square) <= bound(bounds, "rel_rms") &&
		d->divergence / d->rows <= bound(bounds, "kl") &&
		(d->rows < SAME_ROWS || d->same >= bound(bounds, "top1") * d->rows);
}

static uint32_t position(json_t *one, size_t i)
{
	return (uint32_t)json_integer_value(json_array_get(json_object_get(one, "positions"), i));
}

/* The golden has the positions first, first + step, ... before end. */
static void compare_case(struct difference *d, json_t *one, const float *logits, uint32_t vocab)
{
	const uint32_t real = (uint32_t)json_integer_value(json_object_get(index_json,
		"vocab_real"));
	struct buf golden;

	read_text(&golden, "golden", json_string_value(json_object_get(one, "logits")));
	const float *expected = npy_values(&golden);

	for (uint32_t at = position(one, 0); at < position(one, 1); at += position(one, 2)) {
		compare_row(d, logits + (size_t)at * vocab, expected, real);
		expected += vocab;
	}
	buf_free(&golden);
}

static bool is_slow(const char *isa)
{
	return strcmp(isa, "ref") == 0 || support_isa_emulated(isa);
}

static void check_logits(json_t *one, const char *isa, enum chip_type kv_type, json_t *bounds)
{
	const char *name = json_string_value(json_object_get(one, "model"));
	const struct session_options options = {.sequences = 1, .chunk = 33, .kv_type = kv_type};
	uint32_t tokens[TOKENS_MAX];
	char relative[512], path[1024];
	struct difference d = {0};
	struct support_model m;
	const uint32_t count = read_tokens(json_string_value(json_object_get(one, "tokens")),
		tokens);

	if (is_slow(isa) && count > SLOW_TOKENS_MAX)
		return;
	snprintf(relative, sizeof(relative), "golden/%s", name);
	support_path(path, sizeof(path), relative);
	support_model_open(&m, path, isa, 2, 33, 33);
	float *logits = support_logits(&m, &options, tokens, count);

	compare_case(&d, one, logits, model_config(m.model)->vocab);
	print_message("%-44s %4u tokens %-10s %-4s max %.2e rel %.2e kl %.2e same %u of %u\n",
		name, count, isa, chip_type_name(kv_type), d.max_abs,
		sqrt(d.square / d.reference_square), d.divergence / d.rows, d.same, d.rows);
	if (!is_within(&d, bounds))
		fail_msg("%s, %u tokens, %s, keys in %s: too far off", name, count, isa,
			chip_type_name(kv_type));
	mem_free(logits);
	support_model_close(&m);
}

static void check_case(json_t *one, const char *isa)
{
	check_logits(one, isa, CHIP_F32, bounds_of(one, isa));
}

static void check_cached(json_t *one, const char *isa)
{
	static const enum chip_type types[] = {CHIP_F16, CHIP_BF16, CHIP_Q8_0};
	json_t *name;
	size_t i;

	json_array_foreach(json_object_get(one, "cached"), i, name)
		for (size_t j = 0; j < sizeof(types) / sizeof(*types); j++)
			if (strcmp(chip_type_name(types[j]), json_string_value(name)) == 0)
				check_logits(one, isa, types[j],
					bounds_cached(json_string_value(name)));
}

static bool is_asked(const char *model)
{
	return !only || strstr(model, only);
}

static void check_list(const char *list, const char *isa, void (*check)(json_t *, const char *))
{
	json_t *one;
	size_t i;

	json_array_foreach(json_object_get(index_json, list), i, one)
		if (is_asked(json_string_value(json_object_get(one, "model"))))
			check(one, isa);
}

static void logits_are_those_of_transformers_in_every_layout_and_format(void **state)
{
	(void)state;
	for (const char *const *isa = support_isas(); *isa; isa++) {
		check_list("cases", *isa, check_case);
		if (only)
			check_list("waiting", *isa, check_case);
	}
}

/* One file of each model without experts, whose matrices are not rounded anywhere. */
static void keys_and_values_are_off_by_no_more_than_the_rounding_of_their_type(void **state)
{
	(void)state;
	for (const char *const *isa = support_isas(); *isa; isa++)
		check_list("cases", *isa, check_cached);
}

static void check_greedy(json_t *one, const char *name, const char *isa)
{
	static const struct chip_sampling greedy = {.top_p = 1, .repetition_penalty = 1};
	const struct session_options options = {.sequences = 1, .kv_type = CHIP_F32};
	json_t *next = json_object_get(one, "next");
	uint32_t tokens[TOKENS_MAX], token;
	char relative[512], path[1024];
	struct err_info info = {0};
	struct support_model m;
	struct session *s;
	const uint32_t count = read_tokens(json_string_value(json_object_get(one, "tokens")),
		tokens);

	snprintf(relative, sizeof(relative), "golden/%s", name);
	support_path(path, sizeof(path), relative);
	support_model_open(&m, path, isa, 1, 16, 1);
	assert_int_equal(session_open(&s, m.model, &options, &info), ERR_NONE);
	session_start(s, 0, &greedy, tokens, count);
	assert_int_equal(session_prefill(s, 0, tokens, count, &token, &info), ERR_NONE);
	for (size_t i = 0; i < json_array_size(next); i++) {
		assert_int_equal(token, json_integer_value(json_array_get(next, i)));
		assert_int_equal(session_next(s, 0, &token, &info), ERR_NONE);
	}
	session_close(s);
	support_model_close(&m);
}

/* Where the answer does not survive rounded inputs it is not asked of a set that rounds. */
static void check_answers(json_t *one, const char *list, const char *isa)
{
	json_t *name;
	size_t i;

	json_array_foreach(json_object_get(one, list), i, name)
		if (is_asked(json_string_value(name)) &&
			(!support_isa_rounds(isa) || json_is_true(json_object_get(one, "rounded"))))
			check_greedy(one, json_string_value(name), isa);
}

static void greedy_continuation_is_that_of_transformers(void **state)
{
	json_t *one;
	size_t i;

	(void)state;
	for (const char *const *isa = support_isas(); *isa; isa++)
		json_array_foreach(json_object_get(index_json, "greedy"), i, one) {
			check_answers(one, "models", *isa);
			if (only)
				check_answers(one, "waiting", *isa);
		}
}

/* An argument: only the models that have it in their name, and those that still wait. */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(logits_are_those_of_transformers_in_every_layout_and_format),
		cmocka_unit_test(
			keys_and_values_are_off_by_no_more_than_the_rounding_of_their_type),
		cmocka_unit_test(greedy_continuation_is_that_of_transformers),
	};
	struct err_info info = {0};
	char path[1024];

	only = argc > 1 ? argv[1] : NULL;
	support_path(path, sizeof(path), "golden/index.json");
	if (json_read_file(&index_json, path, &JSON_LIMITS_FILE, &info)) {
		fprintf(stderr, "%s\n", info.text);
		return 1;
	}
	support_isas_note();
	const int failed = cmocka_run_group_tests(tests, NULL, NULL);

	json_decref(index_json);
	return failed;
}
