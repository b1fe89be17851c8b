/* hub/digest.h - the two hashes that hubs give: SHA-256 of a file, and SHA-1 of a git blob, which
 * is "blob SIZE" and a zero byte before the bytes of a file. */
#ifndef HUB_DIGEST_H
#define HUB_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "hub/manifest.h"

struct digest {
	void *sha256;   /* of libcrypto */
	void *git_sha1; /* NULL: not wanted */
};

/* Of a file of size_bytes. */
enum err digest_init(struct digest *d, uint64_t size_bytes, bool git, struct err_info *info)
	MUST_CHECK;
void digest_add(struct digest *d, const void *bytes, size_t size);
/* In hexadecimal, git_sha1 is "" when it was not wanted; the digest is closed. */
void digest_end(struct digest *d, char sha256[HUB_SHA256_BYTES], char git_sha1[HUB_SHA1_BYTES]);
/* Size and SHA-256 of the file that is at path. */
enum err digest_file(struct manifest_file *out, const char *path, struct err_info *info)
	MUST_CHECK;
/* A zeroed one may be closed. */
void digest_close(struct digest *d);

#endif
