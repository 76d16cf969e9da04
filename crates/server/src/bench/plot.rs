//! A picture of a run, as SVG: latency by percentile (both axes logarithmic, so that the tail is as wide as the middle), and
//! throughput over time.

use std::fmt::Write as _;

use hdrhistogram::Histogram;

use super::mix::Kind;
use super::recorder::Recorder;
use super::report::{duration, thousands};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 760.0;

/// The rectangle of one panel's axes.
#[derive(Debug, Clone, Copy)]
struct Panel {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

const LATENCY_PANEL: Panel = Panel {
    left: 90.0,
    top: 90.0,
    width: 830.0,
    height: 330.0,
};
const THROUGHPUT_PANEL: Panel = Panel {
    left: 90.0,
    top: 500.0,
    width: 830.0,
    height: 190.0,
};

/// Colours that stay apart for colour-blind eyes (Okabe and Ito), one for each kind of operation.
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];
const FAILED_COLOUR: &str = "#c00000";

/// The whole picture.
pub fn draw(title: &str, subtitle: &str, recorder: &Recorder) -> String {
    let mut svg = String::new();
    let _ = writeln!(
        svg,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" font-family="system-ui, sans-serif" font-size="13" fill="#222">
<rect width="100%" height="100%" fill="#ffffff"/>"##
    );
    text(
        &mut svg,
        LATENCY_PANEL.left,
        32.0,
        "start",
        title,
        r#" font-size="18" font-weight="600""#,
    );
    text(
        &mut svg,
        LATENCY_PANEL.left,
        54.0,
        "start",
        subtitle,
        r##" fill="#555""##,
    );
    draw_latency(&mut svg, recorder);
    draw_throughput(&mut svg, recorder);
    svg.push_str("</svg>\n");
    svg
}

/// Escapes what XML would misread, and drops control characters, which it forbids.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            control if control.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, content: &str, attributes: &str) {
    let _ = writeln!(
        svg,
        r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}"{attributes}>{}</text>"#,
        escape(content)
    );
}

fn line(svg: &mut String, x1: f64, y1: f64, x2: f64, y2: f64, colour: &str) {
    let _ = writeln!(
        svg,
        r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="{colour}"/>"#
    );
}

fn polyline(svg: &mut String, points: &[(f64, f64)], colour: &str) {
    let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(
        svg,
        r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2" stroke-linejoin="round"/>"#,
        points.join(" ")
    );
}

fn frame(svg: &mut String, panel: Panel, x_label: &str, y_label: &str) {
    let Panel {
        left,
        top,
        width,
        height,
    } = panel;
    let _ = writeln!(
        svg,
        r##"<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="none" stroke="#888"/>"##
    );
    text(svg, left + width / 2.0, top + height + 42.0, "middle", x_label, "");
    let middle = top + height / 2.0;
    let rotation = format!(r#" transform="rotate(-90 22 {middle:.1})""#);
    text(svg, 22.0, middle, "middle", y_label, &rotation);
}

/// How far right a percentile lies: one step for each nine.
fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).log10()
}

