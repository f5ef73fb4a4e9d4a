/* igpu.h: snapshots and low-overhead sampling of NVIDIA GPU metrics.
 *
 * Generated from the Rust sources; do not edit. License: MIT or Apache-2.0, at your choice. docs/c-api.md is an
 * introduction.
 *
 * Statuses: most functions return an igpu_status, which is IGPU_STATUS_OK (0) on success. Results are written through
 * the last pointer arguments. On failure, the results are not changed, except where a comment says otherwise.
 * igpu_last_error returns the message of a failure, and igpu_last_help returns advice.
 *
 * Handles: igpu_*_open and igpu_background_start return handles, and igpu_*_close closes them. Handles are opaque and
 * checked: a closed handle, a handle of another type, and a handle from before fork result in an error status. Any
 * number of threads can use an igpu_driver or igpu_latest handle at the same time. Only one thread at a time can use any
 * other handle; further calls fail with IGPU_STATUS_BUSY and have no effect.
 *
 * Structs: the first field of a struct is its size. Set it to sizeof of the struct before you pass the struct to a
 * function. The size allows later versions to add fields. An older program receives only the fields that it was compiled
 * with. If the library is older than the program, the fields that the library does not have are filled with one bits,
 * which are NaN or IGPU_UNKNOWN_U32. In options, fields that are zero select the default.
 *
 * The last paragraph of each function's comment states whether the function may block, whether it allocates memory, and
 * whether it is async-signal-safe, which means that signal handlers may call it. After a sampler has been opened,
 * sampling does not allocate, even if driver calls fail.
 */

#ifndef IGPU_H
#define IGPU_H

#include <stddef.h>
#include <stdint.h>

// Do not fail if the machine has no GPU (`NVML_INIT_FLAG_NO_GPUS`).
#define IGPU_DRIVER_NO_GPUS 1

// Do not attach to the GPUs during initialization, but at the first use of each GPU (`NVML_INIT_FLAG_NO_ATTACH`).
#define IGPU_DRIVER_NO_ATTACH 2

// The value that represents a missing unsigned number.
#define IGPU_UNKNOWN_U32 UINT32_MAX

// Select the GPUs in `CUDA_VISIBLE_DEVICES`, in the order of the variable.
#define IGPU_SNAPSHOT_VISIBLE 1

// The value of `igpu_record.metric` for an event that concerns the GPU as a whole.
#define IGPU_RECORD_NO_METRIC UINT16_MAX

// The value differs from the previous value, which means that the sensor has refreshed, or it is the first value.
#define IGPU_RECORD_FRESH 1

// `timestamp_ns` is a timestamp of the driver, converted from the wall clock.
#define IGPU_RECORD_DRIVER_STAMP 2

// The energy was integrated from power, because the GPU has no energy counter.
#define IGPU_RECORD_INTEGRATED 4

// The counter was reset before this value.
#define IGPU_RECORD_RESET 8

// The wall clock was set back near the driver's timestamp, which is therefore ambiguous. `timestamp_ns` is the latest
// possible time.
#define IGPU_RECORD_AMBIGUOUS 16

// The record is an event, not a value.
#define IGPU_RECORD_EVENT 32

// Skip a GPU while the kernel has suspended it. Laptops suspend idle GPUs, and any driver call would resume them.
#define IGPU_SAMPLER_SKIP_SUSPENDED 1

// Also keep an `igpu_gpu_info` of each GPU, which `igpu_sampler_sample` updates.
#define IGPU_SAMPLER_GPU_INFO 2

// Do not stretch the intervals in `intervals_ns` to meet the budget, and do not count the driver calls of these
// metrics towards the budget.
#define IGPU_SAMPLER_EXACT_INTERVALS 4

// The adaptive interval: read the metric when its sensor is likely to have refreshed, as estimated from its values.
#define IGPU_INTERVAL_ADAPTIVE 0

// Read the metric at every tick. Its driver calls do not count towards the budget.
#define IGPU_INTERVAL_EVERY_TICK UINT64_MAX

// The result of a function. `igpu_status_string` returns a short description of a status, and `igpu_last_error` the
// full message of a failure. Later versions may add values.
//
// ```c
// igpu_status status = igpu_snapshot_update(snapshot);
// if (status != IGPU_STATUS_OK) fprintf(stderr, "%s: %s\n", igpu_status_string(status), igpu_last_error());
// ```
typedef enum {
    // The call succeeded.
    IGPU_STATUS_OK = 0,
    // A required pointer is NULL.
    IGPU_STATUS_NULL_POINTER = 1,
    // The handle is closed, was never open, or is of another type.
    IGPU_STATUS_INVALID_HANDLE = 2,
    // The `size` field of a struct is not the size of any version of the struct.
    IGPU_STATUS_INVALID_STRUCT_SIZE = 3,
    // The array is too small. The elements that fit were written, and the count is the number of all elements.
    IGPU_STATUS_BUFFER_TOO_SMALL = 4,
    // A number or a string is not a valid argument.
    IGPU_STATUS_INVALID_ARGUMENT = 5,
    // Another thread, or the code that a signal interrupted, is using the handle.
    IGPU_STATUS_BUSY = 6,
    // The handle was opened before `fork`, in the parent process. Open the driver again in the child process.
    IGPU_STATUS_FORKED = 7,
    // No NVIDIA driver library was found, or the library is not NVML.
    IGPU_STATUS_DRIVER_NOT_FOUND = 8,
    // The driver returned an error. `igpu_last_nvml_code` returns the driver's return code.
    IGPU_STATUS_DRIVER_ERROR = 9,
    // No GPU has this index or this position.
    IGPU_STATUS_NO_SUCH_GPU = 10,
    // No metric has this name or number, or the sampler does not read the metric.
    IGPU_STATUS_NO_SUCH_METRIC = 11,
    // There is currently no value, record, or process to return.
    IGPU_STATUS_NO_DATA = 12,
    // The system could not start a thread.
    IGPU_STATUS_THREAD_START_FAILED = 13,
    // A thread hangs in the driver and was abandoned. The thread and its memory remain until the process exits.
    IGPU_STATUS_ABANDONED = 14,
    // 1024 handles are open, which is the maximum.
    IGPU_STATUS_TOO_MANY_HANDLES = 15,
    // A bug in igpu caused a panic, whose message was printed on stderr. Close the handle, and report the bug.
    IGPU_STATUS_INTERNAL_ERROR = 16,
} igpu_status;

