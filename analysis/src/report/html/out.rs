//! Where the page is written to. Markup is always a literal of this program; all else goes through
//! [`Out::text`], which escapes it for text and for attributes alike, so that nothing a dump says becomes
//! markup, closes a quote, or reorders a line.

use std::fmt::{self, Display, Write};
use vmcore::escape;

/// A page that grows.
#[derive(Debug, Default)]
pub struct Out {
    html: String,
}

impl Out {
    /// Markup of our own.
    pub fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.html.push_str(markup);
        self
    }

    /// Text of a dump, or a number: inside an element or a quoted attribute.
    pub fn text(&mut self, text: impl Display) -> &mut Self {
        // Writing into a String cannot fail.
        let _ = write!(Escaped(&mut self.html), "{text}");
        self
    }

    /// `<tag>text</tag>`; `tag` may have attributes.
    pub fn element(&mut self, tag: &'static str, text: impl Display) -> &mut Self {
        let name = tag.split(' ').next().unwrap_or(tag);
        self.raw("<").raw(tag).raw(">").text(text);
        self.raw("</").raw(name).raw(">")
    }

    /// ` name="value"`.
    pub fn attr(&mut self, name: &'static str, value: impl Display) -> &mut Self {
        self.raw(" ").raw(name).raw("=\"").text(value).raw("\"")
    }

    /// A link.
    pub fn link(&mut self, to: impl Display, text: impl Display) -> &mut Self {
        self.raw("<a").attr("href", to).raw(">").text(text);
        self.raw("</a>")
    }

    /// The page.
    #[must_use]
    pub fn finish(self) -> String {
        self.html
    }
}

/// Escapes on the way.
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
                // No control, but browsers take it for the start of the text's encoding.
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
    fn what_a_dump_says_is_text_only() {
        let mut out = Out::default();
        out.element(
            "td class=\"n\"",
            "</td><script>alert('1')</script>\u{1b}[31m\n",
        );
        out.link("\"><b>\u{202e}", "x");
        assert_eq!(
            out.finish(),
            "<td class=\"n\">&lt;/td&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;\\x1b[31m\\n</td>\
             <a href=\"&quot;&gt;&lt;b&gt;\\u202e\">x</a>"
        );
    }
}
