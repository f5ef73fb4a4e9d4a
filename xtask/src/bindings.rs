//! Generates `bindings.rs` from an `nvml.h`.
//!
//! bindgen writes types, constants, and `extern "C"` declarations. The declarations become one table of function
//! pointers, `Functions`, because the library is loaded at run time and any function may be absent.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
    fs,
    path::Path,
};

use quote::quote;
use syn::{File, ForeignItem, ForeignItemFn, Item, UseTree};

/// Returns the text of `nvml-sys/src/bindings.rs` for the header at `NVML_HEADER`.
pub(crate) fn generate(root: &Path) -> Result<String, String> {
    let header = std::env::var_os("NVML_HEADER").ok_or(
        "NVML_HEADER is not set\n\
         help: run `eval \"$(scripts/nvml-header)\"`, which downloads the nvml.h pinned in nvml.pin and sets the variable",
    )?;
    let header = Path::new(&header);
    let source = read(header)?;
    let pin = read(&root.join("nvml-sys/nvml.pin"))?;
    let version = pin.lines().find_map(|line| line.strip_prefix("version = ")).ok_or("nvml.pin has no version")?;
    let raw = bindgen::Builder::default()
        .header(header.to_string_lossy())
        // Without this macro the header redefines `nvmlInit` as `nvmlInit_v2` and hides the old functions.
        .clang_arg("-DNVML_NO_UNVERSIONED_FUNC_DEFS")
        .allowlist_item("nvml.*|NVML.*|INVALID_GPU_INSTANCE.*|MAX_CLK_DOMAINS")
        .default_enum_style(bindgen::EnumVariation::NewType { is_bitfield: false, is_global: true })
        .prepend_enum_name(false)
        .generate_comments(false)
        .derive_default(true)
        .derive_debug(true)
        .layout_tests(true)
        .merge_extern_blocks(true)
        .formatter(bindgen::Formatter::None)
        .disable_header_comment()
        .generate()
        .map_err(|e| format!("bindgen failed for {}: {e}", header.display()))?
        .to_string();
    let mut file: File = syn::parse_str(&raw).map_err(|e| format!("cannot parse bindgen's output: {e}"))?;
    let functions = take_functions(&mut file);
    file.items.extend(table(&functions)?);
    let macros = macros(&source, &file)?;
    file.items.extend(macros);
    file.items.push(syn::parse_quote! {
        /// The version of the package whose `nvml.h` these bindings were generated from.
        pub const HEADER_VERSION: &str = #version;
    });
    Ok(format!("{}{}", heading(&source)?, prettyplease::unparse(&file)))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// Removes the `extern` blocks and returns their functions, in the order of the header.
fn take_functions(file: &mut File) -> Vec<ForeignItemFn> {
    let mut functions = Vec::new();
    file.items.retain(|item| {
        let Item::ForeignMod(block) = item else {
            return true;
        };
        functions.extend(block.items.iter().filter_map(|item| match item {
            ForeignItem::Fn(function) => Some(function.clone()),
            _ => None,
        }));
        false
    });
    functions
}

/// Returns the table of function pointers, the function that fills it, and the list of names.
fn table(functions: &[ForeignItemFn]) -> Result<Vec<Item>, String> {
    let count = functions.len();
    let names: Vec<_> = functions.iter().map(|f| &f.sig.ident).collect();
    let c_names: Vec<_> = names
        .iter()
        .map(|name| syn::LitCStr::new(&std::ffi::CString::new(name.to_string()).unwrap_or_default(), name.span()))
        .collect();
    let types: Vec<_> = functions
        .iter()
        .map(|f| {
            let (inputs, output) = (&f.sig.inputs, &f.sig.output);
            quote! { unsafe extern "C" fn(#inputs) #output }
        })
        .collect();
    let tokens = quote! {
        /// The functions of the header, in the order of [`NAMES`]. A function that the driver lacks is `None`.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default)]
        pub struct Functions { #(pub #names: Option<#types>,)* }
        /// The names of all functions, in the order of the header.
        pub const NAMES: [&::std::ffi::CStr; #count] = [#(#c_names),*];
        impl Functions {
            /// Creates a table of the addresses that `resolve` returns for the names. A null address becomes `None`.
            ///
            /// # Safety
            /// Each address must be null, or the address of a function with the signature in the header. It must stay
            /// valid for as long as functions of the table are called.
            pub unsafe fn from_resolver(mut resolve: impl FnMut(&::std::ffi::CStr) -> *const ::std::ffi::c_void) -> Self {
                // SAFETY: (in the generated code) the caller guarantees each address, as the documentation above
                // requires.
                Self { #(#names: unsafe { crate::function(resolve(#c_names)) },)* }
            }
        }
    };
    syn::parse2::<File>(tokens).map(|file| file.items).map_err(|e| format!("cannot parse the table of functions: {e}"))
}

/// Returns items for macros that bindgen skips: the versions of structs (`NVML_STRUCT_VERSION(Memory, 2)`), other names
/// of a constant or a type, and combinations of flags.
fn macros(source: &str, file: &File) -> Result<Vec<Item>, String> {
    let mut text = String::new();
    let mut known: HashMap<String, String> = file.items.iter().filter_map(constant).collect();
    let types: HashSet<String> = file.items.iter().filter_map(type_name).collect();
    for line in source.replace("\\\n", " ").lines() {
        let Some(rest) = line.strip_prefix("#define ") else {
            continue;
        };
        let Some((name, value)) = rest.trim().split_once(char::is_whitespace) else {
            continue;
        };
        let value = value.split("//!<").next().unwrap_or_default().trim();
        if known.contains_key(name) || types.contains(name) {
            continue;
        }
        if let Some(version) = struct_version(value) {
            let _ = writeln!(text, "pub const {name}: ::std::os::raw::c_uint = {version};");
        } else if let Some(ty) = known.get(value).cloned() {
            let _ = writeln!(text, "pub const {name}: {ty} = {value};");
            known.insert(name.to_owned(), ty);
        } else if types.contains(value) {
            let _ = writeln!(text, "pub type {name} = {value};");
        } else if let Some(flags) = combined_flags(value, &known) {
            let _ = writeln!(text, "pub const {name}: u64 = {flags};");
            known.insert(name.to_owned(), "u64".to_owned());
        }
    }
    syn::parse_str::<File>(&text)
        .map(|file| file.items)
        .map_err(|e| format!("cannot parse the macros of the header: {e}"))
}

fn constant(item: &Item) -> Option<(String, String)> {
    let Item::Const(constant) = item else {
        return None;
    };
    let ty = &constant.ty;
    (constant.ident != "_").then(|| (constant.ident.to_string(), quote!(#ty).to_string()))
}

fn type_name(item: &Item) -> Option<String> {
    match item {
        Item::Type(alias) => Some(alias.ident.to_string()),
        Item::Struct(item) => Some(item.ident.to_string()),
        Item::Use(item) => renamed(&item.tree),
        _ => None,
    }
}

/// Returns the new name in a declaration such as bindgen's `pub use self::nvmlReturn_enum as nvmlReturn_t`.
fn renamed(tree: &UseTree) -> Option<String> {
    match tree {
        UseTree::Path(path) => renamed(&path.tree),
        UseTree::Rename(rename) => Some(rename.rename.to_string()),
        _ => None,
    }
}

fn struct_version(value: &str) -> Option<String> {
    let (inner, _) = value.strip_prefix("NVML_STRUCT_VERSION(")?.split_once(')')?;
    let (data, version) = inner.split_once(',')?;
    let (data, version) = (data.trim(), version.trim());
    Some(format!("crate::struct_version::<nvml{data}_v{version}_t>({version})"))
}

fn combined_flags(value: &str, known: &HashMap<String, String>) -> Option<String> {
    let names = value.strip_prefix('(')?.strip_suffix(')')?.split('|').map(str::trim);
    let terms: Option<Vec<_>> = names.map(|name| known.contains_key(name).then(|| format!("{name} as u64"))).collect();
    terms.map(|terms| terms.join(" | "))
}

/// Returns the first comments of the file: its origin, and the notice that the header requires users to keep.
fn heading(source: &str) -> Result<String, String> {
    let notice = source.split_once("*/").map(|(first, _)| first).filter(|first| first.contains("NOTICE TO USER"));
    let notice = notice.ok_or("the header does not start with its notice to users")?;
    Ok(format!(
        "// Generated by `xtask bindings` from the header pinned in `nvml.pin`. Do not edit.\n\
         // The notice of that header:\n{notice}*/\n\n"
    ))
}
