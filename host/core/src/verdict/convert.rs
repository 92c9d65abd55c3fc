//! JSON to CEL. The `cel` crate's own conversion makes integers unsigned, and then `succeeded + 1` is an error.

use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt,
};
use cel::common::value::Val;
use serde_json::Value;
use std::collections::HashMap;

/// The value as CEL sees it: integers signed, texts borrowed.
pub(super) fn to_cel<'v>(value: &'v Value) -> Box<dyn Val + 'v> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(value) => Box::new(CelBool::from(*value)),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(signed), _) => Box::new(CelInt::from(signed)),
            (None, Some(unsigned)) => Box::new(CelUInt::from(unsigned)),
            (None, None) => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
        },
        Value::String(text) => Box::new(CelString::from(text.as_str())),
        Value::Array(items) => Box::new(CelList::from(items.iter().map(to_cel).collect::<Vec<_>>())),
        Value::Object(map) => {
            let entries: HashMap<CelMapKey<'v>, Box<dyn Val + 'v>> = map
                .iter()
                .map(|(key, value)| (CelMapKey::String(CelString::from(key.as_str())), to_cel(value)))
                .collect();
            Box::new(CelMap::from(entries))
        }
    }
}
