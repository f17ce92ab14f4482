//! Rules → anchors, and who looks at each of them.

use std::sync::Arc;

use super::decode::DECODERS;
use super::{Anchors, Examiner, Known, Look, Matcher, Use, marked, near, pattern, token};
use crate::rules::{Alphabet, MARKER, Rules, Shape};

/// Where a rule's examiner is, while they are being made.
enum By {
    Family(usize),
    Single(usize),
}

impl Matcher {
    /// Compiles the rules. `salt` goes into the fingerprints of low-entropy secrets of users'
    /// rules; without one, the rule's id alone does.
    pub fn new(rules: &Rules, salt: Option<&[u8]>) -> Self {
        // Rules that share a marker share one examiner, so that a key has one classification.
        let mut families: Vec<marked::Family> = Vec::new();
        let mut singles: Vec<Box<dyn Examiner>> = Vec::new();
        // For each rule, its examiner and the literal that its anchors are parts of.
        let mut examined_by = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            let (by, whole) = match &rule.shape {
                Shape::Marked {
                    marker,
                    prefixes,
                    alnum_halves,
                    halves,
                } => {
                    let of_marker = |f: &marked::Family| f.marker() == marker.as_bytes();
                    let family = families.iter().position(of_marker).unwrap_or_else(|| {
                        families.push(marked::Family::new(marker));
                        families.len() - 1
                    });
                    families[family].add(index, prefixes, alnum_halves, halves);
                    (By::Family(family), marker.as_str())
                }
                Shape::Token {
                    prefix,
                    alphabet,
                    lengths,
                    near,
                } => {
                    singles.push(Box::new(token::Token::new(
                        index, prefix, *alphabet, lengths, near,
                    )));
                    (By::Single(singles.len() - 1), prefix.as_str())
                }
                Shape::Near { names, values } => {
                    singles.push(Box::new(near::Near::new(index, names, values)));
                    (By::Single(singles.len() - 1), "")
                }
                Shape::Pattern { regex, near } => {
                    singles.push(Box::new(pattern::Pattern::new(index, regex, near)));
                    (By::Single(singles.len() - 1), "")
                }
            };
            examined_by.push((by, whole));
        }
        let mut literals: Vec<Vec<u8>> = Vec::new();
        let mut uses: Vec<Vec<Use>> = Vec::new();
        let mut add = |literal: &[u8], used: Use| {
            let slot = literals
                .iter()
                .position(|l| l == literal)
                .unwrap_or_else(|| {
                    literals.push(literal.to_vec());
                    uses.push(Vec::new());
                    literals.len() - 1
                });
            if !uses[slot].contains(&used) {
                uses[slot].push(used);
            }
        };
        for (rule, (by, whole)) in rules.iter().zip(examined_by) {
            let look = Look::Examiner(match by {
                By::Family(index) => index,
                By::Single(index) => families.len() + index,
            });
            for anchor in &rule.anchors {
                let offset = whole.find(anchor.as_str()).unwrap_or(0);
                for literal in sharpened(anchor, &rule.shape) {
                    add(&literal, Use { look, offset });
                }
            }
        }
        // Only our own marker is looked for in disguise: its traces were chosen so that they are
        // rare in any text.
        if families.iter().any(|f| f.marker() == MARKER.as_bytes()) {
            for (index, decoder) in DECODERS.iter().enumerate() {
                for trace in decoder.traces(MARKER.as_bytes()) {
                    add(
                        &trace.literal,
                        Use {
                            look: Look::Decoder(index),
                            offset: trace.offset,
                        },
                    );
                }
            }
        }
        let marked = families.len();
        let families = families
            .into_iter()
            .map(|family| Box::new(family) as Box<dyn Examiner>);
        let known = rules.iter().map(|rule| Known {
            info: Arc::clone(&rule.info),
            built_in: rule.built_in,
        });
        Self {
            anchors: Anchors::new(literals),
            uses,
            examiners: families.chain(singles).collect(),
            marked,
            rules: known.collect(),
            salt: salt.unwrap_or_default().to_vec(),
        }
    }
}

/// The search is as sharp as its shortest literal is long, up to four bytes. An anchor of three
/// that is followed by one of a few digits becomes one literal for each digit.
fn sharpened(anchor: &str, shape: &Shape) -> Vec<Vec<u8>> {
    let digits = match shape {
        Shape::Token {
            prefix,
            alphabet: Alphabet::LowerHex,
            ..
        } if anchor.len() == 3 && prefix.ends_with(anchor) => "0123456789abcdef",
        _ => return vec![anchor.as_bytes().to_vec()],
    };
    digits
        .bytes()
        .map(|digit| [anchor.as_bytes(), &[digit]].concat())
        .collect()
}
