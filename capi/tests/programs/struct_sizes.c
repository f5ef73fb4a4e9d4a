// The library accepts the smaller structs of an older program and the larger structs of a newer program, but no other sizes.
#include "check.h"

// Memory that is larger than any struct, so that writes past the end of a struct are detected.
union memory {
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

static void check_result(const char *name, size_t size, igpu_status (*fill)(void *)) {
    static union memory full, other;
    memset(&full, CANARY, sizeof full);
    full.size = size;
    EXPECT_OK(fill(&full));
    CHECK(full.size == size && full.bytes[size] == CANARY);
    // An older struct contains the same values. The state of the sampler is not compared, because it changes.
    for (size_t older = 16; older <= size; older += 8) {
        memset(&other, CANARY, sizeof other);
        other.size = older;
        EXPECT_OK(fill(&other));
        CHECK(other.size == older && other.bytes[older] == CANARY);
        if (fill != state) CHECK(!memcmp(other.bytes + 8, full.bytes + 8, older - 8));
    }
    for (size_t newer = size + 8; newer <= size + 64; newer += 8) {
        memset(&other, CANARY, sizeof other);
        other.size = newer;
        EXPECT_OK(fill(&other));
        for (size_t i = size; i < newer; i++) CHECK(other.bytes[i] == 0xff);
        CHECK(other.size == newer && other.bytes[newer] == CANARY);
        double unknown;
        memcpy(&unknown, other.bytes + size, sizeof unknown);
        CHECK(unknown != unknown);
    }
    const size_t invalid[] = {0, 1, 8, 15, size - 1, size + 4, 1 << 20, SIZE_MAX};
    for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++) {
        memset(&other, CANARY, sizeof other);
        other.size = invalid[i];
        EXPECT_STATUS(IGPU_STATUS_INVALID_STRUCT_SIZE, fill(&other));
        CHECK(other.size == invalid[i] && other.bytes[8] == CANARY);
    }
    printf("%s: %zu bytes\n", name, size);
}

static igpu_status open_close_driver(const void *from) {
    igpu_driver *opened;
    igpu_status status = igpu_driver_open(from, &opened);
    if (status == IGPU_STATUS_OK) EXPECT_OK(igpu_driver_close(opened));
    return status;
}
static igpu_status open_close_snapshot(const void *from) {
    igpu_snapshot *opened;
    igpu_status status = igpu_snapshot_open(driver, from, &opened);
    if (status == IGPU_STATUS_OK) EXPECT_OK(igpu_snapshot_close(opened));
    return status;
}
static igpu_status open_close_sampler(const void *from) {
    igpu_sampler *opened;
    igpu_status status = igpu_sampler_open(driver, from, &opened);
    if (status == IGPU_STATUS_OK) EXPECT_OK(igpu_sampler_close(opened));
    return status;
}

// Zeros select the defaults at any size. A nonzero field past the end is unknown to this library.
static void check_options(size_t size, igpu_status (*open)(const void *)) {
    static union memory options;
    memset(&options, 0, sizeof options);
    for (size_t other = 16; other <= size + 64; other += 8) {
        memset(options.bytes + other, CANARY, 8);
        options.size = other;
        EXPECT_OK(open(&options));
        memset(options.bytes + other, 0, 8);
    }
    options.size = size + 64;
    options.bytes[size] = 1;
    EXPECT_STATUS(IGPU_STATUS_INVALID_STRUCT_SIZE, open(&options));
    const size_t invalid[] = {0, 1, 8, size - 1, size + 4, 1 << 20, SIZE_MAX};
    for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++) {
        options.size = invalid[i];
        EXPECT_STATUS(IGPU_STATUS_INVALID_STRUCT_SIZE, open(&options));
    }
}

int main(void) {
    driver = open_driver();
    check_options(sizeof(igpu_driver_options), open_close_driver);
    check_options(sizeof(igpu_snapshot_options), open_close_snapshot);
    check_options(sizeof(igpu_sampler_options), open_close_sampler);

    EXPECT_OK(igpu_snapshot_open(driver, NULL, &snapshot));
    static const char *const names[] = {"gpu.process.memory"};
    igpu_sampler_options options = {.size = sizeof options, .metrics = names, .metric_count = 1, .flags = IGPU_SAMPLER_GPU_INFO};
    EXPECT_OK(igpu_sampler_open(driver, &options, &sampler));
    EXPECT_OK(igpu_sampler_sample(sampler, NULL, NULL));
    igpu_sampler *other = open_sampler(driver, names, 1);
    EXPECT_OK(igpu_background_start(other, 64, &background));
    igpu_gpu_process_info first = {.size = sizeof first};
    EXPECT_OK(igpu_snapshot_get_gpu_process_info(snapshot, 0, 0, &first));
    own_pid = first.pid;

    check_result("igpu_driver_info", sizeof(igpu_driver_info), driver_info);
    check_result("igpu_metric_info", sizeof(igpu_metric_info), metric_info);
    check_result("igpu_gpu_info", sizeof(igpu_gpu_info), gpu);
    check_result("igpu_gpu_info", sizeof(igpu_gpu_info), sampler_gpu);
    check_result("igpu_gpu_process_info", sizeof(igpu_gpu_process_info), process);
    check_result("igpu_gpu_process_info", sizeof(igpu_gpu_process_info), sampler_process);
    check_result("igpu_process_info", sizeof(igpu_process_info), owner);
    check_result("igpu_background_info", sizeof(igpu_background_info), state);
    EXPECT_OK(igpu_background_close(background));
    EXPECT_OK(igpu_sampler_close(sampler));
    EXPECT_OK(igpu_snapshot_close(snapshot));
    EXPECT_OK(igpu_driver_close(driver));
    puts("done");
    return 0;
}
