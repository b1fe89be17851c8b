/* base/ring.c - see ring.h. Each side owns one counter and keeps a copy of the other's, which it
 * reads anew only when the copy says full or empty: an undisturbed side touches no cache line of
 * the other. The counters run freely through 2^32; their difference is the count. */
#include "base/ring.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define CACHE_LINE_BYTES 64

struct ring {
	uint32_t capacity;
	size_t message_bytes;
	uint8_t *messages;  /* [capacity, message_bytes] */

	_Alignas(CACHE_LINE_BYTES) _Atomic uint32_t tail;  /* written by the producer */
	uint32_t head_seen;

	_Alignas(CACHE_LINE_BYTES) _Atomic uint32_t head;  /* written by the consumer */
	uint32_t tail_seen;
};

struct ring *ring_open(uint32_t capacity, size_t message_bytes)
{
	assert(capacity > 0 && (capacity & (capacity - 1)) == 0);
	assert(message_bytes > 0);
	struct ring *r = mem_alloc_aligned(1, sizeof(*r), CACHE_LINE_BYTES);
	if (!r)
		return NULL;
	r->capacity = capacity;
	r->message_bytes = message_bytes;
	r->messages = mem_alloc_aligned(capacity, message_bytes, CACHE_LINE_BYTES);
	if (!r->messages) {
		mem_free(r);
		return NULL;
	}
	return r;
}

void ring_close(struct ring *r)
{
	if (!r)
		return;
	mem_free(r->messages);
	mem_free(r);
}

static uint8_t *place_of(const struct ring *r, uint32_t counter)
{
	return r->messages + (size_t)(counter & (r->capacity - 1)) * r->message_bytes;
}

bool ring_push(struct ring *r, const void *message)
{
	const uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);

	if (tail - r->head_seen == r->capacity) {
		r->head_seen = atomic_load_explicit(&r->head, memory_order_acquire);
		if (tail - r->head_seen == r->capacity)
			return false;
	}
	assert(tail - r->head_seen < r->capacity);
	memcpy(place_of(r, tail), message, r->message_bytes);
	atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
	return true;
}

bool ring_pop(struct ring *r, void *message)
{
	const uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);

	if (head == r->tail_seen) {
		r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
		if (head == r->tail_seen)
			return false;
	}
	assert(r->tail_seen - head <= r->capacity);
	memcpy(message, place_of(r, head), r->message_bytes);
	atomic_store_explicit(&r->head, head + 1, memory_order_release);
	return true;
}

/* The own counter is exact and the other's only ever moves in the caller's favour. */
uint32_t ring_count(const struct ring *r)
{
	const uint32_t head = atomic_load_explicit(&r->head, memory_order_acquire);
	const uint32_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);

	return tail - head;
}

uint32_t ring_room(const struct ring *r)
{
	return r->capacity - ring_count(r);
}

int wake_open(struct wake *w)
{
	atomic_init(&w->set, 0);
	w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return w->fd < 0 ? -1 : 0;
}

void wake_close(struct wake *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}

/* Kept at every moment: while set is 1, the eventfd is readable, or a wake_set is about to
 * make it so, or the consumer is inside wake_take and about to clear set. So a poll on the
 * eventfd misses nothing. */
void wake_set(struct wake *w)
{
	const uint64_t one = 1;

	if (atomic_exchange(&w->set, 1))
		return;
	ssize_t put;
	do
		put = write(w->fd, &one, sizeof(one));
	while (put < 0 && errno == EINTR);
	assert(put == sizeof(one));
}

/* First the eventfd, then the flag: the other way round could drain the write of a wake_set in
 * between and leave the flag set over an eventfd that nothing makes readable any more. */
bool wake_take(struct wake *w)
{
	uint64_t count;
	ssize_t got;

	do
		got = read(w->fd, &count, sizeof(count));
	while (got < 0 && errno == EINTR);
	assert(got == sizeof(count) || errno == EAGAIN);
	return atomic_exchange(&w->set, 0) != 0;
}

bool wake_wait(struct wake *w, int64_t timeout_ns)
{
	const int64_t deadline_ns = timeout_ns > 0 ? clock_monotonic_ns() + timeout_ns : 0;

	while (!wake_take(w)) {
		const int64_t left_ns = timeout_ns > 0 ? deadline_ns - clock_monotonic_ns()
			: timeout_ns;
		const struct timespec left = {
			.tv_sec = (time_t)(left_ns / NS_PER_S),
			.tv_nsec = (long)(left_ns % NS_PER_S),
		};
		struct pollfd poll_fd = {.fd = w->fd, .events = POLLIN};

		if (timeout_ns >= 0 && left_ns <= 0)
			return false;
		const int ready = ppoll(&poll_fd, 1, timeout_ns < 0 ? NULL : &left, NULL);
		assert(ready >= 0 || errno == EINTR);
	}
	return true;
}
