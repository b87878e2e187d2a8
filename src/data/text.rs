//! Texts as sequences of character numbers, and windows of them.
//!
//! ```text
//!   "to be" --Text::new--> codes [4, 3, 0, 1, 2] of the vocabulary " beot" --windows--> (codes of a window, codes one further) in batches
//! ```

use std::fmt;
use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::array::ArrayView;

/// A text as numbers of its characters in a vocabulary.
#[derive(Clone, PartialEq, Eq)]
pub struct Text {
    codes: Vec<i32>,
    vocabulary: Arc<[char]>,
}

impl fmt::Debug for Text {
    /// `Text(1115394 characters, 65 different)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} characters, {} different)", self.codes.len(), self.vocabulary.len())
    }
}

impl Text {
    /// The text, with its different characters in ascending order as vocabulary.
    ///
    /// ```
    /// let text = cotangent::data::Text::new("to be");
    /// assert_eq!(text.vocabulary(), [' ', 'b', 'e', 'o', 't']);
    /// assert_eq!(text.codes(), [4, 3, 0, 1, 2]);
    /// ```
    pub fn new(text: &str) -> Text {
        let mut vocabulary: Vec<char> = text.chars().collect();
        vocabulary.sort_unstable();
        vocabulary.dedup();
        let empty = Text { codes: Vec::new(), vocabulary: vocabulary.into() };
        let codes = empty.encode(text).expect("the vocabulary is made of the text");
        Text { codes, ..empty }
    }

    /// The numbers of the text's characters, in order. Each is smaller than the length of the vocabulary.
    pub fn codes(&self) -> &[i32] {
        &self.codes
    }

    /// The characters that have numbers, ascending.
    pub fn vocabulary(&self) -> &[char] {
        &self.vocabulary
    }

    /// Number of characters.
    pub fn len(&self) -> usize {
        self.codes.len()
    }

    /// True if there are no characters.
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    /// The numbers of the characters of another text.
    ///
    /// # Errors
    /// The first character that is not in the vocabulary.
    pub fn encode(&self, text: &str) -> Result<Vec<i32>, char> {
        let code = |c: char| self.vocabulary.binary_search(&c).map(|at| at as i32).map_err(|_| c);
        text.chars().map(code).collect()
    }

    /// The text of these numbers; those that no character has become U+FFFD.
    pub fn decode(&self, codes: &[i32]) -> String {
        let of = |&code: &i32| usize::try_from(code).ok().and_then(|at| self.vocabulary.get(at).copied());
        codes.iter().map(|code| of(code).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    }

    /// The first `len` characters, to learn from, and all others, to test with. Both keep the vocabulary.
    ///
    /// # Panics
    /// If there are fewer characters.
    #[track_caller]
    pub fn split_at(&self, len: usize) -> (Text, Text) {
        assert!(len <= self.len(), "split_at: the text has {} characters, not {len}", self.len());
        let part = |codes: &[i32]| Text { codes: codes.to_vec(), vocabulary: self.vocabulary.clone() };
        let (first, second) = self.codes.split_at(len);
        (part(first), part(second))
    }

    /// Windows of `length` characters in batches of `batch`: pairs of the characters and those that follow them, both `i32[batch, length]`.
    ///
    /// # Panics
    /// If `length` or `batch` is 0, or the text is too short for one batch, which takes `length * (batch + 1) + 1` characters.
    #[track_caller]
    pub fn windows(&self, length: usize, batch: usize, seed: u64) -> Windows<'_> {
        assert!(length > 0 && batch > 0, "windows: a batch has a window, and a window a character");
        // One window fewer than fit, so that windows may begin anywhere in the first `length` characters.
        let count = (self.len().saturating_sub(1) / length).saturating_sub(1);
        assert!(count >= batch, "windows: {} characters have no {batch} windows of {length}", self.len());
        Windows {
            text: self,
            length,
            batch,
            seed,
            starts: (0..count).collect(),
            inputs: vec![0; count * length],
            targets: vec![0; count * length],
        }
    }
}

/// Windows of a text in batches, other ones and in another order in each epoch. See [`Text::windows`].
#[derive(Clone, Debug)]
pub struct Windows<'a> {
    text: &'a Text,
    length: usize,
    batch: usize,
    seed: u64,
    /// First character of each window.
    starts: Vec<usize>,
    /// The characters of all windows of the epoch, one window behind the other.
    inputs: Vec<i32>,
    /// The characters behind those.
    targets: Vec<i32>,
}

