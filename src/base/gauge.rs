//! Gauges in the text format of Prometheus.

use std::fmt::Write;

/// A gauge and its samples in the text format.
pub(crate) struct Gauge<'a> {
    text: &'a mut String,
    name: &'a str,
}

impl<'a> Gauge<'a> {
    /// Begins a gauge with its help text.
    pub(crate) fn begin(text: &'a mut String, name: &'a str, help: &str) -> Self {
        // Writing to a String cannot fail.
        _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        Self { text, name }
    }

    /// Adds a sample with its labels.
    pub(crate) fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
            .collect();
        _ = writeln!(self.text, "{}{{{}}} {value}", self.name, labels.join(","));
    }
}

/// Escapes the value of a label.
fn escaped(value: &str) -> String {
    value
        .replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('\n', r"\n")
}
