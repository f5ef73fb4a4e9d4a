/* igpu.h: what every NVIDIA GPU on this machine is doing, at any rate, without disturbing it.
 *
 * Generated from igpu's sources. Not edited by hand. Licence: MIT or Apache-2.0, at your choice.
 *
 * Functions answer a status, IGPU_STATUS_OK (0) when all went well; what they give goes to where their last pointers say,
 * which are left as they are on failure (but IGPU_STATUS_BUFFER_TOO_SMALL). igpu_last_error has the sentence of a failure.
 *
 * Handles are opaque and never dereferenced. One that was closed, is of another kind, or belongs to the parent process is
 * told by a status. A handle is used by one thread at a time; a second one gets IGPU_STATUS_BUSY and changes nothing. Any
 * number of threads may use igpu_driver and igpu_latest handles at a time.
 *
 * Structs start with their size, which the caller sets to sizeof of the struct before each call that fills one or reads
 * options. So they can grow: an older program gets what it knows of, and where a newer program runs with an older library,
 * the rest of its struct becomes all ones, which reads as missing (NaN, IGPU_UNKNOWN_U32). In options, zero is the usual.
 *
 * Each function says whether it may block, whether it allocates, and whether signal handlers may call it. Once a sampler was
 * made, sampling allocates nothing, on failure either.
 */

#ifndef IGPU_H
#define IGPU_H

#include <stddef.h>
#include <stdint.h>

// Do not fail when the machine has no GPU.
#define IGPU_DRIVER_NO_GPUS 1

// Do not attach to the GPUs while initialising: they are attached at first use.
#define IGPU_DRIVER_NO_ATTACH 2

// A number that is missing.
#define IGPU_UNKNOWN_U32 UINT32_MAX

// Only the GPUs that `CUDA_VISIBLE_DEVICES` leaves visible, in its order.
#define IGPU_SNAPSHOT_VISIBLE 1

// The `metric` of an event that concerns the GPU as a whole.
#define IGPU_RECORD_NO_METRIC UINT16_MAX

// The value differs from the one before it, so that the sensor has refreshed since; or it is the first.
#define IGPU_RECORD_FRESH 1

// `at` is the driver's stamp, mapped from the wall clock.
#define IGPU_RECORD_DRIVER_STAMP 2

// The energy was integrated from power, because the GPU has no counter.
#define IGPU_RECORD_INTEGRATED 4

// The counter started anew before this value.
#define IGPU_RECORD_RESET 8

// The wall clock was set back around the driver's stamp: `at` is the latest instant that it can mean.
#define IGPU_RECORD_AMBIGUOUS 16

// This is an event, not a value.
#define IGPU_RECORD_EVENT 32

// Leaves a GPU alone while the kernel says that it sleeps, as laptops' GPUs do: any driver call would wake it.
#define IGPU_SAMPLER_SKIP_SUSPENDED 1

// Also keeps an `igpu_gpu_info` of each GPU, which `igpu_sampler_sample` refills.
#define IGPU_SAMPLER_GPU_INFO 2

// The budget does not stretch the intervals in `intervals_ns`, and their calls do not count towards it.
#define IGPU_SAMPLER_EXACT_INTERVALS 4

// Reads the metric when its sensor is likely to have refreshed, as is learnt from its values.
#define IGPU_INTERVAL_ADAPTIVE 0

// Reads the metric at every tick; the budget does not hold it back.
#define IGPU_INTERVAL_EVERY_TICK UINT64_MAX

// What a function answers. `igpu_status_string` has a word for each, `igpu_last_error` the sentence of a failure. Later
// versions may add codes.
typedef enum {
    // Done.
    IGPU_STATUS_OK = 0,
    // A pointer is NULL that may not be.
    IGPU_STATUS_NULL_POINTER = 1,
    // The handle was closed, was never one, or is one of another kind.
    IGPU_STATUS_INVALID_HANDLE = 2,
    // The `size` at the start of a struct is not that of any version of it.
    IGPU_STATUS_INVALID_STRUCT_SIZE = 3,
    // The array is too small; what fits was written, and the count says how much there is.
    IGPU_STATUS_BUFFER_TOO_SMALL = 4,
    // A number or text is not among those allowed.
    IGPU_STATUS_INVALID_ARGUMENT = 5,
    // Another thread is using the handle at this moment, or the interrupted program is.
    IGPU_STATUS_BUSY = 6,
    // The handle was made before a `fork` and is used in the child. Open the driver again there.
    IGPU_STATUS_FORKED = 7,
    // No driver library could be loaded, or it is not NVML.
    IGPU_STATUS_DRIVER_NOT_FOUND = 8,
    // The driver refused; `igpu_last_nvml_code` has its code.
    IGPU_STATUS_DRIVER_ERROR = 9,
    // There is no GPU of this index, or none at this place.
    IGPU_STATUS_NO_SUCH_GPU = 10,
    // There is no metric of this name or number, or it is not sampled.
    IGPU_STATUS_NO_SUCH_METRIC = 11,
    // There is no value, no record, or no process to give: not yet, or not any more.
    IGPU_STATUS_NO_DATA = 12,
    // The system gave no thread.
    IGPU_STATUS_THREAD_START_FAILED = 13,
    // A thread hangs in the driver and was given up; it and its memory stay until the program ends.
    IGPU_STATUS_ABANDONED = 14,
    // There are too many open handles: 1024 at once are possible.
    IGPU_STATUS_TOO_MANY_HANDLES = 15,
    // igpu has a fault of its own; it told of it on stderr. Close the handle, and report it.
    IGPU_STATUS_INTERNAL_ERROR = 16,
} igpu_status;

