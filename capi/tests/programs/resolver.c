// A profiler that puts itself before the driver: functions come from its resolver, and its own are called.
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
    ANSWERS(IGPU_STATUS_DRIVER_NOT_FOUND, igpu_driver_open(&options, &driver));
    options.resolver = resolve;
    options.resolver_data = dlopen(getenv("IGPU_NVML_LIBRARY"), RTLD_NOW);
    CHECK(options.resolver_data);
    DONE(igpu_driver_open(&options, &driver));
    static const char *const names[] = {"gpu.power", "gpu.temperature"};
    igpu_sampler *sampler = make_sampler(driver, names, 2);
    DONE(igpu_sampler_sample(sampler, NULL, NULL));
    igpu_record record;
    DONE(igpu_sampler_get_latest(sampler, 0, metric("gpu.power"), &record));
    CHECK(record.value == 123.23 && calls == 4);
    // What the resolver does not have is missing, and told.
    ANSWERS(IGPU_STATUS_NO_DATA, igpu_sampler_get_latest(sampler, 0, metric("gpu.temperature"), &record));
    ANSWERS(IGPU_STATUS_DRIVER_ERROR, igpu_sampler_metric_error(sampler, 0, metric("gpu.temperature")));
    CHECK(igpu_last_nvml_code() == 13 && strstr(igpu_last_error(), "nvmlDeviceGetTemperature"));
    DONE(igpu_sampler_close(sampler));
    DONE(igpu_driver_close(driver));
    dlclose(options.resolver_data);
    puts("done");
    return 0;
}
