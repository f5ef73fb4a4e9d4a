// A profiler interposes NVML: its resolver provides the functions, one of which is its own.
#define _GNU_SOURCE
#include "check.h"
#include <dlfcn.h>

static int calls;
static int (*real)(void *, unsigned *);

static int power_usage(void *gpu, unsigned *milliwatts) {
    calls++;
    int code = real(gpu, milliwatts);
    *milliwatts += 1000;
    return code;
}

static const void *resolve(const char *name, void *data) {
    if (!strcmp(name, "nvmlDeviceGetTemperatureV") || !strcmp(name, "nvmlDeviceGetTemperature")) return NULL;
    void *address = dlsym(data, name);
    if (strcmp(name, "nvmlDeviceGetPowerUsage") != 0) return address;
    memcpy(&real, &address, sizeof real);
    int (*own)(void *, unsigned *) = power_usage;
    memcpy(&address, &own, sizeof address);
    return address;
}

static const void *nothing(const char *name, void *data) {
    (void)name, (void)data;
    return NULL;
}

int main(void) {
    igpu_driver *driver;
    igpu_driver_options options = {.size = sizeof options, .resolver = nothing};
    EXPECT_STATUS(IGPU_STATUS_DRIVER_NOT_FOUND, igpu_driver_open(&options, &driver));
    options.resolver = resolve;
    options.resolver_data = dlopen(getenv("IGPU_NVML_LIBRARY"), RTLD_NOW);
    CHECK(options.resolver_data);
    EXPECT_OK(igpu_driver_open(&options, &driver));
    static const char *const names[] = {"gpu.power", "gpu.temperature"};
    igpu_sampler *sampler = open_sampler(driver, names, 2);
    EXPECT_OK(igpu_sampler_sample(sampler, NULL, NULL));
    igpu_record record;
    EXPECT_OK(igpu_sampler_get_latest(sampler, 0, metric("gpu.power"), &record));
    CHECK(record.value == 123.23 && calls == 4);
    // A function that the resolver does not provide is reported as missing.
    EXPECT_STATUS(IGPU_STATUS_NO_DATA, igpu_sampler_get_latest(sampler, 0, metric("gpu.temperature"), &record));
    EXPECT_STATUS(IGPU_STATUS_DRIVER_ERROR, igpu_sampler_metric_error(sampler, 0, metric("gpu.temperature")));
    CHECK(igpu_last_nvml_code() == 13 && strstr(igpu_last_error(), "nvmlDeviceGetTemperature"));
    EXPECT_OK(igpu_sampler_close(sampler));
    EXPECT_OK(igpu_driver_close(driver));
    dlclose(options.resolver_data);
    puts("done");
    return 0;
}
