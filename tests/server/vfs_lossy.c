/* tests/server/vfs_lossy.c - see vfs_lossy.h. Locks and the shared memory of the log's index are
 * the system's own. */
#include "vfs_lossy.h"

#include <assert.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define IMAGES_MAX 16
#define PATH_BYTES 4096
/* the system's file system takes no more at once than a page can have */
#define SLICE      65536

/* What the process sees of one file; shared by its connections. */
struct image {
	char path[PATH_BYTES];
	unsigned users;
	unsigned char *bytes;
	sqlite3_int64 size, capacity;
	sqlite3_int64 dirty_from, dirty_to;     /* not yet in the file */
	bool shrunk;
};

struct lossy_file {
	sqlite3_file base;          /* first */
	struct image *image;        /* NULL: a kind of file that is not kept back */
	sqlite3_file *real;         /* behind this struct */
};

static struct image images[IMAGES_MAX];
static pthread_mutex_t images_lock = PTHREAD_MUTEX_INITIALIZER;
static sqlite3_vfs *real_vfs;
static atomic_int syncs_left;   /* 0: never fails; 1: fails */
static atomic_bool through;     /* writes are in the file at once */

void vfs_lossy_fail_syncs(int after)
{
	atomic_store(&syncs_left, after);
}

void vfs_lossy_write_through(bool on)
{
	atomic_store(&through, on);
}

static struct lossy_file *of(sqlite3_file *file)
{
	return (struct lossy_file *)file;
}

static sqlite3_file *real_of(sqlite3_file *file)
{
	return of(file)->real;
}

static bool image_reserve(struct image *image, sqlite3_int64 size)
{
	if (size <= image->capacity)
		return true;
	const sqlite3_int64 wanted = size * 2;
	unsigned char *more = realloc(image->bytes, (size_t)wanted);

	if (!more)
		return false;
	image->bytes = more;
	image->capacity = wanted;
	return true;
}

static void image_grow(struct image *image, sqlite3_int64 size)
{
	if (size > image->size) {
		memset(image->bytes + image->size, 0, (size_t)(size - image->size));
		image->size = size;
	}
}

static void image_dirty(struct image *image, sqlite3_int64 from, sqlite3_int64 to)
{
	if (image->dirty_from == image->dirty_to) {
		image->dirty_from = from;
		image->dirty_to = to;
		return;
	}
	image->dirty_from = from < image->dirty_from ? from : image->dirty_from;
	image->dirty_to = to > image->dirty_to ? to : image->dirty_to;
}

static int image_load(struct image *image, sqlite3_file *real)
{
	sqlite3_int64 size;
	const int status = real->pMethods->xFileSize(real, &size);

	if (status != SQLITE_OK)
		return status;
	if (!image_reserve(image, size + 1))
		return SQLITE_NOMEM;
	image->size = size;
	int status_read = SQLITE_OK;
	for (sqlite3_int64 at = 0; at < size && status_read == SQLITE_OK; at += SLICE)
		status_read = real->pMethods->xRead(real, image->bytes + at,
			(int)(size - at < SLICE ? size - at : SLICE), at);
	return status_read;
}

static int image_open(struct image **out, const char *path, sqlite3_file *real)
{
	struct image *image = NULL;
	int status = SQLITE_OK;

	pthread_mutex_lock(&images_lock);
	for (int i = 0; i < IMAGES_MAX; i++)
		if (images[i].users > 0 && strcmp(images[i].path, path) == 0)
			image = &images[i];
	for (int i = 0; i < IMAGES_MAX && !image; i++)
		if (images[i].users == 0) {
			image = &images[i];
			assert(strlen(path) < PATH_BYTES);
			strcpy(image->path, path);
			status = image_load(image, real);
		}
	assert(image);
	if (status == SQLITE_OK)
		image->users++;
	pthread_mutex_unlock(&images_lock);
	*out = image;
	return status;
}

/* ---- a file ---------------------------------------------------------------------------------- */

