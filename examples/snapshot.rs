//! Prints the number of GPUs, and the memory, utilization, temperature, and processes of each GPU.
//!
//! For users of igpu 0.1.2 for Python: this is its quick start, in Rust.
//!
//! ```sh
//! cargo run --example snapshot    # on the GPUs of this host
//! # On the simulator:
//! cargo build -p nvml-sim && IGPU_NVML_LIBRARY=target/debug/libnvml_sim.so cargo run --example snapshot
//! ```

fn main() -> igpu::Result<()> {
    println!("This host has {} devices.", igpu::count_devices()?);
    for gpu in igpu::devices()? {
        let (memory, utilization) = (&gpu.memory, &gpu.utilization);
        println!();
        println!("GPU board {}: {}", gpu.index, gpu.name.unwrap_or_default());
        println!("Memory: {} of {} {}", or_not_available(memory.used), or_not_available(memory.total), memory.unit);
        println!("Utilization: GPU {}%", or_not_available(utilization.gpu.map(f64::from)));
        println!("Temperature: {}C", or_not_available(utilization.temperature.map(f64::from)));
        for process in &gpu.processes {
            println!("{} {}: {}", process.kind, process.pid, process.name.as_deref().unwrap_or("N/A"));
        }
    }
    Ok(())
}

/// Formats a value, or `N/A` if the GPU does not support it.
fn or_not_available(value: Option<f64>) -> String {
    value.map_or("N/A".to_owned(), |value| value.to_string())
}
