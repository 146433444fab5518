//! How fast it went: figures, and columns over the time, one picture for what came and one for
//! what went, so that no colour has to tell them apart.

use super::{escape, section, time};
use crate::{
    cli::{human, report::text::flow_text},
    report::model::Report,
};

const WIDTH: u64 = 960;
const HEIGHT: u64 = 120;

/// The section.
pub fn section_of(report: &Report) -> String {
    let speeds = &report.speeds;
    if speeds.arrived.deliveries == 0 {
        return section("speed", "How fast it went", "<p>Nothing arrived.</p>\n");
    }
    let plot = &speeds.plot;
    let end = plot.from_ms + plot.step_ms * plot.arrived.len() as u64;
    let step = human::duration(plot.step_ms);
    let mut inner = String::new();
    for (name, flow, columns) in [
        ("Arrived", &speeds.arrived, &plot.arrived),
        ("Delivered", &speeds.delivered, &plot.delivered),
    ] {
        let most = columns.iter().copied().max().unwrap_or(0);
        inner += &format!(
            "<figure>\n<figcaption><strong>{name}</strong> {}; the highest column is {} in {step}\
             </figcaption>\n{}</figure>\n",
            escape(&flow_text(flow)),
            human::count(most),
            svg(name, columns, most)
        );
    }
    inner += &format!(
        "<p class=\"axis\"><span>{}</span> <span>{}</span></p>\n",
        time(plot.from_ms),
        time(end)
    );
    if speeds.delivered.deliveries > 0 {
        inner += &format!(
            "<p>Half of what was delivered had been here for up to {}, all but a twentieth for up \
             to {}. {} deferred at least once before.</p>\n",
            human::duration(speeds.waited_median_ms),
            human::duration(speeds.waited_p95_ms),
            human::counted(speeds.deferred_then_delivered, "was", "were")
        );
    }
    section("speed", "How fast it went", &inner)
}

fn svg(name: &str, columns: &[u64], most: u64) -> String {
    // A few columns are no wider than a good many.
    let count = (columns.len() as u64).max(24);
    let pitch = WIDTH / count;
    let width = (pitch * 4 / 5).max(1);
    let mut bars = String::new();
    for (place, value) in (0_u64..).zip(columns) {
        if *value > 0 {
            // What is there is seen, however little beside the highest.
            let height = (value * HEIGHT / most.max(1)).max(2);
            bars += &format!(
                "<rect x=\"{}\" y=\"{}\" width=\"{width}\" height=\"{height}\"/>",
                place * pitch,
                HEIGHT - height
            );
        }
    }
    format!(
        "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{name} over time\" \
         preserveAspectRatio=\"none\">{bars}<line x1=\"0\" y1=\"{HEIGHT}\" x2=\"{}\" \
         y2=\"{HEIGHT}\"/></svg>\n",
        pitch * count,
        HEIGHT + 1,
        pitch * count
    )
}
