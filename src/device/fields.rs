//! Field values: many readings in one call of the driver.

use nvml_sys as sys;

use super::Device;
use crate::{
    Error, Result, ReturnCode,
    symbols::{check, require},
};

const CALL: &str = "nvmlDeviceGetFieldValues";

/// Which field: a number of the header's `NVML_FI_DEV_*`. Fields 251 to 273 were renumbered at driver 580.82: do not
/// use those without looking at the driver's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FieldId(pub u32);

impl FieldId {
    /// Temperature of the memory, °C.
    pub const MEMORY_TEMP: Self = Self(sys::NVML_FI_DEV_MEMORY_TEMP);
    /// Energy since the driver was loaded, mJ.
    pub const TOTAL_ENERGY: Self = Self(sys::NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION);
    /// Average power, mW; scope: the GPU, its module or its memory.
    pub const POWER_AVERAGE: Self = Self(sys::NVML_FI_DEV_POWER_AVERAGE);
    /// Instant power, mW; scope: the GPU, its module or its memory.
    pub const POWER_INSTANT: Self = Self(sys::NVML_FI_DEV_POWER_INSTANT);
    /// Bytes sent over PCIe since the driver was loaded.
    pub const PCIE_TX_BYTES: Self = Self(sys::NVML_FI_DEV_PCIE_COUNT_TX_BYTES);
    /// Bytes received over PCIe since the driver was loaded.
    pub const PCIE_RX_BYTES: Self = Self(sys::NVML_FI_DEV_PCIE_COUNT_RX_BYTES);

    /// The scope "GPU" of the power fields.
    pub const SCOPE_GPU: u32 = sys::NVML_POWER_SCOPE_GPU;
    /// The scope "module" of the power fields.
    pub const SCOPE_MODULE: u32 = sys::NVML_POWER_SCOPE_MODULE;
    /// The scope "memory" of the power fields.
    pub const SCOPE_MEMORY: u32 = sys::NVML_POWER_SCOPE_MEMORY;
    /// The scope that sums all links, of the NVLink fields.
    pub const SCOPE_ALL_LINKS: u32 = u32::MAX;
}

/// A number of the driver, in the type that it came in (`nvmlValueType_t`).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// `double`
    Double(f64),
    /// `unsigned int`
    UnsignedInt(u32),
    /// `unsigned long`
    UnsignedLong(u64),
    /// `unsigned long long`
    UnsignedLongLong(u64),
    /// `signed long long`
    SignedLongLong(i64),
    /// `signed int`
    SignedInt(i32),
    /// `unsigned short`
    UnsignedShort(u16),
}

impl Value {
    /// The number as a float. Integers above 2^53 are rounded.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Double(value) => value,
            Self::SignedLongLong(value) => value as f64,
            Self::SignedInt(value) => f64::from(value),
            _ => self.as_u64() as f64,
        }
    }

    /// The number as an unsigned integer: a fraction is cut off, a negative number becomes 0.
    #[must_use]
    #[inline]
    pub fn as_u64(self) -> u64 {
        match self {
            Self::Double(value) => value as u64,
            Self::UnsignedInt(value) => u64::from(value),
            Self::UnsignedLong(value) | Self::UnsignedLongLong(value) => value,
            Self::SignedLongLong(value) => u64::try_from(value).unwrap_or(0),
            Self::SignedInt(value) => u64::try_from(value).unwrap_or(0),
            Self::UnsignedShort(value) => u64::from(value),
        }
    }

    /// The number as a signed integer of 64 bits: a fraction is cut off, what is too large becomes the largest.
    fn as_i64(self) -> i64 {
        match self {
            Self::Double(value) => value as i64,
            Self::SignedLongLong(value) => value,
            Self::SignedInt(value) => i64::from(value),
            _ => i64::try_from(self.as_u64()).unwrap_or(i64::MAX),
        }
    }

    /// The number, if it is one that the reading can be.
    #[inline]
    pub(super) fn as_u32(self, field: &'static str) -> Result<u32> {
        u32::try_from(self.as_i64()).map_err(|_| Error::OutOfRange { call: field })
    }

    /// The number, if it is one that the reading can be.
    #[inline]
    pub(super) fn as_i32(self, field: &'static str) -> Result<i32> {
        i32::try_from(self.as_i64()).map_err(|_| Error::OutOfRange { call: field })
    }

    /// Reads the union by the type that the driver gave for it.
    #[inline]
    pub(super) fn read(call: &'static str, value_type: sys::nvmlValueType_t, value: sys::nvmlValue_t) -> Result<Self> {
        // SAFETY: all members of the union are plain numbers, at most its 8 bytes wide, for which every bit pattern is
        // a value; the union was zeroed before the call, so that no byte is uninitialised.
        unsafe {
            Ok(match value_type {
                sys::NVML_VALUE_TYPE_DOUBLE => Self::Double(value.dVal),
                sys::NVML_VALUE_TYPE_UNSIGNED_INT => Self::UnsignedInt(value.uiVal),
                sys::NVML_VALUE_TYPE_UNSIGNED_LONG => Self::UnsignedLong(value.ulVal),
                sys::NVML_VALUE_TYPE_UNSIGNED_LONG_LONG => Self::UnsignedLongLong(value.ullVal),
                sys::NVML_VALUE_TYPE_SIGNED_LONG_LONG => Self::SignedLongLong(value.sllVal),
                sys::NVML_VALUE_TYPE_SIGNED_INT => Self::SignedInt(value.siVal),
                sys::NVML_VALUE_TYPE_UNSIGNED_SHORT => Self::UnsignedShort(value.usVal),
                other => return Err(Error::UnknownValueType { call, value_type: other.0 }),
            })
        }
    }
}

