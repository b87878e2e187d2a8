//! How errors show themselves in programs that return them from `main` or unwrap them.

/// Lets `{:?}` print an error as `{}` does. What `main` returns and what `unwrap` finds is printed by the former, and the latter tells what to mend.
macro_rules! debug_as_display {
    ($error:ty) => {
        impl std::fmt::Debug for $error {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }
    };
}
pub(crate) use debug_as_display;
