//! Prints the literals that the matcher searches for, a regular expression a line: what
//! `benches/compare` hands to ripgrep, so that both do the same work.
#![allow(clippy::print_stdout)]

use skewer::matcher::Matcher;
use skewer::rules::Rules;

fn main() {
    let matcher = Matcher::new(&Rules::built_in(), None);
    for literal in matcher.anchors().iter() {
        let escaped = literal.iter().map(|b| match b {
            b if b.is_ascii_alphanumeric() => char::from(*b).to_string(),
            b => format!("\\x{b:02x}"),
        });
        println!("(?-u:{})", escaped.collect::<String>());
    }
}
