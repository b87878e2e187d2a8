//! The text form: round trips, what is free in it, and errors with their places.

use std::sync::Arc;

use super::*;
use crate::array::Array;
use crate::graph::{Origin, types, verify};
use crate::prim::{Const, Input, Map, Param, ParamKind};
use crate::scalar::{ScalarFn, Signature};

/// Every operation, as printed.
const EVERY_OP: &str = r#"%0 = input {name="x"} : f32[4, 6]  ; model.rs:3
%1 = param {name="w", kind=trainable} : f32[6, 2]  ; model.rs:4
%2 = param {name="step \"count\"\n", kind=state} : i64[]
%3 = input {name="i"} : i32[3]
%4 = const {value=[1.5, -0.0]} : f32[2]
%5 = iota {axis=1} : i64[4, 6]
%6 = dot %0, %1 {lhs_contract=[1], rhs_contract=[0]} : f32[4, 2]  ; model.rs:5
%7 = dot %0, %0 {lhs_batch=[0], rhs_batch=[0], lhs_contract=[1], rhs_contract=[1]} : f32[4]
%8 = broadcast %4 {axes=[0]} : f32[4, 2]  ; model.rs:6 vjp(add %6) rewrite(fold %3)
%9 = add %6, %8 : f32[4, 2]  ; vjp("odd rule" %6)
%10 = cast %5 : f32[4, 6]  ; rewrite(narrow %5)
%11 = reduce %0 {kind=sum, axes=[0, 1]} : f32[]  ; "odd file: 1.rs":7
%12 = arg_reduce %0 {kind=max, axis=1} : i32[4]
%13 = reshape %0 : f32[24]
%14 = transpose %0 {permutation=[1, 0]} : f32[6, 4]
%15 = slice %0 {start=[3, 1], step=[-1, 2]} : f32[4, 3]
%16 = pad %15 {low=[0, 1], high=[0, 0], interior=[0, 1], value=-inf} : f32[4, 6]
%17 = concat %0, %16, %0 {axis=0} : f32[12, 6]
%18 = gather %0, %3 {batch=0, fill=NaN} : f32[3, 6]
%19 = scatter %0, %3, %18 {combine=add, batch=0} : f32[4, 6]
%20 = const {value=[]} : bool[0, 3]
%21 = mul %1, %1 : f32[6, 2]
%22 = reduce %0 {kind=sum, axes=[0]} : f32[6]
body @0 {
  %0 = param {name="c", kind=state} : f32[6]  ; model.rs:7
  %1 = input {name="x"} : f32[6]
  body @0 {
    %0 = param {name="c", kind=state} : f32[6]
    %1 = neg %0 : f32[6]
    update "c" = %1
  }
  %2 = loop %1 {body=@0, trips=2, sequences=0, keep=carries, carry=0} : f32[6]
  %3 = const {value=[true]} : bool[]
  update "c" = %2
}
%23 = loop %22, %0 {body=@0, trips=4, sequences=1, order=reverse, guard=3, stack=2} : f32[4, 6]  ; model.rs:8
output "y" = %9
output "the \"second\" one" = %19
update "w" = %21
update "step \"count\"\n" = %2
"#;

#[track_caller]
fn round_trip(text: &str) -> Graph {
    let graph = parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert_eq!(graph.to_string(), text);
    graph
}

#[test]
fn every_structural_operation_round_trips() {
    round_trip(EVERY_OP);
}

#[test]
fn every_scalar_function_round_trips() {
    for &f in ScalarFn::ALL {
        let mut graph = Graph::new();
        let mut input = |name: &str, ty| {
            let input = Input { name: name.into(), ty };
            graph.push(input, &[], Origin::default()).unwrap()
        };
        let x = input("x", types::f64([2]));
        let c = input("c", types::bool([2]));
        let i = input("i", types::i64([2]));
        let u = input("u", types::u32([2]));
        let operands = match f.record().signature {
            Signature::Int => vec![i; f.arity()],
            Signature::Words => vec![u; f.arity()],
            Signature::Logic => vec![c; f.arity()],
            Signature::Select => vec![c, x, x],
            _ => vec![x; f.arity()],
        };
        graph.push(Map { f }, &operands, Origin::default()).unwrap();
        round_trip(&graph.to_string());
    }
}

#[test]
fn special_numbers_keep_their_bits() {
    let f32s = vec![
        -f32::NAN,
        f32::from_bits(0x7f80_0001),
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        -0.0,
        1e-45,
        f32::MAX,
        0.1,
    ];
    let f64s = vec![
        -f64::NAN,
        f64::from_bits(0xfff0_0000_0000_0001),
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        -0.0,
        5e-324,
        f64::MAX,
        0.1,
    ];
    let arrays = [
        Array::new([9], f32s).unwrap(),
        Array::new([9], f64s).unwrap(),
        Array::new([2], vec![i64::MIN, i64::MAX]).unwrap(),
        Array::new([2], vec![i32::MIN, i32::MAX]).unwrap(),
        Array::new([1, 2], vec![true, false]).unwrap(),
    ];
    for value in arrays.map(Arc::new) {
        let mut graph = Graph::new();
        let id = graph.push(Const { value }, &[], Origin::default()).unwrap();
        let read = round_trip(&graph.to_string());
        assert_eq!(read.op(id), graph.op(id));
    }
}

