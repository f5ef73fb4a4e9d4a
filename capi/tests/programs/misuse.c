// What a caller can do wrong is a status and a sentence, and changes nothing.
#define _POSIX_C_SOURCE 200809L
#include "check.h"
#include <math.h>
#include <pthread.h>
#include <time.h>

static igpu_record record;
static const igpu_record *records;
static size_t count;
static uint64_t number;
static uint32_t small;
static uint32_t indices[4];

// Calls all functions that take a handle, with arguments that are otherwise valid. Closing NULL succeeds.
static void every_function_answers(igpu_status status, void *handle) {
    const igpu_status close_status = handle ? status : IGPU_STATUS_OK;
    igpu_driver_info driver_info = {.size = sizeof driver_info};
    ANSWERS(status, igpu_driver_get_info(handle, &driver_info));
    ANSWERS(status, igpu_driver_get_gpu_count(handle, &small));
    ANSWERS(status, igpu_driver_get_visible_gpus(handle, indices, 4, &count));
    igpu_snapshot *snapshot;
    ANSWERS(status, igpu_snapshot_open(handle, NULL, &snapshot));
    igpu_sampler *sampler;
    ANSWERS(status, igpu_sampler_open(handle, NULL, &sampler));
    ANSWERS(close_status, igpu_driver_close(handle));

    igpu_gpu_info gpu = {.size = sizeof gpu};
    igpu_gpu_process_info process = {.size = sizeof process};
    ANSWERS(status, igpu_snapshot_update(handle));
    ANSWERS(status, igpu_snapshot_grow_process_lists(handle));
    ANSWERS(status, igpu_snapshot_get_gpu_count(handle, &small));
    ANSWERS(status, igpu_snapshot_get_gpu_info(handle, 0, &gpu));
    ANSWERS(status, igpu_snapshot_get_gpu_process_info(handle, 0, 0, &process));
    ANSWERS(status, igpu_snapshot_reading_error(handle, 0, IGPU_READING_NAME));
    ANSWERS(close_status, igpu_snapshot_close(handle));

    igpu_process_info info = {.size = sizeof info};
    igpu_background *background;
    ANSWERS(status, igpu_sampler_tick(handle, 0, &records, &count));
    ANSWERS(status, igpu_sampler_sample(handle, &records, &count));
    ANSWERS(status, igpu_sampler_get_next_due(handle, &number));
    ANSWERS(status, igpu_sampler_get_latest(handle, 0, 0, &record));
    ANSWERS(status, igpu_sampler_metric_error(handle, 0, 0));
    ANSWERS(status, igpu_sampler_get_refresh_period(handle, 0, 0, &number));
    ANSWERS(status, igpu_sampler_get_poll_interval(handle, 0, 0, &number));
    ANSWERS(status, igpu_sampler_get_process_info(handle, 1, &info));
    ANSWERS(status, igpu_sampler_get_gpu_info(handle, 0, &gpu));
    ANSWERS(status, igpu_sampler_get_gpu_process_info(handle, 0, 0, &process));
    ANSWERS(status, igpu_background_start(handle, 16, &background));
    ANSWERS(close_status, igpu_sampler_close(handle));

    igpu_background_info state = {.size = sizeof state};
    igpu_latest *latest;
    ANSWERS(status, igpu_background_pop(handle, &record));
    ANSWERS(status, igpu_background_drain(handle, &record, 1, &count));
    ANSWERS(status, igpu_background_get_info(handle, &state));
    ANSWERS(status, igpu_background_get_hung_gpus(handle, indices, 4, &count));
    ANSWERS(status, igpu_latest_open(handle, &latest));
    ANSWERS(status, igpu_background_stop(handle));
    ANSWERS(close_status, igpu_background_close(handle));

    ANSWERS(status, igpu_latest_get_key(handle, 0, 0, &small));
    ANSWERS(status, igpu_latest_read(handle, 0, &record));
    ANSWERS(close_status, igpu_latest_close(handle));
}

