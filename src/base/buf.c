/* base/buf.c - see buf.h. */
#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/math.h"
#include "base/mem.h"

#define CAPACITY_FIRST 64

void buf_init(struct buf *b, size_t size_max)
{
	assert(size_max < SIZE_MAX / 4);  /* doubling and the terminator never overflow */
	*b = (struct buf){.size_max = size_max};
}

/* And the terminator. */
bool buf_reserve(struct buf *b, size_t size)
{
	assert(b->size <= b->size_max);
	if (b->failed || size > b->size_max - b->size)
		goto fail;
	const size_t need = b->size + size + 1;
	if (need <= b->capacity)
		return true;
	size_t capacity = b->capacity ? b->capacity : CAPACITY_FIRST;
	while (capacity < need)
		capacity *= 2;
	if (capacity > b->size_max + 1)
		capacity = b->size_max + 1;
	char *data = mem_resize(b->data, capacity, 1);
	if (!data)
		goto fail;
	b->data = data;
	b->capacity = capacity;
	return true;
fail:
	b->failed = true;
	return false;
}

void buf_add(struct buf *b, const void *bytes, size_t size)
{
	if (!buf_reserve(b, size))
		return;
	if (size)
		memcpy(b->data + b->size, bytes, size);
	b->size += size;
	b->data[b->size] = '\0';
}

void buf_add_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_add_char(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_printf(struct buf *b, const char *format, ...)
{
	va_list arguments;
	va_list again;

	va_start(arguments, format);
	va_copy(again, arguments);
	const int length = vsnprintf(NULL, 0, format, arguments);
	if (length < 0)
		b->failed = true;
	else if (buf_reserve(b, (size_t)length)) {
		(void)vsnprintf(b->data + b->size, (size_t)length + 1, format, again);
		b->size += (size_t)length;
	}
	va_end(again);
	va_end(arguments);
}

void buf_consume(struct buf *b, size_t size)
{
	assert(size <= b->size);
	if (size == 0)
		return;
	b->size -= size;
	memmove(b->data, b->data + size, b->size + 1);
}

void buf_clear(struct buf *b)
{
	b->size = 0;
	b->failed = false;
	if (b->data)
		b->data[0] = '\0';
}

void buf_shrink(struct buf *b, size_t capacity_kept)
{
	if (b->size == 0 && b->capacity > capacity_kept)
		buf_free(b);
}

void buf_wipe(struct buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->capacity);
	buf_clear(b);
}

void buf_free(struct buf *b)
{
	mem_free(b->data);
	*b = (struct buf){.size_max = b->size_max};
}
