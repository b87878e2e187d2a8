//! Mistakes in building a graph: each panics at the user's line, and says what was applied to what, and where that was built. And each node of a good
//! graph knows the user's line.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

/// What a panic said, and where.
struct Panic {
    file: String,
    line: u32,
    message: String,
}

thread_local! {
    static CAUGHT: RefCell<Option<Option<Panic>>> = const { RefCell::new(None) };
}

/// Runs `f`, which must panic, without the usual report.
fn caught(f: impl FnOnce()) -> Panic {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let taken = CAUGHT.with_borrow_mut(|slot| match slot {
                None => false,
                Some(slot) => {
                    let location = info.location().expect("panics have a location");
                    *slot = Some(Panic {
                        file: location.file().to_owned(),
                        line: location.line(),
                        message: info.payload_as_str().unwrap_or_default().to_owned(),
                    });
                    true
                }
            });
            if !taken {
                usual(info);
            }
        }));
    });
    CAUGHT.set(Some(None));
    let outcome = panic::catch_unwind(AssertUnwindSafe(f));
    let panic = CAUGHT.take().flatten();
    assert!(outcome.is_err(), "no panic");
    panic.expect("the hook sees the panic")
}

/// The message of the panic of an expression, which must be at the expression's own line and contain the given words.
macro_rules! refuses {
    ($e:expr, $($word:expr),+) => {{
        let line = line!();
        let panic = $crate::caught(|| {
            let _ = $e;
        });
        assert_eq!((panic.file.as_str(), panic.line), (file!(), line), "{}", panic.message);
        for word in [$($word),+] {
            assert!(panic.message.contains(word), "`{word}` is not in: {}", panic.message);
        }
        panic.message
    }};
}

mod kinds;
mod lines;
mod misuse;
