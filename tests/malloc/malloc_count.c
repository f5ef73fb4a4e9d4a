/* Interposes the C library's allocator, and counts the calls of each thread that allocate or free memory. The calls of the
 * program, of its libraries, and of the C library itself (fopen, strdup, getpwnam, ...) are counted. Use with LD_PRELOAD. */
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The internal names of glibc's functions. A lookup of the replaced functions with dlsym would allocate. */
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

/* With the model initial-exec, the first access in a thread does not allocate. */
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

/* free(NULL) is counted too, because a code path that calls free may have memory to free in other cases. */
void free(void *memory) { calls++; __libc_free(memory); }

/* Mappings of the program are counted. The C library does not call these functions for its own mappings. */
void *mmap(void *address, size_t length, int protection, int flags, int file, off_t offset) {
    calls++;
    return (void *)syscall(SYS_mmap, address, length, protection, flags, file, offset);
}
void *mmap64(void *address, size_t length, int protection, int flags, int file, off64_t offset) {
    calls++;
    return (void *)syscall(SYS_mmap, address, length, protection, flags, file, offset);
}
int munmap(void *address, size_t length) { calls++; return (int)syscall(SYS_munmap, address, length); }
