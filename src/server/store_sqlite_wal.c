/* server/store_sqlite_wal.c - see store_sqlite_wal.h. */
#include "server/store_sqlite_wal.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define WAL_HEADER_BYTES   32
#define FRAME_HEADER_BYTES 24

/* The header of the index, in the machine's own order. */
struct index_header {
	uint32_t version;
	uint32_t unused;
	uint32_t change;
	uint8_t is_init;
	uint8_t big_endian;
	uint16_t page_bytes;    /* 1: 65,536 */
	uint32_t frames;        /* committed ones in the log */
};

#define INDEX_VERSION 3007000

/* Nobody writes it now but who asks. */
static bool index_read(sqlite3 *db, struct index_header *out)
{
	char path[4096];
	const int length = snprintf(path, sizeof(path), "%s-shm", sqlite3_db_filename(db, "main"));
	const int fd = length < (int)sizeof(path) ? open(path, O_RDONLY | O_CLOEXEC) : -1;

	if (fd < 0)
		return false;
	const ssize_t size = pread(fd, out, sizeof(*out), 0);

	close(fd);
	return size == (ssize_t)sizeof(*out) && out->version == INDEX_VERSION && out->is_init;
}

void sqlite_wal_cut(sqlite3 *db)
{
	struct index_header index;
	sqlite3_file *wal = NULL;
	sqlite3_int64 size = 0;

	if (!index_read(db, &index) ||
		sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal) != SQLITE_OK ||
		!wal || !wal->pMethods)
		return;
	const sqlite3_int64 page_bytes = index.page_bytes == 1 ? 65536 : index.page_bytes;
	const sqlite3_int64 end =
		WAL_HEADER_BYTES + index.frames * (FRAME_HEADER_BYTES + page_bytes);

	if (wal->pMethods->xFileSize(wal, &size) == SQLITE_OK && size > end)
		(void)wal->pMethods->xTruncate(wal, end);
}

enum err sqlite_wal_in_place(sqlite3 *db, uint64_t *inode, struct err_info *info)
{
	struct stat status;
	const bool there =
		stat(sqlite3_filename_wal(sqlite3_db_filename(db, "main")), &status) == 0;

	if (there && (*inode == 0 || *inode == status.st_ino)) {
		*inode = status.st_ino;
		return ERR_NONE;
	}
	if (*inode == 0)
		return ERR_NONE;    /* SQLite makes it with the first commit */
	(void)sqlite3_wal_checkpoint_v2(db, "main", SQLITE_CHECKPOINT_FULL, NULL, NULL);
	return err_set(info, ERR_IO, "database: its log (-wal) was deleted or moved away while it "
		"was open: start the server anew");
}
