// The values match those of the simulated workstation.
#define _DEFAULT_SOURCE
#include "check.h"
#include <math.h>
#include <time.h>
#include <unistd.h>

static void driver_and_catalog(igpu_driver *driver) {
    igpu_driver_info info = {.size = sizeof info};
    EXPECT_OK(igpu_driver_get_info(driver, &info));
    CHECK(info.gpu_count == 4 && info.driver_major == 580 && info.driver_minor == 95);
    CHECK(info.cuda_major == 13 && info.cuda_minor == 0);
    CHECK(!strcmp(info.driver_version, "580.95.05") && !strcmp(info.nvml_version, "13.580.95.05"));
    uint32_t gpus = 0;
    EXPECT_OK(igpu_driver_get_gpu_count(driver, &gpus));
    CHECK(gpus == 4);
    size_t visible = 9;
    EXPECT_OK(igpu_driver_get_visible_gpus(driver, NULL, 0, &visible));
    CHECK(visible == 4);
    setenv("CUDA_VISIBLE_DEVICES", "", 1);
    EXPECT_OK(igpu_driver_get_visible_gpus(driver, NULL, 0, &visible));
    CHECK(visible == 0);
    unsetenv("CUDA_VISIBLE_DEVICES");

    CHECK(igpu_metric_count() >= 55);
    for (uint32_t i = 0; i < igpu_metric_count(); i++) {
        igpu_metric_info entry = {.size = sizeof entry};
        EXPECT_OK(igpu_metric_get_info(i, &entry));
        CHECK(entry.metric == i && metric(entry.name) == i);
        CHECK(*entry.unit && *entry.help && *entry.since && entry.poll_interval_ns >= 10 * 1000 * 1000);
        CHECK(entry.per_process == (strncmp(entry.name, "gpu.process.", 12) == 0));
    }
    igpu_metric_info energy = {.size = sizeof energy};
    EXPECT_OK(igpu_metric_get_info(metric("gpu.energy"), &energy));
    CHECK(energy.kind == IGPU_METRIC_KIND_COUNTER && !strcmp(energy.unit, "J") && energy.poll_interval_ns == 50 * 1000 * 1000);
    EXPECT_STATUS(IGPU_STATUS_NO_SUCH_METRIC, igpu_metric_get_info(igpu_metric_count(), &energy));
    CHECK(strncmp(igpu_version(), "0.2.0 (nvml.h ", 14) == 0);
}

static void gpu_0(const igpu_gpu_info *gpu) {
    CHECK(gpu->index == 0 && gpu->status == IGPU_STATUS_OK);
    CHECK(!strcmp(gpu->name, "GeForce GTX 1080 Ti") && gpu->serial[0] == 0);
    CHECK(!strcmp(gpu->uuid, "GPU-115dafb8-26db-32ba-d729-f21b29fc001f") && !strcmp(gpu->vbios_version, "86.02.39.00.01"));
    CHECK(!strcmp(gpu->pci_bus_id, "00000000:88:00.0") && !strcmp(gpu->pci_device_id, "1B0610DE"));
    CHECK(!strcmp(gpu->pci_subsystem_id, "1210196E"));
    CHECK(gpu->memory_total_mib == 11178.5 && gpu->memory_used_mib == 10799 && gpu->memory_free_mib == 379.5);
    CHECK(gpu->memory_reserved_mib == 0);
    CHECK(gpu->utilization_gpu_percent == 44 && gpu->utilization_memory_percent == 35 && gpu->fan_speed_percent == 36 && gpu->temperature_c == 61);
    CHECK(gpu->performance_state == 2 && gpu->power_w == 122.23 && gpu->power_limit_w == 250);
    CHECK(gpu->power_min_limit_w == 125 && gpu->power_max_limit_w == 300 && gpu->power_management == 1);
    CHECK(gpu->clock_graphics_mhz == 1911 && gpu->clock_sm_mhz == 1911 && gpu->clock_memory_mhz == 5005);
    CHECK(gpu->clock_max_graphics_mhz == 1911 && gpu->clock_max_sm_mhz == 1911 && gpu->clock_max_memory_mhz == 5505);
    CHECK(gpu->pcie_link_generation == 3 && gpu->pcie_max_link_generation == 3);
    CHECK(gpu->pcie_link_width == 16 && gpu->pcie_max_link_width == 16);
    CHECK(gpu->process_count == 2 && gpu->process_total_count == 2);
}

// The first process of GPU 0 is this one, the second its parent.
static void process_0(const igpu_gpu_process_info *process) {
    CHECK(process->pid == (uint32_t)getpid() && process->kind == IGPU_PROCESS_KIND_COMPUTE);
    CHECK(process->memory_mib == 4284 && process->parent_pid == (uint32_t)getppid());
    CHECK(process->gpu_instance == IGPU_UNKNOWN_U32 && process->compute_instance == IGPU_UNKNOWN_U32);
    CHECK(*process->name && *process->user && *process->parent_name && process->create_time_s > 1e9);
}

