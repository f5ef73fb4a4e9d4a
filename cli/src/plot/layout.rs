//! The layout of a plot: a heading, a legend of the GPUs, and four panels with a common time axis.

use std::time::{Duration, UNIX_EPOCH};

use plotters::{
    coord::Shift,
    prelude::{DrawingArea, DrawingBackend, PathElement, Rectangle, Text},
    style::{Color as _, WHITE},
};

use super::{
    chart,
    downsample::Curves,
    scan::RecordingScan,
    style::{
        self, DrawResult, LEFT_MARGIN_PX, RIGHT_MARGIN_PX, SECONDARY_TEXT_COLOR, TEXT_COLOR, escape, marker_color,
        text_style, text_width, truncate_to_width,
    },
};
use crate::table::shell_line;

/// The heights of the axis labels below the last panel, of the title above each panel, and of a line of the legend, in
/// pixels.
const AXIS_LABELS_HEIGHT_PX: i32 = 46;
const TITLE_HEIGHT_PX: i32 = 34;
const LEGEND_LINE_HEIGHT_PX: i32 = 20;

/// The content of a plot.
pub(super) struct Layout<'a> {
    pub scan: &'a RecordingScan,
    pub curves: &'a Curves,
    /// The warnings about the recording, one per line.
    pub warnings: Vec<String>,
}

/// Returns the number of pixel columns of a panel in an image of this width.
pub(super) fn columns(width: u32) -> usize {
    (width as usize).saturating_sub((LEFT_MARGIN_PX + RIGHT_MARGIN_PX) as usize).max(1)
}

