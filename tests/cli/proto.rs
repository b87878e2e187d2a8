//! ONNX models that nobody has to export, made of fields of the protocol buffer.

/// Fields, each a number and its bytes.
pub(super) fn message(fields: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let varint = |mut n: u64| {
        let mut bytes = Vec::new();
        while n >= 0x80 {
            bytes.push(n as u8 | 0x80);
            n >>= 7;
        }
        bytes.push(n as u8);
        bytes
    };
    let field = |(number, bytes): &(u64, Vec<u8>)| {
        [varint(number << 3 | 2), varint(bytes.len() as u64), bytes.clone()].concat()
    };
    fields.iter().map(field).collect::<Vec<_>>().concat()
}

/// A field of a small number.
pub(super) fn number(field: u8, n: u8) -> Vec<u8> {
    vec![field << 3, n]
}

/// An input or output of one axis.
pub(super) fn declared(name: &str, element: u8, extent: u8) -> Vec<u8> {
    let shape = message(&[(1, number(1, extent))]);
    let tensor = [number(1, element), message(&[(2, shape)])].concat();
    message(&[(1, name.into()), (2, message(&[(1, tensor)]))])
}

/// A vector of `f32`.
pub(super) fn initializer(name: &str, values: &[f32]) -> Vec<u8> {
    let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    [number(1, values.len() as u8), number(2, 1), message(&[(8, name.into()), (9, data)])].concat()
}

/// A matrix of `f32`, by rows.
pub(super) fn matrix(name: &str, [rows, columns]: [u8; 2], values: &[f32]) -> Vec<u8> {
    let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    [number(1, rows), number(1, columns), number(2, 1), message(&[(8, name.into()), (9, data)])].concat()
}

/// A node of one result.
pub(super) fn node(operator: &str, operands: &[&str], result: &str) -> Vec<u8> {
    let operands = operands.iter().map(|name| (1, name.as_bytes().to_vec()));
    message(&operands.chain([(2, result.into()), (4, operator.into())]).collect::<Vec<_>>())
}

/// A node of several results, with whole numbers as attributes.
pub(super) fn node_with(operator: &str, operands: &[&str], results: &[&str], attributes: &[(&str, u8)]) -> Vec<u8> {
    let texts = |field: u64, names: &[&str]| names.iter().map(|n| (field, n.as_bytes().to_vec())).collect::<Vec<_>>();
    let attribute = |&(name, value): &(&str, u8)| {
        // The type, an integer, is field 20, whose tag has two bytes.
        (5, [message(&[(1, name.into())]), number(3, value), vec![0xa0, 0x01, 2]].concat())
    };
    let mut fields = [texts(1, operands), texts(2, results)].concat();
    fields.push((4, operator.into()));
    fields.extend(attributes.iter().map(attribute));
    message(&fields)
}

/// An input or output of 32-bit floats whose first axis is called `n`.
pub(super) fn batched(name: &str, others: &[u8]) -> Vec<u8> {
    let first = (1, message(&[(2, b"n".to_vec())]));
    let others = others.iter().map(|&extent| (1, number(1, extent)));
    let shape = message(&[first].into_iter().chain(others).collect::<Vec<_>>());
    let tensor = [number(1, 1), message(&[(2, shape)])].concat();
    message(&[(1, name.into()), (2, message(&[(1, tensor)]))])
}

/// A 32-bit float without axes.
pub(super) fn scalar(name: &str, value: f32) -> Vec<u8> {
    [number(2, 1), message(&[(8, name.into()), (9, value.to_le_bytes().to_vec())])].concat()
}

/// A model of this graph.
pub(super) fn model(graph: &[(u64, Vec<u8>)]) -> Vec<u8> {
    [number(1, 8), message(&[(7, message(graph)), (8, number(2, 17))])].concat()
}
