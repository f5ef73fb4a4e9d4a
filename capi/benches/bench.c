// Compares a tick of 8 metrics with libigpu to the same 8 direct calls of NVML with timestamps. The two variants alternate in
// blocks of about 40 us with the same driver, and the result is the median of the ratios of all rounds. `--test` only checks that
// both variants read the same values. `capi/benches/run` builds and runs the benchmark.
#define _POSIX_C_SOURCE 200809L
#include <dlfcn.h>
#include <igpu.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// Declarations of nvml.h. The simulated driver is linked with this program.
typedef struct { unsigned gpu, memory; } rates_t;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory_t;
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **gpu);
int nvmlDeviceGetUtilizationRates(void *gpu, rates_t *rates);
int nvmlDeviceGetMemoryInfo_v2(void *gpu, memory_t *memory);
int nvmlDeviceGetPowerUsage(void *gpu, unsigned *milliwatts);
int nvmlDeviceGetClockInfo(void *gpu, int kind, unsigned *mhz);
int nvmlDeviceGetPerformanceState(void *gpu, int *state);
int nvmlDeviceGetCurrPcieLinkWidth(void *gpu, unsigned *lanes);
int nvml_sim_start(const char *scenario, char *error, size_t length);

enum { METRICS = 8, MAX_GPUS = 8, ROUNDS = 600, BLOCK_NS = 40000 };

static void fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, igpu_last_error());
    exit(1);
}

// The number of loop iterations that are added to each driver call. The simulator's calls take 17 ns, those of a real driver take
// microseconds.
static int delay_iterations;
static void delay(void) {
    for (volatile int i = 0; i < delay_iterations; i++) {}
}
#define SLOW(name, declaration, ...)                                                                                \
    static int slow_##name declaration {                                                                            \
        delay();                                                                                            \
        return name(__VA_ARGS__);                                                                                   \
    }
SLOW(nvmlDeviceGetUtilizationRates, (void *gpu, rates_t *rates), gpu, rates)
SLOW(nvmlDeviceGetMemoryInfo_v2, (void *gpu, memory_t *memory), gpu, memory)
SLOW(nvmlDeviceGetPowerUsage, (void *gpu, unsigned *milliwatts), gpu, milliwatts)
SLOW(nvmlDeviceGetClockInfo, (void *gpu, int kind, unsigned *mhz), gpu, kind, mhz)
SLOW(nvmlDeviceGetPerformanceState, (void *gpu, int *state), gpu, state)
SLOW(nvmlDeviceGetCurrPcieLinkWidth, (void *gpu, unsigned *lanes), gpu, lanes)

// The six functions. Both variants call them through pointers.
static struct {
    int (*rates)(void *, rates_t *);
    int (*memory)(void *, memory_t *);
    int (*power)(void *, unsigned *);
    int (*clock)(void *, int, unsigned *);
    int (*state)(void *, int *);
    int (*width)(void *, unsigned *);
} raw;

