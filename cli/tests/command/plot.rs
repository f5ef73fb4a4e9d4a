//! Tests of `igpu plot`, which draws recordings as SVG and PNG.

use super::*;

use igpu::metric::Metric;
use igpu_recording::{Format, Header, Item, RecordedGpu, Series, Writer, event};

const PANELS: [(&str, Metric); 4] = [
    ("Power (W)", Metric::POWER_USAGE),
    ("Utilization (%)", Metric::UTILIZATION_GPU),
    ("Memory (GiB)", Metric::MEMORY_USED),
    ("Temperature (°C)", Metric::TEMPERATURE),
];
/// The colors of the first two GPUs.
const COLORS: [&str; 2] = ["#1F77B4", "#FF7F0E"];
const START: u64 = 1_790_000_000_000_000_000;

fn at(second: f64) -> u64 {
    START + (second * 1e9) as u64
}

fn header(names: &[&str]) -> Item {
    let gpu = |(index, name): (usize, &&str)| RecordedGpu {
        index: index as u32,
        name: Some((*name).to_owned()),
        ..RecordedGpu::default()
    };
    let header = Header {
        host: Some("node17".to_owned()),
        command: Some(["python", "train.py", names[0]].map(str::to_owned).into()),
        gpus: names.iter().enumerate().map(gpu).collect(),
        ..Header::default()
    };
    Item::start(at(0.0), &header)
}

/// Returns one item for each panel, with these values.
fn values(second: f64, gpu: u32, values: [f64; 4]) -> impl Iterator<Item = Item> {
    PANELS
        .into_iter()
        .zip(values)
        .map(move |((_, metric), value)| Item::value(at(second), gpu, Series::for_metric(metric), value))
}

/// Returns a recording of two GPUs that takes 100 s. GPU 1 is lost from 40 s to 60 s.
fn recording() -> Vec<Item> {
    let gpu = |second, gpu, name| Item { gpu: Some(gpu), ..Item::event(at(second), name) };
    let mut items = vec![header(&["NVIDIA H100", "NVIDIA A100"])];
    items.push(Item { pid: Some(7), ..Item::event(at(0.5), event::COMMAND_START) });
    items.extend(values(0.0, 0, [300.0, 0.5, 40.0 * 1024f64.powi(3), 60.0]));
    items.extend(values(0.0, 1, [100.0, 0.25, 10.0 * 1024f64.powi(3), 50.0]));
    items.push(Item { value: Some(15.0), ..gpu(40.0, 1, event::GPU_LOST) });
    items.push(gpu(60.0, 1, event::GPU_RECOVERED));
    items.extend(values(60.0, 1, [100.0, 0.25, 10.0 * 1024f64.powi(3), 50.0]));
    items.push(Item { pid: Some(7), value: Some(3.0), ..Item::event(at(99.0), event::COMMAND_END) });
    items.push(Item::event(at(100.0), event::END));
    items
}

/// Writes a recording with these items to a temporary directory.
fn written(name: &str, items: &[Item]) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    let encoder = Format::from_path(&path).unwrap().encoder().unwrap();
    let mut writer = Writer::new(File::create(&path).unwrap(), encoder);
    assert!(items.iter().all(|item| writer.push(item)));
    writer.finish().unwrap();
    (directory, path.display().to_string())
}

/// Plots a recording to a file beside it. Returns the result of the command and the path of the plot.
fn plot(recording: &str, extension: &str, more: &[&str]) -> (CommandResult, String) {
    let image = format!("{recording}.{extension}");
    (igpu(&[&["plot", recording, "-o", &image], more].concat()), image)
}

/// Plots a recording as SVG, which must succeed without messages.
fn svg(items: &[Item]) -> String {
    let (_directory, file) = written("recording.jsonl", items);
    let (result, image) = plot(&file, "svg", &[]);
    assert_eq!(result, CommandResult { code: Some(0), stdout: String::new(), stderr: String::new() });
    fs::read_to_string(image).unwrap()
}

fn texts(svg: &str) -> Vec<String> {
    let svg = roxmltree::Document::parse(svg).expect("XML");
    let texts = svg.descendants().filter(|node| node.has_tag_name("text"));
    texts.map(|node| node.text().unwrap_or_default().trim().to_owned()).collect()
}

