/* A disk that keeps only what it was asked to keep, and that fails when told: an LD_PRELOAD shim.
 *
 * It stands between a program and the C library. Every call goes through to the real file system;
 * what changes a file or a folder below SCEAU_DISK_ROOT is noted in a journal besides, and so is
 * every fsync. After the programs were killed, `replay.py` builds from the journal what a machine
 * would find after a power cut: of what was not synced nothing, or some of it.
 *
 * Journal. One file for each process, SCEAU_DISK_JOURNAL/PID.START.journal, so that a record cut
 * off by SIGKILL is the last one of its file, and its call has not returned to the program.
 * Records of all processes are put in order by a number that they draw from one counter (`faults`,
 * shared memory). A call is noted after it was done and before it returns; of a sync both the
 * moment it began and the moment it was done are noted, and what was noted after it began is not
 * promised by it. So whatever a program has told anybody about is in the journal.
 *
 * Not noted, because it promises nothing: sync_file_range, mmap (of the programs looked at, only
 * SQLite writes through a mapping, to its -shm, which it makes anew after a crash).
 * Not seen: what the C library writes by itself (fwrite). Such a file comes back empty. Nothing
 * that a 250 rests on may be written so, and PostgreSQL and SQLite do not.
 *
 * Faults. The file `faults` also has rules: for paths that match a pattern, after so many octets
 * written there is no room (ENOSPC, EDQUOT: the write that reaches the border is short, as on a
 * real disk), or the Nth fsync fails (EIO). Tests change them while programs run (`shim.py`).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* The layouts of `Faults` and `Head` are known to shim.py and replay.py, too. */
#define RULES 8
#define ON_WRITE 1
#define ON_SYNC 2

struct rule {
    uint32_t on;        /* ON_WRITE, ON_SYNC; 0: not in use */
    int32_t error;      /* errno */
    int64_t before;     /* octets that may still be written, or syncs that still succeed */
    int64_t times;      /* how often it fails then; -1: until the rule is taken away */
    int64_t hits;       /* how often it has failed */
    char pattern[224];  /* fnmatch(3) over the whole path */
};

struct faults {
    uint64_t clock; /* number of the latest record of all processes */
    uint64_t syncs; /* fsync and fdatasync calls on files and folders below the root */
    struct rule rules[RULES];
};

enum kind { WRITE = 1, TRUNCATE, EXTEND, CREATE, UNLINK, RENAME, SYNC_BEGUN, SYNC_DONE, SYNC_ALL };

/* What a file is, whatever its name: the inode, and its birth, because numbers are used again. */
struct id {
    uint64_t inode;
    uint64_t birth; /* ns */
};

struct head {
    uint32_t magic, kind;
    uint64_t number;
    struct id what, folder, folder2;
    uint64_t offset; /* WRITE, TRUNCATE, EXTEND: where; SYNC_DONE: number of its SYNC_BEGUN */
    uint32_t mode, uid, gid;
    uint32_t name, name2, data; /* lengths of what follows: two names, octets */
};
#define MAGIC 0x6b736964u

static char root[PATH_MAX];
static size_t root_length;
static char journal_folder[PATH_MAX];
static int journal = -1;
static struct faults *shared;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;


static void child_begins(void) {
    pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;
    turn = fresh; /* another thread of the parent may have held it */
    if (journal >= 0) syscall(SYS_close, journal);
    journal = -1;
}

__attribute__((constructor)) static void begin(void) {
    const char *at = getenv("SCEAU_DISK_ROOT"), *to = getenv("SCEAU_DISK_JOURNAL");
    if (!at || !to || !realpath(at, root) || !realpath(to, journal_folder)) return;
    char path[PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/faults", journal_folder);
    int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0) { /* better no test than one that tests nothing */
        static const char text[] = "disk shim: there is no file `faults`\n";
        syscall(SYS_write, 2, text, sizeof text - 1);
        _exit(99);
    }
    void *map = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    syscall(SYS_close, fd);
    if (map == MAP_FAILED) _exit(99);
    shared = map;
    root_length = strlen(root);
    pthread_atfork(NULL, NULL, child_begins);
}

/* ---- what a call is about --------------------------------------------------------------------- */