// The kind of a metric.
typedef enum {
    // A value that can increase and decrease.
    IGPU_METRIC_KIND_GAUGE = 0,
    // A cumulative value that only increases, except when it is reset.
    IGPU_METRIC_KIND_COUNTER = 1,
} igpu_metric_kind;

// The kind of work that a process does on a GPU. A process that does two kinds of work is in the process list twice.
typedef enum {
    // Compute work.
    IGPU_PROCESS_KIND_COMPUTE = 0,
    // Graphics work.
    IGPU_PROCESS_KIND_GRAPHICS = 1,
    // Compute work through the Multi-Process Service (MPS).
    IGPU_PROCESS_KIND_MPS = 2,
} igpu_process_kind;

// The events of a sampler, which `igpu_record.detail` contains. The comments describe `igpu_record.value`. Later
// versions may add events.
typedef enum {
    // The GPU is lost, needs a reset, or cannot be opened. Its metrics stop; other GPUs are not affected. Value: the
    // driver's return code.
    IGPU_EVENT_GPU_LOST = 1,
    // The GPU is available again after it was lost or after a driver call hung.
    IGPU_EVENT_GPU_RECOVERED = 2,
    // The driver rejected the metric twice in a row, and the metric is suspended. Value: the driver's return code.
    IGPU_EVENT_METRIC_SUSPENDED = 3,
    // The cost of the metric's driver call changed, and with it the poll interval. Value: the new poll interval in
    // seconds.
    IGPU_EVENT_POLL_INTERVAL_CHANGED = 4,
    // The driver's sample buffer overflowed before it was read. Value: the number of dropped samples.
    IGPU_EVENT_SAMPLES_DROPPED = 5,
    // A process list exceeded its capacity. Value: the number of omitted processes.
    IGPU_EVENT_PROCESS_LIST_TRUNCATED = 6,
    // The wall clock was stepped. Value: the size of the step in seconds.
    IGPU_EVENT_CLOCK_STEPPED = 7,
    // Records did not fit into the memory for them. Value: the number of dropped records.
    IGPU_EVENT_RECORDS_DROPPED = 8,
    // The GPU is suspended by runtime power management, and the sampler does not wake it.
    IGPU_EVENT_GPU_SUSPENDED = 9,
    // The GPU resumed from suspension.
    IGPU_EVENT_GPU_RESUMED = 10,
    // Power was not read for too long to integrate it to energy. Value: the length of the gap in seconds, in which no
    // energy was counted.
    IGPU_EVENT_ENERGY_GAP = 11,
    // A driver call for the GPU hangs. The GPU is not sampled until the call returns, which `IGPU_EVENT_GPU_RECOVERED`
    // reports; other GPUs are not affected. Only background samplers report this event. Value: the time since the
    // start of the call in seconds.
    IGPU_EVENT_GPU_HUNG = 12,
} igpu_event;

// A reading of a GPU: the fields of `igpu_gpu_info` that one driver call fills.
typedef enum {
    // The field `name`.
    IGPU_READING_NAME = 0,
    // The field `serial`.
    IGPU_READING_SERIAL = 1,
    // The field `uuid`.
    IGPU_READING_UUID = 2,
    // The field `vbios_version`.
    IGPU_READING_VBIOS_VERSION = 3,
    // The fields `memory_total_mib`, `memory_used_mib`, `memory_free_mib`, and `memory_reserved_mib`.
    IGPU_READING_MEMORY = 4,
    // The fields `utilization_gpu_percent` and `utilization_memory_percent`.
    IGPU_READING_UTILIZATION = 5,
    // The field `fan_speed_percent`.
    IGPU_READING_FAN_SPEED = 6,
    // The field `temperature_c`.
    IGPU_READING_TEMPERATURE = 7,
    // The field `performance_state`.
    IGPU_READING_PERFORMANCE_STATE = 8,
    // The fields `pci_bus_id`, `pci_device_id`, and `pci_subsystem_id`.
    IGPU_READING_PCI = 9,
    // The field `pcie_link_generation`.
    IGPU_READING_PCIE_LINK_GENERATION = 10,
    // The field `pcie_link_width`.
    IGPU_READING_PCIE_LINK_WIDTH = 11,
    // The field `pcie_max_link_generation`.
    IGPU_READING_PCIE_MAX_LINK_GENERATION = 12,
    // The field `pcie_max_link_width`.
    IGPU_READING_PCIE_MAX_LINK_WIDTH = 13,
    // The field `clock_graphics_mhz`.
    IGPU_READING_CLOCK_GRAPHICS = 14,
    // The field `clock_sm_mhz`.
    IGPU_READING_CLOCK_SM = 15,
    // The field `clock_memory_mhz`.
    IGPU_READING_CLOCK_MEMORY = 16,
    // The field `clock_max_graphics_mhz`.
    IGPU_READING_CLOCK_MAX_GRAPHICS = 17,
    // The field `clock_max_sm_mhz`.
    IGPU_READING_CLOCK_MAX_SM = 18,
    // The field `clock_max_memory_mhz`.
    IGPU_READING_CLOCK_MAX_MEMORY = 19,
    // The field `power_management`.
    IGPU_READING_POWER_MANAGEMENT = 20,
    // The field `power_w`.
    IGPU_READING_POWER = 21,
    // The field `power_limit_w`.
    IGPU_READING_POWER_LIMIT = 22,
    // The fields `power_min_limit_w` and `power_max_limit_w`.
    IGPU_READING_POWER_LIMIT_CONSTRAINTS = 23,
    // The processes with compute work.
    IGPU_READING_COMPUTE_PROCESSES = 24,
    // The processes with graphics work.
    IGPU_READING_GRAPHICS_PROCESSES = 25,
    // The processes with compute work through MPS.
    IGPU_READING_MPS_PROCESSES = 26,
} igpu_reading;

