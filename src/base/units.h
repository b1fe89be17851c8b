/* base/units.h - how many of one unit make another; for pure code too, which reads no clock. */
#ifndef BASE_UNITS_H
#define BASE_UNITS_H

#include <stdint.h>

#define NS_PER_S ((int64_t)1000000000)

#endif
