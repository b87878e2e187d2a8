//! Memory that a run needs, compared with what there is before any of it is taken.
//!
//! An allocation that fails ends the process, and one that the system grants without having the memory ends it later. So everything that a graph's types decide
//! (the arena, results, parameters, values of the interpreter, random arrays) is counted first, with sums that do not overflow.

use std::fmt;
use std::sync::LazyLock;

use rustc_hash::FxHashMap;

use crate::graph::{Graph, NodeId};
use crate::prim::Op;

/// The most bytes that all values of a graph may have together, so that sums of offsets and of traffic stay countable: 2 EiB.
const ADDRESSABLE: usize = isize::MAX as usize / 4;

/// Sums below this are not tried out on the system first.
const SMALL: usize = 1 << 28;

/// Sums below this are not compared with what the machine has, as no machine that compiles has less. To ask takes dozens of files.
const TINY: usize = 1 << 25;

/// More memory than there is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} takes {bytes} bytes ({}), {}: {limit}", Bytes(*.bytes), Total(*.bytes, *.total))]
pub struct Shortage {
    /// The largest value, with its type.
    pub what: String,
    /// Its bytes.
    pub bytes: usize,
    /// The bytes of all that is needed at one time.
    pub total: usize,
    /// What they exceed.
    pub limit: Limit,
}

/// What a need for memory can exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Limit {
    /// The bytes of memory and swap space that the machine has, or that its control group may use.
    #[error("this machine has {} of memory", Bytes(*.0))]
    Machine(usize),
    /// The system refuses to give so much, whatever the machine has.
    #[error("the system does not give so much")]
    System,
    /// No machine could number the bytes.
    #[error("memory does not have so many addresses")]
    Addresses,
}

/// Bytes for people: `1.5 MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub usize);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let unit = (0..UNITS.len() - 1).take_while(|&u| self.0 >> (10 * u) >= 1024).count();
        match unit {
            0 => write!(f, "{} B", self.0),
            _ => write!(f, "{:.1} {}", self.0 as f64 / (1u64 << (10 * unit)) as f64, UNITS[unit]),
        }
    }
}

/// The whole beside its largest part.
struct Total(usize, usize);

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 == self.1 {
            true => f.write_str("which is too much"),
            false => write!(f, "and all that is needed at once {}, which is too much", Bytes(self.1)),
        }
    }
}

/// Memory that is needed at one time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Needs {
    total: usize,
    largest: usize,
    what: String,
}

impl Needs {
    /// Adds a value; `what` says which.
    pub(crate) fn add(&mut self, bytes: usize, what: impl FnOnce() -> String) {
        self.total = self.total.saturating_add(bytes);
        if bytes > self.largest {
            (self.largest, self.what) = (bytes, what());
        }
    }

    /// Adds memory that no value is to be named for.
    pub(crate) fn add_beside(&mut self, bytes: usize) {
        self.total = self.total.saturating_add(bytes);
    }

    /// Compares the sum with the memory that there is.
    ///
    /// # Errors
    /// If there is less.
    pub(crate) fn expect_room(&self) -> Result<(), Shortage> {
        if self.total >= TINY && self.total > machine() {
            return Err(self.exceed(Limit::Machine(machine())));
        }
        if self.total >= SMALL && !granted(self.total) { Err(self.exceed(Limit::System)) } else { Ok(()) }
    }

    fn exceed(&self, limit: Limit) -> Shortage {
        Shortage { what: self.what.clone(), bytes: self.largest, total: self.total, limit }
    }
}

/// True if the system gives so many bytes at once. They are given back untouched.
fn granted(bytes: usize) -> bool {
    let mut probe = Vec::<u8>::new();
    let granted = probe.try_reserve_exact(bytes).is_ok();
    // An allocation that nobody sees may be optimized away.
    std::hint::black_box(&probe);
    granted
}

/// Checks that the bytes of all values of a graph can be numbered, as everything that plans a run of it takes for granted.
///
/// # Errors
/// If not.
pub(crate) fn expect_addressable(graph: &Graph) -> Result<(), Shortage> {
    let mut needs = Needs::default();
    add_all(graph, &mut needs);
    if needs.total > ADDRESSABLE { Err(needs.exceed(Limit::Addresses)) } else { Ok(()) }
}

