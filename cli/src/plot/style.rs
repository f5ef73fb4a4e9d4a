//! The colors and text styles of a plot. The font is embedded, so plots look the same on all machines.

use plotters::{
    coord::Shift,
    prelude::{DrawingArea, DrawingAreaErrorKind, DrawingBackend, IntoFont as _, RGBColor, TextStyle},
    style::{Color as _, FontStyle, register_font},
};

use super::scan::MarkerKind;

/// The result of a drawing function.
pub(super) type DrawResult<DB, T = ()> = Result<T, DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>>;

/// The left and right margins of the panels, in pixels.
pub(super) const LEFT_MARGIN_PX: i32 = 70;
pub(super) const RIGHT_MARGIN_PX: i32 = 24;

/// The embedded font.
pub(super) const FONT: &[u8] = epaint_default_fonts::UBUNTU_LIGHT;
/// The font family in an SVG file. A viewer chooses a font of this family.
const FONT_FAMILY: &str = "sans-serif";

pub(super) const TEXT_COLOR: RGBColor = RGBColor(40, 40, 40);
pub(super) const SECONDARY_TEXT_COLOR: RGBColor = RGBColor(110, 110, 110);
pub(super) const GRID_COLOR: RGBColor = RGBColor(225, 225, 225);
pub(super) const FRAME_COLOR: RGBColor = RGBColor(150, 150, 150);

/// The colors of the GPUs, which are reused if there are more than 16 GPUs.
const GPU_COLORS: [RGBColor; 16] = [
    RGBColor(31, 119, 180),
    RGBColor(255, 127, 14),
    RGBColor(44, 160, 44),
    RGBColor(214, 39, 40),
    RGBColor(148, 103, 189),
    RGBColor(140, 86, 75),
    RGBColor(227, 119, 194),
    RGBColor(23, 190, 207),
    RGBColor(188, 189, 34),
    RGBColor(15, 60, 110),
    RGBColor(120, 70, 0),
    RGBColor(0, 90, 50),
    RGBColor(255, 170, 165),
    RGBColor(80, 80, 80),
    RGBColor(120, 200, 255),
    RGBColor(90, 0, 120),
];

/// Returns the color of the GPU at this position in the list of GPUs.
pub(super) fn gpu_color(index: usize) -> RGBColor {
    GPU_COLORS[index % GPU_COLORS.len()]
}

pub(super) fn marker_color(kind: MarkerKind) -> RGBColor {
    match kind {
        MarkerKind::Command => RGBColor(90, 90, 90),
        MarkerKind::Lost => RGBColor(200, 0, 0),
        MarkerKind::Hung => RGBColor(210, 120, 0),
        MarkerKind::Recovered => RGBColor(0, 140, 60),
    }
}

/// Registers the embedded font with plotters, which uses it to measure text.
pub(super) fn load_font() {
    // The registration fails only if the font is invalid.
    let _ = register_font(FONT_FAMILY, FontStyle::Normal, FONT);
}

pub(super) fn text_style(size: i32, color: RGBColor) -> TextStyle<'static> {
    (FONT_FAMILY, size).into_font().color(&color.to_rgba())
}

/// Escapes control characters in a text of external origin, and replaces characters that XML does not allow.
pub(super) fn escape(text: &str) -> String {
    igpu::Escaped(text).to_string().replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}

pub(super) fn text_width<DB: DrawingBackend>(area: &DrawingArea<DB, Shift>, text: &str, style: &TextStyle) -> i32 {
    area.estimate_text_size(text, style).map_or(0, |(width, _)| width as i32)
}

/// Truncates a text to the available width in pixels, with an ellipsis.
pub(super) fn truncate_to_width<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    text: &str,
    style: &TextStyle,
    available: i32,
) -> String {
    // A very long text is slow to measure. No glyph is narrower than half a pixel, so further characters never fit.
    let mut truncated: String = text.chars().take(available.max(0) as usize * 2).collect();
    if truncated.len() == text.len() && text_width(area, text, style) <= available {
        return truncated;
    }
    while !truncated.is_empty() && text_width(area, &format!("{truncated}…"), style) > available {
        truncated.pop();
    }
    truncated + "…"
}
