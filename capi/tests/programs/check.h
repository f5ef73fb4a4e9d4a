// Macros and functions that the C test programs share.
#include <igpu.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(condition)                                                                                            \
    do {                                                                                                            \
        if (!(condition)) {                                                                                         \
            fprintf(stderr, "%s:%d: check failed: %s; the last error is: %s\n", __FILE__, __LINE__, #condition,           \
                    igpu_last_error());                                                                             \
            exit(1);                                                                                                \
        }                                                                                                           \
    } while (0)

// Checks that a call returns this status, and that a failure has a message.
#define EXPECT_STATUS(status, call)                                                                                       \
    do {                                                                                                            \
        igpu_status status_ = (call);                                                                               \
        if (status_ != (status)) {                                                                                  \
            fprintf(stderr, "%s:%d: %s returned %s (%d): %s\n", __FILE__, __LINE__, #call,                           \
                    igpu_status_string(status_), (int)status_, igpu_last_error());                                  \
            exit(1);                                                                                                \
        }                                                                                                           \
        CHECK(status_ == IGPU_STATUS_OK || *igpu_last_error() != 0);                                                \
    } while (0)
#define EXPECT_OK(call) EXPECT_STATUS(IGPU_STATUS_OK, call)

// Functions that control the simulated driver, which is linked with the program.
void nvml_sim_add_faults(const char *toml, char *error, size_t length);
void nvml_sim_clear_faults(void);
unsigned long long nvml_sim_total_calls(void);
unsigned long long nvml_sim_calls(const char *function);
unsigned long long nvml_sim_calls_after_shutdown(void);

// Terminates a program that hangs.
__attribute__((constructor)) static void start_timeout(void) { alarm(100); }

static inline igpu_driver *open_driver(void) {
    igpu_driver *driver;
    EXPECT_OK(igpu_driver_open(NULL, &driver));
    return driver;
}

static inline uint32_t metric(const char *name) {
    uint32_t number;
    EXPECT_OK(igpu_metric_find(name, &number));
    return number;
}

// Opens a sampler that reads these metrics at every tick.
static inline igpu_sampler *open_sampler(igpu_driver *driver, const char *const *names, size_t count) {
    uint64_t intervals_ns[16];
    for (size_t i = 0; i < count; i++) intervals_ns[i] = IGPU_INTERVAL_EVERY_TICK;
    igpu_sampler_options options = {.size = sizeof options};
    options.metrics = names;
    options.metric_count = count;
    options.intervals_ns = intervals_ns;
    igpu_sampler *sampler;
    EXPECT_OK(igpu_sampler_open(driver, &options, &sampler));
    return sampler;
}
