//! Finding the driver's library and initializing NVML.

use std::{
    ffi::{CStr, OsStr, OsString, c_void},
    ops::BitOr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use libloading::Library;
use nvml_sys::Functions;

use super::{
    fork_generation::{fork_generation, register_fork_handler},
    handle::{Inner, Nvml},
    stride::Stride,
};
use crate::{
    Error, Result,
    symbols::{Symbols, check, require},
};

/// The environment variable that names the library to load.
const LIBRARY_ENV_VAR: &str = "IGPU_NVML_LIBRARY";
/// Where the driver's library is: by the loader's search first, then where WSL has it.
const DEFAULT_LIBRARIES: [&str; 3] = ["libnvidia-ml.so.1", "libnvidia-ml.so", "/usr/lib/wsl/lib/libnvidia-ml.so.1"];

/// Flags of `nvmlInitWithFlags`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InitFlags(pub u32);

impl InitFlags {
    /// Do not fail when the machine has no GPU.
    pub const NO_GPUS: Self = Self(nvml_sys::NVML_INIT_FLAG_NO_GPUS);
    /// Do not attach to the GPUs while initialising: they are attached at first use.
    pub const NO_ATTACH: Self = Self(nvml_sys::NVML_INIT_FLAG_NO_ATTACH);
}

impl BitOr for InitFlags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

// Defined here because `Nvml` must not import the builder, which creates it.
impl Nvml {
    /// Loads the driver's library and initialises NVML.
    ///
    /// The library is the one that the environment variable `IGPU_NVML_LIBRARY` names; else the first that loads of
    /// `libnvidia-ml.so.1`, `libnvidia-ml.so` (both by the loader's search) and, on WSL,
    /// `/usr/lib/wsl/lib/libnvidia-ml.so.1`.
    ///
    /// # Errors
    /// [`Error::LibraryNotFound`] says what was tried; [`Error::Nvml`] carries the answer of the initialisation:
    /// `DRIVER_NOT_LOADED`, `LIB_RM_VERSION_MISMATCH`, `NO_PERMISSION` …
    #[doc(alias = "nvmlInit_v2")]
    pub fn load() -> Result<Self> {
        Self::builder().load()
    }

    /// To choose the library, the flags of the initialisation, or a resolver of one's own.
    #[must_use]
    pub fn builder() -> NvmlBuilder {
        NvmlBuilder::default()
    }
}

type Resolver = Box<dyn FnMut(&CStr) -> *const c_void>;

/// Chooses how NVML is loaded; from [`Nvml::builder`].
///
/// igpu's safe functions call the driver through pointers, which is sound only if these are NVML's functions or behave
/// like them. A program that chooses their source is responsible for that, so [`library`](Self::library) and
/// [`resolver`](Self::resolver) are unsafe, as `libloading::Library::new` is. The default search is safe even if the
/// environment variable `IGPU_NVML_LIBRARY` names the library: the environment already decides which code a process
/// loads, by `LD_LIBRARY_PATH` and `LD_PRELOAD`.
#[derive(Default)]
pub struct NvmlBuilder {
    library: Option<PathBuf>,
    flags: InitFlags,
    resolver: Option<Resolver>,
}

impl NvmlBuilder {
    /// Sets the library to load, by path or by a name for the loader's search. No other library is tried.
    ///
    /// # Safety
    /// The library's initializers and finalizers must be sound to run in this process, and each of its functions with a
    /// name from `nvml.h` must have the signature and the behavior that `nvml.h` specifies.
    #[must_use]
    pub unsafe fn library(mut self, path: impl Into<PathBuf>) -> Self {
        self.library = Some(path.into());
        self
    }

    /// Flags of the initialisation. They need `nvmlInitWithFlags` (since driver 375).
    #[must_use]
    pub fn init_flags(mut self, flags: InitFlags) -> Self {
        self.flags = flags;
        self
    }

    /// Takes the functions from `resolver` instead of a library: a simulator in this process, or an interposer. A null
    /// address marks a function that the driver lacks.
    ///
    /// # Safety
    /// Each address must be null or that of a function with the signature and the behavior that `nvml.h` specifies for
    /// the name, and must stay valid while any handle from this builder lives.
    #[must_use]
    pub unsafe fn resolver(mut self, resolver: impl FnMut(&CStr) -> *const c_void + 'static) -> Self {
        self.resolver = Some(Box::new(resolver));
        self
    }

    /// Loads and initialises NVML.
    ///
    /// # Errors
    /// As [`Nvml::load`]; [`Error::NotNvml`] when the library has no function to initialise it.
    pub fn load(self) -> Result<Nvml> {
        let (functions, source, library) = match self.resolver {
            // SAFETY: the caller of `resolver` vouched for the addresses.
            Some(resolver) => (unsafe { Functions::from_resolver(resolver) }, "a resolver".to_owned(), None),
            None => {
                let (library, source) = open_library(self.library)?;
                // SAFETY: the library is the driver's, or one that the caller of `library` or the environment vouches
                // for. It stays open as long as the table lives.
                (unsafe { Functions::from_library(&library) }, source, Some(library))
            }
        };
        register_fork_handler();
        let generation = fork_generation();
        init(&functions, self.flags, &source)?;
        let stride = Stride::unknown();
        let symbols = Symbols::new(functions);
        Ok(Nvml {
            inner: Arc::new(Inner {
                symbols,
                stride,
                generation,
                gpm_lock: Mutex::default(),
                source,
                _library: library,
            }),
        })
    }
}

fn init(functions: &Functions, flags: InitFlags, source: &str) -> Result<()> {
    let (call, function) = match (functions.nvmlInit_v2, functions.nvmlInit) {
        (Some(function), _) => ("nvmlInit_v2", function),
        (None, Some(function)) => ("nvmlInit", function),
        (None, None) => return Err(Error::NotNvml { library: source.to_owned() }),
    };
    if flags != InitFlags::default() {
        let function = require("nvmlInitWithFlags", functions.nvmlInitWithFlags)?;
        // SAFETY: it takes flags alone, and may be called at any time.
        return check("nvmlInitWithFlags", unsafe { function(flags.0) });
    }
    // SAFETY: it takes nothing, and may be called at any time.
    check(call, unsafe { function() })
}

/// Opens the first library that loads, of the one that is named or of the usual ones.
fn open_library(explicit: Option<PathBuf>) -> Result<(Library, String)> {
    let from_environment = || std::env::var_os(LIBRARY_ENV_VAR).filter(|value| !value.is_empty());
    let candidates: Vec<OsString> = match explicit.map(PathBuf::into_os_string).or_else(from_environment) {
        Some(library) => vec![library],
        None => DEFAULT_LIBRARIES.iter().map(OsString::from).collect(),
    };
    let mut tried = Vec::new();
    for candidate in candidates {
        let name = candidate.to_string_lossy().into_owned();
        if candidate.is_empty() {
            // The loader takes an empty name for the program itself.
            tried.push(("\"\"".to_owned(), "an empty name".to_owned()));
            continue;
        }
        // SAFETY: the initializers of a driver's library are sound to run; the caller of `library` or the environment
        // vouches for any other.
        let loaded = unsafe { Library::new(&candidate) }.or_else(|error| match in_working_directory(&candidate) {
            // SAFETY: as above.
            Some(path) => unsafe { Library::new(path) },
            None => Err(error),
        });
        match loaded {
            Ok(library) => return Ok((library, name)),
            Err(error) => tried.push((name, loader_message(&error))),
        }
    }
    Err(Error::LibraryNotFound { tried })
}

/// The file of this bare name in the working directory, if the caller meant that: the loader looks for names without a
/// slash elsewhere. Not for the usual names, which an installed driver has.
fn in_working_directory(name: &OsStr) -> Option<PathBuf> {
    let bare = !name.as_encoded_bytes().contains(&b'/') && !DEFAULT_LIBRARIES.iter().any(|default| name == *default);
    let path = Path::new(".").join(name);
    (bare && path.is_file()).then_some(path)
}

/// What the loader said, without the name that stands before it anyway.
fn loader_message(error: &libloading::Error) -> String {
    use std::error::Error as _;
    let text = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    text.split_once(": ").map_or(text.clone(), |(_, reason)| reason.to_owned())
}