static void snapshots(igpu_driver *driver) {
    igpu_snapshot *snapshot;
    EXPECT_OK(igpu_snapshot_open(driver, NULL, &snapshot));
    uint32_t count;
    EXPECT_OK(igpu_snapshot_get_gpu_count(snapshot, &count));
    CHECK(count == 4);
    igpu_gpu_info gpu = {.size = sizeof gpu};
    igpu_gpu_process_info process = {.size = sizeof process};
    EXPECT_OK(igpu_snapshot_get_gpu_info(snapshot, 0, &gpu));
    gpu_0(&gpu);
    EXPECT_OK(igpu_snapshot_get_gpu_process_info(snapshot, 0, 0, &process));
    process_0(&process);
    EXPECT_OK(igpu_snapshot_get_gpu_process_info(snapshot, 0, 1, &process));
    CHECK(process.pid == (uint32_t)getppid() && process.memory_mib == 6515);
    EXPECT_STATUS(IGPU_STATUS_NO_DATA, igpu_snapshot_get_gpu_process_info(snapshot, 0, 2, &process));
    EXPECT_STATUS(IGPU_STATUS_NO_SUCH_GPU, igpu_snapshot_get_gpu_info(snapshot, 4, &gpu));
    // The GPU has a name, but no serial number.
    EXPECT_STATUS(IGPU_STATUS_DRIVER_ERROR, igpu_snapshot_reading_error(snapshot, 0, IGPU_READING_SERIAL));
    CHECK(igpu_last_nvml_code() == 3 && strstr(igpu_last_error(), "NVML_ERROR_NOT_SUPPORTED"));
    CHECK(*igpu_last_help() == 0 || !strchr(igpu_last_help(), '\n'));
    EXPECT_OK(igpu_snapshot_reading_error(snapshot, 0, IGPU_READING_NAME));
    EXPECT_STATUS(IGPU_STATUS_INVALID_ARGUMENT, igpu_snapshot_reading_error(snapshot, 0, 1000));

    // A lost GPU does not affect the others, and recovers.
    nvml_sim_add_faults("[[fault]]\ngpu = 0\nreturn = 'GPU_IS_LOST'\n", NULL, 0);
    EXPECT_OK(igpu_snapshot_update(snapshot));
    EXPECT_OK(igpu_snapshot_get_gpu_info(snapshot, 0, &gpu));
    CHECK(gpu.status == IGPU_STATUS_DRIVER_ERROR && isnan(gpu.power_w) && isnan(gpu.memory_used_mib) && isnan(gpu.clock_sm_mhz));
    CHECK(gpu.pcie_link_width == IGPU_UNKNOWN_U32 && gpu.process_count == 0 && !strcmp(gpu.name, "GeForce GTX 1080 Ti"));
    EXPECT_STATUS(IGPU_STATUS_DRIVER_ERROR, igpu_snapshot_reading_error(snapshot, 0, IGPU_READING_POWER));
    CHECK(igpu_last_nvml_code() == 15);
    EXPECT_OK(igpu_snapshot_get_gpu_info(snapshot, 3, &gpu));
    CHECK(gpu.status == IGPU_STATUS_OK && !isnan(gpu.power_w));
    nvml_sim_clear_faults();
    EXPECT_OK(igpu_snapshot_update(snapshot));
    EXPECT_OK(igpu_snapshot_get_gpu_info(snapshot, 0, &gpu));
    gpu_0(&gpu);
    EXPECT_OK(igpu_snapshot_close(snapshot));

    // Selected GPUs in the requested order, with a process capacity that is too small until it grows.
    setenv("CUDA_VISIBLE_DEVICES", "2,0", 1);
    igpu_snapshot_options options = {.size = sizeof options, .process_capacity = 1, .flags = IGPU_SNAPSHOT_VISIBLE};
    EXPECT_OK(igpu_snapshot_open(driver, &options, &snapshot));
    unsetenv("CUDA_VISIBLE_DEVICES");
    EXPECT_OK(igpu_snapshot_get_gpu_count(snapshot, &count));
    EXPECT_OK(igpu_snapshot_get_gpu_info(snapshot, 1, &gpu));
    CHECK(count == 2 && gpu.index == 0 && gpu.process_count < 2 && gpu.process_total_count == 2);
    EXPECT_OK(igpu_snapshot_grow_process_lists(snapshot));
    EXPECT_OK(igpu_snapshot_get_gpu_info(snapshot, 1, &gpu));
    gpu_0(&gpu);
    EXPECT_OK(igpu_snapshot_close(snapshot));
}