// Whether a metric goes up and down, or only up.
typedef enum {
    // A level: it goes up and down.
    IGPU_METRIC_KIND_GAUGE = 0,
    // A sum since some start: it only goes up, but for a reset.
    IGPU_METRIC_KIND_COUNTER = 1,
} igpu_metric_kind;

// What a process does on a GPU. One that does two of these stands in the list twice.
typedef enum {
    // It computes.
    IGPU_PROCESS_KIND_COMPUTE = 0,
    // It draws.
    IGPU_PROCESS_KIND_GRAPHICS = 1,
    // It computes through MPS.
    IGPU_PROCESS_KIND_MPS = 2,
} igpu_process_kind;

// What can happen to the sampling itself: the `detail` of an event. Later versions may add some.
typedef enum {
    // The GPU was lost, needs a reset, or cannot be opened; value: the driver's return code. Its metrics stop, those of
    // other GPUs do not.
    IGPU_EVENT_GPU_LOST = 1,
    // The GPU answers again after it was lost, or the call that hung has returned and the GPU is not lost.
    IGPU_EVENT_GPU_RECOVERED = 2,
    // The metric was refused twice in a row and rests; value: the driver's return code.
    IGPU_EVENT_METRIC_SUSPENDED = 3,
    // The metric's call has become dear or cheap, and is made less or more often; value: the new cadence in seconds.
    IGPU_EVENT_POLL_INTERVAL_CHANGED = 4,
    // The driver's sample ring wrapped before it was drained; value: how many samples were lost.
    IGPU_EVENT_SAMPLES_DROPPED = 5,
    // A process list was longer than the memory for it; value: how many processes were left out.
    IGPU_EVENT_PROCESS_LIST_TRUNCATED = 6,
    // The wall clock was stepped; value: by how many seconds.
    IGPU_EVENT_CLOCK_STEPPED = 7,
    // Records did not fit and were left out; value: how many.
    IGPU_EVENT_RECORDS_DROPPED = 8,
    // The GPU sleeps and is left asleep.
    IGPU_EVENT_GPU_SUSPENDED = 9,
    // The GPU woke up.
    IGPU_EVENT_GPU_RESUMED = 10,
    // Power was not read for too long to integrate it to energy; value: for how many seconds nothing was counted.
    IGPU_EVENT_ENERGY_GAP = 11,
    // A driver call about the GPU does not return; value: for how many seconds by then. The GPU is left alone until it
    // does, which `IGPU_EVENT_GPU_RECOVERED` tells; other GPUs are read on. In the background only.
    IGPU_EVENT_GPU_HUNG = 12,
} igpu_event;

