// Invalid arguments result in a status and a message, and change nothing.
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
static void call_every_function(igpu_status status, void *handle) {
    const igpu_status close_status = handle ? status : IGPU_STATUS_OK;
    igpu_driver_info driver_info = {.size = sizeof driver_info};
    EXPECT_STATUS(status, igpu_driver_get_info(handle, &driver_info));
    EXPECT_STATUS(status, igpu_driver_get_gpu_count(handle, &small));
    EXPECT_STATUS(status, igpu_driver_get_visible_gpus(handle, indices, 4, &count));
    igpu_snapshot *snapshot;
    EXPECT_STATUS(status, igpu_snapshot_open(handle, NULL, &snapshot));
    igpu_sampler *sampler;
    EXPECT_STATUS(status, igpu_sampler_open(handle, NULL, &sampler));
    EXPECT_STATUS(close_status, igpu_driver_close(handle));

    igpu_gpu_info gpu = {.size = sizeof gpu};
    igpu_gpu_process_info process = {.size = sizeof process};
    EXPECT_STATUS(status, igpu_snapshot_update(handle));
    EXPECT_STATUS(status, igpu_snapshot_grow_process_lists(handle));
    EXPECT_STATUS(status, igpu_snapshot_get_gpu_count(handle, &small));
    EXPECT_STATUS(status, igpu_snapshot_get_gpu_info(handle, 0, &gpu));
    EXPECT_STATUS(status, igpu_snapshot_get_gpu_process_info(handle, 0, 0, &process));
    EXPECT_STATUS(status, igpu_snapshot_reading_error(handle, 0, IGPU_READING_NAME));
    EXPECT_STATUS(close_status, igpu_snapshot_close(handle));

    igpu_process_info info = {.size = sizeof info};
    igpu_background *background;
    EXPECT_STATUS(status, igpu_sampler_tick(handle, 0, &records, &count));
    EXPECT_STATUS(status, igpu_sampler_sample(handle, &records, &count));
    EXPECT_STATUS(status, igpu_sampler_get_next_due(handle, &number));
    EXPECT_STATUS(status, igpu_sampler_get_latest(handle, 0, 0, &record));
    EXPECT_STATUS(status, igpu_sampler_metric_error(handle, 0, 0));
    EXPECT_STATUS(status, igpu_sampler_get_refresh_period(handle, 0, 0, &number));
    EXPECT_STATUS(status, igpu_sampler_get_poll_interval(handle, 0, 0, &number));
    EXPECT_STATUS(status, igpu_sampler_get_process_info(handle, 1, &info));
    EXPECT_STATUS(status, igpu_sampler_get_gpu_info(handle, 0, &gpu));
    EXPECT_STATUS(status, igpu_sampler_get_gpu_process_info(handle, 0, 0, &process));
    EXPECT_STATUS(status, igpu_background_start(handle, 16, &background));
    EXPECT_STATUS(close_status, igpu_sampler_close(handle));

    igpu_background_info state = {.size = sizeof state};
    igpu_latest *latest;
    EXPECT_STATUS(status, igpu_background_pop(handle, &record));
    EXPECT_STATUS(status, igpu_background_drain(handle, &record, 1, &count));
    EXPECT_STATUS(status, igpu_background_get_info(handle, &state));
    EXPECT_STATUS(status, igpu_background_get_hung_gpus(handle, indices, 4, &count));
    EXPECT_STATUS(status, igpu_latest_open(handle, &latest));
    EXPECT_STATUS(status, igpu_background_stop(handle));
    EXPECT_STATUS(close_status, igpu_background_close(handle));

    EXPECT_STATUS(status, igpu_latest_get_key(handle, 0, 0, &small));
    EXPECT_STATUS(status, igpu_latest_read(handle, 0, &record));
    EXPECT_STATUS(close_status, igpu_latest_close(handle));
}

