//! File tests: one file holds a graph, what to do with it and the text that comes out.
//!
//! ```text
//! ;; grad y x | print                       commands, from left to right
//! %0 = input {name="x"} : f32[2]            a graph in the text form
//! ...
//! output "y" = %1
//! input "x" = [1, 2]                        values of inputs and parameters, for `run`
//! ----
//! ...                                       expected text
//! ```
//!
//! A command turns the graph into another graph or into text; if a graph is left at the end, it is printed. To add a command, add an arm to [`step`].
//! `UPDATE_EXPECT=1 cargo test --test filetests` rewrites the expected texts, `FILETESTS=grad` runs only the files whose path holds that word.

use std::fs;
use std::panic;
use std::path::{Path, PathBuf};

use cotangent::graph::{parse, verify};
use cotangent::half::{bf16, f16};
use cotangent::opt::{self, Level, OptOptions};
use cotangent::prim::Op;
use cotangent::{Array, DType, Graph, NodeId, TensorType, grad, interp, plan};

/// What a command makes of a graph.
enum Step {
    Graph(Graph),
    Text(String),
}

/// Runs one command. `values` are the lines that bind inputs and parameters.
fn step(command: &str, args: &[&str], graph: Graph, values: &[(&str, &str)]) -> Result<Step, String> {
    Ok(match (command, args) {
        ("print", []) => Step::Graph(graph),
        ("print", ["without-origins"]) => Step::Text(graph.text().origins(false).to_string()),
        ("verify", []) => Step::Text(verify(&graph).map_or_else(|e| format!("{e}\n"), |()| "valid\n".to_owned())),
        ("math", []) => Step::Text(graph.to_math().to_string()),
        ("latex", []) => Step::Text(graph.to_math().latex().to_string()),
        ("derivation", []) => Step::Text(graph.derivation().to_string()),
        ("graphviz", []) => Step::Text(graph.graphviz().to_string()),
        ("plan", []) => {
            let plan = plan::plan(&graph);
            let faults = plan::check::check(&plan).err().unwrap_or_default();
            let faults: String = faults.iter().map(|f| format!("{f}\n")).collect();
            Step::Text(format!("{plan}{faults}"))
        }
        ("optimize", args) => Step::Graph(optimized(&graph, args)?),
        ("grad", [loss, wrt @ ..]) => Step::Graph(append_gradients(graph, loss, wrt)?),
        ("run", []) => Step::Text(run(&graph, values, None)?),
        ("run", [digits]) => {
            Step::Text(run(&graph, values, Some(digits.parse().map_err(|_| "run: how many digits?")?))?)
        }
        _ => return Err(format!("there is no command `{command}` with {} arguments", args.len())),
    })
}

/// The graph optimized at the level that the one argument names, by the rules that the arguments name, or without arguments at the highest level.
fn optimized(graph: &Graph, args: &[&str]) -> Result<Graph, String> {
    if let Some(unknown) = args.iter().find(|a| !opt::rules().any(|r| r.name == **a) && !["O0", "O1", "O2"].contains(a))
    {
        return Err(format!("there is no rule and no level `{unknown}`"));
    }
    let options = match args {
        [] | ["O2"] => OptOptions::default(),
        ["O1"] => OptOptions { level: Level::O1, ..OptOptions::default() },
        ["O0"] => OptOptions { level: Level::O0, ..OptOptions::default() },
        rules => OptOptions { only: Some(rules), ..OptOptions::default() },
    };
    Ok(opt::optimize(graph, &options).graph)
}

