//! Curves, as a table and drawn as SVG.

use anyhow::{Result, anyhow};
use plotters::prelude::*;
use std::path::Path;

/// How something changes with something else.
pub struct Plot {
    /// What is measured. Also the name of the file, in small letters and with hyphens.
    title: &'static str,
    /// What it changes with.
    x: &'static str,
    /// The unit of what is measured.
    y: &'static str,
    series: Vec<(&'static str, Vec<(f64, f64)>)>,
}

const SIZE: (u32, u32) = (720, 420);
const COLORS: [RGBColor; 4] =
    [RGBColor(0, 90, 160), RGBColor(200, 80, 0), RGBColor(0, 130, 90), RGBColor(150, 60, 140)];

impl Plot {
    /// Returns a plot without curves.
    pub fn new(title: &'static str, x: &'static str, y: &'static str) -> Self {
        Self { title, x, y, series: Vec::new() }
    }

    /// Adds a point to the curve of that name.
    pub fn add(&mut self, name: &'static str, x: usize, y: f64) -> Result<()> {
        let point = (f64::from(u32::try_from(x)?), y);
        match self.series.iter_mut().find(|(known, _)| *known == name) {
            Some((_, points)) => points.push(point),
            None => self.series.push((name, vec![point])),
        }
        Ok(())
    }

    /// Prints the points, in Markdown.
    pub fn print(&self) {
        println!("\n{}, {}:\n", self.title, self.y);
        let columns: Vec<f64> =
            self.series.first().into_iter().flat_map(|(_, all)| all).map(|(x, _)| *x).collect();
        let heads: Vec<String> = columns.iter().map(f64::to_string).collect();
        println!("| {} | {} |", self.x, heads.join(" | "));
        println!("|---|{}", "---|".repeat(columns.len()));
        for (name, points) in &self.series {
            let cells: Vec<String> = points.iter().map(|(_, y)| three_digits(*y)).collect();
            println!("| {name} | {} |", cells.join(" | "));
        }
    }

    /// Draws the curves into a file of that folder. Both axes are logarithmic: what is linear is a line that rises by 45
    /// degrees, what is flat stays flat.
    pub fn draw(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join(format!("{}.svg", self.title.to_lowercase().replace(' ', "-")));
        self.draw_into(&path).map_err(|error| anyhow!("{}: {error}", path.display()))
    }

    fn draw_into(&self, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
        let all = || self.series.iter().flat_map(|(_, points)| points);
        let range = |of: fn(&(f64, f64)) -> f64| {
            let least = all().map(of).fold(f64::INFINITY, f64::min);
            least..all().map(of).fold(f64::NEG_INFINITY, f64::max)
        };
        let (x, y) = (range(|point| point.0), range(|point| point.1));
        let root = SVGBackend::new(path, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption(self.title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(42)
            .y_label_area_size(64)
            .build_cartesian_2d((x.start..x.end).log_scale(), (y.start / 2.0..y.end * 2.0).log_scale())?;
        let number = |value: &f64| three_digits(*value);
        chart
            .configure_mesh()
            .x_desc(self.x)
            .y_desc(self.y)
            .x_label_formatter(&number)
            .y_label_formatter(&number)
            .light_line_style(WHITE)
            .draw()?;
        for ((name, points), color) in self.series.iter().zip(COLORS.iter().cycle()) {
            let line = LineSeries::new(points.iter().copied(), color.stroke_width(2)).point_size(3);
            chart
                .draw_series(line)?
                .label(*name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.85))
            .border_style(RGBColor(200, 200, 200))
            .draw()?;
        Ok(root.present()?)
    }
}

fn three_digits(value: f64) -> String {
    let digits = [1.0, 10.0, 100.0].iter().filter(|bound| value < **bound).count();
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}
