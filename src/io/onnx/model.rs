//! A model as its file says it: what it declares, before anything is known of its inputs.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::Path;

use prost::Message;
use prost::bytes::Bytes;

use crate::array::Array;
use crate::graph::TensorType;

use super::bindings::Bindings;
use super::dtype::OnnxType;
use super::error::{ImportError, ModelError};
use super::held::inlined;
use super::import;
use super::imported::Imported;
use super::proto::{self, dimension, type_value};
use super::tensor::{Budget, External, from_array, tensor_type, to_array};

/// An ONNX model: a graph, its initializers and the versions of the operator sets that it uses.
///
/// ```no_run
/// use cotangent::io::onnx::{Bindings, Model};
///
/// let model = Model::read("mlp.onnx")?;
/// for input in model.inputs() {
///     println!("{input}");
/// }
/// let imported = model.import(&Bindings::new().dim("batch", 32))?;
/// let forward = imported.program().compile(&Default::default())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Model {
    pub(super) proto: proto::Model,
    pub(super) external: External,
}

/// An extent of a declared input or output.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    /// Known.
    Extent(usize),
    /// A name for an extent that the inputs tell, equal wherever it stands.
    Symbol(String),
    /// Nothing is said of it.
    Unknown,
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Extent(n) => write!(f, "{n}"),
            Dim::Symbol(name) => f.write_str(name),
            Dim::Unknown => f.write_str("?"),
        }
    }
}

/// An input or output as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// The name.
    pub name: String,
    /// The element type; `None` if nothing is said, or it is no tensor.
    pub element: Option<OnnxType>,
    /// The extents; `None` if nothing is said, not even of their count.
    pub dims: Option<Vec<Dim>>,
}

impl fmt::Display for Declared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.type_text())
    }
}

impl Declared {
    /// The type as text: `float32[batch, 64]`.
    pub fn type_text(&self) -> String {
        let element = self.element.map_or("?", OnnxType::name);
        match &self.dims {
            None => element.to_owned(),
            Some(dims) => {
                let dims: Vec<String> = dims.iter().map(Dim::to_string).collect();
                format!("{element}[{}]", dims.join(", "))
            }
        }
    }

    fn of(info: &proto::ValueInfo) -> Declared {
        let name = info.name.clone().unwrap_or_default();
        let tensor = match info.r#type.as_ref().and_then(|t| t.value.as_ref()) {
            Some(type_value::Value::Tensor(tensor)) => Some(tensor),
            _ => None,
        };
        let element = tensor.map(|t| OnnxType(t.elem_type.unwrap_or(0)));
        let dims = tensor.and_then(|t| t.shape.as_ref()).map(|shape| {
            let dim = |d: &proto::Dimension| match &d.value {
                Some(dimension::Value::Extent(n)) => usize::try_from(*n).map_or(Dim::Unknown, Dim::Extent),
                Some(dimension::Value::Symbol(name)) if !name.is_empty() => Dim::Symbol(name.clone()),
                _ => Dim::Unknown,
            };
            shape.dim.iter().map(dim).collect()
        });
        Declared { name, element, dims }
    }
}

