/* base/err.h - operating errors: what went wrong, where, and what to do about it.
 *
 * A function that can fail for a reason outside the program returns enum err and fills the caller's
 * struct err_info; the text is printed only in cmd/ and answered only in server/. A broken
 * invariant of our own is not an error: it asserts, also in release. info is never NULL: who does
 * not want the text has one all the same, and calls it ignored. It comes in zeroed, or zeroed again
 * after an error that was dealt with; success leaves it as it is, so a function may end with
 * "return info->code".
 *
 *	struct err_info info = {0};
 *	if (file_map_open(&map, path, &info))
 *		return info.code;	// info.text: "weights.gguf: no such file"
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#define ERR_TEXT_MAX 512

/* Results may not be ignored. */
#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_at, first_at) __attribute__((format(printf, format_at, first_at)))

enum err {
	ERR_NONE = 0,
	ERR_INPUT,        /* malformed bytes from outside: the text names file, place and reason */
	ERR_UNSUPPORTED,  /* well-formed, but nothing here can do it */
	ERR_LIMIT,        /* a named limit is exceeded */
	ERR_NOT_FOUND,
	ERR_EXISTS,
	ERR_DENIED,
	ERR_BUSY,         /* held by another process */
	ERR_IO,           /* disk, socket, peer */
	ERR_MEMORY,
	ERR_CANCELLED,    /* given up by who wanted it */
};

struct err_info {
	enum err code;
	/* always terminated, one line: controls become '?'; long texts are cut */
	char text[ERR_TEXT_MAX];
};

/* Sets code and text (printf) and returns code, so that "return err_set(...)" reads well. */
enum err err_set(struct err_info *info, enum err code, const char *format, ...) PRINTF_LIKE(3, 4);

/* The same with ": <strerror(errno)>" appended; code ERR_IO, or NOT_FOUND, DENIED, EXISTS,
 * MEMORY by errno. */
enum err err_set_errno(struct err_info *info, const char *format, ...) PRINTF_LIKE(2, 3);

/* Puts "prefix: " before the text that is there: each level adds where it was. Returns info->code;
 * an error must be there. */
enum err err_prefix(struct err_info *info, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
