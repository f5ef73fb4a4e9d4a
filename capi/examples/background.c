// Prints the averages of the first values of a background sampler. The argument is the number of values; the default is 100.
//     cc background.c $(pkg-config --cflags --libs igpu) -o background
#define _POSIX_C_SOURCE 200809L
#include <igpu.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int fail(const char *action) {
    fprintf(stderr, "could not %s: %s\n", action, igpu_last_error());
    if (*igpu_last_help()) fprintf(stderr, "help: %s\n", igpu_last_help());
    return 1;
}

int main(int argc, char **argv) {
    unsigned long value_count = argc > 1 ? strtoul(argv[1], NULL, 10) : 100, values = 0;
    static const char *const names[] = {"gpu.power", "gpu.utilization", "gpu.temperature"};
    enum { METRICS = sizeof names / sizeof *names, CAPACITY = 4096 };

    igpu_driver *driver;
    if (igpu_driver_open(NULL, &driver)) return fail("open the driver");
    uint32_t gpus;
    if (igpu_driver_get_gpu_count(driver, &gpus)) return fail("count the GPUs");
    if (gpus == 0) return puts("the machine has no GPU"), 0;
    igpu_sampler *sampler;
    igpu_sampler_options options = {.size = sizeof options, .metrics = names, .metric_count = METRICS};
    if (igpu_sampler_open(driver, &options, &sampler)) return fail("open a sampler");
    igpu_background *background;
    if (igpu_background_start(sampler, CAPACITY, &background)) return fail("start a thread");

    uint32_t metrics[METRICS];
    for (int i = 0; i < METRICS; i++) igpu_metric_find(names[i], &metrics[i]);
    double sums[METRICS] = {0};
    unsigned long counts[METRICS] = {0};
    static igpu_record records[CAPACITY];
    while (values < value_count) {
        nanosleep(&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL);
        size_t count;
        if (igpu_background_drain(background, records, CAPACITY, &count)) return fail("remove records");
        for (size_t r = 0; r < count; r++) {
            if (records[r].flags & IGPU_RECORD_EVENT) {
                printf("GPU %u: %s (%g)\n", records[r].gpu, igpu_event_name(records[r].detail), records[r].value);
                continue;
            }
            values++;
            for (int i = 0; i < METRICS; i++) {
                if (records[r].metric != metrics[i]) continue;
                sums[i] += records[r].value;
                counts[i]++;
            }
        }
    }
    igpu_background_info state = {.size = sizeof state};
    igpu_background_get_info(background, &state);
    for (int i = 0; i < METRICS; i++) {
        igpu_metric_info info = {.size = sizeof info};
        igpu_metric_get_info(metrics[i], &info);
        printf("%s: %lu values, average %.2f %s\n", info.name, counts[i], counts[i] ? sums[i] / counts[i] : 0.0, info.unit);
    }
    printf("%llu ticks, %llu records dropped\n", (unsigned long long)state.ticks, (unsigned long long)state.dropped_records);
    if (igpu_background_close(background)) return fail("stop the thread");
    igpu_driver_close(driver);
    return 0;
}
