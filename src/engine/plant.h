/* engine/plant.h - mistakes that a test can plant in the pure code, to see that the checks find
 * them.
 *
 * Only in the test build (-DCORE_PLANT_BUGS, tests/fleet); elsewhere PLANTED is the constant 0 and
 * the compiler removes the branch.
 */
#ifndef ENGINE_PLANT_H
#define ENGINE_PLANT_H

enum plant {
	PLANT_NOTHING,
	PLANT_LEAKED_PAGE,          /* a sequence that ends keeps its last page */
	PLANT_PAGE_REUSED,          /* pages are given back while a batch in flight names them */
	PLANT_LOST_CANCEL,          /* a cancel of a queued request is forgotten */
	PLANT_DOUBLE_SETTLE,        /* a cancelled request is settled twice */
	PLANT_HOLD_KEPT,            /* the part of a hold that was not used stays held */
	PLANT_GROWTH_WITHOUT_HOLD,  /* the answer may grow, the money for it is not held */
	PLANT_CANCEL_CHARGED,       /* a cancelled answer is charged by what was sampled */
	PLANT_FAILURE_CHARGED,      /* the front could not go on, and the client pays for it */
	PLANT_DELIVERED_AFTER_END,  /* tokens of a sequence that was cancelled are delivered */
	PLANT_PAUSED_HOLDS,         /* a paused sequence keeps what others wait for */
	PLANT_CHARGED_BEYOND_HOLD,  /* one more than was held is: an assertion stops it, no check */
	PLANT_BUGS
};

#ifdef CORE_PLANT_BUGS
extern enum plant plant_bug;
#define PLANTED(bug) (plant_bug == (bug))
#else
#define PLANTED(bug) 0
#endif

#endif
