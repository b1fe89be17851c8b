/* cmd/amount.h - money as people write it: units of the currency with up to nine
 * decimals (rules.md 17). */
#ifndef CMD_AMOUNT_H
#define CMD_AMOUNT_H

#include <stdbool.h>
#include <stdint.h>

#define AMOUNT_BYTES 32

/* [0-9]{1,9}(.[0-9]{1,9})? to nano-units; false for anything else. */
bool amount_parse(const char *text, int64_t *nano) __attribute__((warn_unused_result));
/* "-12.000000345". */
void amount_format(char out[AMOUNT_BYTES], int64_t nano);

#endif
