//! Manifests: tables of what is to be stored, one file in each line.
//!
//! Columns are parted by tabs; the first line names them. `individual` (unless one is given for
//! all) and `path` are required; `label`, `scheme`, `compress` (auto, none or zstd) and `pad` (yes
//! or no) may follow, all in any order, each once. A path is relative to the manifest's folder. A
//! field that holds a tab, a line end or a double quote stands in double quotes, quotes within it
//! doubled, as in CSV. Empty fields take what holds for all. Blank lines are passed over.

use super::{Input, Refused};
use crate::failure::{Class, Failure};
use crate::{BackupRequest, Compression, Source};
use csv::{ByteRecord, ReaderBuilder};
use std::io::Read;
use std::path::Path;
use warifu_core::{IndividualId, Threshold};

/// The longest manifest, in bytes.
const MANIFEST_BYTES_MAX: u64 = 64 << 20;

/// The longest field, in bytes: as long as a path may be.
const FIELD_BYTES_MAX: usize = 4096;

/// What a column holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Individual,
    Path,
    Label,
    Scheme,
    Compress,
    Pad,
}

const COLUMNS: [(&str, Column); 6] = [
    ("individual", Column::Individual),
    ("path", Column::Path),
    ("label", Column::Label),
    ("scheme", Column::Scheme),
    ("compress", Column::Compress),
    ("pad", Column::Pad),
];

/// What was read: a line that makes no sense does not keep the others from being stored.
#[derive(Default)]
pub(super) struct Lines {
    pub(super) inputs: Vec<Input>,
    pub(super) refused: Vec<Refused>,
}

/// Reads a manifest. What a line leaves open is as in `template`, whose individual is `None` where
/// every line must name its own.
///
/// # Errors
/// Where there is none, it is too long, or its first line is no header.
pub(super) fn read(
    path: &Path,
    individual: Option<&IndividualId>,
    template: &dyn Fn(Source, IndividualId) -> BackupRequest,
) -> Result<Lines, Failure> {
    let file = std::fs::File::open(path).map_err(|error| {
        let class = match error.kind() {
            std::io::ErrorKind::NotFound => Class::NotFound,
            _ => Class::Other,
        };
        let what = format!("can't read the manifest {}", path.display());
        Failure::new(class, "manifest-unreadable", what).because(error)
    })?;
    let is_too_long = file.metadata().is_ok_and(|found| found.len() > MANIFEST_BYTES_MAX);
    if is_too_long {
        let what = format!("the manifest is longer than {MANIFEST_BYTES_MAX} bytes");
        return Err(Failure::new(Class::Limit, "manifest-too-long", what).next("split it"));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    Manifest { name: path.display().to_string(), folder, individual, template }
        .read(file.take(MANIFEST_BYTES_MAX))
}

struct Manifest<'a> {
    name: String,
    folder: &'a Path,
    individual: Option<&'a IndividualId>,
    template: &'a dyn Fn(Source, IndividualId) -> BackupRequest,
}

