//! PDFs made here: streams through each filter, each predictor, and such as nobody would write.

use std::io::Write;

use super::*;
use crate::unpack::testing::{self, Got};

fn zlib(text: &[u8]) -> Vec<u8> {
    let mut to = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    to.write_all(text).unwrap();
    to.finish().unwrap()
}

fn object(number: u32, dictionary: &str, stream: &[u8]) -> Vec<u8> {
    let head = format!("{number} 0 obj\n<< {dictionary} >>\nstream\r\n");
    [head.as_bytes(), stream, b"\nendstream\nendobj\n"].concat()
}

fn pdf(objects: &[Vec<u8>], trailer: &str) -> Vec<u8> {
    let tail = format!("trailer << /Size 9 {trailer} >>\nstartxref\n0\n%%EOF\n");
    [b"%PDF-1.7\n", &objects.concat()[..], tail.as_bytes()].concat()
}

fn text(n: usize) -> Vec<u8> {
    format!("BT (a text that is shown, shown, shown: {n}) Tj ET\n").into_bytes()
}

fn base85(bytes: &[u8]) -> Vec<u8> {
    let mut out = b"<~".to_vec();
    for group in bytes.chunks(4) {
        let mut four = [0; 4];
        four[..group.len()].copy_from_slice(group);
        let value = u32::from_be_bytes(four);
        let digits = [52_200_625, 614_125, 7_225, 85, 1].map(|p| (value / p % 85) as u8 + b'!');
        match (value, group.len()) {
            (0, 4) => out.push(b'z'),
            (_, length) => out.extend(&digits[..=length]),
        }
        out.push(b'\n');
    }
    out.extend(b"~>");
    out
}

fn hexadecimal(bytes: &[u8]) -> Vec<u8> {
    let digits = bytes.iter().map(|byte| format!("{byte:02X} "));
    (digits.collect::<String>() + ">").into_bytes()
}

/// LZW, whose codes grow one early, or not.
fn lzw(bytes: &[u8], early: bool) -> Vec<u8> {
    use weezl::BitOrder::Msb;
    let mut encoder = match early {
        true => weezl::encode::Encoder::with_tiff_size_switch(Msb, 8),
        false => weezl::encode::Encoder::new(Msb, 8),
    };
    encoder.encode(bytes).unwrap()
}

fn run_lengths(bytes: &[u8]) -> Vec<u8> {
    let runs = bytes
        .chunks(100)
        .flat_map(|run| [&[run.len() as u8 - 1], run].concat());
    runs.chain([128]).collect()
}

/// Text that is longer than any table of codes or buffer.
fn long() -> Vec<u8> {
    (0..9000u32)
        .flat_map(|n| text((n.wrapping_mul(2_654_435_761) >> 8) as usize))
        .collect()
}

#[test]
fn streams_are_decoded_whatever_their_filters() {
    let objects = [
        object(1, "/Length 9999 /Filter /FlateDecode", &zlib(&text(1))),
        object(
            2,
            "/Filter [/ASCII85Decode /FlateDecode] /Length 7 0 R",
            &base85(&zlib(&text(2))),
        ),
        object(3, "/Filter[/AHx]/Length 5", &hexadecimal(&text(3))),
        object(
            4,
            "/Type /ObjStm /N 1 /First 4 /Filter/Fl",
            &zlib(b"12 0 << /Author (somebody) >>"),
        ),
        object(
            5,
            "/Length1 5 /Filter /LZWDecode",
            &lzw(&text(5).repeat(9), true),
        ),
        object(
            6,
            "/Filter /RunLengthDecode",
            &[&[text(6).len() as u8 - 1][..], &text(6), &[254, b'!', 128]].concat(),
        ),
        object(7, "", &text(7)),
        object(8, "/Filter /DCTDecode", b"\xff\xd8 a comment in an image"),
        object(9, "/Filter /Crypt", b"unknown"),
        object(10, "/Filter 5 0 R /ColorSpace 6 0 R", b"\xff\xd8 an image"),
        object(11, "/Filter 5 0 R /ColorSpace 6 0 R", &zlib(&text(11))),
    ];
    let file = pdf(&objects, "");
    let notes = testing::unpack("a.pdf", &file);
    let mut contents = notes.contents();
    contents.sort();
    let ways: Vec<_> = contents.iter().map(|(way, _)| way.as_str()).collect();
    let all = [
        "object 1 0",
        "object 11 0",
        "object 2 0",
        "object 3 0",
        "object 4 0",
        "object 5 0",
        "object 6 0",
    ];
    assert_eq!(ways, all);
    for (at, n) in [(0, 1), (1, 11), (2, 2), (3, 3)] {
        assert_eq!(contents[at].1, text(n));
    }
    assert_eq!(contents[5].1, text(5).repeat(9));
    assert_eq!(contents[6].1, [text(6), b"!!!".to_vec()].concat());
    assert!(notes.hold("/Author (somebody)"));
    let why = "it can't be unpacked: filter Crypt".to_owned();
    assert_eq!(notes.unread(), [("object 9 0".to_owned(), why)]);
    let raw = |text: &[u8]| {
        notes
            .0
            .iter()
            .any(|(_, got)| matches!(got, Got::Raw(_, b) if memmem::find(b, text).is_some()))
    };
    assert!(raw(&text(7)) && raw(b"a comment in an image") && !raw(&zlib(&text(1))));
}