// A reading of a GPU: what one call of the driver gives.
typedef enum {
    // `name`
    IGPU_READING_NAME = 0,
    // `serial`
    IGPU_READING_SERIAL = 1,
    // `uuid`
    IGPU_READING_UUID = 2,
    // `vbios_version`
    IGPU_READING_BIOS = 3,
    // The four of `memory`.
    IGPU_READING_MEMORY = 4,
    // `utilization_gpu_percent` and `utilization_memory_percent`
    IGPU_READING_UTILIZATION = 5,
    // `fan_speed_percent`
    IGPU_READING_FAN = 6,
    // `temperature_c`
    IGPU_READING_TEMPERATURE = 7,
    // `performance_state`
    IGPU_READING_PERFORMANCE = 8,
    // The texts of `pci`.
    IGPU_READING_PCI = 9,
    // `pcie_link_generation`
    IGPU_READING_PCIE_GENERATION = 10,
    // `pcie_link_width`
    IGPU_READING_PCIE_WIDTH = 11,
    // `pcie_max_link_generation`
    IGPU_READING_PCIE_MAX_GENERATION = 12,
    // `pcie_max_link_width`
    IGPU_READING_PCIE_MAX_WIDTH = 13,
    // `clock_graphics_mhz`
    IGPU_READING_CLOCK_GRAPHICS = 14,
    // `clock_sm_mhz`
    IGPU_READING_CLOCK_SM = 15,
    // `clock_memory_mhz`
    IGPU_READING_CLOCK_MEMORY = 16,
    // `clock_max_graphics_mhz`
    IGPU_READING_CLOCK_MAX_GRAPHICS = 17,
    // `clock_max_sm_mhz`
    IGPU_READING_CLOCK_MAX_SM = 18,
    // `clock_max_memory_mhz`
    IGPU_READING_CLOCK_MAX_MEMORY = 19,
    // `power_management`
    IGPU_READING_POWER_MANAGEMENT = 20,
    // `power_w`
    IGPU_READING_POWER = 21,
    // `power_limit_w`
    IGPU_READING_POWER_LIMIT = 22,
    // `power_min_limit_w` and `power_max_limit_w`
    IGPU_READING_POWER_LIMIT_CONSTRAINTS = 23,
    // The processes that compute.
    IGPU_READING_COMPUTE_PROCESSES = 24,
    // The processes that draw.
    IGPU_READING_GRAPHICS_PROCESSES = 25,
    // The processes that compute through MPS.
    IGPU_READING_MPS_PROCESSES = 26,
} igpu_reading;

// A sampler on a thread of its own. The thread blocks all signals, and gives its records into a ring that was made once;
// whoever owns this takes them out. The thread never waits: when that is too slow, records are lost, counted, and told. A
// second thread watches it: when a call of the driver hangs, it goes on with the other GPUs in its place.
typedef struct igpu_background igpu_background;

// The driver, loaded and initialised. The handles made from it stay good when it is closed.
typedef struct igpu_driver igpu_driver;

// Reads the latest values of a background sampler, and how it does. Any number of threads and signal handlers may use one
// at a time.
typedef struct igpu_latest igpu_latest;

// Samples GPUs in the caller's loop. There is no thread behind it.
typedef struct igpu_sampler igpu_sampler;

// What there is to know of some GPUs, with their processes, refilled in place.
typedef struct igpu_snapshot igpu_snapshot;

// Gives the address of a function of NVML by its name, NULL where there is none: for a profiler that interposes. Addresses
// must have the signatures of nvml.h and stay good as long as anything made from the driver is open. Called by
// `igpu_driver_open` alone; must not throw.
typedef const void *(*igpu_resolver)(const char *name, void *data);

// Where the driver comes from. Zeros are the usual.
typedef struct {
    // `sizeof(igpu_driver_options)`
    size_t size;
    // The library to load, by path or by a name for the loader's search; it alone is tried. NULL: the one that the
    // environment variable `IGPU_NVML_LIBRARY` names, else where drivers install it.
    const char *library;
    // Takes the functions from here instead of from a library.
    igpu_resolver resolver;
    // Is handed to the resolver.
    void *resolver_data;
    // `IGPU_DRIVER_NO_GPUS`, `IGPU_DRIVER_NO_ATTACH`, or 0.
    uint32_t flags;
    // 0.
    uint32_t reserved;
} igpu_driver_options;

// What the driver says of itself. A text that it does not give is empty.
typedef struct {
    // `sizeof(igpu_driver_info)`
    size_t size;
    // GPUs of the machine; their indices are below this.
    uint32_t gpu_count;
    // The newest CUDA that it supports, 13 of 13.1; `IGPU_UNKNOWN_U32` where it does not say.
    uint32_t cuda_major;
    // 1 of 13.1.
    uint32_t cuda_minor;
    // First number of the driver's version, 580 of 580.82.07; `IGPU_UNKNOWN_U32` where it does not say.
    uint32_t driver_major;
    // Second number, 82 of 580.82.07.
    uint32_t driver_minor;
    // 0.
    uint32_t reserved;
    // The driver's version, `580.82.07`.
    char driver_version[88];
    // The version of the NVML library, `13.580.82.07`.
    char nvml_version[88];
} igpu_driver_info;

// A metric of the catalog. Texts stay for ever.
typedef struct {
    // `sizeof(igpu_metric_info)`
    size_t size;
    // Its number, as in records. Numbers may change from one version of igpu to the next; names do not.
    uint32_t metric;
    // Whether it goes up and down, or only up.
    igpu_metric_kind kind;
    // Its name, `gpu.power.average`.
    const char *name;
    // Its unit, in the notation of UCUM: `%`, `W`, `J`, `By`, `Cel`, `MHz`, `ns`, `1`.
    const char *unit;
    // What it measures, in one sentence.
    const char *help;
    // Since which driver, and on which GPUs.
    const char *since;
    // How often reading it is of use where nothing better was learnt from the sensor, in nanoseconds.
    uint64_t poll_interval_ns;
    // 1 where it has a value for each process rather than one for the GPU.
    uint32_t per_process;
    // 0.
    uint32_t reserved;
} igpu_metric_info;

