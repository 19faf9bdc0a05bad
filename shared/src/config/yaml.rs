//! YAML text to a tree in which every node knows where it stands. The one door to `saphyr-parser`.
//!
//! Only what a configuration needs: one document of mappings, lists and scalars. Anchors, aliases and
//! tags are refused, so a text can never unfold into more than it holds.

use super::place::Span;
use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};

/// Mappings and lists inside each other.
const NESTING_MAX: usize = 16;

/// A value in the text.
#[derive(Clone, Debug)]
pub struct Node {
    pub span: Span,
    pub data: Data,
}

#[derive(Clone, Debug)]
pub enum Data {
    Scalar {
        text: String,
        quoted: bool,
    },
    List(Vec<Node>),
    /// In the order of the text, duplicates included.
    Map(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub key: String,
    pub key_span: Span,
    pub value: Node,
}

/// Something wrong at a place in a text that is not yet named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub span: Span,
    /// The way down to it from the value that was read, e.g. `[2].to[0]`.
    pub path: String,
    pub message: String,
}

impl Wrong {
    pub fn at(span: Span, message: impl Into<String>) -> Wrong {
        Wrong { span, path: String::new(), message: message.into() }
    }

    /// The same, seen from one step further up.
    #[must_use]
    pub fn below(mut self, step: &str) -> Wrong {
        self.path.insert_str(0, step);
        self
    }
}

impl Node {
    /// A scalar as if it stood unquoted in a text.
    pub fn plain(span: Span, text: &str) -> Node {
        Node { span, data: Data::Scalar { text: text.to_owned(), quoted: false } }
    }

    /// Nothing, `~` or `null`.
    pub fn is_null(&self) -> bool {
        let null = |text: &str| matches!(text, "" | "~" | "null");
        matches!(&self.data, Data::Scalar { text, quoted: false } if null(text))
    }
}

/// Parses the one document of `text`. An empty text is an empty mapping.
pub fn parse(text: &str) -> Result<Node, Wrong> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    refuse_control_characters(text)?;
    let mut reader = Reader { parser: Parser::new_from_str(text), text };
    reader.document()
}

