//! The quick start of igpu 0.1.2, in Rust: how many GPUs there are, and how they do.
//!
//! `cargo run --example snapshot` with a driver; without one, on the simulated driver:
//! `cargo build -p nvml-sim && IGPU_NVML_LIBRARY=target/debug/libnvml_sim.so cargo run --example snapshot`

fn main() -> igpu::Result<()> {
    println!("This host has {} devices.", igpu::count_devices()?);
    for gpu in igpu::devices()? {
        let (memory, utilization) = (&gpu.memory, &gpu.utilization);
        println!();
        println!("GPU board {}: {}", gpu.index, gpu.name.unwrap_or_default());
        println!("Memory: {} of {} {}", number(memory.used), number(memory.total), memory.unit);
        println!("Utilization: GPU {}%", number(utilization.gpu.map(f64::from)));
        println!("Temperature: {}C", number(utilization.temperature.map(f64::from)));
        for process in &gpu.processes {
            println!("{} {}: {}", process.kind, process.pid, process.name.as_deref().unwrap_or("N/A"));
        }
    }
    Ok(())
}

/// A reading that the GPU may lack.
fn number(value: Option<f64>) -> String {
    value.map_or("N/A".to_owned(), |value| value.to_string())
}
