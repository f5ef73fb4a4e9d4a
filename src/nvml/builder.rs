//! Finding and loading the NVML library, and initializing NVML.

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
/// The libraries to try, in this order: the names that the dynamic loader searches for, then the path on WSL.
const DEFAULT_LIBRARIES: [&str; 3] = ["libnvidia-ml.so.1", "libnvidia-ml.so", "/usr/lib/wsl/lib/libnvidia-ml.so.1"];

/// Flags of `nvmlInitWithFlags`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InitFlags(pub u32);

impl InitFlags {
    /// Initialization succeeds if the machine has no GPU.
    pub const NO_GPUS: Self = Self(nvml_sys::NVML_INIT_FLAG_NO_GPUS);
    /// Initialization does not attach the GPUs. Each GPU is attached at its first use.
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
    /// Loads the NVML library and initializes NVML.
    ///
    /// If the environment variable `IGPU_NVML_LIBRARY` is set and not empty, it names the library to load, and no other
    /// library is tried. Otherwise, the function loads the first of `libnvidia-ml.so.1`, `libnvidia-ml.so`, and, on
    /// WSL, `/usr/lib/wsl/lib/libnvidia-ml.so.1` that can be loaded.
    ///
    /// ```no_run
    /// match igpu::Nvml::load() {
    ///     Ok(nvml) => println!("driver {}", nvml.driver_version()?),
    ///     Err(error) => {
    ///         eprintln!("error: {error}");
    ///         if let Some(help) = error.help() {
    ///             eprintln!("help: {help}");
    ///         }
    ///     }
    /// }
    /// # Ok::<(), igpu::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns [`Error::LibraryNotFound`] if no library can be loaded, [`Error::NotNvml`] if the library is not NVML,
    /// and [`Error::Nvml`] if the initialization fails, for example with `DRIVER_NOT_LOADED`,
    /// `LIB_RM_VERSION_MISMATCH`, or `NO_PERMISSION`.
    #[doc(alias = "nvmlInit_v2")]
    pub fn load() -> Result<Self> {
        Self::builder().load()
    }

    /// Returns a builder, which can select the library, the flags of the initialization, or a resolver of functions.
    #[must_use]
    pub fn builder() -> NvmlBuilder {
        NvmlBuilder::default()
    }
}

type Resolver = Box<dyn FnMut(&CStr) -> *const c_void>;

/// The options for loading NVML, created by [`Nvml::builder`].
///
/// ```no_run
/// use igpu::{InitFlags, Nvml};
///
/// // Succeeds on a machine without GPUs.
/// let nvml = Nvml::builder().init_flags(InitFlags::NO_GPUS).load()?;
/// # Ok::<(), igpu::Error>(())
/// ```
///
/// # Safety of other libraries
///
/// The safe functions of igpu call the driver through pointers. That is sound only if the pointers are to NVML's
/// functions or to functions that behave in the same way. A program that selects the library or the functions is
/// responsible for this property, and therefore [`library`](Self::library) and [`resolver`](Self::resolver) are unsafe,
/// as `libloading::Library::new` is. The default search is safe, even if the environment variable `IGPU_NVML_LIBRARY`
/// names the library, because the environment can always determine the code that a process loads, through
/// `LD_LIBRARY_PATH` and `LD_PRELOAD`.
#[derive(Default)]
pub struct NvmlBuilder {
    library: Option<PathBuf>,
    flags: InitFlags,
    resolver: Option<Resolver>,
}

impl NvmlBuilder {
    /// Selects the library to load, by a path or by a name that the dynamic loader searches for. No other library is
    /// tried.
    ///
    /// # Safety
    /// The library's initializers and finalizers must be sound to run in this process, and each of its functions with a
    /// name from `nvml.h` must have the signature and the behavior that `nvml.h` specifies.
    #[must_use]
    pub unsafe fn library(mut self, path: impl Into<PathBuf>) -> Self {
        self.library = Some(path.into());
        self
    }

    /// Sets the flags of the initialization. If a flag is set, the driver must have the function `nvmlInitWithFlags`,
    /// which was added in driver 375.
    #[must_use]
    pub fn init_flags(mut self, flags: InitFlags) -> Self {
        self.flags = flags;
        self
    }

    /// Uses the functions that `resolver` returns instead of those of a library, for example the functions of a
    /// simulator in this process. The resolver returns null for a function that does not exist.
    ///
    /// # Safety
    /// Each address must be null or the address of a function with the signature and the behavior that `nvml.h`
    /// specifies for the name, and must stay valid while a handle from this builder exists.
    #[must_use]
    pub unsafe fn resolver(mut self, resolver: impl FnMut(&CStr) -> *const c_void + 'static) -> Self {
        self.resolver = Some(Box::new(resolver));
        self
    }

    /// Loads and initializes NVML.
    ///
    /// # Errors
    /// Returns the errors of [`Nvml::load`], and [`Error::MissingSymbol`] if flags are set and the driver does not have
    /// `nvmlInitWithFlags`.
    pub fn load(self) -> Result<Nvml> {
        let (functions, source, library) = match self.resolver {
            // SAFETY: the caller of `resolver` guarantees valid addresses.
            Some(resolver) => (unsafe { Functions::from_resolver(resolver) }, "a resolver".to_owned(), None),
            None => {
                let (library, source) = open_library(self.library)?;
                // SAFETY: the library is the driver's, or its functions are guaranteed by the caller of `library` or by
                // the user who sets the environment. The library stays open as long as the table exists.
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
        // SAFETY: the function takes only flags, and may be called at any time.
        return check("nvmlInitWithFlags", unsafe { function(flags.0) });
    }
    // SAFETY: the function takes no arguments, and may be called at any time.
    check(call, unsafe { function() })
}

/// Opens the explicit library, the library that the environment variable names, or the first default library that can
/// be loaded. Returns the library and its name.
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
            // The loader would return the program itself for an empty name.
            tried.push(("\"\"".to_owned(), "an empty name".to_owned()));
            continue;
        }
        // SAFETY: the initializers of the driver's library are sound to run. For any other library, the caller of
        // `library` or the user who sets the environment is responsible.
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

/// Returns the path of the file with this name in the working directory. The dynamic loader does not search the working
/// directory for a name without a slash, but a user who gives such a name usually means the file. The default names are
/// excluded.
fn in_working_directory(name: &OsStr) -> Option<PathBuf> {
    let is_bare_name =
        !name.as_encoded_bytes().contains(&b'/') && !DEFAULT_LIBRARIES.iter().any(|default| name == *default);
    let path = Path::new(".").join(name);
    (is_bare_name && path.is_file()).then_some(path)
}

/// Returns the loader's error message without the name of the library, which the loader puts in front of the message.
fn loader_message(error: &libloading::Error) -> String {
    use std::error::Error as _;
    let message = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    message.split_once(": ").map_or(message.clone(), |(_, reason)| reason.to_owned())
}
