//! What is found in containers, what is told of what can't be read, and what ends it all.

use std::time::Duration;

use super::{Examiner, Found, Limits, Seen, Unpacking};
use crate::coverage::{Limit, Unread};
use crate::finding::Way;
use crate::matcher::Matcher;
use crate::rules::Template;
use crate::unpack::Budget;
use crate::unpack::testing::{gzip, gzip_stored, samples, tar, xz, zip};

fn key(seed: u64) -> String {
    Template::parse("sk-proj-{long:74,74}")
        .unwrap()
        .fill(seed)
        .key
}

fn settled(text: &str) -> Vec<u8> {
    format!("# a file\nurl = x\nOPENAI_API_KEY={text}\n").into_bytes()
}

/// A way to examine.
type Examine<'a> = dyn Fn(&mut dyn FnMut(Found)) -> Seen + 'a;

/// Where keys are, and what could not be read: in memory, as a stream, as a file, which have to
/// say the same.
fn examine(name: &str, bytes: &[u8], unpacking: &Unpacking) -> (Vec<String>, Vec<String>) {
    let examiner = Examiner {
        matcher: Matcher::shared(),
        unpacking,
        go_on: &|| true,
    };
    let name = name.as_bytes();
    let mut all = Vec::new();
    let mut run = |how: &Examine<'_>| {
        let mut places = Vec::new();
        let seen = how(&mut |one| {
            let way = Way(&one.members).to_string();
            places.push(format!("{way}:{}:{}", one.line, one.column));
        });
        seen.result.unwrap();
        assert_eq!(seen.bytes, bytes.len() as u64);
        places.sort();
        let unread = |one: &super::UnreadMember| format!("{}: {}", Way(&one.members), one.why);
        all.push((places, seen.unread.iter().map(unread).collect::<Vec<_>>()));
    };
    run(&|found| examiner.bytes(name, bytes, found));
    run(&|found| {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, bytes).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        examiner.file(name, &file, &mut Default::default(), found)
    });
    run(&|found| examiner.stream(name, bytes, &mut Default::default(), found));
    assert_eq!(all[0], all[1]);
    // A stream knows no end, and so not what stands behind programs of more than its first block.
    assert_eq!(all[0], all[2]);
    all.swap_remove(0)
}

fn found(name: &str, bytes: &[u8]) -> Vec<String> {
    let (found, unread) = examine(name, bytes, &Unpacking::default());
    assert_eq!(unread, Vec::<String>::new(), "{name}");
    found
}

fn with(change: impl FnOnce(&mut Limits)) -> Unpacking {
    let mut unpacking = Unpacking::default();
    change(&mut unpacking.limits);
    unpacking
}

#[test]
fn every_format_is_searched_and_the_way_in_is_told() {
    for (name, packed) in samples(&settled(&key(1))) {
        let expected = match ["a.tar", "a.tgz"].contains(&name) || name.ends_with(".zip") {
            true => " → b:3:16",
            false => ":3:16",
        };
        assert_eq!(found(name, &packed), [expected], "{name}");
    }
}

