/* model/template/jinja_operators.c - Python's arithmetic on a template's values. Integers are of
 * 64 bits: what would be longer is refused, never wrapped. */
#include <assert.h>
#include <string.h>

#include "base/math.h"
#include "model/template/jinja_call.h"
#include "model/template/jinja_eval.h"
#include "model/template/jinja_text.h"

static bool fail_operands(struct jinja_render *r, const char *op, const struct jinja_value *left,
	const struct jinja_value *right)
{
	if (left->type == JINJA_UNDEFINED || right->type == JINJA_UNDEFINED)
		return jinja_fail_undefined(r, left->type == JINJA_UNDEFINED ? left : right);
	return jinja_fail(r, ERR_INPUT, "unsupported operand type(s) for %s: '%s' and '%s'", op,
		jinja_type_name(left), jinja_type_name(right));
}

static bool integer_result(struct jinja_render *r, bool fits, int64_t integer,
	struct jinja_value *out)
{
	*out = jinja_int(integer);
	return fits || jinja_fail(r, ERR_UNSUPPORTED, "an integer beyond 64 bits");
}

static bool add_lists(struct jinja_render *r, const struct jinja_value *left,
	const struct jinja_value *right, struct jinja_value *out)
{
	const size_t a = left->list.count, b = right->list.count;
	const enum jinja_type type = left->type;   /* out may be left */
	struct jinja_value *items = jinja_array(r, a + b, sizeof(*items));

	if (!items || !jinja_charge(r, a + b))
		return false;
	for (size_t i = 0; i < a; i++)
		items[i] = jinja_at(left, i);
	for (size_t i = 0; i < b; i++)
		items[a + i] = jinja_at(right, i);
	*out = jinja_list_of(items, a + b);
	out->type = type;
	return true;
}

bool jinja_add(struct jinja_render *r, const struct jinja_value *left,
	const struct jinja_value *right, struct jinja_value *out)
{
	int64_t sum = 0;

	if (jinja_is_integral(left) && jinja_is_integral(right)) {
		const bool fits = math_add_i64(jinja_integer(left), jinja_integer(right), &sum);

		return integer_result(r, fits, sum, out);
	}
	if (jinja_is_number(left) && jinja_is_number(right)) {
		*out = jinja_float(jinja_real(left) + jinja_real(right));
		return true;
	}
	if (jinja_is_list(left) && left->type == right->type)
		return add_lists(r, left, right, out);
	if (left->type == JINJA_UNDEFINED || right->type == JINJA_UNDEFINED)
		return fail_operands(r, "+", left, right);
	if (left->type == JINJA_STRING || jinja_is_list(left))
		return jinja_fail(r, ERR_INPUT, "can only concatenate %s (not \"%s\") to %s",
			jinja_type_name(left), jinja_type_name(right), jinja_type_name(left));
	return fail_operands(r, "+", left, right);
}

static bool repeat_list(struct jinja_render *r, const struct jinja_value *v, int64_t times,
	struct jinja_value *out)
{
	const size_t each = times > 0 ? v->list.count : 0;
	int64_t whole = 0;
	/* what is beyond 64 bits is beyond memory */
	const size_t count = each == 0 ? 0 : math_mul_i64((int64_t)each, times, &whole)
		? (size_t)whole : SIZE_MAX;
	struct jinja_value *items = jinja_array(r, count, sizeof(*items));

	if (!items || !jinja_charge(r, count))
		return false;
	for (size_t i = 0; i < count; i++)
		items[i] = i < each ? jinja_at(v, i) : items[i - each];
	*out = jinja_list_of(items, count);
	out->type = v->type;
	return true;
}

/* text * n and list * n; n below 1 gives nothing. */
static bool repeat(struct jinja_render *r, const struct jinja_value *v, int64_t times,
	struct jinja_value *out)
{
	struct jinja_builder b = {0};
	struct jinja_string s;

	if (v->type == JINJA_STRING) {
		for (; times > 0 && v->string.size > 0; times--)
			if (!jinja_builder_add(r, &b, v->string))
				return false;
		if (!jinja_builder_finish(r, &b, &s))
			return false;
		s.markup = v->string.markup;
		*out = jinja_string(s);
		return true;
	}
	return repeat_list(r, v, times, out);
}

static bool is_sequence(const struct jinja_value *v)
{
	return v->type == JINJA_STRING || jinja_is_list(v);
}

static bool multiply(struct jinja_render *r, const struct jinja_value *left,
	const struct jinja_value *right, struct jinja_value *out)
{
	int64_t product = 0;

	if (is_sequence(left) && jinja_is_integral(right))
		return repeat(r, left, jinja_integer(right), out);
	if (jinja_is_integral(left) && is_sequence(right))
		return repeat(r, right, jinja_integer(left), out);
	if (!jinja_is_number(left) || !jinja_is_number(right))
		return fail_operands(r, "*", left, right);
	if (left->type == JINJA_FLOAT || right->type == JINJA_FLOAT) {
		*out = jinja_float(jinja_real(left) * jinja_real(right));
		return true;
	}
	const bool fits = math_mul_i64(jinja_integer(left), jinja_integer(right), &product);
	return integer_result(r, fits, product, out);
}

