//! A bitmap backend for plotters.
//!
//! The bitmap backend of plotters 0.3.7 places each glyph at a whole pixel and without its left side bearing. In text
//! of the size of labels, letters then touch and words have gaps: `GPU` and `HBM3` read as `G PU` and `HB M3`. This
//! backend places glyphs at fractions of pixels.

use std::convert::Infallible;

use ab_glyph::{Font as _, FontRef, ScaleFont as _, point};
use plotters_backend::{
    BackendColor, BackendCoord, BackendTextStyle, DrawingBackend, DrawingErrorKind,
    text_anchor::{HPos, VPos},
};

use super::style::FONT;

/// An RGB image, which is black until it is filled.
pub(super) struct Bitmap<'a> {
    /// The red, green, and blue bytes of each pixel, row by row.
    pixels: &'a mut [u8],
    size: (u32, u32),
}

type BackendResult = Result<(), DrawingErrorKind<Infallible>>;

impl<'a> Bitmap<'a> {
    /// Creates an image of this size in pixels that is stored in `pixels`. If `pixels` is too short for the image, the
    /// pixels beyond its end are not drawn.
    pub(super) fn new(pixels: &'a mut [u8], size: (u32, u32)) -> Self {
        Self { pixels, size }
    }

    fn blend(&mut self, (x, y): BackendCoord, (r, g, b): (u8, u8, u8), alpha: f64) {
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return };
        if x >= self.size.0 || y >= self.size.1 {
            return;
        }
        let start = (y as usize * self.size.0 as usize + x as usize) * 3;
        for (old, new) in self.pixels.iter_mut().skip(start).zip([r, g, b]) {
            *old = (f64::from(*old) + (f64::from(new) - f64::from(*old)) * alpha.clamp(0.0, 1.0)).round() as u8;
        }
    }
}

impl DrawingBackend for Bitmap<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }

    fn ensure_prepared(&mut self) -> BackendResult {
        Ok(())
    }

    fn present(&mut self) -> BackendResult {
        Ok(())
    }

    fn draw_pixel(&mut self, at: BackendCoord, color: BackendColor) -> BackendResult {
        self.blend(at, color.rgb, color.alpha);
        Ok(())
    }

    /// Draws horizontal text. Ignores the direction of the style, because plots have no other text.
    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, at: BackendCoord) -> BackendResult {
        // The font is embedded in this program and valid.
        let Ok(font) = FontRef::try_from_slice(FONT) else { return Ok(()) };
        let (size, anchor, color) = (style.size() as f32, style.anchor(), style.color());
        let font = font.as_scaled(size);
        let mut right = 0.0;
        let mut glyphs = Vec::new();
        let mut previous = None;
        for c in text.chars() {
            let id = font.glyph_id(c);
            right += previous.map_or(0.0, |previous| font.kern(previous, id));
            glyphs.push((id, right));
            right += font.h_advance(id);
            previous = Some(id);
        }
        let left = at.0 as f32
            - match anchor.h_pos {
                HPos::Left => 0.0,
                HPos::Center => right / 2.0,
                HPos::Right => right,
            };
        // The baseline aligns the height of capital letters with the anchor.
        let baseline = at.1 as f32
            + match anchor.v_pos {
                VPos::Top => size * 0.65,
                VPos::Center => size * 0.3,
                VPos::Bottom => size * -0.1,
            };
        for (id, x) in glyphs {
            let glyph = id.with_scale_and_position(size, point(left + x, baseline.round()));
            let Some(outline) = font.outline_glyph(glyph) else { continue };
            let corner = outline.px_bounds().min;
            outline.draw(|x, y, coverage| {
                let at = (corner.x as i32 + x as i32, corner.y as i32 + y as i32);
                self.blend(at, color.rgb, color.alpha * f64::from(coverage));
            });
        }
        Ok(())
    }
}
