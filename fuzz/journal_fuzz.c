/* fuzz/journal_fuzz.c - any bytes are safe to read as a journal; what is read is written the same.
 *
 * The input is a payload: it gets a header that is right, or no change would get past the checksum.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/hash.h"
#include "cloud/journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void seal(uint8_t *record, const uint8_t *payload, size_t size)
{
	const uint32_t sum = (uint32_t)hash_bytes(payload, size, JOURNAL_CHECKSUM_SEED);

	memcpy(record + JOURNAL_HEADER_BYTES, payload, size);
	for (int i = 0; i < 2; i++)
		record[i] = (uint8_t)(size >> (8 * i));
	for (int i = 0; i < 4; i++)
		record[2 + i] = (uint8_t)(sum >> (8 * i));
}

static void read_and_write(const uint8_t *bytes, size_t size)
{
	static struct journal_entry entry;
	static uint8_t again[JOURNAL_RECORD_BYTES_MAX];
	size_t used;

	if (journal_decode(&entry, bytes, size, &used) != JOURNAL_ENTRY)
		return;
	if (entry.event.kind == CORE_BATCH_DONE)
		return;     /* its batch is not the event's own */
	const size_t written = entry.event.kind == CORE_EVENT_KINDS
		? journal_encode_carried(again, &entry.carried)
		: journal_encode(again, &entry.event);

	assert(written == used && memcmp(again, bytes, used) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static uint8_t record[JOURNAL_RECORD_BYTES_MAX];

	read_and_write(bytes, size);
	if (size <= sizeof(record) - JOURNAL_HEADER_BYTES) {
		seal(record, bytes, size);
		read_and_write(record, size + JOURNAL_HEADER_BYTES);
	}
	return 0;
}
