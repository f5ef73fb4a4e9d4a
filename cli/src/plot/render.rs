//! The picture's file: SVG or PNG, whole or not there.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
    process,
};

use plotters::{backend::SVGBackend, prelude::IntoDrawingArea as _};

use super::{bitmap::Bitmap, layout::Layout};

/// How a picture is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ImageFormat {
    Svg,
    Png,
}

impl ImageFormat {
    /// The kind that a file's name asks for by its ending.
    pub(super) fn from_path(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "svg" => Some(Self::Svg),
            "png" => Some(Self::Png),
            _ => None,
        }
    }

    /// The file's content.
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

/// Whether both paths lead to one file, by whatever links.
pub(super) fn same_file(a: &Path, b: &Path) -> bool {
    let file_id = |path| fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino())).ok();
    file_id(a).is_some_and(|a| Some(a) == file_id(b))
}

/// Whether the path leads to a file, or to what is no file at all: why that cannot be read is told by who reads it.
pub(super) fn can_be_read_twice(path: &Path) -> bool {
    fs::metadata(path).map_or(true, |metadata| metadata.is_file() || metadata.is_dir())
}

/// Puts the content where the path is, all at once: a reader meets the old file or the new one, and when a disk is full
/// the old one stays. What is no regular file, as a pipe, is written to.
pub(super) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let target = match fs::canonicalize(path) {
        Ok(target) if !target.is_file() => return fs::write(target, content),
        Ok(target) => target,
        Err(_) => path.to_owned(),
    };
    let temporary = target.with_file_name(format!(".igpu-plot-{}", process::id()));
    let written = write_temporary(&temporary, content, &target).and_then(|()| fs::rename(&temporary, &target));
    if written.is_err() {
        // The error that led here is the one to tell.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// A file with the rights of the one that it is to replace.
fn write_temporary(temporary: &Path, content: &[u8], replaced: &Path) -> io::Result<()> {
    let mut file = File::create(temporary)?;
    if let Ok(old) = fs::metadata(replaced) {
        file.set_permissions(old.permissions())?;
    }
    file.write_all(content)
}