impl Layout<'_> {
    pub(super) fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>) -> DrawResult<DB> {
        area.fill(&WHITE)?;
        let top = self.draw_heading(area)?;
        let top = self.draw_legend(area, top)?;
        let top = self.draw_marker_labels(area, top)?;
        let (width, height) = size(area);
        let count = self.curves.panels.len() as i32;
        let panel_height = (height - top - AXIS_LABELS_HEIGHT_PX) / count;
        let time = chart::TimeAxis::from_range(self.scan.range);
        for (index, curves) in self.curves.panels.iter().enumerate() {
            let from = top + index as i32 * panel_height;
            let is_last = index as i32 + 1 == count;
            let to = from + panel_height + if is_last { AXIS_LABELS_HEIGHT_PX } else { 0 };
            let part = area.clone().shrink((0, from), (width as u32, (to - from) as u32));
            chart::draw(&part, index, curves, self.scan, time, is_last, TITLE_HEIGHT_PX)?;
        }
        Ok(())
    }

    /// Draws the command, the host, the time, and the warnings. Returns the y coordinate below them.
    fn draw_heading<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>) -> DrawResult<DB, i32> {
        let header = &self.scan.header;
        let command = header.command.as_ref().map_or("GPUs".to_owned(), |words| shell_line(words));
        let mut at = 14;
        let mut line = |text: &str, size: i32, color, step: i32| {
            let style = text_style(size, color);
            let text =
                truncate_to_width(area, &escape(text), &style, self::size(area).0 - LEFT_MARGIN_PX - RIGHT_MARGIN_PX);
            let result = area.draw(&Text::new(text, (LEFT_MARGIN_PX, at), style));
            at += step;
            result
        };
        line(&command, 24, TEXT_COLOR, 32)?;
        line(&self.subtitle(), 15, SECONDARY_TEXT_COLOR, 22)?;
        for warning in &self.warnings {
            line(warning, 15, marker_color(super::scan::MarkerKind::Lost), 22)?;
        }
        Ok(at + 2)
    }

    fn subtitle(&self) -> String {
        let header = &self.scan.header;
        let host = header.host.as_ref().map(|host| format!("on {host}"));
        let when = self.scan.range.map(|(first, last)| {
            let start = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_nanos(first));
            format!("from {start} for {}", humantime::format_duration(round_duration(last - first)))
        });
        let driver = header.driver_version.as_ref().map(|version| format!("driver {version}"));
        let parts: Vec<String> = [host, when, driver].into_iter().flatten().collect();
        if parts.is_empty() { "empty recording".to_owned() } else { parts.join(", ") }
    }

    /// Draws the colors and names of the GPUs. Returns the y coordinate below them.
    fn draw_legend<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>, top: i32) -> DrawResult<DB, i32> {
        let style = text_style(15, TEXT_COLOR);
        let available = size(area).0 - LEFT_MARGIN_PX - RIGHT_MARGIN_PX;
        let name = |(index, name): (&u32, &Option<String>)| {
            let text = format!("GPU {index}  {}", name.as_deref().map(escape).unwrap_or_default());
            truncate_to_width(area, &text, &style, available - 60)
        };
        let mut names: Vec<String> = self.scan.gpus.iter().map(name).collect();
        let widest = names.iter().map(|name| text_width(area, name, &style)).max().unwrap_or(0);
        // An SVG viewer may use a font that is wider than the measured font.
        let cell = widest * 6 / 5 + 48;
        let in_row = (available / cell).max(1) as usize;
        // The legend uses at most a third of the height.
        let max_cells = in_row * (size(area).1 / 3 / LEGEND_LINE_HEIGHT_PX) as usize;
        if names.len() > max_cells {
            let more = format!("and {} more", names.len() - max_cells + 1);
            names.truncate(max_cells - 1);
            area.draw(&Text::new(more, cell_corner(names.len(), in_row, cell, top), style.clone()))?;
        }
        for (index, name) in names.iter().enumerate() {
            let (x, y) = cell_corner(index, in_row, cell, top);
            let color_mark = Rectangle::new([(x, y + 5), (x + 22, y + 9)], style::gpu_color(index).filled());
            area.draw(&color_mark)?;
            area.draw(&Text::new(name.as_str(), (x + 30, y), style.clone()))?;
        }
        let cells = self.scan.gpus.len().min(max_cells);
        Ok(top + cells.div_ceil(in_row) as i32 * LEGEND_LINE_HEIGHT_PX)
    }

    /// Draws the labels of the markers above the panels, and omits labels that would overlap. Returns the y coordinate
    /// below them.
    fn draw_marker_labels<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>, top: i32) -> DrawResult<DB, i32> {
        let Some((first, last)) = self.scan.range else { return Ok(top) };
        if self.scan.markers.is_empty() {
            return Ok(top);
        }
        let right = size(area).0 - RIGHT_MARGIN_PX;
        let mut rows = [LEFT_MARGIN_PX; 2];
        for marker in &self.scan.markers {
            let style = text_style(13, marker_color(marker.kind));
            let part = (marker.at - first) as f64 / (last - first).max(1) as f64;
            let at = LEFT_MARGIN_PX + (part * f64::from(right - LEFT_MARGIN_PX)) as i32;
            let width = text_width(area, &marker.label, &style);
            let x = if at + 3 + width <= right { at + 3 } else { at - 3 - width };
            let Some(row) = rows.iter().position(|end| *end <= x) else { continue };
            rows[row] = x + width + 8;
            let y = top + 6 + row as i32 * 15;
            area.draw(&Text::new(marker.label.as_str(), (x, y), style))?;
            area.draw(&PathElement::new(vec![(at, y), (at, top + 38)], marker_color(marker.kind)))?;
        }
        Ok(top + 30)
    }
}

fn size<DB: DrawingBackend>(area: &DrawingArea<DB, Shift>) -> (i32, i32) {
    let (width, height) = area.dim_in_pixel();
    (width as i32, height as i32)
}

/// Returns the upper left corner of a cell of the legend.
fn cell_corner(index: usize, in_row: usize, width: i32, top: i32) -> (i32, i32) {
    (LEFT_MARGIN_PX + (index % in_row) as i32 * width, top + (index / in_row) as i32 * LEGEND_LINE_HEIGHT_PX)
}

/// Truncates a duration to whole seconds, or to whole milliseconds if it is shorter than 10 s.
fn round_duration(nanoseconds: u64) -> Duration {
    match nanoseconds {
        10_000_000_000.. => Duration::from_secs(nanoseconds / 1_000_000_000),
        _ => Duration::from_millis(nanoseconds / 1_000_000),
    }
}
