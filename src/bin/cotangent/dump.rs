//! `cotangent dump`.

use std::io::Write;
use std::path::Path;

use cotangent::io::expect_writable;
use cotangent::opt::{OptOptions, optimize};
use cotangent::{Options, Stage};

use crate::args::{DumpArgs, DumpFormat, DumpStage};
use crate::failure::Failure;
use crate::model;

pub(crate) fn dump(args: &DumpArgs) -> Result<(), Failure> {
    let stage = args.stage.unwrap_or(if args.loss.loss.is_some() { DumpStage::Grad } else { DumpStage::Graph });
    if stage == DumpStage::Grad && args.loss.loss.is_none() {
        return Err(Failure::usage("--stage grad needs --loss, the output whose gradient to write"));
    }
    let format = format(args)?;
    let is_graph = matches!(stage, DumpStage::Graph | DumpStage::Grad | DumpStage::Opt);
    if !is_graph && format != DumpFormat::Text {
        return Err(Failure::usage("the stages plan, clif and asm are written as text only"));
    }
    if let Some(path) = &args.output {
        expect_writable(path).map_err(|error| Failure::from(error).of("--output"))?;
    }
    let given = model::given(&args.model)?;
    let model = model::load(&args.model, &given)?;
    let program = match stage {
        DumpStage::Graph => model.program().clone(),
        _ => model::program(&model, &args.loss)?,
    };
    let text_of = |stage| program.dump(&Options::default(), stage).map_err(Failure::new);
    let text = match stage {
        DumpStage::Plan => text_of(Stage::Plan)?,
        DumpStage::Clif => text_of(Stage::Clif)?,
        DumpStage::Asm => text_of(Stage::Assembly)?,
        DumpStage::Graph | DumpStage::Grad | DumpStage::Opt => {
            let mut graph = program.graph;
            if stage == DumpStage::Opt {
                graph = optimize(&graph, &OptOptions::default()).graph;
            }
            match format {
                DumpFormat::Text => graph.to_string(),
                DumpFormat::Math => graph.to_math().to_string(),
                DumpFormat::Latex => graph.to_math().latex().to_string(),
                DumpFormat::Dot => graph.graphviz().to_string(),
                DumpFormat::Svg => {
                    graph.svg().map_err(|error| Failure::new(error).hint("--format dot writes it so"))?
                }
                DumpFormat::Json => format!("{:#}", graph.json()),
            }
        }
    };
    let text = format!("{}\n", text.trim_end());
    match &args.output {
        None => std::io::stdout().lock().write_all(text.as_bytes())?,
        Some(path) => std::fs::write(path, text)
            .map_err(|error| Failure::new(format_args!("--output {}: {error}", path.display())))?,
    }
    Ok(())
}

/// The extensions of files, and the formats that they ask for.
const EXTENSIONS: [(&str, &[DumpFormat]); 9] = [
    ("cot", &[DumpFormat::Text]),
    ("txt", &[DumpFormat::Text, DumpFormat::Math]),
    ("svg", &[DumpFormat::Svg]),
    ("dot", &[DumpFormat::Dot]),
    ("gv", &[DumpFormat::Dot]),
    ("json", &[DumpFormat::Json]),
    ("tex", &[DumpFormat::Latex]),
    ("clif", &[DumpFormat::Text]),
    ("s", &[DumpFormat::Text]),
];

/// The format that is asked for, by --format or by the extension of the file.
fn format(args: &DumpArgs) -> Result<DumpFormat, Failure> {
    let extension = args.output.as_deref().and_then(Path::extension).map(|e| e.to_string_lossy().to_ascii_lowercase());
    let Some(extension) = extension else { return Ok(args.format.unwrap_or(DumpFormat::Text)) };
    let known = EXTENSIONS.iter().find(|(known, _)| *known == extension).map(|(_, formats)| *formats);
    match (args.format, known) {
        (Some(format), None) => Ok(format),
        (Some(format), Some(formats)) if formats.contains(&format) => Ok(format),
        (Some(format), Some(_)) => {
            let word = format!("{format:?}").to_lowercase();
            eprintln!("note: --output has the extension .{extension}, what is written is {word}, as --format says");
            Ok(format)
        }
        (None, Some(formats)) => Ok(formats[0]),
        (None, None) => {
            let list: Vec<String> = EXTENSIONS.iter().map(|(known, _)| format!(".{known}")).collect();
            Err(Failure::usage(format_args!(
                "--output: the extension .{extension} tells no format; there are {}, or --format tells it",
                list.join(", ")
            )))
        }
    }
}