/// Returns the first x, the last x, and the first y coordinate of each line that has this color, in the order of the
/// panels.
fn lines(svg: &str, color: &str) -> Vec<(f64, f64, f64)> {
    let svg = roxmltree::Document::parse(svg).expect("XML");
    let polylines = svg.descendants().filter(|node| node.has_tag_name("polyline"));
    let of_color = polylines.filter(|node| node.attribute("stroke") == Some(color));
    let line = |node: roxmltree::Node| {
        let points = node.attribute("points").unwrap().split_whitespace();
        let mut points = points.map(|point| point.split_once(',').unwrap());
        let (first, last) = (points.next().unwrap(), points.next_back().unwrap());
        (first.0.parse().unwrap(), last.0.parse().unwrap(), first.1.parse().unwrap())
    };
    of_color.map(line).collect()
}

#[test]
fn plot_shows_gpus_panels_and_events() {
    let svg = svg(&recording());
    let texts = texts(&svg);
    for text in
        ["python train.py 'NVIDIA H100'", "GPU 0  NVIDIA H100", "GPU 1  NVIDIA A100", "GPU 1 lost", "GPU 1 recovered"]
    {
        assert!(texts.iter().any(|shown| shown == text), "{text} is not in {texts:?}");
    }
    for text in ["start", "end, status 3", "time (s)", "on node17, from 2026-09-21T14:13:20Z for 1m 40s"] {
        assert!(texts.iter().any(|shown| shown == text), "{text} is not in {texts:?}");
    }
    assert!(PANELS.iter().all(|(title, _)| texts.iter().any(|shown| shown == title)), "{texts:?}");
    assert!(!texts.iter().any(|text| text.contains("no values")), "{texts:?}");
}

#[test]
fn curve_has_gap_while_gpu_lost() {
    let svg = svg(&recording());
    let whole = lines(&svg, COLORS[0]);
    let broken = lines(&svg, COLORS[1]);
    assert_eq!((whole.len(), broken.len()), (4, 8), "{whole:?} {broken:?}");
    let (left, right, _) = whole[0];
    let time = |x: f64| (x - left) / (right - left) * 100.0;
    for (panel, halves) in broken.chunks(2).enumerate() {
        let [from, lost, back, to] = [halves[0].0, halves[0].1, halves[1].0, halves[1].1].map(time);
        assert!(from.abs() < 0.2 && (lost - 40.0).abs() < 0.2, "{panel}: {from} to {lost}");
        assert!((back - 60.0).abs() < 0.2 && (to - 100.0).abs() < 0.2, "{panel}: {back} to {to}");
        // The y axis points down.
        assert!(whole[panel].2 < halves[0].2, "{panel}: {} and {}", whole[panel].2, halves[0].2);
    }
    // Utilizations of 50 % and 25 % are drawn at half and a quarter of the height of the axis.
    let document = roxmltree::Document::parse(&svg).unwrap();
    let y = |text: &str, nth: usize| -> f64 {
        let labels = document.descendants().filter(|node| node.text().is_some_and(|label| label.trim() == text));
        labels.filter_map(|node| node.attribute("y")?.parse().ok()).nth(nth).unwrap()
    };
    let (full, none) = (y("100", 1), y("0", 1));
    for (height, expected) in [(whole[1].2, 50.0), (broken[2].2, 25.0)] {
        let percent = (none - height) / (none - full) * 100.0;
        assert!((percent - expected).abs() < 3.0, "{percent} is not {expected}");
    }
}

#[test]
fn hostile_names_leave_svg_well_formed() {
    let evil = "</text><script>&amp;\"']]>\u{1b}[31m\u{0}\u{202e}\u{fffe}";
    let texts = texts(&svg(&[header(&[evil]), Item::event(at(1.0), event::END)]));
    let shown = "</text><script>&amp;\"']]>\\u{1b}[31m\\u{0}\\u{202e}\u{fffd}";
    let quoted = shown.replace('\'', r"'\''");
    assert!(texts.contains(&format!("python train.py '{quoted}'")), "{texts:?}");
    assert!(texts.contains(&format!("GPU 0  {shown}")), "{texts:?}");
}

