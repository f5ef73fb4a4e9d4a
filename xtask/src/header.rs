//! Generates `igpu.h` from the sources of the C library.

use std::path::Path;

/// Returns the text of `capi/include/igpu.h`.
pub(crate) fn generate(root: &Path) -> Result<String, String> {
    let capi = root.join("capi");
    let config = cbindgen::Config::from_file(capi.join("cbindgen.toml"))?;
    let builder = cbindgen::Builder::new().with_config(config).with_src(capi.join("src/lib.rs"));
    let header = builder.generate().map_err(|error| format!("cbindgen: {error}"))?;
    let mut text = Vec::new();
    header.write(&mut text);
    String::from_utf8(text).map(|text| normalize_whitespace(&text)).map_err(|error| format!("cbindgen: {error}"))
}

/// Removes repeated empty lines, and joins parameters that fit on one line.
fn normalize_whitespace(text: &str) -> String {
    let mut result = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.is_empty() && result.ends_with("\n\n") {
            continue;
        }
        result += line;
        let is_function = line.starts_with("igpu_status ") && line.ends_with(',');
        let parameters: Vec<&str> = if is_function {
            std::iter::from_fn(|| lines.next_if(|next| next.starts_with(' '))).collect()
        } else {
            vec![]
        };
        let joined_length = parameters.iter().map(|parameter| parameter.trim_start().len() + 1).sum::<usize>();
        for parameter in &parameters {
            let fits = line.len() + joined_length <= 120;
            result += &if fits { format!(" {}", parameter.trim_start()) } else { format!("\n{parameter}") };
        }
        result.push('\n');
    }
    result
}
