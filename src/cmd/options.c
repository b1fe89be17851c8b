/* cmd/options.c - see options.h. Flags by getopt_long, the config file by libyaml. */
#include "cmd/options.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/arena.h"
#include "base/utf8.h"

#define SPELLINGS_MAX 128   /* long names of a verb, all spellings */
#define NAME_MAX_BYTES 48
#define LETTERS_MAX 128
#define WRONG_BYTES 1024
#define CONFIG_BYTES_MAX ((size_t)1 << 20)   /* values of a config file */

static struct arena config_values;   /* live as long as the program, like argv */
static enum option_source sources[OPTIONS_ROWS_MAX];   /* [row]: of the last options_parse */
static const struct options *parsed;

int options_wrong(const struct options *o, const char *format, ...)
{
	char text[WRONG_BYTES];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	utf8_blank_controls(text, '?');   /* one line, whatever was typed */
	fprintf(stderr, "tongyun: %s: %s; see tongyun %s --help\n", o->verb, text, o->verb);
	return 2;
}

/* The next blank-separated word of *rest into word; false at the end. */
static bool next_word(const char **rest, char word[NAME_MAX_BYTES])
{
	const char *from = *rest + strspn(*rest, " ");
	const size_t size = strcspn(from, " ");

	if (size == 0)
		return false;
	assert(size < NAME_MAX_BYTES);
	memcpy(word, from, size);
	word[size] = '\0';
	*rest = from + size;
	return true;
}

static bool parse_number(const struct option_row *row, const char *text, double *out)
{
	char *end;

	errno = 0;
	*out = strtod(text, &end);
	return end != text && *end == '\0' && errno == 0 && isfinite(*out) && *out >= row->min &&
		*out <= row->max;
}

static bool parse_int(const struct option_row *row, const char *text, int64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoll(text, &end, 10);
	return end != text && *end == '\0' && errno == 0 && (double)*out >= row->min &&
		(double)*out <= row->max;
}

static bool parse_bool(const char *text, bool *out)
{
	static const char *const yes[] = {"1", "true", "yes", "on"};
	static const char *const no[] = {"0", "false", "no", "off"};

	for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++) {
		if (strcmp(text, yes[i]) == 0)
			return *out = true;
		if (strcmp(text, no[i]) == 0) {
			*out = false;
			return true;
		}
	}
	return false;
}

/* Sets a row from text (NULL for a bare flag); says what was expected on failure. fresh: the first
 * value from its source, which replaces those of an earlier source. */
static bool row_set(const struct option_row *row, const char *text, bool fresh,
	const char **expected)
{
	switch (row->kind) {
	case OPTION_FLAG:
	case OPTION_NO_FLAG: {
		bool on = true;

		*expected = "true or false";
		if (text && !parse_bool(text, &on))
			return false;
		*(bool *)row->value = row->kind == OPTION_FLAG ? on : !on;
		return true;
	}
	case OPTION_STRING:
		*(const char **)row->value = text;
		return true;
	case OPTION_INT:
		*expected = "a whole number";
		return parse_int(row, text, row->value);
	case OPTION_NUMBER:
		*expected = "a number";
		return parse_number(row, text, row->value);
	case OPTION_LIST: {
		struct option_list *list = row->value;

		if (fresh)
			list->count = 0;
		*expected = "fewer values";
		if (list->count == OPTIONS_LIST_MAX)
			return false;
		list->values[list->count++] = text;
		return true;
	}
	}
	return false;
}

/* where: how the user called it, for the error. */
static bool row_set_from(const struct options *o, const struct option_row *row,
	enum option_source source, const char *where, const char *text)
{
	enum option_source *said = &sources[row - o->rows];
	const char *expected = "";

