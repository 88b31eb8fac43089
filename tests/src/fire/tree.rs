//! Random process trees: the plan that a seed stands for. `fire-tree` grows them.

use std::fmt;

use super::Rng;

/// One process and what it starts.
#[derive(Clone, Debug)]
pub struct Node {
    /// How it comes into the world.
    pub birth: Birth,
    /// What it does about a signal that asks it to end.
    pub temper: Temper,
    /// Its threads.
    pub threads: Threads,
    /// Whether it adopts the orphans below it (PR_SET_CHILD_SUBREAPER(2const)).
    pub adopts: bool,
    /// What it does all day, and once it is asked to end.
    pub habit: Habit,
    /// The processes it starts, in order.
    pub children: Vec<Self>,
}

/// How a process comes into the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Birth {
    /// fork.
    Fork,
    /// Then it leads a process group.
    Group,
    /// Then it leads a session.
    Session,
    /// Its parent ends at once: an orphan in the group and session it was born into.
    Orphan,
    /// As a daemon does it: an orphan in a session whose leader has ended.
    Daemon,
}

/// What a process does about a signal that asks it to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temper {
    /// Ends, as by default.
    Ends,
    /// Ignores it.
    Ignores,
    /// Keeps it blocked for ever.
    Blocks,
    /// Is stopped and would end.
    Stopped,
    /// Ends some milliseconds later.
    Lingers,
}

/// The threads of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// One.
    One,
    /// Some that sleep.
    Some,
    /// Some that sleep, and the first one has ended: `/proc` shows a zombie that lives.
    WithoutFirst,
}

/// What a process does besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// Nothing.
    Rest,
    /// Keeps a child alive: a new one for each that ends.
    Respawns,
    /// Keeps a chain going: a child that forks and ends, and so does its child, for ever.
    Runs,
    /// When asked to end it leaves a child behind, which ignores being asked.
    LeavesOneBehind,
}

/// What the place of a node allows.
#[derive(Clone, Copy)]
struct Place {
    /// It leads, or is born into, a session or group that a member of the tree leads: then not
    /// even a process whose parent ends gets lost.
    is_anchored: bool,
    /// Nothing proves any more that it is of this tree.
    is_lost: bool,
    depth: usize,
}

impl Node {
    /// A tree of at most `size` processes, besides those that come and go. Processes that come and go
    /// are only where the tree can be proved to be theirs.
    #[must_use]
    pub fn random(rng: &mut Rng, size: usize) -> Self {
        let mut budget = size.saturating_sub(1);
        let birth = *rng.pick(&[Birth::Fork, Birth::Group, Birth::Session]);
        let place = Place {
            is_anchored: false,
            is_lost: false,
            depth: 0,
        };
        Self::grow(rng, &mut budget, birth, place)
    }

    fn grow(rng: &mut Rng, budget: &mut usize, birth: Birth, mut place: Place) -> Self {
        match birth {
            Birth::Group | Birth::Session => place.is_anchored = true,
            Birth::Daemon => place.is_anchored = false,
            Birth::Fork | Birth::Orphan => {}
        }
        let temper = match rng.below(10) {
            0 | 1 => Temper::Ignores,
            2 => Temper::Blocks,
            3 => Temper::Stopped,
            4 => Temper::Lingers,
            _ => Temper::Ends,
        };
        let threads = match (temper, rng.below(20)) {
            // Which thread acts on a signal, or stops, is left out of this.
            (Temper::Lingers | Temper::Stopped, _) => Threads::One,
            (_, 0) => Threads::WithoutFirst,
            (_, 1 | 2) => Threads::Some,
            _ => Threads::One,
        };
        let may_move = place.is_anchored && !place.is_lost && threads == Threads::One;
        let habit = match (temper, rng.below(20)) {
            (Temper::Ends | Temper::Ignores, 0) if may_move => Habit::Respawns,
            (Temper::Ends | Temper::Ignores, 1) if may_move => Habit::Runs,
            (Temper::Ends, 2 | 3) if may_move => Habit::LeavesOneBehind,
            _ => Habit::Rest,
        };
        let mut children = Vec::new();
        let wanted = if place.depth > 12 { 0 } else { rng.below(5) };
        let adopts = rng.percent(5);
        for _ in 0..wanted {
            if *budget == 0 {
                break;
            }
            *budget -= 1;
            let birth = match rng.below(20) {
                0 | 1 => Birth::Group,
                2 | 3 => Birth::Session,
                4 | 5 => Birth::Orphan,
                6 => Birth::Daemon,
                _ => Birth::Fork,
            };
            let is_orphan = matches!(birth, Birth::Orphan | Birth::Daemon);
            let anchored = place.is_anchored && birth != Birth::Daemon;
            let below = Place {
                is_anchored: place.is_anchored,
                // An adopting parent may get it back; it is not counted on.
                is_lost: place.is_lost || (is_orphan && !anchored),
                depth: place.depth + 1,
            };
            children.push(Self::grow(rng, budget, birth, below));
        }
        Self {
            birth,
            temper,
            threads,
            adopts,
            habit,
            children,
        }
    }

    /// How many processes there are, besides those that come and go.
    #[must_use]
    pub fn count(&self) -> usize {
        1 + self.children.iter().map(Self::count).sum::<usize>()
    }

    /// Whether one of its nodes is so.
    #[must_use]
    pub fn any(&self, is_so: &impl Fn(&Self) -> bool) -> bool {
        is_so(self) || self.children.iter().any(|child| child.any(is_so))
    }
}

impl fmt::Display for Node {
    /// One line a process, indented below its parent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = f.width().unwrap_or_default();
        write!(f, "{:width$}{:?} {:?}", "", self.birth, self.temper)?;
        if self.threads != Threads::One {
            write!(f, " threads:{:?}", self.threads)?;
        }
        if self.adopts {
            write!(f, " adopts")?;
        }
        if self.habit != Habit::Rest {
            write!(f, " {:?}", self.habit)?;
        }
        writeln!(f)?;
        let below = width + 2;
        self.children
            .iter()
            .try_for_each(|child| write!(f, "{child:below$}"))
    }
}