static void handles(void) {
    call_every_function(IGPU_STATUS_NULL_POINTER, NULL);
    int variable = 0;
    void *const invalid[] = {&variable, (void *)1, (void *)8, (void *)0x13000, (void *)UINTPTR_MAX, (void *)"text"};
    for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++)
        call_every_function(IGPU_STATUS_INVALID_HANDLE, invalid[i]);

    // Closed handles of every type.
    igpu_driver *driver = open_driver();
    static const char *const names[] = {"gpu.power"};
    igpu_sampler *sampler = open_sampler(driver, names, 1), *spawned = open_sampler(driver, names, 1);
    igpu_snapshot *snapshot;
    igpu_background *background;
    igpu_latest *latest;
    EXPECT_OK(igpu_snapshot_open(driver, NULL, &snapshot));
    EXPECT_OK(igpu_background_start(spawned, 64, &background));
    EXPECT_OK(igpu_latest_open(background, &latest));
    call_every_function(IGPU_STATUS_INVALID_HANDLE, spawned);
    // Handles of another type.
    EXPECT_STATUS(IGPU_STATUS_INVALID_HANDLE, igpu_sampler_close((void *)driver));
    EXPECT_STATUS(IGPU_STATUS_INVALID_HANDLE, igpu_snapshot_update((void *)sampler));
    EXPECT_STATUS(IGPU_STATUS_INVALID_HANDLE, igpu_latest_read((void *)background, 0, &record));
    EXPECT_STATUS(IGPU_STATUS_INVALID_HANDLE, igpu_background_stop((void *)latest));
    // The driver can be closed first: the handles opened from it remain valid.
    EXPECT_OK(igpu_driver_close(driver));
    CHECK(nvml_sim_calls("nvmlShutdown") == 0);
    EXPECT_OK(igpu_sampler_sample(sampler, NULL, NULL));
    EXPECT_OK(igpu_snapshot_update(snapshot));
    EXPECT_OK(igpu_sampler_close(sampler));
    EXPECT_OK(igpu_snapshot_close(snapshot));
    EXPECT_OK(igpu_background_close(background));
    // The reader does not keep NVML initialized, and is still open.
    CHECK(nvml_sim_calls("nvmlShutdown") == 1);
    EXPECT_OK(igpu_latest_get_key(latest, 0, metric("gpu.power"), &small));
    EXPECT_OK(igpu_latest_close(latest));
    void *const closed[] = {driver, sampler, snapshot, background, latest};
    for (size_t i = 0; i < sizeof closed / sizeof *closed; i++)
        call_every_function(IGPU_STATUS_INVALID_HANDLE, closed[i]);
    CHECK(nvml_sim_calls_after_shutdown() == 0);
}