/* The last connection that closes takes its unsynced writes with it. */
static int lossy_close(sqlite3_file *file)
{
	struct image *image = of(file)->image;

	if (image) {
		pthread_mutex_lock(&images_lock);
		if (--image->users == 0) {
			free(image->bytes);
			memset(image, 0, sizeof(*image));
		}
		pthread_mutex_unlock(&images_lock);
	}
	return real_of(file)->pMethods->xClose(real_of(file));
}

static int lossy_read(sqlite3_file *file, void *out, int size, sqlite3_int64 at)
{
	struct image *image = of(file)->image;
	int status = SQLITE_OK;

	if (!image)
		return real_of(file)->pMethods->xRead(real_of(file), out, size, at);
	pthread_mutex_lock(&images_lock);
	const sqlite3_int64 there = at >= image->size ? 0 : image->size - at;
	const sqlite3_int64 taken = there < size ? there : size;
	if (taken > 0)
		memcpy(out, image->bytes + at, (size_t)taken);
	if (taken < size) {
		memset((char *)out + taken, 0, (size_t)(size - taken));
		status = SQLITE_IOERR_SHORT_READ;
	}
	pthread_mutex_unlock(&images_lock);
	return status;
}

static int lossy_write(sqlite3_file *file, const void *bytes, int size, sqlite3_int64 at)
{
	struct image *image = of(file)->image;
	int status = SQLITE_NOMEM;

	if (!image)
		return real_of(file)->pMethods->xWrite(real_of(file), bytes, size, at);
	pthread_mutex_lock(&images_lock);
	if (image_reserve(image, at + size)) {
		image_grow(image, at + size);
		memcpy(image->bytes + at, bytes, (size_t)size);
		image_dirty(image, at, at + size);
		status = !atomic_load(&through) ? SQLITE_OK
			: real_of(file)->pMethods->xWrite(real_of(file), bytes, size, at);
	}
	pthread_mutex_unlock(&images_lock);
	return status;
}

static int lossy_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	struct image *image = of(file)->image;

	if (!image)
		return real_of(file)->pMethods->xTruncate(real_of(file), size);
	pthread_mutex_lock(&images_lock);
	if (size < image->size)
		image->size = size;
	image->shrunk = true;
	const int status = !atomic_load(&through) ? SQLITE_OK
		: real_of(file)->pMethods->xTruncate(real_of(file), size);
	if (image->dirty_to > size)
		image->dirty_to = size;
	if (image->dirty_from > image->dirty_to)
		image->dirty_from = image->dirty_to;
	pthread_mutex_unlock(&images_lock);
	return status;
}

static int image_sync(struct image *image, sqlite3_file *real)
{
	int status = SQLITE_OK;

	if (image->shrunk)
		status = real->pMethods->xTruncate(real, image->size);
	for (sqlite3_int64 at = image->dirty_from; at < image->dirty_to && status == SQLITE_OK;
		at += SLICE) {
		const sqlite3_int64 left = image->dirty_to - at;

		status = real->pMethods->xWrite(real, image->bytes + at,
			(int)(left < SLICE ? left : SLICE), at);
	}
	if (status == SQLITE_OK) {
		image->dirty_from = image->dirty_to = 0;
		image->shrunk = false;
	}
	return status;
}

static bool sync_fails(void)
{
	int left = atomic_load(&syncs_left);

	if (left > 1)
		left = atomic_fetch_sub(&syncs_left, 1) - 1;
	return left == 1;
}

static int lossy_sync(sqlite3_file *file, int flags)
{
	struct image *image = of(file)->image;

	if (sync_fails())
		return SQLITE_IOERR_FSYNC;
	if (!image)
		return real_of(file)->pMethods->xSync(real_of(file), flags);
	pthread_mutex_lock(&images_lock);
	const int status = image_sync(image, real_of(file));
	pthread_mutex_unlock(&images_lock);
	return status;
}

static int lossy_size(sqlite3_file *file, sqlite3_int64 *out)
{
	struct image *image = of(file)->image;

	if (!image)
		return real_of(file)->pMethods->xFileSize(real_of(file), out);
	pthread_mutex_lock(&images_lock);
	*out = image->size;
	pthread_mutex_unlock(&images_lock);
	return SQLITE_OK;
}