	assert(*said <= source);
	if (row_set(row, text, *said < source, &expected)) {
		*said = source;
		return true;
	}
	if (row->kind == OPTION_INT)
		options_wrong(o, "%s: '%s' is not %s from %.0f to %.0f", where, text, expected,
			row->min, row->max);
	else if (row->kind == OPTION_NUMBER)
		options_wrong(o, "%s: '%s' is not %s from %g to %g", where, text, expected,
			row->min, row->max);
	else
		options_wrong(o, "%s: '%s': expected %s", where, text ? text : "", expected);
	return false;
}

enum option_source options_source(const void *value)
{
	enum option_source latest = OPTION_UNSAID;

	for (uint32_t i = 0; i < parsed->row_count; i++)
		if (parsed->rows[i].value == value && sources[i] > latest)
			latest = sources[i];
	return latest;
}

/* "max-model-len" to "TONGYUN_MAX_MODEL_LEN". */
static void environment_name(char out[NAME_MAX_BYTES + 8], const char *name)
{
	size_t at = 0;

	for (const char *prefix = "TONGYUN_"; *prefix; prefix++)
		out[at++] = *prefix;
	for (; *name; name++) {
		const char c = *name;

		out[at++] = c == '-' ? '_' : (c >= 'a' && c <= 'z') ? (char)(c - 'a' + 'A') : c;
	}
	out[at] = '\0';
}

static bool options_from_environment(const struct options *o)
{
	for (uint32_t i = 0; i < o->row_count; i++) {
		const char *rest = o->rows[i].name;
		char name[NAME_MAX_BYTES];
		char variable[NAME_MAX_BYTES + 8];

		if (strcmp(rest, "config") == 0)
			continue;   /* has been read */
		while (next_word(&rest, name)) {
			environment_name(variable, name);
			const char *text = getenv(variable);

			if (text && *text && !row_set_from(o, &o->rows[i], OPTION_ENVIRONMENT,
				variable, text))
				return false;
		}
	}
	return true;
}

static const struct option_row *row_find(const struct options *o, const char *wanted)
{
	for (uint32_t i = 0; i < o->row_count; i++) {
		const char *rest = o->rows[i].name;
		char name[NAME_MAX_BYTES];

		while (next_word(&rest, name))
			if (strcmp(name, wanted) == 0)
				return &o->rows[i];
	}
	return NULL;
}

/* One `key: value` or one item of `key: [a, b]`; keys may use _ for -. */
static bool config_value(const struct options *o, const char *path, const char *key,
	const char *value)
{
	char name[NAME_MAX_BYTES];
	size_t size = strlen(key);
	const struct option_row *row;

	if (size >= sizeof(name))
		size = sizeof(name) - 1;
	for (size_t i = 0; i < size; i++)
		name[i] = key[i] == '_' ? '-' : key[i];
	name[size] = '\0';
	row = row_find(o, name);
	if (!row || strcmp(name, "config") == 0) {
		options_wrong(o, "%s: unknown setting '%s'", path, key);
		return false;
	}
	char where[PATH_MAX];
	char *kept = arena_strndup(&config_values, value, strlen(value));

	if (!kept) {
		options_wrong(o, "%s: more than %zu bytes of values", path, CONFIG_BYTES_MAX);
		return false;
	}
	snprintf(where, sizeof(where), "%s: %s", path, name);
	return row_set_from(o, row, OPTION_FILE, where, kept);
}

/* Where a config file is read: a flat mapping of scalars and lists of scalars. What is nested
 * deeper is refused where it begins: libyaml takes longer for each level the more are open. */
struct config_place {
	const struct options *o;
	const char *path;
	bool in_mapping, in_list;
	char key[NAME_MAX_BYTES];   /* "": a key comes next */
};

static bool config_wrong(const struct config_place *p)
{
	if (*p->key)
		options_wrong(p->o, "%s: '%s' must be a value or a list of values", p->path, p->key);
	else
		options_wrong(p->o, "%s: must be lines of `name: value`", p->path);
	return false;
}