static int below(const char *path) {
    return shared && strncmp(path, root, root_length) == 0 &&
           (path[root_length] == '/' || path[root_length] == 0);
}

static int path_of(int fd, char *path) {
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return 1;
}

/* Whether `fd` is a file or folder below the root; its path. */
static int ours(int fd, char *path) {
    if (!shared) return 0;
    int saved = errno;
    struct stat st;
    int yes = fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) &&
              path_of(fd, path) && below(path);
    errno = saved;
    return yes;
}

static int identify(int at, const char *name, int flags, struct head *head, struct id *id) {
    struct statx st;
    if (syscall(SYS_statx, at, name, flags, STATX_BASIC_STATS | STATX_BTIME, &st) < 0) return 0;
    id->inode = st.stx_ino;
    id->birth = (uint64_t)st.stx_btime.tv_sec * 1000000000u + st.stx_btime.tv_nsec;
    if (head) {
        head->mode = st.stx_mode;
        head->uid = st.stx_uid;
        head->gid = st.stx_gid;
    }
    return 1;
}

/* The folder of a path and the name in it. `full` gets the whole path, for patterns. */
static int place(int at, const char *path, struct id *folder, const char **name, char *full) {
    if (!shared) return 0;
    int saved = errno, yes = 0;
    char above[PATH_MAX];
    const char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    size_t length = slash ? (size_t)(slash - path) : 0;
    if (!slash) strcpy(above, ".");
    else if (!length) strcpy(above, "/");
    else if (length < sizeof above) { memcpy(above, path, length); above[length] = 0; }
    else return 0;
    int fd = syscall(SYS_openat, at, above, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd >= 0) {
        if (path_of(fd, full) && below(full) && strlen(full) + strlen(*name) + 2 < PATH_MAX) {
            yes = identify(fd, "", AT_EMPTY_PATH, NULL, folder);
            strcat(full, "/");
            strcat(full, *name);
        }
        syscall(SYS_close, fd);
    }
    errno = saved;
    return yes;
}

/* ---- the journal -------------------------------------------------------------------------------- */

static uint64_t note(struct head *head, const char *name, const char *name2, const struct iovec *data,
                     int parts, size_t length) {
    int saved = errno;
    struct iovec all[IOV_MAX < 1024 ? IOV_MAX : 1024];
    int n = 0;
    head->magic = MAGIC;
    head->name = name ? strlen(name) : 0;
    head->name2 = name2 ? strlen(name2) : 0;
    head->data = length;
    all[n++] = (struct iovec){head, sizeof *head};
    if (head->name) all[n++] = (struct iovec){(void *)name, head->name};
    if (head->name2) all[n++] = (struct iovec){(void *)name2, head->name2};
    for (int i = 0; i < parts && length; i++) { /* of a short write, what was written */
        size_t take = data[i].iov_len < length ? data[i].iov_len : length;
        all[n++] = (struct iovec){data[i].iov_base, take};
        length -= take;
    }
    pthread_mutex_lock(&turn);
    if (journal < 0) {
        char path[PATH_MAX + 64];
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        snprintf(path, sizeof path, "%s/%d.%lld%09ld.journal", journal_folder, getpid(),
                 (long long)now.tv_sec, now.tv_nsec);
        journal = syscall(SYS_openat, AT_FDCWD, path,
                          O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
    }
    head->number = __atomic_add_fetch(&shared->clock, 1, __ATOMIC_SEQ_CST);
    ssize_t whole = 0;
    for (int i = 0; i < n; i++) whole += all[i].iov_len;
    if (journal < 0 || syscall(SYS_writev, journal, all, n) != whole) {
        static const char text[] = "disk shim: the journal cannot be written\n";
        syscall(SYS_write, 2, text, sizeof text - 1);
        _exit(99);
    }
    pthread_mutex_unlock(&turn);
    errno = saved;
    return head->number;
}

static void note_octets(int fd, uint64_t offset, const struct iovec *data, int parts, size_t length) {
    struct head head = {.kind = WRITE, .offset = offset};
    if (!identify(fd, "", AT_EMPTY_PATH, NULL, &head.what)) return;
    note(&head, NULL, NULL, data, parts, length);
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && (flags & O_DSYNC)) { /* O_SYNC has its bit, too */
        struct head sync = {.kind = SYNC_BEGUN, .what = head.what};
        uint64_t number = note(&sync, NULL, NULL, NULL, 0, 0);
        sync = (struct head){.kind = SYNC_DONE, .what = head.what, .offset = number};
        note(&sync, NULL, NULL, NULL, 0, 0);
    }
}