// A handle to a background sampler, which reads metrics on its own thread. The thread blocks all signals, and writes
// its records into a ring buffer that is allocated once. The program removes the records from the buffer. The thread
// never waits for the program: if the buffer is full, records are dropped, counted, and reported. A second thread
// monitors the first thread, and takes over the other GPUs if a driver call hangs.
typedef struct igpu_background igpu_background;

// A handle to the loaded and initialized driver library. The other handles are opened from it, and remain valid after
// it is closed.
typedef struct igpu_driver igpu_driver;

// A handle to a reader of a background sampler's latest values and state. Any number of threads and signal handlers
// can use the same reader at the same time.
typedef struct igpu_latest igpu_latest;

// A handle to a sampler, which reads metrics of GPUs at intervals. The caller's loop calls `igpu_sampler_tick`; the
// sampler has no thread. `igpu_background_start` moves a sampler to a thread.
typedef struct igpu_sampler igpu_sampler;

// A handle to a snapshot, which is the state of a set of GPUs and their processes. Updates reuse the memory of the
// snapshot.
typedef struct igpu_snapshot igpu_snapshot;

// A function that returns the address of the NVML function with this name, or NULL if the function does not exist. For
// example, a profiler that interposes NVML can provide a resolver. The NVML functions must have the signatures of
// nvml.h, and must remain valid as long as any handle opened from the driver is open. Only `igpu_driver_open` calls
// the resolver, which must not throw exceptions.
typedef const void *(*igpu_resolver)(const char *name, void *data);

// The options of `igpu_driver_open`. A field that is zero selects the default.
typedef struct {
    // `sizeof(igpu_driver_options)`
    size_t size;
    // The library to load: a path, or a name that the dynamic loader searches for. No other library is tried. NULL
    // selects the library that the environment variable `IGPU_NVML_LIBRARY` names, or otherwise the driver's installed
    // library.
    const char *library;
    // A function that provides the NVML functions, or NULL to load a library.
    igpu_resolver resolver;
    // The second argument of the resolver.
    void *resolver_data;
    // `IGPU_DRIVER_NO_GPUS`, `IGPU_DRIVER_NO_ATTACH`, both, or 0.
    uint32_t flags;
    // Must be 0.
    uint32_t reserved;
} igpu_driver_options;

// The driver's versions and the number of GPUs. A string that the driver does not provide is empty.
typedef struct {
    // `sizeof(igpu_driver_info)`
    size_t size;
    // The number of GPUs. GPU indices are less than this number.
    uint32_t gpu_count;
    // The major version of the newest CUDA version that the driver supports, such as 13 for CUDA 13.1, or
    // `IGPU_UNKNOWN_U32`.
    uint32_t cuda_major;
    // The minor version of the newest CUDA version that the driver supports, such as 1 for CUDA 13.1, or
    // `IGPU_UNKNOWN_U32`.
    uint32_t cuda_minor;
    // The first number of the driver's version, such as 580 for 580.82.07, or `IGPU_UNKNOWN_U32`.
    uint32_t driver_major;
    // The second number of the driver's version, such as 82 for 580.82.07, or `IGPU_UNKNOWN_U32`.
    uint32_t driver_minor;
    // Always 0.
    uint32_t reserved;
    // The driver's version, such as `580.82.07`.
    char driver_version[88];
    // The version of the NVML library, such as `13.580.82.07`.
    char nvml_version[88];
} igpu_driver_info;

// The description of a metric. The strings are static.
typedef struct {
    // `sizeof(igpu_metric_info)`
    size_t size;
    // The number of the metric, which records contain. Numbers can differ between versions of igpu; names do not
    // change.
    uint32_t metric;
    // The kind of the metric.
    igpu_metric_kind kind;
    // The name, such as `gpu.power.average`.
    const char *name;
    // The unit in UCUM notation: `%`, `W`, `J`, `By`, `Cel`, `MHz`, `ns`, or `1`.
    const char *unit;
    // What the metric measures, in one sentence.
    const char *help;
    // The driver version and the GPU architecture that the metric requires.
    const char *since;
    // The default poll interval in nanoseconds, which applies while the sensor's refresh period is unknown.
    uint64_t poll_interval_ns;
    // 1 if the metric has a value for each process, 0 if it has one value for the GPU.
    uint32_t per_process;
    // Always 0.
    uint32_t reserved;
} igpu_metric_info;

// The owner and the parent of a process, from `/proc`. A missing value is NaN, `IGPU_UNKNOWN_U32`, or an empty string.
typedef struct {
    // `sizeof(igpu_process_info)`
    size_t size;
    // The ID of the user who owns the process.
    uint32_t uid;
    // The process ID of the parent.
    uint32_t parent_pid;
    // The start time of the process, in seconds since the Unix epoch.
    double create_time_s;
    // The name of the process.
    char name[72];
    // The name of the user who owns the process, or the user ID as text.
    char user[40];
    // The name of the parent process.
    char parent_name[72];
} igpu_process_info;