static void samplers(igpu_driver *driver) {
    static const char *const names[] = {"gpu.power", "gpu.utilization", "gpu.process.memory", "gpu.sm.activity"};
    static const uint64_t intervals_ns[] = {5 * 1000 * 1000, IGPU_INTERVAL_EVERY_TICK, IGPU_INTERVAL_ADAPTIVE, IGPU_INTERVAL_ADAPTIVE};
    static const uint32_t gpus[] = {0, 2};
    igpu_sampler_options options = {.size = sizeof options, .gpus = gpus, .gpu_count = 2, .metrics = names,
                                    .metric_count = 4, .intervals_ns = intervals_ns, .budget = 1, .flags = IGPU_SAMPLER_GPU_INFO};
    igpu_sampler *sampler;
    EXPECT_OK(igpu_sampler_open(driver, &options, &sampler));
    const uint32_t power = metric(names[0]), busy = metric(names[1]), memory = metric(names[2]), sm = metric(names[3]);
    uint64_t due = 1, before = igpu_monotonic_ns();
    EXPECT_OK(igpu_sampler_get_next_due(sampler, &due));
    CHECK(due == 0);
    const igpu_record *records;
    size_t count;
    EXPECT_OK(igpu_sampler_sample(sampler, &records, &count));
    int powers = 0, own = 0;
    for (size_t i = 0; i < count; i++) {
        CHECK(records[i].gpu == 0 || records[i].gpu == 2);
        if (records[i].flags & IGPU_RECORD_EVENT) continue;
        CHECK(records[i].timestamp_ns > before && records[i].timestamp_ns < igpu_monotonic_ns());
        if (records[i].gpu == 0 && records[i].metric == power) {
            CHECK(records[i].value == 122.23 && records[i].flags & IGPU_RECORD_FRESH);
            powers++;
        }
        if (records[i].gpu == 0 && records[i].metric == memory && records[i].detail == (uint32_t)getpid()) {
            CHECK(records[i].value == 4284.0 * 1048576);
            own++;
        }
    }
    CHECK(powers == 1 && own == 1);
    igpu_record record;
    EXPECT_OK(igpu_sampler_get_latest(sampler, 0, busy, &record));
    CHECK(record.value == 44 && record.gpu == 0 && record.metric == busy);
    EXPECT_OK(igpu_sampler_metric_error(sampler, 0, busy));
    uint64_t interval_ns;
    EXPECT_OK(igpu_sampler_get_poll_interval(sampler, 2, power, &interval_ns));
    CHECK(interval_ns == 5 * 1000 * 1000);
    EXPECT_STATUS(IGPU_STATUS_NO_SUCH_GPU, igpu_sampler_get_latest(sampler, 1, power, &record));
    uint64_t missed = 1;
    EXPECT_OK(igpu_sampler_get_missed_deadlines(sampler, &missed));
    CHECK(missed == 0);
    // The power of each of the two GPUs is due every 5 ms.
    igpu_sampler *exact;
    igpu_sampler_options exactly = options;
    exactly.flags = IGPU_SAMPLER_EXACT_INTERVALS;
    exactly.metric_count = 1;
    EXPECT_OK(igpu_sampler_open(driver, &exactly, &exact));
    EXPECT_OK(igpu_sampler_tick(exact, before, NULL, NULL));
    EXPECT_OK(igpu_sampler_tick(exact, before + 16 * 1000 * 1000, NULL, NULL));
    EXPECT_OK(igpu_sampler_get_missed_deadlines(exact, &missed));
    CHECK(missed == 2 * 2);
    EXPECT_OK(igpu_sampler_close(exact));
    // Pascal GPUs do not support GPM.
    EXPECT_STATUS(IGPU_STATUS_NO_DATA, igpu_sampler_get_latest(sampler, 0, sm, &record));
    EXPECT_STATUS(IGPU_STATUS_DRIVER_ERROR, igpu_sampler_metric_error(sampler, 0, sm));
    igpu_process_info info = {.size = sizeof info};
    EXPECT_OK(igpu_sampler_get_process_info(sampler, (uint32_t)getpid(), &info));
    CHECK(info.uid == getuid() && info.parent_pid == (uint32_t)getppid() && *info.name && *info.user);
    igpu_gpu_info gpu = {.size = sizeof gpu};
    EXPECT_OK(igpu_sampler_get_gpu_info(sampler, 0, &gpu));
    gpu_0(&gpu);
    igpu_gpu_process_info process = {.size = sizeof process};
    EXPECT_OK(igpu_sampler_get_gpu_process_info(sampler, 0, 0, &process));
    process_0(&process);

    // Ticks for 600 ms at the times at which metrics are due.
    uint64_t end = igpu_monotonic_ns() + 600 * 1000 * 1000;
    for (uint64_t now; (now = igpu_monotonic_ns()) < end;) {
        EXPECT_OK(igpu_sampler_tick(sampler, now, &records, &count));
        EXPECT_OK(igpu_sampler_get_next_due(sampler, &due));
        if (due > now) usleep((useconds_t)((due - now) / 1000 + 1));
    }
    EXPECT_OK(igpu_sampler_close(sampler));
}

