//! Data files, good and bad: whatever the bytes, a reader gives a data set or an error that says what is wrong.

#[cfg(feature = "gzip")]
use std::io::Write;
use std::path::{Path, PathBuf};

use cotangent::data::idx::{self, Elements, Idx};
use cotangent::data::{self, DataError, DataErrorKind, Dataset};

/// The bytes of an IDX file.
fn file(code: u8, extents: &[u32], elements: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, code, extents.len() as u8];
    extents.iter().for_each(|e| bytes.extend(e.to_be_bytes()));
    bytes.extend(elements);
    bytes
}

/// A folder that is removed when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("cotangent-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(feature = "gzip")]
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}

#[test]
fn the_shipped_digits_are_read() {
    let digits = data::digits();
    let images = idx::read(shipped("digits-images-idx3-ubyte")).unwrap();
    let labels = idx::read(shipped("digits-labels-idx1-ubyte")).unwrap();
    assert_eq!(images.shape()[..], [1797, 8, 8]);
    let labels = labels.bytes().unwrap();
    // The fifth example is the first of the test set.
    assert_eq!(digits.test.labels()[0], i32::from(labels[4]));
    assert_eq!(digits.train.labels()[..5], [0, 1, 2, 3, 5].map(|i| i32::from(labels[i])));
    let pixels = images.bytes().unwrap();
    let scaled: Vec<f32> = pixels[4 * 64..5 * 64].iter().map(|&p| f32::from(p) / 16.0).collect();
    assert_eq!(digits.test.features()[..64], scaled);
    assert!(digits.train.features().iter().all(|f| (0.0..=1.0).contains(f)));
    let told = format!("Dataset({} examples of f32[8, 8], 10 classes)", digits.test.len());
    assert_eq!(format!("{:?}", digits.test), told);
    assert_eq!(format!("{:?}", data::Text::new("to be")), "Text(5 characters, 5 different)");
}

#[test]
fn every_element_type_is_read() {
    let elements = |code, bytes: &[u8], n| Idx::parse(&file(code, &[n], bytes)).unwrap().elements().clone();
    assert_eq!(elements(0x08, &[1, 255], 2), Elements::U8(vec![1, 255]));
    assert_eq!(elements(0x09, &[1, 255], 2), Elements::I8(vec![1, -1]));
    assert_eq!(elements(0x0b, &[1, 0, 255, 255], 2), Elements::I16(vec![256, -1]));
    assert_eq!(elements(0x0c, &[0, 0, 1, 0], 1), Elements::I32(vec![256]));
    assert_eq!(elements(0x0d, &1.5f32.to_be_bytes(), 1), Elements::F32(vec![1.5]));
    assert_eq!(elements(0x0e, &(-2.5f64).to_be_bytes(), 1), Elements::F64(vec![-2.5]));
    assert_eq!(Idx::parse(&file(0x08, &[], &[7])).unwrap().shape().rank(), 0);
    assert_eq!(elements(0x08, &[], 0), Elements::U8(vec![]));
}

