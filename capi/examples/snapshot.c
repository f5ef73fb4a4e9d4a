// All GPUs, at this moment:  cc snapshot.c $(pkg-config --cflags --libs igpu) -o snapshot
#include <igpu.h>
#include <stdio.h>

int main(void) {
    igpu_driver *driver;
    igpu_snapshot *snapshot;
    if (igpu_driver_open(NULL, &driver) || igpu_snapshot_create(driver, NULL, &snapshot))
        return fprintf(stderr, "%s\n", igpu_last_error()), 1;
    igpu_gpu_info gpu = {.size = sizeof gpu};
    for (uint32_t place = 0; igpu_snapshot_gpu(snapshot, place, &gpu) == IGPU_STATUS_OK; place++)
        printf("%u %s: %.2f W, %.0f %% busy, %.0f MiB used, %u processes\n", gpu.index, gpu.name, gpu.power,
               gpu.utilization_gpu, gpu.memory_used, gpu.process_count);
    igpu_snapshot_close(snapshot);
    igpu_driver_close(driver);
}