#[test]
fn no_reason_quotes_a_key() {
    let key = key(5);
    let pdf = format!("%PDF-1.7\n1 0 obj\n<< /Filter /{key} >>\nstream\nx\nendstream\n");
    let table = format!(r#"{{"files":{{"a":{{"size":"{key}","offset":"0"}}}}}}"#);
    let length = table.len() as u32;
    let head = [4, length + 8, length + 4, length].map(u32::to_le_bytes);
    let asar = [&head.concat(), table.as_bytes()].concat();
    let examiner = Examiner {
        matcher: Matcher::shared(),
        unpacking: &Unpacking::default(),
        go_on: &|| true,
    };
    for (name, bytes) in [("pdf", pdf.as_bytes()), ("asar", &asar)] {
        let seen = examiner.packed(b"", bytes, &mut |_| {}).unwrap();
        let reasons: Vec<_> = seen.unread.iter().map(|one| one.why.to_string()).collect();
        assert_eq!(reasons.len(), 1, "{name}");
        assert!(!reasons[0].contains(&key[20..60]), "{name}: {reasons:?}");
    }
}

#[test]
fn the_key_in_a_zip_is_found_exactly_whatever_the_method() {
    // What repeats itself over more than 257 bytes is something else in deflate64, which 7-Zip's
    // archives have (`unpack::sevenz`); here it is deflate.
    let more: String = (0..500u32)
        .map(|n| format!("{}\n", n.wrapping_mul(2_654_435_761)))
        .collect();
    let text = |key: &str| [settled(key), more.clone().into_bytes()].concat();
    let methods = [0, 8, 9, 12, 14, 20, 93, 95, 98];
    let keys = methods.map(|method| key(u64::from(method)));
    let texts = keys.each_ref().map(|key| text(key));
    let names = methods.map(|method| format!("method {method}"));
    let members: Vec<(&str, u16, &[u8])> = (0..methods.len())
        .map(|n| (&names[n][..], methods[n], &texts[n][..]))
        .collect();
    let packed = zip(&members);
    let examiner = Examiner {
        matcher: Matcher::shared(),
        unpacking: &Unpacking::default(),
        go_on: &|| true,
    };
    let mut found = Vec::new();
    let seen = examiner.bytes(b"a.zip", &packed, &mut |one| {
        found.push((
            Way(&one.members).to_string(),
            one.line,
            one.column,
            one.hit.secret.expose().to_vec(),
        ));
    });
    assert!(seen.unread.is_empty(), "{:?}", seen.unread.len());
    let expected: Vec<_> = names
        .iter()
        .zip(&keys)
        .map(|(name, key)| (format!(" → {name}"), 3, 16, key.as_bytes().to_vec()))
        .collect();
    assert!(found == expected, "{} of {}", found.len(), methods.len());
}

#[test]
fn archives_in_each_other_are_searched() {
    let jar = zip(&[("application.properties", 8, &settled(&key(1)))]);
    let layer = gzip(&tar(&[("app/lib.jar", &jar)]));
    let image = tar(&[("blobs/a", &layer), ("empty", b"")]);
    assert_eq!(
        found("image.tar", &image),
        [" → blobs/a → app/lib.jar → application.properties:3:16"]
    );
}

#[test]
fn keys_in_names_comments_and_gaps_are_found_once() {
    let name = key(1);
    assert_eq!(
        found("a.tar", &tar(&[(&name[..90], b"x")])),
        Vec::<String>::new()
    );
    let short = Template::parse("sk-{legacy:20,20}").map_or(name, |_| key(1));
    let in_name = zip(&[(&short, 0, b"x"), ("other", 8, b"y")]);
    let places = found("a.zip", &in_name);
    assert_eq!(places.len(), 1);
    assert!(places[0].ends_with(" → name:1:1"), "{places:?}");
    // Stored: it stands in the archive's own bytes as well, and counts once.
    assert_eq!(
        found("a.zip", &zip(&[("b", 0, &settled(&key(2)))])),
        [" → b:3:16"]
    );
    let behind = [gzip(b"x"), settled(&key(3))].concat();
    assert_eq!(found("a.gz", &behind).len(), 1);
    let between = [
        b"MZ program\n".to_vec(),
        settled(&key(4)),
        zip(&[("b", 8, &settled(&key(5)))]),
    ];
    assert_eq!(found("a.exe", &between.concat()), [" → b:3:16", ":4:16"]);
}

#[test]
fn what_only_looks_packed_is_text() {
    let plain = settled(&key(1));
    for start in [
        &b"PK\x03\x04"[..],
        b"\x1f\x8b\x08\0",
        b"BZh91AY&SY",
        b"\xfd7zXZ\0",
        b"\x28\xb5\x2f\xfd\0",
    ] {
        let bytes = [start, &plain].concat();
        let (found, _) = examine("a", &bytes, &Unpacking::default());
        assert_eq!(found, [":3:16"], "{start:?}");
    }
}

#[test]
fn damage_is_told_once_and_the_rest_is_searched() {
    let text = settled(&key(1)).repeat(3);
    let inner = gzip(&text);
    let archive = tar(&[
        ("cut.gz", &inner[..inner.len() - 6]),
        ("good.txt", &settled(&key(2))),
    ]);
    let (found, unread) = examine("a.tar", &archive, &Unpacking::default());
    assert_eq!(found.len(), 4);
    assert_eq!(unread, [" → cut.gz: it is damaged: it is cut off"]);
    // The stream around all is cut: nobody else is to blame.
    let whole = gzip(&tar(&[("a.tgz", &gzip(&tar(&[("b", &vec![7; 1 << 20])])))]));
    let (_, unread) = examine("a", &whole[..whole.len() / 2], &Unpacking::default());
    assert_eq!(unread, [": it is damaged: it is cut off"]);
}

#[test]
fn nesting_ends_at_the_limit_of_depth() {
    let mut packed = settled(&key(1));
    for _ in 0..1000 {
        packed = gzip_stored(&packed);
    }
    let (found, unread) = examine("a.gz", &packed, &Unpacking::default());
    // Stored as it is, the key is seen from the last level that is read.
    assert_eq!(found.len(), 1);
    assert_eq!(unread, [": it is over the limit (--max-depth)"]);
    let (found, unread) = examine("a", &packed, &with(|limits| limits.depth = 0));
    assert_eq!((found.len(), unread.len()), (1, 1));
    // A larger limit is none: each level takes some of the stack.
    let (_, unread) = examine("a", &packed, &with(|limits| limits.depth = 1001));
    assert_eq!(unread.len(), 1);
}

#[test]
fn bombs_end_at_the_limit_that_they_pass_first() {
    // Some megabytes of zeros in some bytes, six times.
    let zeros = gzip(&gzip(&vec![0; 2 << 20]));
    let page = zip(&[("0", 0, &zeros), ("1", 0, &zeros), ("2", 0, &zeros)]);
    let bomb = zip(&[
        ("a.zip", 8, &page),
        ("b.zip", 8, &page),
        ("k", 8, &settled(&key(1))),
    ]);
    // Which of them passes it depends on who is first.
    let reason = |unpacking: &Unpacking| {
        let examiner = Examiner {
            matcher: Matcher::shared(),
            unpacking,
            go_on: &|| true,
        };
        let seen = examiner.bytes(b"bomb.zip", &bomb, &mut |_| ());
        let reasons: Vec<_> = seen.unread.iter().map(|one| one.why.as_str()).collect();
        reasons.join(" ")
    };
    let over = |change: &dyn Fn(&mut Limits)| reason(&with(change));
    assert_eq!(over(&|_| ()), "ratio");
    assert_eq!(
        over(&|limits| limits.unpacked_size = 1 << 20),
        "unpacked_size"
    );
    assert_eq!(over(&|limits| limits.members = 1), "members");
    let (found, unread) = examine(
        "bomb.zip",
        &bomb,
        &with(|limits| limits.member_size = 1 << 16),
    );
    assert_eq!(found, [" → k:3:16"]);
    assert_eq!(unread.len(), 6);
    // What is at hand is read up to the limit, too.
    let text = [settled(&key(2)), vec![b' '; 1 << 17], settled(&key(3))].concat();
    for packed in [
        gzip(&text),
        zip(&[("a", 8, &text)]),
        zip(&[("a", 0, &text)]),
    ] {
        let short = with(|limits| limits.member_size = 1 << 16);
        let (found, unread) = examine("a", &packed, &short);
        assert_eq!((found.len(), unread.len()), (1, 1), "{unread:?}");
    }
    let mut slow = Unpacking::default();
    slow.limits.time = Duration::from_secs(1);
    let ticks = std::sync::atomic::AtomicU64::new(0);
    slow.clock = std::sync::Arc::new(move || {
        Duration::from_millis(ticks.fetch_add(1, std::sync::atomic::Ordering::Relaxed) * 600)
    });
    assert_eq!(reason(&slow), "seconds");
}

#[test]
fn memory_is_bounded_and_what_needs_more_is_told_or_streamed() {
    let mut small = Unpacking {
        budget: Budget::new(1 << 20),
        ..Unpacking::default()
    };
    // A zip that can't be held is walked by its headers.
    let large: Vec<u8> = (0..2u32 << 20)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let inner = zip(&[("noise", 0, &large), ("k", 8, &settled(&key(1)))]);
    let outer = tar(&[("a.zip", &inner)]);
    let examiner = Examiner {
        matcher: Matcher::shared(),
        unpacking: &small,
        go_on: &|| true,
    };
    let mut places = Vec::new();
    let seen = examiner.stream(b"", &outer[..], &mut Default::default(), &mut |one| {
        places.push(Way(&one.members).to_string());
    });
    assert_eq!(places, [" → a.zip → k"]);
    assert!(seen.unread.is_empty(), "{:?}", seen.unread);
    // A window can't be streamed.
    let (_, unread) = examine("a.xz", &xz(b"text"), &small);
    assert_eq!(unread, [": it is over the limit (--max-memory)"]);
    small.budget = Budget::new(64 << 20);
    assert_eq!(
        examine("a.xz", &xz(b"text"), &small).1,
        Vec::<String>::new()
    );
}

#[test]
fn reasons_have_words_and_settings() {
    let over = Unread::Over(Limit::Ratio);
    assert_eq!(
        (over.as_str(), Limit::Ratio.setting()),
        ("ratio", "max-ratio")
    );
    assert_eq!(Unread::Encrypted.to_string(), "it is encrypted");
}