/// YAML forbids them, and the parser would take a NUL for the end of the text.
fn refuse_control_characters(text: &str) -> Result<(), Wrong> {
    for (index, line) in text.split('\n').enumerate() {
        let found = line.chars().position(|c| c.is_control() && !matches!(c, '\r' | '\t'));
        if let Some(column) = found {
            let span = Span { line: index + 1, column: column + 1, width: 1 };
            return Err(Wrong::at(span, "a control character: YAML text may not hold one"));
        }
    }
    Ok(())
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    text: &'a str,
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<Node, Wrong> {
        let mut root = Node { span: Span { line: 1, column: 1, width: 1 }, data: Data::Map(Vec::new()) };
        let mut documents = 0;
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(root),
                (Event::DocumentStart(_), span) if documents > 0 => {
                    return Err(Wrong::at(span, "a second document begins here: keep one in this file"));
                }
                (Event::DocumentStart(_), _) => {
                    documents += 1;
                    let (event, span) = self.next()?;
                    let node = self.node(event, span, 0)?;
                    if !node.is_null() {
                        root = node;
                    }
                }
                _ => {}
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Wrong> {
        if depth > NESTING_MAX {
            return Err(Wrong::at(span, format!("nested deeper than {NESTING_MAX} levels")));
        }
        refuse_references(&event, span)?;
        match event {
            Event::Scalar(text, style, ..) => {
                let quoted = style != ScalarStyle::Plain;
                Ok(Node { span, data: Data::Scalar { text: text.into_owned(), quoted } })
            }
            Event::SequenceStart(..) => self.list(span, depth),
            Event::MappingStart(..) => Ok(Node { span, data: Data::Map(self.map(depth)?) }),
            _ => Err(Wrong::at(span, "not valid YAML: a value is missing here")),
        }
    }

    fn list(&mut self, start: Span, depth: usize) -> Result<Node, Wrong> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, end) => {
                    return Ok(Node { span: start.until(end), data: Data::List(items) });
                }
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<Entry>, Wrong> {
        let mut entries = Vec::new();
        loop {
            let (event, key_span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(entries);
            }
            let Data::Scalar { text: key, .. } = self.node(event, key_span, depth + 1)?.data else {
                return Err(Wrong::at(key_span, "a key must be a word, not a list or a mapping"));
            };
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            entries.push(Entry { key, key_span, value });
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Wrong> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, span_of(span))),
            Some(Err(error)) => Err(self.syntax_error(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn syntax_error(&self, error: &saphyr_parser::ScanError) -> Wrong {
        let span = Span { line: error.marker().line(), column: error.marker().col() + 1, width: 1 };
        let line = self.text.lines().nth(span.line.saturating_sub(1)).unwrap_or_default();
        let indent = &line[..line.len() - line.trim_start().len()];
        let remedy = if indent.contains('\t') { "; indent with spaces, not with tabs" } else { "" };
        Wrong::at(span, format!("not valid YAML: {}{remedy}", error.info()))
    }
}

fn refuse_references(event: &Event<'_>, span: Span) -> Result<(), Wrong> {
    let (anchor, tagged) = match event {
        Event::Alias(id) => (*id, false),
        Event::Scalar(_, _, anchor, tag) => (*anchor, tag.is_some()),
        Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) => (*anchor, tag.is_some()),
        _ => (0, false),
    };
    match (anchor > 0, tagged) {
        (true, _) => Err(Wrong::at(span, "anchors and aliases are not served: write the value out")),
        (_, true) => Err(Wrong::at(span, "tags are not served: remove it, or put the text in quotes")),
        _ => Ok(()),
    }
}

fn span_of(span: saphyr_parser::Span) -> Span {
    let (start, end) = (span.start, span.end);
    let width = if start.line() == end.line() { end.col().saturating_sub(start.col()).max(1) } else { 0 };
    Span { line: start.line(), column: start.col() + 1, width }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        let Wrong { span, message, .. } = parse(text).unwrap_err();
        format!("{}:{}: {message}", span.line, span.column)
    }

    #[test]
    fn every_node_knows_where_it_stands() {
        let root = parse("a:\r\n  b: [x, 'ü', zz]\r\n").unwrap();
        let Data::Map(sections) = root.data else { panic!("a mapping") };
        let Data::Map(entries) = &sections[0].value.data else { panic!("a mapping") };
        assert_eq!(entries[0].key_span, Span { line: 2, column: 3, width: 1 });
        let Data::List(items) = &entries[0].value.data else { panic!("a list") };
        assert_eq!(items[2].span, Span { line: 2, column: 15, width: 2 });
    }

    #[test]
    fn empty_texts_are_empty_mappings() {
        for text in ["", "\n", "# only a comment\n", "---\n", "\u{feff}", "---\n...\n"] {
            assert!(
                matches!(parse(text).unwrap().data, Data::Map(entries) if entries.is_empty()),
                "{text:?}"
            );
        }
    }

    #[test]
    fn what_a_configuration_does_not_need_is_refused_at_its_place() {
        assert_eq!(wrong("a: 1\n---\nb: 2\n"), "2:1: a second document begins here: keep one in this file");
        assert_eq!(wrong("a: &x 1\n"), "1:4: anchors and aliases are not served: write the value out");
        assert_eq!(wrong("a: !!str 1\n"), "1:4: tags are not served: remove it, or put the text in quotes");
        assert_eq!(wrong("[a]: 1\n"), "1:1: a key must be a word, not a list or a mapping");
        assert_eq!(wrong("a: 1\0\nb: 2\n"), "1:5: a control character: YAML text may not hold one");
        assert!(wrong(&"[".repeat(100)).ends_with("nested deeper than 16 levels"));
        assert!(
            wrong("a:\n\tb: 1\n").ends_with("indent with spaces, not with tabs"),
            "{}",
            wrong("a:\n\tb: 1\n")
        );
    }
}
