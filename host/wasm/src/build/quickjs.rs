//! The engine of JavaScript components, made to forget when and with what luck it was started.
//!
//! `componentize-qjs` starts the engine while it builds and keeps its memory, and starts it with the clock and the random numbers of
//! the machine: the keys of a hash table and the order of its entries, the seed of `Math.random`, the origin of
//! `performance.now`. So no two builds would be the same, and a digest that was granted something would be gone with each.
//! The package takes another engine than its own; this is its own, asking itself and not the machine.

use std::path::Path;
use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{CodeSection, Function, FunctionSection, Instruction, MemArg, Module};
use wasmparser::{CodeSectionReader, FunctionSectionReader, Parser, Payload, TypeRef};

const MAGIC: &[u8] = b"\0asm\x01\0\0\0";
/// What is asked of the machine: with the same answer every time, there is nothing to tell builds apart by.
const ASKED: [(&str, &str); 3] = [
    ("wasi:random/insecure-seed", "insecure-seed"),
    ("wasi:clocks/wall-clock", "now"),
    ("wasi:clocks/monotonic-clock", "now"),
];

/// The engine out of the package's library; none where it is not found as it should be.
pub(super) fn runtime(modules: &Path) -> Option<Vec<u8>> {
    let folders = std::fs::read_dir(modules.join("@andreiltd")).ok()?.flatten();
    let files = folders.filter_map(|folder| std::fs::read_dir(folder.path()).ok()).flatten().flatten();
    let library = files.map(|file| file.path()).find(|path| path.extension().is_some_and(|e| e == "node"))?;
    let library = std::fs::read(library).ok()?;
    settled(find(&library)?)
}

/// The library holds the engine four times: with and without what asynchronous components need, for speed and for size. This is the one
/// without, for speed, which is the larger.
fn find(library: &[u8]) -> Option<&[u8]> {
    let starts = library.windows(MAGIC.len()).enumerate().filter(|(_, bytes)| *bytes == MAGIC);
    let modules = starts.filter_map(|(at, _)| module(&library[at..]));
    let engines = modules.filter(|module| {
        let imports = imports(module).unwrap_or_default();
        asked(&imports).is_some() && !imports.iter().any(|import| import.name.contains("waitable"))
    });
    engines.max_by_key(|module| module.len())
}

/// The module at the beginning: up to its data, and the sections behind that say what its imports are.
fn module(bytes: &[u8]) -> Option<&[u8]> {
    const DATA: u8 = 11;
    let (mut at, mut data) = (MAGIC.len(), false);
    loop {
        let section = section(bytes.get(at..)?).filter(|(id, ..)| !data || *id == 0);
        match section {
            Some((id, length)) => {
                data |= id == DATA;
                at += length;
            }
            None if data => return bytes.get(..at),
            None => return None,
        }
    }
}

/// What kind of section this is, and how long with its head; none where it is no section.
fn section(bytes: &[u8]) -> Option<(u8, usize)> {
    let id = *bytes.first().filter(|id| **id <= 13)?;
    let (size, length) = leb(&bytes[1..])?;
    let body = bytes.get(1 + length..)?.get(..size)?;
    if id == 0 {
        let (size, length) = leb(body)?;
        let name = body.get(length..)?.get(..size)?;
        // What follows a module in the library may well begin with a zero.
        if name.is_empty() || name.iter().any(|byte| !matches!(byte, b' '..=b'~')) {
            return None;
        }
    }
    Some((id, 1 + length + size))
}

/// A number, and how many bytes it takes.
fn leb(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut number = 0;
    for (n, byte) in bytes.iter().enumerate().take(5) {
        number |= usize::from(byte & 0x7f) << (7 * n);
        if byte & 0x80 == 0 {
            return Some((number, n + 1));
        }
    }
    None
}

struct Import<'a> {
    module: &'a str,
    name: &'a str,
    /// The number of its type.
    kind: u32,
}

/// The functions that a module imports, in their order.
fn imports(module: &[u8]) -> Option<Vec<Import<'_>>> {
    for payload in Parser::new(0).parse_all(module) {
        let Payload::ImportSection(section) = payload.ok()? else { continue };
        let all = section.into_imports().map(|import| {
            let import = import.ok()?;
            let kind = match import.ty {
                TypeRef::Func(kind) => Some(kind),
                _ => None,
            };
            Some(kind.map(|kind| Import { module: import.module, name: import.name, kind }))
        });
        return all.collect::<Option<Vec<_>>>().map(|all| all.into_iter().flatten().collect());
    }
    None
}

