//! A component that says what a test wants it to say, made without a compiler.
//!
//! What it returns lies in its memory from the start, laid out by the canonical ABI; its functions hand out where. So a test has
//! any descriptor and any plan, those too that no SDK lets through, and where words do not do, WebAssembly text.

mod lower;

use lower::Memory;
use serde_json::{Value, json};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Function, Resolve, Type, WorldItem, WorldKey};

/// The contract.
const WIT: &str = include_str!("../../../../wit/stage.wit");
/// Where the words lie. Below is room for what a test's own text wants to keep.
const BASE: usize = 1 << 16;

/// A component in the making.
///
/// Values are written as JSON, with the contract's own names of fields: what is left out is empty, none, false or 0. A text can be
/// `{"$bytes": […]}`, and any value `{"$raw": […]}`: the bytes that stand for it in memory.
///
/// ```
/// use ilab_test_support::Puppet;
/// use serde_json::json;
/// let component = Puppet::new(json!([{"name": "my-eval", "summary": "x", "group": "evaluation"}])).build();
/// assert!(component.starts_with(b"\0asm\x0d\0\x01\0"));
/// ```
#[derive(Debug, Clone)]
pub struct Puppet {
    stages: Value,
    render: Value,
    collect: Value,
    before: [String; 3],
    before_realloc: String,
    imports: String,
    module: String,
}

impl Puppet {
    /// One that offers these stages: a list of descriptors.
    #[must_use]
    pub fn new(stages: Value) -> Self {
        let before = [String::new(), String::new(), String::new()];
        let refuses = json!({"err": {"other": "nothing to render"}});
        Self {
            stages,
            render: refuses,
            collect: json!({"ok": "{}"}),
            before,
            before_realloc: String::new(),
            imports: String::new(),
            module: String::new(),
        }
    }

    /// What `render` returns, whatever it is given: `{"ok": {"manifests": [text], …}}` or `{"err": {"other": text}}`.
    #[must_use]
    pub fn render(self, result: Value) -> Self {
        Self { render: result, ..self }
    }

    /// A plan of these manifests, with a target on the last that is done when it is there.
    #[must_use]
    pub fn plan(self, manifests: &[Value]) -> Self {
        let texts: Vec<String> = manifests.iter().map(Value::to_string).collect();
        let object = manifests.last().map(|manifest| {
            json!({
                "api-version": manifest["apiVersion"], "kind": manifest["kind"],
                "name": manifest["metadata"]["name"],
            })
        });
        let succeeded = "condition(object, 'Complete')";
        let target =
            json!({"object": object, "succeeded": succeeded, "failed": "condition(object, 'Failed')"});
        self.render(json!({"ok": {"manifests": texts, "targets": [target]}}))
    }

    /// What `collect` returns: `{"ok": text}` or `{"err": …}`.
    #[must_use]
    pub fn collect(self, result: Value) -> Self {
        Self { collect: result, ..self }
    }

    /// Instructions that `stages` begins with, as WebAssembly text.
    #[must_use]
    pub fn before_stages(mut self, text: &str) -> Self {
        self.before[0] = text.to_owned();
        self
    }

    /// Instructions that `render` begins with. `$log` is the log; there are the locals `$i` and `$j`.
    #[must_use]
    pub fn before_render(mut self, text: &str) -> Self {
        self.before[1] = text.to_owned();
        self
    }

    /// Instructions that `collect` begins with.
    #[must_use]
    pub fn before_collect(mut self, text: &str) -> Self {
        self.before[2] = text.to_owned();
        self
    }

    /// Instructions that it begins with when the host asks for room in its memory.
    #[must_use]
    pub fn before_realloc(self, text: &str) -> Self {
        Self { before_realloc: text.to_owned(), ..self }
    }

    /// More imports of the module, which the contract that it is [built for](Self::build_for) must have.
    #[must_use]
    pub fn imports(self, text: &str) -> Self {
        Self { imports: text.to_owned(), ..self }
    }

    /// More fields of the module: functions, tables, a start.
    #[must_use]
    pub fn module(self, text: &str) -> Self {
        Self { module: text.to_owned(), ..self }
    }

    /// The component's bytes.
    ///
    /// # Panics
    /// When what the test has written is no WebAssembly.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        self.build_for(WIT)
    }

    /// For another contract than this one's: another version of it, or more imports.
    ///
    /// # Panics
    /// As [`build`](Self::build), and when the contract has no world `stage-plugin`.
    #[must_use]
    pub fn build_for(&self, wit: &str) -> Vec<u8> {
        let mut resolve = Resolve::default();
        let package = resolve.push_str("stage.wit", wit).expect("a contract");
        let world = resolve.select_world(&[package], Some("stage-plugin")).expect("its world");
        let mut module = wat::parse_str(self.text(&resolve, world)).expect("WebAssembly text");
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("a module");
        let encoder = ComponentEncoder::default().validate(true).module(&module);
        encoder.and_then(|mut encoder| encoder.encode()).expect("a component")
    }

    fn text(&self, resolve: &Resolve, world: wit_parser::WorldId) -> String {
        let (name, functions) = stage(resolve, world);
        let mut memory = Memory::new(resolve, BASE);
        let mut bodies = String::new();
        for ((function, value), (before, params)) in ["stages", "render", "collect"]
            .into_iter()
            .zip([&self.stages, &self.render, &self.collect])
            .zip(self.before.iter().zip([
                "",
                "(param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)",
                "(param i32)",
            ]))
        {
            let at = memory.put(&returned(&functions, function), value);
            bodies.push_str(&format!(
                "(func (export \"{name}#{function}\") {params} (result i32) (local $i i32) (local $j i32)\n{before}\n(i32.const {at}))\n"
            ));
        }
        let log = name.replace("/stage@", "/host-log@");
        let top = (BASE + memory.bytes.len()).next_multiple_of(16);
        let pages = top / 65_536 + 2;
        let data: String = memory.bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
        format!(
            r#"(module
(import "{log}" "log" (func $log (param i32 i32 i32)))
{imports}
(memory (export "memory") {pages})
(global $top (mut i32) (i32.const {top}))
(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
  {before_realloc}
  (local.set $at (i32.and (i32.add (global.get $top) (i32.const 15)) (i32.const -16)))
  (global.set $top (i32.add (local.get $at) (local.get 3)))
  (if (i32.gt_u (global.get $top) (i32.mul (memory.size) (i32.const 65536)))
    (then (drop (memory.grow (i32.add (i32.const 1) (i32.div_u (local.get 3) (i32.const 65536)))))))
  (local.get $at))
{bodies}
(data (i32.const {BASE}) "{data}")
{module})"#,
            imports = self.imports,
            before_realloc = self.before_realloc,
            module = self.module
        )
    }
}

/// The interface's full name, and its functions.
fn stage(resolve: &Resolve, world: wit_parser::WorldId) -> (String, Vec<Function>) {
    let exports = resolve.worlds[world].exports.iter();
    let found = exports.filter_map(|(key, item)| match (key, item) {
        (WorldKey::Interface(id), WorldItem::Interface { .. }) => Some(*id),
        _ => None,
    });
    let id = found.into_iter().next().expect("the world exports an interface");
    let name = resolve.id_of(id).expect("it has a name");
    (name, resolve.interfaces[id].functions.values().cloned().collect())
}

fn returned(functions: &[Function], name: &str) -> Type {
    let function =
        functions.iter().find(|function| function.name == name).expect("a function of the contract");
    function.result.expect("it returns something")
}
