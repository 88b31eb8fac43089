//! Records on standard output, words on standard error.

use std::time::Duration;

use treekill::duration::millis;
use treekill::record::{Field, Output, escape};
use treekill::words::Words;

use crate::answer::{Answer, Health};
use crate::cli::Plan;

/// The two streams of one run.
#[derive(Debug)]
pub(crate) struct Report {
    output: Output,
    /// Words for people.
    pub words: Words,
}

impl Report {
    /// The streams as the plan wants them; with a COMMAND, standard output is COMMAND's alone.
    pub(crate) fn new(plan: &Plan) -> Self {
        let (mut output, words) = plan.common.streams("waithealth");
        if !plan.command.is_empty() {
            output = Output::new(treekill::record::Format::Silent);
        }
        Self { output, words }
    }

    /// Writes the record of a decided target.
    pub(crate) fn record(
        &mut self,
        label: &str,
        elapsed: Duration,
        attempts: u32,
        answer: &Answer,
    ) {
        let healthy = answer.health == Health::Healthy;
        let target = Field::from(label);
        let detail = Field::from(answer.detail.as_str());
        let elapsed = Field::from(millis(elapsed));
        let attempts = Field::number(attempts);
        let word = if healthy { "healthy" } else { "unhealthy" };
        let plain = [
            target.clone(),
            word.into(),
            elapsed.clone(),
            attempts.clone(),
            detail.clone(),
        ];
        let named = [
            ("target", target),
            ("healthy", healthy.into()),
            ("elapsed_ms", elapsed),
            ("attempts", attempts),
            (
                "status",
                answer.status.map(Field::number).unwrap_or(Field::Unknown),
            ),
            ("detail", detail),
        ];
        self.output.record(&plain, &named);
    }

    /// Writes what `--print` asked for, which stands in the record's place.
    pub(crate) fn print(&mut self, text: &str) {
        self.output.line(text);
    }

    /// Says a step about a target.
    pub(crate) fn step(&mut self, label: &str, answer: &Answer) {
        self.words.step(line(label, answer));
    }

    /// Says that a target did not become what was waited for.
    pub(crate) fn gave_up(&mut self, label: &str, answer: &Answer, why: &str) {
        self.words
            .say(format_args!("{}: {why}", line(label, answer)));
    }

    /// Whether all that was to be written to standard output arrived.
    pub(crate) fn check(&mut self) -> std::io::Result<()> {
        self.output.check()
    }
}

/// `TARGET: what it says`, escaped.
fn line(label: &str, answer: &Answer) -> String {
    format!(
        "{}: {}",
        escape(label.as_bytes()),
        escape(answer.detail.as_bytes())
    )
}
