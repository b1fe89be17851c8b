/* model/template/jinja_tests.c - what stands after "is". */
#include "base/math.h"
#include "model/template/jinja_call.h"
#include "model/template/jinja_text.h"
#include "model/tokenizer/unicode.h"

static bool no_arguments(struct jinja_render *r, const struct jinja_args *args)
{
	return jinja_bind(r, "test", args, NULL, 0, 0, NULL);
}

/* Tests that look at the type alone. */
#define TYPE_TEST(NAME, HOLDS)                                                                     \
	static bool is_##NAME(struct jinja_render *r, const struct jinja_value *v,                 \
		const struct jinja_args *args, bool *out)                                          \
	{                                                                                          \
		*out = (HOLDS);                                                                    \
		return no_arguments(r, args);                                                      \
	}

TYPE_TEST(defined, v->type != JINJA_UNDEFINED)
TYPE_TEST(undefined, v->type == JINJA_UNDEFINED)
TYPE_TEST(none, v->type == JINJA_NONE)
TYPE_TEST(boolean, v->type == JINJA_BOOL)
TYPE_TEST(true, v->type == JINJA_BOOL && v->boolean)
TYPE_TEST(false, v->type == JINJA_BOOL && !v->boolean)
TYPE_TEST(integer, v->type == JINJA_INT)
TYPE_TEST(float, v->type == JINJA_FLOAT)
TYPE_TEST(number, jinja_is_number(v))
TYPE_TEST(string, v->type == JINJA_STRING)
TYPE_TEST(mapping, v->type == JINJA_DICT)
/* undefined has a length and can be walked: it is empty */
TYPE_TEST(sequence, v->type == JINJA_STRING || jinja_is_list(v) || v->type == JINJA_RANGE ||
		v->type == JINJA_DICT || v->type == JINJA_UNDEFINED)
TYPE_TEST(iterable, v->type == JINJA_STRING || jinja_has_items(v) || v->type == JINJA_DICT ||
			    v->type == JINJA_UNDEFINED || v->type == JINJA_LOOP)
/* so is undefined callable: it is the call that fails */
TYPE_TEST(callable, v->type == JINJA_MACRO || v->type == JINJA_FUNCTION ||
			    v->type == JINJA_METHOD || v->type == JINJA_UNDEFINED ||
			    v->type == JINJA_JOINER)
TYPE_TEST(escaped, v->type == JINJA_STRING && v->string.markup)

/* What a whole number of any size leaves: 2^exponent times a number of 53 bits. */
static int64_t large_modulo(double whole, int64_t divisor)
{
	const bool negative = whole < 0;
	const uint64_t by = divisor < 0 ? 0 - (uint64_t)divisor : (uint64_t)divisor;
	int exponent = 0;
	double magnitude = negative ? -whole : whole;
	math_u128 left;

	for (; magnitude >= 0x1p53; exponent++)
		magnitude /= 2;
	left = (uint64_t)magnitude % by;
	for (; exponent > 0; exponent--)
		left = left * 2 % by;
	return negative ? -(int64_t)left : (int64_t)left;
}

/* Whether v leaves the remainder when divided; a float with a fraction leaves none that is whole.
 */
static bool leaves(struct jinja_render *r, const struct jinja_value *v, int64_t divisor,
	int64_t remainder, bool *out)
{
	int64_t left;

	*out = false;
	if (divisor == 0)
		return jinja_fail(r, ERR_INPUT, "integer modulo by zero");
	if (v->type == JINJA_FLOAT) {
		if (!(v->real > -0x1p1023 && v->real < 0x1p1023) || (v->real > -9e18 &&
			v->real < 9e18 && (double)(int64_t)v->real != v->real))
			return true;
		left = large_modulo(v->real, divisor);
	} else {
		int64_t integer;

		if (!jinja_want_int(r, "test", v, &integer))
			return false;
		left = divisor == -1 ? 0 : integer % divisor;
	}
	*out = (left < 0 ? left + (divisor < 0 ? -divisor : divisor) : left) == remainder;
	return true;
}

static bool is_odd(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, bool *out)
{
	return no_arguments(r, args) && leaves(r, v, 2, 1, out);
}

static bool is_even(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, bool *out)
{
	return no_arguments(r, args) && leaves(r, v, 2, 0, out);
}

/* The one argument of a test that has one. */
static bool other_value(struct jinja_render *r, const struct jinja_args *args,
	struct jinja_value *out)
{
	static const char *const names[] = {"other"};

	return jinja_bind(r, "test", args, names, 1, 1, out);
}

