//! The lanes: ready tasks in order, delayed tasks by time, lanes in turns by weight.
//!
//! Turns are taken by *strides* (Waldspurger and Weihl, 1995): each turn moves a lane on by what it costs
//! over its weight, and the lane that has come the least far goes first. Lanes of one weight and cost
//! take turns one by one.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use entities::{Hop, Moment, Task};

/// A lane of a queue: one task spec of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneId(pub u32);

/// A task with what has happened to it so far; only in memory.
#[derive(Clone, Debug)]
pub struct Queued {
    /// The task.
    pub task: Task,
    /// Which attempt comes next, from 1.
    pub attempt: u32,
    /// What to send instead of the task's own request.
    pub hop: Option<Hop>,
    /// How long it has waited for limits and back-off, in milliseconds.
    pub waited_ms: u64,
    /// Since when it could have been sent.
    pub since: Moment,
}

impl Queued {
    /// A task that has not been tried.
    pub fn new(task: Task, now: Moment) -> Self {
        Queued { task, attempt: 1, hop: None, waited_ms: 0, since: now }
    }
}

/// How far a turn of cost 1 moves a lane of weight 1.
const STRIDE: u64 = 1 << 20;

/// Lanes of tasks.
#[derive(Debug, Default)]
pub struct TaskQueue {
    lanes: Vec<Option<Lane>>,
    /// Open lanes (indices into `lanes`), whose turn it is first: by how far they have come, then by who
    /// got there first.
    order: Vec<usize>,
    /// How far the lane had come that was served last: who has been idle goes on from here, and hoards
    /// no turns.
    reached: u64,
    delayed: BinaryHeap<Reverse<(Moment, u64, LaneId)>>,
    /// Numbers the delayed tasks, so that equal times keep their order.
    delays: u64,
}

#[derive(Debug)]
struct Lane {
    ready: VecDeque<Queued>,
    /// Delayed tasks by their number; few, so a list.
    delayed: Vec<(u64, Moment, Queued)>,
    weight: u32,
    /// How far a turn moves it.
    stride: u64,
    /// How far it has come.
    passed: u64,
}

