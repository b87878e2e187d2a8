//! The counter-based generator Threefry-2x32 with 20 rounds: J. Salmon, M. Moraes, R. Dror and D. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC
//! 2011.

use crate::scalar::lanes::Lanes;

/// The two random words that belong to a key and a counter of two words each. Lanes are 32 bits wide.
pub fn threefry2x32<L: Lanes>(l: &mut L, key: [L::I; 2], counter: [L::I; 2]) -> [L::I; 2] {
    const ROTATIONS: [[u32; 4]; 2] = [[13, 15, 26, 6], [17, 29, 16, 24]];
    let parity = l.iconst(0x1bd1_1bda);
    let third = l.ixor(key[0], key[1]);
    let third = l.ixor(third, parity);
    let schedule = [key[0], key[1], third];
    let (mut a, mut b) = (l.iadd(counter[0], key[0]), l.iadd(counter[1], key[1]));
    for group in 0..5 {
        for rotation in ROTATIONS[group % 2] {
            a = l.iadd(a, b);
            let (up, down) = (l.ishl(b, rotation), l.iushr(b, 32 - rotation));
            b = l.ior(up, down);
            b = l.ixor(b, a);
        }
        let number = l.iconst(group as i64 + 1);
        a = l.iadd(a, schedule[(group + 1) % 3]);
        b = l.iadd(b, schedule[(group + 2) % 3]);
        b = l.iadd(b, number);
    }
    [a, b]
}
