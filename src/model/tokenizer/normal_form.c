/* model/tokenizer/normal_form.c - see normal_form.h. utf8proc knows what decomposes and what
 * composes; its own way to put marks in order is quadratic in their number, so that is done
 * here. */
#include "model/tokenizer/normal_form.h"

#include <assert.h>
#include <string.h>
#include <utf8proc.h>

#include "model/tokenizer/unicode.h"

#define CODE_POINT_MAX 0x10FFFFu
#define DECOMPOSED_MAX 32   /* no character decomposes into more than 18 */
#define FEW_MARKS      24   /* up to so many are sorted by insertion */
#define CLASSES        256  /* of combining characters */

static bool is_compatible(enum normal_form form)
{
	return form == NORMAL_FORM_KC || form == NORMAL_FORM_KD;
}

static bool is_composed(enum normal_form form)
{
	return form == NORMAL_FORM_C || form == NORMAL_FORM_KC;
}

/* Below this every character is inert; its first byte tells. */
static unsigned char lead_byte_min(enum normal_form form)
{
	if (is_compatible(form))
		return 0xC2;                      /* U+0080; the first is U+00A0 */
	return form == NORMAL_FORM_C ? 0xCC : 0xC3;   /* U+0300; U+00C0 */
}

static bool is_hangul_syllable(uint32_t c)
{
	return c >= 0xAC00 && c <= 0xD7A3;
}

/* The later jamo, which join to what stands before. */
static bool is_hangul_part(uint32_t c)
{
	return (c >= 0x1161 && c <= 0x1175) || (c >= 0x11A8 && c <= 0x11C2);
}