// The options of `igpu_snapshot_open`. A field that is zero selects the default.
typedef struct {
    // `sizeof(igpu_snapshot_options)`
    size_t size;
    // The indices of the GPUs, or NULL for all GPUs.
    const uint32_t *gpus;
    // The number of elements in `gpus`.
    size_t gpu_count;
    // The capacity of the process list of each GPU, at most 1048576. 0 selects a capacity that is somewhat greater
    // than the current number of processes.
    uint32_t process_capacity;
    // `IGPU_SNAPSHOT_VISIBLE`, or 0.
    uint32_t flags;
} igpu_snapshot_options;

// The state of a GPU at one moment. A missing value is NaN, `IGPU_UNKNOWN_U32`, or an empty string, depending on its
// type. For snapshots, `igpu_snapshot_reading_error` returns the reason. Strings are UTF-8 and end with a NUL.
typedef struct {
    // `sizeof(igpu_gpu_info)`
    size_t size;
    // The GPU index, in the order of PCI addresses.
    uint32_t index;
    // The status of the last update. `IGPU_STATUS_DRIVER_ERROR` if the GPU is lost or cannot be opened; values are
    // then missing.
    igpu_status status;
    // The product name.
    char name[104];
    // The serial number of the board. Most GeForce boards have none.
    char serial[104];
    // The UUID: `GPU-` and hexadecimal digits.
    char uuid[104];
    // The VBIOS version.
    char vbios_version[40];
    // The PCI address, such as `00000000:88:00.0`.
    char pci_bus_id[40];
    // The PCI device ID and vendor ID, as eight hexadecimal digits.
    char pci_device_id[16];
    // The PCI subsystem device ID and vendor ID, as eight hexadecimal digits.
    char pci_subsystem_id[16];
    // Total device memory in MiB.
    double memory_total_mib;
    // Memory used by processes in MiB. Drivers before R510 include the reserved memory.
    double memory_used_mib;
    // Free memory in MiB.
    double memory_free_mib;
    // Memory reserved by the driver and the firmware in MiB. Missing on drivers before R510.
    double memory_reserved_mib;
    // The percentage of the last sample period in which a kernel was running.
    double utilization_gpu_percent;
    // The percentage of the last sample period in which device memory was being read or written.
    double utilization_memory_percent;
    // The intended fan speed in percent of the maximum.
    double fan_speed_percent;
    // The temperature of the GPU die in degrees Celsius.
    double temperature_c;
    // The performance state, from 0 (fastest) to 15 (slowest).
    double performance_state;
    // The power draw of the board in watts.
    double power_w;
    // The current power limit in watts.
    double power_limit_w;
    // The minimum power limit that can be set, in watts.
    double power_min_limit_w;
    // The maximum power limit that can be set, in watts.
    double power_max_limit_w;
    // The graphics clock in MHz.
    double clock_graphics_mhz;
    // The clock of the streaming multiprocessors in MHz.
    double clock_sm_mhz;
    // The memory clock in MHz.
    double clock_memory_mhz;
    // The maximum graphics clock in MHz.
    double clock_max_graphics_mhz;
    // The maximum clock of the streaming multiprocessors in MHz.
    double clock_max_sm_mhz;
    // The maximum memory clock in MHz.
    double clock_max_memory_mhz;
    // The current PCIe generation.
    uint32_t pcie_link_generation;
    // The maximum PCIe generation.
    uint32_t pcie_max_link_generation;
    // The current number of PCIe lanes.
    uint32_t pcie_link_width;
    // The maximum number of PCIe lanes.
    uint32_t pcie_max_link_width;
    // 1 if power management is enabled, 0 if it is disabled.
    uint32_t power_management;
    // The number of processes that `igpu_snapshot_get_gpu_process_info` can return.
    uint32_t process_count;
    // The number of processes that the driver reported. Greater than `process_count` if the list was truncated.
    uint32_t process_total_count;
    // Always 0.
    uint32_t reserved;
} igpu_gpu_info;

// A process on a GPU, with its owner and parent from `/proc`. A missing value is NaN, `IGPU_UNKNOWN_U32`, or an empty
// string.
typedef struct {
    // `sizeof(igpu_gpu_process_info)`
    size_t size;
    // The process ID, as the driver reports it.
    uint32_t pid;
    // The kind of work.
    igpu_process_kind kind;
    // The device memory that the process uses, in whole MiB.
    double memory_mib;
    // The start time of the process, in seconds since the Unix epoch.
    double create_time_s;
    // The process ID of the parent.
    uint32_t parent_pid;
    // The ID of the MIG GPU instance that the process runs in.
    uint32_t gpu_instance;
    // The ID of the MIG compute instance that the process runs in.
    uint32_t compute_instance;
    // Always 0.
    uint32_t reserved;
    // The name of the process.
    char name[72];
    // The name of the user who owns the process, or the user ID as text.
    char user[40];
    // The name of the parent process.
    char parent_name[72];
} igpu_gpu_process_info;

