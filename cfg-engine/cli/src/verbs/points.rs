//! `points`.

use cfg_engine::Error;
use cfg_engine::document::Object;
use cfg_engine::engine::{Point, PointAxis, Points, Project};

use super::log::moment;
use crate::context::Context;
use crate::render::entries::content;
use crate::render::style::{CYAN, DIM, PLAIN, YELLOW, clean, first_line};
use crate::render::table::Table;
use crate::render::time::stamp;
use crate::usage::usage;

/// `cfg points`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which record; none means all of them
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// Around this moment; without it and without an id, around now
    #[arg(long, value_name = "TIME")]
    around: Option<String>,
    /// How far away: 90m, 12h, 3d, 2w
    #[arg(long, value_name = "SPAN", default_value = "3d")]
    window: String,
    /// Only this collection
    #[arg(long, value_name = "NAME", conflicts_with = "id")]
    collection: Option<String>,
}

/// Reads a span of time, in milliseconds.
fn span(text: &str) -> Result<i64, Error> {
    let wrong = || usage(format!("{text:?} is no span of time"), "write a number and m, h, d or w: --window 3d");
    let unit = match text.chars().last() {
        Some('m') => 60_000,
        Some('h') => 3_600_000,
        Some('d') => 86_400_000,
        Some('w') => 7 * 86_400_000,
        _ => return Err(wrong()),
    };
    let number: i64 = text[..text.len() - 1].parse().ok().filter(|n| *n > 0).ok_or_else(wrong)?;
    number.checked_mul(unit).ok_or_else(wrong)
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<u8, Error> {
    let window = span(&args.window)?;
    let project = context.reader().await?;
    let record = match &args.id {
        Some(id) => Some(project.record(id).await?),
        None => None,
    };
    let around = match (&args.around, &record) {
        (Some(text), _) => Some(moment(text)?),
        (None, Some(_)) => None,
        (None, None) => Some(project.adapter().clock().await?.store),
    };
    let collection = context.collection(&project, args.collection.as_deref())?;
    let points = project.points(&Points { record, collection, around, window }).await?;
    if context.out.is_json() {
        context.out.json(points.iter().map(Point::to_object).collect::<Vec<Object>>());
    } else if points.is_empty() {
        context.out.note("nothing changed then");
    } else {
        context.out.text(&people(context, &project, &points));
    }
    Ok(0)
}

fn people(context: &Context, project: &Project, points: &[Point]) -> String {
    let mut table = Table::default();
    for point in points {
        let h = &point.entry.header;
        let axis = match point.axis {
            PointAxis::Both => "",
            PointAxis::Valid => "live",
            PointAxis::Recorded => "recorded",
        };
        let marks: Vec<String> = point.tags.iter().chain(&point.entry.git_shas).map(|mark| clean(mark)).collect();
        table.row([
            (stamp(point.at), PLAIN),
            (axis.to_owned(), DIM),
            (format!("{}@{}", context.label(project, &h.record), h.seq), YELLOW),
            (content(&point.entry), PLAIN),
            (marks.join(" "), CYAN),
            (first_line(&point.entry.message, 60), PLAIN),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn spans() {
        assert_eq!(span("3d").ok(), Some(259_200_000));
        assert_eq!(span("90m").ok(), Some(5_400_000));
        for text in ["", "d", "3", "-1d", "0h", "1y", "3 d"] {
            assert!(span(text).is_err(), "{text}");
        }
    }
}