static void null_arguments(void) {
    igpu_driver *driver = open_driver();
    static const char *const names[] = {"gpu.power"};
    igpu_sampler *sampler = open_sampler(driver, names, 1);
    igpu_snapshot *snapshot;
    EXPECT_OK(igpu_snapshot_open(driver, NULL, &snapshot));
    const igpu_status null = IGPU_STATUS_NULL_POINTER;
    EXPECT_STATUS(null, igpu_driver_open(NULL, NULL));
    EXPECT_STATUS(null, igpu_driver_get_info(driver, NULL));
    EXPECT_STATUS(null, igpu_driver_get_gpu_count(driver, NULL));
    EXPECT_STATUS(null, igpu_driver_get_visible_gpus(driver, indices, 4, NULL));
    EXPECT_STATUS(null, igpu_driver_get_visible_gpus(driver, NULL, 4, &count));
    EXPECT_STATUS(null, igpu_snapshot_open(driver, NULL, NULL));
    EXPECT_STATUS(null, igpu_snapshot_get_gpu_count(snapshot, NULL));
    EXPECT_STATUS(null, igpu_snapshot_get_gpu_info(snapshot, 0, NULL));
    EXPECT_STATUS(null, igpu_snapshot_get_gpu_process_info(snapshot, 0, 0, NULL));
    EXPECT_STATUS(null, igpu_sampler_open(driver, NULL, NULL));
    EXPECT_STATUS(null, igpu_sampler_get_next_due(sampler, NULL));
    EXPECT_STATUS(null, igpu_sampler_get_latest(sampler, 0, 0, NULL));
    EXPECT_STATUS(null, igpu_sampler_get_refresh_period(sampler, 0, 0, NULL));
    EXPECT_STATUS(null, igpu_sampler_get_poll_interval(sampler, 0, 0, NULL));
    EXPECT_STATUS(null, igpu_background_start(sampler, 16, NULL));
    EXPECT_STATUS(null, igpu_metric_find("gpu.power", NULL));
    EXPECT_STATUS(null, igpu_metric_find(NULL, &small));
    EXPECT_STATUS(null, igpu_metric_get_info(0, NULL));
    // The records are optional.
    EXPECT_OK(igpu_sampler_tick(sampler, igpu_monotonic_ns(), NULL, NULL));
    igpu_background *background;
    EXPECT_OK(igpu_background_start(sampler, 16, &background));
    EXPECT_STATUS(null, igpu_background_pop(background, NULL));
    EXPECT_STATUS(null, igpu_background_drain(background, NULL, 4, &count));
    EXPECT_STATUS(null, igpu_background_drain(background, &record, 1, NULL));
    EXPECT_STATUS(IGPU_STATUS_BUFFER_TOO_SMALL, igpu_background_drain(background, &record, 0, &count));
    EXPECT_STATUS(null, igpu_background_get_info(background, NULL));
    EXPECT_STATUS(null, igpu_background_get_hung_gpus(background, NULL, 1, &count));
    EXPECT_STATUS(null, igpu_background_get_hung_gpus(background, indices, 4, NULL));
    EXPECT_STATUS(null, igpu_latest_open(background, NULL));
    igpu_latest *latest;
    EXPECT_OK(igpu_latest_open(background, &latest));
    EXPECT_STATUS(null, igpu_latest_get_key(latest, 0, 0, NULL));
    EXPECT_STATUS(null, igpu_latest_read(latest, 0, NULL));
    EXPECT_STATUS(IGPU_STATUS_INVALID_ARGUMENT, igpu_latest_read(latest, UINT32_MAX, &record));
    EXPECT_STATUS(IGPU_STATUS_NO_SUCH_GPU, igpu_latest_get_key(latest, 9, metric("gpu.power"), &small));
    EXPECT_STATUS(IGPU_STATUS_NO_SUCH_METRIC, igpu_latest_get_key(latest, 0, metric("gpu.energy"), &small));
    EXPECT_OK(igpu_latest_close(latest));
    EXPECT_OK(igpu_background_close(background));
    EXPECT_OK(igpu_snapshot_close(snapshot));
    EXPECT_OK(igpu_driver_close(driver));
}