#[test]
fn png_has_requested_size_and_content() {
    let (_directory, file) = written("recording.csv", &recording());
    for (size, expected) in [(&[][..], (1400, 1200)), (&["--size", "640x600"], (640, 600))] {
        let (result, image) = plot(&file, "png", size);
        assert_eq!((result.code, result.stderr.as_str()), (Some(0), ""));
        let mut reader = png::Decoder::new(BufReader::new(File::open(image).unwrap())).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), expected);
        let pixels: Vec<&[u8]> = pixels.chunks(3).collect();
        let count = |color: [u8; 3]| pixels.iter().filter(|pixel| **pixel == color).count();
        // The legend has 110 pixels of each color.
        assert!(count([31, 119, 180]) > 1000 && count([255, 127, 14]) > 1000, "the curves are drawn");
        // The first 40 lines of pixels have only the title.
        let title = &pixels[..40 * expected.0 as usize];
        assert!(title.iter().filter(|pixel| pixel.iter().all(|part| *part < 90)).count() > 200, "the title is drawn");
        assert!(count([255; 3]) > pixels.len() / 2, "the background is white");
    }
}

#[test]
fn panels_without_values_are_labeled() {
    let power = Item::value(at(0.0), 0, Series::for_metric(Metric::POWER_INSTANT), 70.0);
    let svg_of_power = svg(&[header(&["a"]), power.clone(), Item::event(at(9.0), event::END)]);
    let missing = |texts: Vec<String>| texts.iter().filter(|text| *text == "not recorded").count();
    assert_eq!((missing(texts(&svg_of_power)), lines(&svg_of_power, COLORS[0]).len()), (3, 1));
    for items in [&[header(&["a"])][..], &[Item::event(at(0.0), event::END)]] {
        let texts = texts(&svg(items));
        assert!(texts.iter().any(|text| text == "The recording has no values to plot."), "{texts:?}");
        assert_eq!(missing(texts), 4);
    }
    // A recording of one value has no duration.
    assert_eq!(lines(&svg(&[power]), COLORS[0]).len(), 1);
}

#[test]
fn dropped_records_are_noted_in_plot() {
    let dropped = Item { value: Some(12.0), ..Item::event(at(50.0), event::HEARTBEAT) };
    let texts = texts(&svg(&[recording(), vec![dropped]].concat()));
    assert!(texts.iter().any(|text| text == "12 records were dropped during the recording."), "{texts:?}");
}

#[test]
fn sixteen_gpus_have_distinct_colors() {
    let items = (0..16).flat_map(|gpu| values(0.0, gpu, [f64::from(gpu) * 10.0, 0.5, 1e9, 40.0 + f64::from(gpu)]));
    let svg = svg(&items.chain([Item::event(at(1.0), event::END)]).collect::<Vec<_>>());
    let document = roxmltree::Document::parse(&svg).unwrap();
    let colors: std::collections::HashSet<_> = document
        .descendants()
        .filter(|node| node.has_tag_name("rect"))
        .filter_map(|node| node.attribute("fill"))
        .filter(|color| !lines(&svg, color).is_empty())
        .collect();
    assert_eq!(colors.len(), 16);
    let texts = texts(&svg);
    assert!((0..16).all(|gpu| texts.contains(&format!("GPU {gpu}"))), "{texts:?}");
}

#[test]
fn labels_of_small_axes_do_not_overlap() {
    let items =
        (0..16).flat_map(|gpu| values(0.0, gpu, [230.0, 0.5, 1e9, 40.0])).chain([Item::event(at(1.0), event::END)]);
    let (_directory, file) = written("recording.csv", &items.collect::<Vec<_>>());
    let (result, image) = plot(&file, "svg", &["--size", "600x600"]);
    assert_eq!(result.code, Some(0), "{result:?}");
    let svg = fs::read_to_string(image).unwrap();
    let document = roxmltree::Document::parse(&svg).unwrap();
    let numbers =
        document.descendants().filter(|node| node.has_tag_name("text") && node.attribute("text-anchor") == Some("end"));
    let mut heights: Vec<i32> = numbers.map(|node| node.attribute("y").unwrap().parse().unwrap()).collect();
    heights.sort_unstable();
    assert!(heights.len() >= 4 && heights.windows(2).all(|two| two[1] - two[0] >= 12), "{heights:?}");
}

