// Stopping and closing a sampler do not wait for a driver call that never returns.
#define _GNU_SOURCE
#include "check.h"
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <unistd.h>

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **gpu);
int nvmlDeviceGetTemperature(void *gpu, int sensor, unsigned *celsius);

// Calls the driver's function. For GPU 1 while it hangs, first waits until `released` is posted.
static void *gpu_1;
static volatile int hangs;
static sem_t released, watched;
static int temperature(void *gpu, int sensor, unsigned *celsius) {
    if (hangs && gpu == gpu_1)
        while (sem_wait(&released)) {}
    return nvmlDeviceGetTemperature(gpu, sensor, celsius);
}

static const void *resolve(const char *name, void *data) {
    (void)data;
    if (!strcmp(name, "nvmlDeviceGetTemperatureV")) return NULL;
    void *address = dlsym(RTLD_DEFAULT, name);
    int (*own)(void *, int, unsigned *) = temperature;
    if (!strcmp(name, "nvmlDeviceGetTemperature")) memcpy(&address, &own, sizeof address);
    return address;
}

// A second thread observes the start and the end of GPU 1's hang while the first removes records. Neither gets
// IGPU_STATUS_BUSY.
static void *watch(void *reader) {
    igpu_latest *latest = reader;
    igpu_background_info state = {.size = sizeof state};
    uint32_t hung[2] = {77, 77};
    size_t count;
    do {
        EXPECT_OK(igpu_latest_get_hung_gpus(latest, hung, 2, &count));
    } while (count == 0);
    CHECK(count == 1 && hung[0] == 1 && hung[1] == 77);
    EXPECT_OK(igpu_latest_get_info(latest, &state));
    CHECK(state.ticks > 0 && state.dropped_records == 0 && state.time_since_heartbeat_ns > 30 * 1000 * 1000);
    sem_post(&watched);
    do {
        EXPECT_OK(igpu_latest_get_hung_gpus(latest, NULL, 0, &count));
    } while (count > 0);
    EXPECT_STATUS(IGPU_STATUS_NULL_POINTER, igpu_latest_get_hung_gpus(latest, NULL, 1, &count));
    EXPECT_STATUS(IGPU_STATUS_NULL_POINTER, igpu_latest_get_info(latest, NULL));
    return NULL;
}

