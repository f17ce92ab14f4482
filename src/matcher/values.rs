//! Values that are secrets because of their names: credentials in headers, and variables that are
//! called keys, tokens, secrets or passwords. Only `skewer redact` looks for them, and only if asked:
//! such a value has no form of its own, so it is no finding.
//!
//! A name is found by a few literals, as keys are. Its value is then followed byte by byte, so that
//! it may come in any pieces and be of any length.

use std::sync::Arc;

use super::Anchors;
use super::masking::{Shown, cover};

/// Headers that carry credentials, as RFC 9110 (11.6.2, 11.7.2), RFC 6265 and the services name
/// them. Underscores count as hyphens, so that CGI's `HTTP_COOKIE` is one.
const HEADERS: &[&[u8]] = &[
    b"authorization",
    b"proxy-authorization",
    b"x-authorization",
    b"api-key",
    b"x-api-key",
    b"x-goog-api-key",
    b"x-auth-token",
    b"x-access-token",
    b"x-amz-security-token",
    b"x-vault-token",
    b"private-token",
    b"job-token",
    b"cookie",
    b"set-cookie",
];

/// What stands in their names, in the ways that they are written.
const IN_HEADERS: &[&str] = &[
    "uthoriz", "UTHORIZ", "pi-key", "pi-Key", "Pi-Key", "PI-Key", "PI-KEY", "-token", "-Token",
    "-TOKEN", "ookie", "OOKIE", "PI_KEY", "_TOKEN",
];

/// What a secret variable's name ends with, or has before an underscore.
const VARIABLES: &[&[u8]] = &[
    b"KEY",
    b"TOKEN",
    b"SECRET",
    b"PASSWORD",
    b"PASSWD",
    b"PASSPHRASE",
    b"PASS",
    b"CREDENTIAL",
    b"CREDENTIALS",
    b"PAT",
];

/// Those that need no word before them, or may be glued to one.
const ALONE: &[&[u8]] = &[
    b"APIKEY",
    b"TOKEN",
    b"SECRET",
    b"PASSWORD",
    b"PASSWD",
    b"PASSPHRASE",
];

const IN_VARIABLES: &[&str] = &[
    "_KEY", "APIKEY", "TOKEN", "SECRET", "PASSW", "PASSPH", "_PASS", "CREDEN", "_PAT",
];

/// Words that an authorization begins with, and behind which it goes on.
const SCHEMES: &[&[u8]] = &[
    b"bearer",
    b"basic",
    b"token",
    b"digest",
    b"negotiate",
    b"apikey",
];

/// How far a name and what stands between it and its value are looked at.
const LONGEST_NAME: usize = 96;
const LONGEST_GAP: usize = 24;

/// Which values are looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Those of headers with credentials.
    pub headers: bool,
    /// Those of variables that look secret.
    pub variables: bool,
}

/// The state of masking one text.
#[derive(Clone)]
pub struct Values {
    wanted: Named,
    anchors: Arc<Anchors>,
    /// The value that goes on where the text ended so far.
    open: Option<Open>,
}

/// Where a value ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// With its line; with the string around both name and value, if there is one.
    Line,
    /// At a quote, which is escaped so many times.
    Quote(u8, usize),
    /// At `]`; quotes are left as they are.
    Bracket,
    /// At white space.
    Word,
}

#[derive(Clone)]
struct Open {
    until: Until,
    /// The quote that stands before the name.
    around: Option<(u8, usize)>,
    /// Whether a first word that is a scheme is followed by another.
    schemes: bool,
    word: Vec<u8>,
    /// In a quoted parameter, `username="…"`.
    parameter: bool,
    last: u8,
}

/// A piece of a value.
enum Step {
    /// So many bytes belong to it.
    Covers(usize),
    /// So many are to be left as they are.
    Leaves(usize),
    Ends,
    /// What follows decides.
    More,
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b'`')
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// How many backslashes these bytes begin with.
fn slashes(bytes: &[u8]) -> usize {
    let bytes = bytes.iter().take(LONGEST_GAP);
    bytes.take_while(|b| **b == b'\\').count()
}

