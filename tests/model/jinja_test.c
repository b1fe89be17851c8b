/* tests/model/jinja_test.c - templates give byte for byte what jinja2 gives, and nothing a template
 * or its context does takes more than its limits. */
#include "unit.h"

#include <string.h>

#include "base/mem.h"
#include "model/template/jinja.h"
#include "test_data.h"

#define OUTPUT_BYTES_MAX ((size_t)4 << 20)

/* Cases of the language that are refused here, with an error, on purpose. */
static const char *const REFUSED[] = {
	"literals extra 9",   /* an integer beyond 64 bits */
};

static bool is_refused(const char *name)
{
	for (size_t i = 0; i < sizeof(REFUSED) / sizeof(REFUSED[0]); i++)
		if (strcmp(REFUSED[i], name) == 0)
			return true;
	return false;
}

struct rendered {
	struct jinja_output out;
	struct err_info info;
	enum err code;
};

/* Compiles and renders with all members of context as variables. Released by jinja_output_free. */
static struct rendered render_with(const char *source, size_t size, const json_t *context,
	struct arena *scratch, const struct jinja_limits *limits)
{
	static const struct tm now = {.tm_year = 126, .tm_mon = 10, .tm_mday = 24};
	const struct jinja_options options = {
		.limits = limits ? *limits : JINJA_LIMITS, .now = &now};
	struct jinja_variable variables[64];
	struct rendered result = {.code = ERR_NONE};
	struct jinja_template *t;
	size_t count = 0;

	jinja_output_init(&result.out, OUTPUT_BYTES_MAX);
	for (void *at = json_object_iter((json_t *)context); at && count < 64;
		at = json_object_iter_next((json_t *)context, at))
		variables[count++] = (struct jinja_variable){
			.name = json_object_iter_key(at), .value = json_object_iter_value(at)};
	if ((result.code = jinja_compile(&t, source, size, &result.info)))
		return result;
	result.code =
		jinja_render(t, variables, count, &options, scratch, &result.out, &result.info);
	jinja_close(t);
	return result;
}

static struct rendered render(const char *source, const json_t *context)
{
	struct rendered result;
	struct arena scratch;

	arena_init(&scratch, 4096, (size_t)64 << 20);
	result = render_with(source, strlen(source), context, &scratch, NULL);
	arena_reset(&scratch);
	return result;
}

/* One case of jinja_cases.json: its output, or its error; false after saying what is wrong. */
static bool case_holds(const json_t *item, const json_t *context)
{
	const char *name = json_string_value(json_object_get(item, "name"));
	const json_t *error = json_object_get(item, "error"),
		     *output = json_object_get(item, "output");
	struct rendered result =
		render(json_string_value(json_object_get(item, "template")), context);
	const char *text = result.out.text.data ? result.out.text.data : "";
	bool holds;

	if (is_refused(name))
		holds = result.code != ERR_NONE;
	else if (output)
		holds = !result.code && strcmp(text, json_string_value(output)) == 0;
	else if (json_is_string(error))
		holds = result.code == ERR_INPUT &&
			strcmp(result.info.text, json_string_value(error)) == 0;
	else
		holds = result.code != ERR_NONE;
	if (!holds)
		print_error("%s: got \"%s\", error \"%s\"\n", name, text, result.info.text);
	jinja_output_free(&result.out);
	return holds;
}

static void every_small_case_gives_what_jinja2_gives(void **state)
{
	json_t *root = test_read_json("data/jinja_cases.json");
	size_t i, wrong = 0;
	json_t *item;

	(void)state;
	assert_true(json_array_size(json_object_get(root, "cases")) >= 279);
	json_array_foreach(json_object_get(root, "cases"), i, item)
		wrong += !case_holds(item, json_object_get(root, "context"));
	assert_int_equal(wrong, 0);
	json_decref(root);
}

