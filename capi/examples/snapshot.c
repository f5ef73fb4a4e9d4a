// Prints the current state of all GPUs.
//     cc snapshot.c $(pkg-config --cflags --libs igpu) -o snapshot
#include <igpu.h>
#include <stdio.h>

int main(void) {
    igpu_driver *driver;
    igpu_snapshot *snapshot;
    if (igpu_driver_open(NULL, &driver) || igpu_snapshot_open(driver, NULL, &snapshot))
        return fprintf(stderr, "%s\n", igpu_last_error()), 1;
    igpu_gpu_info gpu = {.size = sizeof gpu};
    for (uint32_t position = 0; igpu_snapshot_get_gpu_info(snapshot, position, &gpu) == IGPU_STATUS_OK; position++)
        printf("%u %s: %.2f W, %.0f %% busy, %.0f MiB used, %u processes\n", gpu.index, gpu.name, gpu.power_w,
               gpu.utilization_gpu_percent, gpu.memory_used_mib, gpu.process_count);
    igpu_snapshot_close(snapshot);
    igpu_driver_close(driver);
}
