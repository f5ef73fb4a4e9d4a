// A small profiler: its signal handler records a stack sample together with the latest power and utilization of GPU 0, which a
// background sampler reads. Prints the distribution of the samples, and the GPU's means for each function.
//     cc -rdynamic sigprof.c $(pkg-config --cflags --libs igpu) -ldl -o sigprof
#define _GNU_SOURCE
#include <dlfcn.h>
#include <execinfo.h>
#include <igpu.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

enum { SAMPLES = 4096, DEPTH = 16, HANDLER_FRAMES = 2 };

struct sample {
    void *stack[DEPTH];
    int depth;
    double power, utilization; // NAN if there is no value
};

// The handler only uses memory that exists before the timer starts.
static struct sample samples[SAMPLES];
static volatile sig_atomic_t sample_count;
static igpu_latest *latest;
static uint32_t power, utilization;

static double read_latest(uint32_t key) {
    igpu_record record;
    return igpu_latest_read(latest, key, &record) == IGPU_STATUS_OK ? record.value : NAN;
}

static void on_sigprof(int signal) {
    (void)signal;
    if (sample_count == SAMPLES) return;
    struct sample *sample = &samples[sample_count];
    sample->depth = backtrace(sample->stack, DEPTH);
    sample->power = read_latest(power);
    sample->utilization = read_latest(utilization);
    sample_count = sample_count + 1;
}

static double cpu_seconds(void) { return (double)clock() / CLOCKS_PER_SEC; }

// The profiled functions. They need names that dladdr finds (-rdynamic).
void count(double seconds) {
    volatile unsigned long number = 0;
    for (double end = cpu_seconds() + seconds; cpu_seconds() < end;)
        for (int i = 0; i < 100000; i++) number++;
}
void compute_roots(double seconds) {
    volatile double number = 2;
    for (double end = cpu_seconds() + seconds; cpu_seconds() < end;)
        for (int i = 0; i < 100000; i++) number = sqrt(number + i);
}

// Returns the name of the innermost profiled function on the stack.
static const char *function_of(const struct sample *sample) {
    for (int i = HANDLER_FRAMES; i < sample->depth; i++) {
        Dl_info info;
        if (!dladdr(sample->stack[i], &info) || !info.dli_sname) continue;
        if (!strcmp(info.dli_sname, "count") || !strcmp(info.dli_sname, "compute_roots")) return info.dli_sname;
    }
    return "other";
}

// Prints the mean of the available values.
static void print_mean(double sum, int count, const char *unit) {
    if (count > 0) printf("  %6.2f %s", sum / count, unit);
    else printf("     n/a %s", unit);
}

static void print_bar(const char *name) {
    int count = 0, powers = 0, utilizations = 0;
    double watts = 0, percent = 0;
    for (int i = 0; i < sample_count; i++) {
        if (strcmp(function_of(&samples[i]), name) != 0) continue;
        count++;
        if (!isnan(samples[i].power)) watts += samples[i].power, powers++;
        if (!isnan(samples[i].utilization)) percent += samples[i].utilization, utilizations++;
    }
    if (count == 0) return;
    printf("%-13s %4d samples, GPU at", name, count);
    print_mean(watts, powers, "W");
    print_mean(percent, utilizations, "%");
    printf("  ");
    for (int i = 0; i < 40 * count / sample_count; i++) putchar('#');
    putchar('\n');
}

int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 1;
    static const char *const names[] = {"gpu.power", "gpu.utilization"};
    igpu_driver *driver;
    igpu_sampler *sampler;
    igpu_background *background;
    igpu_sampler_options options = {.size = sizeof options, .metrics = names, .metric_count = 2};
    uint32_t metrics[2];
    if (igpu_metric_find(names[0], &metrics[0]) || igpu_metric_find(names[1], &metrics[1]) ||
        igpu_driver_open(NULL, &driver) || igpu_sampler_open(driver, &options, &sampler) ||
        igpu_background_start(sampler, 4096, &background) || igpu_latest_open(background, &latest) ||
        igpu_latest_get_key(latest, 0, metrics[0], &power) || igpu_latest_get_key(latest, 0, metrics[1], &utilization))
        return fprintf(stderr, "%s\n", igpu_last_error()), 1;

    // Waits for the first value, which takes a few milliseconds.
    for (int i = 0; i < 1000 && isnan(read_latest(power)); i++) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    // The first call of backtrace loads a library, which is not allowed in a signal handler.
    samples[0].depth = backtrace(samples[0].stack, DEPTH);
    struct sigaction action = {.sa_handler = on_sigprof, .sa_flags = SA_RESTART};
    sigaction(SIGPROF, &action, NULL);
    struct itimerval timer = {.it_interval = {.tv_usec = 2000}, .it_value = {.tv_usec = 2000}};
    setitimer(ITIMER_PROF, &timer, NULL);
    count(seconds * 2 / 3);
    compute_roots(seconds / 3);
    setitimer(ITIMER_PROF, &(struct itimerval){0}, NULL);

    print_bar("count");
    print_bar("compute_roots");
    print_bar("other");
    igpu_latest_close(latest);
    igpu_background_close(background);
    igpu_driver_close(driver);
    return sample_count == 0;
}