// Who owns a process, as far as `/proc` tells.
typedef struct {
    // `sizeof(igpu_process_info)`
    size_t size;
    // The number of its user.
    uint32_t uid;
    // The parent's pid.
    uint32_t parent_pid;
    // When it was started: seconds since the epoch, UTC.
    double create_time_s;
    // Its name.
    char name[72];
    // The name of its user, or the uid as text.
    char user[40];
    // The parent's name.
    char parent_name[72];
} igpu_process_info;

// Which GPUs a snapshot has. Zeros are the usual.
typedef struct {
    // `sizeof(igpu_snapshot_options)`
    size_t size;
    // The indices of the GPUs; NULL: all.
    const uint32_t *gpus;
    // How many.
    size_t gpu_count;
    // Room for so many processes a GPU, at most 1048576; 0: as many as there are now, and some more.
    uint32_t process_capacity;
    // `IGPU_SNAPSHOT_VISIBLE`, or 0.
    uint32_t flags;
} igpu_snapshot_options;

// A GPU at one moment. A reading that is missing is NaN, a number `IGPU_UNKNOWN_U32`, a text empty; `igpu_snapshot_reading_error` tells
// why. Texts are UTF-8 and end with a NUL.
typedef struct {
    // `sizeof(igpu_gpu_info)`
    size_t size;
    // The index of the GPU, in the order of PCI addresses.
    uint32_t index;
    // How the last update went: `IGPU_STATUS_DRIVER_ERROR` when the GPU is lost or cannot be opened, and readings are missing.
    igpu_status status;
    // The product's name.
    char name[104];
    // The board's serial number; missing on most GeForce boards.
    char serial[104];
    // The UUID, `GPU-` and hex digits.
    char uuid[104];
    // The version of the VBIOS.
    char vbios_version[40];
    // PCI address, `00000000:88:00.0`.
    char pci_bus_id[40];
    // PCI device and vendor id, eight hex digits.
    char pci_device_id[16];
    // PCI subsystem's device and vendor id, eight hex digits.
    char pci_subsystem_id[16];
    // All memory, MiB.
    double memory_total_mib;
    // Memory used by processes, MiB; on drivers before R510 with what is reserved.
    double memory_used_mib;
    // Memory that is free, MiB.
    double memory_free_mib;
    // Memory kept by driver and firmware, MiB; missing on drivers before R510.
    double memory_reserved_mib;
    // Percent of the last sample period in which a kernel was running.
    double utilization_gpu_percent;
    // Percent of the same period in which device memory was being read or written.
    double utilization_memory_percent;
    // Intended fan speed, percent of the maximum.
    double fan_speed_percent;
    // Temperature of the die, degrees Celsius.
    double temperature_c;
    // Performance state, 0 (fastest) to 15.
    double performance_state;
    // Power of the board, W.
    double power_w;
    // The power limit that was set, W.
    double power_limit_w;
    // The least limit that can be set, W.
    double power_min_limit_w;
    // The greatest limit that can be set, W.
    double power_max_limit_w;
    // Clock of the shaders, MHz.
    double clock_graphics_mhz;
    // Clock of the streaming multiprocessors, MHz.
    double clock_sm_mhz;
    // Clock of the memory, MHz.
    double clock_memory_mhz;
    // Clock of the shaders at the most, MHz.
    double clock_max_graphics_mhz;
    // Clock of the streaming multiprocessors at the most, MHz.
    double clock_max_sm_mhz;
    // Clock of the memory at the most, MHz.
    double clock_max_memory_mhz;
    // PCIe generation now.
    uint32_t pcie_link_generation;
    // PCIe generation at the most.
    uint32_t pcie_max_link_generation;
    // PCIe lanes now.
    uint32_t pcie_link_width;
    // PCIe lanes at the most.
    uint32_t pcie_max_link_width;
    // 1 where power management is on, 0 where it is off.
    uint32_t power_management;
    // How many processes `igpu_snapshot_get_gpu_process_info` has.
    uint32_t process_count;
    // How many processes the driver counted; more than `process_count` where there was no room for all.
    uint32_t process_total_count;
    // 0.
    uint32_t reserved;
} igpu_gpu_info;