static bool config_scalar(struct config_place *p, const char *text)
{
	if (!p->in_mapping)
		return !*text || config_wrong(p);   /* an empty document */
	if (!*p->key) {
		snprintf(p->key, sizeof(p->key), "%s", text);
		return true;
	}
	const bool good = config_value(p->o, p->path, p->key, text);

	if (!p->in_list)
		*p->key = '\0';
	return good;
}

static bool config_event(struct config_place *p, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return config_scalar(p, (const char *)event->data.scalar.value);
	case YAML_MAPPING_START_EVENT:
		if (p->in_mapping)
			return config_wrong(p);
		return p->in_mapping = true;
	case YAML_MAPPING_END_EVENT:
		p->in_mapping = false;
		return true;
	case YAML_SEQUENCE_START_EVENT:
		if (!*p->key || p->in_list)
			return config_wrong(p);
		return p->in_list = true;
	case YAML_SEQUENCE_END_EVENT:
		p->in_list = false;
		*p->key = '\0';
		return true;
	case YAML_ALIAS_EVENT:
		options_wrong(p->o, "%s: aliases are not supported", p->path);
		return false;
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
	case YAML_DOCUMENT_START_EVENT:
	case YAML_DOCUMENT_END_EVENT:
		break;
	}
	return true;
}

static bool config_events(const struct options *o, const char *path, yaml_parser_t *parser)
{
	struct config_place place = {.o = o, .path = path};
	bool good = true, done = false;

	while (good && !done) {
		yaml_event_t event;

		if (!yaml_parser_parse(parser, &event)) {
			options_wrong(o, "%s: line %zu: %s", path, parser->problem_mark.line + 1,
				parser->problem);
			return false;
		}
		good = config_event(&place, &event);
		done = event.type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&event);
	}
	return good;
}

static bool options_from_config(const struct options *o, const char *path)
{
	yaml_parser_t parser;
	bool good = false;
	FILE *file = fopen(path, "rb");

	if (config_values.chunk_bytes == 0)
		arena_init(&config_values, 4096, CONFIG_BYTES_MAX);
	if (!file) {
		options_wrong(o, "%s: %s", path, strerror(errno));
		return false;
	}
	if (yaml_parser_initialize(&parser)) {
		yaml_parser_set_input_file(&parser, file);
		good = config_events(o, path, &parser);
		yaml_parser_delete(&parser);
	}
	fclose(file);
	return good;
}

struct spellings {
	char names[SPELLINGS_MAX][NAME_MAX_BYTES];
	struct option longs[SPELLINGS_MAX + 2];
	char letters[LETTERS_MAX];
};

static void spellings_make(struct spellings *s, const struct options *o)
{
	uint32_t count = 0;
	size_t letter_at = 0;

	memset(s, 0, sizeof(*s));
	s->letters[letter_at++] = ':';   /* a missing argument is told from an unknown option */
	for (uint32_t i = 0; i < o->row_count; i++) {
		const struct option_row *row = &o->rows[i];
		const int argument = row->kind <= OPTION_NO_FLAG ? no_argument : required_argument;
		const char *rest = row->name;

		assert(count < SPELLINGS_MAX);
		while (next_word(&rest, s->names[count])) {
			s->longs[count] = (struct option){s->names[count], argument, NULL,
				256 + (int)i};
			assert(count + 1 < SPELLINGS_MAX);
			count++;
		}
		if (row->letter) {
			assert(letter_at + 2 < LETTERS_MAX - 2);
			s->letters[letter_at++] = row->letter;
			if (argument == required_argument)
				s->letters[letter_at++] = ':';
		}
	}
	s->longs[count] = (struct option){"help", no_argument, NULL, 'h'};
	s->letters[letter_at++] = 'h';
}

static const struct option_row *row_of(const struct options *o, int code)
{
	if (code >= 256)
		return &o->rows[code - 256];
	for (uint32_t i = 0; i < o->row_count; i++)
		if (o->rows[i].letter == code)
			return &o->rows[i];
	return NULL;
}