#[test]
fn malformed_files_say_what_is_wrong() {
    let cases: [(Vec<u8>, &str); 10] = [
        (vec![], "the file is empty"),
        (vec![0, 0, 8], "not an IDX file: it begins with the bytes [00, 00, 08]"),
        (
            b"PNG\x01".to_vec(),
            "not an IDX file: it begins with the bytes [50, 4e, 47, 01], expected 00 00, an element type",
        ),
        (file(0x0a, &[1], &[1]), "not an IDX file: it begins with the bytes [00, 00, 0a, 01]"),
        (vec![0, 0, 8, 3, 0, 0, 0, 1], "truncated: 16 bytes expected for the header, 8 found"),
        (file(8, &[2, 3], &[0; 5]), "truncated: 18 bytes expected for the shape [2, 3], 17 found"),
        (file(8, &[2, 3], &[0; 7]), "bytes behind the end: 18 bytes expected for the shape [2, 3], more found"),
        (file(0x0d, &[2], &[0; 7]), "truncated: 16 bytes expected for the shape [2], 15 found"),
        (
            file(8, &[u32::MAX; 3], &[0; 9]),
            "the header announces [4294967295, 4294967295, 4294967295] elements, more than memory has addresses",
        ),
        // As much as can be addressed, but is not there: no memory is taken for it.
        (file(8, &[u32::MAX, 1 << 20], &[0; 9]), "truncated: 4503599626321932 bytes expected"),
    ];
    for (bytes, want) in cases {
        let error = Idx::parse(&bytes).unwrap_err().to_string();
        assert!(error.starts_with(want), "{error}\nexpected\n{want}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = Folder::new("unreadable");
    let error = idx::read(folder.0.join("absent")).unwrap_err().to_string();
    assert!(error.contains("absent: cannot read: "), "{error}");
    let error = idx::read(&folder.0).unwrap_err();
    assert!(matches!(error.kind, DataErrorKind::Read(_)), "{error}");
    let error = idx::read(folder.write("short", &file(8, &[9], &[1]))).unwrap_err().to_string();
    assert!(error.ends_with("short: truncated: 17 bytes expected for the shape [9], 9 found"), "{error}");
}

fn dataset(images: &[u8], labels: &[u8]) -> Result<Dataset, DataError> {
    let parse = |bytes| Idx::parse(bytes).unwrap();
    Dataset::from_idx(("images", &parse(images)), ("labels", &parse(labels)), 10, 1.0)
}

#[test]
fn images_and_labels_that_do_not_fit_say_so() {
    let (images, labels) = (file(8, &[2, 1, 2], &[1, 2, 3, 4]), file(8, &[2], &[9, 0]));
    let set = dataset(&images, &labels).unwrap();
    assert_eq!((set.features(), set.labels()), (&[1.0, 2.0, 3.0, 4.0][..], &[9, 0][..]));
    let cases: [(Vec<u8>, Vec<u8>, &str); 6] = [
        (images.clone(), file(8, &[3], &[1, 2, 3]), "labels: 3 labels for the 2 examples of images"),
        (
            images.clone(),
            file(8, &[2], &[9, 10]),
            "labels: label 10 at position 1 is out of range: there are 10 classes, 0 to 9",
        ),
        (images.clone(), images.clone(), "labels: labels have one axis, but the shape is [2, 1, 2]"),
        (
            file(8, &[], &[1]),
            labels.clone(),
            "images: examples have one axis or more, the first of which counts them, but the shape is []",
        ),
        (file(0x0d, &[2], &[0; 8]), labels.clone(), "images: the elements are f32, expected u8"),
        (images.clone(), file(0x0c, &[2], &[0; 8]), "labels: the elements are i32, expected u8"),
    ];
    for (images, labels, want) in cases {
        assert_eq!(dataset(&images, &labels).unwrap_err().to_string(), want);
    }
    let error = Dataset::new("mine", vec![0.0; 5], [2], vec![0, 0], 2).unwrap_err();
    assert!(matches!(error.kind, DataErrorKind::Counts { labels: 2, .. }), "{error}");
    let error = Dataset::new("mine", vec![0.0; 2], [1], vec![0, -1], 2).unwrap_err().to_string();
    assert_eq!(error, "mine: label -1 at position 1 is out of range: there are 2 classes, 0 to 1");
}

/// Whatever is cut off or changed, reading gives a value or an error. The count of both is checked, so that the test is known to reach both.
#[test]
fn no_bytes_make_a_reader_panic() {
    let good = file(8, &[3, 2, 2], &[1; 12]);
    let labels = file(8, &[3], &[1, 2, 3]);
    let (mut read, mut refused) = (0, 0);
    let mut try_bytes = |bytes: &[u8]| match Idx::parse(bytes) {
        Ok(idx) => {
            let other = Idx::parse(&labels).unwrap();
            let _ = Dataset::from_idx(("a", &idx), ("b", &other), 4, 1.0);
            let _ = Dataset::from_idx(("a", &other), ("b", &idx), 4, 1.0);
            read += 1;
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            refused += 1;
        }
    };
    for len in 0..good.len() {
        try_bytes(&good[..len]);
    }
    // A small generator (Knuth's MMIX constants) is enough to vary bytes.
    let mut state = 1u64;
    let mut random = move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize
    };
    for _ in 0..20_000 {
        let mut bytes = good.clone();
        for _ in 0..1 + random() % 3 {
            let at = random() % bytes.len();
            bytes[at] = match random() % 3 {
                0 => random() as u8,
                1 => bytes[at] ^ (1 << (random() % 8)),
                _ => 0,
            };
        }
        bytes.truncate(bytes.len() - random() % 3);
        try_bytes(&bytes);
    }
    assert!(read > 1000 && refused > 1000, "{read} read, {refused} refused");
}

#[cfg(feature = "gzip")]
#[test]
fn gzipped_files_are_known_by_their_bytes_and_bad_ones_refused() {
    let folder = Folder::new("gzip");
    let plain = file(8, &[100], &[5; 100]);
    let zipped = gzip(&plain);
    let idx = idx::read(folder.write("good", &zipped)).unwrap();
    assert_eq!(idx, Idx::parse(&plain).unwrap());
    for len in 2..zipped.len() {
        let result = idx::read(folder.write("cut", &zipped[..len]));
        // The checksum behind the data is read with the end of the file.
        assert!(result.is_err(), "{len} of {} bytes", zipped.len());
    }
    let mut wrong = zipped.clone();
    let crc = wrong.len() - 8;
    wrong[crc] ^= 1;
    let error = idx::read(folder.write("crc", &wrong)).unwrap_err().to_string();
    assert!(error.contains("crc: cannot read: "), "{error}");
    let error = idx::read(folder.write("not-idx", &gzip(b"hello"))).unwrap_err().to_string();
    assert!(error.contains("not an IDX file"), "{error}");
}

#[cfg(feature = "gzip")]
#[test]
fn a_folder_in_mnists_layout_is_read_plain_or_gzipped() {
    let folder = Folder::new("mnist");
    let (images, labels) = (file(8, &[2, 2, 2], &[255; 8]), file(8, &[2], &[3, 7]));
    folder.write("train-images-idx3-ubyte", &images);
    folder.write("train-labels-idx1-ubyte.gz", &gzip(&labels));
    folder.write("t10k-images-idx3-ubyte.gz", &gzip(&images));
    let error = data::mnist(&folder.0).unwrap_err();
    assert!(error.file.ends_with("t10k-labels-idx1-ubyte"), "{error}");
    assert!(matches!(error.kind, DataErrorKind::NotFound));

    folder.write("t10k-labels-idx1-ubyte", &labels);
    let mnist = data::mnist(&folder.0).unwrap();
    assert_eq!(mnist.train, mnist.test);
    assert_eq!((mnist.train.features(), mnist.train.labels()), (&[1.0; 8][..], &[3, 7][..]));

    // Some archives have a dot in the names.
    std::fs::rename(folder.0.join("train-images-idx3-ubyte"), folder.0.join("train-images.idx3-ubyte")).unwrap();
    std::fs::rename(folder.0.join("train-labels-idx1-ubyte.gz"), folder.0.join("train-labels.idx1-ubyte.gz")).unwrap();
    assert_eq!(data::mnist(&folder.0).unwrap(), mnist);

    folder.write("t10k-images-idx3-ubyte.gz", &gzip(&file(8, &[2, 1, 2], &[255; 4])));
    let error = data::mnist(&folder.0).unwrap_err().to_string();
    assert!(error.contains("t10k-images-idx3-ubyte.gz: examples have shape [1, 2], those of "), "{error}");
}

fn numbered(len: usize) -> Dataset {
    let features = (0..2 * len).map(|i| i as f32).collect();
    let labels = (0..len as i32).collect();
    Dataset::new("numbers", features, [2], labels, len).unwrap()
}

#[test]
fn batches_in_order_are_views_of_the_data() {
    let set = numbered(7);
    let batches: Vec<_> = set.batches(3).collect();
    assert_eq!(batches.len(), 2);
    assert_eq!(batches[1].0.as_slice::<f32>().unwrap(), [6.0, 7.0, 8.0, 9.0, 10.0, 11.0]);
    assert_eq!(batches[1].0.as_slice::<f32>().unwrap().as_ptr(), set.features()[6..].as_ptr());
    assert_eq!(batches[1].1.as_slice::<i32>().unwrap(), [3, 4, 5]);
    assert_eq!(set.batches(8).len(), 0);

    let padded = set.padded(3);
    assert_eq!(padded.len(), 9);
    let last = padded.batches(3).last().unwrap();
    assert_eq!(last.0.as_slice::<f32>().unwrap(), [12.0, 13.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(set.padded(7), set);
}

#[test]
fn shuffled_epochs_are_permutations_fixed_by_seed_and_number() {
    let set = numbered(20);
    let order = |seed, epoch| {
        let mut shuffled = set.shuffled(5, seed);
        let mut labels = Vec::new();
        for (xs, ys) in shuffled.epoch(epoch) {
            let ys = ys.as_slice::<i32>().unwrap();
            let first: Vec<f32> = ys.iter().map(|&y| 2.0 * y as f32).collect();
            assert_eq!(xs.as_slice::<f32>().unwrap().iter().step_by(2).copied().collect::<Vec<_>>(), first);
            labels.extend_from_slice(ys);
        }
        labels
    };
    // Pinned: a seed means the same order for ever.
    assert_eq!(order(0, 0), PINNED);
    assert_ne!(order(0, 0), order(0, 1));
    assert_ne!(order(0, 0), order(1, 0));
    let mut sorted = order(4, 9);
    sorted.sort_unstable();
    assert_eq!(sorted, (0..20).collect::<Vec<_>>());

    // An epoch does not depend on those before it, and its batches lie in the same memory.
    let mut shuffled = set.shuffled(5, 0);
    let place = shuffled.epoch(3).next().unwrap().0.as_slice::<f32>().unwrap().as_ptr();
    let again = shuffled.epoch(0).next().unwrap();
    assert_eq!(again.1.as_slice::<i32>().unwrap(), &PINNED[..5]);
    assert_eq!(again.0.as_slice::<f32>().unwrap().as_ptr(), place);
    assert_eq!(set.shuffled(6, 0).epoch(0).len(), 3);
}

const PINNED: [i32; 20] = [5, 13, 10, 0, 3, 7, 2, 4, 6, 15, 16, 9, 17, 11, 18, 19, 1, 12, 8, 14];

#[test]
fn every_order_is_about_as_likely() {
    let set = numbered(3);
    let mut shuffled = set.shuffled(3, 0);
    let mut counts = std::collections::BTreeMap::new();
    for epoch in 0..6000 {
        let (_, ys) = shuffled.epoch(epoch).next().unwrap();
        *counts.entry(ys.as_slice::<i32>().unwrap().to_vec()).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 6);
    // Five standard deviations.
    assert!(counts.values().all(|&c: &i32| (c - 1000).abs() < 150), "{counts:?}");
}