// A process on a GPU, and who owns it. What `/proc` does not tell is missing: an empty text, NaN, `IGPU_UNKNOWN_U32`.
typedef struct {
    // `sizeof(igpu_gpu_process_info)`
    size_t size;
    // The process id as the driver counts.
    uint32_t pid;
    // What it does.
    igpu_process_kind kind;
    // Device memory that it holds, whole MiB.
    double memory_mib;
    // When it was started: seconds since the epoch, UTC.
    double create_time_s;
    // The parent's pid.
    uint32_t parent_pid;
    // The MIG GPU instance that it runs in.
    uint32_t gpu_instance;
    // The MIG compute instance that it runs in.
    uint32_t compute_instance;
    // 0.
    uint32_t reserved;
    // Its name.
    char name[72];
    // The name of its user, or the uid as text.
    char user[40];
    // The parent's name.
    char parent_name[72];
} igpu_gpu_process_info;

// What to sample, how often, at what cost. Zeros are the usual.
typedef struct {
    // `sizeof(igpu_sampler_options)`
    size_t size;
    // The indices of the GPUs; NULL: all.
    const uint32_t *gpus;
    // How many.
    size_t gpu_count;
    // The names of the metrics, `gpu.power`; NULL: what every profiler shows, without metrics for each process, whose calls
    // take the driver's locks.
    const char *const *metrics;
    // How many.
    size_t metric_count;
    // For each of the metrics how often to read it: a number of nanoseconds, `IGPU_INTERVAL_ADAPTIVE`, or
    // `IGPU_INTERVAL_EVERY_TICK`; NULL: all learnt.
    const uint64_t *intervals_ns;
    // The share of wall time that may be spent in driver calls, over all GPUs; 0: 0.01. Calls that would take more are made
    // less often, the dearest first.
    double budget;
    // Room for so many processes a GPU, at most 1048576; 0: 256.
    uint32_t process_capacity;
    // A combination of `IGPU_SAMPLER_SKIP_SUSPENDED`, `IGPU_SAMPLER_GPU_INFO`, and `IGPU_SAMPLER_EXACT_INTERVALS`, or 0.
    uint32_t flags;
    // After how many nanoseconds in one driver call a background sampler takes it for one that hangs, leaves the GPU alone,
    // and goes on with the others, at least 1 ms; 0: 50 ms.
    uint64_t hang_timeout_ns;
} igpu_sampler_options;

// One value of one metric of one GPU at one moment, or an event. Arrays of it are handed over as they lie in memory, so
// it is the one struct without a size: it never grows within a soname.
typedef struct {
    // When it was so: nanoseconds of `CLOCK_MONOTONIC`. The middle of the driver call, or the driver's own stamp.
    uint64_t timestamp_ns;
    // The value, in the metric's unit; of an event see `igpu_event`. Whole numbers are exact up to 2^53.
    double value;
    // `at` is right to plus or minus this many nanoseconds.
    uint32_t uncertainty_ns;
    // The process, of a metric for each process; the `igpu_event`, of an event; else 0.
    uint32_t detail;
    // The index of the GPU, as NVML counts.
    uint16_t gpu;
    // The metric's number; `IGPU_RECORD_NO_METRIC` of an event that concerns the GPU as a whole.
    uint16_t metric;
    // The bits `IGPU_RECORD_*`.
    uint32_t flags;
} igpu_record;

// How a background sampler does.
typedef struct {
    // `sizeof(igpu_background_info)`
    size_t size;
    // How many ticks there were in which something was due.
    uint64_t ticks;
    // How many records were lost since the start, because they were not taken out in time.
    uint64_t dropped_records;
    // For how many nanoseconds nothing was heard: since the oldest driver call under way began, or since the thread last
    // came by, which it does every 20 ms at the least. So a call that hangs shows at once, and for as long as it does.
    uint64_t time_since_heartbeat_ns;
    // The number of deadlines at which nothing was read, because a read was late by one interval of its metric or more.
    uint64_t missed_deadlines;
} igpu_background_info;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// A few words for a status; "unknown status" for a number that is none. The text stays for ever.
//
// Never blocks; allocates nothing; may be called in a signal handler.
const char *igpu_status_string(int32_t status);

// What went wrong in the last call of this thread that failed, and what to do about it: one sentence in UTF-8, empty
// before the first failure. It is not to be freed, and stays as it is until another call of this thread fails.
//
// Never blocks; allocates nothing, but for this: where the program opened the library by `dlopen`, the C library makes each
// thread's memory for it at the thread's first failure. A thread that opens a driver or makes a sampler has it made by that,
// any other by calling this. Not for signal handlers.
const char *igpu_last_error(void);

// The driver's return code (`nvmlReturn_t`) of the last call of this thread that failed; 0 when that failure was not the
// driver's.
//
// As `igpu_last_error`.
uint32_t igpu_last_nvml_code(void);

