//! Speaks with a machine. All that it says is checked: that it is due, how long it is, that a
//! result is one that was asked for by a name that packages have.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use kiln_model::{Breached, Foreign, Limit};
use kiln_wire::frame::{self, DATA, DATA_CAP, Frame, MESSAGE};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::failed;
use super::frames::Frames;
use super::inside::Inside;
use crate::cancel::Cancel;
use crate::collect::name_trouble;
use crate::launch::{End, Event, JailError, Outcome};
use crate::machine_messages::{FROM_MACHINE_CAP, FromMachine, LOG, VERSION};
use crate::messages::FileHead;
use crate::plan::{Barrier, Plan};
use crate::rate::Rate;

/// How long a machine may leave what it is told unread.
const UNREAD: Duration = Duration::from_secs(60);

/// How speaking with a machine ended.
pub(crate) enum Said {
    /// It said all that was due, or was told to end.
    Ended(Outcome),
    /// It is gone.
    Gone {
        /// Whether its steps could have begun.
        had_begun: bool,
    },
}

/// A conversation.
pub(crate) struct Talk<'a> {
    plan: &'a Plan,
    stream: UnixStream,
    cancel: &'a Cancel,
    frames: Frames,
    outcome: Outcome,
    /// How many bytes of a file are still to come.
    open: Option<u64>,
    files: u64,
    bytes: u64,
    logged: u64,
    rate: Rate,
    began: Instant,
    heard: Instant,
}

/// What was waited for.
enum News {
    Machine,
    Cancelled,
    Late,
}

impl<'a> Talk<'a> {
    pub(crate) fn new(plan: &'a Plan, stream: UnixStream, cancel: &'a Cancel) -> Self {
        let now = Instant::now();
        Self {
            plan,
            stream,
            cancel,
            frames: Frames::default(),
            outcome: Outcome { steps: Vec::new(), end: End::Done },
            open: None,
            files: 0,
            bytes: 0,
            logged: 0,
            rate: Rate::new(now),
            began: now,
            heard: now,
        }
    }

    /// Waits for its first word; how long it had been up then.
    pub(crate) fn hear_ready(&mut self, most: Duration) -> Result<Duration, JailError> {
        self.stream.set_nonblocking(true).map_err(failed("preparing to listen"))?;
        match self.hear_of_start(most)? {
            FromMachine::Ready { version: VERSION, up_ms } => Ok(Duration::from_millis(up_ms)),
            _ => Err(not_started("its first word is another one")),
        }
    }

    /// Waits until it says that it has all that it was told, and begins.
    pub(crate) fn hear_began(&mut self, most: Duration) -> Result<(), JailError> {
        match self.hear_of_start(most)? {
            FromMachine::Began => {
                self.began = Instant::now();
                self.heard = self.began;
                Ok(())
            }
            _ => Err(not_started("its second word is another one")),
        }
    }

    fn hear_of_start(&mut self, most: Duration) -> Result<FromMachine, JailError> {
        let until = Instant::now() + most;
        loop {
            if let Some(frame) = self.next()? {
                return match frame.message::<FromMachine>() {
                    Ok(FromMachine::Failed(told)) => Err(not_started(&told)),
                    Ok(message) => Ok(message),
                    Err(error) => Err(not_started(&error.to_string())),
                };
            }
            match self.wait(until)? {
                News::Machine if self.frames.fill(&self.stream).map_err(listening())? => {}
                News::Machine => return Err(not_started("it ended")),
                News::Cancelled => return Err(super::MachineError::Cancelled.into()),
                News::Late => return Err(not_started("it says nothing")),
            }
        }
    }

    /// Tells it what to do, and hands in what it is to read.
    pub(crate) fn begin(&mut self, inside: &Inside) -> Result<(), JailError> {
        const DOING: &str = "handing a file in";
        let mut words = Vec::new();
        frame::write_message(&mut words, &inside.begin).map_err(JailError::Keeper)?;
        self.send(&words)?;
        let sizes = inside.begin.inputs.iter().filter_map(|input| input.size);
        for (path, size) in inside.files.iter().zip(sizes) {
            let no_link = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
            let opened = OpenOptions::new().read(true).custom_flags(no_link).open(path);
            self.send_file(opened.map_err(failed(DOING))?, size)?;
        }
        Ok(())
    }

