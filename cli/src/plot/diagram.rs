//! One panel: the curves of all GPUs.

use plotters::{
    chart::{ChartBuilder, ChartContext},
    coord::{Shift, types::RangedCoordf64},
    prelude::{Cartesian2d, DrawingArea, DrawingBackend, PathElement, Polygon, Text},
    style::{Color as _, RGBColor, text_anchor},
};

use super::{
    curve::{Column, Curve},
    panel::PANELS,
    style::{DrawResult, FAINT, FRAME, GRID, LEFT, RIGHT, TEXT, colour, mark_colour, text},
    survey::Survey,
};

/// The axis of time.
#[derive(Clone, Copy)]
pub(super) struct Time {
    unit: &'static str,
    /// In seconds.
    each: f64,
    first: u64,
    /// In units.
    span: f64,
}

impl Time {
    pub(super) fn of(range: Option<(u64, u64)>) -> Self {
        let (first, last) = range.unwrap_or((0, 0));
        // What lasted for no time is drawn as if it were a second.
        let seconds = if last > first { (last - first) as f64 / 1e9 } else { 1.0 };
        let (unit, each) = match seconds {
            0.0..180.0 => ("s", 1.0),
            180.0..10_800.0 => ("min", 60.0),
            _ => ("h", 3600.0),
        };
        Self { unit, each, first, span: seconds / each }
    }

    fn place(self, at: u64) -> f64 {
        at.saturating_sub(self.first) as f64 / 1e9 / self.each
    }
}

/// Of the diagram's height: what is further from the mean is a peak.
const PEAK: f64 = 0.08;

/// Numbers on the axis of values stand no closer, in pixels.
const LABEL_EACH: usize = 20;

type Chart<'a, DB> = ChartContext<'a, DB, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

pub(super) fn draw<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    panel: usize,
    curves: &[(u32, Curve)],
    survey: &Survey,
    time: Time,
    has_time_axis: bool,
    gap: i32,
) -> DrawResult<DB> {
    let panel = &PANELS[panel];
    let all = || curves.iter().flat_map(|(_, curve)| &curve.columns).filter(|column| !column.is_empty());
    let least = all().map(|column| column.min).fold(f64::INFINITY, f64::min);
    let most = all().map(|column| column.max).fold(f64::NEG_INFINITY, f64::max);
    let is_empty = least > most;
    let (from, to) = if is_empty { (0.0, 1.0) } else { panel.axis.range(least, most) };
    area.draw(&Text::new(panel.title, (LEFT, gap - 22), text(16, TEXT)))?;
    let mut chart = ChartBuilder::on(area)
        .margin_top(gap)
        .margin_right(RIGHT)
        .set_left_and_bottom_label_area_size(LEFT)
        .x_label_area_size(if has_time_axis { 46 } else { 0 })
        .build_cartesian_2d(0.0..time.span, from..to)?;
    let style = text(14, FAINT);
    let room = chart.plotting_area().dim_in_pixel().1 as usize / LABEL_EACH;
    let mut mesh = chart.configure_mesh();
    mesh.x_labels(12).y_labels(if is_empty { 0 } else { room.clamp(2, 6) });
    mesh.light_line_style(GRID.mix(0.0)).bold_line_style(GRID).axis_style(FRAME);
    mesh.label_style(style.clone()).axis_desc_style(style.clone()).y_label_formatter(&number);
    mesh.x_label_formatter(&number);
    let description = format!("time ({})", time.unit);
    if has_time_axis {
        mesh.x_desc(&description);
    }
    mesh.draw()?;
    if is_empty {
        let (wide, high) = chart.plotting_area().dim_in_pixel();
        let middle = text(16, FAINT).pos(text_anchor::Pos::new(text_anchor::HPos::Center, text_anchor::VPos::Center));
        let at = (LEFT + wide as i32 / 2, gap + high as i32 / 2);
        return area.draw(&Text::new("the recording has no values of this", at, middle));
    }
    draw_marks(&mut chart, survey, time, from, to)?;
    let place = |gpu: &u32| survey.gpus.keys().position(|its| its == gpu).unwrap_or(0);
    for (gpu, curve) in curves {
        draw_bands(&mut chart, curve, colour(place(gpu)), time, to - from)?;
    }
    for (gpu, curve) in curves {
        draw_lines(&mut chart, curve, colour(place(gpu)), time)?;
    }
    Ok(())
}