static const void *resolve(const char *name, void *data) {
    (void)data;
    void *address = NULL;
#define IS(function, slot)                                                                                          \
    if (!strcmp(name, #function)) memcpy(&address, &raw.slot, sizeof address);
    IS(nvmlDeviceGetUtilizationRates, rates)
    IS(nvmlDeviceGetMemoryInfo_v2, memory)
    IS(nvmlDeviceGetPowerUsage, power)
    IS(nvmlDeviceGetClockInfo, clock)
    IS(nvmlDeviceGetPerformanceState, state)
    IS(nvmlDeviceGetCurrPcieLinkWidth, width)
    return address ? address : dlsym(NULL, name);
}

static int gpus;
static void *handles[MAX_GPUS];
static igpu_sampler *sampler;

struct timed_value { uint64_t before, after; double value; };
static struct timed_value values[METRICS * MAX_GPUS];
static volatile double result;

static double with_igpu(void) {
    const igpu_record *records;
    size_t count;
    if (igpu_sampler_tick(sampler, igpu_monotonic_ns(), &records, &count)) fail("tick");
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += records[i].value;
    return sum;
}

static uint64_t monotonic(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static double with_nvml(void) {
    size_t count = 0;
    monotonic();
    uint64_t last = monotonic();
#define KEEP(call, number)                                                                                          \
    do {                                                                                                            \
        if (call) abort();                                                                                          \
        uint64_t after = monotonic();                                                                               \
        values[count++] = (struct timed_value){last, after, number};                                                    \
        last = after;                                                                                               \
    } while (0)
    for (int i = 0; i < gpus; i++) {
        void *gpu = handles[i];
        rates_t rates;
        memory_t memory = {.version = sizeof memory | 2 << 24};
        unsigned power, clock, width;
        int state;
        KEEP(raw.rates(gpu, &rates), rates.gpu);
        KEEP(raw.memory(gpu, &memory), (double)memory.used);
        KEEP(raw.power(gpu, &power), power * 1e-3);
        KEEP(raw.clock(gpu, 0, &clock), clock);
        KEEP(raw.clock(gpu, 1, &clock), clock);
        KEEP(raw.clock(gpu, 2, &clock), clock);
        KEEP(raw.state(gpu, &state), state);
        KEEP(raw.width(gpu, &width), width);
    }
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += values[i].value;
    return sum;
}

static double time_block(double (*variant)(void), int calls) {
    uint64_t start = monotonic();
    for (int i = 0; i < calls; i++) result = variant();
    return (double)(monotonic() - start) / calls;
}

static int compare_doubles(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}
static double median(double *numbers, int count) {
    qsort(numbers, (size_t)count, sizeof *numbers, compare_doubles);
    return numbers[count / 2];
}

static void compare(const char *name, int gpu_count, int slow, int test) {
    gpus = gpu_count;
    delay_iterations = slow;
#define USE(function, slot) raw.slot = slow ? slow_##function : function
    USE(nvmlDeviceGetUtilizationRates, rates);
    USE(nvmlDeviceGetMemoryInfo_v2, memory);
    USE(nvmlDeviceGetPowerUsage, power);
    USE(nvmlDeviceGetClockInfo, clock);
    USE(nvmlDeviceGetPerformanceState, state);
    USE(nvmlDeviceGetCurrPcieLinkWidth, width);
    static const char *const names[METRICS] = {
        "gpu.utilization", "gpu.memory.used",  "gpu.power",             "gpu.clock.graphics",
        "gpu.clock.sm",    "gpu.clock.memory", "gpu.performance_state", "gpu.pcie.link.width"};
    static const uint32_t indices[MAX_GPUS] = {0, 1, 2, 3, 4, 5, 6, 7};
    uint64_t intervals_ns[METRICS];
    for (int i = 0; i < METRICS; i++) intervals_ns[i] = IGPU_INTERVAL_EVERY_TICK;
    igpu_driver *driver;
    igpu_driver_options driver_options = {.size = sizeof driver_options, .resolver = resolve};
    igpu_sampler_options options = {.size = sizeof options, .gpus = indices, .gpu_count = (size_t)gpu_count,
                                    .metrics = names, .metric_count = METRICS, .intervals_ns = intervals_ns};
    if (igpu_driver_open(&driver_options, &driver) || igpu_sampler_open(driver, &options, &sampler)) fail(name);
    for (int i = 0; i < gpus; i++)
        if (nvmlDeviceGetHandleByIndex_v2((unsigned)i, &handles[i])) abort();
    double igpu_sum = with_igpu(), nvml_sum = with_nvml();
    if (igpu_sum != nvml_sum) {
        fprintf(stderr, "%s: igpu reads %f, and NVML returns %f\n", name, igpu_sum, nvml_sum);
        exit(1);
    }
    if (!test) {
        static double igpu[ROUNDS], hand[ROUNDS], ratio[ROUNDS];
        time_block(with_igpu, 50);
        int calls = (int)(BLOCK_NS / time_block(with_nvml, 50)) + 1;
        for (int round = 0; round < ROUNDS; round++) {
            if (round % 2) hand[round] = time_block(with_nvml, calls);
            igpu[round] = time_block(with_igpu, calls);
            if (!(round % 2)) hand[round] = time_block(with_nvml, calls);
            ratio[round] = igpu[round] / hand[round];
        }
        printf("| %s | %.0f | %.0f | %.3f |\n", name, median(hand, ROUNDS), median(igpu, ROUNDS), median(ratio, ROUNDS));
    }
    if (igpu_sampler_close(sampler) || igpu_driver_close(driver)) fail(name);
}

// The latency of a call that does almost nothing, and of a read in a signal handler.
static igpu_latest *latest;
static uint32_t key;
static double next_due(void) {
    uint64_t due;
    if (igpu_sampler_get_next_due(sampler, &due)) fail("get_next_due");
    return (double)due;
}
static double read_latest(void) {
    igpu_record record;
    if (igpu_latest_read(latest, key, &record)) fail("read the latest value");
    return record.value;
}

static void measure_call(const char *name, double (*variant)(void), int test) {
    static double times[ROUNDS];
    if (test) return;
    for (int round = 0; round < ROUNDS; round++) times[round] = time_block(variant, 1000);
    printf("| %s | | %.1f | |\n", name, median(times, ROUNDS));
}

static void single_calls(int test) {
    static const char *const names[] = {"gpu.power"};
    static const uint64_t hour[] = {3600ull * 1000000000};
    igpu_driver *driver;
    igpu_background *background;
    uint32_t power;
    igpu_sampler_options options = {.size = sizeof options, .metrics = names, .metric_count = 1, .intervals_ns = hour};
    if (igpu_driver_open(NULL, &driver) || igpu_sampler_open(driver, &options, &sampler)) fail("open a sampler");
    measure_call("igpu_sampler_get_next_due: the overhead of a call", next_due, test);
    if (igpu_metric_find(names[0], &power) || igpu_background_start(sampler, 64, &background) ||
        igpu_latest_open(background, &latest) || igpu_latest_get_key(latest, 0, power, &key))
        fail("start a background sampler");
    igpu_record record;
    while (igpu_latest_read(latest, key, &record) == IGPU_STATUS_NO_DATA) {}
    if (igpu_background_stop(background)) fail("stop the thread");
    measure_call("igpu_latest_read", read_latest, test);
    if (igpu_latest_close(latest) || igpu_background_close(background) || igpu_driver_close(driver)) fail("close");
}

int main(int argc, char **argv) {
    int test = argc > 1 && !strcmp(argv[1], "--test");
    char scenario[512] = "[driver]\nclock = { frozen_at_s = 10 }\n", error[512];
    for (int i = 0; i < MAX_GPUS; i++) strcat(scenario, "[[gpu]]\nprocess = []\n");
    if (nvml_sim_start(scenario, error, sizeof error)) return fprintf(stderr, "%s\n", error), 1;
    if (!test) printf("| case | NVML, ns | libigpu, ns | ratio |\n| --- | ---: | ---: | ---: |\n");
    compare("tick of 8 metrics, 1 GPU", 1, 0, test);
    compare("tick of 8 metrics, 8 GPUs", 8, 0, test);
    compare("tick of 8 metrics, 1 GPU, calls of 0.3 us", 1, 1000, test);
    single_calls(test);
    if (test) puts("done");
    return 0;
}