static void note_size(int fd, enum kind kind, uint64_t size) {
    struct head head = {.kind = kind, .offset = size};
    if (identify(fd, "", AT_EMPTY_PATH, NULL, &head.what)) note(&head, NULL, NULL, NULL, 0, 0);
}

static void note_name(int at, const char *path, const struct id *folder, const char *name) {
    struct head head = {.kind = CREATE, .folder = *folder};
    if (identify(at, path, AT_SYMLINK_NOFOLLOW, &head, &head.what))
        note(&head, name, NULL, NULL, 0, 0);
}

/* ---- faults --------------------------------------------------------------------------------------- */

/* How many of `want` octets (or whether one sync) may be done; -1: none, errno is set. */
static ssize_t allowed(uint32_t on, const char *path, size_t want) {
    for (int i = 0; i < RULES; i++) {
        struct rule *rule = &shared->rules[i];
        if (__atomic_load_n(&rule->on, __ATOMIC_ACQUIRE) != on) continue;
        if (fnmatch(rule->pattern, path, 0) != 0) continue;
        int64_t before = __atomic_fetch_sub(&rule->before, (int64_t)want, __ATOMIC_SEQ_CST);
        if (before >= (int64_t)want) continue;
        if (on == ON_WRITE && before > 0) { /* up to the border, and no further */
            __atomic_store_n(&rule->before, 0, __ATOMIC_SEQ_CST);
            return before;
        }
        __atomic_store_n(&rule->before, 0, __ATOMIC_SEQ_CST);
        int64_t times = __atomic_load_n(&rule->times, __ATOMIC_SEQ_CST);
        if (times == 0) continue; /* it has failed often enough */
        if (times > 0) __atomic_fetch_sub(&rule->times, 1, __ATOMIC_SEQ_CST);
        __atomic_fetch_add(&rule->hits, 1, __ATOMIC_SEQ_CST);
        errno = rule->error;
        return -1;
    }
    return want;
}

/* ---- octets --------------------------------------------------------------------------------------- */

static ssize_t put(int fd, const struct iovec *parts, int count, off_t offset, int positioned) {
    char path[PATH_MAX];
    if (!ours(fd, path))
        return positioned ? syscall(SYS_pwritev, fd, parts, count, offset, 0)
                          : syscall(SYS_writev, fd, parts, count);
    size_t want = 0;
    for (int i = 0; i < count; i++) want += parts[i].iov_len;
    ssize_t may = allowed(ON_WRITE, path, want);
    if (may < 0) return -1;
    struct iovec cut[count];
    int n = 0;
    for (size_t left = may; n < count && left; n++) {
        cut[n] = parts[n];
        if (cut[n].iov_len > left) cut[n].iov_len = left;
        left -= cut[n].iov_len;
    }
    ssize_t done = positioned ? syscall(SYS_pwritev, fd, cut, n, offset, 0)
                              : syscall(SYS_writev, fd, cut, n);
    if (done > 0) {
        int saved = errno;
        /* Where it went: also with O_APPEND the file's position is behind it now. A descriptor that
         * several write to at once may be at another place by now; none of ours is. */
        uint64_t at = positioned ? (uint64_t)offset : (uint64_t)(lseek(fd, 0, SEEK_CUR) - done);
        note_octets(fd, at, cut, n, done);
        errno = saved;
    }
    return done;
}

ssize_t write(int fd, const void *data, size_t length) {
    struct iovec one = {(void *)data, length};
    struct stat st; /* sockets and pipes are asked for most: quickly through */
    if (!shared || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) return syscall(SYS_write, fd, data, length);
    return put(fd, &one, 1, 0, 0);
}
ssize_t writev(int fd, const struct iovec *parts, int count) { return put(fd, parts, count, 0, 0); }
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
    struct iovec one = {(void *)data, length};
    return put(fd, &one, 1, offset, 1);
}
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
    return pwrite(fd, data, length, offset);
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    return put(fd, parts, count, offset, 1);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
    return put(fd, parts, count, offset, 1);
}