impl Open {
    fn step(&mut self, rest: &[u8], ends: bool) -> Step {
        let slashes = slashes(rest);
        if slashes == LONGEST_GAP {
            return Step::Covers(1);
        }
        let Some(byte) = rest.get(slashes).copied() else {
            return if ends {
                Step::Covers(slashes)
            } else {
                Step::More
            };
        };
        if matches!(byte, b'\n' | b'\r' | 0) {
            return Step::Ends;
        }
        if is_quote(byte) {
            return self.at_quote(byte, slashes);
        }
        let blank = matches!(byte, b' ' | b'\t');
        let ends_here = match self.until {
            // An escaped line break, where a whole request is a string.
            Until::Line | Until::Word if slashes % 2 == 1 && matches!(byte, b'r' | b'n') => true,
            Until::Bracket => byte == b']',
            Until::Word if blank => {
                let scheme = std::mem::take(&mut self.schemes)
                    && SCHEMES.iter().any(|s| self.word.eq_ignore_ascii_case(s));
                !scheme
            }
            _ => false,
        };
        if ends_here {
            return Step::Ends;
        }
        self.last = byte;
        if self.schemes && self.word.len() < LONGEST_GAP {
            self.word.push(byte);
        }
        if blank {
            return Step::Leaves(1);
        }
        Step::Covers(slashes + 1)
    }

    fn at_quote(&mut self, quote: u8, slashes: usize) -> Step {
        let closes = |(q, k): (u8, usize)| q == quote && slashes <= k;
        let opens_parameter = self.last == b'=' || self.parameter;
        let ends = match self.until {
            Until::Quote(q, k) => closes((q, k)),
            Until::Bracket => return Step::Leaves(slashes + 1),
            Until::Word => true,
            Until::Line => match self.around {
                Some(around) => closes(around),
                None => quote == b'"' && slashes == 0 && !opens_parameter,
            },
        };
        if ends {
            return Step::Ends;
        }
        if quote == b'"' {
            self.parameter = !self.parameter && self.last == b'=';
        }
        self.last = quote;
        Step::Covers(slashes + 1)
    }
}

/// What stands behind a name.
enum Follows {
    Value(usize, Open),
    Nothing,
    More,
}

impl Values {
    /// Nothing was looked at yet. `None` if nothing is looked for.
    pub fn new(wanted: Named) -> Option<Self> {
        let lists = [
            (wanted.headers, IN_HEADERS),
            (wanted.variables, IN_VARIABLES),
        ];
        let mut literals: Vec<Vec<u8>> = Vec::new();
        for literal in lists.iter().filter(|(on, _)| *on).flat_map(|(_, l)| *l) {
            let literal = literal.as_bytes().to_vec();
            if !literals.contains(&literal) {
                literals.push(literal);
            }
        }
        (!literals.is_empty()).then(|| Self {
            wanted,
            anchors: Arc::new(Anchors::new(literals)),
            open: None,
        })
    }

    /// Masks every value whose name is found at `from` or later, as far as it is at hand, and
    /// returns the place to go on from when there is more of the text.
    pub fn mask(&mut self, of: &mut Shown<'_>, from: usize) -> usize {
        let (bytes, ends) = (of.text, of.ends);
        let mut from = from;
        loop {
            if let Some(mut open) = self.open.take() {
                loop {
                    if from == bytes.len() {
                        self.open = Some(open);
                        return from;
                    }
                    match open.step(&bytes[from..], ends) {
                        Step::Covers(count) => {
                            cover(&mut of.shown[from..from + count]);
                            from += count;
                        }
                        Step::Leaves(count) => from += count,
                        Step::Ends => break,
                        Step::More => {
                            self.open = Some(open);
                            return from;
                        }
                    }
                }
            }
            let Some((at, id)) = self.anchors.find(bytes, from) else {
                let tail = self.anchors.longest() - 1;
                return match ends {
                    true => bytes.len(),
                    false => from.max(bytes.len().saturating_sub(tail)),
                };
            };
            let literal = self.anchors.literal(id).len();
            match self.follows(bytes, at, literal, ends) {
                Follows::Value(start, open) => {
                    self.open = Some(open);
                    from = start;
                }
                Follows::Nothing => from = at + 1,
                Follows::More => return at,
            }
        }
    }

    fn follows(&self, bytes: &[u8], at: usize, literal: usize, ends: bool) -> Follows {
        let of_name = |b: &&u8| b.is_ascii_alphanumeric() || matches!(**b, b'-' | b'_');
        let left = bytes[..at].iter().rev().take(LONGEST_NAME);
        let mut start = at - left.take_while(of_name).count();
        // The letter of an escaped line break is no part of the name.
        if start < at
            && bytes[..start].ends_with(b"\\")
            && matches!(bytes[start], b'n' | b'r' | b't')
        {
            start += 1;
        }
        let right = bytes[at + literal..].iter().take(LONGEST_NAME);
        let end = at + literal + right.take_while(of_name).count();
        let undecided = if ends {
            Follows::Nothing
        } else {
            Follows::More
        };
        self.value(bytes, start, end).unwrap_or(undecided)
    }