/* Corners that a comparison with jinja2 3.1.6 over 21,000 random templates has shown. */
static void corners_are_as_in_jinja2(void **state)
{
	static const struct {
		const char *source, *output;
	} corners[] = {{"{{ [{'k': 'x'}]|title }}", "[{'k': 'x'}]"},
		{"{{ \"they're a-b (c\"|title }}", "They're A-B (C"},
		{"{{ \"they're\".title() }}", "They'Re"},
		{"{{ false|map('string')|list }}{{ none|select|list }}", "[][]"},
		{"{{ 1.5 is even }} {{ 2.0 is even }} {{ -3 is odd }}", "False True True"},
		{"{{ true|round }}", "1"},
		{"{{ 'ß'.upper() }}{{ 'aaa'.replace('', '-') }}", "SS-a-a-a-"},
		{"{{ 'a b  c'.rsplit(none, 1) }}", "['a b', 'c']"},
		{"{% for x in [1] if x %}{{ loop.index }}{% else %}no{% endfor %}", "1"},
		{"{{ [1,2][5:] }}{{ 'abc'[::-2] }}", "[]ca"},
		{"{{ 2 ** 3 ** 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 1e16 }} {{ 1e-5 }}",
			"64 -4 2 1e+16 1e-05"},
		{"{{ 1 if false }}|{{ (1 if false) is defined }}", "|False"},
		{"{{ {'a': 1}.items is callable }}", "True"},
		{"{% macro m(a) %}{{ a }}{% endmacro %}{{ m() }}{{ m(a=2) }}", "2"},
		{"{{-1}}{{ - 1 }}", "1-1"},
		{"{{ [{}, {'a': [2]}]|map(attribute='a.0', default='xy')|list }}", "['x', 2]"},
		{"{{ [[1], []]|map(attribute=0, default=7)|list }}", "[1, 7]"},
		{"{{ [{}]|map(attribute='a', default=none)|join }}|", "|"},
		{"{{ ['a', 'B']|sort }}{{ ['b', 'A', 'a']|unique|list }}", "['a', 'B']['b', 'A']"},
		{"{{ ([1, 2] * 100000)|length }} {{ ('a',) * 2 }} {{ [1] * -1 }} {{ [] * 9999999999 }}",
			"200000 ('a', 'a') [] []"},
		{"{{ 0x1F }} {{ 0b1_1 }} {{ 0O17 }} {{ 0X_a }} {{ 0 }} {{ 1_0.5 }}",
			"31 3 15 10 0 10.5"}};

	(void)state;
	for (size_t i = 0; i < sizeof(corners) / sizeof(corners[0]); i++) {
		struct rendered result = render(corners[i].source, NULL);

		assert_string_equal(result.info.text, "");
		assert_string_equal(result.out.text.data, corners[i].output);
		jinja_output_free(&result.out);
	}
}

/* One conversation of template_goldens.json. */
static bool golden_holds(const json_t *item)
{
	const json_t *expected = json_object_get(item, "text"),
		     *error = json_object_get(item, "error");
	char path[256];
	json_t *context = json_deep_copy(json_object_get(item, "inputs"));
	struct rendered result;
	struct buf source;
	bool holds;

	snprintf(path, sizeof(path), "data/tokenizer/templates/%s",
		json_string_value(json_object_get(item, "file")));
	source = test_read(path);
	json_object_set(
		context, "add_generation_prompt", json_object_get(item, "add_generation_prompt"));
	result = render(source.data, context);
	if (expected)
		holds = !result.code && result.out.text.size == json_string_length(expected) &&
			memcmp(result.out.text.data, json_string_value(expected),
				result.out.text.size) == 0;
	else
		holds = result.code == ERR_INPUT &&
			strstr(result.info.text, json_string_value(error));
	if (!holds)
		print_error("%s, %s: \"%s\", error \"%s\"\n", path,
			json_string_value(json_object_get(item, "case")),
			result.out.text.data ? result.out.text.data : "", result.info.text);
	jinja_output_free(&result.out);
	buf_free(&source);
	json_decref(context);
	return holds;
}

static void every_conversation_gives_what_jinja2_gives(void **state)
{
	json_t *root = test_read_json("data/tokenizer/template_goldens.json");
	size_t i, wrong = 0;
	json_t *item;

	(void)state;
	assert_int_equal(json_array_size(root), 224);
	json_array_foreach(root, i, item)
		wrong += !golden_holds(item);
	assert_int_equal(wrong, 0);
	json_decref(root);
}

/* The error of a template with an empty context. */
static void assert_error(const char *source, enum err code, const char *text)
{
	struct rendered result = render(source, NULL);

	assert_int_equal(result.code, code);
	assert_string_equal(result.info.text, text);
	jinja_output_free(&result.out);
}

