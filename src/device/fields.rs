//! Field values, many of which can be read with one NVML call.

use nvml_sys as sys;

use super::Device;
use crate::{
    Error, Result, ReturnCode,
    symbols::{check, require},
};

const CALL: &str = "nvmlDeviceGetFieldValues";

/// The number of a field (`NVML_FI_DEV_*` of the header).
///
/// Driver 580.82 renumbered the fields 251 to 273. Check the driver's version before using them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FieldId(pub u32);

impl FieldId {
    /// The memory temperature in °C (field 82).
    pub const MEMORY_TEMP: Self = Self(sys::NVML_FI_DEV_MEMORY_TEMP);
    /// The energy in millijoules that the GPU has consumed since the driver was loaded (field 83).
    pub const TOTAL_ENERGY: Self = Self(sys::NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION);
    /// The average power in milliwatts (field 185). The scope is the GPU, the module, or the memory.
    pub const POWER_AVERAGE: Self = Self(sys::NVML_FI_DEV_POWER_AVERAGE);
    /// The instantaneous power in milliwatts (field 186). The scope is the GPU, the module, or the memory.
    pub const POWER_INSTANT: Self = Self(sys::NVML_FI_DEV_POWER_INSTANT);
    /// The number of bytes sent over PCIe since the driver was loaded (field 197). It wraps around at 2^32.
    pub const PCIE_TX_BYTES: Self = Self(sys::NVML_FI_DEV_PCIE_COUNT_TX_BYTES);
    /// The number of bytes received over PCIe since the driver was loaded (field 198). It wraps around at 2^32.
    pub const PCIE_RX_BYTES: Self = Self(sys::NVML_FI_DEV_PCIE_COUNT_RX_BYTES);

    /// The power of the GPU, as the scope of a power field.
    pub const SCOPE_GPU: u32 = sys::NVML_POWER_SCOPE_GPU;
    /// The power of the module, as the scope of a power field.
    pub const SCOPE_MODULE: u32 = sys::NVML_POWER_SCOPE_MODULE;
    /// The power of the memory, as the scope of a power field.
    pub const SCOPE_MEMORY: u32 = sys::NVML_POWER_SCOPE_MEMORY;
    /// The sum over all links, as the scope of an NVLink field.
    pub const SCOPE_ALL_LINKS: u32 = u32::MAX;
}

/// A number and its C type, as the driver returned them (`nvmlValueType_t`).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A C `double`.
    Double(f64),
    /// A C `unsigned int`.
    UnsignedInt(u32),
    /// A C `unsigned long`.
    UnsignedLong(u64),
    /// A C `unsigned long long`.
    UnsignedLongLong(u64),
    /// A C `signed long long`.
    SignedLongLong(i64),
    /// A C `signed int`.
    SignedInt(i32),
    /// A C `unsigned short`.
    UnsignedShort(u16),
}

