//! Deserializers of the TOML values that are either a number or a keyword: process ids and process memory.

use super::model::{Pid, ProcessMemoryModel};
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use std::fmt;

impl<'de> Deserialize<'de> for Pid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PidVisitor;
        impl Visitor<'_> for PidVisitor {
            type Value = Pid;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a pid, \"self\", \"parent\", \"child\", or \"descendants\"")
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Pid, E> {
                u32::try_from(value).map(Pid::Number).map_err(|_| E::invalid_value(Unexpected::Signed(value), &self))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Pid, E> {
                match value {
                    "self" => Ok(Pid::Caller),
                    "parent" => Ok(Pid::Parent),
                    "child" => Ok(Pid::Child),
                    "descendants" => Ok(Pid::Descendants),
                    _ => Err(E::invalid_value(Unexpected::Str(value), &self)),
                }
            }
        }
        deserializer.deserialize_any(PidVisitor)
    }
}

impl<'de> Deserialize<'de> for ProcessMemoryModel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MemoryVisitor;
        impl Visitor<'_> for MemoryVisitor {
            type Value = ProcessMemoryModel;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of MiB, or \"unavailable\"")
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<ProcessMemoryModel, E> {
                Ok(ProcessMemoryModel::Mib(value as f64))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<ProcessMemoryModel, E> {
                Ok(ProcessMemoryModel::Mib(value))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<ProcessMemoryModel, E> {
                match value {
                    "unavailable" => Ok(ProcessMemoryModel::Unavailable),
                    _ => Err(E::invalid_value(Unexpected::Str(value), &self)),
                }
            }
        }
        deserializer.deserialize_any(MemoryVisitor)
    }
}