/* getopt has met something it cannot take: ':' or '?'. */
static void flag_wrong(const struct options *o, int code, char **argv)
{
	const char *said = argv[optind - 1];
	const char letter[] = {'-', optopt > 0 && optopt < 256 ? (char)optopt : '\0', '\0'};

	if (letter[1])
		said = letter;
	if (code == ':')
		options_wrong(o, "%s needs a value", said);
	else if (optopt >= 256)
		options_wrong(o, "%s takes no value", said);
	else
		options_wrong(o, "there is no option %s", said);
}

static void help_print(const struct options *o)
{
	printf("usage: tongyun %s %s%s\n\n%s\n\n", o->verb, o->row_count ? "[options] " : "",
		o->arguments, o->about);
	for (uint32_t i = 0; i < o->row_count; i++) {
		const struct option_row *row = &o->rows[i];
		const char *rest = row->name;
		char name[NAME_MAX_BYTES];
		char left[128];
		int at = 0;

		at += snprintf(left, sizeof(left), row->letter ? "-%c" : "  ", row->letter);
		while (next_word(&rest, name) && at < 60)
			at += snprintf(left + at, sizeof(left) - (size_t)at, "%s--%s",
				at > 2 || row->letter ? ", " : "  ", name);
		if (row->argument)
			snprintf(left + at, sizeof(left) - (size_t)at, " %s", row->argument);
		printf(strlen(left) < 30 ? "  %-30s %s\n"
			: "  %s\n                                 %s\n", left, row->help);
	}
	printf("  -h, --help                     show this text\n");
}

/* In the first pass only --config and --help count, in the second the rest. */
static enum options_result options_from_flags(const struct options *o, int argc, char **argv,
	bool first_pass)
{
	static struct spellings spellings;
	int code;

	spellings_make(&spellings, o);
	optind = 0;
	while ((code = getopt_long(argc, argv, spellings.letters, spellings.longs, NULL)) != -1) {
		const struct option_row *row = row_of(o, code);
		char where[NAME_MAX_BYTES + 2] = "--";
		const char *rest;

		if (code == 'h' && (!row || row->letter != 'h')) {
			/* still in the same argument: the -hf of another program, not -h -f */
			if (optind < argc && strncmp(argv[optind], "-h", 2) == 0) {
				options_wrong(o, "there is no option %s", argv[optind]);
				return OPTIONS_WRONG;
			}
			help_print(o);
			return OPTIONS_HELP;
		}
		if (code == '?' || code == ':' || !row) {
			flag_wrong(o, code, argv);
			return OPTIONS_WRONG;
		}
		if ((strcmp(row->name, "config") == 0) != first_pass)
			continue;
		rest = row->name;
		if (next_word(&rest, where + 2) &&
			!row_set_from(o, row, OPTION_FLAGS, where, optarg))
			return OPTIONS_WRONG;
	}
	return OPTIONS_OK;
}

enum options_result options_parse(const struct options *o, int argc, char **argv,
	const char **positionals, uint32_t *positional_count)
{
	const struct option_row *config = row_find(o, "config");
	enum options_result result;

	assert(o->row_count <= OPTIONS_ROWS_MAX);
	memset(sources, 0, sizeof(sources));
	parsed = o;
	result = options_from_flags(o, argc, argv, true);
	if (result != OPTIONS_OK)
		return result;
	if (config) {
		const char *path = *(const char **)config->value;

		if (!path)
			path = getenv("TONGYUN_CONFIG");
		if (path && *path && !options_from_config(o, path))
			return OPTIONS_WRONG;
	}
	if (!options_from_environment(o))
		return OPTIONS_WRONG;
	result = options_from_flags(o, argc, argv, false);
	if (result != OPTIONS_OK)
		return result;
	*positional_count = 0;
	for (int i = optind; i < argc; i++) {
		if (*positional_count == o->positional_max) {
			options_wrong(o, "unexpected argument '%s'", argv[i]);
			return OPTIONS_WRONG;
		}
		positionals[(*positional_count)++] = argv[i];
	}
	return OPTIONS_OK;
}