int ftruncate(int fd, off_t size) {
    int done = syscall(SYS_ftruncate, fd, size);
    char path[PATH_MAX];
    if (done == 0 && ours(fd, path)) note_size(fd, TRUNCATE, size);
    return done;
}
int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }

int truncate(const char *path, off_t size) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    int done = ftruncate(fd, size);
    int saved = errno;
    close(fd);
    errno = saved;
    return done;
}
int truncate64(const char *path, off64_t size) { return truncate(path, size); }

int fallocate(int fd, int mode, off_t offset, off_t length) {
    char path[PATH_MAX];
    int yes = ours(fd, path);
    if (yes && allowed(ON_WRITE, path, length) < (ssize_t)length) {
        errno = errno ? errno : ENOSPC;
        return -1;
    }
    int done = syscall(SYS_fallocate, fd, mode, offset, length);
    if (done == 0 && yes && mode == 0) note_size(fd, EXTEND, offset + length);
    return done;
}
int fallocate64(int fd, int mode, off64_t offset, off64_t length) {
    return fallocate(fd, mode, offset, length);
}
int posix_fallocate(int fd, off_t offset, off_t length) {
    int saved = errno;
    errno = 0;
    int error = fallocate(fd, 0, offset, length) ? errno : 0;
    errno = saved;
    return error;
}
int posix_fallocate64(int fd, off64_t offset, off64_t length) {
    return posix_fallocate(fd, offset, length);
}

/* Programs fall back to reading and writing where the kernel cannot copy by itself. */
ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t length, unsigned flags) {
    char path[PATH_MAX];
    if (!ours(out, path)) return syscall(SYS_copy_file_range, in, from, out, to, length, flags);
    errno = EXDEV;
    return -1;
}
ssize_t sendfile(int out, int in, off_t *offset, size_t count) {
    char path[PATH_MAX];
    if (!ours(out, path)) return syscall(SYS_sendfile, out, in, offset, count);
    errno = EINVAL;
    return -1;
}
ssize_t sendfile64(int out, int in, off64_t *offset, size_t count) {
    return sendfile(out, in, offset, count);
}

/* ---- syncing --------------------------------------------------------------------------------------- */

static int synced(int fd, long call) {
    char path[PATH_MAX];
    struct head head = {.kind = SYNC_BEGUN};
    if (!ours(fd, path) || !identify(fd, "", AT_EMPTY_PATH, NULL, &head.what)) return syscall(call, fd);
    __atomic_add_fetch(&shared->syncs, 1, __ATOMIC_SEQ_CST);
    uint64_t number = note(&head, NULL, NULL, NULL, 0, 0);
    /* What a failed sync was to write is not written, and no later sync writes it: the kernel has
     * marked the pages clean. So the journal forgets it, too (SYNC_DONE with an error). */
    int failed = allowed(ON_SYNC, path, 1) < 0;
    int error = errno;
    if (!failed && syscall(call, fd) < 0) return -1;
    head = (struct head){.kind = SYNC_DONE, .what = head.what, .offset = number, .mode = failed};
    note(&head, NULL, NULL, NULL, 0, 0);
    errno = error;
    return failed ? -1 : 0;
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

static void all_synced(void) {
    struct head head = {.kind = SYNC_ALL};
    if (shared) note(&head, NULL, NULL, NULL, 0, 0);
}
int syncfs(int fd) {
    (void)fd; /* the machine's own disk need not wait for ours */
    all_synced();
    return 0;
}
void sync(void) { all_synced(); }

/* ---- names ----------------------------------------------------------------------------------------- */

static int opened(int at, const char *path, int flags, mode_t mode) {
    struct id folder;
    const char *name;
    char full[PATH_MAX];
    int makes = (flags & O_CREAT) && !((flags & O_TMPFILE) == O_TMPFILE);
    int placed = (makes || (flags & O_TRUNC)) && place(at, path, &folder, &name, full);
    int fresh = 0;
    if (placed && makes) {
        int saved = errno;
        fresh = syscall(SYS_faccessat, at, path, F_OK) < 0;
        errno = saved;
        if (fresh && allowed(ON_WRITE, full, 1) < 0) return -1;
    }
    int fd = syscall(SYS_openat, at, path, flags, mode);
    if (fd >= 0 && placed) {
        /* By the descriptor, because the name may be gone already. */
        struct head head = {.kind = CREATE, .folder = folder};
        if (fresh && identify(fd, "", AT_EMPTY_PATH, &head, &head.what))
            note(&head, name, NULL, NULL, 0, 0);
        else if (flags & O_TRUNC)
            note_size(fd, TRUNCATE, 0);
    }
    return fd;
}

#define MODE_OF(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { \
        va_list list; \
        va_start(list, flags); \
        mode = va_arg(list, mode_t); \
        va_end(list); \
    }