#[test]
fn streams_are_found_across_windows() {
    for filler in [WINDOW - 40, WINDOW - 4200, 3 * WINDOW - 30] {
        let objects = [
            object(1, "", &vec![b'x'; filler]),
            object(2, "/Filter /FlateDecode", &zlib(&text(2))),
            object(3, "/Filter /FlateDecode /Length 12 0 R", &{
                let noise = (0..WINDOW * 2).map(|n| (n as u32).wrapping_mul(2_654_435_761) >> 24);
                zlib(&noise.map(|n| n as u8).collect::<Vec<_>>())
            }),
            object(4, "/Filter /FlateDecode", &zlib(&text(4))),
        ];
        let notes = testing::unpack("a.pdf", &pdf(&objects, ""));
        let ways: Vec<_> = notes.contents().into_iter().map(|(way, _)| way).collect();
        assert_eq!(ways, ["object 2 0", "object 3 0", "object 4 0"], "{filler}");
    }
}

#[test]
fn encrypted_files_are_named() {
    let objects = [object(1, "/Filter /FlateDecode", &zlib(&text(1)))];
    let file = pdf(&objects, "/Encrypt 5 0 R");
    let streams = [("streams".to_owned(), "it is encrypted".to_owned())];
    assert_eq!(testing::unpack("", &file).unread(), streams);
    // Newer files have a stream for a trailer.
    let table = object(9, "/Type /XRef /Encrypt 5 0 R", b"\0\0");
    let body = [b"%PDF-1.7\n", &objects.concat()[..]].concat();
    let tail = format!("startxref\n{}\n%%EOF", body.len());
    let file = [body, table, tail.into_bytes()].concat();
    assert_eq!(testing::unpack("", &file).unread(), streams);
    let plain = pdf(&objects, "/EncryptMetadata false");
    assert!(testing::unpack("", &plain).unread().is_empty());
}

#[test]
fn damage_is_named() {
    let good = pdf(
        &[
            object(1, "/Filter /FlateDecode", &zlib(&text(1))),
            object(2, "/Filter [/A85 /Fl]", &base85(&zlib(&text(2)))),
            object(5, "/Filter /LZW", &lzw(&text(5), true)),
        ],
        "",
    );
    for end in 5..good.len() {
        testing::unpack("", &good[..end]);
    }
    for at in 9..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x55;
        testing::unpack("", &bad);
    }
    let bad = [
        object(1, "/Filter /Fl", b"no deflate"),
        object(2, "/Filter /A85", b"\x7f\x7f"),
        object(3, "/Filter /AHx", b"no digits"),
        object(4, "/Filter /LZW", &[0xff; 8]),
        object(5, &format!("/Filter [{}]", "/Fl ".repeat(1000)), b"deep"),
    ];
    assert_eq!(
        testing::unpack("", &pdf(&bad, "")).unread().len(),
        bad.len()
    );
}

