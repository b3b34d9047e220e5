use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

const TEXT: &str = "{\"a\":1}\n\n{\"b\":\"é\"}\r\n{\"c\":3}";
const LINES: [&str; 4] = ["{\"a\":1}", "", "{\"b\":\"é\"}", "{\"c\":3}"];

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).expect("compress");
    encoder.finish().expect("compress")
}

fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(bytes).expect("write");
    file
}

fn walk(source: &mut HistoryFile) -> Vec<(u64, String)> {
    let (mut found, mut line) = (Vec::new(), String::new());
    while let Some(offset) = source.next_line(&mut line).expect("a line") {
        found.push((offset, line.clone()));
    }
    found
}

fn check(mut source: HistoryFile) {
    let lines = walk(&mut source);
    assert_eq!(lines.iter().map(|(_, line)| line.as_str()).collect::<Vec<_>>(), LINES);
    assert_eq!(source.line_number(), 4);
    let mut again = String::new();
    for (offset, line) in lines.iter().rev() {
        source.line_at(*offset, &mut again).expect("the line again");
        assert_eq!(again, *line);
    }
    source.rewind().expect("rewind");
    assert_eq!(walk(&mut source), lines);
    assert_eq!(source.next_line(&mut again).expect("the end"), None);
}

#[test]
fn plain_compressed_and_piped_text_is_read_alike() {
    check(HistoryFile::open(file(TEXT.as_bytes()).path()).expect("plain"));
    check(HistoryFile::open(file(&gzip(TEXT.as_bytes())).path()).expect("compressed"));
    check(HistoryFile::spool(TEXT.as_bytes()).expect("piped"));
    check(HistoryFile::spool(gzip(TEXT.as_bytes()).as_slice()).expect("piped and compressed"));
    let (a, b) = TEXT.as_bytes().split_at(9);
    check(HistoryFile::spool([gzip(a), gzip(b)].concat().as_slice()).expect("two members"));
    check(HistoryFile::spool([b"\xef\xbb\xbf", TEXT.as_bytes()].concat().as_slice()).expect("a byte order mark"));
    let end = format!("{TEXT}\n");
    check(HistoryFile::spool(end.as_bytes()).expect("an end of line at the end"));
}

#[test]
fn reading_at_an_offset_does_not_disturb_the_walk() {
    let mut source = HistoryFile::spool(TEXT.as_bytes()).expect("piped");
    let (mut line, mut other, mut found) = (String::new(), String::new(), Vec::new());
    while source.next_line(&mut line).expect("a line").is_some() {
        source.line_at(0, &mut other).expect("the first");
        assert_eq!(other, LINES[0]);
        found.push(line.clone());
    }
    assert_eq!(found, LINES);
    for offset in [1, 1000, u64::MAX] {
        assert_eq!(source.line_at(offset, &mut line).expect_err("no line").kind(), io::ErrorKind::InvalidInput);
    }
}

#[test]
fn lines_across_many_buffers_are_read_in_any_order() {
    let text: String = (0..20_000).map(|n| format!("{{\"n\":{n},\"pad\":\"{}\"}}\n", "x".repeat(n % 97))).collect();
    let mut source = HistoryFile::open(file(text.as_bytes()).path()).expect("plain");
    let lines = walk(&mut source);
    assert_eq!(lines.len(), 20_000);
    let mut again = String::new();
    let mut at = 1;
    for _ in 0..5_000 {
        at = (at * 7919) % lines.len();
        source.line_at(lines[at].0, &mut again).expect("the line again");
        assert_eq!(again, lines[at].1);
    }
    source.rewind().expect("rewind");
    assert_eq!(walk(&mut source), lines);
}

#[test]
fn nothing_is_no_line() {
    for bytes in [&b""[..], b"\xef\xbb\xbf", &gzip(b"")] {
        assert!(walk(&mut HistoryFile::spool(bytes).expect("empty")).is_empty());
    }
    assert!(walk(&mut HistoryFile::open(file(b"").path()).expect("empty")).is_empty());
}

#[test]
fn what_is_not_text_is_refused_with_its_line() {
    let mut source = HistoryFile::spool(&b"{}\n\xff\n"[..]).expect("piped");
    let mut line = String::new();
    source.next_line(&mut line).expect("fine");
    let error = source.next_line(&mut line).expect_err("not UTF-8");
    assert_eq!((error.kind(), error.to_string().as_str()), (io::ErrorKind::InvalidData, "not UTF-8"));
    for utf16 in [&b"\xff\xfe{\0}\0"[..], b"\xfe\xff\0{\0}"] {
        assert!(HistoryFile::spool(utf16).expect_err("UTF-16").to_string().contains("UTF-16"));
    }
    assert_eq!(HistoryFile::open(Path::new("/")).expect_err("a folder").kind(), io::ErrorKind::InvalidData);
}

#[test]
fn a_line_has_a_longest_length() {
    let long = vec![b'x'; MAX_LINE];
    let mut line = String::new();
    let mut source = HistoryFile::spool([&long[..], b"\r\n{}"].concat().as_slice()).expect("piped");
    assert_eq!(source.next_line(&mut line).expect("just fits"), Some(0));
    assert_eq!(line.len(), MAX_LINE);
    assert!(source.next_line(&mut line).expect("the next").is_some());
    let mut source = HistoryFile::spool([&long[..], b"x\n"].concat().as_slice()).expect("piped");
    assert!(source.next_line(&mut line).expect_err("too long").to_string().contains("64 MB"));
}

#[test]
fn a_damaged_archive_is_refused_at_once() {
    let whole = gzip(TEXT.repeat(1000).as_bytes());
    let error = HistoryFile::spool(&whole[..whole.len() / 2]).expect_err("half");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let mut bent = whole.clone();
    let crc = bent.len() - 6;
    bent[crc] ^= 1;
    assert_eq!(HistoryFile::spool(bent.as_slice()).expect_err("bent").kind(), io::ErrorKind::InvalidData);
    let trailing = [whole.as_slice(), b"rubbish"].concat();
    assert!(HistoryFile::spool(trailing.as_slice()).is_err());
}

#[test]
fn a_file_that_somebody_changes_is_refused() {
    let mut on_disk = file(TEXT.as_bytes());
    let mut source = HistoryFile::open(on_disk.path()).expect("plain");
    assert_eq!(walk(&mut source).len(), 4);
    on_disk.write_all(b"\n{}\n").expect("append");
    assert_eq!(source.rewind().expect_err("changed").kind(), io::ErrorKind::InvalidData);
    let mut line = String::new();
    assert_eq!(source.line_at(0, &mut line).expect_err("changed").kind(), io::ErrorKind::InvalidData);
}
