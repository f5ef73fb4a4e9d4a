// A little profiler: each stack sample is tagged with the power and the utilisation of GPU 0 at that moment, which a sampler
// on a thread of its own keeps ready. Prints where the time went, and what the GPU did meanwhile.
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
    double power, utilization; // NAN while the GPU has none
};

// All that the handler touches was made before the timer starts.
static struct sample samples[SAMPLES];
static volatile sig_atomic_t taken;
static igpu_latest *latest;
static uint32_t power, utilization;

static double read_latest(uint32_t key) {
    igpu_record record;
    return igpu_latest_read(latest, key, &record) == IGPU_STATUS_OK ? record.value : NAN;
}

static void on_sigprof(int signal) {
    (void)signal;
    if (taken == SAMPLES) return;
    struct sample *sample = &samples[taken];
    sample->depth = backtrace(sample->stack, DEPTH);
    sample->power = read_latest(power);
    sample->utilization = read_latest(utilization);
    taken = taken + 1;
}

static double cpu_seconds(void) { return (double)clock() / CLOCKS_PER_SEC; }

// The program that is profiled: what it does has to have a name that dladdr finds (-rdynamic).
void count(double seconds) {
    volatile unsigned long number = 0;
    for (double end = cpu_seconds() + seconds; cpu_seconds() < end;)
        for (int i = 0; i < 100000; i++) number++;
}
void draw_roots(double seconds) {
    volatile double number = 2;
    for (double end = cpu_seconds() + seconds; cpu_seconds() < end;)
        for (int i = 0; i < 100000; i++) number = sqrt(number + i);
}

// The first function of the program itself on the stack.
static const char *where(const struct sample *sample) {
    for (int i = HANDLER_FRAMES; i < sample->depth; i++) {
        Dl_info info;
        if (!dladdr(sample->stack[i], &info) || !info.dli_sname) continue;
        if (!strcmp(info.dli_sname, "count") || !strcmp(info.dli_sname, "draw_roots")) return info.dli_sname;
    }
    return "elsewhere";
}

// The mean of the values that there were.
static void show_mean(double sum, int count, const char *unit) {
    if (count > 0) printf("  %6.2f %s", sum / count, unit);
    else printf("     n/a %s", unit);
}

static void histogram(const char *name) {
    int count = 0, powers = 0, utilizations = 0;
    double watts = 0, percent = 0;
    for (int i = 0; i < taken; i++) {
        if (strcmp(where(&samples[i]), name) != 0) continue;
        count++;
        if (!isnan(samples[i].power)) watts += samples[i].power, powers++;
        if (!isnan(samples[i].utilization)) percent += samples[i].utilization, utilizations++;
    }
    if (count == 0) return;
    printf("%-10s %4d samples, GPU at", name, count);
    show_mean(watts, powers, "W");
    show_mean(percent, utilizations, "%");
    printf("  ");
    for (int i = 0; i < 40 * count / taken; i++) putchar('#');
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

    // The sampler's thread has its first values within milliseconds.
    for (int i = 0; i < 1000 && isnan(read_latest(power)); i++) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    // The first backtrace loads a library, which a signal handler may not.
    samples[0].depth = backtrace(samples[0].stack, DEPTH);
    struct sigaction action = {.sa_handler = on_sigprof, .sa_flags = SA_RESTART};
    sigaction(SIGPROF, &action, NULL);
    struct itimerval timer = {.it_interval = {.tv_usec = 2000}, .it_value = {.tv_usec = 2000}};
    setitimer(ITIMER_PROF, &timer, NULL);
    count(seconds * 2 / 3);
    draw_roots(seconds / 3);
    setitimer(ITIMER_PROF, &(struct itimerval){0}, NULL);

    histogram("count");
    histogram("draw_roots");
    histogram("elsewhere");
    igpu_latest_close(latest);
    igpu_background_close(background);
    igpu_driver_close(driver);
    return taken == 0;
}