static void handles(void) {
    every_function_answers(IGPU_STATUS_NULL_POINTER, NULL);
    int something = 0;
    void *const never[] = {&something, (void *)1, (void *)8, (void *)0x13000, (void *)UINTPTR_MAX, (void *)"text"};
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        every_function_answers(IGPU_STATUS_INVALID_HANDLE, never[i]);

    // Closed ones, of every kind.
    igpu_driver *driver = open_driver();
    static const char *const names[] = {"gpu.power"};
    igpu_sampler *sampler = make_sampler(driver, names, 1), *spawned = make_sampler(driver, names, 1);
    igpu_snapshot *snapshot;
    igpu_background *background;
    igpu_latest *latest;
    DONE(igpu_snapshot_open(driver, NULL, &snapshot));
    DONE(igpu_background_start(spawned, 64, &background));
    DONE(igpu_latest_open(background, &latest));
    every_function_answers(IGPU_STATUS_INVALID_HANDLE, spawned);
    // Of another kind.
    ANSWERS(IGPU_STATUS_INVALID_HANDLE, igpu_sampler_close((void *)driver));
    ANSWERS(IGPU_STATUS_INVALID_HANDLE, igpu_snapshot_update((void *)sampler));
    ANSWERS(IGPU_STATUS_INVALID_HANDLE, igpu_latest_read((void *)background, 0, &record));
    ANSWERS(IGPU_STATUS_INVALID_HANDLE, igpu_background_stop((void *)latest));
    // The driver may be closed first: what was made of it goes on.
    DONE(igpu_driver_close(driver));
    CHECK(nvml_sim_calls("nvmlShutdown") == 0);
    DONE(igpu_sampler_sample(sampler, NULL, NULL));
    DONE(igpu_snapshot_update(snapshot));
    DONE(igpu_sampler_close(sampler));
    DONE(igpu_snapshot_close(snapshot));
    DONE(igpu_background_close(background));
    // The reader keeps nothing of the driver, and is open still.
    CHECK(nvml_sim_calls("nvmlShutdown") == 1);
    DONE(igpu_latest_get_key(latest, 0, metric("gpu.power"), &small));
    DONE(igpu_latest_close(latest));
    void *const closed[] = {driver, sampler, snapshot, background, latest};
    for (size_t i = 0; i < sizeof closed / sizeof *closed; i++)
        every_function_answers(IGPU_STATUS_INVALID_HANDLE, closed[i]);
    CHECK(nvml_sim_calls_after_shutdown() == 0);
}

static void null_places(void) {
    igpu_driver *driver = open_driver();
    static const char *const names[] = {"gpu.power"};
    igpu_sampler *sampler = make_sampler(driver, names, 1);
    igpu_snapshot *snapshot;
    DONE(igpu_snapshot_open(driver, NULL, &snapshot));
    const igpu_status null = IGPU_STATUS_NULL_POINTER;
    ANSWERS(null, igpu_driver_open(NULL, NULL));
    ANSWERS(null, igpu_driver_get_info(driver, NULL));
    ANSWERS(null, igpu_driver_get_gpu_count(driver, NULL));
    ANSWERS(null, igpu_driver_get_visible_gpus(driver, indices, 4, NULL));
    ANSWERS(null, igpu_driver_get_visible_gpus(driver, NULL, 4, &count));
    ANSWERS(null, igpu_snapshot_open(driver, NULL, NULL));
    ANSWERS(null, igpu_snapshot_get_gpu_count(snapshot, NULL));
    ANSWERS(null, igpu_snapshot_get_gpu_info(snapshot, 0, NULL));
    ANSWERS(null, igpu_snapshot_get_gpu_process_info(snapshot, 0, 0, NULL));
    ANSWERS(null, igpu_sampler_open(driver, NULL, NULL));
    ANSWERS(null, igpu_sampler_get_next_due(sampler, NULL));
    ANSWERS(null, igpu_sampler_get_latest(sampler, 0, 0, NULL));
    ANSWERS(null, igpu_sampler_get_refresh_period(sampler, 0, 0, NULL));
    ANSWERS(null, igpu_sampler_get_poll_interval(sampler, 0, 0, NULL));
    ANSWERS(null, igpu_background_start(sampler, 16, NULL));
    ANSWERS(null, igpu_metric_find("gpu.power", NULL));
    ANSWERS(null, igpu_metric_find(NULL, &small));
    ANSWERS(null, igpu_metric_get_info(0, NULL));
    // Here NULL is for what is not wanted.
    DONE(igpu_sampler_tick(sampler, igpu_monotonic_ns(), NULL, NULL));
    igpu_background *background;
    DONE(igpu_background_start(sampler, 16, &background));
    ANSWERS(null, igpu_background_pop(background, NULL));
    ANSWERS(null, igpu_background_drain(background, NULL, 4, &count));
    ANSWERS(null, igpu_background_drain(background, &record, 1, NULL));
    ANSWERS(IGPU_STATUS_BUFFER_TOO_SMALL, igpu_background_drain(background, &record, 0, &count));
    ANSWERS(null, igpu_background_get_info(background, NULL));
    ANSWERS(null, igpu_background_get_hung_gpus(background, NULL, 1, &count));
    ANSWERS(null, igpu_background_get_hung_gpus(background, indices, 4, NULL));
    ANSWERS(null, igpu_latest_open(background, NULL));
    igpu_latest *latest;
    DONE(igpu_latest_open(background, &latest));
    ANSWERS(null, igpu_latest_get_key(latest, 0, 0, NULL));
    ANSWERS(null, igpu_latest_read(latest, 0, NULL));
    ANSWERS(IGPU_STATUS_INVALID_ARGUMENT, igpu_latest_read(latest, UINT32_MAX, &record));
    ANSWERS(IGPU_STATUS_NO_SUCH_GPU, igpu_latest_get_key(latest, 9, metric("gpu.power"), &small));
    ANSWERS(IGPU_STATUS_NO_SUCH_METRIC, igpu_latest_get_key(latest, 0, metric("gpu.energy"), &small));
    DONE(igpu_latest_close(latest));
    DONE(igpu_background_close(background));
    DONE(igpu_snapshot_close(snapshot));
    DONE(igpu_driver_close(driver));
}