static void options(void) {
    igpu_driver *driver = open_driver();
    igpu_sampler *const untouched = (igpu_sampler *)&record;
    igpu_sampler *sampler = untouched;
#define EXPECT_REJECTED(status, ...)                                                                                        \
    do {                                                                                                            \
        igpu_sampler_options invalid = {.size = sizeof invalid, __VA_ARGS__};                                           \
        EXPECT_STATUS(status, igpu_sampler_open(driver, &invalid, &sampler));                                             \
        CHECK(sampler == untouched);                                                                                \
    } while (0)
    static const char *const unknown[] = {"gpu.power", "gpu.powr"};
    EXPECT_REJECTED(IGPU_STATUS_NO_SUCH_METRIC, .metrics = unknown, .metric_count = 2);
    CHECK(!strcmp(igpu_last_error(), "no metric has the name \"gpu.powr\""));
    CHECK(!strcmp(igpu_last_help(), "igpu_metric_get_info returns the names of all metrics"));
    static const char *const null[] = {NULL};
    EXPECT_REJECTED(IGPU_STATUS_NULL_POINTER, .metrics = null, .metric_count = 1);
    EXPECT_REJECTED(IGPU_STATUS_NULL_POINTER, .metrics = NULL, .metric_count = 1);
    EXPECT_REJECTED(IGPU_STATUS_INVALID_ARGUMENT, .metrics = null, .metric_count = SIZE_MAX);
    static const uint64_t intervals_ns[] = {1};
    EXPECT_REJECTED(IGPU_STATUS_INVALID_ARGUMENT, .intervals_ns = intervals_ns);
    static const uint32_t gpus[] = {1, 9, 1};
    EXPECT_REJECTED(IGPU_STATUS_NO_SUCH_GPU, .gpus = gpus, .gpu_count = 2);
    CHECK(!strcmp(igpu_last_error(), "no GPU has index 9; valid indices are 0 to 3") && igpu_last_nvml_code() == 0);
    EXPECT_REJECTED(IGPU_STATUS_INVALID_ARGUMENT, .gpus = gpus, .gpu_count = 3);
    EXPECT_REJECTED(IGPU_STATUS_NULL_POINTER, .gpu_count = 3);
    EXPECT_REJECTED(IGPU_STATUS_INVALID_ARGUMENT, .budget = -0.1);
    EXPECT_REJECTED(IGPU_STATUS_INVALID_ARGUMENT, .budget = NAN);
    EXPECT_REJECTED(IGPU_STATUS_INVALID_ARGUMENT, .process_capacity = UINT32_MAX);
    EXPECT_REJECTED(IGPU_STATUS_INVALID_ARGUMENT, .flags = 8);
    igpu_snapshot *snapshot;
    igpu_snapshot_options both = {.size = sizeof both, .gpus = gpus, .gpu_count = 1, .flags = IGPU_SNAPSHOT_VISIBLE};
    EXPECT_STATUS(IGPU_STATUS_INVALID_ARGUMENT, igpu_snapshot_open(driver, &both, &snapshot));
    both.flags = 2;
    EXPECT_STATUS(IGPU_STATUS_INVALID_ARGUMENT, igpu_snapshot_open(driver, &both, &snapshot));

    EXPECT_OK(igpu_sampler_open(driver, NULL, &sampler));
    igpu_background *background;
    EXPECT_STATUS(IGPU_STATUS_INVALID_ARGUMENT, igpu_background_start(sampler, 0, &background));
    EXPECT_STATUS(IGPU_STATUS_INVALID_ARGUMENT, igpu_background_start(sampler, SIZE_MAX, &background));
    // The sampler is still open.
    EXPECT_STATUS(IGPU_STATUS_NO_SUCH_METRIC, igpu_sampler_get_latest(sampler, 0, UINT32_MAX, &record));
    EXPECT_STATUS(IGPU_STATUS_NO_SUCH_METRIC, igpu_sampler_get_latest(sampler, 0, metric("gpu.fan.speed"), &record));
    EXPECT_STATUS(IGPU_STATUS_NO_SUCH_GPU, igpu_sampler_get_latest(sampler, 4, metric("gpu.power"), &record));
    EXPECT_STATUS(IGPU_STATUS_NO_DATA, igpu_sampler_get_latest(sampler, 0, metric("gpu.power"), &record));
    EXPECT_STATUS(IGPU_STATUS_NO_DATA, igpu_sampler_get_refresh_period(sampler, 0, metric("gpu.power"), &number));
    igpu_process_info info = {.size = sizeof info};
    EXPECT_STATUS(IGPU_STATUS_NO_DATA, igpu_sampler_get_process_info(sampler, 1, &info));
    igpu_gpu_info gpu = {.size = sizeof gpu};
    EXPECT_STATUS(IGPU_STATUS_NO_SUCH_GPU, igpu_sampler_get_gpu_info(sampler, 0, &gpu));
    EXPECT_OK(igpu_sampler_close(sampler));

    igpu_driver *none = NULL;
    igpu_driver_options nowhere = {.size = sizeof nowhere, .library = "/nowhere/libnvidia-ml.so.1"};
    EXPECT_STATUS(IGPU_STATUS_DRIVER_NOT_FOUND, igpu_driver_open(&nowhere, &none));
    CHECK(none == NULL && strstr(igpu_last_error(), "/nowhere/libnvidia-ml.so.1"));
    nowhere.library = "libc.so.6";
    EXPECT_STATUS(IGPU_STATUS_DRIVER_NOT_FOUND, igpu_driver_open(&nowhere, &none));
    nowhere.flags = 4;
    EXPECT_STATUS(IGPU_STATUS_INVALID_ARGUMENT, igpu_driver_open(&nowhere, &none));
    EXPECT_OK(igpu_driver_close(driver));
}