// The options of `igpu_sampler_open`. A field that is zero selects the default.
typedef struct {
    // `sizeof(igpu_sampler_options)`
    size_t size;
    // The indices of the GPUs, or NULL for all GPUs.
    const uint32_t *gpus;
    // The number of elements in `gpus`.
    size_t gpu_count;
    // The names of the metrics, such as `gpu.power`, or NULL for the default metrics. The default metrics do not
    // include per-process metrics, because their driver calls take the driver's locks.
    const char *const *metrics;
    // The number of elements in `metrics`.
    size_t metric_count;
    // The interval of each metric in `metrics`: a number of nanoseconds, `IGPU_INTERVAL_ADAPTIVE`, or
    // `IGPU_INTERVAL_EVERY_TICK`. NULL selects adaptive intervals for all metrics.
    const uint64_t *intervals_ns;
    // The fraction of wall-clock time that driver calls may take, for all GPUs together. 0 selects 0.01, which is 1 %.
    // The intervals of the most expensive calls are stretched to meet the budget.
    double budget;
    // The capacity of the process list of each GPU, at most 1048576. 0 selects 256.
    uint32_t process_capacity;
    // A combination of `IGPU_SAMPLER_SKIP_SUSPENDED`, `IGPU_SAMPLER_GPU_INFO`, and `IGPU_SAMPLER_EXACT_INTERVALS`, or
    // 0.
    uint32_t flags;
    // The time in nanoseconds after which a background sampler considers a driver call hung, skips its GPU, and
    // continues with the other GPUs. The minimum is 1 ms. 0 selects 50 ms.
    uint64_t hang_timeout_ns;
} igpu_sampler_options;

// A value of a metric of a GPU at one moment, or an event. Records are passed as arrays. This struct is therefore the
// only one without a `size` field, and does not change as long as the soname is the same.
typedef struct {
    // The time of the value or event, in nanoseconds of `CLOCK_MONOTONIC`: the middle of the driver call, or the
    // driver's timestamp.
    uint64_t timestamp_ns;
    // The value in the metric's unit, or the value that `igpu_event` describes. Integers are exact up to 2^53.
    double value;
    // The maximum error of `timestamp_ns` in either direction, in nanoseconds.
    uint32_t uncertainty_ns;
    // The process ID for a per-process metric, the `igpu_event` for an event, and otherwise 0.
    uint32_t detail;
    // The NVML index of the GPU.
    uint16_t gpu;
    // The number of the metric, or `IGPU_RECORD_NO_METRIC` for an event that concerns the GPU as a whole.
    uint16_t metric;
    // A combination of the `IGPU_RECORD_*` flags.
    uint32_t flags;
} igpu_record;

// The state of a background sampler.
typedef struct {
    // `sizeof(igpu_background_info)`
    size_t size;
    // The number of ticks that read at least one metric.
    uint64_t ticks;
    // The number of records dropped since the start because they were not removed in time.
    uint64_t dropped_records;
    // The time in nanoseconds since the start of the oldest driver call that has not returned. If no call is in
    // progress, the time since the thread last made progress, which is at most 20 ms while the thread works.
    uint64_t time_since_heartbeat_ns;
    // The number of deadlines at which nothing was read, because a read was late by one or more intervals of its
    // metric.
    uint64_t missed_deadlines;
} igpu_background_info;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Returns a short description of a status, such as "no such GPU", or "unknown status" for any other number. The string
// is static.
//
// Does not block or allocate. Async-signal-safe.
const char *igpu_status_string(int32_t status);

// Returns the message of the last call that failed in this thread, in UTF-8. It states the cause, starts in lower
// case, and has no full stop. It is empty before the first failure. Do not free the string; it is valid until the next
// failure in this thread.
//
// ```c
// if (igpu_driver_open(NULL, &driver) != IGPU_STATUS_OK) {
//     fprintf(stderr, "error: %s\n", igpu_last_error());
//     if (*igpu_last_help()) fprintf(stderr, "help: %s\n", igpu_last_help());
// }
// ```
//
// Does not block. Does not allocate, with one exception: if the program loaded the library with `dlopen`, the C
// library allocates memory for the message at the thread's first failure. `igpu_driver_open`, `igpu_sampler_open`, and
// this function make this allocation in advance for the calling thread. Not async-signal-safe.
const char *igpu_last_error(void);

// Returns advice on the last call that failed in this thread, in UTF-8, or an empty string if there is none. Do not
// free the string; it is valid until the next failure in this thread.
//
// Does not block. Allocates in the same case as `igpu_last_error`. Not async-signal-safe.
const char *igpu_last_help(void);

// Returns the driver's return code (`nvmlReturn_t`) of the last call that failed in this thread, or 0 if that failure
// was not a driver error.
//
// Does not block. Allocates in the same case as `igpu_last_error`. Not async-signal-safe.
uint32_t igpu_last_nvml_code(void);

// Loads and initializes the driver library. `options` may be NULL, which selects the defaults.
//
// ```c
// igpu_driver *driver;
// igpu_driver_options options = {.size = sizeof options, .flags = IGPU_DRIVER_NO_ATTACH};
// if (igpu_driver_open(&options, &driver) != IGPU_STATUS_OK) return 1;
// igpu_driver_info info = {.size = sizeof info};
// if (igpu_driver_get_info(driver, &info) == IGPU_STATUS_OK) printf("driver %s\n", info.driver_version);
// igpu_driver_close(driver);
// ```
//
// Loads a library and makes driver calls, which may block for up to a second if no other process keeps the GPUs
// initialized. Allocates. Not async-signal-safe.
igpu_status igpu_driver_open(const igpu_driver_options *options, igpu_driver **driver);

// Closes the driver handle. Shuts NVML down as soon as all snapshots and samplers opened from it are closed, too. Does
// nothing if `driver` is NULL.
//
// May shut NVML down, which may block. Does not allocate. Not async-signal-safe.
igpu_status igpu_driver_close(igpu_driver *driver);

// Gets the driver's versions and the number of GPUs.
//
// Makes driver calls, which may block. Does not allocate. Not async-signal-safe.
igpu_status igpu_driver_get_info(igpu_driver *driver, igpu_driver_info *info);

// Gets the number of GPUs.
//
// Makes a driver call, which may block. Does not allocate. Not async-signal-safe.
igpu_status igpu_driver_get_gpu_count(igpu_driver *driver, uint32_t *count);

