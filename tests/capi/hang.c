// A driver call that never returns: stopping and closing do not wait for it.
#define _DEFAULT_SOURCE
#include "check.h"
#include <unistd.h>

int main(void) {
    const char *slow = getenv("IGPU_TEST_SLOW");
    static const char *const names[] = {"gpu.power", "gpu.temperature"};
    for (int round = 0; round < 2; round++) {
        igpu_driver *driver = open_driver();
        igpu_sampler *sampler = make_sampler(driver, names, 2);
        igpu_background *background;
        DONE(igpu_sampler_spawn(sampler, 1 << 16, &background));
        igpu_record record;
        while (igpu_background_pop(background, &record) == IGPU_STATUS_NO_VALUE) usleep(1000);
        nvml_sim_add_faults("[[fault]]\nfunction = 'nvmlDeviceGetTemperature*'\nhang = true\n", NULL, 0);
        igpu_background_state state = {.size = sizeof state};
        do {
            usleep(5000);
            DONE(igpu_background_describe(background, &state));
        } while (state.silence < 60 * 1000 * 1000);
        uint64_t before = igpu_monotonic();
        igpu_status answer = round == 0 ? igpu_background_stop(background) : igpu_background_close(background);
        uint64_t took = igpu_monotonic() - before;
        CHECK(answer == IGPU_STATUS_GIVEN_UP && strstr(igpu_last_error(), "given up"));
        fprintf(stderr, "%s took %.1f ms\n", round == 0 ? "stop" : "close", (double)took / 1e6);
        // 80 ms, and what a busy machine takes on top.
        if (!slow || !*slow) CHECK(took < 250 * 1000 * 1000);
        if (round == 0) {
            // What was recorded is still there, and to stop again gives the same answer at once.
            DONE(igpu_background_pop(background, &record));
            ANSWERS(IGPU_STATUS_GIVEN_UP, igpu_background_stop(background));
            ANSWERS(IGPU_STATUS_GIVEN_UP, igpu_background_close(background));
        }
        ANSWERS(IGPU_STATUS_INVALID_HANDLE, igpu_background_close(background));
        DONE(igpu_driver_close(driver));
        nvml_sim_clear_faults();
    }
    CHECK(nvml_sim_calls("nvmlShutdown") == 0);
    puts("done");
    fflush(stdout);
    // The threads that hang are in the driver, so that the program's end must not take it away under them.
    _exit(0);
}
