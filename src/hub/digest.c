/* hub/digest.c - see digest.h. */
#include "hub/digest.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"

#define PIECE_BYTES ((size_t)1 << 20)

static void *start(const EVP_MD *algorithm)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();

	if (context && EVP_DigestInit_ex(context, algorithm, NULL))
		return context;
	EVP_MD_CTX_free(context);
	return NULL;
}

/* After a successful start the updates of these two only compute. */
static void update(void *context, const void *bytes, size_t size)
{
	const int good = EVP_DigestUpdate(context, bytes, size);

	assert(good);
}

enum err digest_init(struct digest *d, uint64_t size_bytes, bool git, struct err_info *info)
{
	char header[32];
	const int size = snprintf(header, sizeof(header), "blob %llu",
		(unsigned long long)size_bytes);

	*d = (struct digest){start(EVP_sha256()), git ? start(EVP_sha1()) : NULL};
	if (!d->sha256 || (git && !d->git_sha1)) {
		digest_close(d);
		return err_set(info, ERR_MEMORY, "no memory for a hash");
	}
	if (git)
		update(d->git_sha1, header, (size_t)size + 1);
	return ERR_NONE;
}

void digest_add(struct digest *d, const void *bytes, size_t size)
{
	update(d->sha256, bytes, size);
	if (d->git_sha1)
		update(d->git_sha1, bytes, size);
}

static void end_one(void *context, char *out)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char bytes[EVP_MAX_MD_SIZE];
	unsigned size = 0;
	const int good = EVP_DigestFinal_ex(context, bytes, &size);

	assert(good);
	for (unsigned i = 0; i < size; i++) {
		*out++ = digits[bytes[i] >> 4];
		*out++ = digits[bytes[i] & 15];
	}
	*out = '\0';
}

void digest_end(struct digest *d, char sha256[HUB_SHA256_BYTES], char git_sha1[HUB_SHA1_BYTES])
{
	end_one(d->sha256, sha256);
	git_sha1[0] = '\0';
	if (d->git_sha1)
		end_one(d->git_sha1, git_sha1);
	digest_close(d);
}

void digest_close(struct digest *d)
{
	EVP_MD_CTX_free(d->sha256);
	EVP_MD_CTX_free(d->git_sha1);
	*d = (struct digest){0};
}

enum err digest_file(struct manifest_file *out, const char *path, struct err_info *info)
{
	struct file_map map;
	struct digest d;

	if (file_map_open(&map, path, info))
		return info->code;
	if (!digest_init(&d, map.size, false, info)) {
		for (size_t at = 0; at < map.size; at += PIECE_BYTES)
			digest_add(&d, map.data + at, map.size - at < PIECE_BYTES
				? map.size - at : PIECE_BYTES);
		digest_end(&d, out->sha256, out->git_sha1);
		out->size_bytes = map.size;
	}
	file_map_close(&map);
	return info->code;
}