#[test]
fn gpus_option_selects_curves() {
    let (_directory, file) = written("recording.csv", &recording());
    let (result, image) = plot(&file, "svg", &["--gpus", "0"]);
    assert_eq!(result.code, Some(0), "{result:?}");
    let svg = fs::read_to_string(image).unwrap();
    assert_eq!((lines(&svg, COLORS[0]).len(), lines(&svg, COLORS[1]).len()), (4, 0));
    assert!(!texts(&svg).iter().any(|text| text.starts_with("GPU 1")), "{:?}", texts(&svg));
    let (result, _) = plot(&file, "svg", &["--gpus", "GPU-nothing"]);
    let [message] = errors(&result.stderr)[..] else { panic!("{}", result.stderr) };
    assert!(result.code == Some(1) && message.contains("\"GPU-nothing\""), "{message}");
    let (result, _) = plot(&file, "svg", &["--gpus", "0,7"]);
    assert_eq!(
        (result.code, errors(&result.stderr)),
        (Some(1), vec!["GPU 7 is not in the recording, which has GPUs 0, 1"])
    );
}

#[test]
fn extreme_values_and_times_are_drawn() {
    let values = [f64::MAX, -1e300, f64::MIN_POSITIVE, f64::NAN, -5.0, 1e14, f64::INFINITY, 3.0];
    let mut items = vec![header(&["a very long name of a GPU that takes a lot of space"; 70])];
    for (second, value) in values.into_iter().enumerate() {
        items.extend((0..70).flat_map(|gpu| self::values(second as f64, gpu, [value; 4])));
        items.push(Item { gpu: Some(second as u32), ..Item::event(at(second as f64), event::GPU_HUNG) });
    }
    items.push(Item { value: Some(9.0), ..Item::event(u64::MAX, event::HEARTBEAT) });
    items.push(Item::event(0, event::END));
    let (_directory, file) = written("recording.jsonl", &items);
    for (extension, size) in [("png", "600x600"), ("svg", "600x600"), ("png", "1400x1200"), ("svg", "601x777")] {
        let (result, _) = plot(&file, extension, &["--size", size]);
        assert_eq!(
            result,
            CommandResult { code: Some(0), stdout: String::new(), stderr: String::new() },
            "{extension} {size}"
        );
    }
    let texts = texts(&fs::read_to_string(format!("{file}.svg")).unwrap());
    assert!(texts.iter().any(|text| text.starts_with("and ") && text.ends_with(" more")), "{texts:?}");
}

#[test]
fn truncated_recording_is_drawn() {
    let (_directory, file) = written("recording.jsonl", &recording());
    let complete = fs::read_to_string(&file).unwrap();
    for (content, code, message) in [
        (complete.trim_end_matches("}\n").to_owned(), 0, "the last item is truncated"),
        (complete.clone() + "{\"time_unix_nano\":5}\n", 1, "the file is damaged"),
    ] {
        fs::write(&file, content).unwrap();
        let (result, image) = plot(&file, "svg", &[]);
        assert_eq!(result.code, Some(code), "{result:?}");
        let expected = if code == 0 { &result.stdout } else { &result.stderr };
        assert!(expected.contains(message) && expected.contains(&file) && expected.lines().count() == 1, "{expected}");
        let svg = fs::read_to_string(image).unwrap();
        assert_eq!(lines(&svg, COLORS[0]).len(), 4);
        assert!(texts(&svg).iter().any(|text| text.contains(message)), "{:?}", texts(&svg));
    }
}

