//! Flows through a network of arcs with room and cost.

use std::collections::VecDeque;

/// A residual network. Arc `a ^ 1` is arc `a` reversed; its room is the flow over `a`.
#[derive(Default)]
pub(crate) struct Network {
    arcs: Vec<Arc>,
    arcs_from: Vec<Vec<usize>>,
}

struct Arc {
    target: usize,
    room: u64,
    cost: i64,
}

impl Network {
    /// A network of so many nodes without arcs.
    pub(crate) fn with_nodes(count: usize) -> Self {
        Self { arcs: Vec::new(), arcs_from: vec![Vec::new(); count] }
    }

    /// Adds an arc, and says by which number it goes.
    pub(crate) fn connect(&mut self, source: usize, target: usize, room: u64, cost: i64) -> usize {
        let arc = self.arcs.len();
        self.arcs.push(Arc { target, room, cost });
        self.arcs.push(Arc { target: source, room: 0, cost: -cost });
        self.arcs_from[source].push(arc);
        self.arcs_from[target].push(arc + 1);
        arc
    }

    /// Gives an arc more room.
    pub(crate) fn widen(&mut self, arc: usize, more: u64) {
        self.arcs[arc].room += more;
    }

    /// What flows over an arc.
    pub(crate) fn flow_over(&self, arc: usize) -> u64 {
        self.arcs[arc ^ 1].room
    }

    /// The cheapest path with room, and its cost (Bellman and Ford). There is never a cycle of
    /// negative cost: the flow is always a cheapest one of its size.
    pub(crate) fn cheapest(&self, source: usize, target: usize) -> Option<(Vec<usize>, i64)> {
        let mut reached: Vec<Option<(i64, usize)>> = vec![None; self.arcs_from.len()];
        let mut is_queued = vec![false; self.arcs_from.len()];
        let mut queue = VecDeque::from([source]);
        reached[source] = Some((0, usize::MAX));
        while let Some(node) = queue.pop_front() {
            is_queued[node] = false;
            let cost_here = reached[node].map_or(0, |(cost, _)| cost);
            for &index in &self.arcs_from[node] {
                let arc = &self.arcs[index];
                let cost = cost_here + arc.cost;
                let better = reached[arc.target].is_none_or(|(known, _)| cost < known);
                if arc.room > 0 && better {
                    reached[arc.target] = Some((cost, index));
                    if !is_queued[arc.target] {
                        is_queued[arc.target] = true;
                        queue.push_back(arc.target);
                    }
                }
            }
        }
        let (total, _) = reached[target]?;
        let mut path = Vec::new();
        let mut node = target;
        while node != source {
            let (_, index) = reached[node]?;
            path.push(index);
            node = self.arcs[index ^ 1].target;
        }
        Some((path, total))
    }

    /// Sends one unit along a path that has room.
    pub(crate) fn send(&mut self, path: &[usize]) {
        for &arc in path {
            self.arcs[arc].room -= 1;
            self.arcs[arc ^ 1].room += 1;
        }
    }

    /// Draws an arc of room 1 into the flow where that costs nothing, and settles it for good:
    /// whether it is in.
    pub(crate) fn draw_in(&mut self, arc: usize) -> bool {
        let used = self.arcs[arc ^ 1].room == 1;
        self.arcs[arc].room = 0;
        self.arcs[arc ^ 1].room = 0;
        if used {
            return true;
        }
        let (source, target) = (self.arcs[arc ^ 1].target, self.arcs[arc].target);
        match self.cheapest(target, source) {
            Some((back, cost)) if cost + self.arcs[arc].cost <= 0 => {
                self.send(&back);
                true
            }
            _ => false,
        }
    }

    /// Sends as much as goes, whatever it costs, and says how much that is (Dinitz).
    pub(crate) fn fill(&mut self, source: usize, target: usize) -> u64 {
        let mut sent = 0;
        loop {
            let depths = self.depths(source);
            if depths[target] == usize::MAX {
                return sent;
            }
            let mut next = vec![0; self.arcs_from.len()];
            loop {
                let pushed = self.push(source, target, u64::MAX, &depths, &mut next);
                if pushed == 0 {
                    break;
                }
                sent += pushed;
            }
        }
    }

    /// How far each node lies from a source over arcs with room; `usize::MAX` where none lead.
    pub(crate) fn depths(&self, source: usize) -> Vec<usize> {
        let mut depths = vec![usize::MAX; self.arcs_from.len()];
        depths[source] = 0;
        let mut queue = VecDeque::from([source]);
        while let Some(node) = queue.pop_front() {
            for &index in &self.arcs_from[node] {
                let arc = &self.arcs[index];
                if arc.room > 0 && depths[arc.target] == usize::MAX {
                    depths[arc.target] = depths[node] + 1;
                    queue.push_back(arc.target);
                }
            }
        }
        depths
    }

    /// Sends up to `most` along one path of growing depth. A node's `next` arc is the first that
    /// is not known to lead nowhere.
    fn push(
        &mut self,
        node: usize,
        target: usize,
        most: u64,
        depths: &[usize],
        next: &mut [usize],
    ) -> u64 {
        if node == target {
            return most;
        }
        while let Some(&index) = self.arcs_from[node].get(next[node]) {
            let (to, room) = (self.arcs[index].target, self.arcs[index].room);
            if room > 0 && depths[to] == depths[node] + 1 {
                let pushed = self.push(to, target, most.min(room), depths, next);
                if pushed > 0 {
                    self.arcs[index].room -= pushed;
                    self.arcs[index ^ 1].room += pushed;
                    return pushed;
                }
            }
            next[node] += 1;
        }
        0
    }
}