impl TaskQueue {
    /// Opens a lane, reusing a closed one's number. `weight` is its share of the turns.
    pub fn open_lane(&mut self, weight: u32) -> LaneId {
        let free = self.lanes.iter().position(Option::is_none);
        let index = free.unwrap_or_else(|| {
            self.lanes.push(None);
            self.lanes.len() - 1
        });
        let passed = self.reached;
        let (ready, delayed, stride) = (VecDeque::new(), Vec::new(), stride(1, weight));
        self.lanes[index] = Some(Lane { ready, delayed, weight, stride, passed });
        let place = self.order.iter().position(|index| self.passed(*index) > passed);
        self.order.insert(place.unwrap_or(self.order.len()), index);
        LaneId(u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// Closes a lane and drops its tasks.
    pub fn close_lane(&mut self, lane: LaneId) {
        if let Some(slot) = self.lanes.get_mut(lane.0 as usize) {
            *slot = None;
        }
        self.order.retain(|index| *index != lane.0 as usize);
        self.delayed.retain(|Reverse((_, _, of))| *of != lane);
    }

    /// What a turn of a lane costs, if not 1: it gets the fewer.
    pub fn set_cost(&mut self, lane: LaneId, cost: u32) {
        if let Some(lane) = self.lane_mut(lane) {
            lane.stride = stride(cost, lane.weight);
        }
    }

    /// Adds a task behind the others of its lane.
    pub fn push_back(&mut self, lane: LaneId, queued: Queued) {
        if let Some(lane) = self.lane_mut(lane) {
            lane.ready.push_back(queued);
        }
    }

    /// Adds a task before the others of its lane: a follow-up, or one that had to wait.
    pub fn push_front(&mut self, lane: LaneId, queued: Queued) {
        if let Some(lane) = self.lane_mut(lane) {
            lane.ready.push_front(queued);
        }
    }

    /// Adds a task that is ready at `until`, then before the others of its lane.
    pub fn delay(&mut self, lane: LaneId, queued: Queued, until: Moment) {
        self.delays += 1;
        let number = self.delays;
        if let Some(open) = self.lane_mut(lane) {
            open.delayed.push((number, until, queued));
            self.delayed.push(Reverse((until, number, lane)));
        }
    }

    /// When the next delayed task is ready.
    pub fn next_due(&self) -> Option<Moment> {
        self.delayed.peek().map(|Reverse((at, _, _))| *at)
    }

    /// When the next delayed task of a lane is ready.
    pub fn next_due_of(&self, lane: LaneId) -> Option<Moment> {
        self.lane(lane)?.delayed.iter().map(|(_, at, _)| *at).min()
    }

    /// Takes a task of the next lane in turn that has one ready and whose gate is open.
    /// `open` is asked once per lane with a ready task, in the order of turns, until it says yes.
    pub fn take(&mut self, now: Moment, mut open: impl FnMut(LaneId) -> bool) -> Option<(LaneId, Queued)> {
        self.wake(now);
        for place in 0..self.order.len() {
            let index = self.order[place];
            let Some(lane) = &mut self.lanes[index] else { continue };
            let id = LaneId(u32::try_from(index).unwrap_or(u32::MAX));
            if lane.ready.is_empty() || !open(id) {
                continue;
            }
            if let Some(queued) = lane.ready.pop_front() {
                self.reached = self.reached.max(lane.passed);
                lane.passed = self.reached.saturating_add(lane.stride);
                self.move_back(place);
                return Some((id, queued));
            }
        }
        None
    }

    /// Moves the lane at `place` of the order behind all that have come as far as it has.
    fn move_back(&mut self, place: usize) {
        let own = self.passed(self.order[place]);
        let behind = self.order[place + 1..].iter().take_while(|index| self.passed(**index) <= own).count();
        self.order[place..=place + behind].rotate_left(1);
    }

    fn passed(&self, index: usize) -> u64 {
        self.lanes[index].as_ref().map_or(0, |lane| lane.passed)
    }

    /// Drops the ready tasks of a lane.
    pub fn clear_ready(&mut self, lane: LaneId) {
        if let Some(lane) = self.lane_mut(lane) {
            lane.ready.clear();
        }
    }

    /// Tasks of a lane, ready and delayed.
    pub fn len(&self, lane: LaneId) -> usize {
        self.lane(lane).map_or(0, |lane| lane.ready.len() + lane.delayed.len())
    }

    /// Tasks of a lane that are ready.
    pub fn ready(&self, lane: LaneId) -> usize {
        self.lane(lane).map_or(0, |lane| lane.ready.len())
    }

    /// Whether there is no task at all.
    pub fn is_empty(&self) -> bool {
        self.lanes.iter().flatten().all(|lane| lane.ready.is_empty() && lane.delayed.is_empty())
    }

    /// Moves the delayed tasks whose time has come to the front of their lanes.
    fn wake(&mut self, now: Moment) {
        while let Some(Reverse((at, number, lane))) = self.delayed.peek().copied()
            && at <= now
        {
            self.delayed.pop();
            let Some(lane) = self.lane_mut(lane) else { continue };
            if let Some(index) = lane.delayed.iter().position(|(of, _, _)| *of == number) {
                let (_, _, queued) = lane.delayed.swap_remove(index);
                lane.ready.push_front(queued);
            }
        }
    }

    fn lane(&self, lane: LaneId) -> Option<&Lane> {
        self.lanes.get(lane.0 as usize)?.as_ref()
    }

    fn lane_mut(&mut self, lane: LaneId) -> Option<&mut Lane> {
        self.lanes.get_mut(lane.0 as usize)?.as_mut()
    }
}

/// How far a turn moves a lane. Costs are bounded so that sums of them cannot be reached.
fn stride(cost: u32, weight: u32) -> u64 {
    (u64::from(cost.clamp(1, 1 << 20)) * STRIDE / u64::from(weight.max(1))).max(1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use entities::{Bindings, Page, SpecIndex, TaskId};

    use super::*;

    fn task(id: i64) -> Queued {
        let task = Task {
            id: TaskId(id),
            spec: SpecIndex(0),
            chain: TaskId(id),
            combination: None,
            bindings: Bindings::default(),
            page: Page::first(),
            slice: None,
            cursor: None,
        };
        Queued::new(task, Moment(0))
    }

    fn ids(queue: &mut TaskQueue, now: Moment, closed: &[LaneId]) -> Vec<i64> {
        std::iter::from_fn(|| queue.take(now, |lane| !closed.contains(&lane)))
            .map(|(_, queued)| queued.task.id.0)
            .collect()
    }

    #[test]
    fn lanes_take_turns_and_follow_ups_go_first() {
        let mut queue = TaskQueue::default();
        let (a, b) = (queue.open_lane(1), queue.open_lane(1));
        for id in [1, 2, 3] {
            queue.push_back(a, task(id));
        }
        queue.push_back(b, task(10));
        queue.push_back(b, task(11));
        queue.push_front(a, task(0));
        assert_eq!(ids(&mut queue, Moment(0), &[]), [0, 10, 1, 11, 2, 3]);
        assert!(queue.is_empty());
    }

    /// How many of the next `turns` each lane of (weight, cost) gets, all of them always ready.
    #[track_caller]
    fn check_shares(lanes: &[(u32, u32)], turns: i64, expected: &[usize]) {
        let mut queue = TaskQueue::default();
        let ids: Vec<LaneId> = lanes.iter().map(|(weight, _)| queue.open_lane(*weight)).collect();
        for (lane, (_, cost)) in ids.iter().zip(lanes) {
            queue.set_cost(*lane, *cost);
            (0..turns).for_each(|id| queue.push_back(*lane, task(id)));
        }
        let mut got = vec![0; lanes.len()];
        for _ in 0..turns {
            let (lane, _) = queue.take(Moment(0), |_| true).unwrap();
            got[lane.0 as usize] += 1;
        }
        assert_eq!(got, expected, "{lanes:?}");
    }

    #[test]
    fn lanes_share_the_turns_by_weight_and_cost() {
        check_shares(&[(1, 1), (1, 1), (1, 1)], 9, &[3, 3, 3]);
        check_shares(&[(3, 1), (1, 1)], 8, &[6, 2]);
        check_shares(&[(1, 1), (5, 1), (2, 1)], 80, &[10, 50, 20]);
        check_shares(&[(1, 4), (1, 1)], 10, &[2, 8]);
        check_shares(&[(4, 4), (1, 1)], 10, &[5, 5]);
        // Nonsense is bounded.
        check_shares(&[(1, 0), (0, 1)], 4, &[2, 2]);
        check_shares(&[(1, u32::MAX), (u32::MAX, 1)], 4, &[1, 3]);
    }

    #[test]
    fn who_was_idle_gets_its_share_from_now_on_and_no_more() {
        let mut queue = TaskQueue::default();
        let (a, b) = (queue.open_lane(1), queue.open_lane(1));
        (0..10).for_each(|id| queue.push_back(a, task(id)));
        assert_eq!(ids(&mut queue, Moment(0), &[b]).len(), 10);
        (0..4).for_each(|id| queue.push_back(a, task(id)));
        (10..14).for_each(|id| queue.push_back(b, task(id)));
        assert_eq!(ids(&mut queue, Moment(0), &[]), [10, 0, 11, 1, 12, 2, 13, 3]);
        // Nor does one that is opened late.
        (0..3).for_each(|id| queue.push_back(a, task(id)));
        let c = queue.open_lane(1);
        (20..23).for_each(|id| queue.push_back(c, task(id)));
        assert_eq!(ids(&mut queue, Moment(0), &[]), [20, 0, 21, 1, 22, 2]);
    }

    #[test]
    fn a_closed_gate_holds_up_only_its_own_lane() {
        let mut queue = TaskQueue::default();
        let (a, b) = (queue.open_lane(1), queue.open_lane(1));
        queue.push_back(a, task(1));
        queue.push_back(b, task(2));
        queue.push_back(b, task(3));
        assert_eq!(ids(&mut queue, Moment(0), &[a]), [2, 3]);
        assert_eq!(queue.len(a), 1);
    }

    #[test]
    fn delayed_tasks_come_back_by_time_before_the_others() {
        let mut queue = TaskQueue::default();
        let lane = queue.open_lane(1);
        let at = |s| Moment(0) + Duration::from_secs(s);
        queue.delay(lane, task(5), at(5));
        queue.delay(lane, task(3), at(3));
        queue.push_back(lane, task(9));
        assert_eq!(queue.next_due(), Some(at(3)));
        assert_eq!(queue.len(lane), 3);
        assert_eq!(ids(&mut queue, at(2), &[]), [9]);
        assert_eq!(ids(&mut queue, at(4), &[]), [3]);
        assert_eq!(ids(&mut queue, at(5), &[]), [5]);
        assert_eq!(queue.next_due(), None);
    }

    #[test]
    fn a_closed_lane_forgets_its_tasks_and_its_number_is_used_again() {
        let mut queue = TaskQueue::default();
        let a = queue.open_lane(1);
        queue.push_back(a, task(1));
        queue.delay(a, task(2), Moment(1));
        queue.close_lane(a);
        assert_eq!(queue.next_due(), None);
        let again = queue.open_lane(1);
        assert_eq!(again, a);
        assert!(ids(&mut queue, Moment(9), &[]).is_empty());
    }
}