/// Recursion is bounded by the depth of bodies.
fn add_all(graph: &Graph, needs: &mut Needs) {
    let live = graph.live();
    for id in graph.ids().filter(|id| live[id.index()]) {
        needs.add(graph.ty(id).bytes(), || named(graph, id));
        if let Op::Loop(l) = graph.op(id) {
            add_all(l.spec.body.graph(), needs);
        }
    }
}

/// Checks that there is memory for the values that the interpreter keeps at one time.
///
/// # Errors
/// If not.
pub(crate) fn expect_interpretable(graph: &Graph) -> Result<(), Shortage> {
    let mut needs = Needs::default();
    let live = graph.live();
    for id in graph.ids().filter(|id| live[id.index()]) {
        needs.add(graph.ty(id).bytes(), || named(graph, id));
    }
    needs.total = most_live(graph);
    needs.expect_room()
}

/// The most bytes that the values of a graph have at one time if each is dropped after its last use. Recursion is bounded by the depth of bodies.
fn most_live(graph: &Graph) -> usize {
    let live = graph.live();
    let mut last: FxHashMap<NodeId, NodeId> = FxHashMap::default();
    for id in graph.ids().filter(|id| live[id.index()]) {
        graph.operands(id).iter().for_each(|&o| {
            last.insert(o, id);
        });
    }
    for kept in graph.outputs().iter().map(|o| o.node).chain(graph.updates().iter().map(|u| u.value)) {
        last.remove(&kept);
    }
    let (mut now, mut most) = (0usize, 0usize);
    for id in graph.ids().filter(|id| live[id.index()]) {
        now = now.saturating_add(graph.ty(id).bytes());
        let inside = graph.op(id).looped().map_or(0, |l| most_live(l.spec.body.graph()));
        most = most.max(now.saturating_add(inside));
        let mut operands: Vec<NodeId> = graph.operands(id).iter().copied().collect();
        operands.sort_unstable();
        operands.dedup();
        for operand in operands.into_iter().filter(|o| last.get(o) == Some(&id)) {
            now = now.saturating_sub(graph.ty(operand).bytes());
        }
    }
    most
}

/// A node by its name, if it has one, or its text.
pub(crate) fn named(graph: &Graph, id: NodeId) -> String {
    match graph.op(id).leaf_name() {
        Some(name) => format!("`{name}` : {}", graph.ty(id)),
        None => format!("`{}`", graph.node_text(id).to_string().trim_end()),
    }
}

/// The bytes of memory and swap space that this process may use; where the system does not tell, as many as there are addresses.
fn machine() -> usize {
    static BYTES: LazyLock<usize> = LazyLock::new(|| {
        let read = |path: &str| std::fs::read_to_string(path).ok();
        let info = read("/proc/meminfo").unwrap_or_default();
        usable(&info, &read("/proc/self/cgroup").unwrap_or_default(), read).unwrap_or(isize::MAX as usize)
    });
    *BYTES
}

/// What the machine has by `/proc/meminfo`, and its control groups leave of that. `read` reads a file.
fn usable(info: &str, cgroup: &str, read: impl Fn(&str) -> Option<String>) -> Option<usize> {
    let (mut memory, mut swap) = (entry(info, "MemTotal:")?, entry(info, "SwapTotal:").unwrap_or(0));
    let mut both = usize::MAX;
    // A file that holds `max` limits nothing.
    let limit = |group: &str, file: &str| -> usize {
        let number = read(&format!("{group}/{file}")).and_then(|text| text.trim().parse().ok());
        number.unwrap_or(usize::MAX)
    };
    for group in groups(cgroup) {
        memory = memory.min(limit(&group, "memory.max")).min(limit(&group, "memory.limit_in_bytes"));
        swap = swap.min(limit(&group, "memory.swap.max"));
        both = both.min(limit(&group, "memory.memsw.limit_in_bytes"));
    }
    Some(memory.saturating_add(swap).min(both))
}

/// The folders of the control groups for memory that `/proc/self/cgroup` tells: of both versions, each group and all that it is inside of.
///
/// In a container the group may be told by a path that is not seen there; the outermost is.
fn groups(cgroup: &str) -> Vec<String> {
    let mut groups = Vec::new();
    for line in cgroup.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let roots: &[&str] = match controllers {
            "" => &["/sys/fs/cgroup", "/sys/fs/cgroup/unified"],
            list if list.split(',').any(|name| name == "memory") => &["/sys/fs/cgroup/memory"],
            _ => continue,
        };
        let mut path = path.trim_end_matches('/');
        if path.split('/').any(|part| part == "..") {
            path = "";
        }
        loop {
            groups.extend(roots.iter().map(|root| format!("{root}{path}")));
            let Some((around, _)) = path.rsplit_once('/') else { break };
            path = around;
        }
    }
    groups
}