static void process_info(void) {
    igpu_process_info info = {.size = sizeof info};
    EXPECT_OK(igpu_process_get_info((uint32_t)getpid(), &info));
    CHECK(info.uid == getuid() && info.parent_pid == (uint32_t)getppid() && *info.name && *info.parent_name);
    CHECK(*info.user && fabs(info.create_time_s - (double)time(NULL)) < 100);
    EXPECT_STATUS(IGPU_STATUS_NO_DATA, igpu_process_get_info(UINT32_MAX, &info));
    CHECK(info.uid == getuid());
    EXPECT_STATUS(IGPU_STATUS_NULL_POINTER, igpu_process_get_info((uint32_t)getpid(), NULL));
}

static void lost_gpu(igpu_driver *driver) {
    static const char *const names[] = {"gpu.power"};
    igpu_sampler *sampler = open_sampler(driver, names, 1);
    const igpu_record *records;
    size_t count, events = 0;
    nvml_sim_add_faults("[[fault]]\ngpu = 1\nreturn = 'GPU_IS_LOST'\n", NULL, 0);
    EXPECT_OK(igpu_sampler_sample(sampler, &records, &count));
    for (size_t i = 0; i < count; i++) {
        if (!(records[i].flags & IGPU_RECORD_EVENT)) continue;
        CHECK(records[i].detail == IGPU_EVENT_GPU_LOST && records[i].gpu == 1 && records[i].value == 15);
        CHECK(!strcmp(igpu_event_name(records[i].detail), "gpu.lost") && records[i].metric == IGPU_RECORD_NO_METRIC);
        events++;
    }
    CHECK(events == 1 && count == 4);
    EXPECT_STATUS(IGPU_STATUS_DRIVER_ERROR, igpu_sampler_metric_error(sampler, 1, metric("gpu.power")));
    CHECK(igpu_last_nvml_code() == 15);
    // A GPU that is lost before the sampler is opened does not affect the others either, and recovers.
    igpu_sampler *later = open_sampler(driver, names, 1);
    EXPECT_STATUS(IGPU_STATUS_DRIVER_ERROR, igpu_sampler_metric_error(later, 1, metric("gpu.power")));
    EXPECT_OK(igpu_sampler_sample(later, &records, &count));
    CHECK(count == 4);
    nvml_sim_clear_faults();
    igpu_record record;
    while (igpu_sampler_get_latest(later, 1, metric("gpu.power"), &record) == IGPU_STATUS_NO_DATA) {
        usleep(10 * 1000);
        EXPECT_OK(igpu_sampler_tick(later, igpu_monotonic_ns(), NULL, NULL));
    }
    CHECK(record.value > 0);
    EXPECT_OK(igpu_sampler_close(later));
    CHECK(!strcmp(igpu_event_name(0), "unknown event") && !strcmp(igpu_event_name(UINT32_MAX), "unknown event"));
    EXPECT_OK(igpu_sampler_close(sampler));
}

static void background(igpu_driver *driver) {
    static const char *const names[] = {"gpu.temperature"};
    igpu_sampler *sampler = open_sampler(driver, names, 1);
    igpu_background *background;
    EXPECT_OK(igpu_background_start(sampler, 10, &background));
    igpu_background_info state = {.size = sizeof state};
    do EXPECT_OK(igpu_background_get_info(background, &state));
    while (state.dropped_records < 100 || state.ticks <= 20);
    EXPECT_OK(igpu_background_stop(background));
    EXPECT_OK(igpu_background_stop(background));
    igpu_record records[16];
    size_t count = 99;
    EXPECT_OK(igpu_background_drain(background, records, 4, &count));
    CHECK(count == 4 && records[0].value == 61 && records[0].gpu == 0);
    EXPECT_OK(igpu_background_drain(background, records, 16, &count));
    CHECK(count == 6);
    EXPECT_OK(igpu_background_drain(background, records, 16, &count));
    CHECK(count == 0);
    EXPECT_STATUS(IGPU_STATUS_NO_DATA, igpu_background_pop(background, records));
    EXPECT_OK(igpu_background_close(background));
}

int main(void) {
    igpu_driver *driver = open_driver();
    driver_and_catalog(driver);
    snapshots(driver);
    samplers(driver);
    process_info();
    lost_gpu(driver);
    background(driver);
    EXPECT_OK(igpu_driver_close(driver));
    CHECK(nvml_sim_calls("nvmlInit_v2") == 1 && nvml_sim_calls("nvmlShutdown") == 1);
    CHECK(nvml_sim_calls_after_shutdown() == 0);
    puts("done");
    return 0;
}
