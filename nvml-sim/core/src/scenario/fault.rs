//! Faults: the calls that they select, and their effects.

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};
use std::fmt;

/// A `[[fault]]` table. The first fields select calls, and all of them must match. The other fields are the effects.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Fault {
    /// The function's name, or a prefix followed by `*`. By default, every function except nvmlInit*, nvmlShutdown, and
    /// nvmlErrorString.
    #[serde(deserialize_with = "function_pattern")]
    pub function: Option<String>,
    /// The index of the GPU that the call is about, directly or through one of its MIG instances.
    pub gpu: Option<u32>,
    /// The number of the only call to select, counted from 1.
    pub nth_call: Option<u64>,
    /// The number of the first call to select, counted from 1.
    pub from_call: Option<u64>,
    /// The number of calls to select, starting with `from_call`.
    pub call_count: Option<u64>,
    /// The distance between two selected calls: 3 selects every third call.
    pub every_nth_call: Option<u64>,
    /// The start of the fault in seconds since the start of the scenario.
    pub from_s: Option<f64>,
    /// The end of the fault in seconds since the start of the scenario.
    pub until_s: Option<f64>,

    /// The id of a field value. `return` then applies only to entries with this id, and the call itself succeeds.
    pub field_id: Option<u32>,
    /// The return code. The function then has no other effect.
    #[serde(rename = "return", deserialize_with = "crate::return_codes::deserialize")]
    pub code: Option<u32>,
    /// The time in microseconds for which the call waits before it returns.
    pub latency_us: Option<Latency>,
    /// Whether the call never returns.
    pub hang: bool,
    /// Whether the call blocks until faults are added or cleared.
    pub block_until_faults_change: bool,
    /// Whether the driver lacks the symbol. Conditions on calls and times do not apply to this effect.
    pub missing: bool,
    /// The size of an entry of a process list in bytes.
    pub process_info_bytes: Option<usize>,
    /// The number of processes by which a process list grows with each selected call.
    pub extra_processes_per_call: u64,
    /// The string that replaces the result.
    pub text: Option<String>,
    /// The bytes that replace the result, if it is a string. They need not be UTF-8.
    pub bytes: Option<Vec<u8>>,
    /// Whether the string is repeated until it fills the whole buffer, without a NUL.
    pub no_nul: bool,
    /// The number that replaces the result.
    pub value: Option<i64>,
}

impl Fault {
    /// Returns `true` if the fault selects this function.
    pub(crate) fn applies_to(&self, function: &str) -> bool {
        match self.function.as_deref() {
            None => !function.starts_with("nvmlInit") && function != "nvmlShutdown" && function != "nvmlErrorString",
            Some(pattern) => matches_pattern(pattern, function),
        }
    }
}

/// Returns `true` if `name` matches `pattern`, which is a name, or a prefix followed by `*`.
pub(crate) fn matches_pattern(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}

/// Checks that a name, or a prefix followed by `*`, matches a function of NVML.
pub(super) fn check_function(key: &str, pattern: &str) -> Result<(), String> {
    if nvml_sys::NAMES.iter().any(|name| matches_pattern(pattern, &name.to_string_lossy())) {
        return Ok(());
    }
    Err(format!(
        "{key}: no function of NVML matches {pattern:?}; expected a name from nvml.h, or a prefix followed by *"
    ))
}

/// Deserializes a name, or a prefix followed by `*`, and checks that it matches a function of NVML.
fn function_pattern<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    // The check is in the visitor, because an error of a visitor has the position of the value.
    struct PatternVisitor;
    impl Visitor<'_> for PatternVisitor {
        type Value = Option<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the name of a function, or a prefix followed by *")
        }

        fn visit_str<E: Error>(self, pattern: &str) -> Result<Option<String>, E> {
            check_function("fault", pattern).map_err(E::custom)?;
            Ok(Some(pattern.to_owned()))
        }
    }
    deserializer.deserialize_any(PatternVisitor)
}

/// A `[[gpu_lost]]` table. Every call about the GPU fails with NVML_ERROR_GPU_IS_LOST, or with `return`, between the
/// two times in seconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GpuLostFault {
    pub gpu: u32,
    #[serde(default)]
    pub from_s: Option<f64>,
    #[serde(default)]
    pub until_s: Option<f64>,
    #[serde(default, rename = "return", deserialize_with = "crate::return_codes::deserialize")]
    pub code: Option<u32>,
}

impl From<GpuLostFault> for Fault {
    fn from(lost: GpuLostFault) -> Self {
        Self {
            function: Some("nvml*".into()),
            gpu: Some(lost.gpu),
            from_s: lost.from_s,
            until_s: lost.until_s,
            code: lost.code.or(Some(15)),
            ..Self::default()
        }
    }
}

/// A latency in microseconds: a number, or `{ min, max, seed }`, from which each call draws a pseudorandom number.
/// Equal seeds give equal sequences.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Latency {
    pub min: u64,
    pub max: u64,
    pub seed: u64,
}

impl Latency {
    /// Returns the latency of the nth call.
    pub(crate) fn draw(&self, nth: u64) -> u64 {
        if self.max <= self.min {
            return self.min;
        }
        // This is splitmix64. Its lower bits are uniform, and it has no state for which concurrent calls would need a
        // lock.
        let mut z = self.seed.wrapping_add(nth.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        self.min + (z ^ (z >> 31)) % (self.max - self.min).saturating_add(1)
    }
}

impl<'de> Deserialize<'de> for Latency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct LatencyRange {
            min: u64,
            max: u64,
            #[serde(default)]
            seed: u64,
        }
        struct LatencyVisitor;
        impl<'de> Visitor<'de> for LatencyVisitor {
            type Value = Latency;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of microseconds, or { min, max, seed }")
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Latency, E> {
                let us = u64::try_from(value).map_err(|_| E::invalid_value(Unexpected::Signed(value), &self))?;
                Ok(Latency { min: us, max: us, seed: 0 })
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Latency, M::Error> {
                let range = LatencyRange::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Latency { min: range.min, max: range.max, seed: range.seed })
            }
        }
        deserializer.deserialize_any(LatencyVisitor)
    }
}

/// A TOML text that contains only faults, as can be added at run time.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct FaultFile {
    pub fault: Vec<Fault>,
    #[serde(deserialize_with = "one_or_more")]
    pub gpu_lost: Vec<GpuLostFault>,
}

/// Deserializes `gpu_lost`, which is one table, as in `gpu_lost = { gpu = 1 }`, or an array of tables.
pub(crate) fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<GpuLostFault>, D::Error> {
    struct GpuLostVisitor;
    impl<'de> Visitor<'de> for GpuLostVisitor {
        type Value = Vec<GpuLostFault>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table { gpu, from_s, until_s, return }, or an array of such tables")
        }

        fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Vec<GpuLostFault>, M::Error> {
            Ok(vec![GpuLostFault::deserialize(MapAccessDeserializer::new(map))?])
        }

        fn visit_seq<S: SeqAccess<'de>>(self, list: S) -> Result<Vec<GpuLostFault>, S::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(list))
        }
    }
    deserializer.deserialize_any(GpuLostVisitor)
}

#[cfg(test)]
mod tests {
    use super::Latency;

    #[test]
    fn latency_draw_is_in_range_and_repeatable() {
        let draw = |seed| (1..200).map(|nth| Latency { min: 10, max: 20, seed }.draw(nth)).collect::<Vec<_>>();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!(draw(1).iter().all(|us| (10..=20).contains(us)));
        assert!((10..=20).all(|us| draw(1).contains(&us)));
    }
}
