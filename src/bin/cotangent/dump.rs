//! `cotangent dump`.

use std::io::Write;

use cotangent::opt::{OptOptions, optimize};
use cotangent::{Engine, Options, Stage};

use crate::args::{DumpArgs, DumpFormat, DumpStage};
use crate::failure::Failure;
use crate::model;

pub(crate) fn dump(args: &DumpArgs) -> Result<(), Failure> {
    if args.stage == DumpStage::Grad && args.loss.loss.is_none() {
        model::wrong_usage("--stage grad needs --loss, the output whose gradient to write");
    }
    let is_graph = matches!(args.stage, DumpStage::Graph | DumpStage::Grad | DumpStage::Opt);
    if !is_graph && args.format != DumpFormat::Text {
        model::wrong_usage("the stages plan, clif and asm are written as text only");
    }
    let known = model::known(&args.model)?;
    let model = model::load(&args.model, &known)?;
    let program = match args.stage {
        DumpStage::Graph => model.program().clone(),
        _ => model::program(&model, &args.loss)?,
    };
    // The interpreter takes no compilation, and stages are made when they are asked for.
    let stage = |stage| -> Result<String, Failure> {
        let executable = program.compile(&Options::engine(Engine::Interp)).map_err(Failure::new)?;
        executable.dump(stage).map_err(Failure::new)
    };
    let text = match args.stage {
        DumpStage::Plan => stage(Stage::Plan)?,
        DumpStage::Clif => stage(Stage::Clif)?,
        DumpStage::Asm => stage(Stage::Assembly)?,
        DumpStage::Graph | DumpStage::Grad | DumpStage::Opt => {
            let mut graph = program.graph;
            if args.stage == DumpStage::Opt {
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