    /// `None` if the text ends before a value begins.
    fn value(&self, bytes: &[u8], start: usize, end: usize) -> Option<Follows> {
        let get = |at: usize| bytes.get(at).copied();
        // A name that ends with the text may go on.
        get(end)?;
        let name = &bytes[start..end];
        let header = self.wanted.headers && is_header(name);
        let variable = self.wanted.variables && is_variable(name);
        if !(header || variable) {
            return Some(Follows::Nothing);
        }
        let around = bytes[..start].last().copied().filter(|b| is_quote(*b));
        let around = around.map(|quote| {
            let before = bytes[..start - 1].iter().rev();
            (
                quote,
                before
                    .take(LONGEST_GAP)
                    .take_while(|b| **b == b'\\')
                    .count(),
            )
        });
        let slashes = |at: usize| slashes(&bytes[at.min(bytes.len())..]);
        let skip = |at: usize, wanted: fn(&u8) -> bool| {
            let rest = bytes[at.min(bytes.len())..].iter().take(LONGEST_GAP);
            at + rest.take_while(|b| wanted(b)).count()
        };
        let mut at = end;
        let closing = at + slashes(at);
        let quoted = is_quote(get(closing)?);
        if quoted {
            at = closing + 1;
        }
        at = skip(at, is_blank);
        let separator = get(at)?;
        let wanted = match separator {
            b'=' | b':' => true,
            b',' => quoted,
            _ => false,
        };
        if !wanted {
            return Some(Follows::Nothing);
        }
        at += 1;
        if matches!((separator, get(at)?), (b'=', b'>') | (b':', b'=')) {
            at += 1;
        }
        at = skip(at, is_blank);
        let bracket = header && get(at)? == b'[';
        if bracket {
            at = skip(at + 1, is_blank);
        }
        let first = get(at)?;
        if first == b'b' && is_quote(get(at + 1)?) {
            at += 1;
        }
        let opening = at + slashes(at);
        let quote = is_quote(get(opening)?).then(|| (bytes[opening], opening - at));
        let until = match quote {
            _ if bracket => Until::Bracket,
            // The string around both ends here: there is no value.
            Some(quote) if !quoted && Some(quote) == around => return Some(Follows::Nothing),
            Some((quote, slashes)) => {
                at = opening + 1;
                Until::Quote(quote, slashes)
            }
            None if separator == b',' => return Some(Follows::Nothing),
            None if header && separator == b':' => Until::Line,
            None if around.is_some() && !quoted => Until::Line,
            None if !header && begins_a_line(&bytes[..start]) => Until::Line,
            None => Until::Word,
        };
        let open = Open {
            until,
            around: around.filter(|_| !quoted),
            schemes: header,
            word: Vec::new(),
            parameter: false,
            last: 0,
        };
        Some(Follows::Value(at, open))
    }
}

fn is_header(name: &[u8]) -> bool {
    let name: Vec<u8> = name
        .iter()
        .map(|b| {
            if *b == b'_' {
                b'-'
            } else {
                b.to_ascii_lowercase()
            }
        })
        .collect();
    let name = name.strip_prefix(b"http-").unwrap_or(&name);
    HEADERS.contains(&name)
}

fn is_variable(name: &[u8]) -> bool {
    let capital = |b: &u8| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_';
    if !name.iter().all(capital) || name.windows(6).any(|w| w == b"PUBLIC") {
        return false;
    }
    let behind_a_word = |word: &[u8]| {
        let before = name.strip_suffix(word);
        before.is_some_and(|before| before.len() > 1 && before.ends_with(b"_"))
    };
    VARIABLES.iter().any(|word| behind_a_word(word))
        || ALONE.iter().any(|word| name.ends_with(word))
}

