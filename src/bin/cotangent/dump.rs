//! `cotangent dump`.

use std::io::Write;

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
    let is_graph = matches!(stage, DumpStage::Graph | DumpStage::Grad | DumpStage::Opt);
    if !is_graph && args.format != DumpFormat::Text {
        return Err(Failure::usage("the stages plan, clif and asm are written as text only"));
    }
    let known = model::known(&args.model)?;
    let model = model::load(&args.model, &known)?;
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
            match args.format {
                DumpFormat::Text => graph.to_string(),
                DumpFormat::Math => graph.to_math().to_string(),
                DumpFormat::Latex => graph.to_math().latex().to_string(),
                DumpFormat::Dot => graph.graphviz().to_string(),
                DumpFormat::Svg => graph.svg().map_err(Failure::new)?,
                DumpFormat::Json => format!("{:#}", graph.json()),
            }
        }
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", text.trim_end())?;
    Ok(())
}
