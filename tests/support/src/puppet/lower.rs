//! Values of the contract as a component would have them in its memory, by the canonical ABI.

use serde_json::{Map, Value};
use wit_parser::{Resolve, SizeAlign, Type, TypeDefKind};

/// A component's memory, laid out before it is built: what its functions return lies in it.
pub(super) struct Memory<'r> {
    resolve: &'r Resolve,
    sizes: SizeAlign,
    /// Where the bytes begin.
    base: usize,
    pub(super) bytes: Vec<u8>,
}

impl<'r> Memory<'r> {
    pub(super) fn new(resolve: &'r Resolve, base: usize) -> Self {
        let mut sizes = SizeAlign::default();
        sizes.fill(resolve);
        Self { resolve, sizes, base, bytes: Vec::new() }
    }

    /// Puts a value into memory and answers where.
    pub(super) fn put(&mut self, ty: &Type, value: &Value) -> usize {
        let at = self.room(self.size(ty), self.align(ty));
        self.write(at, ty, value);
        at
    }

    /// Room that is zero.
    fn room(&mut self, size: usize, align: usize) -> usize {
        let at = (self.base + self.bytes.len()).next_multiple_of(align);
        self.bytes.resize(at - self.base + size, 0);
        at
    }

    fn size(&self, ty: &Type) -> usize {
        self.sizes.size(ty).size_wasm32()
    }

    fn align(&self, ty: &Type) -> usize {
        self.sizes.align(ty).align_wasm32()
    }

    fn set(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at - self.base..at - self.base + bytes.len()].copy_from_slice(bytes);
    }

    fn set_u32(&mut self, at: usize, value: u64) {
        // What is beyond 32 bits is asked for by no test.
        self.set(at, &u32::try_from(value).expect("32 bits").to_le_bytes());
    }

    /// Bytes that are written in place of a value: `{"$raw": [1, 2]}`.
    fn raw(value: &Value) -> Option<Vec<u8>> {
        let bytes = value.get("$raw")?.as_array()?;
        Some(bytes.iter().map(|b| u8::try_from(b.as_u64().unwrap_or(0)).expect("a byte")).collect())
    }

    fn write(&mut self, at: usize, ty: &Type, value: &Value) {
        if let Some(bytes) = Self::raw(value) {
            return self.set(at, &bytes);
        }
        match ty {
            Type::Bool | Type::U8 | Type::S8 => {
                self.set(at, &[u8::from(value.as_bool().unwrap_or_default())]);
            }
            Type::U32 => self.set_u32(at, value.as_u64().unwrap_or_default()),
            Type::U64 => self.set(at, &value.as_u64().unwrap_or_default().to_le_bytes()),
            Type::String => {
                // `{"$bytes": [255]}`: a text that is none.
                let bytes = match value.get("$bytes") {
                    Some(bytes) => Self::raw(&serde_json::json!({"$raw": bytes})).unwrap_or_default(),
                    None => value.as_str().unwrap_or_default().as_bytes().to_vec(),
                };
                let text = self.room(bytes.len(), 1);
                self.set(text, &bytes);
                self.pair(at, text, bytes.len());
            }
            Type::Id(id) => {
                let kind = self.resolve.types[*id].kind.clone();
                self.write_kind(at, &kind, value);
            }
            other => panic!("the contract has no {other:?}"),
        }
    }

    fn pair(&mut self, at: usize, pointer: usize, length: usize) {
        self.set_u32(at, pointer as u64);
        self.set_u32(at + 4, length as u64);
    }

    fn write_kind(&mut self, at: usize, kind: &TypeDefKind, value: &Value) {
        match kind {
            TypeDefKind::Type(ty) => self.write(at, ty, value),
            TypeDefKind::Record(record) => {
                let offsets = self.sizes.field_offsets(record.fields.iter().map(|field| &field.ty));
                let offsets: Vec<usize> = offsets.into_iter().map(|(o, _)| o.size_wasm32()).collect();
                let known = |key: &String| record.fields.iter().any(|field| field.name == *key);
                let keys: Vec<_> = value.as_object().into_iter().flat_map(Map::keys).collect();
                assert!(keys.iter().all(|key| known(key)), "{keys:?} are not all fields of the contract");
                for (field, offset) in record.fields.iter().zip(offsets) {
                    self.write(at + offset, &field.ty, value.get(&field.name).unwrap_or(&Value::Null));
                }
            }
            TypeDefKind::Tuple(tuple) => {
                let offsets = self.sizes.field_offsets(&tuple.types);
                let offsets: Vec<usize> = offsets.into_iter().map(|(o, _)| o.size_wasm32()).collect();
                for (index, (ty, offset)) in tuple.types.iter().zip(offsets).enumerate() {
                    self.write(at + offset, ty, value.get(index).unwrap_or(&Value::Null));
                }
            }
            TypeDefKind::List(ty) => {
                let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
                let size = self.size(ty);
                let list = self.room(size * items.len(), self.align(ty));
                for (index, item) in items.iter().enumerate() {
                    self.write(list + index * size, ty, item);
                }
                self.pair(at, list, items.len());
            }
            TypeDefKind::Option(ty) => {
                if !value.is_null() {
                    self.case(at, 1, [None, Some(ty)].into_iter(), Some(ty), value);
                }
            }
            TypeDefKind::Result(result) => {
                let (index, ty, key) = match value.get("err") {
                    Some(_) => (1, result.err, "err"),
                    None => (0, result.ok, "ok"),
                };
                let cases = [result.ok.as_ref(), result.err.as_ref()].into_iter();
                self.case(at, index, cases, ty.as_ref(), value.get(key).unwrap_or(&Value::Null));
            }
            TypeDefKind::Variant(variant) => {
                let named = |case: &wit_parser::Case| value.get(&case.name).is_some();
                let index = variant.cases.iter().position(named).unwrap_or(0);
                let case = &variant.cases[index];
                let inner = value.get(&case.name).unwrap_or(&Value::Null);
                let cases = variant.cases.iter().map(|case| case.ty.as_ref());
                self.case(at, index, cases, case.ty.as_ref(), inner);
            }
            other => panic!("the contract has no {other:?}"),
        }
    }

    fn case<'t>(
        &mut self,
        at: usize,
        index: usize,
        cases: impl Iterator<Item = Option<&'t Type>>,
        ty: Option<&Type>,
        value: &Value,
    ) {
        let payload = self.sizes.payload_offset(wit_parser::Int::U8, cases).size_wasm32();
        self.set(at, &[u8::try_from(index).expect("few cases")]);
        if let Some(ty) = ty {
            self.write(at + payload, ty, value);
        }
    }
}