static void small_array(void) {
    setenv("CUDA_VISIBLE_DEVICES", "3,1,0", 1);
    igpu_driver *driver = open_driver();
    uint32_t gpus[4] = {77, 77, 77, 77};
    EXPECT_OK(igpu_driver_get_visible_gpus(driver, NULL, 0, &count));
    CHECK(count == 3);
    count = 0;
    EXPECT_STATUS(IGPU_STATUS_BUFFER_TOO_SMALL, igpu_driver_get_visible_gpus(driver, gpus, 2, &count));
    CHECK(count == 3 && gpus[0] == 3 && gpus[1] == 1 && gpus[2] == 77);
    EXPECT_OK(igpu_driver_get_visible_gpus(driver, gpus, 3, &count));
    CHECK(count == 3 && gpus[2] == 0 && gpus[3] == 77);
    EXPECT_OK(igpu_driver_close(driver));
    unsetenv("CUDA_VISIBLE_DEVICES");
}

static void too_many_handles(void) {
    igpu_driver *drivers[1024], *one_more;
    for (int i = 0; i < 1024; i++) drivers[i] = open_driver();
    EXPECT_STATUS(IGPU_STATUS_TOO_MANY_HANDLES, igpu_driver_open(NULL, &one_more));
    EXPECT_OK(igpu_driver_close(drivers[500]));
    EXPECT_OK(igpu_driver_open(NULL, &one_more));
    EXPECT_STATUS(IGPU_STATUS_INVALID_HANDLE, igpu_driver_close(drivers[500]));
    drivers[500] = one_more;
    for (int i = 0; i < 1024; i++) EXPECT_OK(igpu_driver_close(drivers[i]));
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

// Two threads use the same sampler while a third thread closes it.
static void threads(void) {
    igpu_driver *driver = open_driver();
    static const char *const names[] = {"gpu.power", "gpu.utilization"};
    shared = open_sampler(driver, names, 2);
    pthread_t workers[2];
    int busy[2] = {0};
    for (int i = 0; i < 2; i++) CHECK(!pthread_create(&workers[i], NULL, tick_shared, &busy[i]));
    nanosleep(&(struct timespec){.tv_nsec = 2 * 1000 * 1000}, NULL);
    igpu_status status;
    do status = igpu_sampler_close(shared);
    while (status == IGPU_STATUS_BUSY);
    CHECK(status == IGPU_STATUS_OK);
    for (int i = 0; i < 2; i++) pthread_join(workers[i], NULL);
    EXPECT_OK(igpu_driver_close(driver));
}

int main(void) {
    CHECK(*igpu_last_error() == 0 && *igpu_last_help() == 0 && igpu_last_nvml_code() == 0);
    handles();
    null_arguments();
    options();
    small_array();
    too_many_handles();
    threads();
    CHECK(nvml_sim_calls_after_shutdown() == 0);
    puts("done");
    return 0;
}