/// The commands, applied to the text up to the line `----`.
fn execute(text: &str) -> Result<String, String> {
    let header = text.lines().next().and_then(|line| line.strip_prefix(";;"));
    let header = header.ok_or("the first line is `;;` and commands")?;
    let bindings = text.lines().filter_map(binding).collect::<Vec<_>>();
    // Lines keep their numbers.
    let graph: Vec<&str> = text.lines().map(|l| if binding(l).is_some() { "" } else { l }).collect();
    let graph = parse(&graph.join("\n"));
    if header.trim() == "error" {
        return graph.map_or_else(|e| Ok(format!("{e}\n")), |_| Err("the graph has no error".to_owned()));
    }
    let mut graph = graph.map_err(|e| e.to_string())?;
    for command in header.split('|') {
        let words: Vec<&str> = command.split_whitespace().collect();
        let (command, args) = words.split_first().ok_or("a command is missing")?;
        match step(command, args, graph, &bindings)? {
            Step::Graph(next) => graph = next,
            Step::Text(text) => return Ok(text),
        }
        verify(&graph).map_err(|e| format!("after `{command}`: {e}"))?;
    }
    let printed = graph.to_string();
    let again = parse(&printed).map_err(|e| format!("the printed graph cannot be read: {e}\n{printed}"))?;
    if again.to_string() != printed {
        return Err(format!("the printed graph is read as another one:\n{}", diff(&printed, &again.to_string())));
    }
    Ok(printed)
}

/// Name and elements in a line such as `input "x" = [1, 2]`.
fn binding(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("input \"")?.split_once("\" = ")
}

/// Appends the gradients of output `loss` by the inputs and parameters `wrt`, as outputs `dloss/dw1` and so on.
fn append_gradients(mut graph: Graph, loss_name: &str, wrt: &[&str]) -> Result<Graph, String> {
    let output = graph.outputs().iter().find(|o| &*o.name == loss_name);
    let loss = output.ok_or_else(|| format!("there is no output `{loss_name}`"))?.node;
    let find = |name: &&str| graph.find(name).ok_or_else(|| format!("there is no input or parameter `{name}`"));
    let nodes: Vec<NodeId> = wrt.iter().map(find).collect::<Result<_, _>>()?;
    let gradients = grad::grad(&mut graph, loss, &nodes).map_err(|e| e.to_string())?;
    for (name, gradient) in wrt.iter().zip(gradients) {
        graph.add_output(format!("d{loss_name}/d{name}"), gradient).map_err(|e| e.to_string())?;
    }
    Ok(graph)
}

/// Interprets the graph and prints outputs and updates, floats with so many digits if told.
fn run(graph: &Graph, values: &[(&str, &str)], digits: Option<usize>) -> Result<String, String> {
    let mut leaves: Vec<(NodeId, Array)> = Vec::new();
    for (name, elements) in values {
        let node = graph.find(name).ok_or_else(|| format!("there is no input or parameter `{name}`"))?;
        leaves.push((node, read_array(graph.ty(node), elements).map_err(|e| format!("input `{name}`: {e}"))?));
    }
    let leaf = |id: NodeId| leaves.iter().find(|(node, _)| *node == id);
    for id in graph.ids() {
        if let (Some(name), None) = (graph.op(id).leaf_name(), leaf(id)) {
            return Err(format!("a line `input {name:?} = [...]` is missing"));
        }
    }
    let results = interp::run(graph, |id, _| &leaf(id).expect("all leaves have values").1);
    let mut text = String::new();
    for (output, value) in graph.outputs().iter().zip(&results.outputs) {
        text += &format!("output {:?} = {} : {}\n", &*output.name, write_array(value, digits), value.ty());
    }
    for (update, value) in graph.updates().iter().zip(&results.updates) {
        let name = graph.op(update.param).leaf_name().expect("updates are of parameters");
        text += &format!("update {:?} = {} : {}\n", &**name, write_array(value, digits), value.ty());
    }
    Ok(text)
}

/// Elements in the form that constants have.
fn read_array(ty: &TensorType, elements: &str) -> Result<Array, String> {
    let constant = parse(&format!("%0 = const {{value={elements}}} : {ty}")).map_err(|e| e.kind.to_string())?;
    match constant.ids().next().map(|id| constant.op(id)) {
        Some(Op::Const(c)) => Ok((*c.value).clone()),
        _ => Err("no constant".to_owned()),
    }
}

