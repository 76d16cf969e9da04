//! The hour as a picture: four panels over the same time, troubles as bands behind them.

use std::fmt::Write;

use super::report::Report;
use super::sample::Sample;

const WIDTH: f64 = 1_200.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 1_180.0;
const TOP: f64 = 70.0;
const PANEL_HEIGHT: f64 = 150.0;
const PANEL_GAP: f64 = 40.0;

/// A line of a panel.
struct Line {
    name: &'static str,
    /// From Okabe and Ito, told apart by colour-blind eyes too.
    colour: &'static str,
    of: fn(&Sample) -> f64,
}

const PANELS: [(&str, &[Line]); 4] = [
    (
        "operations and errors, 1/s",
        &[
            Line {
                name: "operations",
                colour: "#0072b2",
                of: |sample| sample.operations as f64,
            },
            Line {
                name: "errors",
                colour: "#d55e00",
                of: |sample| sample.errors as f64,
            },
        ],
    ),
    (
        "writes by stand-ins and reads of siblings, 1/s",
        &[
            Line {
                name: "by stand-ins",
                colour: "#009e73",
                of: |sample| sample.sloppy as f64,
            },
            Line {
                name: "siblings",
                colour: "#cc79a7",
                of: |sample| sample.siblings as f64,
            },
        ],
    ),
    (
        "hints waiting, records repaired per second",
        &[
            Line {
                name: "hints",
                colour: "#e69f00",
                of: |sample| sample.hints as f64,
            },
            Line {
                name: "repairs",
                colour: "#56b4e9",
                of: |sample| sample.repairs as f64,
            },
        ],
    ),
    (
        "memory, MiB",
        &[
            Line {
                name: "all nodes",
                colour: "#0072b2",
                of: |sample| sample.memory_bytes as f64 / 1_048_576.0,
            },
            Line {
                name: "largest node",
                colour: "#d55e00",
                of: |sample| sample.memory_bytes_max as f64 / 1_048_576.0,
            },
        ],
    ),
];

/// The whole picture, as SVG.
pub fn draw(report: &Report) -> String {
    let height = TOP + PANELS.len() as f64 * (PANEL_HEIGHT + PANEL_GAP) + 20.0;
    let end_s = report.samples.last().map_or(1.0, |sample| sample.at_s.max(1.0));
    let x = |at_s: f64| LEFT + (RIGHT - LEFT) * (at_s / end_s).clamp(0.0, 1.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"#222\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"28\" font-size=\"18\" font-weight=\"600\">Soak: {:.0} minutes, {} operations, {} troubles, {} broken promises</text>",
        report.seconds / 60.0,
        report.reads + report.writes,
        report.troubles.len(),
        report.broken_promises
    );
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"48\" fill=\"#555\">Grey: a trouble lasts; light grey: until all nodes are ready again. Point at a band to see which.</text>"
    );
    let bottom = height - 20.0 - PANEL_GAP;
    for mark in &report.troubles {
        for (from, to, colour) in [
            (mark.began_s, mark.ended_s, "#ccc"),
            (mark.ended_s, mark.whole_s, "#eee"),
        ] {
            let _ = writeln!(
                svg,
                "<rect x=\"{:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"><title>{:.0} s: {}</title></rect>",
                x(from),
                (x(to) - x(from)).max(0.5),
                bottom - TOP,
                mark.began_s,
                mark.what.replace('&', "and").replace('<', " ")
            );
        }
    }
    for (number, (title, lines)) in PANELS.iter().enumerate() {
        let top = TOP + number as f64 * (PANEL_HEIGHT + PANEL_GAP);
        panel(&mut svg, top, title, lines, &report.samples, &x);
    }
    svg.push_str("</svg>\n");
    svg
}

fn panel(svg: &mut String, top: f64, title: &str, lines: &[Line], samples: &[Sample], x: &impl Fn(f64) -> f64) {
    let values = || {
        samples
            .iter()
            .flat_map(|sample| lines.iter().map(move |line| (line.of)(sample)))
    };
    let high = values().fold(1.0, f64::max);
    let _ = writeln!(
        svg,
        "<rect x=\"{LEFT}\" y=\"{top}\" width=\"{}\" height=\"{PANEL_HEIGHT}\" fill=\"none\" stroke=\"#888\"/>\n<text x=\"{LEFT}\" y=\"{}\">{title}</text>\n<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{high:.0}</text>\n<text x=\"{}\" y=\"{}\" text-anchor=\"end\">0</text>",
        RIGHT - LEFT,
        top - 6.0,
        LEFT - 6.0,
        top + 10.0,
        LEFT - 6.0,
        top + PANEL_HEIGHT
    );
    for (number, line) in lines.iter().enumerate() {
        let points: Vec<String> = samples
            .iter()
            .map(|sample| {
                let y = top + PANEL_HEIGHT * (1.0 - (line.of)(sample) / high);
                format!("{:.1},{y:.1}", x(sample.at_s))
            })
            .collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\"/>\n<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"{}\">{}</text>",
            points.join(" "),
            line.colour,
            RIGHT - 10.0 - 110.0 * number as f64,
            top - 6.0,
            line.colour,
            line.name
        );
    }
}