/// What stands in the only stream of a file with this dictionary, and what is said of it.
fn decoded(dictionary: &str, stream: &[u8]) -> (Vec<u8>, Vec<String>) {
    let notes = testing::unpack("", &pdf(&[object(1, dictionary, stream)], ""));
    let read = notes.0.iter().find_map(|(way, got)| match got {
        Got::Member(content, _) if way == &["object 1 0"] => Some(content.clone()),
        _ => None,
    });
    let told = notes.unread().into_iter().map(|(_, why)| why).collect();
    (read.unwrap_or_default(), told)
}

#[test]
fn filters_upon_each_other_are_undone_from_the_first_to_the_last() {
    let text = long();
    for (filters, stream) in [
        ("/ASCIIHexDecode /LZWDecode", hexadecimal(&lzw(&text, true))),
        (
            "/ASCII85Decode /RunLengthDecode",
            base85(&run_lengths(&text)),
        ),
        (
            "/A85/AHx/RL/LZW/Fl",
            base85(&hexadecimal(&run_lengths(&lzw(&zlib(&text), true)))),
        ),
        ("/Fl /Fl /Fl", zlib(&zlib(&zlib(&text)))),
        (
            "/#41SCIIHexDecode /Flate#44ecode",
            hexadecimal(&zlib(&text)),
        ),
    ] {
        let (read, told) = decoded(&format!("/Filter [{filters}]"), &stream);
        assert!(read == text && told.is_empty(), "{filters}: {told:?}");
    }
}

#[test]
fn codes_of_lzw_grow_early_unless_it_says_no() {
    let text = long();
    for (parameters, early) in [
        ("", true),
        ("/DecodeParms << /EarlyChange 1 >>", true),
        ("/DecodeParms << /EarlyChange 0 >>", false),
        ("/DecodeParms [ << /EarlyChange 0 >> ]", false),
    ] {
        let packed = lzw(&text, early);
        let (read, told) = decoded(&format!("/Filter /LZWDecode {parameters}"), &packed);
        assert!(read == text && told.is_empty(), "{parameters}: {told:?}");
        // Without the mark at its end, all is there.
        let (read, told) = decoded(
            &format!("/Filter /LZW {parameters}"),
            &packed[..packed.len() - 2],
        );
        assert!(text.starts_with(&read) && read.len() + 600 > text.len() && told.is_empty());
    }
}

/// Rows as differences, by the definition of PNG: each with the next of the kinds `tags`.
fn png_rows(bytes: &[u8], row: usize, pixel: usize, tags: &[u8]) -> Vec<u8> {
    let at = |row_at: usize, column: Option<usize>| match (column, row_at) {
        (Some(column), row_at) if row_at < bytes.len() => {
            bytes.get(row_at + column).copied().unwrap_or(0)
        }
        _ => 0,
    };
    let mut out = Vec::new();
    for (number, start) in (0..bytes.len()).step_by(row).enumerate() {
        let tag = tags[number % tags.len()];
        out.push(tag);
        let above = start.wrapping_sub(row);
        for column in 0..row.min(bytes.len() - start) {
            let before = column.checked_sub(pixel);
            let (a, b, c) = (
                at(start, before),
                at(above, Some(column)),
                at(above, before),
            );
            let p = i32::from(a) + i32::from(b) - i32::from(c);
            let nearest = [a, b, c]
                .into_iter()
                .min_by_key(|x| (p - i32::from(*x)).abs())
                .unwrap();
            let difference = match tag {
                0 => 0,
                1 => a,
                2 => b,
                3 => ((u32::from(a) + u32::from(b)) / 2) as u8,
                _ => nearest,
            };
            out.push(bytes[start + column].wrapping_sub(difference));
        }
    }
    out
}

