//! Models written by hand, message by message.

use cotangent::DType;

/// A message of the protocol buffers' wire format, written by hand.
#[derive(Clone, Default)]
pub struct Message(pub Vec<u8>);

impl Message {
    pub fn varint(mut self, mut n: u64) -> Message {
        while n >= 128 {
            self.0.push(n as u8 | 128);
            n >>= 7;
        }
        self.0.push(n as u8);
        self
    }

    pub fn int(self, field: u64, n: i64) -> Message {
        self.varint(field << 3).varint(n as u64)
    }

    pub fn bytes(self, field: u64, bytes: &[u8]) -> Message {
        let mut message = self.varint(field << 3 | 2).varint(bytes.len() as u64);
        message.0.extend(bytes);
        message
    }

    /// A number of 32 bits.
    pub fn fixed(self, field: u64, x: f32) -> Message {
        let mut message = self.varint(field << 3 | 5);
        message.0.extend(x.to_le_bytes());
        message
    }

    pub fn text(self, field: u64, text: &str) -> Message {
        self.bytes(field, text.as_bytes())
    }

    pub fn message(self, field: u64, inner: &Message) -> Message {
        self.bytes(field, &inner.0)
    }
}

/// A node of an operator of ONNX's own set.
pub fn node(operator: &str, inputs: &[&str], outputs: &[&str]) -> Message {
    let message = inputs.iter().fold(Message::default(), |m, name| m.text(1, name));
    outputs.iter().fold(message, |m, name| m.text(2, name)).text(4, operator)
}

/// An `f32` tensor of these extents without data, or with them.
pub fn tensor(name: &str, dims: &[i64], data: &[u8]) -> Message {
    let message = dims.iter().fold(Message::default(), |m, &d| m.int(1, d)).int(2, 1).text(8, name);
    if data.is_empty() { message } else { message.bytes(9, data) }
}

/// An `f32` input of these extents.
pub fn input(name: &str, dims: &[i64]) -> Message {
    typed_input(name, DType::F32, dims)
}

/// An input of these extents.
pub fn typed_input(name: &str, dtype: DType, dims: &[i64]) -> Message {
    let shape = dims.iter().fold(Message::default(), |m, &d| m.message(1, &Message::default().int(1, d)));
    let tensor = Message::default().int(1, element_type(dtype)).message(2, &shape);
    Message::default().text(1, name).message(2, &Message::default().message(1, &tensor))
}

/// The number that ONNX gives an element type.
pub fn element_type(dtype: DType) -> i64 {
    match dtype {
        DType::F32 => 1,
        DType::U8 => 2,
        DType::I32 => 6,
        DType::I64 => 7,
        DType::Bool => 9,
        DType::F16 => 10,
        DType::F64 => 11,
        DType::U32 => 12,
        DType::BF16 => 16,
    }
}

/// An attribute's value.
pub enum Value<'a> {
    Int(i64),
    Float(f32),
    Ints(&'a [i64]),
    Text(&'a str),
    Texts(&'a [&'a str]),
    Floats(&'a [f32]),
    Graph(Message),
    Tensor(Message),
}

/// A node with attributes.
pub fn with(node: Message, attributes: &[(&str, Value<'_>)]) -> Message {
    attributes.iter().fold(node, |node, (name, value)| {
        let attribute = Message::default().text(1, name);
        node.message(
            5,
            &match value {
                Value::Int(n) => attribute.int(3, *n).int(20, 2),
                Value::Float(x) => attribute.fixed(2, *x).int(20, 1),
                Value::Ints(list) => list.iter().fold(attribute, |a, &n| a.int(8, n)).int(20, 7),
                Value::Text(text) => attribute.text(4, text).int(20, 3),
                Value::Texts(list) => list.iter().fold(attribute, |a, text| a.text(9, text)).int(20, 8),
                Value::Floats(list) => list.iter().fold(attribute, |a, &x| a.fixed(7, x)).int(20, 6),
                Value::Graph(graph) => attribute.message(6, graph).int(20, 5),
                Value::Tensor(tensor) => attribute.message(5, tensor).int(20, 4),
            },
        )
    })
}

pub struct Graph {
    pub nodes: Vec<Message>,
    pub initializers: Vec<Message>,
    pub inputs: Vec<Message>,
    pub outputs: Vec<&'static str>,
}

pub fn graph(nodes: Vec<Message>, inputs: Vec<Message>, output: &'static str) -> Graph {
    Graph { nodes, initializers: Vec::new(), inputs, outputs: vec![output] }
}

impl Graph {
    pub fn message(&self) -> Message {
        let message = self.nodes.iter().fold(Message::default(), |m, n| m.message(1, n));
        let message = self.initializers.iter().fold(message, |m, t| m.message(5, t));
        let message = self.inputs.iter().fold(message, |m, i| m.message(11, i));
        self.outputs.iter().fold(message, |m, name| m.message(12, &Message::default().text(1, name)))
    }

    pub fn model(&self) -> Vec<u8> {
        self.model_of(18)
    }

    /// The model in this version of ONNX's operator set, and the fifth of that of classical machine learning.
    pub fn model_of(&self, version: i64) -> Vec<u8> {
        let (opset, learning) =
            (Message::default().int(2, version), Message::default().text(1, "ai.onnx.ml").int(2, 5));
        Message::default().int(1, 8).message(7, &self.message()).message(8, &opset).message(8, &learning).0
    }
}
