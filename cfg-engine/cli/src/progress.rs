//! A bar for long work, on standard error, where somebody watches.

use cfg_engine::engine::Progress;
use indicatif::{ProgressBar, ProgressStyle};

use crate::output::Output;

/// Work below this many steps is over before a bar could be read.
const WORTH_SHOWING: u64 = 1000;

/// The progress of one verb; silent where nobody watches.
#[derive(Debug)]
pub(crate) struct Bar {
    bar: Option<ProgressBar>,
}

impl Bar {
    /// Starts a bar named after the work.
    pub(crate) fn new(out: &Output, work: &'static str) -> Self {
        let bar = out.shows_progress().then(|| {
            let bar = ProgressBar::hidden().with_message(work);
            bar.set_style(style(OPEN));
            bar
        });
        Bar { bar }
    }
}

/// How far it is, where that is known and where it is not.
const BOUNDED: &str = "{msg} {bar:30} {human_pos}/{human_len} {elapsed}";
const OPEN: &str = "{msg} {spinner} {human_pos} {elapsed}";

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Progress for Bar {
    fn advance(&self, done: u64, total: Option<u64>) {
        let Some(bar) = &self.bar else { return };
        if done < WORTH_SHOWING && total.is_none_or(|total| total < WORTH_SHOWING) {
            return;
        }
        if bar.is_hidden() {
            bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
        }
        if let Some(total) = total
            && bar.length() != Some(total)
        {
            bar.set_style(style(BOUNDED));
            bar.set_length(total);
        }
        bar.set_position(done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