    fn send_file(&mut self, mut file: File, size: u64) -> Result<(), JailError> {
        const DOING: &str = "handing a file in";
        let mut buffer = vec![0; DATA_CAP];
        let mut left = size;
        while left > 0 {
            let most = left.min(DATA_CAP as u64) as usize;
            let count = file.read(&mut buffer[..most]).map_err(failed(DOING))?;
            if count == 0 {
                return Err(failed(DOING)(io::ErrorKind::UnexpectedEof.into()).into());
            }
            let mut words = Vec::with_capacity(count + 5);
            frame::write(&mut words, DATA, &buffer[..count]).map_err(JailError::Keeper)?;
            self.send(&words)?;
            left -= count as u64;
        }
        Ok(())
    }

    fn send(&mut self, mut words: &[u8]) -> Result<(), JailError> {
        const DOING: &str = "speaking to a machine";
        while !words.is_empty() {
            match rustix::io::write(&self.stream, words) {
                Ok(count) => words = &words[count..],
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    let mut ready = [
                        PollFd::new(&self.stream, PollFlags::OUT),
                        PollFd::from_borrowed_fd(self.cancel.as_fd(), PollFlags::IN),
                    ];
                    let most = Timespec::try_from(UNREAD).ok();
                    let count = poll(&mut ready, most.as_ref()).unwrap_or(0);
                    if self.cancel.is_cancelled() {
                        return Err(super::MachineError::Cancelled.into());
                    }
                    if count == 0 {
                        return Err(JailError::Machine("it does not read what it is told".into()));
                    }
                }
                Err(error) => return Err(failed(DOING)(error.into()).into()),
            }
        }
        Ok(())
    }

    /// Listens until all is said, a limit is reached, it is cancelled or the machine is gone.
    pub(crate) fn listen(
        &mut self,
        on: &mut dyn FnMut(Event<'_>) -> io::Result<()>,
    ) -> Result<Said, JailError> {
        loop {
            while let Some(frame) = self.next()? {
                if self.hear(&frame, on)? {
                    return Ok(self.ended());
                }
            }
            match self.wait(self.deadline())? {
                News::Machine if self.frames.fill(&self.stream).map_err(listening())? => {}
                News::Machine => return Ok(Said::Gone { had_begun: true }),
                News::Cancelled => {
                    self.outcome.end = End::Cancelled;
                    return Ok(self.ended());
                }
                News::Late => {
                    if let Some(breached) = self.late() {
                        self.outcome.end = End::Breached(breached);
                        return Ok(self.ended());
                    }
                }
            }
        }
    }

    fn ended(&mut self) -> Said {
        let nothing = Outcome { steps: Vec::new(), end: End::Done };
        Said::Ended(std::mem::replace(&mut self.outcome, nothing))
    }

    fn next(&mut self) -> Result<Option<Frame>, JailError> {
        let cap = FROM_MACHINE_CAP.max(DATA_CAP);
        self.frames.next(cap).map_err(|error| JailError::Machine(error.to_string()))
    }

    fn wait(&self, until: Instant) -> Result<News, JailError> {
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let mut descriptors = [
            PollFd::new(&self.stream, PollFlags::IN),
            PollFd::from_borrowed_fd(self.cancel.as_fd(), PollFlags::IN),
        ];
        match poll(&mut descriptors, Timespec::try_from(left).ok().as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(listening()(error.into()).into()),
        }
        let [machine, cancelled] = descriptors.map(|one| !one.revents().is_empty());
        Ok(match (machine, cancelled) {
            (_, true) => News::Cancelled,
            // Time counts first: who speaks without end must not be listened to without end.
            _ if Instant::now() >= until => News::Late,
            (true, false) => News::Machine,
            (false, false) => News::Late,
        })
    }

    fn deadline(&self) -> Instant {
        let limits = &self.plan.limits;
        let wall = self.began + Duration::from_secs(limits.wall);
        wall.min(self.heard + Duration::from_secs(limits.silence))
    }

    fn late(&self) -> Option<Breached> {
        let limits = &self.plan.limits;
        let (wall, silence) = (self.began.elapsed().as_secs(), self.heard.elapsed().as_secs());
        let over =
            |limit, allowed, seen| (seen >= allowed).then_some(Breached { limit, allowed, seen });
        over(Limit::Wall, limits.wall, wall)
            .or_else(|| over(Limit::Silence, limits.silence, silence))
    }

    /// Hears one frame; true when it is the last.
    fn hear(
        &mut self,
        frame: &Frame,
        on: &mut dyn FnMut(Event<'_>) -> io::Result<()>,
    ) -> Result<bool, JailError> {
        match (frame.kind, self.open) {
            (DATA, Some(left)) => self.bytes_of_file(&frame.body, left, on)?,
            (LOG, None) => return self.log(&frame.body, on),
            (MESSAGE, None) => {
                let message = frame.message().map_err(|error| nonsense(&error.to_string()))?;
                return self.message(message, on);
            }
            _ => return Err(nonsense("a frame that was not due")),
        }
        Ok(false)
    }

    fn message(
        &mut self,
        message: FromMachine,
        on: &mut dyn FnMut(Event<'_>) -> io::Result<()>,
    ) -> Result<bool, JailError> {
        match message {
            FromMachine::StepEnded(ended) => {
                let due = self.outcome.steps.len();
                if ended.step != due || due >= self.plan.steps.len() || !self.is_fine_so_far() {
                    return Err(nonsense("a step that was not due"));
                }
                on(Event::StepEnded(&ended)).map_err(failed("noting a step's end"))?;
                self.outcome.steps.push(ended);
            }
            FromMachine::File(head) => return self.file(&head, on),
            FromMachine::Refused { name, why } => {
                if let Some(breached) = self.one_more_file() {
                    self.outcome.end = End::Breached(breached);
                    return Ok(true);
                }
                let (name, why) = (Foreign::new(&name), Foreign::new(&why));
                on(Event::Refused { name: &name, why: why.as_str() })
                    .map_err(failed("noting a file that was refused"))?;
            }
            FromMachine::Failed(told) => {
                return Err(JailError::Setup(Foreign::new(&told).as_str().to_owned()));
            }
            FromMachine::Breached(breached) => {
                self.outcome.end = End::Breached(breached);
                return Ok(true);
            }
            FromMachine::Ended => {
                if self.is_fine_so_far() && self.outcome.steps.len() < self.plan.steps.len() {
                    return Err(nonsense("an end before all steps"));
                }
                return Ok(true);
            }
            FromMachine::Ready { .. } | FromMachine::Began => {
                return Err(nonsense("that it starts, twice"));
            }
        }
        Ok(false)
    }

    fn is_fine_so_far(&self) -> bool {
        self.outcome.steps.iter().all(|ended| self.plan.steps[ended.step].is_fine(ended.exit))
    }

    fn log(
        &mut self,
        bytes: &[u8],
        on: &mut dyn FnMut(Event<'_>) -> io::Result<()>,
    ) -> Result<bool, JailError> {
        self.heard = Instant::now();
        let allowed = self.plan.limits.log;
        let room = usize::try_from(allowed.saturating_sub(self.logged)).unwrap_or(usize::MAX);
        self.logged += bytes.len() as u64;
        let kept = &bytes[..bytes.len().min(room)];
        if !kept.is_empty() {
            on(Event::Log(kept)).map_err(failed("keeping the log"))?;
        }
        if self.logged > allowed && !self.plan.is_without(Barrier::Limits) {
            let breached = Breached { limit: Limit::Log, allowed, seen: self.logged };
            self.outcome.end = End::Breached(breached);
            return Ok(true);
        }
        let flood = self.rate.count(bytes.len() as u64, self.plan.limits.log_rate, self.heard);
        if let Some(breached) = flood.filter(|_| !self.plan.is_without(Barrier::Limits)) {
            self.outcome.end = End::Breached(breached);
            return Ok(true);
        }
        Ok(false)
    }

    fn one_more_file(&mut self) -> Option<Breached> {
        self.files += 1;
        let (allowed, seen) = (self.plan.limits.files, self.files);
        (seen > allowed).then_some(Breached { limit: Limit::Files, allowed, seen })
    }

    /// A file begins, by the rules by which one is taken out of a jail of this host.
    fn file(
        &mut self,
        head: &FileHead,
        on: &mut dyn FnMut(Event<'_>) -> io::Result<()>,
    ) -> Result<bool, JailError> {
        let Some(wanted) = self.plan.collect.get(head.collect) else {
            return Err(nonsense("a file that nobody asked for"));
        };
        if self.outcome.steps.len() < self.plan.steps.len() || !self.is_fine_so_far() {
            return Err(nonsense("a file before its time"));
        }
        if name_trouble(&head.name).is_some() || !head.name.ends_with(&wanted.suffix) {
            return Err(nonsense("a file by a name that no package has"));
        }
        if let Some(breached) = self.one_more_file() {
            self.outcome.end = End::Breached(breached);
            return Ok(true);
        }
        self.bytes = self.bytes.saturating_add(head.size);
        if self.bytes > self.plan.limits.disk {
            let (allowed, seen) = (self.plan.limits.disk, self.bytes);
            self.outcome.end = End::Breached(Breached { limit: Limit::Disk, allowed, seen });
            return Ok(true);
        }
        on(Event::File(head)).map_err(failed(KEEPING))?;
        if head.size == 0 {
            on(Event::FileEnd).map_err(failed(KEEPING))?;
        } else {
            self.open = Some(head.size);
        }
        Ok(false)
    }

    fn bytes_of_file(
        &mut self,
        bytes: &[u8],
        left: u64,
        on: &mut dyn FnMut(Event<'_>) -> io::Result<()>,
    ) -> Result<(), JailError> {
        let left = left.checked_sub(bytes.len() as u64).filter(|_| !bytes.is_empty());
        let left = left.ok_or_else(|| nonsense("more of a file than it has"))?;
        on(Event::Bytes(bytes)).map_err(failed(KEEPING))?;
        self.open = (left > 0).then_some(left);
        if left == 0 {
            on(Event::FileEnd).map_err(failed(KEEPING))?;
        }
        Ok(())
    }
}

const KEEPING: &str = "keeping a result";

fn listening() -> impl FnOnce(io::Error) -> super::MachineError {
    failed("listening to a machine")
}

fn not_started(told: &str) -> JailError {
    super::MachineError::Start(Foreign::new(told)).into()
}

/// What no init of ours says.
fn nonsense(what: &str) -> JailError {
    JailError::Machine(format!("it says what it must not: {what}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;
    use crate::ids::IdMap;
    use crate::messages::{StepEnded, StepExit};
    use crate::plan::{Collect, Run, Step, User};

    fn plan() -> Plan {
        let mut plan = Plan::that_cleans("/f".into(), IdMap::for_tests());
        plan.steps = vec![Step {
            run: Run::Program { argv: vec!["/bin/true".to_owned()] },
            user: User::Build,
            cwd: "/".to_owned(),
            env: Vec::new(),
            also_fine: Vec::new(),
        }];
        plan.collect = vec![Collect {
            upper: "root".to_owned(),
            folder: "RPMS".to_owned(),
            suffix: ".rpm".to_owned(),
            depth: 1,
        }];
        plan.limits.files = 2;
        plan.limits.disk = 1000;
        plan.limits.log = 10;
        plan.limits.wall = 20;
        plan
    }

    /// Lets a machine say these bytes; what was heard of files and log, and how it ended.
    fn heard(plan: &Plan, bytes: &[u8]) -> (Vec<(String, usize)>, usize, Result<Said, JailError>) {
        let (ours, mut theirs) = UnixStream::pair().expect("a stream");
        let bytes = bytes.to_vec();
        let speaker = std::thread::spawn(move || {
            // Who is no longer listened to cannot go on.
            let _ = theirs.write_all(&bytes);
        });
        let cancel = Cancel::new().expect("an eventfd");
        let mut files: Vec<(String, usize)> = Vec::new();
        let mut log = 0;
        let mut talk = Talk::new(plan, ours, &cancel);
        talk.stream.set_nonblocking(true).expect("set");
        let said = talk.listen(&mut |event| {
            match event {
                Event::Log(bytes) => log += bytes.len(),
                Event::File(head) => files.push((head.name.clone(), 0)),
                Event::Bytes(bytes) => files.last_mut().expect("a file").1 += bytes.len(),
                _ => {}
            }
            Ok(())
        });
        drop(talk);
        speaker.join().expect("ended");
        (files, log, said)
    }

    fn words(messages: &[FromMachine]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for message in messages {
            frame::write_message(&mut bytes, message).expect("written");
        }
        bytes
    }

    fn step(code: i32) -> FromMachine {
        let exit = StepExit::Code(code);
        FromMachine::StepEnded(StepEnded { step: 0, exit, user_ms: 1, system_ms: 1 })
    }

    fn file(name: &str, size: u64) -> FromMachine {
        FromMachine::File(FileHead { collect: 0, name: name.to_owned(), size })
    }

    fn end_of(said: Result<Said, JailError>) -> End {
        match said {
            Ok(Said::Ended(outcome)) => outcome.end,
            Ok(Said::Gone { .. }) => panic!("it is gone"),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn what_is_due_is_taken() {
        let mut bytes = Vec::new();
        frame::write(&mut bytes, LOG, b"hello").expect("written");
        bytes.extend(words(&[step(0), file("a-1-1.noarch.rpm", 4)]));
        frame::write(&mut bytes, DATA, b"cl").expect("written");
        frame::write(&mut bytes, DATA, b"ay").expect("written");
        bytes.extend(words(&[file("b-1-1.noarch.rpm", 0), FromMachine::Ended]));
        let (files, log, said) = heard(&plan(), &bytes);
        let expected = [("a-1-1.noarch.rpm".to_owned(), 4), ("b-1-1.noarch.rpm".to_owned(), 0)];
        assert_eq!((&files[..], log, end_of(said)), (&expected[..], 5, End::Done));
    }

    #[test]
    fn what_no_init_of_ours_says_ends_the_machine() {
        for (what, said) in [
            ("a path", words(&[step(0), file("../x.rpm", 1)])),
            ("a hidden name", words(&[step(0), file(".x.rpm", 1)])),
            ("a line", words(&[step(0), file("a\nb.rpm", 1)])),
            ("another suffix", words(&[step(0), file("a.sh", 1)])),
            ("before its time", words(&[file("a.rpm", 1)])),
            ("of a step that failed", words(&[step(1), file("a.rpm", 1)])),
            ("a step too many", words(&[step(0), step(0)])),
            ("an early end", words(&[FromMachine::Ended])),
            ("ready twice", words(&[FromMachine::Ready { version: VERSION, up_ms: 1 }])),
            ("half of a file", words(&[step(0), file("a.rpm", 9), FromMachine::Ended])),
            ("a long frame", vec![MESSAGE, 0xff, 0xff, 0xff, 0x7f]),
            ("no message", vec![MESSAGE, 1, 0, 0, 0, b'{']),
            ("bytes of no file", vec![DATA, 1, 0, 0, 0, b'x']),
        ] {
            let (_, _, said) = heard(&plan(), &said);
            assert!(matches!(said, Err(JailError::Machine(_))), "{what}");
        }
    }

    #[test]
    fn more_than_the_limits_allow_is_a_breach() {
        let mut flood = Vec::new();
        frame::write(&mut flood, LOG, &[b'x'; 11]).expect("written");
        let many = words(&[step(0), file("a.rpm", 0), file("b.rpm", 0), file("c.rpm", 0)]);
        let large = words(&[step(0), file("a.rpm", 1001)]);
        for (limit, said) in [(Limit::Log, flood), (Limit::Files, many), (Limit::Disk, large)] {
            let End::Breached(breached) = end_of(heard(&plan(), &said).2) else {
                panic!("{limit} is no breach")
            };
            assert_eq!(breached.limit, limit);
        }
    }

    #[test]
    fn a_machine_that_is_silent_is_late() {
        let mut silent = plan();
        silent.limits.silence = 1;
        let (ours, theirs) = UnixStream::pair().expect("a stream");
        let cancel = Cancel::new().expect("an eventfd");
        let mut talk = Talk::new(&silent, ours, &cancel);
        // Half of a frame is no word.
        (&theirs).write_all(&[LOG, 9, 0]).expect("written");
        talk.stream.set_nonblocking(true).expect("set");
        let End::Breached(breached) = end_of(talk.listen(&mut |_| Ok(()))) else {
            panic!("no breach")
        };
        assert_eq!(breached.limit, Limit::Silence);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn whatever_a_machine_says_it_hands_over_no_more_than_it_may(
            said in prop::collection::vec(any::<u8>(), 0..4000),
        ) {
            let (files, log, _) = heard(&plan(), &said);
            prop_assert!(files.len() <= 2 && log <= 10);
        }
    }
}
