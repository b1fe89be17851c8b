/* server/wires.c - see wires.h. */
#include "server/wires.h"

#include <string.h>

#include "base/mem.h"

static uint32_t power_of_two(uint32_t at_least)
{
	uint32_t n = 1;

	while (n < at_least)
		n *= 2;
	return n;
}

static uint32_t reserved_messages(const struct core_limits *limits)
{
	return limits->requests_max * WIRES_PER_REQUEST + WIRES_SERVICES + limits->replies_max +
		CORE_ACTIONS_MAX;
}

bool wires_room_made(struct wires *w)
{
	return atomic_load(&w->room_awaited) && atomic_exchange(&w->room_awaited, false);
}

size_t wires_bytes(const struct core_limits *limits)
{
	const size_t messages = power_of_two(reserved_messages(limits) + WIRES_SPARE);

	return messages * (sizeof(struct core_event) + sizeof(struct core_action)) +
		power_of_two(limits->records_max + CORE_ACTIONS_MAX) * sizeof(struct record) +
		JOURNAL_CHUNKS * sizeof(struct journal_chunk);
}

static bool rings_open(struct wires *w, const struct core_limits *limits)
{
	const uint32_t messages = power_of_two(w->reserved + WIRES_SPARE);

	w->events = ring_open(messages, sizeof(struct core_event));
	w->actions = ring_open(messages, sizeof(struct core_action));
	/* A RETRY is not among the records that the core counts. */
	w->records = ring_open(power_of_two(limits->records_max + CORE_ACTIONS_MAX),
		sizeof(struct record));
	w->results = ring_open(WIRES_SPARE, sizeof(struct store_result));
	w->journal = ring_open(JOURNAL_CHUNKS, sizeof(struct journal_chunk *));
	w->journal_back = ring_open(JOURNAL_CHUNKS, sizeof(struct journal_chunk *));
	w->chunks = mem_alloc(JOURNAL_CHUNKS, sizeof(*w->chunks));
	return w->events && w->actions && w->records && w->results && w->journal &&
		w->journal_back && w->chunks;
}

enum err wires_open(struct wires *w, const struct core_limits *limits, struct err_info *info)
{
	memset(w, 0, sizeof(*w));
	w->core_wake.fd = w->store_wake.fd = w->front_wake.fd = -1;
	w->reserved = reserved_messages(limits);
	if (!rings_open(w, limits))
		err_set(info, ERR_MEMORY, "no memory for %zu bytes of messages between threads",
			wires_bytes(limits));
	else if (wake_open(&w->core_wake) || wake_open(&w->store_wake) || wake_open(&w->front_wake))
		err_set_errno(info, "wake-ups between threads");
	if (info->code) {
		wires_close(w);
		return info->code;
	}
	for (uint32_t i = 0; i < JOURNAL_CHUNKS; i++) {
		struct journal_chunk *chunk = &w->chunks[i];

		(void)!ring_push(w->journal_back, &chunk);
	}
	return ERR_NONE;
}

void wires_close(struct wires *w)
{
	struct ring *const rings[] = {w->events, w->actions, w->records, w->results, w->journal,
		w->journal_back};
	struct wake *const wakes[] = {&w->core_wake, &w->store_wake, &w->front_wake};

	for (size_t i = 0; i < sizeof(rings) / sizeof(rings[0]); i++)
		if (rings[i])
			ring_close(rings[i]);
	for (size_t i = 0; i < sizeof(wakes) / sizeof(wakes[0]); i++)
		if (wakes[i]->fd >= 0)
			wake_close(wakes[i]);
	mem_free(w->chunks);
	memset(w, 0, sizeof(*w));
}