static void errors_name_line_and_reason(void **state)
{
	(void)state;
	assert_error("a\n\n{{ x.y }}", ERR_INPUT, "line 3: 'x' is undefined");
	assert_error("{% set d = {'a': 1} %}\n{{ d.b.c }}", ERR_INPUT,
		"line 2: 'dict object' has no attribute 'b'");
	assert_error("{{ 'a' + 1 }}", ERR_INPUT,
		"line 1: can only concatenate str (not \"int\") to str");
	assert_error("{{ [1].x() }}", ERR_INPUT, "line 1: 'list object' has no attribute 'x'");
	assert_error("\n{{ 1 | nosuch }}", ERR_INPUT, "line 2: no filter named 'nosuch'");
	assert_error("{{ 1 is nosuch }}", ERR_INPUT, "line 1: no test named 'nosuch'");
	assert_error("{% if x %}\n\n", ERR_INPUT, "line 2: the template ends before 'else'");
	assert_error("{% include 'x' %}", ERR_INPUT, "line 1: unexpected tag 'include'");
	assert_error("\n{{ raise_exception('No good.') }}", ERR_INPUT, "No good.");
	assert_error("{{ 9223372036854775807 + 1 }}", ERR_UNSUPPORTED,
		"line 1: an integer beyond 64 bits");
	assert_error("{{ 1\n+ }}", ERR_INPUT, "line 2: unexpected '}}'");
}

/* Each would run, grow or nest without end. */
static void no_template_outruns_its_limits(void **state)
{
	static const char *const hostile[] = {
		"{% for a in range(99999) %}{% for b in range(99999) %}{% set c = a * b %}{% "
		"endfor %}{% endfor %}",
		"{% set many = range(99999) %}{% for a in many %}{% for b in many %}{% endfor %}{% "
		"endfor %}",
		"{% macro m(x) %}{{ m(x + 1) }}{% endmacro %}{{ m(0) }}",
		"{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
		"{% set n = namespace(s='xx') %}{% for i in range(60) %}{% set n.s = n.s + n.s "
		"%}{% endfor %}",
		"{% set n = namespace(s='xx') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s "
		"%}{% endfor %}{{ n.s }}",
		"{% set n = namespace(l=[1]) %}{% for i in range(60) %}{% set n.l = [n.l, n.l] "
		"%}{% endfor %}{{ n.l|tojson }}",
		"{% set n = namespace(l=[1]) %}{% for i in range(60) %}{% set n.l = n.l + n.l %}{% "
		"endfor %}",
		"{% set n = namespace(l=[1]) %}{% for i in range(9999) %}{% set n.l = [n.l] %}{% "
		"endfor %}{{ n.l }}",
		"{% set n = namespace(l=[1]) %}{% for i in range(9999) %}{% set n.l = [n.l] %}{% "
		"endfor %}{{ n.l == [n.l] }}",
		"{{ 'x' * 999999999999 }}",
		"{{ [0] * 999999999999 }}",
		"{{ 'x' * 99999999 ~ 'y' * 99999999 }}",
		"{% for i in range(99999) %}{{ "
		"'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' }}{% endfor %}",
		"{{ {'a': {'b': 1}}|tojson(indent=999999999) }}",
		"{{ 'a'|indent(999999999) }}",
		"{{ range(999999999) }}",
		"{{ 2 ** 999999999 }}",
		"{% set s = 'ab' * 100000 %}{% for i in range(99999) %}{{ s.rsplit('b')|length "
		"}}{% endfor %}",
		"{% set s = 'a' * 100000 %}{% for i in range(99999) %}{% if 'b' in s %}{% endif "
		"%}{{ s.replace('a', '')}}{% endfor %}",
		"{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
		"{% for x in [1, 2] recursive %}{{ loop([x, x]) }}{{ loop([x]) }}{% endfor %}",
		"{% set s = 'a' * 1000000 %}{% set l = [s + 'x', s + 'y'] * 40000 %}{{ l|sort }}",
		"{% set s = 'a' * 1000000 %}{% set a = s + 'x' %}{% set b = s + 'y' %}"
		"{% for i in range(99999) %}{% for j in range(99) %}{% if a == b %}{% endif %}"
		"{% endfor %}{% endfor %}",
		"{% set s = 'a' * 1000000 %}{% set d = {s + 'x': 1, s + 'y': 2} %}{% set k = s + 'z' %}"
		"{% for i in range(99999) %}{% for j in range(99) %}{{ d[k] }}{% endfor %}"
		"{% endfor %}",
		"{% set s = 'a' * 1000000 %}{% for i in range(99999) %}{% for j in range(99) %}"
		"{% if s in object %}{% endif %}{% endfor %}{% endfor %}",
		"{% set n = namespace(s='x') %}{% for i in range(99) %}"
		"{% set n.s = n.s.replace('x', 'xxxxxxxx') %}{% endfor %}",
		"{% set n = namespace(l=['x']) %}{% for i in range(99) %}"
		"{% set n.l = [n.l|join(','), n.l|join(',')] %}{% endfor %}",
		"{% for i in range(99999) %}{{ '%04096d' % i ~ '{:>4096}'.format(i) }}{% endfor %}",
		"{{ 'x'.center(999999999) }}",
		"{{ '{:>999999999}'.format(1) }}",
		"{{ '%999999999d' % 1 }}",
		"{{ ['x']|batch(999999999, 'y')|list }}",
		"{{ ['x']|slice(999999999)|list }}",
		"{% for i in range(99999) %}{{ ([{'k': 1}] * 9999)|groupby('k')|length }}{% endfor %}",
		"{{ range(99999)|unique|list|length }}",
		"{% set c = cycler(1, 2) %}{% for i in range(99999) %}{% for j in range(999) %}"
		"{% set x = c.next() %}{% endfor %}{% endfor %}",
		"{% macro m() %}{% call m() %}{{ caller() }}{% endcall %}{{ caller }}{% endmacro %}"
		"{% call m() %}{% endcall %}",
		"{% set s = 'a' * 1000000 %}{% for i in range(9999) %}{{ 'b'.strip(s) }}{% endfor %}",
		"{% set s = 'a' * 1000000 %}{% for i in range(9999) %}{{ 'b'|trim(s) }}{% endfor %}",
		"{% set s = 'a' * 1000000 %}{% for i in range(9999) %}{% set x = s.zfill(1) %}"
		"{% endfor %}",
		"{% set s = 'a' * 1000000 %}{% for i in range(9999) %}"
		"{{ 'b'|truncate(1000000, end=s) }}{% endfor %}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		json_t *context = json_pack("{s:{s:i}}", "object", "key", 1);
		struct rendered result = render(hostile[i], context);

		json_decref(context);
		if (result.code != ERR_LIMIT && result.code != ERR_UNSUPPORTED)
			fail_msg("%s: %s", hostile[i], result.info.text);
		jinja_output_free(&result.out);
	}
}

