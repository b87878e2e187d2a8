//! Arrays that other programs write.

use cotangent::Array;

use super::Folder;

const MODEL: &str = "%x = input {name=\"x\"} : f32[2, 3]\noutput \"y\" = %x\n";

/// An npy file with this header.
fn npy(descr: &str, fortran: &str, shape: &str, elements: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(elements);
    bytes
}

#[test]
fn byte_order_and_order_of_axes_do_not_matter() {
    let folder = Folder::new("orders");
    let expected = Array::from([[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]]);
    let rows = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0];
    let columns = [1.0f32, 4.0, 2.0, 5.0, 3.0, 6.0];
    let big = |v: [f32; 6]| v.map(f32::to_be_bytes).concat();
    let little = |v: [f32; 6]| v.map(f32::to_le_bytes).concat();
    folder.write("model.cot", MODEL);
    for (descr, fortran, elements) in [
        ("<f4", "False", little(rows)),
        (">f4", "False", big(rows)),
        ("<f4", "True", little(columns)),
        (">f4", "True", big(columns)),
    ] {
        folder.write("x.npy", npy(descr, fortran, "(2, 3)", &elements));
        folder.cotangent("run model.cot --input x=x.npy --output-dir out").succeeds();
        assert_eq!(folder.read("out/y.npy"), expected, "{descr} {fortran}");
    }
}

#[test]
fn headers_that_lie_are_told() {
    let folder = Folder::new("hostile");
    folder.write("model.cot", MODEL);
    for (file, telling) in [
        (npy("<f4", "False", "(1099511627776, 1099511627776)", &[]), "more than memory has addresses"),
        (npy("<f4", "False", "(1099511627776,)", &[]), "truncated: 4398046511104 bytes of elements expected, 0 found"),
        (npy("<c16", "False", "(2, 3)", &[]), "`<c16`"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(), "4294967295 bytes long"),
        (b"PK\x03\x04".to_vec(), "npz"),
    ] {
        folder.write("x.npy", file);
        folder.cotangent("run model.cot --input x=x.npy").fails(1, &["x.npy", telling]);
    }
}
