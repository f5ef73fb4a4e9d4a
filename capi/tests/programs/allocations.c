// Checks that neither sampling, nor reading, nor a failure allocates after a sampler has been opened. The program opens
// libigpu with dlopen, like many profilers. In this case, the C library allocates memory for a thread's last error at the
// first access. An interposed library counts the calls of malloc and free (LD_PRELOAD).
#define _GNU_SOURCE
#include <dlfcn.h>
#include <igpu.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FUNCTIONS(EACH)                                                                                             \
    EACH(igpu_driver_open) EACH(igpu_driver_close) EACH(igpu_metric_find) EACH(igpu_last_error)                     \
    EACH(igpu_snapshot_open) EACH(igpu_snapshot_update) EACH(igpu_snapshot_get_gpu_info) EACH(igpu_snapshot_get_gpu_process_info)       \
    EACH(igpu_snapshot_reading_error) EACH(igpu_snapshot_close) EACH(igpu_sampler_open) EACH(igpu_sampler_tick)          \
    EACH(igpu_sampler_sample) EACH(igpu_sampler_get_latest) EACH(igpu_sampler_metric_error) EACH(igpu_sampler_get_refresh_period)         \
    EACH(igpu_sampler_get_poll_interval) EACH(igpu_sampler_get_process_info) EACH(igpu_sampler_get_gpu_info) EACH(igpu_sampler_close)             \
    EACH(igpu_background_start) EACH(igpu_background_pop) EACH(igpu_background_drain) EACH(igpu_background_get_info)   \
    EACH(igpu_latest_open) EACH(igpu_background_close) EACH(igpu_latest_get_key) EACH(igpu_latest_read)           \
    EACH(igpu_latest_get_info) EACH(igpu_latest_get_hung_gpus) EACH(igpu_latest_close) EACH(igpu_status_string) EACH(igpu_event_name) EACH(igpu_monotonic_ns)

static struct {
#define FIELD(name) __typeof__(name) *name;
    FUNCTIONS(FIELD)
} lib;

static unsigned long (*malloc_calls)(void);
static void (*add_faults)(const char *, char *, size_t);
static void (*clear_faults)(void);

static void load(void *from, const char *name, void *to) {
    void *address = dlsym(from, name);
    if (!address) {
        fprintf(stderr, "%s is missing\n", name);
        exit(1);
    }
    memcpy(to, &address, sizeof address);
}

#define CHECK(condition)                                                                                            \
    do {                                                                                                            \
        if (!(condition)) {                                                                                         \
            fprintf(stderr, "%s:%d: check failed: %s; the last error is: %s\n", __FILE__, __LINE__, #condition,           \
                    lib.igpu_last_error());                                                                         \
            exit(1);                                                                                                \
        }                                                                                                           \
    } while (0)

static igpu_sampler *sampler;
static igpu_snapshot *snapshot;
static uint32_t power;

static void run_round(void) {
    const igpu_record *records;
    size_t count;
    uint64_t number;
    igpu_record record;
    igpu_process_info info = {.size = sizeof info};
    igpu_gpu_info gpu = {.size = sizeof gpu};
    igpu_gpu_process_info process = {.size = sizeof process};
    CHECK(lib.igpu_sampler_tick(sampler, lib.igpu_monotonic_ns(), &records, &count) == IGPU_STATUS_OK);
    CHECK(lib.igpu_sampler_sample(sampler, &records, &count) == IGPU_STATUS_OK && count > 0);
    lib.igpu_sampler_get_latest(sampler, 0, power, &record);
    lib.igpu_sampler_metric_error(sampler, 0, power);
    lib.igpu_sampler_get_refresh_period(sampler, 0, power, &number);
    lib.igpu_sampler_get_poll_interval(sampler, 0, power, &number);
    lib.igpu_sampler_get_process_info(sampler, (uint32_t)getpid(), &info);
    CHECK(lib.igpu_sampler_get_gpu_info(sampler, 0, &gpu) == IGPU_STATUS_OK);
    CHECK(lib.igpu_snapshot_update(snapshot) == IGPU_STATUS_OK);
    lib.igpu_snapshot_get_gpu_info(snapshot, 0, &gpu);
    lib.igpu_snapshot_get_gpu_process_info(snapshot, 0, 0, &process);
    lib.igpu_snapshot_reading_error(snapshot, 0, IGPU_READING_SERIAL);
    // Failures of all kinds, with their messages.
    CHECK(lib.igpu_sampler_get_latest(sampler, 99, power, &record) == IGPU_STATUS_NO_SUCH_GPU);
    CHECK(lib.igpu_sampler_get_latest(sampler, 0, 9999, &record) == IGPU_STATUS_NO_SUCH_METRIC);
    CHECK(lib.igpu_metric_find("no such metric", &power) == IGPU_STATUS_NO_SUCH_METRIC);
    CHECK(strstr(lib.igpu_last_error(), "\"no such metric\""));
    CHECK(lib.igpu_sampler_tick(NULL, 0, NULL, NULL) == IGPU_STATUS_NULL_POINTER);
    CHECK(lib.igpu_sampler_tick((igpu_sampler *)&record, 0, NULL, NULL) == IGPU_STATUS_INVALID_HANDLE);
    gpu.size = 3;
    CHECK(lib.igpu_snapshot_get_gpu_info(snapshot, 0, &gpu) == IGPU_STATUS_INVALID_STRUCT_SIZE);
    CHECK(*lib.igpu_status_string(5) && *lib.igpu_event_name(5));
}

