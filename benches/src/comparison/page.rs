//! Tables inside a page written by hand: what stands between two markers is replaced, the rest is left as it is.

/// `page` with `part` between `<!-- measured: NAME -->` and `<!-- end: NAME -->`, its headings two levels deeper.
/// Errors: the page lacks a marker.
pub fn put(page: &str, name: &str, part: &str) -> Result<String, String> {
    let (begin, end) = (format!("<!-- measured: {name} -->\n"), format!("<!-- end: {name} -->"));
    let missing = |marker: &str| format!("the page has no {}", marker.trim_end());
    let (before, rest) = page.split_once(&begin).ok_or_else(|| missing(&begin))?;
    let (_, after) = rest.split_once(&end).ok_or_else(|| missing(&end))?;
    let mut deeper = String::new();
    for line in part.lines() {
        deeper += if line.starts_with('#') { "##" } else { "" };
        deeper += line;
        deeper += "\n";
    }
    Ok(format!("{before}{begin}{deeper}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::put;

    const PAGE: &str = "# Hand\n<!-- measured: ws -->\nold\n<!-- end: ws -->\nmore\n";

    #[test]
    fn the_part_is_replaced_and_nothing_else() {
        let page = put(PAGE, "ws", "# Ws\ntable").unwrap();
        assert_eq!(page, "# Hand\n<!-- measured: ws -->\n### Ws\ntable\n<!-- end: ws -->\nmore\n");
        assert_eq!(put(&page, "ws", "# Ws\ntable").unwrap(), page);
    }

    #[test]
    fn a_page_without_the_markers_is_an_error() {
        assert_eq!(put(PAGE, "udp", "x").unwrap_err(), "the page has no <!-- measured: udp -->");
    }
}
