//! Families of metrics as plain values, and their Prometheus text.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// What a label says, by its name. Values are names of nodes, buckets and operations, which need no escapes.
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

    /// The text that Prometheus scrapes.
    pub fn text(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("a String grows");
        text
    }
}

impl Collector for Exposition {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for family in &self.families {
            let kind = match family.series {
                Series::Counter(_) => MetricType::Counter,
                Series::Gauge(_) => MetricType::Gauge,
                Series::Histogram(_) => MetricType::Histogram,
            };
            let mut metric = encoder.encode_descriptor(family.name, family.help, None, kind)?;
            match &family.series {
                Series::Counter(series) => {
                    for (labels, value) in series.iter().filter(|series| !series.0.is_empty()) {
                        ConstCounter::new(*value).encode(metric.encode_family(labels)?)?;
                    }
                    if let [(labels, value)] = &series[..]
                        && labels.is_empty()
                    {
                        ConstCounter::new(*value).encode(metric)?;
                    }
                }
                Series::Gauge(series) => {
                    for (labels, value) in series.iter().filter(|series| !series.0.is_empty()) {
                        ConstGauge::new(*value).encode(metric.encode_family(labels)?)?;
                    }
                    if let [(labels, value)] = &series[..]
                        && labels.is_empty()
                    {
                        ConstGauge::new(*value).encode(metric)?;
                    }
                }
                Series::Histogram(series) => {
                    for (labels, histogram) in series {
                        let count = histogram.buckets.iter().map(|bucket| bucket.1).sum();
                        let (sum, buckets) = (histogram.sum, &histogram.buckets[..]);
                        if labels.is_empty() {
                            metric.encode_histogram::<NoLabelSet>(sum, count, buckets, None)?;
                        } else {
                            metric
                                .encode_family(labels)?
                                .encode_histogram::<NoLabelSet>(sum, count, buckets, None)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_each_series_with_its_labels() {
        let mut exposition = Exposition::default();
        exposition.counters("torc_things", "Things", vec![(vec![("kind", "a".into())], 3)]);
        exposition.gauge("torc_level", "Level", 1.5);
        let histogram = Histogram {
            buckets: vec![(0.1, 2), (f64::INFINITY, 1)],
            sum: 4.0,
        };
        exposition.histograms("torc_took_seconds", "Took", vec![(Vec::new(), histogram)]);
        let text = exposition.text();
        for line in [
            "torc_things_total{kind=\"a\"} 3",
            "torc_level 1.5",
            "torc_took_seconds_bucket{le=\"0.1\"} 2",
            "torc_took_seconds_bucket{le=\"+Inf\"} 3",
            "torc_took_seconds_count 3",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
        }
    }
}