static void sources_are_bounded_in_nesting_names_and_size(void **state)
{
	char *source = mem_alloc(JINJA_SOURCE_BYTES_MAX + 2, 1);
	struct jinja_template *t;
	size_t size = 0;

	(void)state;
	memset(source, '(', 100000);
	memcpy(source, "{{", 2);
	assert_int_equal(jinja_compile(&t, source, 100000, UNIT_IGNORED), ERR_LIMIT);
	memset(source, '-', 100000);
	memcpy(source, "{{ ", 3);
	assert_int_equal(jinja_compile(&t, source, 100000, UNIT_IGNORED), ERR_LIMIT);
	for (int i = 0; i < 5000; i++)
		memcpy(source + 10 * (size_t)i, "{% if x %}", 10);
	assert_int_equal(jinja_compile(&t, source, 50000, UNIT_IGNORED), ERR_LIMIT);
	for (int i = 0; i < 5000; i++)
		size += (size_t)snprintf(source + size, 32, "{{ v%d }}", i);
	assert_int_equal(jinja_compile(&t, source, size, UNIT_IGNORED), ERR_LIMIT);
	memset(source, 'x', JINJA_SOURCE_BYTES_MAX + 1);
	assert_int_equal(jinja_compile(&t, source, JINJA_SOURCE_BYTES_MAX + 1, UNIT_IGNORED),
		ERR_LIMIT);
	assert_int_equal(jinja_compile(&t, source, JINJA_SOURCE_BYTES_MAX, UNIT_IGNORED), ERR_NONE);
	jinja_close(t);
	mem_free(source);
}

/* A long chain of elif or of one operator is no nesting. */
static void long_is_not_deep(void **state)
{
	struct buf source;
	struct rendered result;

	(void)state;
	buf_init(&source, JINJA_SOURCE_BYTES_MAX);
	buf_add_str(&source, "{% if no %}");
	for (int i = 0; i < 2000; i++)
		buf_printf(&source, "{%% elif no == %d %%}", i);
	buf_add_str(&source, "{% else %}ok{% endif %}{{ ''");
	for (int i = 0; i < 2000; i++)
		buf_add_str(&source, " + 'x'");
	buf_add_str(&source, " }}");
	result = render(source.data, NULL);
	assert_int_equal(result.code, ERR_NONE);
	assert_int_equal(result.out.text.size, 2002);
	jinja_output_free(&result.out);
	buf_free(&source);
}

