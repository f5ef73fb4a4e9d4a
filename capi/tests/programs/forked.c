// The child of a fork is told by a status of each handle that it is the parent's, nothing reaches the driver or hangs, and it
// opens the driver anew. The parent notices nothing.
#define _DEFAULT_SOURCE
#include "check.h"
#include <sys/wait.h>
#include <unistd.h>

static igpu_driver *driver;
static igpu_snapshot *snapshot;
static igpu_sampler *sampler;
static igpu_background *background;
static igpu_latest *latest;
static uint32_t key;

static void in_the_child(void) {
    const igpu_status forked = IGPU_STATUS_FORKED;
    unsigned long long calls = nvml_sim_total_calls();
    uint32_t count;
    uint64_t due;
    size_t size;
    igpu_record record;
    igpu_background_info state = {.size = sizeof state};
    igpu_gpu_info gpu = {.size = sizeof gpu};
    igpu_sampler *other;
    igpu_background *more;
    ANSWERS(forked, igpu_driver_get_gpu_count(driver, &count));
    ANSWERS(forked, igpu_sampler_open(driver, NULL, &other));
    ANSWERS(forked, igpu_snapshot_update(snapshot));
    ANSWERS(forked, igpu_snapshot_get_gpu_info(snapshot, 0, &gpu));
    ANSWERS(forked, igpu_sampler_tick(sampler, igpu_monotonic_ns(), NULL, NULL));
    ANSWERS(forked, igpu_sampler_sample(sampler, NULL, NULL));
    ANSWERS(forked, igpu_sampler_get_next_due(sampler, &due));
    ANSWERS(forked, igpu_background_start(sampler, 64, &more));
    ANSWERS(forked, igpu_background_pop(background, &record));
    ANSWERS(forked, igpu_background_drain(background, &record, 1, &size));
    ANSWERS(forked, igpu_background_get_info(background, &state));
    ANSWERS(forked, igpu_background_get_hung_gpus(background, NULL, 0, &size));
    ANSWERS(forked, igpu_background_stop(background));
    CHECK(igpu_latest_read(latest, key, &record) == forked);
    CHECK(strstr(igpu_last_error(), "before fork") && strstr(igpu_last_help(), "igpu_driver_open"));
    // The handles can be closed like any other, but only once.
    DONE(igpu_latest_close(latest));
    DONE(igpu_background_close(background));
    DONE(igpu_sampler_close(sampler));
    DONE(igpu_snapshot_close(snapshot));
    DONE(igpu_driver_close(driver));
    ANSWERS(IGPU_STATUS_INVALID_HANDLE, igpu_background_close(background));
    ANSWERS(IGPU_STATUS_INVALID_HANDLE, igpu_driver_close(driver));
    CHECK(nvml_sim_total_calls() == calls);

    // The driver opened here works, the background sampler too.
    driver = open_driver();
    static const char *const names[] = {"gpu.power"};
    sampler = make_sampler(driver, names, 1);
    DONE(igpu_background_start(sampler, 64, &background));
    while (igpu_background_pop(background, &record) == IGPU_STATUS_NO_DATA) usleep(1000);
    DONE(igpu_background_close(background));
    DONE(igpu_driver_close(driver));
}

int main(void) {
    static const char *const names[] = {"gpu.power"};
    driver = open_driver();
    sampler = make_sampler(driver, names, 1);
    igpu_sampler *spawned = make_sampler(driver, names, 1);
    DONE(igpu_snapshot_open(driver, NULL, &snapshot));
    DONE(igpu_background_start(spawned, 4096, &background));
    DONE(igpu_latest_open(background, &latest));
    DONE(igpu_latest_get_key(latest, 0, metric("gpu.power"), &key));
    igpu_record record;
    while (igpu_latest_read(latest, key, &record) == IGPU_STATUS_NO_DATA) usleep(1000);

    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        // Only against a child that hangs.
        alarm(600);
        in_the_child();
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    DONE(igpu_snapshot_update(snapshot));
    DONE(igpu_sampler_sample(sampler, NULL, NULL));
    // There is no value for a moment if the writer was interrupted in a write, or if its call waited for the fork.
    igpu_status read;
    while ((read = igpu_latest_read(latest, key, &record)) == IGPU_STATUS_NO_DATA) usleep(1000);
    CHECK(read == IGPU_STATUS_OK && record.value == 122.23);
    DONE(igpu_background_stop(background));
    DONE(igpu_background_close(background));
    DONE(igpu_latest_close(latest));
    DONE(igpu_sampler_close(sampler));
    DONE(igpu_snapshot_close(snapshot));
    DONE(igpu_driver_close(driver));
    puts("done");
    return 0;
}