// One GPU hangs: an event reports it, it has no latest value, and the other GPUs are still read. It recovers when the call
// returns.
static void one_gpu(void) {
    static const char *const names[] = {"gpu.temperature"};
    static const uint64_t intervals_ns[] = {1000 * 1000};
    igpu_sampler_options options = {.size = sizeof options, .metrics = names, .metric_count = 1, .intervals_ns = intervals_ns,
                                    .budget = 1, .hang_timeout_ns = 30 * 1000 * 1000};
    igpu_driver_options driver_options = {.size = sizeof driver_options, .resolver = resolve};
    igpu_driver *driver;
    igpu_sampler *sampler;
    igpu_background *background;
    igpu_latest *latest;
    uint32_t hung[4] = {77, 77, 77, 77}, keys[2];
    size_t count;
    igpu_record record;
    pthread_t watcher;
    EXPECT_OK(igpu_driver_open(&driver_options, &driver));
    CHECK(nvmlDeviceGetHandleByIndex_v2(1, &gpu_1) == 0 && sem_init(&released, 0, 0) == 0 && sem_init(&watched, 0, 0) == 0);
    EXPECT_OK(igpu_sampler_open(driver, &options, &sampler));
    EXPECT_OK(igpu_background_start(sampler, 1 << 16, &background));
    EXPECT_OK(igpu_latest_open(background, &latest));
    for (uint32_t gpu = 0; gpu < 2; gpu++) EXPECT_OK(igpu_latest_get_key(latest, gpu, metric(names[0]), &keys[gpu]));
    while (igpu_latest_read(latest, keys[1], &record)) usleep(1000);
    EXPECT_OK(igpu_background_get_hung_gpus(background, NULL, 0, &count));
    CHECK(count == 0);

    hangs = 1;
    do {
        usleep(1000);
        EXPECT_OK(igpu_background_get_hung_gpus(background, hung, 4, &count));
    } while (count == 0);
    CHECK(count == 1 && hung[0] == 1 && hung[1] == 77);
    CHECK(pthread_create(&watcher, NULL, watch, latest) == 0);
    uint64_t since = igpu_monotonic_ns();
    int hung_events = 0, other_values = 0;
    while (!hung_events || other_values < 10) {
        if (igpu_background_pop(background, &record)) {
            usleep(1000);
            continue;
        }
        if (record.flags & IGPU_RECORD_EVENT && record.detail == IGPU_EVENT_GPU_HUNG) {
            CHECK(record.gpu == 1 && record.value >= 0.03 && !strcmp(igpu_event_name(record.detail), "gpu.hung"));
            hung_events++;
        } else if (!(record.flags & IGPU_RECORD_EVENT) && record.timestamp_ns > since) {
            CHECK(record.gpu != 1 && (record.gpu != 0 || record.value == 61));
            other_values++;
        }
    }
    CHECK(hung_events == 1);
    CHECK(igpu_latest_read(latest, keys[0], &record) == IGPU_STATUS_OK && record.value == 61);
    CHECK(igpu_latest_read(latest, keys[1], &record) == IGPU_STATUS_NO_DATA);
    while (sem_wait(&watched)) {}
    hangs = 0;
    sem_post(&released);
    do {
        usleep(1000);
        EXPECT_OK(igpu_background_get_hung_gpus(background, hung, 4, &count));
    } while (count > 0);
    CHECK(pthread_join(watcher, NULL) == 0);
    while (igpu_latest_read(latest, keys[1], &record)) usleep(1000);
    EXPECT_OK(igpu_background_close(background));
    EXPECT_OK(igpu_latest_close(latest));
    EXPECT_OK(igpu_driver_close(driver));
    CHECK(nvml_sim_calls("nvmlShutdown") == 1);
}

int main(void) {
    one_gpu();
    static const char *const names[] = {"gpu.power", "gpu.temperature"};
    for (int round = 0; round < 2; round++) {
        igpu_driver *driver = open_driver();
        igpu_sampler *sampler = open_sampler(driver, names, 2);
        igpu_background *background;
        EXPECT_OK(igpu_background_start(sampler, 1 << 16, &background));
        igpu_record record;
        while (igpu_background_pop(background, &record) == IGPU_STATUS_NO_DATA) usleep(1000);
        nvml_sim_add_faults("[[fault]]\nfunction = 'nvmlDeviceGetTemperature*'\nhang = true\n", NULL, 0);
        size_t count;
        do {
            usleep(5000);
            EXPECT_OK(igpu_background_get_hung_gpus(background, NULL, 0, &count));
        } while (count == 0);
        igpu_status status = round == 0 ? igpu_background_stop(background) : igpu_background_close(background);
        CHECK(status == IGPU_STATUS_ABANDONED && strstr(igpu_last_error(), "abandoned"));
        if (round == 0) {
            // The records can still be removed, and a second stop returns the same status immediately.
            EXPECT_OK(igpu_background_pop(background, &record));
            EXPECT_STATUS(IGPU_STATUS_ABANDONED, igpu_background_stop(background));
            EXPECT_STATUS(IGPU_STATUS_ABANDONED, igpu_background_close(background));
        }
        EXPECT_STATUS(IGPU_STATUS_INVALID_HANDLE, igpu_background_close(background));
        EXPECT_OK(igpu_driver_close(driver));
        nvml_sim_clear_faults();
    }
    CHECK(nvml_sim_calls("nvmlShutdown") == 1);
    puts("done");
    fflush(stdout);
    // Skips exit handlers, because the hung threads are still inside the driver library.
    _exit(0);
}