fn write_array(array: &Array, digits: Option<usize>) -> String {
    let float = |x: f64, exact: String| match digits {
        Some(n) if x.is_finite() => {
            let rounded = format!("{x:.*e}", n.saturating_sub(1)).parse::<f64>();
            format!("{:?}", rounded.expect("a printed number can be read"))
        }
        _ => exact,
    };
    let f32s = |v: &[f32]| v.iter().map(|&x| float(x.into(), format!("{x:?}"))).collect::<Vec<_>>();
    let f64s = |v: &[f64]| v.iter().map(|&x| float(x, format!("{x:?}"))).collect::<Vec<_>>();
    fn plain<T: ToString>(v: &[T]) -> Vec<String> {
        v.iter().map(T::to_string).collect()
    }
    let words = match array.dtype() {
        DType::Bool => array.as_slice::<bool>().map(plain),
        DType::U8 => array.as_slice::<u8>().map(plain),
        DType::U32 => array.as_slice::<u32>().map(plain),
        DType::I32 => array.as_slice::<i32>().map(plain),
        DType::I64 => array.as_slice::<i64>().map(plain),
        DType::F16 => array.as_slice::<f16>().map(|v| v.iter().map(|x| float(x.to_f64(), format!("{x:?}"))).collect()),
        DType::BF16 => {
            array.as_slice::<bf16>().map(|v| v.iter().map(|x| float(x.to_f64(), format!("{x:?}"))).collect())
        }
        DType::F32 => array.as_slice::<f32>().map(f32s),
        DType::F64 => array.as_slice::<f64>().map(f64s),
    };
    format!("[{}]", words.expect("the array is of its own type").join(", "))
}

/// Lines that only `expected` has with `-`, lines that only `actual` has with `+`, and two common lines around them.
fn diff(expected: &str, actual: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), actual.lines().collect());
    // common[i][j] is the length of the longest common subsequence of a[i..] and b[j..].
    let mut common = vec![vec![0u32; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i][j] = if a[i] == b[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut lines: Vec<(char, &str)> = Vec::new();
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            lines.push((' ', a[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || (i < a.len() && common[i + 1][j] >= common[i][j + 1]) {
            lines.push(('-', a[i]));
            i += 1;
        } else {
            lines.push(('+', b[j]));
            j += 1;
        }
    }
    let near = |k: usize| lines[k.saturating_sub(2)..(k + 3).min(lines.len())].iter().any(|l| l.0 != ' ');
    let mut text = String::new();
    for (k, (mark, line)) in lines.iter().enumerate() {
        if near(k) {
            text += &format!("  {mark} {line}\n");
        } else if k == 0 || near(k - 1) {
            text += "    ...\n";
        }
    }
    text
}

/// All test files below `folder`, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        for entry in entries {
            let path = entry.expect("a folder can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "txt") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Runs one file. With `update`, an unexpected text is written to the file instead of being an error.
fn check(path: &Path, update: bool) -> Result<(), String> {
    let file = fs::read_to_string(path).map_err(|e| e.to_string())?;
    let (text, expected) = file.split_once("\n----\n").ok_or("there is no line `----`")?;
    let actual = panic::catch_unwind(|| execute(text)).map_err(|_| "panicked")??;
    if actual == expected {
        Ok(())
    } else if update {
        fs::write(path, format!("{text}\n----\n{actual}")).map_err(|e| e.to_string())
    } else {
        Err(format!("expected (-) and actual (+) text differ:\n{}", diff(expected, &actual)))
    }
}

#[test]
fn filetests() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/filetests");
    let update = std::env::var_os("UPDATE_EXPECT").is_some_and(|v| v == "1");
    let only = std::env::var("FILETESTS").unwrap_or_default();
    let mut files = files(&folder);
    files.retain(|path| path.strip_prefix(&folder).is_ok_and(|p| p.to_string_lossy().contains(&only)));
    assert!(!files.is_empty(), "there are no files to test");
    let failures: Vec<String> =
        files.iter().filter_map(|path| Some(format!("{}\n{}", path.display(), check(path, update).err()?))).collect();
    assert!(
        failures.is_empty(),
        "{} of {} files failed; UPDATE_EXPECT=1 accepts the actual texts\n\n{}",
        failures.len(),
        files.len(),
        failures.join("\n")
    );
}

#[test]
fn diff_shows_changed_lines_and_their_neighbours() {
    let old = "1\n2\n3\n4\n5\nsame\n";
    let new = "1\n2\n3\n4\nfive\nsame\nmore\n";
    assert_eq!(diff(old, new), "    ...\n    3\n    4\n  - 5\n  + five\n    same\n  + more\n");
}