#[test]
fn names_comments_and_space_are_free() {
    let text = "; a comment\r\n\n  %x=input{name=\"a\"}:f32[ ];no origin\r\n\t%.-+Z = neg %x : f32[] ; vjp(x\noutput\"y\"=%.-+Z ; 7";
    let printed = "%0 = input {name=\"a\"} : f32[]\n%1 = neg %0 : f32[]\noutput \"y\" = %1\n";
    assert_eq!(parse(text).unwrap().to_string(), printed);
}

#[test]
fn origins_are_left_out_on_request() {
    let graph = parse(EVERY_OP).unwrap();
    let text = graph.text().origins(false).to_string();
    assert!(!text.contains(';'));
    round_trip(&text);
}

#[test]
fn the_source_of_a_built_node_is_read_back() {
    let mut graph = Graph::new();
    let w = Param { name: "w".into(), ty: types::f32([]), kind: ParamKind::Trainable };
    let line = line!() + 1;
    let id = graph.push(w, &[], Origin::caller()).unwrap();
    let read = round_trip(&graph.to_string());
    assert_eq!(read.node(id).origin.source.file_line(), Some(("tests.rs", line)));
}

#[test]
fn the_node_of_a_model_is_read_back() {
    for (operator, name) in [("Gather", "/embed/Gather"), ("com.microsoft.Gelu", "a \"b\"\n"), ("my op", "")] {
        let mut graph = Graph::new();
        let w = Param { name: "w".into(), ty: types::f32([]), kind: ParamKind::Trainable };
        let source = Source::Node { operator: operator.into(), name: name.into() };
        let origin = Origin { source, composite: Some("softmax".into()), ..Origin::default() };
        let id = graph.push(w, &[], origin).unwrap();
        let read = round_trip(&graph.to_string());
        let Source::Node { operator: read_operator, name: read_name } = &read.node(id).origin.source else {
            panic!("{}", read.node(id).origin)
        };
        assert_eq!((&**read_operator, &**read_name), (operator, name));
        assert_eq!(read.node(id).origin.composite.as_deref(), Some("softmax"));
    }
}

#[test]
fn long_chains_are_walked_by_loops() {
    let mut text = "%0 = input {name=\"x\"} : f32[]\n".to_owned();
    for id in 1..50_000 {
        text += &format!("%{id} = neg %{} : f32[]\n", id - 1);
    }
    assert_eq!(verify(&round_trip(&text)), Ok(()));
}