/// The indices of what is asked of the machine.
fn asked(imports: &[Import<'_>]) -> Option<[u32; 3]> {
    let mut found = [0; 3];
    for (found, (module, name)) in found.iter_mut().zip(ASKED) {
        let of = |import: &Import<'_>| import.module.split('@').next() == Some(module) && import.name == name;
        *found = u32::try_from(imports.iter().position(of)?).ok()?;
    }
    Some(found)
}

/// Sends those who ask to functions at the module's end.
struct Settled {
    asked: [u32; 3],
    kinds: [u32; 3],
    /// How many functions there were.
    functions: u32,
}

fn settled(module: &[u8]) -> Option<Vec<u8>> {
    let imports = imports(module)?;
    let asked = asked(&imports)?;
    let kinds = asked.map(|index| imports[index as usize].kind);
    let own = Parser::new(0).parse_all(module).find_map(|payload| match payload {
        Ok(Payload::FunctionSection(section)) => Some(section.count()),
        _ => None,
    })?;
    let functions = u32::try_from(imports.len()).ok()? + own;
    let (mut made, mut settled) = (Module::new(), Settled { asked, kinds, functions });
    settled.parse_core_module(&mut made, Parser::new(0), module).ok()?;
    Some(made.finish())
}

impl Reencode for Settled {
    type Error = std::convert::Infallible;

    fn function_index(&mut self, func: u32) -> Result<u32, Error<Self::Error>> {
        let place = self.asked.iter().position(|asked| *asked == func);
        Ok(place.map_or(func, |place| self.functions + place as u32))
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: FunctionSectionReader<'_>,
    ) -> Result<(), Error<Self::Error>> {
        utils::parse_function_section(self, functions, section)?;
        for kind in self.kinds {
            functions.function(kind);
        }
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: CodeSectionReader<'_>,
    ) -> Result<(), Error<Self::Error>> {
        utils::parse_code_section(self, code, section)?;
        // A seed is two numbers; a time is a number and a smaller one: both are written where the caller says.
        let place = |offset| MemArg { offset, align: 3, memory_index: 0 };
        for _ in 0..2 {
            let mut zeros = Function::new([]);
            for offset in [0, 8] {
                zeros.instruction(&Instruction::LocalGet(0));
                zeros.instruction(&Instruction::I64Const(0));
                zeros.instruction(&Instruction::I64Store(place(offset)));
            }
            code.function(zeros.instruction(&Instruction::End));
        }
        let mut zero = Function::new([]);
        zero.instruction(&Instruction::I64Const(0));
        code.function(zero.instruction(&Instruction::End));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks for a seed, the time and the other time, and answers what is left of eight bytes of ones.
    const ENGINE: &str = r#"(module
        (import "wasi:random/insecure-seed@0.2.9" "insecure-seed" (func $seed (param i32)))
        (import "other" "function" (func $other (param i64)))
        (import "wasi:clocks/wall-clock@0.2.0" "now" (func $wall (param i32)))
        (import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $monotonic (result i64)))
        (memory (export "memory") 1)
        (table (export "table") 1 funcref)
        (elem (i32.const 0) $wall)
        (func (export "ask") (result i64)
            (call $seed (i32.const 0))
            (call_indirect (param i32) (i32.const 16) (i32.const 0))
            (i64.add (call $monotonic) (i64.add (i64.load (i32.const 8)) (i64.load (i32.const 16)))))
        (data (i32.const 0) "\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff"))"#;

    #[test]
    fn the_engine_is_found_and_asks_itself() {
        let engine = wat::parse_str(ENGINE).unwrap();
        let asynchronous = wat::parse_str(
            ENGINE
                .replace("\"function\"", "\"[waitable-join]\"")
                .replace("(memory", "(func) (func) (func) (memory"),
        )
        .unwrap();
        let other = wat::parse_str(r#"(module (memory 1) (data (i32.const 0) "x"))"#).unwrap();
        let library =
            [b"\x7fELF", MAGIC, b"text", &other, &asynchronous, b"\0\0", &engine, &[0; 40]].concat();
        assert_eq!(find(&library), Some(&engine[..]));
        let settled = settled(&engine).unwrap();

        let machine = wasmtime::Engine::default();
        let module = wasmtime::Module::new(&machine, &settled).unwrap();
        let mut store = wasmtime::Store::new(&machine, ());
        let mut linker = wasmtime::Linker::new(&machine);
        // Whoever asks the machine fails.
        linker.define_unknown_imports_as_traps(&module).unwrap();
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let ask = instance.get_typed_func::<(), i64>(&mut store, "ask").unwrap();
        assert_eq!(ask.call(&mut store, ()).unwrap(), 0);
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        assert_eq!(&memory.data(&store)[..33], &[[0; 32].as_slice(), &[0xff]].concat());
    }

    #[test]
    fn a_library_without_it_has_none() {
        let engine = wat::parse_str(ENGINE).unwrap();
        for library in
            [&b""[..], MAGIC, &engine[..engine.len() / 2], b"\0asm\x01\0\0\0\x0b\xff\xff\xff\xff\x0f"]
        {
            assert_eq!(find(library), None);
        }
        assert_eq!(runtime(Path::new("/nonexistent")), None);
    }
}