static int lossy_lock(sqlite3_file *file, int level)
{
	return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int lossy_unlock(sqlite3_file *file, int level)
{
	return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int lossy_reserved(sqlite3_file *file, int *out)
{
	return real_of(file)->pMethods->xCheckReservedLock(real_of(file), out);
}

static int lossy_control(sqlite3_file *file, int op, void *argument)
{
	if (op == SQLITE_FCNTL_SIZE_HINT || op == SQLITE_FCNTL_CHUNK_SIZE)
		return SQLITE_OK;  /* would touch the file */
	return real_of(file)->pMethods->xFileControl(real_of(file), op, argument);
}

static int lossy_sector(sqlite3_file *file)
{
	(void)file;
	return 4096;
}

static int lossy_characteristics(sqlite3_file *file)
{
	(void)file;
	return 0;  /* promises nothing */
}

static int lossy_shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **out)
{
	return real_of(file)->pMethods->xShmMap(real_of(file), region, size, extend, out);
}

static int lossy_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
	return real_of(file)->pMethods->xShmLock(real_of(file), offset, n, flags);
}

static void lossy_shm_barrier(sqlite3_file *file)
{
	real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int lossy_shm_unmap(sqlite3_file *file, int delete)
{
	return real_of(file)->pMethods->xShmUnmap(real_of(file), delete);
}

static const sqlite3_io_methods METHODS = {
	.iVersion = 2,
	.xClose = lossy_close,
	.xRead = lossy_read,
	.xWrite = lossy_write,
	.xTruncate = lossy_truncate,
	.xSync = lossy_sync,
	.xFileSize = lossy_size,
	.xLock = lossy_lock,
	.xUnlock = lossy_unlock,
	.xCheckReservedLock = lossy_reserved,
	.xFileControl = lossy_control,
	.xSectorSize = lossy_sector,
	.xDeviceCharacteristics = lossy_characteristics,
	.xShmMap = lossy_shm_map,
	.xShmLock = lossy_shm_lock,
	.xShmBarrier = lossy_shm_barrier,
	.xShmUnmap = lossy_shm_unmap,
};

/* ---- the file system ------------------------------------------------------------------------- */

static int lossy_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags,
	int *flags_out)
{
	struct lossy_file *lossy = of(file);
	int status;

	(void)vfs;
	memset(lossy, 0, sizeof(*lossy));
	lossy->real = (sqlite3_file *)(lossy + 1);
	status = real_vfs->xOpen(real_vfs, path, lossy->real, flags, flags_out);
	if (status != SQLITE_OK)
		return status;
	if (path && (flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)))
		status = image_open(&lossy->image, path, lossy->real);
	if (status != SQLITE_OK) {
		lossy->real->pMethods->xClose(lossy->real);
		return status;
	}
	lossy->base.pMethods = &METHODS;
	return SQLITE_OK;
}

static int lossy_delete(sqlite3_vfs *vfs, const char *path, int sync)
{
	(void)vfs;
	return real_vfs->xDelete(real_vfs, path, sync);
}

static int lossy_access(sqlite3_vfs *vfs, const char *path, int flags, int *out)
{
	(void)vfs;
	return real_vfs->xAccess(real_vfs, path, flags, out);
}

static int lossy_full_path(sqlite3_vfs *vfs, const char *path, int size, char *out)
{
	(void)vfs;
	return real_vfs->xFullPathname(real_vfs, path, size, out);
}

void vfs_lossy_register(void)
{
	static sqlite3_vfs lossy;

	if (real_vfs)
		return;
	real_vfs = sqlite3_vfs_find(NULL);
	lossy = *real_vfs;
	lossy.iVersion = 1;
	lossy.szOsFile = (int)sizeof(struct lossy_file) + real_vfs->szOsFile;
	lossy.zName = VFS_LOSSY_NAME;
	lossy.xOpen = lossy_open;
	lossy.xDelete = lossy_delete;
	lossy.xAccess = lossy_access;
	lossy.xFullPathname = lossy_full_path;
	sqlite3_vfs_register(&lossy, 1);
}