int open(const char *path, int flags, ...) { MODE_OF(flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE_OF(flags) return opened(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE_OF(flags) return opened(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE_OF(flags) return opened(at, path, flags, mode); }
int creat(const char *path, mode_t mode) {
    return opened(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

int mkdirat(int at, const char *path, mode_t mode) {
    struct id folder;
    const char *name;
    char full[PATH_MAX], plain[PATH_MAX];
    /* "a/b/" names what "a/b" names */
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/') length--;
    if (length >= sizeof plain) { errno = ENAMETOOLONG; return -1; }
    memcpy(plain, path, length);
    plain[length] = 0;
    int placed = place(at, plain, &folder, &name, full);
    if (placed && allowed(ON_WRITE, full, 1) < 0) return -1;
    int done = syscall(SYS_mkdirat, at, path, mode);
    if (done == 0 && placed) note_name(at, plain, &folder, name);
    return done;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

int symlinkat(const char *target, int at, const char *path) {
    struct id folder;
    const char *name;
    char full[PATH_MAX];
    int placed = place(at, path, &folder, &name, full);
    int done = syscall(SYS_symlinkat, target, at, path);
    if (done == 0 && placed) {
        struct head head = {.kind = CREATE, .folder = folder};
        if (identify(at, path, AT_SYMLINK_NOFOLLOW, &head, &head.what))
            note(&head, name, target, NULL, 0, 0);
    }
    return done;
}
int symlink(const char *target, const char *path) { return symlinkat(target, AT_FDCWD, path); }

int linkat(int from, const char *old, int at, const char *path, int flags) {
    struct id folder;
    const char *name;
    char full[PATH_MAX];
    int placed = place(at, path, &folder, &name, full);
    int done = syscall(SYS_linkat, from, old, at, path, flags);
    if (done == 0 && placed) note_name(at, path, &folder, name);
    return done;
}
int link(const char *old, const char *path) { return linkat(AT_FDCWD, old, AT_FDCWD, path, 0); }

int unlinkat(int at, const char *path, int flags) {
    struct head head = {.kind = UNLINK};
    const char *name;
    char full[PATH_MAX];
    int placed = place(at, path, &head.folder, &name, full);
    int done = syscall(SYS_unlinkat, at, path, flags);
    if (done == 0 && placed) note(&head, name, NULL, NULL, 0, 0);
    return done;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char *path) {
    int done = unlink(path);
    return done < 0 && (errno == EISDIR || errno == EPERM) ? rmdir(path) : done;
}

int renameat2(int from, const char *old, int to, const char *path, unsigned flags) {
    struct head head = {.kind = RENAME};
    const char *name, *name2;
    char full[PATH_MAX], full2[PATH_MAX];
    int one = place(from, old, &head.folder, &name, full);
    int two = place(to, path, &head.folder2, &name2, full2);
    int done = syscall(SYS_renameat2, from, old, to, path, flags);
    if (done == 0 && one && two && identify(to, path, AT_SYMLINK_NOFOLLOW, &head, &head.what))
        note(&head, name, name2, NULL, 0, 0);
    return done;
}
int renameat(int from, const char *old, int to, const char *path) {
    return renameat2(from, old, to, path, 0);
}
int rename(const char *old, const char *path) { return renameat2(AT_FDCWD, old, AT_FDCWD, path, 0); }