/// Without the zeros that say nothing.
fn number(value: &f64) -> String {
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

fn draw_marks<DB: DrawingBackend>(
    chart: &mut Chart<'_, DB>,
    survey: &Survey,
    time: Time,
    from: f64,
    to: f64,
) -> DrawResult<DB> {
    let line = |mark: &super::survey::Mark| {
        let at = time.place(mark.at).min(time.span);
        PathElement::new(vec![(at, from), (at, to)], mark_colour(mark.kind).mix(0.7))
    };
    chart.draw_series(survey.marks.iter().map(line)).map(|_| ())
}

/// From the least to the most, faint; and where that is far from the mean for a moment, a line that shows how far: a band
/// so narrow would not be seen.
fn draw_bands<DB: DrawingBackend>(
    chart: &mut Chart<'_, DB>,
    curve: &Curve,
    colour: RGBColor,
    time: Time,
    height: f64,
) -> DrawResult<DB> {
    for (begin, stretch) in stretches(&curve.columns) {
        let middle = |index: usize| curve.middle(begin + index) * time.span;
        if stretch.iter().all(|column| column.min == column.max) {
            continue;
        }
        let upper = corners(stretch, middle, |column| column.max);
        let lower = corners(stretch, middle, |column| column.min);
        let outline: Vec<_> = upper.into_iter().chain(lower.into_iter().rev()).collect();
        chart.draw_series([Polygon::new(outline, colour.mix(0.2))])?;
        let is_peak =
            |column: &Column| column.max - column.mean() > PEAK * height || column.mean() - column.min > PEAK * height;
        let peak = |(index, column): (usize, &Column)| {
            let line = vec![(middle(index), column.min), (middle(index), column.max)];
            is_peak(column).then(|| PathElement::new(line, colour.mix(0.6)))
        };
        chart.draw_series(stretch.iter().enumerate().filter_map(peak))?;
    }
    Ok(())
}

/// The means as a line, which is broken where there is no value.
fn draw_lines<DB: DrawingBackend>(
    chart: &mut Chart<'_, DB>,
    curve: &Curve,
    colour: RGBColor,
    time: Time,
) -> DrawResult<DB> {
    for (begin, stretch) in stretches(&curve.columns) {
        let mut line = corners(stretch, |index| curve.middle(begin + index) * time.span, Column::mean);
        // From edge to edge: what was there for one column only is seen too.
        let half = curve.middle(0) * time.span;
        let (first, last) = (line[0], line[line.len() - 1]);
        line.insert(0, (first.0 - half, first.1));
        line.push((last.0 + half, last.1));
        chart.draw_series([PathElement::new(line, colour)])?;
    }
    Ok(())
}

/// The columns that have values, as far as they are side by side; with the place of the first.
fn stretches(columns: &[Column]) -> impl Iterator<Item = (usize, &[Column])> {
    let mut begin = 0;
    let all = columns.chunk_by(|a, b| a.is_empty() == b.is_empty()).map(move |stretch| {
        begin += stretch.len();
        (begin - stretch.len(), stretch)
    });
    all.filter(|(_, stretch)| !stretch[0].is_empty())
}

/// Points of a line, without those that lie on it anyway: a value that holds takes two.
fn corners(columns: &[Column], x: impl Fn(usize) -> f64, y: impl Fn(&Column) -> f64) -> Vec<(f64, f64)> {
    let last = columns.len() - 1;
    let is_corner = |index: usize| {
        let value = y(&columns[index]);
        index == 0 || index == last || y(&columns[index - 1]) != value || y(&columns[index + 1]) != value
    };
    (0..=last).filter(|index| is_corner(*index)).map(|index| (x(index), y(&columns[index]))).collect()
}