/// A question to [`Device::field_values`] and, after the call, its answer.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct FieldValue {
    raw: sys::nvmlFieldValue_t,
}

impl FieldValue {
    /// Asks for a field in a scope; 0 where the field has none.
    #[must_use]
    #[inline]
    pub fn new(field: FieldId, scope: u32) -> Self {
        let mut value = Self { raw: sys::nvmlFieldValue_t::default() };
        value.raw.fieldId = field.0;
        value.raw.scopeId = scope;
        // What the driver does not touch must not look like an answer.
        value.raw.nvmlReturn = sys::NVML_ERROR_UNINITIALIZED;
        value
    }

    /// Which field was asked for.
    #[must_use]
    pub fn field(&self) -> FieldId {
        FieldId(self.raw.fieldId)
    }

    /// In which scope.
    #[must_use]
    pub fn scope(&self) -> u32 {
        self.raw.scopeId
    }

    /// The answer.
    ///
    /// # Errors
    /// The driver's answer for this field alone: others of the batch may have one. [`Error::UnknownValueType`] for a
    /// type that the header lacks.
    #[inline]
    pub fn value(&self) -> Result<Value> {
        check(CALL, self.raw.nvmlReturn)?;
        Value::read(CALL, self.raw.valueType, self.raw.value)
    }

    /// When the driver took the value: µs since the epoch by the wall clock, 0 where the driver does not say.
    #[must_use]
    pub fn timestamp_us(&self) -> i64 {
        self.raw.timestamp
    }

    /// How long the driver took for this field, in µs; 0 where it does not say.
    #[must_use]
    pub fn latency_us(&self) -> i64 {
        self.raw.latencyUsec
    }
}

impl std::fmt::Debug for FieldValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FieldValue")
            .field("field", &self.raw.fieldId)
            .field("scope", &self.raw.scopeId)
            .field("value", &self.value())
            .finish()
    }
}

impl Device {
    /// Asks for all of `values` in one call. `Ok` says that the driver took the batch; each entry has its own answer.
    ///
    /// # Errors
    /// The driver's answer for the batch as a whole.
    #[doc(alias = "nvmlDeviceGetFieldValues")]
    pub fn field_values(&self, values: &mut [FieldValue]) -> Result<()> {
        let function = require(CALL, self.functions().nvmlDeviceGetFieldValues)?;
        for value in values.iter_mut() {
            *value = FieldValue::new(value.field(), value.scope());
        }
        let count =
            i32::try_from(values.len()).map_err(|_| Error::Nvml { call: CALL, code: ReturnCode::INVALID_ARGUMENT })?;
        let first = values.as_mut_ptr().cast::<sys::nvmlFieldValue_t>();
        // SAFETY: `call` vouches for NVML and the handle; `FieldValue` has the layout of nvmlFieldValue_t, and `count`
        // of them are live behind the pointer.
        self.call(CALL, |device| unsafe { function(device, count, first) })
    }

    /// One field by itself.
    ///
    /// # Errors
    /// The driver's own answer.
    #[inline]
    pub fn field(&self, field: FieldId, scope: u32) -> Result<Value> {
        let function = require(CALL, self.functions().nvmlDeviceGetFieldValues)?;
        let mut value = FieldValue::new(field, scope);
        // SAFETY: `call` vouches for NVML and the handle; one live value of the call's type is behind the pointer.
        self.call(CALL, |device| unsafe { function(device, 1, &mut value.raw) })?;
        value.value()
    }
}
