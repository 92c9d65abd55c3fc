//! A pod's life: which container starts when, and what its phase is.

use jiff::Timestamp;
use rustix::process::{Signal, pidfd_send_signal};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use super::control::Hub;
use super::restart::{self, Backoff};
use super::run::{self, Running};
use crate::node::files;
use crate::node::plan::{
    ContainerPlan, ContainerState, Exit, FORMAT, Now, Phase, PodDir, PodPlan, PodState, RestartPolicy,
};
use crate::node::sandbox::limits;

/// A pod that loses its shim more often than this is given up.
const MAX_LOST: u32 = 5;
/// How long a container that ignores SIGKILL (stuck in the kernel) is waited for.
const KILL_WAIT: Duration = Duration::from_secs(30);

/// What the loop waits for.
#[derive(Debug)]
pub(super) enum Event {
    /// A container's first process runs.
    Started(Slot, Running),
    /// An attempt has ended and its files are written.
    Ended(Slot, Exit),
    /// The host wants the pod to end.
    Stop {
        /// Between SIGTERM and SIGKILL.
        grace: Duration,
    },
}

/// Which container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    init: bool,
    index: usize,
}

/// What is known of a container beyond its state.
#[derive(Debug)]
struct Life {
    /// An attempt's thread is at work.
    busy: bool,
    process: Option<Running>,
    /// When it may start next; none: not to be started.
    due: Option<Instant>,
    backoff: Backoff,
    /// The strongest signal that was sent to this attempt.
    told: Option<Signal>,
}

/// An end that has been ordered.
#[derive(Debug)]
struct Stopping {
    kill_at: Instant,
    killed: bool,
    give_up_at: Instant,
}

/// The pod and its loop.
#[derive(Debug)]
pub(super) struct Pod {
    plan: Arc<PodPlan>,
    dir: PodDir,
    state: PodState,
    published: Option<PodState>,
    init: Vec<Life>,
    containers: Vec<Life>,
    deadline: Option<Instant>,
    /// The whole pod ends.
    stopping: Option<Stopping>,
    /// The containers are done; sidecars end.
    finishing: Option<Stopping>,
    hub: Hub,
    events: Sender<Event>,
}

impl Pod {
    pub(super) fn new(
        plan: PodPlan,
        dir: PodDir,
        before: Option<PodState>,
        hub: Hub,
        events: Sender<Event>,
    ) -> Self {
        let resumed = before.is_some();
        let mut state = before.unwrap_or_else(|| new_state(&plan));
        state.lost += u32::from(resumed);
        let lives = |plans: &[ContainerPlan], states: &[ContainerState]| {
            plans.iter().enumerate().map(|(at, _)| Life::new(&plan, states.get(at))).collect::<Vec<_>>()
        };
        let (init, containers) = (lives(&plan.init, &state.init), lives(&plan.containers, &state.containers));
        let deadline = plan.active_deadline_seconds.map(|seconds| {
            let passed =
                Duration::try_from(Timestamp::now().duration_since(state.started_at)).unwrap_or_default();
            Instant::now() + Duration::from_secs(seconds).saturating_sub(passed)
        });
        let mut this = Self {
            plan: Arc::new(plan),
            dir,
            state,
            published: None,
            init,
            containers,
            deadline,
            stopping: None,
            finishing: None,
            hub,
            events,
        };
        if resumed {
            this.count_as_lost();
            limits::sweep(&run::group_prefix(&this.plan.uid));
        }
        this
    }

    /// What ran under a shim that is gone has ended, unless its exit was written.
    fn count_as_lost(&mut self) {
        for slot in self.slots() {
            let (plan, state) = (self.container(slot), self.state_of(slot));
            let Now::Running { started_at } = state.now else { continue };
            let folder = self.dir.attempt(&plan.name, state.attempt);
            run::end_left(&folder);
            let file = folder.join("exit");
            let exit = files::read_json(&file).ok().flatten().unwrap_or_else(|| Exit {
                exit_code: 137,
                signal: Some(9),
                reason: "ContainerStatusUnknown".to_owned(),
                message: Some("lost: the pod's shim was killed, and the container with it".to_owned()),
                started_at,
                finished_at: Timestamp::now(),
            });
            if let Err(error) = files::write_json(&file, &exit) {
                eprintln!("shim: cannot write {}: {error}", file.display());
            }
            self.ended(slot, exit);
        }
        if self.state.lost > MAX_LOST && !self.state.phase.is_terminal() {
            self.state.reason = Some("ShimLost".to_owned());
            self.state.message = Some(format!("the pod's shim was lost {} times", self.state.lost));
            self.stop(Duration::ZERO);
        }
    }