/// Whether a variable that begins behind `before` is the first on its line: then its value goes on
/// to the line's end.
fn begins_a_line(before: &[u8]) -> bool {
    let from = before.len().saturating_sub(LONGEST_GAP);
    let line = match memchr::memrchr(b'\n', &before[from..]) {
        Some(at) => &before[from + at + 1..],
        None if from == 0 => before,
        None => return false,
    };
    let words: [&[u8]; 8] = [
        b"",
        b"export",
        b"ENV",
        b"ARG",
        b"set",
        b"-",
        b"declare -x",
        b"$env:",
    ];
    words.contains(&line.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Goes on when the text is at hand up to `end`.
    fn step(values: &mut Values, text: &str, shown: &mut [u8], from: usize, end: usize) -> usize {
        let mut of = Shown {
            text: &text.as_bytes()[..end],
            shown: &mut shown[..end],
            starts: true,
            ends: end == text.len(),
        };
        values.mask(&mut of, from)
    }

    fn masked(wanted: Named, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        let mut values = Values::new(wanted).unwrap();
        let end = step(&mut values, text, &mut bytes, 0, text.len());
        assert_eq!(end, text.len());
        String::from_utf8(bytes).unwrap()
    }

    /// In `texts`, what stands between `«` and `»` is masked and nothing else is.
    fn check(wanted: Named, texts: &[&str]) {
        for text in texts {
            let mut inside = false;
            let (mut plain, mut expected) = (String::new(), String::new());
            for c in text.chars() {
                match c {
                    '«' => inside = true,
                    '»' => inside = false,
                    c => {
                        plain.push(c);
                        expected.push(if inside && !c.is_whitespace() { '*' } else { c });
                    }
                }
            }
            assert_eq!(masked(wanted, &plain), expected);
        }
    }

    const HEADERS: Named = Named {
        headers: true,
        variables: false,
    };
    const VARIABLES: Named = Named {
        headers: false,
        variables: true,
    };
    const BOTH: Named = Named {
        headers: true,
        variables: true,
    };

    #[test]
    fn credentials_in_headers_are_masked_in_every_notation() {
        check(
            HEADERS,
            &[
                "Authorization: «Bearer abc.def»\r\nHost: x\r\n",
                "> authorization: «Basic dXNlcjpwYXNz»\nHTTP/2 200\n",
                "curl -H 'Authorization: «Bearer abc»' https://host/x",
                "curl -H \"x-api-key: «abc»\" -d '{}'",
                r#"{"authorization": "«Bearer abc»", "host": "x"}"#,
                r#"{"body": "{\"Authorization\": \"«Bearer a\\\"bc»\", \"host\": 1}"}"#,
                r#"{'Authorization': '«Bearer abc»', 'Host': 'x'}"#,
                r#"map[Accept:[*/*] Authorization:[«Bearer abc»] Host:[x]]"#,
                r#"{"cookie": ["«a=1;» «b=2»"], "x": 1}"#,
                r#"send: b'GET / HTTP/1.1\r\nAuthorization: «Bearer abc»\r\nHost: x\r\n'"#,
                r#"{"raw": "X: y\nCookie: «a=b»\r\n\r\n"}"#,
                r#"[(b'Host', b'x'), (b'Authorization', b'«Bearer abc»'), (b'Via', b'y')]"#,
                "level=info authorization=«Bearer» «abc» status=200",
                "level=info authorization=«abc» status=200",
                "HTTP_COOKIE=«sid=1;» x",
                "Proxy-Authorization: «Digest username=\"a\", realm=\"b\", response=\"c\"»\nx",
                r#"{"msg":"sent Authorization: «Bearer abc»","level":"info"}"#,
                "Set-Cookie: «sid=abc; Path=/; HttpOnly»\n",
                "X-Amz-Security-Token: «abc»\n",
                "the authorization of this request, and cookies: many",
                "authorization_url=https://x",
            ],
        );
    }

    #[test]
    fn secret_variables_are_masked_and_others_are_not() {
        check(
            VARIABLES,
            &[
                "OPENAI_API_KEY=«abc»\n",
                "export DB_PASSWORD='«correct horse»' # note\n",
                "FOO_TOKEN=«abc def»\nPATH=/bin\n",
                "docker run -e GITHUB_TOKEN=«abc» -e A=b image",
                r#"{"Env": ["AWS_SECRET_ACCESS_KEY=«abc/+=»", "PATH=/bin"]}"#,
                r#"{"CLIENT_SECRET": "«abc»", "CLIENT_ID": "x"}"#,
                "  DATABASE_PASSWORD: «abc»\n  DATABASE_HOST: x\n",
                "PGPASSWORD=«abc»\n",
                "$env:OPENAI_API_KEY = \"«abc»\"\n",
                "MAX_TOKENS=4096 AWS_ACCESS_KEY_ID=x MONKEY=1 SSH_PUBLIC_KEY=y KEYBOARD=z",
                "SECRETARY=me TOKENIZER=x PASSAGE=1",
            ],
        );
    }

    proptest! {
        #[test]
        fn pieces_are_masked_as_the_whole_is(
            lines in proptest::collection::vec("(Authorization|\"cookie\"|X_KEY|A_TOKEN|x-api-key)(: ?|=|\": ?\"|=\\\\\"|:\\[)[a-z\\\\\"'= \\]]{0,30}\n?", 1..6),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let text = lines.concat();
            let whole = masked(BOTH, &text);
            let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len())).collect();
            ends.push(text.len());
            ends.sort_unstable();
            let mut bytes = text.clone().into_bytes();
            let mut values = Values::new(BOTH).unwrap();
            let mut from = 0;
            for end in ends {
                from = step(&mut values, &text, &mut bytes, from, end);
            }
            prop_assert_eq!(String::from_utf8(bytes).unwrap(), whole);
        }
    }
}
