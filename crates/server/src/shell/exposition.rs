//! Families of metrics as plain values, and their text in Prometheus's own format, version 0.0.4.
//!
//! That format and not OpenMetrics: every scraper reads it, whatever it asks for, and a counter's type stands under the
//! name that its samples have.

use std::fmt::Write;

/// The content type of [`Exposition::text`].
pub const TEXT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a label says, by its name.
pub type Labels = Vec<(&'static str, String)>;

/// One series of a histogram.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// Upper bounds in base units, each with how many observations are in its bucket alone; the last bound is infinite.
    pub buckets: Vec<(f64, u64)>,
    /// The sum of all observations.
    pub sum: f64,
}

/// The series of a family.
#[derive(Clone, Debug)]
enum Series {
    Counter(Vec<(Labels, u64)>),
    /// A counter of something that is no whole number.
    CounterOf(Vec<(Labels, f64)>),
    Gauge(Vec<(Labels, f64)>),
    Histogram(Vec<(Labels, Histogram)>),
}

#[derive(Clone, Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    series: Series,
}

/// The values of one scrape.
#[derive(Clone, Debug, Default)]
pub struct Exposition {
    families: Vec<Family>,
}

impl Exposition {
    /// A counter without labels; its name gets the ending `_total`.
    pub fn counter(&mut self, name: &'static str, help: &'static str, value: u64) {
        self.counters(name, help, vec![(Vec::new(), value)]);
    }

    /// A counter for each of some labels.
    pub fn counters(&mut self, name: &'static str, help: &'static str, series: Vec<(Labels, u64)>) {
        let series = Series::Counter(series);
        self.families.push(Family { name, help, series });
    }

    /// A counter without labels whose unit has parts, such as seconds.
    pub fn counter_of(&mut self, name: &'static str, help: &'static str, value: f64) {
        self.counters_of(name, help, vec![(Vec::new(), value)]);
    }

    /// The same for each of some labels.
    pub fn counters_of(&mut self, name: &'static str, help: &'static str, series: Vec<(Labels, f64)>) {
        let series = Series::CounterOf(series);
        self.families.push(Family { name, help, series });
    }

    /// A gauge without labels.
    pub fn gauge(&mut self, name: &'static str, help: &'static str, value: f64) {
        self.gauges(name, help, vec![(Vec::new(), value)]);
    }

    /// A gauge for each of some labels.
    pub fn gauges(&mut self, name: &'static str, help: &'static str, series: Vec<(Labels, f64)>) {
        let series = Series::Gauge(series);
        self.families.push(Family { name, help, series });
    }

    /// A histogram for each of some labels.
    pub fn histograms(&mut self, name: &'static str, help: &'static str, series: Vec<(Labels, Histogram)>) {
        let series = Series::Histogram(series);
        self.families.push(Family { name, help, series });
    }

    /// The text that Prometheus scrapes. A family without series is named all the same, so that it can be looked up.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for family in &self.families {
            family.write(&mut text);
        }
        text
    }
}

impl Family {
    fn write(&self, text: &mut String) {
        let (ending, kind) = match self.series {
            Series::Counter(_) | Series::CounterOf(_) => ("_total", "counter"),
            Series::Gauge(_) => ("", "gauge"),
            Series::Histogram(_) => ("", "histogram"),
        };
        let name = format!("{}{ending}", self.name);
        line(text, format_args!("# HELP {name} {}", self.help));
        line(text, format_args!("# TYPE {name} {kind}"));
        match &self.series {
            Series::Counter(series) => {
                for (labels, value) in series {
                    line(text, format_args!("{name}{} {value}", braces(labels, None)));
                }
            }
            Series::CounterOf(series) | Series::Gauge(series) => {
                for (labels, value) in series {
                    line(text, format_args!("{name}{} {value}", braces(labels, None)));
                }
            }
            Series::Histogram(series) => {
                for (labels, histogram) in series {
                    histogram.write(&name, labels, text);
                }
            }
        }
    }
}

impl Histogram {
    fn write(&self, name: &str, labels: &Labels, text: &mut String) {
        let mut count = 0;
        for (bound, in_bucket) in &self.buckets {
            count += in_bucket;
            let bound = if bound.is_finite() {
                bound.to_string()
            } else {
                "+Inf".to_owned()
            };
            line(
                text,
                format_args!("{name}_bucket{} {count}", braces(labels, Some(&bound))),
            );
        }
        line(text, format_args!("{name}_sum{} {}", braces(labels, None), self.sum));
        line(text, format_args!("{name}_count{} {count}", braces(labels, None)));
    }
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    text.write_fmt(content).expect("a String grows");
    text.push('\n');
}

/// `{name="value",…}`, with the upper bound of a bucket; nothing at all for no labels.
fn braces(labels: &Labels, bound: Option<&str>) -> String {
    let bound = bound.map(|bound| ("le", bound));
    let labels = labels.iter().map(|(name, value)| (*name, value.as_str())).chain(bound);
    let parts: Vec<String> = labels
        .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
        .collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!("{{{}}}", parts.join(","))
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_each_series_with_its_labels_under_its_type() {
        let mut exposition = Exposition::default();
        exposition.counters("torc_things", "Things", vec![(vec![("kind", "a".into())], 3)]);
        exposition.counter_of("torc_cpu_seconds", "Time", 0.25);
        exposition.gauge("torc_level", "Level", 1.5);
        exposition.gauges("torc_parts", "Parts", Vec::new());
        let histogram = Histogram {
            buckets: vec![(0.1, 2), (f64::INFINITY, 1)],
            sum: 4.0,
        };
        exposition.histograms(
            "torc_took_seconds",
            "Took",
            vec![(vec![("operation", "get".into())], histogram)],
        );
        let expected = "\
# HELP torc_things_total Things
# TYPE torc_things_total counter
torc_things_total{kind=\"a\"} 3
# HELP torc_cpu_seconds_total Time
# TYPE torc_cpu_seconds_total counter
torc_cpu_seconds_total 0.25
# HELP torc_level Level
# TYPE torc_level gauge
torc_level 1.5
# HELP torc_parts Parts
# TYPE torc_parts gauge
# HELP torc_took_seconds Took
# TYPE torc_took_seconds histogram
torc_took_seconds_bucket{operation=\"get\",le=\"0.1\"} 2
torc_took_seconds_bucket{operation=\"get\",le=\"+Inf\"} 3
torc_took_seconds_sum{operation=\"get\"} 4
torc_took_seconds_count{operation=\"get\"} 3
";
        assert_eq!(exposition.text(), expected);
    }

    #[test]
    fn a_label_of_any_characters_stays_one_label() {
        let mut exposition = Exposition::default();
        exposition.gauges("torc_level", "Level", vec![(vec![("of", "a\"b\\c\nd".into())], 1.0)]);
        let text = exposition.text();
        assert!(text.ends_with("torc_level{of=\"a\\\"b\\\\c\\nd\"} 1\n"), "{text}");
    }
}