#[test]
fn predictors_of_png_are_undone() {
    let text = long()[..30_011].to_vec();
    for (colors, bits, columns, tags) in [
        (1usize, 8usize, 5usize, &[2][..]),
        (1, 8, 1, &[1]),
        (3, 8, 40, &[0, 1, 2, 3, 4]),
        (4, 16, 17, &[4, 4, 3]),
        (3, 4, 9, &[4, 2, 1]),
        (1, 1, 77, &[3, 4]),
    ] {
        let (row, pixel) = (
            (colors * bits * columns).div_ceil(8),
            (colors * bits).div_ceil(8),
        );
        let rows = png_rows(&text, row, pixel, tags);
        // Which of them is named says nothing: the rows do.
        for predictor in 10..=15 {
            let parameters = format!(
                "<< /Predictor {predictor} /Colors {colors}/BitsPerComponent {bits} /Columns {columns} >>"
            );
            let dictionary = format!("/Filter /FlateDecode /DecodeParms {parameters}");
            let (read, told) = decoded(&dictionary, &zlib(&rows));
            assert!(read == text && told.is_empty(), "{parameters}: {told:?}");
        }
        let parameters =
            format!("/Predictor 15 /Colors {colors} /BitsPerComponent {bits} /Columns {columns}");
        let dictionary =
            format!("/DecodeParms [null << {parameters} >>] /Filter [/ASCII85Decode /LZWDecode]");
        let (read, told) = decoded(&dictionary, &base85(&lzw(&rows, true)));
        assert!(read == text && told.is_empty(), "{parameters}: {told:?}");
    }
}

#[test]
fn the_predictor_of_tiff_is_undone() {
    let text = long()[..30_011].to_vec();
    for (colors, bits, columns) in [
        (1usize, 8usize, 64usize),
        (3, 8, 21),
        (1, 16, 30),
        (3, 16, 10),
        (1, 4, 33),
        (3, 4, 10),
        (2, 2, 50),
        (1, 1, 99),
    ] {
        let row = (colors * bits * columns).div_ceil(8);
        let mut rows = Vec::new();
        for row in text.chunks(row) {
            // Component by component, as a string of bits; what fills a last byte stays as it is.
            let bit = |at: usize| u32::from(row[at / 8] >> (7 - at % 8) & 1);
            let number =
                |n: usize| (n * bits..(n + 1) * bits).fold(0, |all, at| all << 1 | bit(at));
            let mut packed = row.to_vec();
            for n in colors..row.len() * 8 / bits {
                let difference = number(n).wrapping_sub(number(n - colors));
                for place in 0..bits {
                    let at = n * bits + place;
                    let one = (difference >> (bits - 1 - place) & 1) as u8;
                    packed[at / 8] = packed[at / 8] & !(0x80 >> (at % 8)) | one << (7 - at % 8);
                }
            }
            rows.extend(packed);
        }
        let parameters =
            format!("/Predictor 2 /Colors {colors} /BitsPerComponent {bits} /Columns {columns}");
        let dictionary = format!("/Filter/FlateDecode/DecodeParms<<{parameters}>>");
        let (read, told) = decoded(&dictionary, &zlib(&rows));
        assert!(read == text && told.is_empty(), "{parameters}: {told:?}");
    }
}

#[test]
fn tables_and_streams_of_objects_are_predicted_too() {
    let objects = b"12 0 13 40 << /Title (a title) >> << /Author (somebody who writes) >>";
    let table: Vec<u8> = (0..200u8).flat_map(|n| [1, 0, n, 0]).collect();
    let file = pdf(
        &[
            object(
                1,
                "/Type /ObjStm /N 2 /First 10 /Filter /FlateDecode /DecodeParms << /Predictor 12 /Columns 7 >>",
                &zlib(&png_rows(objects, 7, 1, &[2])),
            ),
            object(
                2,
                "/Type /XRef /W [1 2 1] /Index [0 200] /DecodeParms << /Columns 4 /Predictor 12 >> /Filter /FlateDecode",
                &zlib(&png_rows(&table, 4, 1, &[2])),
            ),
        ],
        "",
    );
    let notes = testing::unpack("", &file);
    assert!(notes.hold("/Author (somebody who writes)"));
    let contents = notes.contents();
    assert!(contents.contains(&("object 1 0".to_owned(), objects.to_vec())));
    assert!(contents.contains(&("object 2 0".to_owned(), table)));
    assert_eq!(notes.unread(), []);
}

