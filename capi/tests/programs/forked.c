// After fork, each handle of the parent process fails with a status in the child process, no call reaches the driver or hangs,
// and the child can open the driver again. The parent is not affected.
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
    EXPECT_STATUS(forked, igpu_driver_get_gpu_count(driver, &count));
    EXPECT_STATUS(forked, igpu_sampler_open(driver, NULL, &other));
    EXPECT_STATUS(forked, igpu_snapshot_update(snapshot));
    EXPECT_STATUS(forked, igpu_snapshot_get_gpu_info(snapshot, 0, &gpu));
    EXPECT_STATUS(forked, igpu_sampler_tick(sampler, igpu_monotonic_ns(), NULL, NULL));
    EXPECT_STATUS(forked, igpu_sampler_sample(sampler, NULL, NULL));
    EXPECT_STATUS(forked, igpu_sampler_get_next_due(sampler, &due));
    EXPECT_STATUS(forked, igpu_background_start(sampler, 64, &more));
    EXPECT_STATUS(forked, igpu_background_pop(background, &record));
    EXPECT_STATUS(forked, igpu_background_drain(background, &record, 1, &size));
    EXPECT_STATUS(forked, igpu_background_get_info(background, &state));
    EXPECT_STATUS(forked, igpu_background_get_hung_gpus(background, NULL, 0, &size));
    EXPECT_STATUS(forked, igpu_background_stop(background));
    CHECK(igpu_latest_read(latest, key, &record) == forked);
    CHECK(strstr(igpu_last_error(), "before fork") && strstr(igpu_last_help(), "igpu_driver_open"));
    // The handles can be closed, but only once.
    EXPECT_OK(igpu_latest_close(latest));
    EXPECT_OK(igpu_background_close(background));
    EXPECT_OK(igpu_sampler_close(sampler));
    EXPECT_OK(igpu_snapshot_close(snapshot));
    EXPECT_OK(igpu_driver_close(driver));
    EXPECT_STATUS(IGPU_STATUS_INVALID_HANDLE, igpu_background_close(background));
    EXPECT_STATUS(IGPU_STATUS_INVALID_HANDLE, igpu_driver_close(driver));
    CHECK(nvml_sim_total_calls() == calls);

    // A driver opened in the child works, including a background sampler.
    driver = open_driver();
    static const char *const names[] = {"gpu.power"};
    sampler = open_sampler(driver, names, 1);
    EXPECT_OK(igpu_background_start(sampler, 64, &background));
    while (igpu_background_pop(background, &record) == IGPU_STATUS_NO_DATA) usleep(1000);
    EXPECT_OK(igpu_background_close(background));
    EXPECT_OK(igpu_driver_close(driver));
}

int main(void) {
    static const char *const names[] = {"gpu.power"};
    driver = open_driver();
    sampler = open_sampler(driver, names, 1);
    igpu_sampler *moved = open_sampler(driver, names, 1);
    EXPECT_OK(igpu_snapshot_open(driver, NULL, &snapshot));
    EXPECT_OK(igpu_background_start(moved, 4096, &background));
    EXPECT_OK(igpu_latest_open(background, &latest));
    EXPECT_OK(igpu_latest_get_key(latest, 0, metric("gpu.power"), &key));
    igpu_record record;
    while (igpu_latest_read(latest, key, &record) == IGPU_STATUS_NO_DATA) usleep(1000);

    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        // Terminates a child that hangs. The child does not inherit the alarm of its parent.
        alarm(600);
        in_the_child();
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    EXPECT_OK(igpu_snapshot_update(snapshot));
    EXPECT_OK(igpu_sampler_sample(sampler, NULL, NULL));
    // The value is briefly unavailable if the fork interrupted a write, or if the call waited for the fork.
    igpu_status read;
    while ((read = igpu_latest_read(latest, key, &record)) == IGPU_STATUS_NO_DATA) usleep(1000);
    CHECK(read == IGPU_STATUS_OK && record.value == 122.23);
    EXPECT_OK(igpu_background_stop(background));
    EXPECT_OK(igpu_background_close(background));
    EXPECT_OK(igpu_latest_close(latest));
    EXPECT_OK(igpu_sampler_close(sampler));
    EXPECT_OK(igpu_snapshot_close(snapshot));
    EXPECT_OK(igpu_driver_close(driver));
    puts("done");
    return 0;
}
