//! The output file of a plot. The file is written either completely or not at all.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
    process,
};

use plotters::{backend::SVGBackend, prelude::IntoDrawingArea as _};

use super::{bitmap::Bitmap, layout::Layout};

/// The format of the output file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ImageFormat {
    Svg,
    Png,
}

impl ImageFormat {
    /// Returns the format for the extension of a path.
    pub(super) fn from_path(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "svg" => Some(Self::Svg),
            "png" => Some(Self::Png),
            _ => None,
        }
    }

    /// Returns the content of the file.
    pub(super) fn render(self, layout: &Layout, size: (u32, u32)) -> io::Result<Vec<u8>> {
        match self {
            Self::Svg => {
                let mut text = String::new();
                layout.draw(&SVGBackend::with_string(&mut text, size).into_drawing_area()).map_err(io::Error::other)?;
                Ok(text.into_bytes())
            }
            Self::Png => {
                let mut pixels = vec![0; size.0 as usize * size.1 as usize * 3];
                let area = Bitmap::new(&mut pixels, size).into_drawing_area();
                layout.draw(&area).map_err(io::Error::other)?;
                drop(area);
                png(&pixels, size)
            }
        }
    }
}

fn png(pixels: &[u8], (width, height): (u32, u32)) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(bytes)
}

/// Returns `true` if both paths refer to the same file, directly or through links.
pub(super) fn same_file(a: &Path, b: &Path) -> bool {
    let file_id = |path| fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino())).ok();
    file_id(a).is_some_and(|a| Some(a) == file_id(b))
}

/// Returns `false` if the path is a pipe or a device. Returns `true` for regular files, and also for directories and
/// missing files, for which reading fails with a better error.
pub(super) fn can_be_read_twice(path: &Path) -> bool {
    fs::metadata(path).map_or(true, |metadata| metadata.is_file() || metadata.is_dir())
}

/// Replaces the file atomically. If writing fails, for example because the disk is full, the old file is kept. A file
/// that is not a regular file, for example a pipe, is written directly.
pub(super) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let target = match fs::canonicalize(path) {
        Ok(target) if !target.is_file() => return fs::write(target, content),
        Ok(target) => target,
        Err(_) => path.to_owned(),
    };
    let temporary = target.with_file_name(format!(".igpu-plot-{}", process::id()));
    let result = write_temporary(&temporary, content, &target).and_then(|()| fs::rename(&temporary, &target));
    if result.is_err() {
        // The error of the write is returned, and an error of the cleanup is ignored.
        let _ = fs::remove_file(&temporary);
    }
    result
}

/// Writes the temporary file, with the permissions of the file that it will replace.
fn write_temporary(temporary: &Path, content: &[u8], replaced: &Path) -> io::Result<()> {
    let mut file = File::create(temporary)?;
    if let Ok(old) = fs::metadata(replaced) {
        file.set_permissions(old.permissions())?;
    }
    file.write_all(content)
}