#[test]
fn what_can_not_be_undone_is_read_as_it_is_and_named() {
    let text = long();
    let told = |why: &str| {
        vec![format!(
            "it can't be unpacked: filter FlateDecode with {why}"
        )]
    };
    for (parameters, why) in [
        ("<< /Predictor 7 >>", "predictor 7, 1 times 1 times 8 bits"),
        (
            "<< /Predictor 12 /Columns 0 >>",
            "predictor 12, 0 times 1 times 8 bits",
        ),
        (
            "<< /Predictor 15 /Columns 99999999999 /Colors 99999999999 >>",
            "predictor 15, 99999999999 times 99999999999 times 8 bits",
        ),
        (
            "<</Predictor 2/BitsPerComponent 5>>",
            "predictor 2, 1 times 1 times 5 bits",
        ),
        (
            "<< /Predictor 12 /Columns 7 0 R >>",
            "parameters that another object holds",
        ),
        ("7 0 R", "parameters that another object holds"),
        ("[ 7 0 R ]", "parameters that another object holds"),
    ] {
        let dictionary = format!("/Filter /FlateDecode /DecodeParms {parameters}");
        let got = decoded(&dictionary, &zlib(&text));
        assert!(
            got == (text.clone(), told(why)),
            "{parameters}: {:?}",
            got.1
        );
    }
    let unknown = |dictionary: &str| decoded(dictionary, b"whatever it is").1;
    let other = "it can't be unpacked: filter that another object names";
    assert_eq!(unknown("/Filter 7 0 R"), [other]);
    let crypt = "it can't be unpacked: filter Crypt";
    assert_eq!(unknown("/Filter [/Crypt /FlateDecode]"), [crypt]);
}

#[test]
fn damaged_rows_are_read_up_to_the_damage() {
    let text = long()[..5_000].to_vec();
    let rows = png_rows(&text, 50, 1, &[1, 2, 3, 4]);
    let packed = zlib(&rows);
    let dictionary = "/Filter /FlateDecode /DecodeParms << /Predictor 15 /Columns 50 >>";
    for end in (0..packed.len()).step_by(50) {
        let dictionary = format!("{dictionary} /Length {end}");
        let (read, told) = decoded(&dictionary, &packed[..end]);
        assert!(
            text.starts_with(&read) && told.len() == 1,
            "cut at {end}: {told:?}"
        );
    }
    // No row is of a kind that there is none of; none is whole.
    let noise: Vec<u8> = (0..4000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    for parameters in [
        "15 /Columns 1000000",
        "2 /Columns 1000000",
        "12",
        "2 /BitsPerComponent 1",
    ] {
        let dictionary = format!("/Filter /FlateDecode /DecodeParms << /Predictor {parameters} >>");
        let (read, told) = decoded(&dictionary, &zlib(&noise));
        assert!(
            read.len() + 4000 > noise.len() && told.is_empty(),
            "{parameters}: {told:?}"
        );
    }
    for stream in [&noise[..], &[0xff; 500], &[0x80, 0x7f, 0xff, 0xff], b""] {
        for early in [0, 1] {
            decoded(
                &format!("/Filter /LZW /DecodeParms << /EarlyChange {early} /Predictor 12 >>"),
                stream,
            );
        }
    }
}

#[test]
fn what_comes_to_nothing_in_the_end_is_bounded() {
    // Stored blocks that hold nothing.
    let nothing = [&[0x78, 0x01][..], &b"\0\0\0\xff\xff".repeat(500_000)].concat();
    let once = "/Filter [/Fl /Fl /Fl]";
    let packed = zlib(&zlib(&nothing));
    assert!(packed.len() < 200);
    let file = pdf(
        &[
            object(1, once, &packed),
            object(2, "/Filter /Fl", &zlib(&text(1))),
        ],
        "",
    );
    let notes = testing::unpack("", &file);
    assert_eq!(notes.unread().len(), 1, "{:?}", notes.unread());
    assert!(notes.unread()[0].1.contains("between its decoders"));
    assert!(notes.hold("shown, shown"));
}
