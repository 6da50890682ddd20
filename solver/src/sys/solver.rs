use std::ffi::c_int;

use super::{Dep, Pkg, Pool, Queue, ffi};

/// Something that the solver is told.
#[derive(Debug, Clone)]
pub(crate) enum Job {
    /// Install what provides this.
    Provide(Dep),
    /// Install one of these.
    OneOf(Vec<Pkg>),
    /// Where there is a choice, take this one.
    Favour(Pkg),
}

/// A rule that is part of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Rule {
    pub(crate) kind: RuleKind,
    pub(crate) from: Option<Pkg>,
    pub(crate) to: Option<Pkg>,
    pub(crate) dep: Option<Dep>,
    /// The place of the job that made it.
    pub(crate) job: Option<usize>,
}

/// The rules that can be part of a problem here (rules.h, `SolverRuleinfo`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum RuleKind {
    JobMissing,
    Job,
    NothingProvides,
    Requires,
    Conflicts,
    Obsoletes,
    SameName,
    SelfConflict,
    NotInstallable,
    Other(u32),
}

impl Pool {
    /// Solves: the packages to install, or the rules of each problem.
    pub(crate) fn solve(&mut self, jobs: &[Job]) -> Result<Vec<Pkg>, Vec<Vec<Rule>>> {
        let mut queue = Queue::new(std::iter::empty());
        for job in jobs {
            let (how, what) = self.job(job);
            queue.push(how);
            queue.push(what);
        }
        // Safety: the solver is freed before the pool, at the end of this function.
        let solver = Solver(unsafe { ffi::solver_create(self.raw.as_ptr()) });
        // As libdnf sets them (goal/Goal.cpp), but for what concerns installed packages.
        for flag in [
            ffi::SOLVER_FLAG_IGNORE_RECOMMENDED,
            ffi::SOLVER_FLAG_BEST_OBEY_POLICY,
            ffi::SOLVER_FLAG_YUM_OBSOLETES,
            ffi::SOLVER_FLAG_ALLOW_VENDORCHANGE,
            ffi::SOLVER_FLAG_KEEP_ORPHANS,
        ] {
            // Safety: sets a number.
            unsafe { ffi::solver_set_flag(solver.0, flag, 1) };
        }
        // Safety: solver and queue are open; the index is there, since jobs need it.
        if unsafe { ffi::solver_solve(solver.0, &mut queue.0) } != 0 {
            return Err(solver.problems(jobs.len()));
        }
        let mut decisions = Queue::new(std::iter::empty());
        // Safety: fills the queue.
        unsafe { ffi::solver_get_decisionqueue(solver.0, &mut decisions.0) };
        let installed = decisions.as_slice().iter().filter(|id| **id > ffi::SYSTEMSOLVABLE);
        Ok(installed.map(|id| Pkg(*id)).collect())
    }

    fn job(&mut self, job: &Job) -> (c_int, ffi::Id) {
        match job {
            Job::Provide(dep) => (ffi::SOLVER_INSTALL | ffi::SOLVER_SOLVABLE_PROVIDES, dep.0),
            Job::Favour(pkg) => (ffi::SOLVER_FAVOR | ffi::SOLVER_SOLVABLE, pkg.0),
            Job::OneOf(pkgs) => {
                assert!(!self.raw().whatprovides.is_null(), "the index is made");
                let mut queue = Queue::new(pkgs.iter().map(|pkg| pkg.0));
                // Safety: the index is there; libsolv copies the queue.
                let what =
                    unsafe { ffi::pool_queuetowhatprovides(self.raw.as_ptr(), &mut queue.0) };
                let set = ffi::SOLVER_SETARCH | ffi::SOLVER_SETEVR;
                (ffi::SOLVER_INSTALL | ffi::SOLVER_SOLVABLE_ONE_OF | set, what)
            }
        }
    }
}

struct Solver(*mut ffi::Solver);

impl Solver {
    /// The rules of each problem; job rules by the place of their job.
    fn problems(&self, jobs: usize) -> Vec<Vec<Rule>> {
        // Safety: the solver has run.
        let count = unsafe { ffi::solver_problem_count(self.0) };
        let numbers = (1..=count).map(|problem| {
            let mut rules = Queue::new(std::iter::empty());
            // Safety: a problem of this solver; fills the queue.
            unsafe {
                ffi::solver_findallproblemrules(self.0, problem as ffi::Id, &mut rules.0);
            }
            rules.as_slice().to_vec()
        });
        numbers.map(|ids| ids.iter().flat_map(|id| self.rules(*id, jobs)).collect()).collect()
    }

    fn rules(&self, id: ffi::Id, jobs: usize) -> Vec<Rule> {
        let mut infos = Queue::new(std::iter::empty());
        // Safety: a rule of this solver; fills the queue with four numbers for each statement.
        let job = unsafe {
            ffi::solver_allruleinfos(self.0, id, &mut infos.0);
            ffi::solver_rule2jobidx(self.0, id)
        };
        let job = usize::try_from(job - 1).ok().map(|at| at / 2).filter(|at| *at < jobs);
        let rule = |info: &[ffi::Id]| {
            let kind = RuleKind::of(info[0] as u32);
            // A job's rule has numbers of other things in these places (rules.c,
            // `solver_ruleinfo`).
            let told = !matches!(kind, RuleKind::Job | RuleKind::JobMissing | RuleKind::Other(_));
            Rule {
                kind,
                from: (told && info[1] > ffi::SYSTEMSOLVABLE).then_some(Pkg(info[1])),
                to: (told && info[2] > ffi::SYSTEMSOLVABLE).then_some(Pkg(info[2])),
                dep: (told && info[3] != 0).then_some(Dep(info[3])),
                job,
            }
        };
        infos.as_slice().chunks_exact(4).map(rule).collect()
    }
}

impl Drop for Solver {
    fn drop(&mut self) {
        // Safety: freed once, before its pool.
        unsafe { ffi::solver_free(self.0) };
    }
}

impl RuleKind {
    fn of(info: u32) -> Self {
        match info {
            ffi::SolverRuleinfo_SOLVER_RULE_JOB => Self::Job,
            ffi::SolverRuleinfo_SOLVER_RULE_JOB_NOTHING_PROVIDES_DEP
            | ffi::SolverRuleinfo_SOLVER_RULE_JOB_UNKNOWN_PACKAGE => Self::JobMissing,
            ffi::SolverRuleinfo_SOLVER_RULE_PKG_NOTHING_PROVIDES_DEP => Self::NothingProvides,
            ffi::SolverRuleinfo_SOLVER_RULE_PKG_REQUIRES => Self::Requires,
            ffi::SolverRuleinfo_SOLVER_RULE_PKG_CONFLICTS => Self::Conflicts,
            ffi::SolverRuleinfo_SOLVER_RULE_PKG_OBSOLETES
            | ffi::SolverRuleinfo_SOLVER_RULE_PKG_IMPLICIT_OBSOLETES
            | ffi::SolverRuleinfo_SOLVER_RULE_YUMOBS => Self::Obsoletes,
            ffi::SolverRuleinfo_SOLVER_RULE_PKG_SAME_NAME => Self::SameName,
            ffi::SolverRuleinfo_SOLVER_RULE_PKG_SELF_CONFLICT => Self::SelfConflict,
            ffi::SolverRuleinfo_SOLVER_RULE_PKG_NOT_INSTALLABLE
            | ffi::SolverRuleinfo_SOLVER_RULE_INFARCH => Self::NotInstallable,
            other => Self::Other(other),
        }
    }
}