static void options(void) {
    igpu_driver *driver = open_driver();
    igpu_sampler *const untouched = (igpu_sampler *)&record;
    igpu_sampler *sampler = untouched;
#define REFUSED(status, ...)                                                                                        \
    do {                                                                                                            \
        igpu_sampler_options wrong = {.size = sizeof wrong, __VA_ARGS__};                                           \
        ANSWERS(status, igpu_sampler_open(driver, &wrong, &sampler));                                             \
        CHECK(sampler == untouched);                                                                                \
    } while (0)
    static const char *const unknown[] = {"gpu.power", "gpu.powr"};
    REFUSED(IGPU_STATUS_NO_SUCH_METRIC, .metrics = unknown, .metric_count = 2);
    CHECK(!strcmp(igpu_last_error(), "no metric has the name \"gpu.powr\""));
    CHECK(!strcmp(igpu_last_help(), "igpu_metric_get_info returns the names of all metrics"));
    static const char *const null[] = {NULL};
    REFUSED(IGPU_STATUS_NULL_POINTER, .metrics = null, .metric_count = 1);
    REFUSED(IGPU_STATUS_NULL_POINTER, .metrics = NULL, .metric_count = 1);
    REFUSED(IGPU_STATUS_INVALID_ARGUMENT, .metrics = null, .metric_count = SIZE_MAX);
    static const uint64_t intervals_ns[] = {1};
    REFUSED(IGPU_STATUS_INVALID_ARGUMENT, .intervals_ns = intervals_ns);
    static const uint32_t gpus[] = {1, 9, 1};
    REFUSED(IGPU_STATUS_NO_SUCH_GPU, .gpus = gpus, .gpu_count = 2);
    CHECK(!strcmp(igpu_last_error(), "no GPU has index 9; valid indices are 0 to 3") && igpu_last_nvml_code() == 0);
    REFUSED(IGPU_STATUS_INVALID_ARGUMENT, .gpus = gpus, .gpu_count = 3);
    REFUSED(IGPU_STATUS_NULL_POINTER, .gpu_count = 3);
    REFUSED(IGPU_STATUS_INVALID_ARGUMENT, .budget = -0.1);
    REFUSED(IGPU_STATUS_INVALID_ARGUMENT, .budget = NAN);
    REFUSED(IGPU_STATUS_INVALID_ARGUMENT, .process_capacity = UINT32_MAX);
    REFUSED(IGPU_STATUS_INVALID_ARGUMENT, .flags = 8);
    igpu_snapshot *snapshot;
    igpu_snapshot_options both = {.size = sizeof both, .gpus = gpus, .gpu_count = 1, .flags = IGPU_SNAPSHOT_VISIBLE};
    ANSWERS(IGPU_STATUS_INVALID_ARGUMENT, igpu_snapshot_open(driver, &both, &snapshot));
    both.flags = 2;
    ANSWERS(IGPU_STATUS_INVALID_ARGUMENT, igpu_snapshot_open(driver, &both, &snapshot));

    DONE(igpu_sampler_open(driver, NULL, &sampler));
    igpu_background *background;
    ANSWERS(IGPU_STATUS_INVALID_ARGUMENT, igpu_background_start(sampler, 0, &background));
    ANSWERS(IGPU_STATUS_INVALID_ARGUMENT, igpu_background_start(sampler, SIZE_MAX, &background));
    // It is open still.
    ANSWERS(IGPU_STATUS_NO_SUCH_METRIC, igpu_sampler_get_latest(sampler, 0, UINT32_MAX, &record));
    ANSWERS(IGPU_STATUS_NO_SUCH_METRIC, igpu_sampler_get_latest(sampler, 0, metric("gpu.fan.speed"), &record));
    ANSWERS(IGPU_STATUS_NO_SUCH_GPU, igpu_sampler_get_latest(sampler, 4, metric("gpu.power"), &record));
    ANSWERS(IGPU_STATUS_NO_DATA, igpu_sampler_get_latest(sampler, 0, metric("gpu.power"), &record));
    ANSWERS(IGPU_STATUS_NO_DATA, igpu_sampler_get_refresh_period(sampler, 0, metric("gpu.power"), &number));
    igpu_process_info info = {.size = sizeof info};
    ANSWERS(IGPU_STATUS_NO_DATA, igpu_sampler_get_process_info(sampler, 1, &info));
    igpu_gpu_info gpu = {.size = sizeof gpu};
    ANSWERS(IGPU_STATUS_NO_SUCH_GPU, igpu_sampler_get_gpu_info(sampler, 0, &gpu));
    DONE(igpu_sampler_close(sampler));

    igpu_driver *none = NULL;
    igpu_driver_options nowhere = {.size = sizeof nowhere, .library = "/nowhere/libnvidia-ml.so.1"};
    ANSWERS(IGPU_STATUS_DRIVER_NOT_FOUND, igpu_driver_open(&nowhere, &none));
    CHECK(none == NULL && strstr(igpu_last_error(), "/nowhere/libnvidia-ml.so.1"));
    nowhere.library = "libc.so.6";
    ANSWERS(IGPU_STATUS_DRIVER_NOT_FOUND, igpu_driver_open(&nowhere, &none));
    nowhere.flags = 4;
    ANSWERS(IGPU_STATUS_INVALID_ARGUMENT, igpu_driver_open(&nowhere, &none));
    DONE(igpu_driver_close(driver));
}