fn draw_latency(svg: &mut String, recorder: &Recorder) {
    let panel = LATENCY_PANEL;
    frame(svg, panel, "percentile", "latency (logarithmic)");
    let kinds: Vec<(Kind, &Histogram<u64>)> = Kind::ALL
        .into_iter()
        .zip(&recorder.latencies)
        .filter(|(_, histogram)| !histogram.is_empty())
        .collect();
    let most = kinds.iter().map(|(_, histogram)| histogram.len()).max().unwrap_or(0);
    if most == 0 {
        text(
            svg,
            panel.left + panel.width / 2.0,
            panel.top + panel.height / 2.0,
            "middle",
            "nothing completed",
            "",
        );
        return;
    }
    // One sample beyond the last percentile drawn would be its own percentile.
    let nines_max = (most as f64).log10().clamp(2.0, 6.0).ceil();
    let lowest = kinds
        .iter()
        .map(|(_, histogram)| histogram.min())
        .min()
        .unwrap_or(1)
        .max(100) as f64;
    let highest = kinds.iter().map(|(_, histogram)| histogram.max()).max().unwrap_or(1) as f64;
    let (bottom, top) = (step_below(lowest), step_above(highest.max(lowest * 1.01)));
    let x = |quantile: f64| panel.left + nines(quantile).min(nines_max) / nines_max * panel.width;
    let y = |nanoseconds: f64| {
        let share = (nanoseconds.max(bottom) / bottom).ln() / (top / bottom).ln();
        panel.top + panel.height - share * panel.height
    };
    for (quantile, label) in [
        (0.0, "0"),
        (0.5, "50"),
        (0.9, "90"),
        (0.99, "99"),
        (0.999, "99.9"),
        (0.9999, "99.99"),
        (0.99999, "99.999"),
        (0.999999, "99.9999"),
    ] {
        if nines(quantile) <= nines_max + 1e-9 {
            line(
                svg,
                x(quantile),
                panel.top,
                x(quantile),
                panel.top + panel.height,
                "#e4e4e4",
            );
            text(svg, x(quantile), panel.top + panel.height + 20.0, "middle", label, "");
        }
    }
    let mut tick = bottom;
    while tick <= top * 1.001 {
        line(svg, panel.left, y(tick), panel.left + panel.width, y(tick), "#e4e4e4");
        text(svg, panel.left - 8.0, y(tick) + 4.0, "end", &axis_duration(tick), "");
        tick = step_above(tick * 1.01);
    }
    for (index, (kind, histogram)) in kinds.iter().enumerate() {
        let colour = COLOURS[*kind as usize];
        let last = nines(1.0 - 1.0 / histogram.len().max(2) as f64).min(nines_max);
        let mut points = Vec::new();
        let mut position = 0.0;
        while position < last {
            let quantile = 1.0 - 10f64.powf(-position);
            points.push((x(quantile), y(histogram.value_at_quantile(quantile) as f64)));
            position += 0.02;
        }
        points.push((x(1.0 - 10f64.powf(-last)), y(histogram.max() as f64)));
        polyline(svg, &points, colour);
        let row = panel.top + 22.0 + 20.0 * index as f64;
        line(svg, panel.left + 14.0, row - 4.0, panel.left + 44.0, row - 4.0, colour);
        let at = |quantile| duration(histogram.value_at_quantile(quantile) as f64 / 1e3);
        let legend = format!(
            "{} ({}): p50 {}, p99 {}, p99.9 {}, max {}",
            kind.name(),
            thousands(histogram.len()),
            at(0.5),
            at(0.99),
            at(0.999),
            duration(histogram.max() as f64 / 1e3)
        );
        text(
            svg,
            panel.left + 52.0,
            row,
            "start",
            &legend,
            &format!(r#" fill="{colour}" font-weight="600""#),
        );
    }
}

fn draw_throughput(svg: &mut String, recorder: &Recorder) {
    let panel = THROUGHPUT_PANEL;
    frame(svg, panel, "seconds since the measurement began", "operations/s");
    let bin_seconds = recorder.window.bin_ns as f64 / 1e9;
    let bins = recorder.bins.len();
    if bins == 0 {
        return;
    }
    // The last bin may be cut short by the end: it is drawn only if it is whole.
    let whole = if recorder.window.end_ns == u64::MAX && bins > 1 {
        bins - 1
    } else {
        bins
    };
    let rates: Vec<(f64, f64)> = recorder.bins[..whole]
        .iter()
        .map(|bin| (bin.completed as f64 / bin_seconds, bin.failed as f64 / bin_seconds))
        .collect();
    let highest = rates
        .iter()
        .map(|(completed, failed)| completed.max(*failed))
        .fold(1.0, f64::max);
    let top = step_above(highest);
    let seconds = whole as f64 * bin_seconds;
    let x = |time: f64| panel.left + time / seconds * panel.width;
    let y = |rate: f64| panel.top + panel.height - rate / top * panel.height;
    for quarter in 0..=4 {
        let rate = top * f64::from(quarter) / 4.0;
        line(svg, panel.left, y(rate), panel.left + panel.width, y(rate), "#e4e4e4");
        text(svg, panel.left - 8.0, y(rate) + 4.0, "end", &axis_count(rate), "");
    }
    let step = step_above(seconds / 10.0);
    let mut tick = 0.0;
    while tick <= seconds * 1.001 {
        line(svg, x(tick), panel.top, x(tick), panel.top + panel.height, "#e4e4e4");
        text(
            svg,
            x(tick),
            panel.top + panel.height + 20.0,
            "middle",
            &format!("{}", (tick * 1e3).round() / 1e3),
            "",
        );
        tick += step;
    }
    let series = |pick: fn(&(f64, f64)) -> f64| {
        let mut points = Vec::with_capacity(rates.len() * 2);
        for (index, rate) in rates.iter().enumerate() {
            points.push((x(index as f64 * bin_seconds), y(pick(rate))));
            points.push((x((index + 1) as f64 * bin_seconds), y(pick(rate))));
        }
        points
    };
    polyline(svg, &series(|rate| rate.0), "#444444");
    if recorder.failed > 0 {
        polyline(svg, &series(|rate| rate.1), FAILED_COLOUR);
        let label = format!("failed: {}", thousands(recorder.failed));
        text(
            svg,
            panel.left + panel.width - 10.0,
            panel.top + 20.0,
            "end",
            &label,
            &format!(r#" fill="{FAILED_COLOUR}""#),
        );
    }
}

/// The smallest of 1, 2 or 5 times a power of ten that is not below a value.
fn step_above(value: f64) -> f64 {
    let decade = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * decade)
        .find(|step| *step >= value * 0.9999)
        .unwrap_or(10.0 * decade)
}

/// The largest of 1, 2 or 5 times a power of ten that is not above a value.
fn step_below(value: f64) -> f64 {
    let decade = 10f64.powf(value.log10().floor());
    [5.0, 2.0, 1.0]
        .into_iter()
        .map(|factor| factor * decade)
        .find(|step| *step <= value * 1.0001)
        .unwrap_or(decade)
}

/// A round duration without needless digits.
fn axis_duration(nanoseconds: f64) -> String {
    let (value, unit) = if nanoseconds < 1e3 {
        (nanoseconds, "ns")
    } else if nanoseconds < 1e6 {
        (nanoseconds / 1e3, "µs")
    } else if nanoseconds < 1e9 {
        (nanoseconds / 1e6, "ms")
    } else {
        (nanoseconds / 1e9, "s")
    };
    format!("{} {unit}", (value * 100.0).round() / 100.0)
}

/// A count with k or M where that is shorter.
fn axis_count(count: f64) -> String {
    let (value, unit) = if count >= 1e6 {
        (count / 1e6, "M")
    } else if count >= 1e4 {
        (count / 1e3, "k")
    } else {
        (count, "")
    };
    format!("{}{unit}", (value * 100.0).round() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::super::mix::Kind;
    use super::super::random::Random;
    use super::super::recorder::{Recorder, Window};
    use super::{draw, step_above, step_below};

    /// Checks that elements nest and close, attributes are quoted, and entities are known; returns the elements' names.
    fn elements(svg: &str) -> Vec<String> {
        let mut open: Vec<String> = Vec::new();
        let mut seen = Vec::new();
        let mut rest = svg;
        while let Some(start) = rest.find('<') {
            let between = &rest[..start];
            assert!(!between.contains('>'), "a stray > in {between:?}");
            for (position, _) in between.match_indices('&') {
                let entity = &between[position..];
                assert!(
                    ["&amp;", "&lt;", "&gt;", "&quot;"]
                        .iter()
                        .any(|known| entity.starts_with(known)),
                    "{entity:?}"
                );
            }
            let end = start + rest[start..].find('>').expect("every tag ends");
            let tag = &rest[start + 1..end];
            rest = &rest[end + 1..];
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop().as_deref(), Some(name));
                continue;
            }
            assert!(tag.matches('"').count().is_multiple_of(2), "quotes in {tag:?}");
            assert!(!tag.contains("NaN") && !tag.contains("inf"), "{tag:?}");
            let name = tag.split([' ', '/']).next().expect("a name").to_owned();
            seen.push(name.clone());
            if !tag.ends_with('/') {
                open.push(name);
            }
        }
        assert!(open.is_empty(), "still open: {open:?}");
        assert!(rest.trim().is_empty());
        seen
    }

    fn recorder(operations: u64) -> Recorder {
        let mut recorder = Recorder::new(Window {
            start_ns: 0,
            end_ns: 10_000_000_000,
            bin_ns: 250_000_000,
        });
        let mut random = Random::new(1);
        for _ in 0..operations {
            let due_ns = random.below(9_000_000_000);
            let latency_ns = (50_000.0 / (random.fraction() + 1e-4)) as u64;
            recorder.complete(
                if random.below(2) == 0 { Kind::Get } else { Kind::Set },
                due_ns,
                due_ns + latency_ns,
            );
        }
        recorder
    }

    #[test]
    fn the_picture_is_well_formed_and_has_axes_and_curves() {
        let mut recorder = recorder(100_000);
        recorder.fail("timeout", b"", 0, 5_000_000_000);
        let svg = draw("a <title> & \"more\"", "sub\u{1}title", &recorder);
        let elements = elements(&svg);
        assert_eq!(
            elements.iter().filter(|name| *name == "polyline").count(),
            4,
            "get, set, completed, failed"
        );
        for label in [
            "percentile",
            "99.99",
            "latency",
            "operations/s",
            "get (",
            "set (",
            "p99.9",
            "failed: 1",
        ] {
            assert!(svg.contains(label), "{label} is missing");
        }
    }

    #[test]
    fn little_or_nothing_measured_still_gives_a_picture() {
        for operations in [0, 1, 2] {
            elements(&draw("", "", &recorder(operations)));
        }
    }

    #[test]
    fn axis_steps_are_round() {
        assert_eq!([7.0, 10.0, 11.0, 0.3].map(step_above), [10.0, 10.0, 20.0, 0.5]);
        assert_eq!([7.0, 10.0, 19.0].map(step_below), [5.0, 10.0, 10.0]);
    }
}
