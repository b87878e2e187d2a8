//! The program `cotangent`, end to end: every command, every exit status, the words of its errors.
#![cfg(feature = "cli")]

mod arrays;
mod formats;
mod held;
mod inspect;
mod onnx;
mod proto;
mod resume;
mod roles;
mod run;
mod statuses;
mod train;
mod usage;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cotangent::Array;
use cotangent::io::npy;

/// A folder of one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli").join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    fn write(&self, file: &str, text: impl AsRef<[u8]>) -> &Folder {
        std::fs::write(self.path(file), text).unwrap();
        self
    }

    fn npy(&self, file: &str, array: impl Into<Array>) -> &Folder {
        npy::write(self.path(file), &array.into()).unwrap();
        self
    }

    fn read(&self, file: &str) -> Array {
        npy::read(self.path(file)).unwrap_or_else(|e| panic!("{e}"))
    }

    fn has(&self, file: &str) -> bool {
        self.path(file).exists()
    }

    /// Runs the program in this folder, with words that spaces separate.
    fn cotangent(&self, words: &str) -> Done {
        self.cotangent_words(&words.split_whitespace().collect::<Vec<_>>())
    }

    fn cotangent_words(&self, words: &[&str]) -> Done {
        let output = Command::new(env!("CARGO_BIN_EXE_cotangent")).args(words).current_dir(&self.0).output().unwrap();
        Done { words: words.join(" "), output }
    }
}

/// What the program did.
struct Done {
    words: String,
    output: Output,
}

impl Done {
    fn status(&self) -> i32 {
        self.output.status.code().expect("the program ended by itself")
    }

    fn out(&self) -> String {
        String::from_utf8(self.output.stdout.clone()).unwrap()
    }

    fn err(&self) -> String {
        String::from_utf8(self.output.stderr.clone()).unwrap()
    }

    #[track_caller]
    fn succeeds(self) -> Done {
        assert_eq!((self.status(), self.err()), (0, String::new()), "{}", self.words);
        self
    }

    /// Checks that the program succeeds and notes this on the standard error.
    #[track_caller]
    fn notes(self, telling: &str) -> Done {
        assert_eq!(self.status(), 0, "{}: {}", self.words, self.err());
        let error = self.err();
        assert!(error.starts_with("note: ") && error.contains(telling), "{}: {error:?}", self.words);
        self
    }

    /// Checks that the program ends with this status and tells of all of these.
    #[track_caller]
    fn fails(self, status: i32, telling: &[&str]) -> Done {
        let error = self.err();
        assert_eq!(self.status(), status, "{}: {error}", self.words);
        assert!(error.starts_with("error: "), "{}: {error}", self.words);
        assert!(!error.contains('\x1b'), "no colours where there is no terminal: {error:?}");
        for part in telling {
            assert!(error.contains(part), "{}: {error:?} tells of {part:?}", self.words);
        }
        self
    }
}

/// A model of two layers in the text form.
const MODEL: &str = r#"
%x = input {name="x"} : f32[2, 3]
%y = input {name="y"} : i32[2]
%w = param {name="fc.weight", kind=trainable} : f32[3, 2]
%d = dot %x, %w {lhs_batch=[], rhs_batch=[], lhs_contract=[1], rhs_contract=[0]} : f32[2, 2]
%s = reduce %d {kind=sum, axes=[0, 1]} : f32[]
output "layer/logits" = %d
output "loss" = %s
output "labels" = %y
"#;

/// A folder with the model and arrays for it.
fn with_model(name: &str) -> Folder {
    let folder = Folder::new(name);
    folder.write("model.cot", MODEL);
    folder.npy("x.npy", [[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]]);
    folder.npy("y.npy", [0i32, 1]);
    folder.npy("w.npy", [[1.0f32, 0.0], [0.0, 1.0], [1.0, -1.0]]);
    folder
}

/// The words that give the model all it needs.
const GIVEN: &str = "model.cot --input x=x.npy --input y=y.npy --input fc.weight=w.npy";