static bool is_divisibleby(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, bool *out)
{
	struct jinja_value other;
	int64_t divisor;

	return other_value(r, args, &other) && jinja_want_int(r, "divisibleby", &other, &divisor) &&
	       leaves(r, v, divisor, 0, out);
}

static bool is_eq(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, bool *out)
{
	struct jinja_value other;

	return other_value(r, args, &other) && jinja_equal(r, v, &other, out);
}

static bool is_ne(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, bool *out)
{
	if (!is_eq(r, v, args, out))
		return false;
	*out = !*out;
	return true;
}

static bool order_of(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, const char *operator, int *order)
{
	struct jinja_value other;

	return other_value(r, args, &other) && jinja_compare(r, v, &other, operator, order);
}

static bool is_lt(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, bool *out)
{
	int order = 0;

	if (!order_of(r, v, args, "<", &order))
		return false;
	*out = order < 0;
	return true;
}

static bool is_le(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, bool *out)
{
	int order = 0;

	if (!order_of(r, v, args, "<=", &order))
		return false;
	*out = order <= 0;
	return true;
}

static bool is_gt(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, bool *out)
{
	int order = 0;

	if (!order_of(r, v, args, ">", &order))
		return false;
	*out = order > 0;
	return true;
}

static bool is_ge(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, bool *out)
{
	int order = 0;

	if (!order_of(r, v, args, ">=", &order))
		return false;
	*out = order >= 0;
	return true;
}

static bool is_in(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, bool *out)
{
	struct jinja_value container;

	return other_value(r, args, &container) && jinja_contains(r, &container, v, out);
}

/* Python's is, as far as values without identity have it. */
static bool is_sameas(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, bool *out)
{
	struct jinja_value other;

	*out = false;
	return other_value(r, args, &other) &&
	       (other.type != v->type || jinja_equal(r, v, &other, out));
}

/* Has letters, and all that have a case are of this one. */
static bool is_cased(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, bool upper, bool *out)
{
	struct jinja_string s;
	bool cased = false;

	*out = true;
	if (!no_arguments(r, args) || !jinja_to_string(r, v, &s) || !jinja_charge_bytes(r, s.size))
		return false;
	for (size_t at = 0; at < s.size && *out;) {
		uint32_t c;

		at += unicode_decode(s.bytes + at, s.size - at, &c);
		cased = cased || unicode_upper(c) != unicode_lower(c);
		*out = c == (upper ? unicode_upper(c) : unicode_lower(c));
	}
	*out = *out && cased;
	return true;
}

static bool is_upper(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, bool *out)
{
	return is_cased(r, v, args, true, out);
}

static bool is_lower(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, bool *out)
{
	return is_cased(r, v, args, false, out);
}

/* Whether there is a filter, or a test, of this name. */
static bool is_filter(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, bool *out)
{
	*out = v->type == JINJA_STRING && jinja_filter_find(v->string.bytes, v->string.size);
	return no_arguments(r, args) && jinja_hashable(r, v);
}

static bool is_test(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, bool *out)
{
	*out = v->type == JINJA_STRING && jinja_test_find(v->string.bytes, v->string.size);
	return no_arguments(r, args) && jinja_hashable(r, v);
}

const struct jinja_test *jinja_test_find(const char *name, size_t size)
{
	static const struct jinja_test tests[] = {{"defined", is_defined},
		{"undefined", is_undefined}, {"none", is_none}, {"boolean", is_boolean},
		{"true", is_true}, {"false", is_false}, {"integer", is_integer},
		{"float", is_float}, {"number", is_number}, {"string", is_string},
		{"mapping", is_mapping}, {"sequence", is_sequence}, {"iterable", is_iterable},
		{"callable", is_callable}, {"odd", is_odd}, {"even", is_even},
		{"divisibleby", is_divisibleby}, {"eq", is_eq}, {"equalto", is_eq}, {"==", is_eq},
		{"ne", is_ne}, {"!=", is_ne}, {"lt", is_lt}, {"lessthan", is_lt}, {"<", is_lt},
		{"le", is_le}, {"<=", is_le}, {"gt", is_gt}, {"greaterthan", is_gt}, {">", is_gt},
		{"ge", is_ge}, {">=", is_ge}, {"in", is_in}, {"sameas", is_sameas},
		{"upper", is_upper}, {"lower", is_lower}, {"escaped", is_escaped},
		{"filter", is_filter}, {"test", is_test}};

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		if (jinja_name_is(name, size, tests[i].name))
			return &tests[i];
	return NULL;
}