impl Manifest<'_> {
    fn read(&self, bytes: impl Read) -> Result<Lines, Failure> {
        let mut builder = ReaderBuilder::new();
        builder.delimiter(b'\t').has_headers(false).flexible(true);
        let mut reader = builder.from_reader(bytes);
        let (mut lines, mut record) = (Lines::default(), ByteRecord::new());
        let mut columns = None;
        loop {
            let more = reader.read_byte_record(&mut record).map_err(|error| {
                let what = format!("can't read the manifest {}", self.name);
                Failure::new(Class::Other, "manifest-unreadable", what).because(error)
            })?;
            if !more {
                break;
            }
            let line = record.position().map_or(0, csv::Position::line);
            let Some(columns) = &columns else {
                columns = Some(self.header(&record)?);
                continue;
            };
            match self.input(columns, &record) {
                Ok(input) => lines.inputs.push(input.at(format!("{} line {line}", self.name))),
                Err((wrong, mend)) => lines.refused.push(self.refused(line, wrong, mend)),
            }
        }
        match columns {
            Some(_) => Ok(lines),
            None => Err(self.bad_header("it is empty")),
        }
    }

    fn header(&self, record: &ByteRecord) -> Result<Vec<Column>, Failure> {
        let mut columns = Vec::new();
        for (number, name) in record.iter().enumerate() {
            // A table that was saved as UTF-8 by a spreadsheet may begin with a mark.
            let name = match number {
                0 => name.strip_prefix(b"\xef\xbb\xbf").unwrap_or(name),
                _ => name,
            };
            let known = COLUMNS.iter().find(|(known, _)| known.as_bytes() == name);
            let Some((known, column)) = known else {
                let shown = String::from_utf8_lossy(&name[..name.len().min(40)]).into_owned();
                return Err(self.bad_header(&format!("no column is called {shown:?}")));
            };
            if columns.contains(column) {
                return Err(self.bad_header(&format!("{known} is named twice")));
            }
            columns.push(*column);
        }
        if !columns.contains(&Column::Path) {
            return Err(self.bad_header("it has no column `path`"));
        }
        if self.individual.is_none() && !columns.contains(&Column::Individual) {
            return Err(self.bad_header("it has no column `individual`, and none is given for all"));
        }
        Ok(columns)
    }

    fn bad_header(&self, wrong: &str) -> Failure {
        let known: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
        let what =
            format!("the first line of the manifest {} names no columns: {wrong}", self.name);
        Failure::new(Class::Usage, "manifest-header", what).next(format!(
            "begin it with a line of column names parted by tabs, of: {}",
            known.join(", ")
        ))
    }

    /// The input of a line, or what is wrong with it and how it is mended.
    fn input(
        &self,
        columns: &[Column],
        record: &ByteRecord,
    ) -> Result<Input, (String, &'static str)> {
        if record.len() != columns.len() {
            let wrong = format!("{} fields where {} are named", record.len(), columns.len());
            return Err((wrong, "part fields by one tab each; leave none out, even if empty"));
        }
        let mut fields = [None; COLUMNS.len()];
        for (&column, field) in columns.iter().zip(record) {
            fields[column as usize] = text(field)?;
        }
        let [individual, path, label, scheme, compress, pad] = fields;
        let path = path.ok_or(("there is no path".to_owned(), "name a file"))?;
        let individual = match (individual, self.individual) {
            (Some(text), _) => text.parse().map_err(|error| {
                (format!("{text:?} is no ID of an individual: {error}"), "mend the ID")
            })?,
            (None, Some(individual)) => individual.clone(),
            (None, None) => {
                return Err(("there is no individual".to_owned(), "say whose it is"));
            }
        };
        let source = Source::File(self.folder.join(path));
        let mut request = (self.template)(source, individual);
        if let Some(text) = scheme {
            request.threshold = text.parse::<Threshold>().map_err(|error| {
                (format!("{text:?} is no scheme: {error}"), "write K/N, such as 3/5")
            })?;
        }
        if let Some(text) = compress {
            request.compression = text.parse::<Compression>().map_err(|error| {
                (format!("{text:?} is no compression: {error}"), "write auto, none or zstd")
            })?;
        }
        request.pad = match pad {
            None => request.pad,
            Some("yes") => true,
            Some("no") => false,
            Some(text) => return Err((format!("{text:?} in `pad`"), "write yes or no")),
        };
        if let Some(label) = label {
            request.label = Some(label.to_owned());
        }
        Ok(Input::of(request))
    }

    fn refused(&self, line: u64, wrong: String, mend: &'static str) -> Refused {
        let what = format!("{} line {line}", self.name);
        let failure = Failure::new(Class::Usage, "manifest-line", wrong).next(mend);
        Refused { what, failure }
    }
}

