//! What all plots share: their paper, their words, and the file that they go to.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use warifu_vault::{Class, Failure};

/// Of all words.
pub(crate) const FONT: &str = "sans-serif";
/// Of words and axes.
pub(crate) const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
/// Of lines that only guide the eye.
pub(crate) const FAINT: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);

/// Labels of lines stand at least so far apart, in pixels.
const LABEL_GAP: i32 = 17;

/// What is drawn on.
pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Whether the drawing library did it.
pub(crate) type Drawn = Result<(), Box<dyn Error>>;

/// A plot as SVG: `size` pixels of white, drawn on by `draw`.
///
/// # Errors
/// Where the drawing library refuses.
pub(crate) fn svg(
    size: (u32, u32),
    draw: impl FnOnce(&Area<'_>) -> Drawn,
) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        area.fill(&WHITE)?;
        draw(&area)?;
        area.present()?;
    }
    Ok(text)
}

/// Refuses a `path` that no plot can be written to, before work is done for one. A file that is
/// there stays as it is, and none is left where there was none. Of links, pipes and devices only
/// the writing tells.
///
/// # Errors
/// `plot-unwritable`.
pub(crate) fn expect_writable(path: &Path) -> Result<(), Failure> {
    let outcome = match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() || found.is_dir() => {
            File::options().append(true).open(path).map(drop)
        }
        Ok(_) => Ok(()),
        Err(_) => File::create_new(path).and_then(|_| fs::remove_file(path)),
    };
    outcome.map_err(|error| unwritable_file(path, error))
}

/// Writes a plot to `path`.
///
/// # Errors
/// `plot-unwritable` where it could not be drawn, or can't be written.
pub(crate) fn save(svg: Result<String, Box<dyn Error>>, path: &Path) -> Result<(), Failure> {
    let svg = svg.map_err(|error| unwritable(path, error.to_string().into()))?;
    fs::write(path, svg).map_err(|error| unwritable_file(path, error))
}

fn unwritable_file(path: &Path, error: io::Error) -> Failure {
    unwritable(path, error.into()).next("name a file in a folder that can be written")
}

fn unwritable(path: &Path, cause: Box<dyn Error + Send + Sync>) -> Failure {
    let what = format!("the plot can't be written to {}", path.display());
    Failure::new(Class::Other, "plot-unwritable", what).because(cause)
}

/// Draws `words` with their left end, middle or right end at `at`, as `lean` says.
///
/// # Errors
/// Where the drawing library refuses.
pub(crate) fn write(
    area: &Area<'_>,
    words: &str,
    at: (i32, i32),
    size: i32,
    colour: RGBColor,
    lean: HPos,
) -> Drawn {
    let style = (FONT, size).into_font().color(&colour).pos(Pos::new(lean, VPos::Center));
    Ok(area.draw(&Text::new(words.to_owned(), at, style))?)
}

/// Moves the heights of labels, ascending, so far apart that none covers another, and none below
/// `bottom`.
pub(crate) fn apart(heights: &[i32], bottom: i32) -> Vec<i32> {
    let mut places: Vec<i32> = Vec::with_capacity(heights.len());
    for height in heights {
        let next = places.last().map_or(i32::MIN, |last| last + LABEL_GAP);
        places.push(next.max(*height));
    }
    let mut limit = bottom;
    for place in places.iter_mut().rev() {
        *place = limit.min(*place);
        limit = *place - LABEL_GAP;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_never_cover_each_other() {
        assert_eq!(apart(&[10, 11, 100], 400), [10, 27, 100]);
        assert_eq!(apart(&[390, 395, 399], 400), [366, 383, 400]);
        assert_eq!(apart(&[40, 41, 500, 520, 529], 530), [40, 57, 496, 513, 530]);
        assert_eq!(apart(&[], 400), [0; 0]);
    }

    #[test]
    fn what_can_not_be_drawn_or_written_is_told_and_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plot.svg");
        assert_eq!(save(Err("no font".into()), &path).unwrap_err().code(), "plot-unwritable");
        assert!(!path.exists());
        let nowhere = folder.path().join("none").join("plot.svg");
        assert_eq!(save(Ok(String::new()), &nowhere).unwrap_err().code(), "plot-unwritable");
        let refused = |path: &Path| expect_writable(path).map_err(|failure| failure.code());
        for place in [folder.path(), &nowhere] {
            assert_eq!(refused(place), Err("plot-unwritable"));
        }
        assert!(refused(&path).is_ok() && !path.exists());
        save(svg((10, 10), |_| Ok(())), &path).unwrap();
        assert!(refused(&path).is_ok() && refused(Path::new("/dev/null")).is_ok());
        assert!(fs::read_to_string(&path).unwrap().starts_with("<svg"));
    }
}
