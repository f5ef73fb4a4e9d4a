// A sampler on a thread of its own: the averages of its first values (100, or the number given as the argument).
//     cc background.c $(pkg-config --cflags --libs igpu) -o background
#define _POSIX_C_SOURCE 200809L
#include <igpu.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int failed(const char *what) {
    fprintf(stderr, "%s: %s\n", what, igpu_last_error());
    return 1;
}

int main(int argc, char **argv) {
    unsigned long wanted = argc > 1 ? strtoul(argv[1], NULL, 10) : 100, values = 0;
    static const char *const names[] = {"gpu.power", "gpu.utilization", "gpu.temperature"};
    enum { METRICS = sizeof names / sizeof *names, ROOM = 4096 };

    igpu_driver *driver;
    if (igpu_driver_open(NULL, &driver)) return failed("no driver");
    uint32_t gpus;
    if (igpu_driver_get_gpu_count(driver, &gpus)) return failed("no GPU");
    if (gpus == 0) return puts("there is no GPU"), 0;
    igpu_sampler *sampler;
    igpu_sampler_options options = {.size = sizeof options, .metrics = names, .metric_count = METRICS};
    if (igpu_sampler_open(driver, &options, &sampler)) return failed("no sampler");
    igpu_background *background;
    if (igpu_background_start(sampler, ROOM, &background)) return failed("no thread");

    uint32_t metrics[METRICS];
    for (int i = 0; i < METRICS; i++) igpu_metric_find(names[i], &metrics[i]);
    double sums[METRICS] = {0};
    unsigned long counts[METRICS] = {0};
    static igpu_record records[ROOM];
    while (values < wanted) {
        nanosleep(&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL);
        size_t count;
        if (igpu_background_drain(background, records, ROOM, &count)) return failed("no records");
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
        printf("%s: %lu values, on average %.2f %s\n", info.name, counts[i], counts[i] ? sums[i] / counts[i] : 0.0, info.unit);
    }
    printf("%llu ticks, %llu records lost\n", (unsigned long long)state.ticks, (unsigned long long)state.dropped_records);
    if (igpu_background_close(background)) return failed("the thread");
    igpu_driver_close(driver);
    return 0;
}