#[test]
fn invalid_recording_leaves_no_image() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    fs::write(path("text"), "not a recording").unwrap();
    fs::write(path("empty"), "").unwrap();
    fs::write(path("half"), "{\"time_unix_nano\":5,").unwrap();
    for (name, part) in [
        ("text", "not a recording"),
        ("empty", "not a recording"),
        ("half", "before the first item"),
        ("none", "os error 2"),
    ] {
        let (result, image) = plot(&path(name), "svg", &[]);
        let [message] = errors(&result.stderr)[..] else { panic!("{}", result.stderr) };
        assert_eq!((result.code, result.stdout.as_str()), (Some(1), ""));
        assert!(message.contains(part) && message.contains(&path(name)), "{message}");
        assert!(!Path::new(&image).exists());
    }
    let (result, _) = plot(&directory.path().display().to_string(), "svg", &[]);
    assert_eq!((result.code, errors(&result.stderr).len()), (Some(1), 1), "a directory is not a recording");
}

#[test]
fn invalid_plot_options_are_wrong_usage() {
    let (_directory, file) = written("recording.csv", &recording());
    for (extension, more) in [("jpg", &[][..]), ("", &[]), ("svg", &["--size", "9x9"]), ("svg", &["--size", "1400"])] {
        let (result, image) = plot(&file, extension, more);
        assert_eq!((result.code, Path::new(&image).exists()), (Some(2), false), "{result:?}");
    }
    let (result, _) = plot(&file, "jpg", &[]);
    assert!(result.stderr.contains("the extension must be .svg or .png"), "{}", result.stderr);
}

#[test]
fn plot_does_not_overwrite_the_recording() {
    let (directory, file) = written("recording.csv", &recording());
    let before = fs::read(&file).unwrap();
    let link = directory.path().join("link.png").display().to_string();
    symlink(&file, &link).unwrap();
    let result = igpu(&["plot", &file, "-o", &link]);
    let [message] = errors(&result.stderr)[..] else { panic!("{}", result.stderr) };
    assert!(result.code == Some(1) && message.contains("is the recording"), "{message}");
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn plot_of_pipe_fails() {
    let (directory, file) = written("recording.csv", &recording());
    let image = directory.path().join("image.svg");
    let script = "cat \"$1\" | \"$0\" plot /dev/stdin -o \"$2\"";
    let image_path = image.to_str().unwrap();
    let result = run(command("sh", ["-c", script, env!("CARGO_BIN_EXE_igpu"), &file, image_path]));
    let [message] = errors(&result.stderr)[..] else { panic!("{}", result.stderr) };
    assert!(result.code == Some(1) && message.contains("cannot be read twice, because it is a pipe"), "{message}");
    assert!(!image.exists());
}

#[test]
fn failed_write_keeps_old_image() {
    let (directory, file) = written("recording.csv", &recording());
    let image = format!("{file}.png");
    fs::write(&image, "old content").unwrap();
    // The limit on the file size simulates a full disk. Its unit is 512 or 1024 bytes.
    let script = "trap '' XFSZ; ulimit -f 4; exec \"$0\" plot \"$1\" -o \"$2\"";
    let result = run(command("sh", ["-c", script, env!("CARGO_BIN_EXE_igpu"), &file, &image]));
    let [message] = errors(&result.stderr)[..] else { panic!("{}", result.stderr) };
    assert_eq!((result.code, message.contains(&image)), (Some(1), true), "{message}");
    assert_eq!(fs::read_to_string(&image).unwrap(), "old content");
    let names = || fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    assert_eq!(names().len(), 2, "{:?}", names());
    // Without the limit, the plot replaces the old file through a link, and keeps the permissions of the file.
    fs::set_permissions(&image, Permissions::from_mode(0o600)).unwrap();
    symlink(&image, directory.path().join("link.png")).unwrap();
    let link = directory.path().join("link.png").display().to_string();
    assert_eq!(stdout_of(&["plot", &file, "-o", &link]), "");
    assert!(fs::read(&image).unwrap().starts_with(b"\x89PNG"));
    assert_eq!(fs::metadata(&image).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    for nowhere in ["/nowhere/image.svg", "/dev/null/image.svg"] {
        let result = igpu(&["plot", &file, "--output", nowhere]);
        let [message] = errors(&result.stderr)[..] else { panic!("{}", result.stderr) };
        assert!(
            result.code == Some(1) && message.contains(nowhere) && message.contains("could not be written"),
            "{message}"
        );
    }
}
