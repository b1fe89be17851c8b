/* base/fault.h - makes the n-th call of something fail: how tests reach the paths that a full
 * disk or an empty heap would take. Each module that can fail owns one countdown and asks it
 * before the real call.
 *
 *	static struct fault fault;
 *	if (fault_hits(&fault))
 *		return NULL;
 *
 * Thread-safe. Off, it costs one relaxed load.
 */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct fault {
	_Atomic int64_t remaining;  /* 0 off; n > 0: the n-th call from now fails; -1
				     * every call fails */
	_Atomic bool sticky;        /* after the n-th call every later one fails too */
};

/* n = 1 is the next call; 0 turns it off. */
static inline void fault_arm(struct fault *f, int64_t n, bool sticky)
{
	atomic_store(&f->sticky, sticky);
	atomic_store(&f->remaining, n);
}

/* Counts one call and says whether it must fail. */
static inline bool fault_hits(struct fault *f)
{
	int64_t remaining = atomic_load_explicit(&f->remaining, memory_order_relaxed);

	while (remaining > 0) {
		const int64_t last = atomic_load(&f->sticky) ? -1 : 0;

		if (atomic_compare_exchange_weak(&f->remaining, &remaining, remaining > 1
			? remaining - 1 : last))
			return remaining == 1;
	}
	return remaining < 0;
}

#endif
