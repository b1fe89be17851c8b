/* base/ring.h - small messages from one thread to another, in order, without a lock.
 *
 * Single producer, single consumer, bounded. Messages have one fixed size and are copied. The
 * consumer sleeps on a wake (an eventfd), which many rings may share; it drains all its
 * rings, then waits.
 *
 *	producer --> [ | | | |m|m|m| | ] --> consumer
 *	                  ^head   ^tail
 */
#ifndef BASE_RING_H
#define BASE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring;

/* capacity is a power of two; NULL if memory cannot be had. */
struct ring *ring_open(uint32_t capacity, size_t message_bytes);
/* When neither side uses it any more. NULL is legal. */
void ring_close(struct ring *r);

/* Copies one message in; false when full. Producer only. */
bool ring_push(struct ring *r, const void *message);
/* Copies one message out; false when empty. Consumer only. */
bool ring_pop(struct ring *r, void *message);
/* As seen by the caller: a producer may rely on room, a consumer on count. */
uint32_t ring_room(const struct ring *r);
uint32_t ring_count(const struct ring *r);

/* A wake-up that is never lost: wake_set before or during wake_wait makes it return. */
struct wake {
	int fd;               /* eventfd, for poll loops (libuv) */
	_Atomic uint32_t set; /* avoids the system call when already set */
};

int wake_open(struct wake *w);   /* 0, or -1 with errno */
void wake_close(struct wake *w);
void wake_set(struct wake *w);
/* Clears it and says whether it was set; does not wait. */
bool wake_take(struct wake *w);
/* Waits until set, or timeout_ns has passed (negative: for ever); clears it; true if it was set. */
bool wake_wait(struct wake *w, int64_t timeout_ns);

#endif
