//! The drawing of one panel with the curves of all GPUs.

use plotters::{
    chart::{ChartBuilder, ChartContext},
    coord::{Shift, types::RangedCoordf64},
    prelude::{Cartesian2d, DrawingArea, DrawingBackend, PathElement, Polygon, Text},
    style::{Color as _, RGBColor, text_anchor},
};

use super::{
    downsample::{Curve, PixelColumn},
    panel::PANELS,
    scan::RecordingScan,
    style::{
        DrawResult, FRAME_COLOR, GRID_COLOR, LEFT_MARGIN_PX, RIGHT_MARGIN_PX, SECONDARY_TEXT_COLOR, TEXT_COLOR,
        gpu_color, marker_color, text_style,
    },
};

/// The time axis.
#[derive(Clone, Copy)]
pub(super) struct TimeAxis {
    unit: &'static str,
    seconds_per_unit: f64,
    /// The start of the axis, in nanoseconds since the epoch.
    first: u64,
    /// The length of the axis, in units.
    span: f64,
}

impl TimeAxis {
    pub(super) fn from_range(range: Option<(u64, u64)>) -> Self {
        let (first, last) = range.unwrap_or((0, 0));
        // The axis of a recording without duration spans one second.
        let seconds = if last > first { (last - first) as f64 / 1e9 } else { 1.0 };
        let (unit, seconds_per_unit) = match seconds {
            0.0..180.0 => ("s", 1.0),
            180.0..10_800.0 => ("min", 60.0),
            _ => ("h", 3600.0),
        };
        Self { unit, seconds_per_unit, first, span: seconds / seconds_per_unit }
    }

    fn position(self, at: u64) -> f64 {
        at.saturating_sub(self.first) as f64 / 1e9 / self.seconds_per_unit
    }
}

/// The minimum distance of a peak from the mean, as a fraction of the height of the panel.
const MIN_PEAK_RATIO: f64 = 0.08;

/// The minimum distance between two labels of the value axis, in pixels.
const MIN_LABEL_SPACING_PX: usize = 20;

type Chart<'a, DB> = ChartContext<'a, DB, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

pub(super) fn draw<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    panel: usize,
    curves: &[(u32, Curve)],
    scan: &RecordingScan,
    time: TimeAxis,
    has_time_axis: bool,
    gap: i32,
) -> DrawResult<DB> {
    let panel = &PANELS[panel];
    let columns_with_values =
        || curves.iter().flat_map(|(_, curve)| &curve.columns).filter(|column| !column.is_empty());
    let min = columns_with_values().map(|column| column.min).fold(f64::INFINITY, f64::min);
    let max = columns_with_values().map(|column| column.max).fold(f64::NEG_INFINITY, f64::max);
    let is_empty = min > max;
    let (from, to) = if is_empty { (0.0, 1.0) } else { panel.axis.range(min, max) };
    area.draw(&Text::new(panel.title, (LEFT_MARGIN_PX, gap - 22), text_style(16, TEXT_COLOR)))?;
    let mut chart = ChartBuilder::on(area)
        .margin_top(gap)
        .margin_right(RIGHT_MARGIN_PX)
        .set_left_and_bottom_label_area_size(LEFT_MARGIN_PX)
        .x_label_area_size(if has_time_axis { 46 } else { 0 })
        .build_cartesian_2d(0.0..time.span, from..to)?;
    let style = text_style(14, SECONDARY_TEXT_COLOR);
    let max_labels = chart.plotting_area().dim_in_pixel().1 as usize / MIN_LABEL_SPACING_PX;
    let mut mesh = chart.configure_mesh();
    mesh.x_labels(12).y_labels(if is_empty { 0 } else { max_labels.clamp(2, 6) });
    mesh.light_line_style(GRID_COLOR.mix(0.0)).bold_line_style(GRID_COLOR).axis_style(FRAME_COLOR);
    mesh.label_style(style.clone()).axis_desc_style(style.clone()).y_label_formatter(&axis_number);
    mesh.x_label_formatter(&axis_number);
    let description = format!("time ({})", time.unit);
    if has_time_axis {
        mesh.x_desc(&description);
    }
    mesh.draw()?;
    if is_empty {
        let (width, height) = chart.plotting_area().dim_in_pixel();
        let middle = text_style(16, SECONDARY_TEXT_COLOR)
            .pos(text_anchor::Pos::new(text_anchor::HPos::Center, text_anchor::VPos::Center));
        let at = (LEFT_MARGIN_PX + width as i32 / 2, gap + height as i32 / 2);
        return area.draw(&Text::new("not recorded", at, middle));
    }
    draw_markers(&mut chart, scan, time, from, to)?;
    let gpu_index = |gpu: &u32| scan.gpus.keys().position(|index| index == gpu).unwrap_or(0);
    for (gpu, curve) in curves {
        draw_bands(&mut chart, curve, gpu_color(gpu_index(gpu)), time, to - from)?;
    }
    for (gpu, curve) in curves {
        draw_means(&mut chart, curve, gpu_color(gpu_index(gpu)), time)?;
    }
    Ok(())
}