impl Model {
    /// Reads a model from a file. Data that it keeps in other files are read when it is imported, from its folder only.
    ///
    /// # Errors
    /// If the file cannot be read or is no ONNX model.
    pub fn read(path: impl AsRef<Path>) -> Result<Model, ModelError> {
        let path = path.as_ref();
        let io = |source| ModelError::Io { path: path.to_owned(), source };
        let bytes = crate::io::expect_file(path).and_then(|()| std::fs::read(path)).map_err(io)?;
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => Path::new(".").to_owned(),
        };
        let model = Model::from_bytes(bytes)?;
        Ok(Model { external: External { folder: Some(folder) }, ..model })
    }

    /// The model that these bytes are. It can have no data in other files.
    ///
    /// # Errors
    /// If they are no ONNX model.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Result<Model, ModelError> {
        let bytes = Bytes::from(bytes.into());
        let proto = proto::Model::decode(bytes).map_err(|e| ModelError::Decode(e.to_string()))?;
        if proto.graph.is_none() {
            return Err(ModelError::Decode("there is no graph in it".to_owned()));
        }
        Ok(Model { proto, external: External::default() })
    }

    pub(super) fn graph(&self) -> &proto::Graph {
        self.proto.graph.as_ref().expect("a model has a graph")
    }

    /// The inputs that a run is given, in order. Initializers that the file lists among the inputs, as old ones do, are not among them.
    pub fn inputs(&self) -> Vec<Declared> {
        let graph = self.graph();
        let initialized: HashSet<&str> = graph.initializer.iter().filter_map(|t| t.name.as_deref()).collect();
        let declared = graph.input.iter().map(Declared::of);
        declared.filter(|input| !initialized.contains(&*input.name)).collect()
    }

    /// The results, in order.
    pub fn outputs(&self) -> Vec<Declared> {
        self.graph().output.iter().map(Declared::of).collect()
    }

    /// Names and types of the initializers, as text where the type is not supported.
    pub fn initializers(&self) -> Vec<Declared> {
        let declared = |tensor: &proto::Tensor| Declared {
            name: tensor.name.clone().unwrap_or_default(),
            element: Some(OnnxType(tensor.data_type.unwrap_or(0))),
            dims: Some(tensor.dims.iter().map(|&d| usize::try_from(d).map_or(Dim::Unknown, Dim::Extent)).collect()),
        };
        self.graph().initializer.iter().map(declared).collect()
    }

    /// The initializer of this name.
    ///
    /// # Errors
    /// If there is none, or its data cannot be read.
    pub fn initializer(&self, name: &str) -> Result<Array, ModelError> {
        let tensor = self.graph().initializer.iter().find(|t| t.name.as_deref() == Some(name));
        let tensor = tensor.ok_or_else(|| ModelError::Initializer {
            name: name.to_owned(),
            what: "the model has no such initializer".to_owned(),
        })?;
        to_array(tensor, &self.external, &mut Budget::default()).map_err(|fault| fault.into_error(name))
    }

    /// The versions of the operator sets, by domain. ONNX's own has the empty name.
    pub fn opsets(&self) -> BTreeMap<String, i64> {
        let imports = self.proto.opset_import.iter();
        imports.map(|o| (domain(o.domain.as_deref()).to_owned(), o.version.unwrap_or(0))).collect()
    }

    /// How many nodes of each operator the graph has, those of branches and of bodies included. Operators of other domains are `domain.operator`.
    pub fn operators(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        let mut graphs = vec![self.graph()];
        while let Some(graph) = graphs.pop() {
            for node in &graph.node {
                *counts.entry(operator_name(node)).or_default() += 1;
                graphs.extend(node.attribute.iter().filter_map(|a| a.g.as_deref()));
                graphs.extend(node.attribute.iter().flat_map(|a| &a.graphs));
            }
        }
        counts
    }

    /// The program that wrote the file, if it says so.
    pub fn producer(&self) -> Option<&str> {
        self.proto.producer_name.as_deref().filter(|name| !name.is_empty())
    }

    /// Builds the model's graph for inputs of known shapes.
    ///
    /// # Errors
    /// [`ImportError::Unsupported`] with all operators, attributes and types that are not supported; the other variants if the model is malformed, or the
    /// bindings do not fit it or leave an extent open.
    pub fn import(&self, bindings: &Bindings) -> Result<Imported, ImportError> {
        import::import(self, bindings)
    }

    /// The same model with other values in some initializers, such as trained ones. What it kept in other files it keeps in its own then.
    ///
    /// # Errors
    /// If the model has no initializer of a name, or one of another type, or the data of one cannot be read.
    pub fn with_initializers<'a>(
        &self,
        values: impl IntoIterator<Item = (&'a str, Array)>,
    ) -> Result<Model, ModelError> {
        let mut values: BTreeMap<&str, Array> = values.into_iter().collect();
        let mut model = self.clone();
        let mut budget = Budget::default();
        let graph = model.proto.graph.as_mut().expect("a model has a graph");
        for tensor in &mut graph.initializer {
            let name = tensor.name.clone().unwrap_or_default();
            *tensor = match values.remove(&*name) {
                Some(array) => {
                    let ty = tensor_type(tensor).map_err(|fault| fault.into_error(&name))?;
                    if ty != array.ty() {
                        let what = format!("is {ty} in the model, the new value {}", array.ty());
                        return Err(ModelError::Initializer { name, what });
                    }
                    from_array(&name, &array)
                }
                None if tensor.data_location == Some(proto::EXTERNAL) => {
                    inlined(tensor, &self.external, &mut budget).map_err(|fault| fault.into_error(&name))?
                }
                None => continue,
            };
        }
        if let Some((name, _)) = values.into_iter().next() {
            let what = "the model has no such initializer".to_owned();
            return Err(ModelError::Initializer { name: name.to_owned(), what });
        }
        Ok(model)
    }

    /// The bytes of the model's file.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.proto.encode_to_vec()
    }

    /// Writes the model to a file.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), ModelError> {
        let path = path.as_ref();
        std::fs::write(path, self.to_bytes()).map_err(|source| ModelError::Io { path: path.to_owned(), source })
    }

    /// The type of an initializer, if it is supported.
    pub fn initializer_type(&self, name: &str) -> Option<TensorType> {
        let tensor = self.graph().initializer.iter().find(|t| t.name.as_deref() == Some(name))?;
        tensor_type(tensor).ok()
    }
}

/// A domain's name; ONNX's own has two.
pub(super) fn domain(name: Option<&str>) -> &str {
    match name {
        None | Some("ai.onnx") => "",
        Some(name) => name,
    }
}

/// `Conv`, `com.microsoft.FusedConv`.
pub(super) fn operator_name(node: &proto::Node) -> String {
    let name = node.op_type.as_deref().unwrap_or("");
    match domain(node.domain.as_deref()) {
        "" => name.to_owned(),
        domain => format!("{domain}.{name}"),
    }
}