impl Value {
    /// Returns the number as a float. Integers above 2^53 are rounded.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Double(value) => value,
            Self::SignedLongLong(value) => value as f64,
            Self::SignedInt(value) => f64::from(value),
            _ => self.as_u64() as f64,
        }
    }

    /// Returns the number as an unsigned integer. Fractions are truncated, and negative numbers become 0.
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

    /// Returns the number as a signed 64-bit integer. Fractions are truncated, and numbers that are too large become
    /// [`i64::MAX`].
    fn as_i64(self) -> i64 {
        match self {
            Self::Double(value) => value as i64,
            Self::SignedLongLong(value) => value,
            Self::SignedInt(value) => i64::from(value),
            _ => i64::try_from(self.as_u64()).unwrap_or(i64::MAX),
        }
    }

    /// Returns the number as a `u32`, or [`Error::OutOfRange`] if the number does not fit.
    #[inline]
    pub(super) fn as_u32(self, field: &'static str) -> Result<u32> {
        u32::try_from(self.as_i64()).map_err(|_| Error::OutOfRange { call: field })
    }

    /// Returns the number as an `i32`, or [`Error::OutOfRange`] if the number does not fit.
    #[inline]
    pub(super) fn as_i32(self, field: &'static str) -> Result<i32> {
        i32::try_from(self.as_i64()).map_err(|_| Error::OutOfRange { call: field })
    }

    /// Reads the member of the union that the value type selects.
    #[inline]
    pub(super) fn read(call: &'static str, value_type: sys::nvmlValueType_t, value: sys::nvmlValue_t) -> Result<Self> {
        // SAFETY: all members of the union are plain numbers, for which every bit pattern is valid. The caller zeroed
        // the union before the call, so no byte is uninitialized.
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

/// A field to read with [`Device::field_values`], and its value after the call.
///
/// # Examples
/// ```
/// # nvml_sim::start(&nvml_sim::Scenario::from_name("hgx-h100").unwrap());
/// # // SAFETY: the simulator's functions have the signatures of nvml.h.
/// # let nvml = unsafe { igpu::Nvml::builder().resolver(nvml_sim::resolve) }.load()?;
/// use igpu::{FieldId, FieldValue};
///
/// let mut values = [
///     FieldValue::new(FieldId::POWER_INSTANT, FieldId::SCOPE_GPU),
///     FieldValue::new(FieldId::MEMORY_TEMP, 0),
/// ];
/// nvml.device(0)?.field_values(&mut values)?;
/// for field in &values {
///     match field.value() {
///         Ok(value) => println!("field {}: {}", field.field().0, value.as_f64()),
///         Err(error) => println!("field {}: {error}", field.field().0),
///     }
/// }
/// # Ok::<(), igpu::Error>(())
/// ```
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct FieldValue {
    raw: sys::nvmlFieldValue_t,
}

impl FieldValue {
    /// Creates a request for a field in a scope. The scope is 0 for fields without scopes.
    #[must_use]
    #[inline]
    pub fn new(field: FieldId, scope: u32) -> Self {
        let mut value = Self { raw: sys::nvmlFieldValue_t::default() };
        value.raw.fieldId = field.0;
        value.raw.scopeId = scope;
        // An entry that the driver does not write must not look like a value.
        value.raw.nvmlReturn = sys::NVML_ERROR_UNINITIALIZED;
        value
    }

    /// Returns the requested field.
    #[must_use]
    pub fn field(&self) -> FieldId {
        FieldId(self.raw.fieldId)
    }

    /// Returns the requested scope.
    #[must_use]
    pub fn scope(&self) -> u32 {
        self.raw.scopeId
    }

    /// Returns the value that the driver wrote.
    ///
    /// # Errors
    /// Returns the driver's error code for this field, which is independent of the other fields of the batch, and
    /// [`Error::UnknownValueType`] if the value has a type that the header does not define.
    #[inline]
    pub fn value(&self) -> Result<Value> {
        check(CALL, self.raw.nvmlReturn)?;
        Value::read(CALL, self.raw.valueType, self.raw.value)
    }

    /// Returns the time at which the driver read the value, in microseconds since the epoch on the wall clock, or 0 if
    /// the driver does not report the time.
    #[must_use]
    pub fn timestamp_us(&self) -> i64 {
        self.raw.timestamp
    }

    /// Returns the time that the driver took to read this field, in microseconds, or 0 if the driver does not report
    /// it.
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
    /// Reads all fields of `values` in one call.
    ///
    /// `Ok` means only that the driver processed the batch. [`FieldValue::value`] returns the result of each field.
    ///
    /// # Errors
    /// Returns the driver's error code for the whole batch.
    #[doc(alias = "nvmlDeviceGetFieldValues")]
    pub fn field_values(&self, values: &mut [FieldValue]) -> Result<()> {
        let function = require(CALL, self.functions().nvmlDeviceGetFieldValues)?;
        for value in values.iter_mut() {
            *value = FieldValue::new(value.field(), value.scope());
        }
        let count =
            i32::try_from(values.len()).map_err(|_| Error::Nvml { call: CALL, code: ReturnCode::INVALID_ARGUMENT })?;
        let first = values.as_mut_ptr().cast::<sys::nvmlFieldValue_t>();
        // SAFETY: `call` passes a valid handle of an initialized NVML; `FieldValue` has the layout of nvmlFieldValue_t,
        // and the pointer is to `count` live entries.
        self.call(CALL, |device| unsafe { function(device, count, first) })
    }

    /// Reads a single field.
    ///
    /// # Errors
    /// Returns the driver's error code for this field, and [`Error::UnknownValueType`] if the value has a type that the
    /// header does not define.
    #[doc(alias = "nvmlDeviceGetFieldValues")]
    #[inline]
    pub fn field(&self, field: FieldId, scope: u32) -> Result<Value> {
        let function = require(CALL, self.functions().nvmlDeviceGetFieldValues)?;
        let mut value = FieldValue::new(field, scope);
        // SAFETY: `call` passes a valid handle of an initialized NVML; the pointer is to one live entry.
        self.call(CALL, |device| unsafe { function(device, 1, &mut value.raw) })?;
        value.value()
    }
}
