//! From the plan to the verdict: roots, the tree below them, its end, and what is left.

use std::collections::HashSet;

use treekill::describe::describe;
use treekill::exec::os_words;
use treekill::guard::Guard;
use treekill::identity::Identity;
use treekill::table::{Proc, Stat, Table};
use treekill::terminate::{Ending, terminate, terminate_undescribed};
use treekill::tree::{Member, Scope, Tree};

use crate::cli::Plan;
use crate::exit::{Exit, Refused};
use crate::report::{Report, who};
use crate::roots::{self, Root};

/// What somebody outside the tree starts again is ended this often, and then reported.
const ROUNDS: usize = 3;

/// Does what the plan says.
///
/// # Errors
/// Why it could not begin; nobody was signalled then.
pub(crate) fn run(plan: &Plan, report: &mut Report) -> Result<Exit, Refused> {
    let proc = Proc::open().map_err(|error| no_proc(&error))?;
    let named = roots::read(&plan.names, &proc, &mut report.words)?;
    let mut job = Job {
        plan,
        proc,
        report,
        tree: Tree::new(plan.scope),
        exit: named.exit.unwrap_or(Exit::Done),
        has_signalled: false,
        handled: HashSet::new(),
    };
    let table = job.look()?;
    let mut members = job.add_named(&named.roots, &table);
    members.extend(job.add_selected(&table));
    members.extend(job.tree.search(&table, &Guard::new(&table)));
    if plan.dry_run {
        job.show(&members);
        let exit = job.exit;
        return match report.out.check() {
            Ok(()) => Ok(exit),
            Err(error) => Err(no_output(&error)),
        };
    }
    let ended = job.end(table, members);
    match ended.and_then(|()| job.end_what_came_back()) {
        // Processes were signalled: that is no failure after which nothing was done.
        Err(Refused(why)) if job.has_signalled => {
            job.report.words.say(why);
            job.exit = Exit::Left;
        }
        result => result?,
    }
    if job.exit == Exit::Done {
        for locked in named.locked {
            if !locked.is_released() {
                let file = locked.shown();
                job.report
                    .words
                    .say(format_args!("{file}: is still locked"));
                job.exit = Exit::Left;
            }
        }
    }
    let exit = job.exit;
    if let Err(error) = report.out.check() {
        // The verdict is about processes.
        report.words.say(no_output(&error).0);
    }
    Ok(exit)
}

fn no_output(error: &std::io::Error) -> Refused {
    Refused(format!("standard output: {}", os_words(error)))
}

fn no_proc(error: &std::io::Error) -> Refused {
    Refused(format!("/proc: {}", os_words(error)))
}

struct Job<'a> {
    plan: &'a Plan,
    proc: Proc,
    report: &'a mut Report,
    tree: Tree,
    exit: Exit,
    has_signalled: bool,
    /// The processes whose end was tried, whatever came of it.
    handled: HashSet<Identity>,
}