// Loads the driver's library and initialises it. `options` may be NULL.
//
// Blocks: loads a library and asks the driver, which takes up to a second where nothing keeps the GPUs initialised.
// Allocates. Not for signal handlers.
igpu_status igpu_driver_open(const igpu_driver_options *options, igpu_driver **driver);

// Closes the driver. It is shut down when nothing made from it is open any more.
//
// Blocks: may ask the driver to shut down. Allocates nothing. Not for signal handlers.
igpu_status igpu_driver_close(igpu_driver *driver);

// What the driver says of itself.
//
// Blocks: asks the driver. Allocates nothing. Not for signal handlers.
igpu_status igpu_driver_get_info(igpu_driver *driver, igpu_driver_info *info);

// The number of GPUs.
//
// Blocks: asks the driver. Allocates nothing. Not for signal handlers.
igpu_status igpu_driver_get_gpu_count(igpu_driver *driver, uint32_t *count);

// The indices of the GPUs that `CUDA_VISIBLE_DEVICES` leaves visible, in its order, and how many they are. With a
// `capacity` of 0, `indices` may be NULL, and only the number is given; else `IGPU_STATUS_BUFFER_TOO_SMALL` where they do not fit.
//
// Blocks: asks the driver. Allocates. Reads the environment, which no other thread may be changing. Not for signal handlers.
igpu_status igpu_driver_get_visible_gpus(igpu_driver *driver, uint32_t *indices, size_t capacity, size_t *count);

// The version of this library: `0.2.0 (nvml.h 13.5.37, commit ...)`. The text stays for ever.
//
// Never blocks; allocates nothing; may be called in a signal handler.
const char *igpu_version(void);

// How many metrics there are: their numbers are below this.
//
// Never blocks; allocates nothing; may be called in a signal handler.
uint32_t igpu_metric_count(void);

// The number of the metric of this name.
//
// Never blocks; allocates nothing. Not for signal handlers.
igpu_status igpu_metric_find(const char *name, uint32_t *metric);

// All there is to know of a metric, by its number.
//
// Never blocks; allocates nothing. Not for signal handlers.
igpu_status igpu_metric_get_info(uint32_t metric, igpu_metric_info *info);

// Who owns a process, as `/proc` tells now: for the pids in the records of a background sampler. `IGPU_STATUS_NO_DATA`
// where there is no such process. A user whom only a server knows is a number until a snapshot was made.
//
// Blocks: reads `/proc`. Allocates. Not for signal handlers.
igpu_status igpu_process_get_info(uint32_t pid, igpu_process_info *info);

// Makes a snapshot and fills it. `options` may be NULL. A GPU that is lost is among the others, and its `status` tells.
//
// Blocks: asks the driver, reads `/proc`, and where the names of users come from a server, asks that. Allocates. Not for
// signal handlers.
igpu_status igpu_snapshot_open(igpu_driver *driver, const igpu_snapshot_options *options, igpu_snapshot **snapshot);

// Closes a snapshot.
//
// Blocks: may ask the driver to shut down. Allocates nothing. Not for signal handlers.
igpu_status igpu_snapshot_close(igpu_snapshot *snapshot);

// Reads all that can change anew. A GPU that is lost takes no other away: its `status` tells.
//
// Blocks: asks the driver (at most 16 calls a GPU, the process lists among them) and reads `/proc`. Allocates nothing. Not
// for signal handlers.
igpu_status igpu_snapshot_update(igpu_snapshot *snapshot);

// Makes room for the processes that there was none for (`process_count` is less than `process_total_count`), and reads them.
//
// Blocks: asks the driver and reads `/proc`. Allocates. Not for signal handlers.
igpu_status igpu_snapshot_grow_process_lists(igpu_snapshot *snapshot);

// How many GPUs the snapshot has: their places are below this.
//
// Never blocks; allocates nothing. Not for signal handlers.
igpu_status igpu_snapshot_get_gpu_count(igpu_snapshot *snapshot, uint32_t *count);

// The GPU at a place of the snapshot, which is its index only where the snapshot has all GPUs.
//
// Never blocks; allocates nothing. Not for signal handlers.
igpu_status igpu_snapshot_get_gpu_info(igpu_snapshot *snapshot, uint32_t position, igpu_gpu_info *gpu);

// A process of the GPU at a place, `process_index` from 0 to `process_count` - 1; past the end `IGPU_STATUS_NO_DATA`.
//
// Never blocks; allocates nothing. Not for signal handlers.
igpu_status igpu_snapshot_get_gpu_process_info(igpu_snapshot *snapshot,
                                               uint32_t position,
                                               uint32_t process_index,
                                               igpu_gpu_process_info *process);

