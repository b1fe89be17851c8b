/* tests/server/vfs_lossy.h - a file system under SQLite that loses every write that was not synced
 * when the process is killed: what loss of power does to a database, without a power switch.
 *
 *	write --> image in memory --xSync--> file          kill -9 leaves only the file
 */
#ifndef TESTS_SERVER_VFS_LOSSY_H
#define TESTS_SERVER_VFS_LOSSY_H

#include <stdbool.h>

#define VFS_LOSSY_NAME "lossy"

/* Registers it as the process's default too, so that every connection sees the same images. */
void vfs_lossy_register(void);
/* Then only syncs are lost: as after kill -9, where the system keeps what was written. */
void vfs_lossy_write_through(bool on);
/* The n-th sync from now on fails, and each one after it until 0 is set. */
void vfs_lossy_fail_syncs(int after);

#endif
