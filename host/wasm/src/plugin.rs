//! A loaded component and the three things one can ask of it.

use crate::bindings::{StagePlugin, StagePluginPre};
use crate::check::Facts;
use crate::convert;
use crate::engine::Ticker;
use crate::error::{CallError, CallProblem, Function, LoadError, LoadProblem};
use crate::link::Shared;
use crate::memory::Memory;
use crate::source;
use crate::state::{Hit, Identity, State};
use crate::wasi::World;
use ilab_core::contract::{Context, Descriptor, Excerpt, Plan};
use ilab_core::names::{PluginDigest, StageName};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use wasmtime::{Store, Trap};

/// Stack of the thread that calls a component with WASI.
const THREAD_STACK: usize = 4 << 20;

/// A loaded component. Clones share it.
///
/// Every call runs in a fresh store under the limits of the [`Host`](crate::Host) that loaded it. A call blocks the
/// thread until the guest is done, at most for [`Limits::call_time`](crate::Limits::call_time).
#[derive(Clone)]
pub struct Plugin(Arc<PluginInner>, World);

struct PluginInner {
    identity: Arc<Identity>,
    shared: Shared,
    /// What is called; linked when it is first called, where what it says is remembered.
    linked: OnceLock<StagePluginPre<State>>,
    facts: Facts,
    descriptors: OnceLock<Arc<[Descriptor]>>,
    /// Whether the descriptors were remembered.
    remembered: bool,
    /// Where the [`About`] of this component lies; none without a cache.
    memory: Option<Memory>,
}

/// What is remembered of a component that was found in order.
#[derive(serde::Serialize, serde::Deserialize)]
struct About<'a> {
    facts: Cow<'a, Facts>,
    stages: Cow<'a, [Descriptor]>,
}

/// A plan, and what it was made for.
#[derive(serde::Serialize, serde::Deserialize)]
struct RememberedPlan<'a> {
    /// The SHA-256 of the context as JSON.
    context: Cow<'a, PluginDigest>,
    plan: Cow<'a, Plan>,
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("identity", &self.0.identity)
            .field("facts", &self.0.facts)
            .finish_non_exhaustive()
    }
}

impl Plugin {
    pub(crate) fn load(shared: Shared, identity: Identity) -> Result<Self, (Identity, LoadProblem)> {
        let memory = shared.cache.as_ref().and_then(|cache| cache.stages(&identity.digest));
        let about: Option<About<'_>> = memory.as_ref().and_then(Memory::read);
        let (linked, descriptors) = (OnceLock::new(), OnceLock::new());
        let remembered = about.is_some();
        let facts = match about {
            Some(about) => {
                let _ = descriptors.set(about.stages.into_owned().into());
                about.facts.into_owned()
            }
            None => match shared.link(&identity.path, &identity.digest) {
                Ok((pre, facts)) => {
                    let _ = linked.set(pre);
                    facts
                }
                Err(problem) => return Err((identity, problem)),
            },
        };
        let identity = Arc::new(identity);
        Ok(Self(
            Arc::new(PluginInner { identity, shared, linked, facts, descriptors, remembered, memory }),
            World::default(),
        ))
    }

    /// The same component with other clocks and random numbers, where it asks WASI for them: a stage may not look at them.
    #[must_use]
    pub fn in_world(&self, world: World) -> Self {
        Self(Arc::clone(&self.0), world)
    }

    /// The SHA-256 of the component's bytes.
    #[must_use]
    pub fn digest(&self) -> &PluginDigest {
        &self.0.identity.digest
    }