static void small_arrays(void) {
    setenv("CUDA_VISIBLE_DEVICES", "3,1,0", 1);
    igpu_driver *driver = open_driver();
    uint32_t gpus[4] = {77, 77, 77, 77};
    DONE(igpu_driver_get_visible_gpus(driver, NULL, 0, &count));
    CHECK(count == 3);
    count = 0;
    ANSWERS(IGPU_STATUS_BUFFER_TOO_SMALL, igpu_driver_get_visible_gpus(driver, gpus, 2, &count));
    CHECK(count == 3 && gpus[0] == 3 && gpus[1] == 1 && gpus[2] == 77);
    DONE(igpu_driver_get_visible_gpus(driver, gpus, 3, &count));
    CHECK(count == 3 && gpus[2] == 0 && gpus[3] == 77);
    DONE(igpu_driver_close(driver));
    unsetenv("CUDA_VISIBLE_DEVICES");
}

static void too_many(void) {
    igpu_driver *drivers[1024], *one_more;
    for (int i = 0; i < 1024; i++) drivers[i] = open_driver();
    ANSWERS(IGPU_STATUS_TOO_MANY_HANDLES, igpu_driver_open(NULL, &one_more));
    DONE(igpu_driver_close(drivers[500]));
    DONE(igpu_driver_open(NULL, &one_more));
    ANSWERS(IGPU_STATUS_INVALID_HANDLE, igpu_driver_close(drivers[500]));
    drivers[500] = one_more;
    for (int i = 0; i < 1024; i++) DONE(igpu_driver_close(drivers[i]));
}

static igpu_sampler *shared;

static void *tick_shared(void *busy) {
    for (int i = 0; i < 30000; i++) {
        const igpu_record *own;
        size_t n;
        igpu_status status = igpu_sampler_tick(shared, igpu_monotonic_ns(), &own, &n);
        if (status == IGPU_STATUS_BUSY) ++*(int *)busy;
        else CHECK(status == IGPU_STATUS_OK || status == IGPU_STATUS_INVALID_HANDLE);
    }
    return NULL;
}

// Two threads on one sampler, and a third that closes it under them.
static void threads(void) {
    igpu_driver *driver = open_driver();
    static const char *const names[] = {"gpu.power", "gpu.utilization"};
    shared = make_sampler(driver, names, 2);
    pthread_t workers[2];
    int busy[2] = {0};
    for (int i = 0; i < 2; i++) CHECK(!pthread_create(&workers[i], NULL, tick_shared, &busy[i]));
    nanosleep(&(struct timespec){.tv_nsec = 2 * 1000 * 1000}, NULL);
    igpu_status status;
    do status = igpu_sampler_close(shared);
    while (status == IGPU_STATUS_BUSY);
    CHECK(status == IGPU_STATUS_OK);
    for (int i = 0; i < 2; i++) pthread_join(workers[i], NULL);
    DONE(igpu_driver_close(driver));
}

int main(void) {
    CHECK(*igpu_last_error() == 0 && *igpu_last_help() == 0 && igpu_last_nvml_code() == 0);
    handles();
    null_places();
    options();
    small_arrays();
    too_many();
    threads();
    CHECK(nvml_sim_calls_after_shutdown() == 0);
    puts("done");
    return 0;
}
