//! The lines that git hands to `pre-push` and `pre-receive`, see githooks(5).

use super::{HookError, HookType};

/// One ref that a push changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefUpdate {
    /// The ref on the receiving side. Comes from outside: show it masked only.
    pub name: Vec<u8>,
    /// What it is to name, hexadecimal; `None` if it is deleted.
    pub new: Option<String>,
    /// What it names there now; `None` if it is new. The object need not be here.
    pub old: Option<String>,
}

/// Lines of `<local ref> <local id> <remote ref> <remote id>`. A local ref can be any expression,
/// such as `HEAD^{/fix the bug}`: the last three fields count from the end.
pub fn parse_pre_push(input: &[u8]) -> Result<Vec<RefUpdate>, HookError> {
    let form = "<local ref> <local id> <remote ref> <remote id>";
    lines(input, HookType::PrePush, form, |line| {
        let mut fields = line.rsplitn(4, |b| *b == b' ');
        let old = id(fields.next()?)?;
        let name = fields.next()?.to_owned();
        let new = id(fields.next()?)?;
        fields.next()?;
        Some(RefUpdate { name, new, old })
    })
}

/// Lines of `<old id> <new id> <ref>`.
pub fn parse_pre_receive(input: &[u8]) -> Result<Vec<RefUpdate>, HookError> {
    let form = "<old id> <new id> <ref>";
    lines(input, HookType::PreReceive, form, |line| {
        let mut fields = line.splitn(3, |b| *b == b' ');
        let old = id(fields.next()?)?;
        let new = id(fields.next()?)?;
        let name = fields.next()?.to_owned();
        Some(RefUpdate { name, new, old })
    })
}

fn lines(
    input: &[u8],
    hook: HookType,
    expected: &'static str,
    read: impl Fn(&[u8]) -> Option<RefUpdate>,
) -> Result<Vec<RefUpdate>, HookError> {
    let input = input.strip_suffix(b"\n").unwrap_or(input);
    if input.is_empty() {
        return Ok(Vec::new());
    }
    let parsed = input.split(|b| *b == b'\n').enumerate().map(|(at, line)| {
        read(line)
            .filter(|update| !update.name.is_empty())
            .ok_or(HookError::Input {
                hook,
                line: at + 1,
                expected,
            })
    });
    parsed.collect()
}

/// `Some(None)` is the id of zeros, which stands for no object.
fn id(field: &[u8]) -> Option<Option<String>> {
    if !matches!(field.len(), 40 | 64) || !field.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    if field.iter().all(|b| *b == b'0') {
        return Some(None);
    }
    Some(Some(String::from_utf8_lossy(field).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pushes_are_read_from_the_end_of_the_line() {
        let (a, zero) = ("a1".repeat(20), "0".repeat(40));
        let text =
            format!("HEAD^{{/fix it}} {a} refs/heads/x {zero}\n(delete) {zero} refs/heads/y {a}\n");
        let updates = parse_pre_push(text.as_bytes()).unwrap();
        assert_eq!(updates.len(), 2);
        assert_eq!(updates[0].name, b"refs/heads/x");
        assert_eq!(
            (updates[0].new.as_deref(), &updates[0].old),
            (Some(&*a), &None)
        );
        assert_eq!(
            (&updates[1].new, updates[1].old.as_deref()),
            (&None, Some(&*a))
        );
    }

    #[test]
    fn sha256_ids_are_ids_and_anything_else_stops_the_push() {
        let long = "b2".repeat(32);
        let text = format!("{long} {long} refs/heads/main\n");
        assert_eq!(
            parse_pre_receive(text.as_bytes()).unwrap()[0].new,
            Some(long.clone())
        );
        for wrong in [
            "x",
            "\n\n",
            &format!("{long} {long}\n"),
            &format!("{long} {long} \n"),
            "a b c d",
        ] {
            assert!(parse_pre_receive(wrong.as_bytes()).is_err(), "{wrong:?}");
            assert!(parse_pre_push(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
        assert_eq!(parse_pre_push(b"").unwrap(), []);
    }

    proptest! {
        #[test]
        fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_pre_push(&bytes);
            let _ = parse_pre_receive(&bytes);
        }
    }
}