static bool subtract(struct jinja_render *r, const struct jinja_value *left,
	const struct jinja_value *right, struct jinja_value *out)
{
	int64_t difference = 0;

	if (!jinja_is_number(left) || !jinja_is_number(right))
		return fail_operands(r, "-", left, right);
	if (left->type == JINJA_FLOAT || right->type == JINJA_FLOAT) {
		*out = jinja_float(jinja_real(left) - jinja_real(right));
		return true;
	}
	const bool fits = math_sub_i64(jinja_integer(left), jinja_integer(right), &difference);
	return integer_result(r, fits, difference, out);
}

static bool divide(struct jinja_render *r, const struct jinja_value *left,
	const struct jinja_value *right, struct jinja_value *out)
{
	if (!jinja_is_number(left) || !jinja_is_number(right))
		return fail_operands(r, "/", left, right);
	if (jinja_real(right) == 0)
		return jinja_fail(r, ERR_INPUT, "division by zero");
	*out = jinja_float(jinja_real(left) / jinja_real(right));
	return true;
}

/* // and %: the quotient is rounded down, the remainder has the divisor's sign. */
static bool divide_down(struct jinja_render *r, enum jinja_operator op,
	const struct jinja_value *left, const struct jinja_value *right, struct jinja_value *out)
{
	const char *name = op == JINJA_MOD ? "%" : "//";

	if (op == JINJA_MOD && left->type == JINJA_STRING)
		return jinja_format_percent(r, left->string, right, out);
	if (!jinja_is_number(left) || !jinja_is_number(right))
		return fail_operands(r, name, left, right);
	if (!jinja_is_integral(left) || !jinja_is_integral(right))
		return jinja_fail(r, ERR_UNSUPPORTED, "%s of floats", name);
	const int64_t a = jinja_integer(left), b = jinja_integer(right);

	if (b == 0)
		return jinja_fail(r, ERR_INPUT, "integer division or modulo by zero");
	if (a == INT64_MIN && b == -1)
		return integer_result(r, op == JINJA_MOD, 0, out);
	const bool rounded_up = a % b != 0 && (a % b < 0) != (b < 0);
	*out = jinja_int(
		op == JINJA_MOD ? a % b + (rounded_up ? b : 0) : a / b - (rounded_up ? 1 : 0));
	return true;
}

static bool power(struct jinja_render *r, const struct jinja_value *left,
	const struct jinja_value *right, struct jinja_value *out)
{
	int64_t result = 1;

	if (!jinja_is_number(left) || !jinja_is_number(right))
		return fail_operands(r, "** or pow()", left, right);
	if (!jinja_is_integral(left) || !jinja_is_integral(right) || jinja_integer(right) < 0) {
		if (jinja_real(left) <= 0)
			return jinja_fail(r, ERR_UNSUPPORTED, "** of a float that is not positive");
		*out = jinja_float(math_pow(jinja_real(left), jinja_real(right)));
		return true;
	}
	const int64_t base = jinja_integer(left);

	for (int64_t i = jinja_integer(right); i > 0 && !(base >= 0 && base <= 1); i--)
		if (!math_mul_i64(result, base, &result))
			return integer_result(r, false, 0, out);
	if (base == 0 && jinja_integer(right) > 0)
		result = 0;
	*out = jinja_int(result);
	return jinja_charge(r, 64);
}

bool jinja_arithmetic(struct jinja_render *r, enum jinja_operator op,
	const struct jinja_value *left, const struct jinja_value *right, struct jinja_value *out)
{
	if (op == JINJA_SUB)
		return subtract(r, left, right, out);
	if (op == JINJA_MUL)
		return multiply(r, left, right, out);
	if (op == JINJA_DIV)
		return divide(r, left, right, out);
	if (op == JINJA_POW)
		return power(r, left, right, out);
	assert(op == JINJA_FLOORDIV || op == JINJA_MOD);
	return divide_down(r, op, left, right, out);
}

bool jinja_sign(struct jinja_render *r, enum jinja_operator op, const struct jinja_value *v,
	struct jinja_value *out)
{
	int64_t negated = 0;

	if (v->type == JINJA_UNDEFINED)
		return jinja_fail_undefined(r, v);
	if (!jinja_is_number(v))
		return jinja_fail(r, ERR_INPUT, "bad operand type for unary %s: '%s'",
			op == JINJA_NEGATE ? "-" : "+", jinja_type_name(v));
	if (v->type == JINJA_FLOAT) {
		*out = jinja_float(op == JINJA_NEGATE ? -v->real : v->real);
		return true;
	}
	const bool fits = op == JINJA_PLUS || math_sub_i64(0, jinja_integer(v), &negated);
	return integer_result(r, fits, op == JINJA_PLUS ? jinja_integer(v) : negated, out);
}
