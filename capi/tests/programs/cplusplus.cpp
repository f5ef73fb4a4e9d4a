// Uses the library from C++17: unique pointers own handles, and statuses become exceptions.
#include <cstdio>
#include <igpu.h>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

static void check(igpu_status status) {
    if (status != IGPU_STATUS_OK) throw std::runtime_error(std::string(igpu_status_string(status)) + ": " + igpu_last_error());
}

struct Close {
    void operator()(igpu_driver *driver) const { igpu_driver_close(driver); }
    void operator()(igpu_background *background) const { igpu_background_close(background); }
};

int main() {
    igpu_driver *opened = nullptr;
    check(igpu_driver_open(nullptr, &opened));
    std::unique_ptr<igpu_driver, Close> driver(opened);
    const char *names[] = {"gpu.power"};
    igpu_sampler_options options{};
    options.size = sizeof options;
    options.metrics = names;
    options.metric_count = 1;
    igpu_sampler *sampler = nullptr;
    check(igpu_sampler_open(driver.get(), &options, &sampler));
    igpu_background *started = nullptr;
    check(igpu_background_start(sampler, 1024, &started));
    std::unique_ptr<igpu_background, Close> background(started);
    std::vector<igpu_record> records(1024);
    size_t count = 0;
    while (count == 0) check(igpu_background_drain(background.get(), records.data(), records.size(), &count));
    if (records[0].gpu != 0 || records[0].value != 122.23) return 1;
    try {
        check(igpu_sampler_close(sampler));
        return 1;
    } catch (const std::runtime_error &error) {
        std::printf("%s\n", error.what());
    }
    std::puts("done");
    return 0;
}