/* A letter and marks in one character, which NFC would put together again. */
static bool is_composite(uint32_t c)
{
	const utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
	utf8proc_int32_t points[DECOMPOSED_MAX];
	int boundary = 0;
	utf8proc_ssize_t count = utf8proc_decompose_char(
		(utf8proc_int32_t)c, points, DECOMPOSED_MAX, options, &boundary);

	assert(count > 0 && count <= DECOMPOSED_MAX);
	count = utf8proc_normalize_utf32(points, count, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
	return count == 1 && points[0] == (utf8proc_int32_t)c;
}

/* True for what the form never changes and never joins to what stands before. */
static bool is_inert(enum normal_form form, uint32_t c)
{
	if (c > CODE_POINT_MAX)
		return true;
	if (is_composed(form) ? is_hangul_part(c) : is_hangul_syllable(c))
		return false;

	const utf8proc_property_t *property = utf8proc_get_property((utf8proc_int32_t)c);
	const bool decomposes = property->decomp_seqindex != UINT16_MAX &&
				(is_compatible(form) || property->decomp_type == 0);

	/* Everything that composes with what stands before is a mark, but for the jamo. */
	if (property->category >= UTF8PROC_CATEGORY_MN &&
		property->category <= UTF8PROC_CATEGORY_ME)
		return false;
	if (property->combining_class != 0)
		return false;
	return !decomposes || (form == NORMAL_FORM_C && is_composite(c));
}

/* How many bytes from the beginning are inert for sure. */
static size_t plain_size(enum normal_form form, const char *text, size_t size)
{
	const unsigned char lead_min = lead_byte_min(form);
	size_t at = 0;

	while (at < size && (unsigned char)text[at] < lead_min)
		at++;
	return at;
}

bool normal_form_holds(enum normal_form form, const char *text, size_t size)
{
	uint32_t c;

	for (size_t at = 0; at < size;) {
		at += plain_size(form, text + at, size - at);
		if (at == size)
			break;
		at += unicode_decode(text + at, size - at, &c);
		if (!is_inert(form, c))
			return false;
	}
	return true;
}

/* The last byte of a run of plain ones begins the segment of what follows. */
size_t normal_form_segment(enum normal_form form, const char *text, size_t size, bool *changes)
{
	uint32_t c;
	size_t at = plain_size(form, text, size);

	*changes = false;
	if (at == size)
		return size;
	if (at > 0) {
		size_t last = at - 1;

		while (last > 0 && at - last < 4 && ((unsigned char)text[last] & 0xC0) == 0x80)
			last--;
		if (last > 0)
			return last;
	}
	at = unicode_decode(text, size, &c);
	*changes = !is_inert(form, c);
	if (c == UNICODE_BROKEN)
		return at;
	while (at < size) {
		const size_t length = unicode_decode(text + at, size - at, &c);

		if (is_inert(form, c))
			break;
		*changes = true;
		at += length;
	}
	return at;
}

/* ---- one segment ----------------------------------------------------------------------------- */

static enum err reserve(struct normal_form_work *work, size_t count, struct err_info *info)
{
	const size_t capacity = 2 * count + 64;
	int32_t *grown;

	if (count <= work->capacity)
		return ERR_NONE;
	grown = arena_array(work->arena, capacity, sizeof(*grown));
	if (grown && work->capacity > 0)
		memcpy(grown, work->points, work->capacity * sizeof(*grown));
	work->points = grown;
	work->spare = arena_array(work->arena, capacity, sizeof(*work->spare));
	work->capacity = work->points && work->spare ? capacity : 0;
	if (work->capacity == 0)
		return err_set(info, ERR_LIMIT, "no room to normalise a text");
	return ERR_NONE;
}

static enum err decompose(struct normal_form_work *work, bool compatible, const char *segment,
	size_t size, size_t *count, struct err_info *info)
{
	const utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE |
					  (compatible ? UTF8PROC_COMPAT : 0);

	*count = 0;
	for (size_t at = 0; at < size;) {
		int boundary = 0;
		uint32_t c;

		at += unicode_decode(segment + at, size - at, &c);
		assert(c != UNICODE_BROKEN);
		if (reserve(work, *count + DECOMPOSED_MAX, info))
			return info->code;
		const utf8proc_ssize_t written = utf8proc_decompose_char((utf8proc_int32_t)c,
			work->points + *count, DECOMPOSED_MAX, options, &boundary);
		assert(written > 0 && written <= DECOMPOSED_MAX);
		*count += (size_t)written;
	}
	work->steps += *count;
	return ERR_NONE;
}

static unsigned class_of(int32_t point)
{
	return (unsigned)utf8proc_get_property(point)->combining_class & (CLASSES - 1);
}

static void sort_few(int32_t *marks, size_t count, uint64_t *steps)
{
	for (size_t i = 1; i < count; i++) {
		const int32_t mark = marks[i];
		const unsigned class = class_of(mark);
		size_t at = i;

		for (; at > 0 && class_of(marks[at - 1]) > class; at--)
			marks[at] = marks[at - 1];
		marks[at] = mark;
		*steps += i - at;
	}
}

/* Counts how many there are of each class, which tells where each goes. */
static void sort_many(int32_t *marks, size_t count, int32_t *spare, uint64_t *steps)
{
	size_t places[CLASSES + 1] = {0};

	for (size_t i = 0; i < count; i++)
		places[class_of(marks[i]) + 1]++;
	for (size_t class = 0; class < CLASSES; class++)
		places[class + 1] += places[class];
	for (size_t i = 0; i < count; i++)
		spare[places[class_of(marks[i])]++] = marks[i];
	memcpy(marks, spare, count * sizeof(*marks));
	*steps += 2 * count + CLASSES;
}

/* Marks that follow each other go by class, those of one class stay in order. */
static void order_marks(struct normal_form_work *work, size_t count)
{
	for (size_t begin = 0, end; begin < count; begin = end) {
		end = begin + 1;
		if (class_of(work->points[begin]) == 0)
			continue;
		while (end < count && class_of(work->points[end]) != 0)
			end++;
		if (end - begin <= FEW_MARKS)
			sort_few(work->points + begin, end - begin, &work->steps);
		else
			sort_many(work->points + begin, end - begin, work->spare, &work->steps);
	}
}

enum err normal_form_apply(struct normal_form_work *work, enum normal_form form,
	const char *segment, size_t size, const char **out, size_t *out_size,
	struct err_info *info)
{
	size_t count;

	if (decompose(work, is_compatible(form), segment, size, &count, info))
		return info->code;
	order_marks(work, count);
	if (is_composed(form)) {
		const utf8proc_ssize_t composed =
			utf8proc_normalize_utf32(work->points, (utf8proc_ssize_t)count,
				UTF8PROC_STABLE | UTF8PROC_COMPOSE);

		assert(composed > 0 && (size_t)composed <= count);
		count = (size_t)composed;
	}
	/* A character takes at most the four bytes of its code point. */
	char *bytes = (char *)work->spare;

	*out = bytes;
	*out_size = 0;
	for (size_t i = 0; i < count; i++)
		*out_size += unicode_encode((uint32_t)work->points[i], bytes + *out_size);
	return ERR_NONE;
}
