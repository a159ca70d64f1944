//! Where a page is written to. Markup is always a literal of this program; everything else goes through
//! [`Out::text`], which escapes it for text and for attributes alike.

use std::fmt::{self, Display, Write};
use vmcore::escape;

/// A page that grows.
#[derive(Default)]
pub(super) struct Out(String);

impl Out {
    /// Markup of our own.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Text of the index, or a number: inside an element or a quoted attribute.
    pub(super) fn text(&mut self, text: impl Display) -> &mut Self {
        // Writing into a String cannot fail.
        let _ = write!(Escaped(&mut self.0), "{text}");
        self
    }

    /// `<tag>text</tag>`; `tag` may have attributes.
    pub(super) fn element(&mut self, tag: &'static str, text: impl Display) -> &mut Self {
        let name = tag.split(' ').next().unwrap_or(tag);
        self.raw("<").raw(tag).raw(">").text(text);
        self.raw("</").raw(name).raw(">")
    }

    /// ` name="value"`.
    pub(super) fn attr(&mut self, name: &'static str, value: impl Display) -> &mut Self {
        self.raw(" ").raw(name).raw("=\"").text(value).raw("\"")
    }

    /// A link.
    pub(super) fn link(&mut self, to: impl Display, text: impl Display) -> &mut Self {
        self.raw("<a")
            .attr("href", to)
            .raw(">")
            .text(text)
            .raw("</a>")
    }

    /// The page.
    pub(super) fn finish(self) -> String {
        self.0
    }
}

struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in escape::line(text).chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\u{feff}' => self.0.push_str("\\ufeff"),
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_index_says_is_text_only() {
        let mut out = Out::default();
        out.element("td class=\"n\"", "</td><script>'\u{1b}[31m");
        out.link("\"><b>\u{202e}", "x");
        assert_eq!(
            out.finish(),
            "<td class=\"n\">&lt;/td&gt;&lt;script&gt;&#39;\\x1b[31m</td>\
             <a href=\"&quot;&gt;&lt;b&gt;\\u202e\">x</a>"
        );
    }
}