impl Job<'_> {
    fn look(&self) -> Result<Table, Refused> {
        self.proc.table().map_err(|error| no_proc(&error))
    }

    fn add_named(&mut self, roots: &[Root], table: &Table) -> Vec<Member> {
        let guard = Guard::new(table);
        let mut accepted = Vec::new();
        for root in roots {
            match root.process(table) {
                Some(stat) if self.plan.scope == Scope::Below => accepted.push(stat),
                Some(stat) => match guard.refusal(stat) {
                    None => accepted.push(stat),
                    Some(refusal) => {
                        self.report.refused(stat, refusal);
                        self.exit = Exit::Left;
                    }
                },
                None => {
                    let (pid, written) = root.number();
                    self.report
                        .words
                        .step(format_args!("{pid}: there is no such process"));
                    self.tree.add_dead_root(pid, written);
                }
            }
        }
        self.add_roots(&accepted, table, &guard)
    }

    fn add_selected(&mut self, table: &Table) -> Vec<Member> {
        let guard = Guard::new(table);
        let found = self.plan.selection.find(&self.proc, table, &guard);
        self.add_roots(&found.iter().collect::<Vec<_>>(), table, &guard)
    }

    /// Adds roots. One that descends from another is found below that: it leads nothing.
    fn add_roots(&mut self, roots: &[&Stat], table: &Table, guard: &Guard) -> Vec<Member> {
        let numbers: HashSet<i32> = roots.iter().map(|stat| stat.pid()).collect();
        let is_top = |stat: &&&Stat| {
            self.plan.scope == Scope::Below
                || !table
                    .ancestors(stat.pid())
                    .iter()
                    .any(|above| numbers.contains(above))
        };
        let tops: Vec<&Stat> = roots.iter().filter(is_top).copied().collect();
        tops.into_iter()
            .filter_map(|stat| self.tree.add_root(stat, guard).ok().flatten())
            .collect()
    }

    /// Shows what would be signalled.
    fn show(&mut self, members: &[Member]) {
        let is_alive = |member: &&Member| member.stat.is_alive(&self.proc);
        let alive: Vec<&Member> = members.iter().filter(is_alive).collect();
        self.tell_spared();
        self.judge_existence(!alive.is_empty());
        let described = alive
            .into_iter()
            .map(|member| (member, describe(&self.proc, &member.stat)))
            .collect();
        self.report.candidates(described);
    }

    fn tell_spared(&mut self) {
        for spared in self.tree.spared() {
            self.report.spared(spared);
        }
    }

    /// Ends the members and reports on each.
    fn end(&mut self, table: Table, members: Vec<Member>) -> Result<(), Refused> {
        let terminate = if self.report.shows_records() {
            terminate
        } else {
            terminate_undescribed
        };
        let (words, has_signalled) = (&mut self.report.words, &mut self.has_signalled);
        let outcomes = terminate(
            &self.proc,
            &mut self.tree,
            (table, members),
            self.plan.policy,
            &mut |step| {
                *has_signalled = true;
                Report::step(words, step);
            },
        )
        .map_err(|error| Refused(format!("cannot end the tree: {}", os_words(&error))))?;
        self.report.words.settle();
        self.tell_spared();
        self.judge_existence(outcomes.iter().any(|o| o.ending != Ending::Gone));
        for outcome in &outcomes {
            self.report.outcome(&self.proc, outcome);
            self.handled.insert(outcome.member.stat.identity);
            self.exit = self.exit.and(match outcome.ending {
                Ending::Alive(_) => Exit::Left,
                Ending::Denied => Exit::Denied,
                Ending::Term | Ending::Kill | Ending::Gone => Exit::Done,
            });
        }
        Ok(())
    }

    fn judge_existence(&mut self, any: bool) {
        if self.plan.must_exist && !any && self.handled.is_empty() {
            self.report.words.say("there was nothing to kill");
            self.exit = Exit::Left;
        }
    }

    /// What was looked for may be there again: started by what was told to end, or by somebody
    /// outside the tree.
    fn end_what_came_back(&mut self) -> Result<(), Refused> {
        if self.plan.selection.is_empty() {
            return Ok(());
        }
        for round in 1..=ROUNDS {
            let table = self.look()?;
            let guard = Guard::new(&table);
            let mut found = self.plan.selection.find(&self.proc, &table, &guard);
            found.retain(|stat| !self.handled.contains(&stat.identity));
            if found.is_empty() {
                return Ok(());
            }
            if round == ROUNDS {
                for stat in &found {
                    let who = who(stat);
                    self.report
                        .words
                        .say(format_args!("{who}: was started again and again"));
                }
                self.exit = Exit::Left;
                return Ok(());
            }
            let mut members = self.add_roots(&found.iter().collect::<Vec<_>>(), &table, &guard);
            members.extend(self.tree.search(&table, &guard));
            self.end(table, members)?;
        }
        Ok(())
    }
}
