//! The engines that every test of behaviour runs on.

use cotangent::Engine;

/// All engines.
#[allow(dead_code, reason = "not every test file that shares this module uses all of it")]
pub fn engines() -> [Engine; 2] {
    [Engine::Interp, Engine::Jit]
}
