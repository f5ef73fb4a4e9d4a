//! The picture: what was recorded in words, the GPUs' colours, and four panels over one axis of time.

use std::time::{Duration, UNIX_EPOCH};

use plotters::{
    coord::Shift,
    prelude::{DrawingArea, DrawingBackend, PathElement, Rectangle, Text},
    style::{Color as _, WHITE},
};

use super::{
    curve::Curves,
    diagram,
    style::{self, DrawResult, FAINT, LEFT, RIGHT, TEXT, fitted, harmless, mark_colour, text, width},
    survey::Survey,
};

/// The heights of the labels below the last diagram, the title above each diagram, and a legend line, in pixels.
const BOTTOM: i32 = 46;
const GAP: i32 = 34;
const LINE: i32 = 20;

/// All that is drawn.
pub(super) struct Picture<'a> {
    pub survey: &'a Survey,
    pub curves: &'a Curves,
    /// What has to be said of the recording besides.
    pub notes: Vec<String>,
}

/// How many columns of pixels a diagram has in a picture of this width.
pub(super) fn columns(width: u32) -> usize {
    (width as usize).saturating_sub((LEFT + RIGHT) as usize).max(1)
}

impl Picture<'_> {
    pub(super) fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>) -> DrawResult<DB> {
        area.fill(&WHITE)?;
        let top = self.draw_words(area)?;
        let top = self.draw_legend(area, top)?;
        let top = self.draw_mark_labels(area, top)?;
        let (wide, high) = size(area);
        let count = self.curves.panels.len() as i32;
        let each = (high - top - BOTTOM) / count;
        let time = diagram::Time::of(self.survey.range);
        for (place, curves) in self.curves.panels.iter().enumerate() {
            let from = top + place as i32 * each;
            let is_last = place as i32 + 1 == count;
            let to = from + each + if is_last { BOTTOM } else { 0 };
            let part = area.clone().shrink((0, from), (wide as u32, (to - from) as u32));
            diagram::draw(&part, place, curves, self.survey, time, is_last, GAP)?;
        }
        Ok(())
    }

    /// What was run, where and when. Gives how far down it goes.
    fn draw_words<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>) -> DrawResult<DB, i32> {
        let header = &self.survey.header;
        let command = header.command.as_ref().map_or("GPUs".to_owned(), |words| words.join(" "));
        let mut at = 14;
        let mut line = |words: &str, size: i32, colour, step: i32| {
            let style = text(size, colour);
            let words = fitted(area, &harmless(words), &style, self::size(area).0 - LEFT - RIGHT);
            let drawn = area.draw(&Text::new(words, (LEFT, at), style));
            at += step;
            drawn
        };
        line(&command, 24, TEXT, 32)?;
        line(&self.circumstances(), 15, FAINT, 22)?;
        for note in &self.notes {
            line(note, 15, mark_colour(super::survey::MarkKind::Lost), 22)?;
        }
        Ok(at + 2)
    }

    fn circumstances(&self) -> String {
        let header = &self.survey.header;
        let host = header.host.as_ref().map(|host| format!("on {host}"));
        let when = self.survey.range.map(|(first, last)| {
            let start = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_nanos(first));
            format!("from {start} for {}", humantime::format_duration(rounded(last - first)))
        });
        let driver = header.driver_version.as_ref().map(|version| format!("driver {version}"));
        let parts: Vec<String> = [host, when, driver].into_iter().flatten().collect();
        if parts.is_empty() { "an empty recording".to_owned() } else { parts.join(", ") }
    }

    /// Which colour is which GPU. Gives how far down it goes.
    fn draw_legend<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>, top: i32) -> DrawResult<DB, i32> {
        let style = text(15, TEXT);
        let room = size(area).0 - LEFT - RIGHT;
        let name = |(index, name): (&u32, &Option<String>)| {
            let words = format!("GPU {index}  {}", name.as_deref().map(harmless).unwrap_or_default());
            fitted(area, &words, &style, room - 60)
        };
        let mut names: Vec<String> = self.survey.gpus.iter().map(name).collect();
        let widest = names.iter().map(|name| width(area, name, &style)).max().unwrap_or(0);
        // Who shows an SVG may have a font that is wider.
        let cell = widest * 6 / 5 + 48;
        let in_row = (room / cell).max(1) as usize;
        // Most of the picture is for the curves.
        let most = in_row * (size(area).1 / 3 / LINE) as usize;
        if names.len() > most {
            let more = format!("and {} more", names.len() - most + 1);
            names.truncate(most - 1);
            area.draw(&Text::new(more, cell_corner(names.len(), in_row, cell, top), style.clone()))?;
        }
        for (place, name) in names.iter().enumerate() {
            let (x, y) = cell_corner(place, in_row, cell, top);
            let swatch = Rectangle::new([(x, y + 5), (x + 22, y + 9)], style::colour(place).filled());
            area.draw(&swatch)?;
            area.draw(&Text::new(name.as_str(), (x + 30, y), style.clone()))?;
        }
        let cells = self.survey.gpus.len().min(most);
        Ok(top + cells.div_ceil(in_row) as i32 * LINE)
    }

    /// What the marks in the diagrams mean, above each where there is room. Gives how far down it goes.
    fn draw_mark_labels<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>, top: i32) -> DrawResult<DB, i32> {
        let Some((first, last)) = self.survey.range else { return Ok(top) };
        if self.survey.marks.is_empty() {
            return Ok(top);
        }
        let right = size(area).0 - RIGHT;
        let mut rows = [LEFT; 2];
        for mark in &self.survey.marks {
            let style = text(13, mark_colour(mark.kind));
            let part = (mark.at - first) as f64 / (last - first).max(1) as f64;
            let at = LEFT + (part * f64::from(right - LEFT)) as i32;
            let wide = width(area, &mark.label, &style);
            let x = if at + 3 + wide <= right { at + 3 } else { at - 3 - wide };
            let Some(row) = rows.iter().position(|end| *end <= x) else { continue };
            rows[row] = x + wide + 8;
            let y = top + 6 + row as i32 * 15;
            area.draw(&Text::new(mark.label.as_str(), (x, y), style))?;
            area.draw(&PathElement::new(vec![(at, y), (at, top + 38)], mark_colour(mark.kind)))?;
        }
        Ok(top + 30)
    }
}

fn size<DB: DrawingBackend>(area: &DrawingArea<DB, Shift>) -> (i32, i32) {
    let (wide, high) = area.dim_in_pixel();
    (wide as i32, high as i32)
}

/// Where a cell of the legend begins.
fn cell_corner(place: usize, in_row: usize, wide: i32, top: i32) -> (i32, i32) {
    (LEFT + (place % in_row) as i32 * wide, top + (place / in_row) as i32 * LINE)
}

/// To what people care of.
fn rounded(nanoseconds: u64) -> Duration {
    match nanoseconds {
        10_000_000_000.. => Duration::from_secs(nanoseconds / 1_000_000_000),
        _ => Duration::from_millis(nanoseconds / 1_000_000),
    }
}