#[test]
fn errors_name_place_and_cause() {
    let x = "%x = input {name=\"x\"} : f32[2, 3]\n";
    let w = "%w = param {name=\"w\", kind=state} : f32[2]\n";
    let table = [
        ("foo", "line 1, column 1: expected a node such as `%0 = ...`, `output`, `update` or `body`, found `foo`"),
        ("  é", "line 1, column 3: expected a node such as `%0 = ...`, `output`, `update` or `body`, found `é`"),
        ("% = neg", "line 1, column 2: expected the name of a node behind `%`, found ` `"),
        ("%0 iota", "line 1, column 4: expected `=`, found `iota`"),
        ("%0 = ", "line 1, column 6: expected the name of an operation, found the end of the line"),
        ("%0 = frob : f32[]", "line 1, column 6: there is no operation called `frob`"),
        ("%0 = neg %1 : f32[]", "line 1, column 10: no line above defines %1"),
        ("%0 = neg %0 : f32[]", "line 1, column 10: no line above defines %0"),
        ("%0 = iota {axis=0}", "line 1, column 19: expected `:` and the type, found the end of the line"),
        (
            "%0 = iota {axis=0} : u16[2]",
            "line 1, column 22: expected an element type: bool, u8, i32, u32, i64, f16, bf16, f32 or f64, found `u16`",
        ),
        ("%0 = iota {axis=0} : f32", "line 1, column 25: expected `[`, found the end of the line"),
        ("%0 = iota {axis=0} : f32[-1]", "line 1, column 26: expected an extent, found `-1`"),
        (
            "%0 = iota {axis=0} : f32[99999999999999999999]",
            "line 1, column 26: expected an extent, found `99999999999999999999`",
        ),
        ("%0 = iota {axis=0} : f32[1 2]", "line 1, column 28: expected `,` or `]`, found `2`"),
        ("%0 = iota {axis=0} : f32[2] x", "line 1, column 29: expected the end of the line, found `x`"),
        ("%0 = iota {axis=0, axis=0} : f32[2]", "line 1, column 20: the attribute `axis` is given twice"),
        ("%0 = iota {axis} : f32[2]", "line 1, column 16: expected `=`, found `}`"),
        ("%0 = iota {axis=} : f32[2]", "line 1, column 17: expected a word, a list or a string, found `}`"),
        ("%0 = iota {axis=0 : f32[2]", "line 1, column 19: expected `,` or `}`, found `:`"),
        ("%0 = iota {axis=[0} : f32[2]", "line 1, column 19: expected `,` or `]`, found `}`"),
        ("%0 = iota : f32[2]", "line 1, column 11: the attribute `axis` is missing"),
        ("%0 = iota {axis=0, a=b} : f32[2]", "line 1, column 11: there is no attribute `a` here"),
        ("%0 = iota {axis=x} : f32[2]", "line 1, column 11: the attribute `axis` is `x`, expected an axis number"),
        ("%0 = iota {axis=1} : f32[2]", "line 1, column 6: iota: axis 1 is out of range for rank 1"),
        ("%0 = input {name=\"x} : f32[2]", "line 1, column 30: expected a closing quote, found the end of the line"),
        (
            "%0 = input {name=\"\\q\"} : f32[2]",
            "line 1, column 19: expected an escape of \\n, \\r, \\t, \\0, \\\\, \\', \\\" and \\u{..}, found `\\\\`",
        ),
        (
            "%0 = input {name=\"x\"} : f32[9999999999, 9999999999]",
            "line 1, column 6: input: the result f32[9999999999, 9999999999] has too many elements",
        ),
        (
            "%0 = const {value=[1]} : i32[2]",
            "line 1, column 12: the attribute `value` has 1 entries, which do not fill i32[2]",
        ),
        ("{x}{x}", "line 2, column 1: %x is defined already"),
        (
            "{x}%y = input {name=\"x\"} : f32[]",
            "line 2, column 6: input: there is an input or parameter called `x` already",
        ),
        ("{x}%y = neg %x : f32[2]", "line 2, column 15: the stated type is f32[2], but the result is f32[2, 3]"),
        ("{x}%y = neg %x %x : f32[2, 3]", "line 2, column 13: expected `:` and the type, found `%`"),
        ("{x}%y = add %x : f32[2, 3]", "line 2, column 6: add(f32[2, 3]): takes 2 operand(s), 1 given"),
        ("{x}%y = add %x, : f32[2, 3]", "line 2, column 14: expected a node such as `%0`, found `:`"),
        ("{x}output y = %x", "line 2, column 8: expected a string in quotes, found `y`"),
        ("{x}output \"y\" %x", "line 2, column 12: expected `=`, found `%`"),
        ("{x}output \"y\" = %z", "line 2, column 14: no line above defines %z"),
        ("{x}output \"y\" = %x\noutput \"y\" = %x", "line 3, column 8: there is an output called `y` already"),
        ("{w}update \"v\" = %w", "line 2, column 8: no line above declares a parameter called \"v\""),
        ("{w}update \"w\" = %w\nupdate %w = %w", "line 3, column 8: parameter `w` has an update already"),
        ("{w}{x}update %w = %x", "line 3, column 8: parameter `w` is f32[2], its update f32[2, 3]"),
        ("{x}update \"x\" = %x", "line 2, column 8: %0 is not a parameter and cannot be updated"),
    ];
    for (text, expected) in table {
        let text = text.replace("{x}", x).replace("{w}", w);
        let error = parse(&text).expect_err(&text);
        assert_eq!(error.to_string(), expected, "{text}");
    }
}

/// A stream of numbers that is the same in every run (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }
}

#[test]
fn garbled_text_is_an_error_or_a_graph() {
    const TOKENS: &[&str] = &[
        "%0",
        "%7",
        "%",
        "=",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        ";",
        "\"",
        "\\",
        "\n",
        " ",
        "-1",
        "0",
        "1",
        "2",
        "3",
        "18446744073709551615",
        "9223372036854775807",
        "-9223372036854775808",
        "f32",
        "bool",
        "i32[3]",
        "NaN",
        "inf",
        "axis",
        "axes",
        "reduce",
        "concat",
        "neg",
        "output",
        "update",
        "vjp(",
        "rewrite(",
        "a.rs:1",
        "\u{1F600}",
        "\0",
    ];
    let random = &mut Random(0x9E37_79B9_7F4A_7C15);
    let mut graphs = 0;
    for _ in 0..20_000 {
        let mut lines: Vec<&str> = EVERY_OP.lines().collect();
        if random.below(8) == 0 {
            let (from, to) = (random.below(lines.len()), random.below(lines.len()));
            lines.swap(from, to);
        }
        let mut text = lines.join("\n").into_bytes();
        for _ in 0..1 + random.below(3) {
            let (at, token) = (random.below(text.len()), TOKENS[random.below(TOKENS.len())]);
            let len = random.below(4).min(text.len() - at);
            match random.below(4) {
                0 => drop(text.drain(at..at + len)),
                1 => text[at] ^= 1 << random.below(8),
                2 => drop(text.splice(at..at + len, token.bytes())),
                _ => drop(text.splice(at..at, token.bytes())),
            }
        }
        if let Ok(graph) = parse(&String::from_utf8_lossy(&text)) {
            graphs += 1;
            assert_eq!(verify(&graph), Ok(()));
            round_trip(&graph.to_string());
        }
    }
    assert!(graphs > 1000, "many garbled texts are graphs: {graphs}");
}