/// Formats a label of an axis, without trailing zeros.
fn axis_number(value: &f64) -> String {
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

fn draw_markers<DB: DrawingBackend>(
    chart: &mut Chart<'_, DB>,
    scan: &RecordingScan,
    time: TimeAxis,
    from: f64,
    to: f64,
) -> DrawResult<DB> {
    let line = |marker: &super::scan::Marker| {
        let at = time.position(marker.at).min(time.span);
        PathElement::new(vec![(at, from), (at, to)], marker_color(marker.kind).mix(0.7))
    };
    chart.draw_series(scan.markers.iter().map(line)).map(|_| ())
}

/// Draws a light band from the minimum to the maximum of each column. If a column has a peak, also draws a darker
/// vertical line, because a band with the width of one column is hardly visible.
fn draw_bands<DB: DrawingBackend>(
    chart: &mut Chart<'_, DB>,
    curve: &Curve,
    color: RGBColor,
    time: TimeAxis,
    height: f64,
) -> DrawResult<DB> {
    for (begin, run) in nonempty_runs(&curve.columns) {
        let middle = |index: usize| curve.middle(begin + index) * time.span;
        if run.iter().all(|column| column.min == column.max) {
            continue;
        }
        let upper = line_points(run, middle, |column| column.max);
        let lower = line_points(run, middle, |column| column.min);
        let outline: Vec<_> = upper.into_iter().chain(lower.into_iter().rev()).collect();
        chart.draw_series([Polygon::new(outline, color.mix(0.2))])?;
        let is_peak = |column: &PixelColumn| {
            column.max - column.mean() > MIN_PEAK_RATIO * height || column.mean() - column.min > MIN_PEAK_RATIO * height
        };
        let peak = |(index, column): (usize, &PixelColumn)| {
            let line = vec![(middle(index), column.min), (middle(index), column.max)];
            is_peak(column).then(|| PathElement::new(line, color.mix(0.6)))
        };
        chart.draw_series(run.iter().enumerate().filter_map(peak))?;
    }
    Ok(())
}

/// Draws the means as a line, with gaps where there are no values.
fn draw_means<DB: DrawingBackend>(
    chart: &mut Chart<'_, DB>,
    curve: &Curve,
    color: RGBColor,
    time: TimeAxis,
) -> DrawResult<DB> {
    for (begin, run) in nonempty_runs(&curve.columns) {
        let mut line = line_points(run, |index| curve.middle(begin + index) * time.span, PixelColumn::mean);
        // The line extends to the edges of its first and last column, because a run of one column would otherwise be
        // invisible.
        let half = curve.middle(0) * time.span;
        let (first, last) = (line[0], line[line.len() - 1]);
        line.insert(0, (first.0 - half, first.1));
        line.push((last.0 + half, last.1));
        chart.draw_series([PathElement::new(line, color)])?;
    }
    Ok(())
}

/// Returns the runs of adjacent columns that have values, each with the index of its first column.
fn nonempty_runs(columns: &[PixelColumn]) -> impl Iterator<Item = (usize, &[PixelColumn])> {
    let mut begin = 0;
    let runs = columns.chunk_by(|a, b| a.is_empty() == b.is_empty()).map(move |run| {
        begin += run.len();
        (begin - run.len(), run)
    });
    runs.filter(|(_, run)| !run[0].is_empty())
}

/// Returns the points of a line. Omits the inner points of runs of equal values.
fn line_points(columns: &[PixelColumn], x: impl Fn(usize) -> f64, y: impl Fn(&PixelColumn) -> f64) -> Vec<(f64, f64)> {
    let last = columns.len() - 1;
    let is_corner = |index: usize| {
        let value = y(&columns[index]);
        index == 0 || index == last || y(&columns[index - 1]) != value || y(&columns[index + 1]) != value
    };
    (0..=last).filter(|index| is_corner(*index)).map(|index| (x(index), y(&columns[index]))).collect()
}
