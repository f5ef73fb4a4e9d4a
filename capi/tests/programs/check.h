// What the C programs of the tests share.
#include <igpu.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(condition)                                                                                            \
    do {                                                                                                            \
        if (!(condition)) {                                                                                         \
            fprintf(stderr, "%s:%d: not so: %s; the last error is: %s\n", __FILE__, __LINE__, #condition,           \
                    igpu_last_error());                                                                             \
            exit(1);                                                                                                \
        }                                                                                                           \
    } while (0)

// The call answers this status; a failure has a sentence.
#define ANSWERS(status, call)                                                                                       \
    do {                                                                                                            \
        igpu_status answer_ = (call);                                                                               \
        if (answer_ != (status)) {                                                                                  \
            fprintf(stderr, "%s:%d: %s answers %s (%d): %s\n", __FILE__, __LINE__, #call,                           \
                    igpu_status_string(answer_), (int)answer_, igpu_last_error());                                  \
            exit(1);                                                                                                \
        }                                                                                                           \
        CHECK(answer_ == IGPU_STATUS_OK || *igpu_last_error() != 0);                                                \
    } while (0)
#define DONE(call) ANSWERS(IGPU_STATUS_OK, call)

// The simulated driver's controls; it is linked into the program.
void nvml_sim_add_faults(const char *toml, char *error, size_t length);
void nvml_sim_clear_faults(void);
unsigned long long nvml_sim_total_calls(void);
unsigned long long nvml_sim_calls(const char *function);
unsigned long long nvml_sim_calls_after_shutdown(void);

// Whatever hangs, ends.
__attribute__((constructor)) static void end_what_hangs(void) { alarm(100); }

static inline igpu_driver *open_driver(void) {
    igpu_driver *driver;
    DONE(igpu_driver_open(NULL, &driver));
    return driver;
}

static inline uint32_t metric(const char *name) {
    uint32_t number;
    DONE(igpu_metric_find(name, &number));
    return number;
}

// A sampler that reads these metrics at every tick.
static inline igpu_sampler *make_sampler(igpu_driver *driver, const char *const *names, size_t count) {
    uint64_t intervals_ns[16];
    for (size_t i = 0; i < count; i++) intervals_ns[i] = IGPU_INTERVAL_EVERY_TICK;
    igpu_sampler_options options = {.size = sizeof options};
    options.metrics = names;
    options.metric_count = count;
    options.intervals_ns = intervals_ns;
    igpu_sampler *sampler;
    DONE(igpu_sampler_open(driver, &options, &sampler));
    return sampler;
}