// Why a reading (`igpu_reading`) of the GPU at a place is missing: the answer is the reason, and `igpu_last_error` its
// sentence. `IGPU_STATUS_OK` where the reading is there.
//
// Never blocks; allocates nothing. Not for signal handlers.
igpu_status igpu_snapshot_reading_error(igpu_snapshot *snapshot, uint32_t position, uint32_t reading);

// The name of an event, "unknown event" for a number that is none. The text stays for ever.
//
// Never blocks; allocates nothing; may be called in a signal handler.
const char *igpu_event_name(uint32_t event);

// Nanoseconds of `CLOCK_MONOTONIC`: what the sampler and its records count in.
//
// Never blocks; allocates nothing; may be called in a signal handler.
uint64_t igpu_monotonic_ns(void);

// Makes a sampler with all of its memory. `options` may be NULL. A GPU that is lost takes no other away:
// `IGPU_EVENT_GPU_LOST` tells, and it is tried again.
//
// Blocks: asks the driver. Allocates. Not for signal handlers.
igpu_status igpu_sampler_open(igpu_driver *driver, const igpu_sampler_options *options, igpu_sampler **sampler);

// Closes a sampler.
//
// Blocks: may ask the driver to shut down. Allocates nothing. Not for signal handlers.
igpu_status igpu_sampler_close(igpu_sampler *sampler);

// Reads what is due at `now_ns`, which is the time by `igpu_monotonic_ns`. `records` and `count` are set to what was read; both
// may be NULL. The records are the sampler's, and good until it is used again. A metric that is refused or a GPU that is
// lost is no failure of this call: events tell of it.
//
// Blocks: asks the driver. Allocates nothing. Not for signal handlers.
igpu_status igpu_sampler_tick(igpu_sampler *sampler, uint64_t now_ns, const igpu_record **records, size_t *count);

// Reads everything now, whatever is due, and refills the `igpu_gpu_info` of each GPU where `IGPU_SAMPLER_GPU_INFO` was asked
// for. What rests, or belongs to a GPU that is lost or asleep, is left out. Records as with `igpu_sampler_tick`.
//
// Blocks: asks the driver. Allocates nothing. Not for signal handlers.
igpu_status igpu_sampler_sample(igpu_sampler *sampler, const igpu_record **records, size_t *count);

// When something is due next, by `igpu_monotonic_ns`; 0 before the first tick.
//
// Never blocks; allocates nothing. Not for signal handlers.
igpu_status igpu_sampler_get_next_due(igpu_sampler *sampler, uint64_t *due_ns);

// Returns the number of deadlines at which nothing was read, because ticks came too late: a read that takes place *n* whole
// intervals after its own deadline misses *n* deadlines.
//
// Never blocks; allocates nothing. Not for signal handlers.
igpu_status igpu_sampler_get_missed_deadlines(igpu_sampler *sampler, uint64_t *count);

// Goes on on a thread of its own, with room for `capacity` records that were not taken out yet (at 32 bytes each, at most
// 16777216). The sampler's handle is closed by it, also when it fails, but not when an argument is wrong.
//
// Blocks: starts two threads. Allocates, and from then on nothing does, but for a new thread each time that a call of the
// driver hangs. Not for signal handlers.
igpu_status igpu_background_start(igpu_sampler *sampler, size_t capacity, igpu_background **background);

// The latest value of a metric of a GPU, by the GPU's index and the metric's number; `IGPU_STATUS_NO_DATA` while there is
// none, and `igpu_sampler_metric_error` tells why.
//
// Never blocks; allocates nothing. Not for signal handlers.
igpu_status igpu_sampler_get_latest(igpu_sampler *sampler, uint32_t gpu, uint32_t metric, igpu_record *record);

// Why a metric of a GPU was not read when it was last tried: the answer is the reason, and `igpu_last_error` its sentence.
// `IGPU_STATUS_OK` where it was read.
//
// Never blocks; allocates nothing. Not for signal handlers.
igpu_status igpu_sampler_metric_error(igpu_sampler *sampler, uint32_t gpu, uint32_t metric);

// How often the sensor behind a metric refreshes, in nanoseconds, as far as its values have shown; `IGPU_STATUS_NO_DATA`
// while that is unknown, as it stays for a signal that does not change.
//
// Never blocks; allocates nothing. Not for signal handlers.
igpu_status igpu_sampler_get_refresh_period(igpu_sampler *sampler,
                                            uint32_t gpu,
                                            uint32_t metric,
                                            uint64_t *refresh_period_ns);

// How often a metric is read now, in nanoseconds: as its sensor and the budget want it.
//
// Never blocks; allocates nothing. Not for signal handlers.
igpu_status igpu_sampler_get_poll_interval(igpu_sampler *sampler,
                                           uint32_t gpu,
                                           uint32_t metric,
                                           uint64_t *poll_interval_ns);