    /// What people know it by: the file it was loaded from, or what [`Host::load_pinned`](crate::Host::load_pinned) was told.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.0.identity.file
    }

    /// The component's bytes, read again from where it was loaded.
    ///
    /// # Errors
    /// [`LoadError`] when they cannot be read, or are others by now.
    pub fn bytes(&self) -> Result<Vec<u8>, LoadError> {
        let Identity { file, path, digest } = &*self.0.identity;
        source::bytes(path, self.0.shared.limits.component_bytes, digest).map_err(|problem| LoadError {
            file: file.clone(),
            digest: Some(digest.clone()),
            problem,
        })
    }

    /// The contract's version that it was built for.
    #[must_use]
    pub fn wit_version(&self) -> &str {
        &self.0.facts.wit_version
    }

    /// Whether it asks for WASI, of which it gets an empty one.
    #[must_use]
    pub fn uses_wasi(&self) -> bool {
        self.0.facts.wasi
    }

    /// The names of everything that it exports.
    #[must_use]
    pub fn exports(&self) -> &[String] {
        &self.0.facts.exports
    }

    /// The names of everything that it asks for.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        &self.0.facts.imports
    }

    /// The stages that it offers: at least one, no name twice.
    ///
    /// # Errors
    /// [`CallError`] when the call breaks off or what it returns breaks the contract.
    pub fn stages(&self) -> Result<Vec<Descriptor>, CallError> {
        self.descriptors().map(|all| all.to_vec())
    }

    /// The same as [`stages`](Self::stages), shared. They are constant, so the component is asked once.
    ///
    /// # Errors
    /// Those of [`stages`](Self::stages).
    pub fn descriptors(&self) -> Result<Arc<[Descriptor]>, CallError> {
        if let Some(known) = self.0.descriptors.get() {
            return Ok(Arc::clone(known));
        }
        let asked = self.describe()?;
        Ok(Arc::clone(self.0.descriptors.get_or_init(|| asked.into())))
    }

    /// What [`remember`](Self::remember) wrote down of this component; none when this build of the program never did.
    /// From then on the component is not asked for it.
    #[must_use]
    pub fn remembered(&self) -> Option<Arc<[Descriptor]>> {
        self.0.descriptors.get().filter(|_| self.0.remembered).cloned()
    }

    /// Writes down in the cache what the component says of itself, for whoever has found it in order: the next start of
    /// the same program need not ask for it and check it again. Without a cache it does nothing.
    ///
    /// # Errors
    /// Those of [`stages`](Self::stages). A cache that cannot be written is only slower.
    pub fn remember(&self) -> Result<(), CallError> {
        let descriptors = self.descriptors()?;
        let about = About { facts: Cow::Borrowed(&self.0.facts), stages: Cow::Borrowed(&*descriptors) };
        if let Some(Err(error)) = self.0.memory.as_ref().map(|memory| memory.write(&about)) {
            tracing::debug!(%error, "a component has to describe itself at the next start again");
        }
        Ok(())
    }

    /// Asks the component anew, which [`stages`](Self::stages) does once only.
    ///
    /// # Errors
    /// Those of [`stages`](Self::stages).
    pub fn describe(&self) -> Result<Vec<Descriptor>, CallError> {
        let called = self.call(None, |store, plugin| plugin.ilab_pipeline_stage().call_stages(store));
        called.and_then(convert::descriptors).map_err(|problem| self.error(Function::Stages, None, problem))
    }

    /// The manifests of one stage, and how to know that they are done.
    ///
    /// # Errors
    /// [`CallError`]: the stage refuses ([`CallProblem::Stage`]), there is no such stage, the call breaks off or hits a
    /// limit, or what it returns breaks the contract.
    pub fn render(&self, stage: &StageName, context: &Context) -> Result<Plan, CallError> {
        self.render_listening(stage, context).map(|(plan, _)| plan)
    }

    /// As [`render`](Self::render); what the component gave this build of the program for the same context before, without
    /// a word in its log, is taken from the cache. Of each stage the last plan is kept.
    ///
    /// # Errors
    /// Those of [`render`](Self::render).
    pub fn render_once(&self, stage: &StageName, context: &Context) -> Result<Plan, CallError> {
        let cache = self.0.shared.cache.as_ref();
        let Some(memory) = cache.and_then(|cache| cache.plan(self.digest(), stage)) else {
            return self.render(stage, context);
        };
        let json = serde_json::to_vec(context).unwrap_or_default();
        let context_digest = PluginDigest::of(&json);
        let known: Option<RememberedPlan<'_>> = memory.read();
        if let Some(known) = known.filter(|known| *known.context == context_digest) {
            return Ok(known.plan.into_owned());
        }
        let (plan, silent) = self.render_listening(stage, context)?;
        let remembered =
            RememberedPlan { context: Cow::Borrowed(&context_digest), plan: Cow::Borrowed(&plan) };
        if silent && let Err(error) = memory.write(&remembered) {
            tracing::debug!(%error, "a stage has to be rendered at the next start again");
        }
        Ok(plan)
    }

    /// A plan, and whether the component said nothing while it made it.
    fn render_listening(&self, stage: &StageName, context: &Context) -> Result<(Plan, bool), CallError> {
        self.offers(Function::Render, stage)?;
        let context = convert::context(context);
        self.call(Some(stage), |store, plugin| {
            let result = plugin.ilab_pipeline_stage().call_render(&mut *store, stage.as_str(), &context)?;
            Ok((result, store.data().silent()))
        })
        .and_then(|(result, silent)| Ok((convert::plan(result.map_err(convert::stage_error)?)?, silent)))
        .map_err(|problem| self.error(Function::Render, Some(stage), problem))
    }

    /// The stage's outputs, a JSON object, from what its containers printed.
    ///
    /// # Errors
    /// Those of [`render`](Self::render).
    pub fn collect(
        &self,
        stage: &StageName,
        context: &Context,
        excerpts: &[Excerpt],
    ) -> Result<Value, CallError> {
        self.offers(Function::Collect, stage)?;
        let (context, excerpts) = (convert::context(context), convert::excerpts(excerpts));
        self.call(Some(stage), |store, plugin| {
            plugin.ilab_pipeline_stage().call_collect(store, stage.as_str(), &context, &excerpts)
        })
        .and_then(|result| convert::object(|| "outputs".to_owned(), &result.map_err(convert::stage_error)?))
        .map_err(|problem| self.error(Function::Collect, Some(stage), problem))
    }

    fn offers(&self, function: Function, stage: &StageName) -> Result<(), CallError> {
        let offers = self.descriptors()?;
        if offers.iter().any(|d| d.name == *stage) {
            return Ok(());
        }
        let offers = offers.iter().map(|d| d.name.to_string()).collect();
        Err(self.error(function, Some(stage), CallProblem::UnknownStage { offers }))
    }

    fn error(&self, function: Function, stage: Option<&StageName>, problem: CallProblem) -> CallError {
        let Identity { file, digest, .. } = &*self.0.identity;
        CallError {
            file: file.clone(),
            digest: digest.clone(),
            stage: stage.cloned(),
            function,
            problem: Box::new(problem),
        }
    }

    /// One call, where it may run.
    fn call<R: Send>(
        &self,
        stage: Option<&StageName>,
        call: impl FnOnce(&mut Store<State>, &StagePlugin) -> wasmtime::Result<R> + Send,
    ) -> Result<R, CallProblem> {
        if !self.0.facts.wasi {
            return self.0.call_here(stage, self.1, call);
        }
        // WASI's streams block on a tokio runtime of their own, which panics on a thread that belongs to another one.
        let failed = |detail: String| CallProblem::Host { detail };
        std::thread::scope(|scope| {
            std::thread::Builder::new()
                .name("wasm-call".to_owned())
                .stack_size(THREAD_STACK)
                .spawn_scoped(scope, || self.0.call_here(stage, self.1, call))
                .map_err(|error| failed(error.to_string()))?
                .join()
                .unwrap_or_else(|_| Err(failed("its WASI panicked".to_owned())))
        })
    }
}

