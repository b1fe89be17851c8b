/* chip/cpu/ops_route.c - which experts a row uses, its way to them and back.
 *
 *	route     each row by itself; then one worker counts, to lay the rows of an expert together
 *	spread    a row to each of its places; few rows by the worker that counts
 *	combine   columns of a row from its places, best expert first
 *
 * Nothing of a row's own numbers depends on the rows beside it: only where it lies does.
 */
#include <string.h>

#include "base/math.h"
#include "chip/cpu/ops.h"

/* The largest of shares that is not taken yet, the first of equals; taken are marked with -1. If
 * they are NaN, which they are together, the first that is left. */
static uint32_t take_best(const struct cpu_kernels *kernels, float *shares, uint32_t experts,
	float *share)
{
	const bool finite = kernels->largest(shares, experts, share);
	const float least = finite ? *share : 0.0F;
	uint32_t best = 0;

	while (shares[best] < least)
		best++;
	*share = shares[best];
	shares[best] = -1.0F;
	return best;
}

static void normalise(float *weights, uint32_t used)
{
	float sum = 0.0F;

	for (uint32_t i = 0; i < used; i++)
		sum += weights[i];
	for (uint32_t i = 0; i < used; i++)
		weights[i] /= sum;
}

static void route_row(const struct run *r, const struct chip_op *op, uint32_t row)
{
	const struct cpu_route *route = &r->program->route;
	const uint32_t experts = op->u.route.experts, used = op->u.route.used;
	const float *logits = row_of(r, op->u.route.logits, row);
	float *shares = route->shares + (size_t)r->worker->index * experts;
	float *weights = row_of(r, op->u.route.weights, row);
	float largest;

	(void)r->kernels->largest(logits, experts, &largest);
	const float sum = (float)r->kernels->exponentials(logits, 1.0F, largest, experts,
		shares);

	for (uint32_t i = 0; i < experts; i++)
		shares[i] /= sum;
	for (uint32_t i = 0; i < used; i++)
		route->experts[(size_t)row * used + i] = take_best(r->kernels, shares, experts,
			&weights[i]);
	if (op->u.route.normalise)
		normalise(weights, used);
	for (uint32_t i = 0; i < used; i++)
		weights[i] *= op->u.route.scale;
}

/* Counting sort by expert; rows of one expert stay in order. */
static void group_rows(struct cpu_route *route, uint32_t experts, uint32_t count)
{
	uint32_t place = 0;

	memset(route->first, 0, (experts + 1) * sizeof(*route->first));
	for (uint32_t i = 0; i < count; i++)
		route->first[route->experts[i]]++;
	route->active_count = 0;
	for (uint32_t e = 0; e < experts; e++) {
		const uint32_t of_expert = route->first[e];

		if (of_expert > 0)
			route->active[route->active_count++] = e;
		route->first[e] = place;
		place += of_expert;
	}
	route->first[experts] = place;
	for (uint32_t i = 0; i < count; i++)
		route->places[i] = route->first[route->experts[i]]++;
	for (uint32_t e = experts; e > 0; e--)   /* each stands where the next one begins */
		route->first[e] = route->first[e - 1];
	route->first[0] = 0;
}

/* To the places of a row, which become inputs once. */
static void spread_row(const struct run *r, const struct chip_op *op, uint32_t row)
{
	const struct cpu_route *route = &r->program->route;
	const struct cpu_fusion *f = fusion_of(r, op);
	const uint32_t *places = &route->places[(size_t)row * route->used];
	const uint32_t width = columns(r, op->u.gather.in);
	const bool kept = !f->unread || r->step->observer.see;

	for (uint32_t i = 0; i < route->used; i++) {
		if (i == 0 || kept)
			memcpy(made_row(r, op, places[i]), row_of(r, op->u.gather.in, row),
				width * sizeof(float));
		if (i == 0)
			cpu_makes_inputs(r, op, places[0], 0, width);
		else if (f->makes_inputs)
			cpu_copy_inputs(r, op + 1, places[0], places[i]);
	}
}

void cpu_run_spread(const struct run *r, const struct chip_op *op)
{
	cpu_each_row(r, op, r->step->row_count, spread_row);
}

/* Few rows: one worker does all of it, before the others would have met. */
static void route_at_once(const struct run *r, const struct chip_op *op)
{
	const uint32_t row_count = r->step->row_count;
	uint32_t first, end;

	while (cpu_share(r->worker, 1, &first, &end)) {
		for (uint32_t row = 0; row < row_count; row++)
			route_row(r, op, row);
		group_rows(&r->program->route, op->u.route.experts,
			row_count * r->program->route.used);
		for (uint32_t row = 0; fusion_of(r, op)->followers && row < row_count; row++)
			spread_row(r, op + 1, row);
	}
}

void cpu_run_route(const struct run *r, const struct chip_op *op)
{
	struct cpu_route *route = &r->program->route;
	uint32_t first, end;

	if (is_routed_at_once(r)) {
		route_at_once(r, op);
		return;
	}
	while (cpu_share(r->worker, r->step->row_count, &first, &end))
		for (uint32_t row = first; row < end; row++)
			route_row(r, op, row);
	cpu_meet(r);
	if (r->worker->index == 0)
		group_rows(route, op->u.route.experts, r->step->row_count * route->used);
}

/* Columns [first, first + count) of a row, and where they are added to. */
static void combine_part(const struct run *r, const struct chip_op *op, uint32_t row,
	uint32_t first, uint32_t count)
{
	const struct cpu_route *route = &r->program->route;
	const uint32_t *places = &route->places[(size_t)row * route->used];
	const uint32_t sum = fusion_of(r, op)->sum;
	const float *weights = row_of(r, op->u.combine.weights, row);
	float *out = row_of(r, op->u.combine.out, row) + first;

	memset(out, 0, count * sizeof(float));
	for (uint32_t i = 0; i < route->used; i++)
		r->kernels->add_scaled(out, row_of(r, op->u.combine.in, places[i]) + first,
			weights[i], count);
	if (op->u.combine.shared != CHIP_NONE)
		r->kernels->add_scaled(out, row_of(r, op->u.combine.shared, row) + first,
			math_sigmoidf(*row_of(r, op->u.combine.gate, row)), count);
	if (sum != CHIP_NONE && is_joined(r, op->u.combine.out))
		r->kernels->add(row_of(r, sum, row) + first, out, count);
}

void cpu_run_combine(const struct run *r, const struct chip_op *op)
{
	const uint32_t width = columns(r, op->u.combine.out);
	const uint32_t parts = math_divide_up_u32(width, CPU_COLUMN_PART);
	uint32_t first, end;

	while (cpu_share(r->worker, r->step->row_count * parts, &first, &end))
		for (uint32_t item = first; item < end; item++) {
			const uint32_t at = item % parts * CPU_COLUMN_PART;

			combine_part(r, op, item / parts, at,
				math_min_u32(width - at, CPU_COLUMN_PART));
		}
}
