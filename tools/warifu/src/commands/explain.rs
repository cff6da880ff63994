//! `explain`

use super::Context;
use crate::exit::Ending;
use crate::explain::{Book, Code, Entry, Exit, Topic};
use crate::table::{Table, numbers, words};
use serde::Serialize;

/// What `explain CODE` answers.
#[derive(Serialize)]
struct Explained<'a> {
    v: u32,
    r#type: &'static str,
    #[serde(flatten)]
    code: Option<&'a Code>,
    exit: Option<&'a Exit>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    codes: Vec<&'a str>,
}

/// What `explain` alone answers.
#[derive(Serialize)]
struct Listed<'a> {
    v: u32,
    r#type: &'static str,
    exits: &'a [Exit],
    topics: &'a [Topic],
}

/// Explains one code, or lists all. Needs no vault.
pub(super) fn explain(context: &Context, asked: Option<&str>) -> Result<(), Ending> {
    let book = Book::open()?;
    let answer = |code, exit, codes| Explained { v: 1, r#type: "explanation", code, exit, codes };
    match asked.map(|asked| book.find(asked)).transpose()? {
        None => {
            let (exits, topics) = (&book.exits[..], &book.topics[..]);
            let listed = Listed { v: 1, r#type: "explanations", exits, topics };
            context.output.answer(&listed, || all(&book))
        }
        Some(Entry::Code(code)) => {
            context.output.answer(&answer(Some(code), None, Vec::new()), || one(code))
        }
        Some(Entry::Exit(exit, codes)) => {
            let names = codes.iter().map(|code| code.code.as_str()).collect();
            context.output.answer(&answer(None, Some(&exit), names), || exited(&exit, &codes))
        }
    }
}

fn one(code: &Code) -> String {
    let exits: Vec<String> = code.exits.iter().map(ToString::to_string).collect();
    let mut text = format!("{}: {}\n", code.code, code.means);
    text += &bullets("likely causes", &code.causes);
    text += &bullets("what to do", &code.next);
    text + &format!("exit code {}\n", exits.join(" or "))
}

fn bullets(head: &str, texts: &[String]) -> String {
    let lines = texts.iter().map(|text| format!("  - {text}\n"));
    std::iter::once(format!("{head}:\n")).chain(lines).collect()
}

fn exited(exit: &Exit, codes: &[&Code]) -> String {
    let mut text = format!("exit code {} ({}): {}\n", exit.code, exit.class, exit.means);
    if !codes.is_empty() {
        text += &format!("\n{}", table(codes.iter().copied()));
    }
    text
}

fn all(book: &Book) -> String {
    let columns = [numbers("exit"), words("class"), words("means")];
    let exits = Table::new(columns, &book.exits, |exit| {
        [exit.code.to_string(), exit.class.clone(), exit.means.clone()]
    });
    let mut text = format!("{exits}128+N ended by signal N\n");
    for topic in &book.topics {
        text += &format!("\n{}\n{}", topic.doing, table(&topic.codes));
    }
    text
}

fn table<'a>(codes: impl IntoIterator<Item = &'a Code>) -> String {
    let columns = [words("code"), words("exit"), words("means")];
    Table::new(columns, codes, |code| {
        let exits: Vec<String> = code.exits.iter().map(ToString::to_string).collect();
        [code.code.clone(), exits.join(","), code.means.clone()]
    })
    .to_string()
}
