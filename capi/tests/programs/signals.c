// A signal handler reads the latest value while the interrupted program removes records, gets the state, fails, or closes the
// reader.
#define _DEFAULT_SOURCE
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

static igpu_latest *volatile latest;
static uint32_t key;
static volatile sig_atomic_t values, missing, closed, unexpected, error_changed;

static void on_signal(int signal) {
    (void)signal;
    char before = *igpu_last_error();
    igpu_record record;
    switch (igpu_latest_read(latest, key, &record)) {
    case IGPU_STATUS_OK:
        if (record.value != 122.23 || record.gpu != 0) unexpected = 1;
        values = values + 1;
        break;
    case IGPU_STATUS_NO_DATA: missing = missing + 1; break;
    case IGPU_STATUS_BUSY: // The signal interrupted igpu_latest_close.
    case IGPU_STATUS_INVALID_HANDLE: closed = closed + 1; break;
    default: unexpected = 1;
    }
    if (*igpu_last_error() != before) error_changed = 1;
}

// Reads the value in another thread.
static void *read_in_thread(void *end) {
    while (!*(volatile int *)end) {
        igpu_record record;
        igpu_status status = igpu_latest_read(latest, key, &record);
        CHECK(status == IGPU_STATUS_OK || status == IGPU_STATUS_NO_DATA || status == IGPU_STATUS_INVALID_HANDLE ||
              status == IGPU_STATUS_BUSY);
        CHECK(status != IGPU_STATUS_OK || record.value == 122.23);
        // Valgrind runs one thread at a time. The yield lets other threads run outside of a read, so that the reader can be closed.
        sched_yield();
    }
    return NULL;
}

int main(void) {
    static const char *const names[] = {"gpu.power"};
    igpu_driver *driver = open_driver();
    igpu_sampler *sampler = open_sampler(driver, names, 1);
    igpu_background *background;
    igpu_latest *first;
    EXPECT_OK(igpu_background_start(sampler, 256, &background));
    EXPECT_OK(igpu_latest_open(background, &first));
    latest = first;
    EXPECT_OK(igpu_latest_get_key(first, 0, metric("gpu.power"), &key));
    volatile int end = 0;
    pthread_t reader;
    sigset_t set, old;
    sigfillset(&set);
    pthread_sigmask(SIG_SETMASK, &set, &old);
    CHECK(!pthread_create(&reader, NULL, read_in_thread, (void *)&end));
    pthread_sigmask(SIG_SETMASK, &old, NULL);

    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval timer = {.it_interval = {.tv_usec = 200}, .it_value = {.tv_usec = 200}};
    setitimer(ITIMER_REAL, &timer, NULL);
    static igpu_record records[64];
    while (values < 100) {
        size_t count;
        EXPECT_OK(igpu_background_drain(background, records, 64, &count));
        igpu_background_info state = {.size = sizeof state};
        EXPECT_OK(igpu_background_get_info(background, &state));
        CHECK(igpu_sampler_tick(NULL, 0, NULL, NULL) == IGPU_STATUS_NULL_POINTER);
        CHECK(!strcmp(igpu_last_error(), "the handle is NULL"));
    }
    // Opens and closes readers while signals arrive. The handler uses the newest reader.
    for (int i = 0; i < 500; i++) {
        igpu_latest *next, *before = latest;
        EXPECT_OK(igpu_latest_open(background, &next));
        igpu_status status;
        while ((status = igpu_latest_close(before)) == IGPU_STATUS_BUSY) sched_yield();
        CHECK(status == IGPU_STATUS_OK);
        if (i % 50 == 0) usleep(500);
        latest = next;
    }
    EXPECT_OK(igpu_background_close(background));
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
    end = 1;
    pthread_join(reader, NULL);
    igpu_latest *last = latest;
    EXPECT_OK(igpu_latest_close(last));
    EXPECT_OK(igpu_driver_close(driver));
    CHECK(!unexpected && !error_changed && values >= 100);
    fprintf(stderr, "%d values, %d without a value, %d on a closed reader\n", (int)values, (int)missing, (int)closed);
    puts("done");
    return 0;
}
