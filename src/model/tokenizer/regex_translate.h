/* model/tokenizer/regex_translate.h - the regular expressions of tokenizer.json in PCRE2's
 * words. Private to regex.
 *
 * Files are written for Oniguruma in its Ruby syntax, which Hugging Face tokenizers uses. The two
 * agree on most of what is written there and disagree on some with a straight face: (?m) and \h are
 * other things, \s and \w other sets, {2}+ another repeat. So every construct is read, and written
 * anew so that PCRE2 without UCP means the same; what is not known to mean the same is refused.
 */
#ifndef MODEL_TOKENIZER_REGEX_TRANSLATE_H
#define MODEL_TOKENIZER_REGEX_TRANSLATE_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

#define REGEX_PATTERN_BYTES_MAX ((size_t)16384)

/* Appends to out. ERR_UNSUPPORTED names the construct and its place. For PCRE2_UTF and
 * PCRE2_MULTILINE, with line feed as the newline. */
enum err regex_translate(const char *pattern, size_t size, struct buf *out, struct err_info *info)
	MUST_CHECK;

/* How many bytes of a pattern an error shows: whole characters. */
size_t regex_shown(const char *pattern, size_t size);

#endif
