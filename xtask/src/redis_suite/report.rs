//! What the driver says, line by line, turned into one verdict for each test.

use std::collections::BTreeMap;

/// How a test ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// As it should.
    Passed,
    /// Otherwise; the first lines of the suite's message.
    Failed(String),
    /// The server or the test did not answer in time.
    Hung,
    /// The suite itself does not run it here: the reason it gives.
    NotRun(String),
}

/// One test of one unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestResult {
    /// `unit/type/string`.
    pub unit: String,
    /// The name; the second test of a name in a unit ends in ` #2`.
    pub name: String,
    /// How it ended.
    pub verdict: Verdict,
    /// The commands it sent, as `SET NX` or `GET`.
    pub commands: Vec<String>,
}

/// A line of the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// `testing`, `ok`, `err`, `skip`, `ignore`, `setup`, `commands` or `done`.
    pub status: String,
    /// What belongs to it.
    pub text: String,
}

impl Line {
    /// Reads a line; none if it is not the driver's (a test may print on its own).
    pub fn parse(line: &str) -> Option<Line> {
        let mut fields = line.strip_prefix("suite ")?.split(' ');
        let (status, _milliseconds, hex) = (fields.next()?, fields.next()?, fields.next().unwrap_or(""));
        let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
        let bytes: Option<Vec<u8>> = digits.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect();
        Some(Line {
            status: status.to_owned(),
            text: String::from_utf8_lossy(&bytes?).into_owned(),
        })
    }
}

/// The verdicts of one pass over a unit.
#[derive(Debug, Default)]
pub struct UnitReport {
    unit: String,
    names: BTreeMap<String, u32>,
    /// The test that runs now, under its plain name.
    pub running: Option<String>,
    /// In the order of the unit.
    pub results: Vec<TestResult>,
    /// Preparations between tests that failed.
    pub setup_failures: Vec<String>,
    /// Whether the unit was gone through to its end.
    pub done: bool,
}

impl UnitReport {
    /// Nothing is known yet.
    pub fn new(unit: &str) -> UnitReport {
        UnitReport {
            unit: unit.to_owned(),
            ..UnitReport::default()
        }
    }

    /// Takes in the driver's next line.
    pub fn on_line(&mut self, line: Line) {
        match line.status.as_str() {
            "testing" => self.running = Some(line.text),
            "ok" => self.end_running(Verdict::Passed),
            "err" => self.on_error(&line.text),
            "ignore" => {
                let (name, reason) = line.text.rsplit_once(": ").unwrap_or((&line.text, ""));
                // The suite's reasons may themselves hold a colon: `Tag: slow denied`.
                let (name, reason) = match name.strip_suffix(": Tag") {
                    Some(name) => (name, format!("Tag: {reason}")),
                    None => (name, reason.to_owned()),
                };
                self.push(name, Verdict::NotRun(reason));
            }
            // Only what hung in an earlier pass is skipped; its verdict is known.
            "skip" => self.push(&line.text, Verdict::Hung),
            "setup" => self.setup_failures.push(line.text),
            "commands" => {
                if let Some(last) = self.results.last_mut() {
                    last.commands = line
                        .text
                        .split(',')
                        .filter(|c| !c.is_empty())
                        .map(str::to_owned)
                        .collect();
                }
            }
            "done" => self.done = true,
            _ => {}
        }
    }

    /// The running test got no answer in time, or took the driver down with it.
    pub fn on_hang(&mut self) -> Option<String> {
        let name = self.running.clone();
        self.end_running(Verdict::Hung);
        name
    }

    fn on_error(&mut self, details: &str) {
        let lines: Vec<&str> = details.lines().collect();
        let in_test = self
            .running
            .as_ref()
            .is_some_and(|name| details.starts_with(&format!("{name} in ")));
        if !in_test {
            self.setup_failures.push(lines.join(" / "));
            return;
        }
        // The first line is the name; the next ones hold the message and, after an exception, the stack.
        let message = lines.iter().skip(1).find(|line| !line.trim().is_empty()).unwrap_or(&"");
        let exception = lines.iter().skip(2).find(|line| !line.trim().is_empty());
        let text = match exception {
            Some(first) => (*first).to_owned(),
            None => (*message).to_owned(),
        };
        self.end_running(Verdict::Failed(text.chars().take(200).collect()));
    }

    fn end_running(&mut self, verdict: Verdict) {
        if let Some(name) = self.running.take() {
            self.push(&name, verdict);
        }
    }

    fn push(&mut self, name: &str, verdict: Verdict) {
        let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
        let seen = self.names.entry(name.clone()).or_insert(0);
        *seen += 1;
        let name = if *seen == 1 { name } else { format!("{name} #{seen}") };
        self.results.push(TestResult {
            unit: self.unit.clone(),
            name,
            verdict,
            commands: Vec::new(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(status: &str, text: &str) -> Line {
        let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        Line::parse(&format!("suite {status} 3 {hex}")).expect("a line of the driver")
    }

    #[test]
    fn lines_of_the_driver_are_read_and_others_are_left_alone() {
        assert_eq!(
            line("ok", "GET é"),
            Line {
                status: "ok".to_owned(),
                text: "GET é".to_owned()
            }
        );
        assert_eq!(Line::parse("printed by a test"), None);
        assert_eq!(Line::parse("suite ok 3 4g"), None);
    }

    #[test]
    fn each_test_gets_the_verdict_that_the_suite_gave_it() {
        let mut report = UnitReport::new("unit/scan");
        for next in [
            line("testing", "A"),
            line("ok", "A"),
            line("commands", "SET NX,GET"),
            line("testing", "A"),
            line("err", "A in tests/unit/scan.tcl\nExpected '1' to be equal to '2'"),
            line("testing", "B"),
            line(
                "err",
                "B in tests/unit/scan.tcl\nommand\nERR unknown command\n    while executing",
            ),
            line("ignore", "C: Not supported on external server"),
            line("ignore", "D: Tag: x denied"),
            line("setup", "r debug x: ERR"),
            line("testing", "E"),
        ] {
            report.on_line(next);
        }
        assert_eq!(report.on_hang().as_deref(), Some("E"));
        let found: Vec<(&str, &Verdict)> = report.results.iter().map(|r| (r.name.as_str(), &r.verdict)).collect();
        let expected = [
            ("A", Verdict::Passed),
            ("A #2", Verdict::Failed("Expected '1' to be equal to '2'".to_owned())),
            ("B", Verdict::Failed("ERR unknown command".to_owned())),
            ("C", Verdict::NotRun("Not supported on external server".to_owned())),
            ("D", Verdict::NotRun("Tag: x denied".to_owned())),
            ("E", Verdict::Hung),
        ];
        assert_eq!(
            found,
            expected
                .iter()
                .map(|(name, verdict)| (*name, verdict))
                .collect::<Vec<_>>()
        );
        assert_eq!(report.results[0].commands, ["SET NX", "GET"]);
        assert_eq!(report.setup_failures, ["r debug x: ERR"]);
        assert!(!report.done);
    }
}