/* What is trusted of a text rendered with u = "USER", as a copy in which all else is '.'. */
static void assert_trusted(const char *source, const char *expected)
{
	json_t *context =
		json_pack("{s:s, s:[s,s], s:{s:s}}", "u", "USER", "l", "AA", "BB", "d", "k", "VV");
	struct rendered result = render(source, context);
	const struct text_span *spans = jinja_output_spans(&result.out);
	char text[256] = "";

	assert_int_equal(result.code, ERR_NONE);
	assert_int_equal(result.out.text.size, strlen(expected));
	memset(text, '.', result.out.text.size);
	for (size_t i = 0; i < jinja_output_span_count(&result.out); i++) {
		assert_true(spans[i].begin < spans[i].end &&
			    (i == 0 || spans[i - 1].end < spans[i].begin));
		memcpy(text + spans[i].begin, result.out.text.data + spans[i].begin,
			spans[i].end - spans[i].begin);
	}
	assert_string_equal(text, expected);
	jinja_output_free(&result.out);
	json_decref(context);
}

static void every_byte_knows_whether_it_comes_from_outside(void **state)
{
	(void)state;
	assert_trusted("a{{ u }}b", "a....b");
	assert_trusted("{{ '<' + u + '>' ~ 'c' }}d", "<....>cd");
	assert_trusted("{{ ('<' + u + '>')[1:-1] }}", "....");
	assert_trusted("{{ ('ab' + u + 'cd')[1:] }}", "b....cd");
	assert_trusted("{{ ('ab' + u)[::-1] }}", "....ba");
	assert_trusted("{{ ('  ' + u + ' x ')|trim }}", ".... x");
	assert_trusted("{{ ('a,' + u + ',b').split(',')|join('-') }}", "a-....-b");
	assert_trusted("{{ u.replace('S', 'xx') }}", ".xx..");
	assert_trusted("{{ 'aSb'.replace('S', u) }}", "a....b");
	assert_trusted("{{ l|join('+') }}", "..+..");
	assert_trusted("{% for x in l %}[{{ x }}]{% endfor %}", "[..][..]");
	assert_trusted("{% for c in 'x' + u %}{{ c }}{% endfor %}", "x....");
	assert_trusted("{% macro m(a) %}<{{ a }}>{% endmacro %}{{ m(u) + m('t') }}", "<....><t>");
	assert_trusted("{% set x %}<{{ u }}>{% endset %}{{ x }}", "<....>");
	assert_trusted("{{ d.k }}{{ d['k'] }}{{ d|tojson }}{{ 'x'|tojson }}", "..................");
	assert_trusted("{% for k, v in d|items %}{{ k }}={{ v }}{% endfor %}", ".=..");
	assert_trusted("{{ 'AB'|lower }}{{ u|lower }}{{ ('AB' + u)|lower }}", "ab..........");
	assert_trusted(
		"{{ u if false else 'no' }}{{ missing|default(u) }}{{ u or 'x' }}", "no........");
	assert_trusted("{{ [u, 'x']|first }}{{ [u, 'x']|last }}{{ {'a': u}.a }}", "....x....");
	assert_trusted("{{ 'x' * 2 }}{{ u * 2 }}{{ 7 }}{{ ['x'] }}", "xx..............");
	assert_trusted("{{ u|indent(2, true) }}{{ u|string|safe }}", "  ........");
	assert_trusted("{{ '<%s>%%' % u }}{{ '<{}>{{'.format(u) }}", "<....>%<....>{");
	assert_trusted("{{ '{:*>6}|{:03d}'.format(u, 7) }}{{ '%5s' % u }}", "......|........");
	assert_trusted("{{ u.format('x') }}{{ ('%%' + u) % () }}{{ u.zfill(6) }}", "....%..........");
	assert_trusted("{{ ('<'|safe) + u }}{{ ('<' + u)|escape }}{{ '<'|escape }}",
		"<............&lt;");
	assert_trusted("{{ 'a<' + (u|safe) }}{{ u.ljust(6, '-') }}", "a&lt;........--");
	assert_trusted("{{ u.partition('S')[0] }}{{ 'xSy'.partition('S')[2] }}{{ u|truncate(3, true, '-', 0) }}",
		".y..-");
	assert_trusted("{% for g in [{'k': u}]|groupby('k') %}{{ g.grouper }}{% endfor %}", "....");
	assert_trusted("{% macro m() %}{{ varargs[0] }}{{ kwargs.a }}{% endmacro %}{{ m(u, a='t') }}",
		"....t");
	assert_trusted("{% for x in l recursive %}<{{ x }}>{% endfor %}", "<..><..>");
}