// Gets the indices of the GPUs that `CUDA_VISIBLE_DEVICES` selects, in the order of the variable. `count` is set to
// the number of these GPUs, even if it exceeds `capacity`; the function then fails with
// `IGPU_STATUS_BUFFER_TOO_SMALL`. If `capacity` is 0, only `count` is set, and `indices` may be NULL.
//
// Makes driver calls, which may block. Allocates. Reads the environment, which other threads must not change during
// the call. Not async-signal-safe.
igpu_status igpu_driver_get_visible_gpus(igpu_driver *driver, uint32_t *indices, size_t capacity, size_t *count);

// Returns the version of this library, such as `0.2.0 (nvml.h 13.5.37, commit ...)`. The string is static.
//
// Does not block or allocate. Async-signal-safe.
const char *igpu_version(void);

// Returns the number of metrics in the catalog. Metric numbers are less than this number.
//
// Does not block or allocate. Async-signal-safe.
uint32_t igpu_metric_count(void);

// Gets the number of the metric with this name.
//
// ```c
// uint32_t power;
// igpu_metric_info info = {.size = sizeof info};
// if (igpu_metric_find("gpu.power", &power) || igpu_metric_get_info(power, &info)) return 1;
// printf("%s: %s [%s]\n", info.name, info.help, info.unit);
// ```
//
// Does not block or allocate. Not async-signal-safe.
igpu_status igpu_metric_find(const char *name, uint32_t *metric);

// Gets the description of a metric by its number.
//
// Does not block or allocate. Not async-signal-safe.
igpu_status igpu_metric_get_info(uint32_t metric, igpu_metric_info *info);

// Reads the owner and the parent of a process from `/proc`. Use this function for the process IDs in the records of a
// background sampler. Returns `IGPU_STATUS_NO_DATA` if no process has this ID. If `/etc/passwd` does not contain the
// user, the name of the user is the user ID until a snapshot has looked up the name.
//
// Reads `/proc`, which may block. Allocates. Not async-signal-safe.
igpu_status igpu_process_get_info(uint32_t pid, igpu_process_info *info);

// Opens a snapshot, and reads the state of its GPUs. `options` may be NULL, which selects the defaults. The snapshot
// also contains GPUs that are lost; see `igpu_gpu_info.status`.
//
// ```c
// igpu_snapshot *snapshot;
// if (igpu_snapshot_open(driver, NULL, &snapshot) != IGPU_STATUS_OK) return 1;
// igpu_gpu_info gpu = {.size = sizeof gpu};
// for (uint32_t i = 0; igpu_snapshot_get_gpu_info(snapshot, i, &gpu) == IGPU_STATUS_OK; i++)
//     printf("%s: %.1f W\n", gpu.name, gpu.power_w);
// igpu_snapshot_close(snapshot);
// ```
//
// `capi/examples/snapshot.c` is a complete program.
//
// Makes driver calls, reads `/proc`, and may query a directory server for user names, all of which may block.
// Allocates. Not async-signal-safe.
igpu_status igpu_snapshot_open(igpu_driver *driver, const igpu_snapshot_options *options, igpu_snapshot **snapshot);

// Closes a snapshot. Does nothing if `snapshot` is NULL.
//
// May shut NVML down, which may block. Does not allocate. Not async-signal-safe.
igpu_status igpu_snapshot_close(igpu_snapshot *snapshot);

// Reads all values that can change. Does not fail if a GPU is lost; see `igpu_gpu_info.status`.
//
// Makes at most 16 driver calls per GPU and reads `/proc`, which may block. Does not allocate. Not async-signal-safe.
igpu_status igpu_snapshot_update(igpu_snapshot *snapshot);

// Grows the process lists that were truncated (`process_count` is less than `process_total_count`), and reads the
// processes again.
//
// Makes driver calls and reads `/proc`, which may block. Allocates. Not async-signal-safe.
igpu_status igpu_snapshot_grow_process_lists(igpu_snapshot *snapshot);

// Gets the number of GPUs in the snapshot. Positions are less than this number.
//
// Does not block or allocate. Not async-signal-safe.
igpu_status igpu_snapshot_get_gpu_count(igpu_snapshot *snapshot, uint32_t *count);

// Gets the state of the GPU at a position in the snapshot. The position equals the GPU's index only if the snapshot
// contains all GPUs.
//
// Does not block or allocate. Not async-signal-safe.
igpu_status igpu_snapshot_get_gpu_info(igpu_snapshot *snapshot, uint32_t position, igpu_gpu_info *gpu);

// Gets a process of the GPU at a position. `process_index` must be less than `igpu_gpu_info.process_count`; otherwise,
// the function returns `IGPU_STATUS_NO_DATA`.
//
// Does not block or allocate. Not async-signal-safe.
igpu_status igpu_snapshot_get_gpu_process_info(igpu_snapshot *snapshot,
                                               uint32_t position,
                                               uint32_t process_index,
                                               igpu_gpu_process_info *process);

// Returns the status of a reading (`igpu_reading`) of the GPU at a position, which is `IGPU_STATUS_OK` if the reading is
// present. If the reading is missing, `igpu_last_error` returns the reason.
//
// Does not block or allocate. Not async-signal-safe.
igpu_status igpu_snapshot_reading_error(igpu_snapshot *snapshot, uint32_t position, uint32_t reading);

// Returns the name of an event, such as "gpu.lost", which is also its name in a recording. For any other number,
// returns "unknown event". The string is static.
//
// Does not block or allocate. Async-signal-safe.
const char *igpu_event_name(uint32_t event);

// Returns the time of `CLOCK_MONOTONIC` in nanoseconds, which is the clock of samplers and records.
//
// Does not block or allocate. Async-signal-safe.
uint64_t igpu_monotonic_ns(void);

