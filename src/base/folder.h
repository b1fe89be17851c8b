/* base/folder.h - whole folders: listed, removed; files that are shared or copied between them. */
#ifndef BASE_FOLDER_H
#define BASE_FOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

#define FOLDER_DEPTH_MAX 16   /* of folders in each other, when one is removed */

struct folder_names {
	const char **names;   /* sorted; without "." and ".." */
	uint32_t count;
};

/* The names in a folder, from memory; a folder that is not there is empty. At most names_max. */
enum err folder_list(struct folder_names *out, struct arena *memory, const char *path,
	uint32_t names_max, struct err_info *info) MUST_CHECK;

/* Removes a folder with all that is in it, or a file; links are removed, not followed. What is not
 * there is no error. */
enum err folder_remove(const char *path, struct err_info *info) MUST_CHECK;

/* The file from also under the name to: the same file where the file system can, a synced copy
 * otherwise (which shares its blocks where it can). to must not exist. */
enum err folder_share_file(const char *from, const char *to, struct err_info *info) MUST_CHECK;

/* Bytes that may still be written below a folder. */
enum err folder_free_space(const char *path, uint64_t *bytes, struct err_info *info) MUST_CHECK;

#endif
