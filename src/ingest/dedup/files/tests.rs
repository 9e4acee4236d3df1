//! What a window's files give back, whole, torn, damaged and after many generations.

use super::*;

const WINDOW: Duration = Duration::from_secs(10);

fn mark(id: u8, second: u64) -> Mark {
    Mark {
        fingerprint: [id; 16],
        ms: second * MS_PER_SECOND,
    }
}

fn ids(files: &Files) -> (Vec<u8>, u64) {
    let mut ids = Vec::new();
    let found = files.read(|mark| ids.push(mark.fingerprint[0])).unwrap();
    (ids, found.damaged)
}

fn generations(folder: &Path) -> Vec<u64> {
    let names = names(folder).unwrap();
    let mut generations: Vec<_> = names.iter().map(|name| parse(name).unwrap().1).collect();
    generations.sort_unstable();
    generations
}

#[test]
fn marks_are_read_again_in_their_order_and_only_their_own_source_s() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = Files::open(folder.path(), "a").unwrap();
    let mut others = Files::open(folder.path(), "a-b").unwrap();
    files.append(&[mark(1, 1), mark(2, 2)], WINDOW, 9).unwrap();
    others.append(&[mark(3, 3)], WINDOW, 9).unwrap();
    files.append(&[mark(4, 4)], WINDOW, 9).unwrap();
    let mut read = Vec::new();
    let files = Files::open(folder.path(), "a").unwrap();
    files.read(|mark| read.push(mark)).unwrap();
    assert_eq!(read, [mark(1, 1), mark(2, 2), mark(4, 4)]);
    remove_others(folder.path(), |source| source == "a-b").unwrap();
    let removed = Files::open(folder.path(), "a").unwrap();
    assert!(ids(&removed).0.is_empty());
    assert_eq!(ids(&Files::open(folder.path(), "a-b").unwrap()).0, [3]);
}

#[test]
fn a_torn_end_is_written_over_and_a_damaged_entry_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = Files::open(folder.path(), "a").unwrap();
    let marks = [mark(1, 1), mark(2, 2), mark(3, 3)];
    files.append(&marks, WINDOW, 9).unwrap();
    let path = files.path(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[ENTRY_BYTES + 3] ^= 1;
    bytes.truncate(3 * ENTRY_BYTES - 1);
    fs::write(&path, bytes).unwrap();
    let mut files = Files::open(folder.path(), "a").unwrap();
    assert_eq!(ids(&files), (vec![1], 1));
    files.append(&[mark(4, 4)], WINDOW, 9).unwrap();
    assert_eq!(ids(&files), (vec![1, 4], 1));
}

#[test]
fn reserved_zeros_are_no_mark() {
    assert_eq!(decode(&[0; ENTRY_BYTES]), None);
}

#[test]
fn two_generations_hold_the_window_and_older_ones_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = Files::open(folder.path(), "a").unwrap();
    for id in 1..=7 {
        files.append(&[mark(id, 1)], WINDOW, 3).unwrap();
    }
    assert_eq!(generations(folder.path()), [1, 2]);
    assert_eq!(ids(&files).0, [4, 5, 6, 7], "the newest three among them");
    files.append(&[mark(8, 11)], WINDOW, 3).unwrap();
    assert_eq!(generations(folder.path()), [1, 2], "exactly the window");
    files.append(&[mark(9, 12)], WINDOW, 3).unwrap();
    assert_eq!(generations(folder.path()), [2, 3], "by age");
    assert_eq!(ids(&files).0, [7, 8, 9]);
}