/// The bytes of an entry of `/proc/meminfo`, which counts KiB.
fn entry(info: &str, name: &str) -> Option<usize> {
    let line = info.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<usize>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_in_the_largest_unit() {
        for (bytes, text) in
            [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 << 40, "3.0 TiB"), (1 << 61, "2.0 EiB")]
        {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn what_exceeds_the_machine_is_told_by_its_largest_part() {
        let mut needs = Needs::default();
        needs.add(8, || "`x` : f32[2]".to_owned());
        assert_eq!(needs.expect_room(), Ok(()));
        needs.add(1 << 62, || "`y` : bool[4611686018427387904]".to_owned());
        let shortage = needs.expect_room().unwrap_err();
        assert_eq!((shortage.bytes, shortage.total), (1 << 62, (1 << 62) + 8));
        assert!(
            shortage
                .to_string()
                .starts_with("`y` : bool[4611686018427387904] takes 4611686018427387904 bytes (4.0 EiB)"),
            "{shortage}"
        );
    }

    #[test]
    fn what_no_system_gives_is_not_granted() {
        assert!(granted(1 << 20));
        assert!(!granted(isize::MAX as usize));
    }

    #[test]
    fn every_control_group_around_limits() {
        assert_eq!(
            groups("0::/user/job/\n"),
            ["/user/job", "/user", ""]
                .map(|path| ["", "/unified"].map(|root| format!("/sys/fs/cgroup{root}{path}")))
                .concat()
        );
        assert_eq!(
            groups("5:cpu,cpuacct:/a\n4:hugetlb,memory:/a:b\nnonsense\n1:name=memory:/c\n"),
            ["/sys/fs/cgroup/memory/a:b", "/sys/fs/cgroup/memory"]
        );
        assert_eq!(groups("4:memory:/../host/job"), ["/sys/fs/cgroup/memory"]);

        let info = "MemTotal:  1000 kB\nMemFree: 3 kB\nSwapTotal:  500 kB\n";
        let with = |cgroup: &str, files: &[(&str, &str)]| {
            let read = |path: &str| files.iter().find(|file| file.0 == path).map(|file| file.1.to_owned());
            usable(info, cgroup, read)
        };
        let (own, outer) = ("/sys/fs/cgroup/user/job", "/sys/fs/cgroup/user");
        let file = |group: &str, name: &str| format!("{group}/{name}");
        let (max, outer_max, swap) = (file(own, "memory.max"), file(outer, "memory.max"), file(own, "memory.swap.max"));
        let cgroup = "0::/user/job\n";
        assert_eq!(with(cgroup, &[]), Some(1500 << 10));
        assert_eq!(with("", &[(&max, "4096\n")]), Some(1500 << 10));
        assert_eq!(with(cgroup, &[(&max, "max\n"), (&swap, "max\n")]), Some(1500 << 10));
        assert_eq!(with(cgroup, &[(&max, "4096\n")]), Some(4096 + (500 << 10)));
        assert_eq!(with(cgroup, &[(&max, "max\n"), (&outer_max, "8192\n"), (&swap, "0\n")]), Some(8192));
        let (limit, both) =
            ("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes");
        assert_eq!(with("4:memory:/a\n", &[(limit, "4096"), (both, "6000")]), Some(6000));
        assert_eq!(usable("", cgroup, |_| None), None);
    }

    #[test]
    fn values_are_counted_until_their_last_use() {
        // At most three of the four-byte values live at one time: `%2` with its two operands.
        let graph: Graph = "%0 = input {name=\"x\"} : f32[]\n%1 = neg %0 : f32[]\n%2 = add %0, %1 : f32[]\n%3 = neg %2 : f32[]\noutput \"y\" = %3\n"
            .parse()
            .unwrap();
        assert_eq!(most_live(&graph), 12);
        assert_eq!(expect_addressable(&graph), Ok(()));
        let large: Graph = "%0 = input {name=\"x\"} : f32[900000000000000000]\n%1 = neg %0 : f32[900000000000000000]\noutput \"y\" = %1\n"
            .parse()
            .unwrap();
        assert_eq!(expect_addressable(&large).unwrap_err().limit, Limit::Addresses);
    }
}