// Opens a sampler, and allocates all of its memory. `options` may be NULL, which selects the defaults. The function
// does not fail if a GPU is lost: the sampler reports `IGPU_EVENT_GPU_LOST`, and tries the GPU again every second.
//
// ```c
// static const char *const metrics[] = {"gpu.power", "gpu.utilization"};
// igpu_sampler *sampler;
// igpu_sampler_options options = {.size = sizeof options, .metrics = metrics, .metric_count = 2};
// if (igpu_sampler_open(driver, &options, &sampler) != IGPU_STATUS_OK) return 1;
// for (int tick = 0; tick < 100; tick++) {
//     const igpu_record *records;
//     size_t count;
//     igpu_sampler_tick(sampler, igpu_monotonic_ns(), &records, &count);
//     for (size_t i = 0; i < count; i++)
//         if (!(records[i].flags & IGPU_RECORD_EVENT)) printf("GPU %u: %g\n", records[i].gpu, records[i].value);
//     uint64_t due_ns;
//     igpu_sampler_get_next_due(sampler, &due_ns);
//     struct timespec due = {.tv_sec = due_ns / 1000000000, .tv_nsec = due_ns % 1000000000};
//     clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
// }
// igpu_sampler_close(sampler);
// ```
//
// Makes driver calls, which may block. Allocates. Not async-signal-safe.
igpu_status igpu_sampler_open(igpu_driver *driver, const igpu_sampler_options *options, igpu_sampler **sampler);

// Closes a sampler. Does nothing if `sampler` is NULL.
//
// May shut NVML down, which may block. Does not allocate. Not async-signal-safe.
igpu_status igpu_sampler_close(igpu_sampler *sampler);

// Reads the metrics that are due at `now_ns`, the current time of `igpu_monotonic_ns`. Sets `records` and `count` to
// the new records; both may be NULL. The records belong to the sampler, and are valid until its next use. The function
// does not fail if the driver rejects a metric or a GPU is lost; events report these failures.
//
// Makes driver calls, which may block. Does not allocate. Not async-signal-safe.
igpu_status igpu_sampler_tick(igpu_sampler *sampler, uint64_t now_ns, const igpu_record **records, size_t *count);

// Reads all metrics now, even if they are not due, and updates the `igpu_gpu_info` of each GPU if
// `IGPU_SAMPLER_GPU_INFO` is set. Skips suspended metrics, lost GPUs, and, with `IGPU_SAMPLER_SKIP_SUSPENDED`,
// suspended GPUs. Returns records like `igpu_sampler_tick`.
//
// Makes driver calls, which may block. Does not allocate. Not async-signal-safe.
igpu_status igpu_sampler_sample(igpu_sampler *sampler, const igpu_record **records, size_t *count);

// Gets the time of `igpu_monotonic_ns` at which the next metric is due, or 0 before the first tick.
//
// Does not block or allocate. Not async-signal-safe.
igpu_status igpu_sampler_get_next_due(igpu_sampler *sampler, uint64_t *due_ns);

// Gets the number of deadlines that were missed because ticks were too late. A read that is *n* whole intervals late
// misses
// *n* deadlines.
//
// Does not block or allocate. Not async-signal-safe.
igpu_status igpu_sampler_get_missed_deadlines(igpu_sampler *sampler, uint64_t *count);

// Gets the latest value of a metric. `gpu` is the index of the GPU, and `metric` is the number of the metric. Returns
// `IGPU_STATUS_NO_DATA` if the metric has no value; `igpu_sampler_metric_error` returns the reason.
//
// Does not block or allocate. Not async-signal-safe.
igpu_status igpu_sampler_get_latest(igpu_sampler *sampler, uint32_t gpu, uint32_t metric, igpu_record *record);

// Returns the status of the last attempt to read a metric of a GPU, which is `IGPU_STATUS_OK` if the attempt
// succeeded. If the attempt failed, `igpu_last_error` returns the reason.
//
// Does not block or allocate. Not async-signal-safe.
igpu_status igpu_sampler_metric_error(igpu_sampler *sampler, uint32_t gpu, uint32_t metric);

// Gets the estimated refresh period of a metric's sensor in nanoseconds. Returns `IGPU_STATUS_NO_DATA` while the data
// does not support an estimate; a constant signal never does.
//
// Does not block or allocate. Not async-signal-safe.
igpu_status igpu_sampler_get_refresh_period(igpu_sampler *sampler,
                                            uint32_t gpu,
                                            uint32_t metric,
                                            uint64_t *refresh_period_ns);

// Gets the current poll interval of a metric in nanoseconds, which depends on the options, the sensor, and the budget.
//
// Does not block or allocate. Not async-signal-safe.
igpu_status igpu_sampler_get_poll_interval(igpu_sampler *sampler,
                                           uint32_t gpu,
                                           uint32_t metric,
                                           uint64_t *poll_interval_ns);

// Gets the owner and the parent of a process in the process lists, which the sampler looked up when the process first
// appeared. Requires the metric `gpu.process.memory`. For a background sampler, use `igpu_process_get_info`.
//
// Does not block or allocate. Not async-signal-safe.
igpu_status igpu_sampler_get_process_info(igpu_sampler *sampler, uint32_t pid, igpu_process_info *info);

// Gets the state of the GPU at a position in the sampler's list of GPUs, as of the last `igpu_sampler_sample`. Returns
// `IGPU_STATUS_NO_SUCH_GPU` for every position if the sampler was opened without `IGPU_SAMPLER_GPU_INFO`.
//
// Does not block or allocate. Not async-signal-safe.
igpu_status igpu_sampler_get_gpu_info(igpu_sampler *sampler, uint32_t position, igpu_gpu_info *gpu);

