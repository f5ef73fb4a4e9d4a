/* Interposes the C library's allocator, and counts the calls of each thread that allocate or free memory. Calls by the program,
 * by its libraries, and by the C library itself (fopen, strdup, getpwnam, ...) count. Use with LD_PRELOAD. */
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The internal names of glibc's functions, because looking up the replaced functions with dlsym would allocate. */
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

/* With initial-exec, an access does not allocate. */
static __thread unsigned long calls __attribute__((tls_model("initial-exec")));

unsigned long malloc_calls(void) { return calls; }

void *malloc(size_t size) { calls++; return __libc_malloc(size); }
void *calloc(size_t count, size_t size) { calls++; return __libc_calloc(count, size); }
void *realloc(void *memory, size_t size) { calls++; return __libc_realloc(memory, size); }
void *memalign(size_t alignment, size_t size) { calls++; return __libc_memalign(alignment, size); }
void *aligned_alloc(size_t alignment, size_t size) { calls++; return __libc_memalign(alignment, size); }
void *valloc(size_t size) { calls++; return __libc_memalign(sysconf(_SC_PAGESIZE), size); }

void *reallocarray(void *memory, size_t count, size_t size) {
    size_t bytes;
    calls++;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_realloc(memory, bytes);
}

int posix_memalign(void **memory, size_t alignment, size_t size) {
    calls++;
    if (alignment % sizeof(void *) != 0 || (alignment & (alignment - 1)) != 0 || alignment == 0) return EINVAL;
    void *allocated = __libc_memalign(alignment, size);
    if (allocated == NULL) return ENOMEM;
    *memory = allocated;
    return 0;
}

/* free(NULL) also counts, because a code path that calls free can have memory to free. */
void free(void *memory) { calls++; __libc_free(memory); }

/* Mappings by the program. The C library's own mappings do not pass through these functions. */
void *mmap(void *address, size_t length, int protection, int flags, int file, off_t offset) {
    calls++;
    return (void *)syscall(SYS_mmap, address, length, protection, flags, file, offset);
}
void *mmap64(void *address, size_t length, int protection, int flags, int file, off64_t offset) {
    calls++;
    return (void *)syscall(SYS_mmap, address, length, protection, flags, file, offset);
}
int munmap(void *address, size_t length) { calls++; return (int)syscall(SYS_munmap, address, length); }
