/* hub/digest.c - see digest.h. */
#include "hub/digest.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

enum err digest_init(struct digest *d, uint64_t size_bytes, struct err_info *info)
{
	char header[32];
	const int size = snprintf(header, sizeof(header), "blob %llu",
		(unsigned long long)size_bytes);

	*d = (struct digest){EVP_MD_CTX_new(), EVP_MD_CTX_new()};
	if (d->sha256 && d->git_sha1 && EVP_DigestInit_ex(d->sha256, EVP_sha256(), NULL) &&
		EVP_DigestInit_ex(d->git_sha1, EVP_sha1(), NULL) &&
		EVP_DigestUpdate(d->git_sha1, header, (size_t)size + 1))
		return ERR_NONE;
	digest_close(d);
	return err_set(info, ERR_MEMORY, "no memory for a hash");
}

void digest_add(struct digest *d, const void *bytes, size_t size)
{
	/* after a successful start the updates of these two only compute */
	const int good = EVP_DigestUpdate(d->sha256, bytes, size) &&
		EVP_DigestUpdate(d->git_sha1, bytes, size);

	assert(good);
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
	end_one(d->git_sha1, git_sha1);
	digest_close(d);
}

void digest_close(struct digest *d)
{
	EVP_MD_CTX_free(d->sha256);
	EVP_MD_CTX_free(d->git_sha1);
	*d = (struct digest){0};
}