// Gets a process of the GPU at a position, like `igpu_snapshot_get_gpu_process_info`.
//
// Does not block or allocate. Not async-signal-safe.
igpu_status igpu_sampler_get_gpu_process_info(igpu_sampler *sampler,
                                              uint32_t position,
                                              uint32_t process_index,
                                              igpu_gpu_process_info *process);

// Moves a sampler to its own thread. `capacity` is the number of records that the buffer can hold, from 1 to 16777216.
// A record has 32 bytes. The function closes the handle of the sampler even if no thread can be started, but not if an
// argument is invalid.
//
// ```c
// igpu_background *background;
// if (igpu_background_start(sampler, 4096, &background) != IGPU_STATUS_OK) return 1;
// sleep(1);
// igpu_record record;
// while (igpu_background_pop(background, &record) == IGPU_STATUS_OK)
//     if (record.flags & IGPU_RECORD_EVENT) printf("%s\n", igpu_event_name(record.detail));
// igpu_background_close(background);
// ```
//
// `capi/examples/background.c` is a complete program.
//
// Starts two threads, which does not block for long. Allocates. Afterwards, the background sampler allocates only if a
// driver call hangs, for a new thread. Not async-signal-safe.
igpu_status igpu_background_start(igpu_sampler *sampler, size_t capacity, igpu_background **background);

// Removes the oldest record. Returns `IGPU_STATUS_NO_DATA` if there is no record.
//
// Does not block or allocate. Not async-signal-safe.
igpu_status igpu_background_pop(igpu_background *background, igpu_record *record);

// Removes up to `capacity` records, oldest first, and sets `count` to their number. If `count` equals `capacity`,
// there may be more records. `capacity` must not be 0.
//
// Does not block or allocate. Not async-signal-safe.
igpu_status igpu_background_drain(igpu_background *background, igpu_record *records, size_t capacity, size_t *count);

// Gets the state of the sampler. If another thread removes records, call `igpu_latest_get_info` instead.
//
// Does not block or allocate. Not async-signal-safe.
igpu_status igpu_background_get_info(igpu_background *background, igpu_background_info *info);

// Gets the indices of the GPUs in which a driver call hangs now. `count` is set to the number of these GPUs, even if
// it exceeds `capacity`; the function then fails with `IGPU_STATUS_BUFFER_TOO_SMALL`. If `capacity` is 0, only `count`
// is set, and `indices` may be NULL.
//
// Does not block or allocate. Not async-signal-safe.
igpu_status igpu_background_get_hung_gpus(igpu_background *background,
                                          uint32_t *indices,
                                          size_t capacity,
                                          size_t *count);

// Stops the thread. If the thread hangs in a driver call, it is abandoned, and the function returns
// `IGPU_STATUS_ABANDONED`. The remaining records can still be removed.
//
// Blocks for at most 100 ms. Does not allocate. Not async-signal-safe.
igpu_status igpu_background_stop(igpu_background *background);

// Stops the thread if it is running, and closes the handle, even if the function returns `IGPU_STATUS_ABANDONED`. Does
// nothing if `background` is NULL.
//
// Blocks for at most 100 ms, and may shut NVML down, which may also block. Does not allocate. Not async-signal-safe.
igpu_status igpu_background_close(igpu_background *background);

// Opens a reader of the latest values of a background sampler, for other threads and for signal handlers. Close it
// with `igpu_latest_close`, before or after the sampler.
//
// ```c
// static igpu_latest *latest;
// static uint32_t power_key;
//
// static void on_signal(int signal) {
//     igpu_record record;
//     if (igpu_latest_read(latest, power_key, &record) == IGPU_STATUS_OK) { /* use record.value */ }
// }
// ```
//
// `capi/examples/sigprof.c` is a complete program.
//
// Does not block. Allocates. Not async-signal-safe.
igpu_status igpu_latest_open(igpu_background *background, igpu_latest **latest);

// Gets the key of a metric for `igpu_latest_read`. `gpu` is the index of the GPU, and `metric` is the number of the
// metric. Get keys once, outside of signal handlers. They are valid as long as the reader is open. Per-process metrics
// have no key.
//
// Does not block or allocate. Not async-signal-safe.
igpu_status igpu_latest_get_key(igpu_latest *latest, uint32_t gpu, uint32_t metric, uint32_t *key);

// Gets the latest value of a metric. Returns `IGPU_STATUS_NO_DATA` before the first value, while the GPU is lost or
// one of its driver calls hangs, and in the rare case that several attempts coincide with writes. The last value
// remains available after the sampler is stopped; `timestamp_ns` shows its age.
//
// Does not block or allocate. Does not change `igpu_last_error`. Async-signal-safe.
igpu_status igpu_latest_read(igpu_latest *latest, uint32_t key, igpu_record *record);

// Gets the state of the sampler, like `igpu_background_get_info`. Any thread can call this function, even while
// another thread removes records.
//
// Does not block or allocate. Not async-signal-safe.
igpu_status igpu_latest_get_info(igpu_latest *latest, igpu_background_info *info);

// Gets the indices of the GPUs in which a driver call hangs now, like `igpu_background_get_hung_gpus`. Any thread can
// call this function, even while another thread removes records.
//
// Does not block or allocate. Not async-signal-safe.
igpu_status igpu_latest_get_hung_gpus(igpu_latest *latest, uint32_t *indices, size_t capacity, size_t *count);

// Closes a reader. Signal handlers that use it afterwards get `IGPU_STATUS_INVALID_HANDLE`. Does nothing if `latest`
// is NULL.
//
// Does not block or allocate. Not async-signal-safe.
igpu_status igpu_latest_close(igpu_latest *latest);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* IGPU_H */
