/* cmd/amount.c - see amount.h. */
#include "cmd/amount.h"

#include <stdio.h>

#define AMOUNT_DIGITS_MAX 9

bool amount_parse(const char *text, int64_t *nano)
{
	int64_t value = 0, scale = 100000000;
	int digits = 0;

	for (; *text >= '0' && *text <= '9' && digits <= AMOUNT_DIGITS_MAX; text++, digits++)
		value = value * 10 + (*text - '0');
	if (digits == 0 || digits > AMOUNT_DIGITS_MAX)
		return false;
	value *= 1000000000;
	if (*text == '.') {
		text++;
		for (digits = 0; *text >= '0' && *text <= '9' && digits <= AMOUNT_DIGITS_MAX;
			text++, digits++) {
			value += scale * (*text - '0');
			scale /= 10;
		}
		if (digits == 0 || digits > AMOUNT_DIGITS_MAX)
			return false;
	}
	if (*text != '\0')
		return false;
	*nano = value;
	return true;
}

void amount_format(char out[AMOUNT_BYTES], int64_t nano)
{
	const uint64_t size = nano < 0 ? 0 - (uint64_t)nano : (uint64_t)nano;

	snprintf(out, AMOUNT_BYTES, "%s%llu.%09llu", nano < 0 ? "-" : "",
		(unsigned long long)(size / 1000000000), (unsigned long long)(size % 1000000000));
}