// Who owns a process of the process lists, looked up when it first appeared; needs `gpu.process.memory` among the metrics.
// With a background sampler see `igpu_process_get_info`.
//
// Never blocks; allocates nothing. Not for signal handlers.
igpu_status igpu_sampler_get_process_info(igpu_sampler *sampler, uint32_t pid, igpu_process_info *info);

// The GPU at a place of the sampler's GPUs, as `igpu_sampler_sample` filled it last; none without
// `IGPU_SAMPLER_GPU_INFO`.
//
// Never blocks; allocates nothing. Not for signal handlers.
igpu_status igpu_sampler_get_gpu_info(igpu_sampler *sampler, uint32_t position, igpu_gpu_info *gpu);

// A process of the GPU at a place, as `igpu_snapshot_get_gpu_process_info`.
//
// Never blocks; allocates nothing. Not for signal handlers.
igpu_status igpu_sampler_get_gpu_process_info(igpu_sampler *sampler,
                                              uint32_t position,
                                              uint32_t process_index,
                                              igpu_gpu_process_info *process);

// Takes the oldest record out; `IGPU_STATUS_NO_DATA` where there is none.
//
// Never blocks; allocates nothing. Not for signal handlers.
igpu_status igpu_background_pop(igpu_background *background, igpu_record *record);

// Takes out as many records as there are, at most `capacity`, oldest first, and sets `count` to how many that were. Where
// that is as many as `capacity`, there may be more.
//
// Never blocks; allocates nothing. Not for signal handlers.
igpu_status igpu_background_drain(igpu_background *background, igpu_record *records, size_t capacity, size_t *count);

// How the sampler does. Another thread than the one that takes records out asks `igpu_latest_get_info`.
//
// Never blocks; allocates nothing. Not for signal handlers.
igpu_status igpu_background_get_info(igpu_background *background, igpu_background_info *info);

// The indices of the GPUs that a driver call hangs in now, and how many they are. With a `capacity` of 0, `gpus` may be
// NULL, and only the number is given; else `IGPU_STATUS_BUFFER_TOO_SMALL` where they do not fit.
//
// Never blocks; allocates nothing. Not for signal handlers.
igpu_status igpu_background_get_hung_gpus(igpu_background *background, uint32_t *gpus, size_t capacity, size_t *count);

// Makes a reader of the latest values and of how the sampler does, for other threads and for signal handlers. It is to be
// closed by itself, before or after the sampler.
//
// Never blocks; allocates. Not for signal handlers.
igpu_status igpu_latest_open(igpu_background *background, igpu_latest **latest);

// Stops the thread, within 100 ms also when it hangs in a driver call: then it is given up, and the answer is
// `IGPU_STATUS_ABANDONED`. What was recorded can still be taken out after.
//
// Blocks: up to 100 ms. Allocates nothing. Not for signal handlers.
igpu_status igpu_background_stop(igpu_background *background);

// Stops the thread if it was not stopped, and closes the handle, also when the answer is `IGPU_STATUS_ABANDONED`.
//
// Blocks: up to 100 ms; may ask the driver to shut down. Allocates nothing. Not for signal handlers.
igpu_status igpu_background_close(igpu_background *background);

// Where the latest value of a metric of a GPU stands, by the GPU's index and the metric's number: ask once, outside the
// signal handler. The key is good as long as the reader is open.
//
// Never blocks; allocates nothing. Not for signal handlers.
igpu_status igpu_latest_get_key(igpu_latest *latest, uint32_t gpu, uint32_t metric, uint32_t *key);

// The latest value; `IGPU_STATUS_NO_DATA` while nothing was read, while the GPU is lost or a call about it hangs, and in the
// rare case that each of a few tries met a write. Once the sampler is stopped it stays: `at` tells how old it is.
//
// Never blocks; allocates nothing; may be called in a signal handler. It leaves `igpu_last_error` as it is.
igpu_status igpu_latest_read(igpu_latest *latest, uint32_t key, igpu_record *record);

// As `igpu_background_get_info`, from any thread: also while another one takes records out.
//
// Never blocks; allocates nothing. Not for signal handlers.
igpu_status igpu_latest_get_info(igpu_latest *latest, igpu_background_info *info);

// As `igpu_background_get_hung_gpus`, from any thread: also while another one takes records out.
//
// Never blocks; allocates nothing. Not for signal handlers.
igpu_status igpu_latest_get_hung_gpus(igpu_latest *latest, uint32_t *gpus, size_t capacity, size_t *count);

// Closes the reader. A signal handler that comes after gets `IGPU_STATUS_INVALID_HANDLE`.
//
// Never blocks; allocates nothing. Not for signal handlers.
igpu_status igpu_latest_close(igpu_latest *latest);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* IGPU_H */
