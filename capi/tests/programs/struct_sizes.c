// Structs of an older program, which are smaller, and of a newer one, which are larger, are both understood; others are not.
#include "check.h"

// A struct within more memory, so that what is written past it is seen.
union room {
    size_t size;
    unsigned char bytes[8192];
};

enum { CANARY = 0xa5 };

static igpu_driver *driver;
static igpu_snapshot *snapshot;
static igpu_sampler *sampler;
static igpu_background *background;
static uint32_t own_pid;

static igpu_status driver_info(void *to) { return igpu_driver_get_info(driver, to); }
static igpu_status metric_info(void *to) { return igpu_metric_get_info(9, to); }
static igpu_status gpu(void *to) { return igpu_snapshot_get_gpu_info(snapshot, 0, to); }
static igpu_status process(void *to) { return igpu_snapshot_get_gpu_process_info(snapshot, 0, 0, to); }
static igpu_status owner(void *to) { return igpu_sampler_get_process_info(sampler, own_pid, to); }
static igpu_status sampler_gpu(void *to) { return igpu_sampler_get_gpu_info(sampler, 0, to); }
static igpu_status sampler_process(void *to) { return igpu_sampler_get_gpu_process_info(sampler, 0, 0, to); }
static igpu_status state(void *to) { return igpu_background_get_info(background, to); }

static void results(const char *what, size_t size, igpu_status (*fill)(void *)) {
    static union room whole, cut;
    memset(&whole, CANARY, sizeof whole);
    whole.size = size;
    DONE(fill(&whole));
    CHECK(whole.size == size && whole.bytes[size] == CANARY);
    // Some number in each result changes from call to call; all others are the same in the older struct.
    for (size_t older = 16; older <= size; older += 8) {
        memset(&cut, CANARY, sizeof cut);
        cut.size = older;
        DONE(fill(&cut));
        CHECK(cut.size == older && cut.bytes[older] == CANARY);
        if (fill != state) CHECK(!memcmp(cut.bytes + 8, whole.bytes + 8, older - 8));
    }
    for (size_t newer = size + 8; newer <= size + 64; newer += 8) {
        memset(&cut, CANARY, sizeof cut);
        cut.size = newer;
        DONE(fill(&cut));
        for (size_t i = size; i < newer; i++) CHECK(cut.bytes[i] == 0xff);
        CHECK(cut.size == newer && cut.bytes[newer] == CANARY);
        double unknown;
        memcpy(&unknown, cut.bytes + size, sizeof unknown);
        CHECK(unknown != unknown);
    }
    const size_t wrong[] = {0, 1, 8, 15, size - 1, size + 4, 1 << 20, SIZE_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        memset(&cut, CANARY, sizeof cut);
        cut.size = wrong[i];
        ANSWERS(IGPU_STATUS_INVALID_STRUCT_SIZE, fill(&cut));
        CHECK(cut.size == wrong[i] && cut.bytes[8] == CANARY);
    }
    printf("%s is %zu\n", what, size);
}

static igpu_status create_driver(const void *from) {
    igpu_driver *made;
    igpu_status status = igpu_driver_open(from, &made);
    if (status == IGPU_STATUS_OK) DONE(igpu_driver_close(made));
    return status;
}
static igpu_status create_snapshot(const void *from) {
    igpu_snapshot *made;
    igpu_status status = igpu_snapshot_open(driver, from, &made);
    if (status == IGPU_STATUS_OK) DONE(igpu_snapshot_close(made));
    return status;
}
static igpu_status create_sampler(const void *from) {
    igpu_sampler *made;
    igpu_status status = igpu_sampler_open(driver, from, &made);
    if (status == IGPU_STATUS_OK) DONE(igpu_sampler_close(made));
    return status;
}

// Zeros of any size are the usual; what is set past the end is something that this library does not know.
static void usual(size_t size, igpu_status (*create)(const void *)) {
    static union room options;
    memset(&options, 0, sizeof options);
    for (size_t other = 16; other <= size + 64; other += 8) {
        memset(options.bytes + other, CANARY, 8);
        options.size = other;
        DONE(create(&options));
        memset(options.bytes + other, 0, 8);
    }
    options.size = size + 64;
    options.bytes[size] = 1;
    ANSWERS(IGPU_STATUS_INVALID_STRUCT_SIZE, create(&options));
    const size_t wrong[] = {0, 1, 8, size - 1, size + 4, 1 << 20, SIZE_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        options.size = wrong[i];
        ANSWERS(IGPU_STATUS_INVALID_STRUCT_SIZE, create(&options));
    }
}

int main(void) {
    driver = open_driver();
    usual(sizeof(igpu_driver_options), create_driver);
    usual(sizeof(igpu_snapshot_options), create_snapshot);
    usual(sizeof(igpu_sampler_options), create_sampler);

    DONE(igpu_snapshot_open(driver, NULL, &snapshot));
    static const char *const names[] = {"gpu.process.memory"};
    igpu_sampler_options options = {.size = sizeof options, .metrics = names, .metric_count = 1, .flags = IGPU_SAMPLER_GPU_INFO};
    DONE(igpu_sampler_open(driver, &options, &sampler));
    DONE(igpu_sampler_sample(sampler, NULL, NULL));
    igpu_sampler *other = make_sampler(driver, names, 1);
    DONE(igpu_background_start(other, 64, &background));
    igpu_gpu_process_info first = {.size = sizeof first};
    DONE(igpu_snapshot_get_gpu_process_info(snapshot, 0, 0, &first));
    own_pid = first.pid;

    results("igpu_driver_info", sizeof(igpu_driver_info), driver_info);
    results("igpu_metric_info", sizeof(igpu_metric_info), metric_info);
    results("igpu_gpu_info", sizeof(igpu_gpu_info), gpu);
    results("igpu_gpu_info", sizeof(igpu_gpu_info), sampler_gpu);
    results("igpu_gpu_process_info", sizeof(igpu_gpu_process_info), process);
    results("igpu_gpu_process_info", sizeof(igpu_gpu_process_info), sampler_process);
    results("igpu_process_info", sizeof(igpu_process_info), owner);
    results("igpu_background_info", sizeof(igpu_background_info), state);
    DONE(igpu_background_close(background));
    DONE(igpu_sampler_close(sampler));
    DONE(igpu_snapshot_close(snapshot));
    DONE(igpu_driver_close(driver));
    puts("done");
    return 0;
}
