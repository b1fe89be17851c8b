/* hub/path.h - whether a path that a hub lists may become a file of ours.
 *
 * A hub names files, and names are turned into paths below a folder of the store: nothing that
 * leaves it, nothing that is another file on another system, nothing that a terminal obeys.
 */
#ifndef HUB_PATH_H
#define HUB_PATH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define HUB_PATH_BYTES  512   /* of a path inside a repository, terminated */
#define HUB_DEPTH_MAX   8     /* folders in each other */

/* ERR_INPUT names the path and what is wrong with it. Relative, parts separated by one slash,
 * none of them "." or "..", no backslash, no control character, UTF-8. */
enum err hub_path_check(const char *path, size_t size, struct err_info *info) MUST_CHECK;

/* True when both would be one file where upper and lower case are the same (ASCII), or one would
 * have to be a folder and a file. */
bool hub_path_clash(const char *a, const char *b);
/* For sorting, as strcmp: of sorted paths, one that clashes with any clashes with its neighbour. */
int hub_path_order(const char *a, const char *b);

#endif