static unsigned long count_allocations(int rounds) {
    unsigned long before = malloc_calls();
    for (int i = 0; i < rounds; i++) {
        run_round();
        if (malloc_calls() != before) {
            fprintf(stderr, "round %d: %lu calls\n", i, malloc_calls() - before);
            return malloc_calls() - before;
        }
    }
    return 0;
}

static void *in_another_thread(void *argument) {
    // This call allocates the memory for the last error of this thread.
    lib.igpu_last_error();
    CHECK(count_allocations(100) == 0);
    return argument;
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!library) return fprintf(stderr, "%s\n", dlerror()), 1;
#define LOAD(name) load(library, #name, &lib.name);
    FUNCTIONS(LOAD)
    load(RTLD_DEFAULT, "malloc_calls", &malloc_calls);
    load(RTLD_DEFAULT, "nvml_sim_add_faults", &add_faults);
    load(RTLD_DEFAULT, "nvml_sim_clear_faults", &clear_faults);
    unsigned long before = malloc_calls();
    free(strdup("something"));
    CHECK(malloc_calls() - before == 2);

    igpu_driver *driver;
    static const char *const names[] = {"gpu.power", "gpu.utilization", "gpu.process.memory", "gpu.power.samples", "gpu.energy"};
    igpu_sampler_options options = {.size = sizeof options, .metrics = names, .metric_count = 5, .budget = 1,
                                    .flags = IGPU_SAMPLER_GPU_INFO};
    CHECK(lib.igpu_driver_open(NULL, &driver) == IGPU_STATUS_OK);
    CHECK(lib.igpu_sampler_open(driver, &options, &sampler) == IGPU_STATUS_OK);
    CHECK(lib.igpu_snapshot_open(driver, NULL, &snapshot) == IGPU_STATUS_OK);
    CHECK(lib.igpu_metric_find("gpu.power", &power) == IGPU_STATUS_OK);
    // Not even the first calls allocate.
    CHECK(count_allocations(1000) == 0);
    add_faults("[[fault]]\ngpu = 0\nreturn = 'GPU_IS_LOST'\n[[fault]]\nfunction = 'nvmlDeviceGetPowerUsage'\nreturn = 999\n", NULL, 0);
    CHECK(count_allocations(300) == 0);
    clear_faults();
    CHECK(count_allocations(300) == 0);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, in_another_thread, NULL) == 0);
    pthread_join(thread, NULL);

    // The calls of this thread to a background sampler.
    igpu_background *background;
    igpu_latest *latest;
    uint32_t key;
    CHECK(lib.igpu_background_start(sampler, 64, &background) == IGPU_STATUS_OK);
    CHECK(lib.igpu_latest_open(background, &latest) == IGPU_STATUS_OK);
    before = malloc_calls();
    CHECK(lib.igpu_latest_get_key(latest, 0, power, &key) == IGPU_STATUS_OK);
    igpu_background_info state = {.size = sizeof state};
    do {
        igpu_record records[16];
        size_t count;
        CHECK(lib.igpu_background_drain(background, records, 16, &count) == IGPU_STATUS_OK);
        lib.igpu_background_pop(background, records);
        lib.igpu_latest_read(latest, key, records);
        lib.igpu_latest_read(latest, 9999, records);
        CHECK(lib.igpu_background_get_info(background, &state) == IGPU_STATUS_OK);
        CHECK(lib.igpu_latest_get_info(latest, &state) == IGPU_STATUS_OK);
        CHECK(lib.igpu_latest_get_hung_gpus(latest, NULL, 0, &count) == IGPU_STATUS_OK);
    } while (state.ticks < 20);
    CHECK(malloc_calls() == before);
    CHECK(lib.igpu_background_close(background) == IGPU_STATUS_OK && lib.igpu_latest_close(latest) == IGPU_STATUS_OK);
    CHECK(lib.igpu_snapshot_close(snapshot) == IGPU_STATUS_OK && lib.igpu_driver_close(driver) == IGPU_STATUS_OK);
    puts("done");
    return 0;
}