impl Windows<'_> {
    /// Number of batches in an epoch.
    pub fn batches_per_epoch(&self) -> usize {
        self.starts.len() / self.batch
    }

    /// The batches of epoch `number`: pairs of views `i32[batch, length]`, the second one character further in the text than the first. The windows of an
    /// epoch lie side by side from a random place on and come in random order; both depend on the seed and the number alone. Windows that do not fill a
    /// last batch are left out.
    ///
    /// ```
    /// let text = cotangent::data::coriolanus();
    /// let mut windows = text.windows(64, 32, 0);
    /// for (xs, ys) in windows.epoch(0) {
    ///     assert_eq!((&xs.shape()[..], &ys.shape()[..]), (&[32, 64][..], &[32, 64][..]));
    ///     assert_eq!(xs.as_slice::<i32>()?[1], ys.as_slice::<i32>()?[0]);
    /// }
    /// # Ok::<(), cotangent::ArrayError>(())
    /// ```
    pub fn epoch(&mut self, number: u64) -> impl ExactSizeIterator<Item = (ArrayView<'_>, ArrayView<'_>)> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(number);
        // The product of a 64-bit number and the range, without its lower half, is a number in the range; its bias is below 2^-32.
        let mut below = |n: usize| ((u128::from(rng.next_u64()) * n as u128) >> 64) as usize;
        let first = below(self.length);
        self.starts.iter_mut().enumerate().for_each(|(i, start)| *start = first + i * self.length);
        for i in (1..self.starts.len()).rev() {
            self.starts.swap(i, below(i + 1));
        }
        for (window, &start) in self.starts.iter().enumerate() {
            let to = window * self.length..(window + 1) * self.length;
            self.inputs[to.clone()].copy_from_slice(&self.text.codes[start..start + self.length]);
            self.targets[to].copy_from_slice(&self.text.codes[start + 1..start + 1 + self.length]);
        }
        let (shape, size) = ([self.batch, self.length], self.batch * self.length);
        let batches = self.inputs.chunks_exact(size).zip(self.targets.chunks_exact(size));
        let view = move |codes| ArrayView::new(shape, codes).expect("a chunk is a batch");
        batches.map(move |(inputs, targets)| (view(inputs), view(targets)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_characters_are_inverse() {
        let text = Text::new("tränen\nund ä");
        assert_eq!(text.decode(text.codes()), "tränen\nund ä");
        assert_eq!(text.encode("dunä"), Ok(text.encode("dunä").unwrap()));
        assert_eq!(text.encode("dux"), Err('x'));
        assert_eq!(text.decode(&[-1, 0, 100]), "\u{fffd}\n\u{fffd}");
        let (first, second) = text.split_at(6);
        assert_eq!((first.decode(first.codes()), second.decode(second.codes())), ("tränen".into(), "\nund ä".into()));
        assert_eq!(first.vocabulary(), second.vocabulary());
        assert!(Text::new("").is_empty());
    }

    #[test]
    fn the_windows_of_an_epoch_are_different_parts_of_the_text() {
        let letters: String = ('\u{100}'..'\u{200}').collect();
        let text = Text::new(&letters);
        let mut windows = text.windows(7, 5, 3);
        assert_eq!(windows.batches_per_epoch(), 7);
        let mut orders = Vec::new();
        for epoch in 0..20 {
            let mut seen = Vec::new();
            assert_eq!(windows.epoch(epoch).len(), 7);
            for (xs, ys) in windows.epoch(epoch) {
                let (xs, ys) = (xs.as_slice::<i32>().unwrap().to_vec(), ys.as_slice::<i32>().unwrap().to_vec());
                assert!(xs.iter().zip(&ys).all(|(x, y)| x + 1 == *y), "a target is the next character");
                assert!(xs.chunks(7).all(|w| w.windows(2).all(|p| p[0] + 1 == p[1])), "a window is a part of the text");
                seen.extend(xs);
            }
            orders.push(seen.clone());
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), 7 * 5 * 7, "no character comes twice");
        }
        let again: Vec<i32> = windows.epoch(4).flat_map(|(xs, _)| xs.as_slice::<i32>().unwrap().to_vec()).collect();
        assert_eq!(again, orders[4]);
        orders.sort();
        orders.dedup();
        assert_eq!(orders.len(), 20);
    }

    #[test]
    #[should_panic(expected = "windows: 15 characters have no 2 windows of 5")]
    fn a_text_may_be_too_short() {
        let _ = Text::new("aaaaabbbbbccccc").windows(5, 2, 0);
    }
}