impl PluginInner {
    fn linked(&self) -> Result<&StagePluginPre<State>, CallProblem> {
        if let Some(pre) = self.linked.get() {
            return Ok(pre);
        }
        let Identity { path, digest, .. } = &*self.identity;
        let (pre, _) = self.shared.link(path, digest).map_err(CallProblem::Load)?;
        Ok(self.linked.get_or_init(|| pre))
    }

    fn call_here<R>(
        &self,
        stage: Option<&StageName>,
        world: World,
        call: impl FnOnce(&mut Store<State>, &StagePlugin) -> wasmtime::Result<R>,
    ) -> Result<R, CallProblem> {
        let pre = self.linked()?;
        let Shared { engine, limits, sink, ticker, .. } = &self.shared;
        let stage = stage.map(ToString::to_string);
        let state = State::new(Arc::clone(&self.identity), stage, Arc::clone(sink), limits, world);
        let mut store = Store::new(engine, state);
        store.limiter(|state| &mut state.limiter);
        store.set_hostcall_fuel(limits.returned_bytes);
        store.set_max_component_handles(limits.handles);
        let ticking =
            ticker.start(engine).map_err(|error| CallProblem::Host { detail: error.to_string() })?;
        store.set_epoch_deadline(Ticker::epochs(limits.call_time));
        let result = pre.instantiate(&mut store).and_then(|plugin| call(&mut store, &plugin));
        drop(ticking);
        let last_error = store.data_mut().finish();
        result.map_err(|error| self.translate(&error, store.data().limiter.hit, last_error))
    }

    /// What a failure of the engine means to people.
    fn translate(
        &self,
        error: &wasmtime::Error,
        hit: Option<Hit>,
        last_error: Option<String>,
    ) -> CallProblem {
        match hit {
            Some(Hit::Memory(wanted)) => {
                return CallProblem::Memory { wanted, limit: self.shared.limits.memory_bytes };
            }
            Some(Hit::Table(wanted)) => {
                return CallProblem::Table { wanted, limit: self.shared.limits.table_elements };
            }
            None => {}
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => return CallProblem::Time { limit: self.shared.limits.call_time },
            Some(Trap::StackOverflow) => return CallProblem::Stack { limit: self.shared.limits.stack_bytes },
            _ => {}
        }
        let root = error.root_cause().to_string();
        // The engine has no public type for this one; a test holds its words.
        if root.contains("fuel allocated for hostcalls has been exhausted") {
            return CallProblem::Returned { limit: self.shared.limits.returned_bytes };
        }
        let detail = match error.downcast_ref::<Trap>() {
            // Compilers keep a second stack in the guest's memory, below everything else.
            Some(Trap::MemoryOutOfBounds) => {
                format!("{root} (as where recursion fills the guest's own stack)")
            }
            _ => crate::escape::escape(&root).into_owned(),
        };
        tracing::debug!(file = %self.identity.file.display(), error = format!("{error:?}"), "a call broke off");
        CallProblem::Trap { detail, last_error }
    }
}