    /// Runs the pod to its end.
    ///
    /// # Errors
    /// When the state file cannot be written: a pod whose end nobody could learn is not run on.
    pub(super) fn run(mut self, events: &Receiver<Event>) -> io::Result<()> {
        loop {
            self.advance();
            self.publish()?;
            if self.state.phase.is_terminal() {
                return Ok(());
            }
            let event = match self.next_time() {
                None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => events.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            match event {
                Ok(Event::Started(slot, running)) => self.started(slot, running),
                Ok(Event::Ended(slot, exit)) => self.ended(slot, exit),
                Ok(Event::Stop { grace }) => self.stop(grace),
                // The pod keeps a sender itself, so this is always a time that has come.
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
    }

    fn publish(&mut self) -> io::Result<()> {
        if self.published.as_ref() != Some(&self.state) {
            files::write_json(&self.dir.state(), &self.state)?;
            self.hub.publish(&self.state);
            self.published = Some(self.state.clone());
        }
        Ok(())
    }

    /// Does what is due now.
    fn advance(&mut self) {
        let now = Instant::now();
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.deadline = None;
            self.state.reason = Some("DeadlineExceeded".to_owned());
            self.state.message =
                Some("Pod was active on the node longer than the specified deadline".to_owned());
            self.stop(Duration::from_secs(self.plan.grace_seconds));
        }
        if let Some(stopping) = self.stopping.take() {
            self.stopping = self.drive(stopping, now);
            if self.stopping.is_none() {
                self.settle();
                self.state.phase = if self.state.reason.is_some() { Phase::Failed } else { self.verdict() };
            }
            return;
        }
        if let Some(finishing) = self.finishing.take() {
            self.finishing = self.drive(finishing, now);
            if self.finishing.is_none() {
                self.state.phase = self.verdict();
            }
            return;
        }
        if self.initialized(now) {
            self.state.initialized = true;
            self.state.phase = Phase::Running;
            for index in 0..self.containers.len() {
                self.start_if_due(Slot { init: false, index }, now);
            }
        }
        let done =
            self.state.initialized && self.containers.iter().all(|life| !life.busy && life.due.is_none());
        let failed_init = self.failed_init();
        if done || failed_init {
            for life in &mut self.init {
                life.due = None;
            }
            self.finishing = Some(Stopping::after(Duration::from_secs(self.plan.grace_seconds)));
            self.advance();
        }
    }

    /// Whether all init containers are done (sidecars: have started); starts the next otherwise.
    fn initialized(&mut self, now: Instant) -> bool {
        for index in 0..self.init.len() {
            let slot = Slot { init: true, index };
            self.start_if_due(slot, now);
            let state = &self.state.init[index];
            let passed = match &state.now {
                Now::Terminated(exit) => exit.exit_code == 0 || self.plan.init[index].sidecar,
                Now::Running { .. } => self.plan.init[index].sidecar,
                Now::Waiting { .. } => self.plan.init[index].sidecar && state.attempt > 0,
            };
            if !passed && !self.state.initialized {
                return false;
            }
        }
        true
    }

    fn failed_init(&self) -> bool {
        !self.state.initialized
            && self.init.iter().zip(&self.state.init).any(|(life, state)| {
                !life.busy
                    && life.due.is_none()
                    && matches!(&state.now, Now::Terminated(exit) if exit.exit_code != 0)
            })
    }

    fn verdict(&self) -> Phase {
        let well = self.state.initialized
            && self
                .state
                .containers
                .iter()
                .all(|state| matches!(&state.now, Now::Terminated(exit) if exit.exit_code == 0));
        if well { Phase::Succeeded } else { Phase::Failed }
    }

    /// Ends containers; none when all of them have.
    fn drive(&mut self, mut stopping: Stopping, now: Instant) -> Option<Stopping> {
        let kill = stopping.kill_at <= now;
        let mut busy = false;
        for slot in self.slots() {
            let life = self.life(slot);
            life.due = None;
            busy |= life.busy;
            let Some(running) = &life.process else { continue };
            let signal = if kill { Signal::KILL } else { Signal::TERM };
            if life.told != Some(signal) {
                // Fails only when it has ended already.
                let _ = pidfd_send_signal(&running.process, signal);
                life.told = Some(signal);
            }
        }
        stopping.killed |= kill;
        let gave_up = stopping.give_up_at <= now;
        if gave_up && busy {
            eprintln!("shim: containers did not end after SIGKILL");
        }
        (busy && !gave_up).then_some(stopping)
    }

    /// What waited for a restart has ended as it last did; what cannot be killed is given up.
    fn settle(&mut self) {
        let now = Timestamp::now();
        for slot in self.slots() {
            let state = self.state_mut(slot);
            if let Now::Waiting { .. } = state.now
                && let Some(last) = state.last.clone()
            {
                state.now = Now::Terminated(last);
            } else if let Now::Running { started_at } = state.now {
                state.now = Now::Terminated(Exit {
                    exit_code: 137,
                    signal: Some(9),
                    reason: "ContainerStatusUnknown".to_owned(),
                    message: Some("the container did not end after SIGKILL".to_owned()),
                    started_at,
                    finished_at: now,
                });
            }
        }
    }

    fn start_if_due(&mut self, slot: Slot, now: Instant) {
        let life = self.life(slot);
        if life.busy || life.due.is_none_or(|due| due > now) {
            return;
        }
        (life.busy, life.due, life.told) = (true, None, None);
        let state = self.state_mut(slot);
        if state.last.is_some() {
            state.attempt += 1;
        }
        let (attempt, plan, dir, events) =
            (state.attempt, self.plan.clone(), self.dir.clone(), self.events.clone());
        let work = move || {
            let container = slot.of(&plan.init, &plan.containers);
            let started = events.clone();
            let exit = run::run(&plan, &dir, container, attempt, |running| {
                let _ = started.send(Event::Started(slot, running));
            });
            let _ = events.send(Event::Ended(slot, exit));
        };
        if let Err(error) =
            std::thread::Builder::new().name("container".to_owned()).stack_size(512 << 10).spawn(work)
        {
            let at = Timestamp::now();
            self.ended(
                slot,
                Exit {
                    exit_code: 128,
                    signal: None,
                    reason: "StartError".to_owned(),
                    message: Some(format!("cannot start a thread: {error}")),
                    started_at: at,
                    finished_at: at,
                },
            );
        }
    }

    fn started(&mut self, slot: Slot, running: Running) {
        let state = self.state_mut(slot);
        state.now = Now::Running { started_at: running.started_at };
        state.limits.clone_from(&running.limits);
        self.life(slot).process = Some(running);
    }

    fn ended(&mut self, slot: Slot, exit: Exit) {
        let sidecar = self.container(slot).sidecar;
        let policy = match (slot.init, sidecar, self.plan.restart_policy) {
            (true, true, _) => RestartPolicy::Always,
            // An init container that ended well is done, whatever the policy.
            (true, false, RestartPolicy::Always) => RestartPolicy::OnFailure,
            (_, _, policy) => policy,
        };
        let again =
            restart::wanted(policy, exit.exit_code) && self.stopping.is_none() && self.finishing.is_none();
        let ran = Duration::try_from(exit.finished_at.duration_since(exit.started_at)).unwrap_or_default();
        let life = self.life(slot);
        (life.busy, life.process) = (false, None);
        let pause = again.then(|| life.backoff.next(ran));
        life.due = pause.map(|pause| Instant::now() + pause);
        let (name, uid) = (format!("{}_{}", self.plan.name, self.plan.namespace), self.plan.uid.clone());
        let state = self.state_mut(slot);
        state.now = match pause {
            Some(pause) => {
                state.last = Some(exit);
                Now::Waiting {
                    reason: "CrashLoopBackOff".to_owned(),
                    message: Some(format!(
                        "back-off {} restarting failed container={} pod={name}({uid})",
                        shown(pause),
                        state.name
                    )),
                }
            }
            None => Now::Terminated(exit),
        };
    }

    fn stop(&mut self, grace: Duration) {
        let stopping = Stopping::after(grace);
        match &mut self.stopping {
            // A second order can only shorten the first.
            Some(before) => {
                before.kill_at = before.kill_at.min(stopping.kill_at);
                before.give_up_at = before.give_up_at.min(stopping.give_up_at);
            }
            None => self.stopping = Some(stopping),
        }
        self.finishing = None;
    }

    fn next_time(&self) -> Option<Instant> {
        let stop = self.stopping.as_ref().or(self.finishing.as_ref());
        let stop = stop.map(|stop| if stop.killed { stop.give_up_at } else { stop.kill_at });
        let due =
            self.init.iter().chain(&self.containers).filter(|life| !life.busy).filter_map(|life| life.due);
        due.chain(stop).chain(self.deadline).min()
    }

    fn slots(&self) -> Vec<Slot> {
        let init = (0..self.init.len()).map(|index| Slot { init: true, index });
        init.chain((0..self.containers.len()).map(|index| Slot { init: false, index })).collect()
    }

    fn container(&self, slot: Slot) -> &ContainerPlan {
        slot.of(&self.plan.init, &self.plan.containers)
    }

    fn state_of(&self, slot: Slot) -> &ContainerState {
        slot.of(&self.state.init, &self.state.containers)
    }

    fn state_mut(&mut self, slot: Slot) -> &mut ContainerState {
        if slot.init { &mut self.state.init[slot.index] } else { &mut self.state.containers[slot.index] }
    }

    fn life(&mut self, slot: Slot) -> &mut Life {
        if slot.init { &mut self.init[slot.index] } else { &mut self.containers[slot.index] }
    }
}

impl Slot {
    fn of<'a, T>(self, init: &'a [T], containers: &'a [T]) -> &'a T {
        if self.init { &init[self.index] } else { &containers[self.index] }
    }
}

impl Stopping {
    fn after(grace: Duration) -> Self {
        let kill_at = Instant::now() + grace;
        Self { kill_at, killed: false, give_up_at: kill_at + KILL_WAIT }
    }
}

impl Life {
    fn new(plan: &PodPlan, state: Option<&ContainerState>) -> Self {
        let millis = Duration::from_millis;
        let restarts = state.map_or(0, |state| state.attempt + u32::from(state.last.is_some()));
        let ended = state.is_some_and(|state| matches!(state.now, Now::Terminated(_)));
        Self {
            busy: false,
            process: None,
            due: (!ended).then(Instant::now),
            backoff: Backoff::new(millis(plan.backoff_base_ms), millis(plan.backoff_max_ms), restarts),
            told: None,
        }
    }
}

fn new_state(plan: &PodPlan) -> PodState {
    let first = |plans: &[ContainerPlan], reason: &str| {
        let now = Now::Waiting { reason: reason.to_owned(), message: None };
        let state = |plan: &ContainerPlan| ContainerState {
            name: plan.name.clone(),
            attempt: 0,
            now: now.clone(),
            last: None,
            limits: Vec::new(),
        };
        plans.iter().map(state).collect()
    };
    let creating = if plan.init.is_empty() { "ContainerCreating" } else { "PodInitializing" };
    PodState {
        format: FORMAT,
        phase: Phase::Pending,
        reason: None,
        message: None,
        started_at: Timestamp::now(),
        lost: 0,
        initialized: false,
        init: first(&plan.init, "PodInitializing"),
        containers: first(&plan.containers, creating),
    }
}

/// A pause as Kubernetes writes it: `10s`, `2m40s`, `20ms`.
fn shown(pause: Duration) -> String {
    let seconds = pause.as_secs();
    match (seconds / 60, seconds % 60) {
        (0, 0) => format!("{}ms", pause.as_millis()),
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}
