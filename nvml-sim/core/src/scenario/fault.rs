//! What goes wrong: which calls a fault is for, and what it does to them.

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};
use std::fmt;

/// One `[[fault]]`: the calls it is for (all conditions must hold), then its effects.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Fault {
    /// A function by name, or by prefix and `*`; without one, every function but nvmlInit*, nvmlShutdown,
    /// nvmlErrorString.
    pub function: Option<String>,
    /// Only calls about this GPU (or an instance of it).
    pub gpu: Option<u32>,
    /// Only the nth such call, from 1.
    pub nth_call: Option<u64>,
    /// From the nth such call on …
    pub from_call: Option<u64>,
    /// … so many of them.
    pub call_count: Option<u64>,
    /// Only every so-many-eth such call.
    pub every_nth_call: Option<u64>,
    pub from_s: Option<f64>,
    pub until_s: Option<f64>,

    /// For field values: `return` is the code of entries with this id alone, the call itself succeeds.
    pub field_id: Option<u32>,
    /// The code to answer, and nothing else happens.
    #[serde(rename = "return", deserialize_with = "crate::return_codes::deserialize")]
    pub code: Option<u32>,
    /// Sleep before answering.
    pub latency_us: Option<Latency>,
    /// Never answer.
    pub hang: bool,
    /// Do not answer until faults are added or cleared.
    pub block_until_faults_change: bool,
    /// The driver lacks the symbol. Counts and times do not matter to this one.
    pub missing: bool,
    /// Bytes of an entry of a process list.
    pub process_info_bytes: Option<usize>,
    /// Each such call of a process list finds so many processes more than the call before.
    pub extra_processes_per_call: u64,
    /// The text to give instead, as TOML's string …
    pub text: Option<String>,
    /// … or as bytes, which need not be UTF-8.
    pub bytes: Option<Vec<u8>>,
    /// Fill the whole buffer with the text, over and over, and leave out the NUL.
    pub no_nul: bool,
    /// The number to give instead.
    pub value: Option<i64>,
}

impl Fault {
    /// Whether the fault's function is this one.
    pub(crate) fn applies_to(&self, function: &str) -> bool {
        match self.function.as_deref() {
            None => !function.starts_with("nvmlInit") && function != "nvmlShutdown" && function != "nvmlErrorString",
            Some(wanted) => matches_pattern(wanted, function),
        }
    }
}

/// Whether `pattern`, a name or a prefix and `*`, is for `name`.
pub(crate) fn matches_pattern(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}

/// `[[gpu_lost]]`: every call about a GPU answers GPU_IS_LOST (or `return`) for a while.
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

/// Microseconds: a number, or `{ min, max, seed }` to draw each one in between, the same in every run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Latency {
    pub min: u64,
    pub max: u64,
    pub seed: u64,
}

impl Latency {
    /// The latency of the nth call.
    pub(crate) fn draw(&self, nth: u64) -> u64 {
        if self.max <= self.min {
            return self.min;
        }
        // splitmix64: even in its lower bits, and without state, so that concurrent calls need no lock.
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
                f.write_str("microseconds, or { min, max, seed }")
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

/// The faults of a text that holds nothing else: what can be added at run time.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct FaultFile {
    pub fault: Vec<Fault>,
    #[serde(deserialize_with = "one_or_more")]
    pub gpu_lost: Vec<GpuLostFault>,
}

/// `gpu_lost = { gpu = 1 }`, or several of it.
pub(crate) fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<GpuLostFault>, D::Error> {
    struct GpuLostVisitor;
    impl<'de> Visitor<'de> for GpuLostVisitor {
        type Value = Vec<GpuLostFault>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("{ gpu, from_s, until_s, return }, or a list of them")
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
    fn drawn_latencies_are_in_their_range_and_the_same_for_the_same_seed() {
        let draw = |seed| (1..200).map(|nth| Latency { min: 10, max: 20, seed }.draw(nth)).collect::<Vec<_>>();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!(draw(1).iter().all(|us| (10..=20).contains(us)));
        assert!((10..=20).all(|us| draw(1).contains(&us)));
    }
}