/// A field as text; `None` where it is empty.
fn text(field: &[u8]) -> Result<Option<&str>, (String, &'static str)> {
    if field.len() > FIELD_BYTES_MAX {
        let wrong = format!("a field of {} bytes", field.len());
        return Err((wrong, "close the quotes; a quote within a field is doubled"));
    }
    let text = std::str::from_utf8(field).map_err(|_| {
        let mend = "write UTF-8; give a path that is none on the command line";
        ("a field is no UTF-8".to_owned(), mend)
    })?;
    match text {
        "" => Ok(None),
        text if text.contains('\0') => {
            Err(("a field holds a zero byte".to_owned(), "write plain text, UTF-8"))
        }
        text => Ok(Some(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn template(source: Source, individual: IndividualId) -> BackupRequest {
        BackupRequest {
            label: Some("for all".to_owned()),
            compression: Compression::Auto,
            ..BackupRequest::new(source, individual, "3/5".parse().unwrap())
        }
    }

    fn lines(text: &[u8], individual: Option<&str>) -> Result<Lines, Failure> {
        let individual = individual.map(|id| id.parse().unwrap());
        let folder = Path::new("/data");
        let (name, individual) = ("m.tsv".to_owned(), individual.as_ref());
        Manifest { name, folder, individual, template: &template }.read(text)
    }

    fn shown(lines: &Lines) -> Vec<(String, PathBuf, Option<String>, String)> {
        let of = |input: &Input| {
            let Source::File(path) = input.request.source.clone() else { panic!("no file") };
            let request = &input.request;
            let (individual, scheme) = (&request.individual, request.threshold);
            (individual.to_string(), path, request.label.clone(), scheme.to_string())
        };
        lines.inputs.iter().map(of).collect()
    }

    #[test]
    fn columns_stand_in_any_order_and_empty_fields_take_what_holds_for_all() {
        let text = b"\xef\xbb\xbfscheme\tpath\tlabel\tindividual\n\
                     2/3\ta.bam\tfirst\tP1\n\
                     \n\
                     \t/abs/b.bam\t\tP2\r\n";
        let found = shown(&lines(text, None).unwrap());
        let row = |id: &str, path: &str, label: &str, scheme: &str| {
            (id.to_owned(), PathBuf::from(path), Some(label.to_owned()), scheme.to_owned())
        };
        let expected =
            [row("P1", "/data/a.bam", "first", "2/3"), row("P2", "/abs/b.bam", "for all", "3/5")];
        assert_eq!(found, expected);
        let one = shown(&lines(b"path\na\n", Some("P9")).unwrap());
        assert_eq!(one, [row("P9", "/data/a", "for all", "3/5")]);
    }

    #[test]
    fn quotes_carry_tabs_and_line_ends() {
        let text = b"path\tindividual\n\"a\tb\nc\"\"d\"\tP1\nplain\tP2\n";
        let found = lines(text, None).unwrap();
        let paths: Vec<PathBuf> = shown(&found).into_iter().map(|row| row.1).collect();
        assert_eq!(paths, [Path::new("/data/a\tb\nc\"d"), Path::new("/data/plain")]);
        assert_eq!(found.inputs[1].shown(), "m.tsv line 4: /data/plain");
    }

    #[test]
    fn bad_lines_are_named_and_the_others_go_on() {
        let text = b"path\tindividual\tscheme\n\
                     good\tP1\t\n\
                     \tP1\t\n\
                     short\tP1\n\
                     bad scheme\tP1\t9/2\n\
                     bad id\tnot an id!\t\n\
                     \xff\tP1\t\n\
                     zero\0\tP1\t\n\
                     none\t\t\n\
                     last\tP2\t2/3\n";
        let found = lines(text, None).unwrap();
        let names: Vec<_> = shown(&found).into_iter().map(|row| row.1).collect();
        assert_eq!(names, [Path::new("/data/good"), Path::new("/data/last")]);
        let refused: Vec<_> = found.refused.iter().map(|refused| refused.what.as_str()).collect();
        let expected: Vec<String> = (3..=9).map(|line| format!("m.tsv line {line}")).collect();
        assert_eq!(refused, expected);
        for refused in &found.refused {
            assert_eq!(refused.failure.code(), "manifest-line");
            assert!(!refused.failure.advice().is_empty(), "{}", refused.what);
        }
    }

    #[test]
    fn a_quote_that_is_not_closed_is_said() {
        let mut text = b"path\tindividual\ngood\tP1\n\"open\tP1\n".to_vec();
        text.extend((0..2000).flat_map(|_| *b"file\tP1\n"));
        let found = lines(&text, None).unwrap();
        assert_eq!((found.inputs.len(), found.refused.len()), (1, 1));
        assert_eq!(found.refused[0].what, "m.tsv line 3");
    }

    #[test]
    fn a_header_that_is_none_is_refused() {
        for text in [
            &b""[..],
            b"\n\n",
            b"individual\nP1\n",
            b"path\na\n",
            b"path\tpath\tindividual\n",
            b"path\tindividual\tdigest\n",
            b"Path\tindividual\n",
            b"\xff\xfe\n",
        ] {
            let refused = lines(text, None).map(drop).unwrap_err();
            assert_eq!((refused.class(), refused.code()), (Class::Usage, "manifest-header"));
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic() {
        let mut state = 1_u64;
        let mut roll = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % below
        };
        const PIECES: [&[u8]; 12] = [
            b"path",
            b"individual",
            b"scheme",
            b"label",
            b"\t",
            b"\n",
            b"\"",
            b"\r\n",
            b"P1",
            b"2/3",
            b"\xff\0",
            b"../../x",
        ];
        let mut read_lines = 0;
        for round in 0..20_000 {
            let mut text = if round % 2 == 0 { b"path\tindividual\n".to_vec() } else { Vec::new() };
            (0..roll(40)).for_each(|_| text.extend_from_slice(PIECES[roll(PIECES.len())]));
            if let Ok(found) = lines(&text, None) {
                read_lines += found.inputs.len();
                assert!(found.refused.iter().all(|line| line.failure.code() == "manifest-line"));
            }
        }
        assert!(read_lines > 100, "some of it made sense: {read_lines}");
    }
}