static void a_trusted_variable_counts_as_the_templates_own(void **state)
{
	json_t *eos = json_string("<eos>"), *user = json_string("<eos>");
	const struct jinja_variable variables[] = {{"eos_token", eos, true}, {"u", user, false}};
	struct jinja_output out;
	struct jinja_template *t;
	struct arena scratch;

	(void)state;
	arena_init(&scratch, 4096, 65536);
	jinja_output_init(&out, 1000);
	assert_int_equal(jinja_compile(&t, "{{ u + eos_token }}", 19, UNIT_IGNORED), ERR_NONE);
	assert_int_equal(jinja_render(t, variables, 2, NULL, &scratch, &out, UNIT_IGNORED),
		ERR_NONE);
	assert_string_equal(out.text.data, "<eos><eos>");
	assert_int_equal(jinja_output_span_count(&out), 1);
	assert_int_equal(jinja_output_spans(&out)[0].begin, 5);
	assert_int_equal(jinja_output_spans(&out)[0].end, 10);
	jinja_close(t);
	jinja_output_free(&out);
	arena_reset(&scratch);
	json_decref(eos);
	json_decref(user);
}

/* Any prefix of a real template is a template or an error, never more. */
static void truncated_templates_are_harmless(void **state)
{
	struct buf source = test_read("data/tokenizer/templates/rebuilt-qwen3.8.jinja");
	json_t *root = test_read_json("data/tokenizer/template_goldens.json");
	const json_t *context = json_object_get(json_array_get(root, 23), "inputs");
	size_t compiled = 0;

	(void)state;
	for (size_t size = 0; size <= source.size; size += 3) {
		struct arena scratch;
		struct rendered result;

		arena_init(&scratch, 4096, (size_t)16 << 20);
		result = render_with(source.data, size, context, &scratch, NULL);
		compiled += result.code == ERR_NONE;
		jinja_output_free(&result.out);
		arena_reset(&scratch);
	}
	assert_true(compiled > 0);
	json_decref(root);
	buf_free(&source);
}

/* With memory for the first n chunks only, a render fails with an error until it succeeds. */
static void renders_survive_every_failed_allocation(void **state)
{
	struct buf source = test_read("data/tokenizer/templates/Qwen3.5-4B.jinja");
	json_t *root = test_read_json("data/tokenizer/template_goldens.json");
	const json_t *context = json_object_get(json_array_get(root, 23), "inputs");
	enum err code = ERR_MEMORY;

	(void)state;
	for (int64_t n = 1; code; n++) {
		struct arena scratch;
		struct rendered result;

		assert_true(n < 100000);
		arena_init(&scratch, 512, (size_t)16 << 20);
		mem_fail_after(n, 1);
		result = render_with(source.data, source.size, context, &scratch, NULL);
		mem_fail_after(0, 0);
		code = result.code;
		assert_true(code == ERR_NONE || code == ERR_MEMORY || code == ERR_LIMIT);
		jinja_output_free(&result.out);
		arena_reset(&scratch);
	}
	json_decref(root);
	buf_free(&source);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(every_small_case_gives_what_jinja2_gives),
	cmocka_unit_test(corners_are_as_in_jinja2),
	cmocka_unit_test(every_conversation_gives_what_jinja2_gives),
	cmocka_unit_test(errors_name_line_and_reason),
	cmocka_unit_test(no_template_outruns_its_limits),
	cmocka_unit_test(sources_are_bounded_in_nesting_names_and_size),
	cmocka_unit_test(long_is_not_deep),
	cmocka_unit_test(every_byte_knows_whether_it_comes_from_outside),
	cmocka_unit_test(a_trusted_variable_counts_as_the_templates_own),
	cmocka_unit_test(truncated_templates_are_harmless),
	cmocka_unit_test(renders_survive_every_failed_allocation),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
