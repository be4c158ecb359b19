//! A picture of a run: what leechers hold and how many have finished, and how well links are used, over time.

use crate::report::{Report, Sample};
use std::fmt::Write as _;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 420.0;
const MARGIN: f64 = 60.0;

impl Report {
    /// The swarm over time, as an SVG file.
    pub fn plot(&self) -> String {
        let end = self.samples.last().map_or(1.0, |sample| sample.at as f64 / 1e6).max(1e-3);
        let x = |sample: &Sample| MARGIN + (WIDTH - 2.0 * MARGIN) * (sample.at as f64 / 1e6) / end;
        let y = |part: f64| HEIGHT - MARGIN - (HEIGHT - 2.0 * MARGIN) * part.clamp(0.0, 1.0);
        let rates: Vec<f64> = self
            .samples
            .windows(2)
            .map(|pair| (pair[1].uploaded.saturating_sub(pair[0].uploaded)) as f64 / ((pair[1].at - pair[0].at).max(1) as f64 / 1e6))
            .collect();
        let fastest = rates.iter().copied().fold(1.0, f64::max);
        let leechers = self.leechers.max(1) as f64;
        let line = |points: &mut dyn Iterator<Item = (f64, f64)>| {
            points.fold(String::new(), |mut line, (x, y)| {
                let _ = write!(line, "{x:.1},{y:.1} ");
                line
            })
        };
        let samples = &self.samples;
        let curves = [
            ("#2563eb", "pieces held, mean", line(&mut samples.iter().map(|sample| (x(sample), y(sample.held))))),
            ("#16a34a", "leechers finished", line(&mut samples.iter().map(|sample| (x(sample), y(f64::from(sample.finished) / leechers))))),
            ("#9ca3af", "leechers here", line(&mut samples.iter().map(|sample| (x(sample), y(f64::from(sample.here) / leechers))))),
            (
                "#ea580c",
                "upload of leechers",
                line(&mut samples.iter().skip(1).zip(&rates).map(|(sample, rate)| (x(sample), y(rate / fastest)))),
            ),
        ];
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
             <text x=\"{MARGIN}\" y=\"24\" font-size=\"16\">{}, seed {}: {} of {} finished</text>\n",
            escape(&self.name),
            self.seed,
            self.finished,
            self.leechers,
        );
        for tenth in 0..=5 {
            let part = f64::from(tenth) / 5.0;
            let (across, up) = (MARGIN + (WIDTH - 2.0 * MARGIN) * part, y(part));
            let right = WIDTH - MARGIN;
            let _ = writeln!(svg, "<line x1=\"{MARGIN}\" x2=\"{right}\" y1=\"{up:.1}\" y2=\"{up:.1}\" stroke=\"#e5e7eb\"/>");
            let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{:.0} %</text>", MARGIN - 6.0, up + 4.0, part * 100.0);
            let bottom = HEIGHT - MARGIN + 18.0;
            let _ = writeln!(svg, "<text x=\"{across:.1}\" y=\"{bottom:.1}\" text-anchor=\"middle\">{:.1} s</text>", end * part);
        }
        for (number, (colour, name, points)) in curves.iter().enumerate() {
            let _ = writeln!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>", points.trim_end());
            let (left, top) = (MARGIN + 180.0 * number as f64, HEIGHT - 14.0);
            let name = if number == 3 { format!("{name} (top: {:.0} KiB/s)", fastest / 1024.0) } else { (*name).to_owned() };
            let _ = writeln!(svg, "<text x=\"{left:.1}\" y=\"{top:.1}\" fill=\"{colour}\">{name}</text>");
        }
        svg.push_str("</svg>\n");
        svg
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
