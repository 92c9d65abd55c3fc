//! Identity is the UID: an object of the same name is not the one that was waited for.

use crate::names::ObjectUid;
use serde_json::Value;

/// The object that is waited for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watched {
    /// The UID that the cluster gave when the object was applied; none while that is not known.
    pub uid: Option<ObjectUid>,
}

/// How an observed object relates to the one that is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// It is the one, or the first that is seen under the name.
    Same,
    /// Another object has taken its name.
    Recreated,
    /// There is no object of the name.
    Gone,
}

impl Watched {
    /// What an observation says about the object that is waited for.
    ///
    /// An observed object without a UID is no object that a cluster stored, so it is never the one.
    ///
    /// ```
    /// use ilab_core::{names::ObjectUid, verdict::{Identity, Watched}};
    /// let watched = Watched { uid: Some(ObjectUid("a".into())) };
    /// let other = serde_json::json!({"metadata": {"uid": "b"}});
    /// assert_eq!(watched.identify(Some(&other)), Identity::Recreated);
    /// assert_eq!(watched.identify(None), Identity::Gone);
    /// ```
    #[must_use]
    pub fn identify(&self, observed: Option<&Value>) -> Identity {
        match (observed, &self.uid) {
            (None, _) => Identity::Gone,
            (Some(observed), Some(uid)) if uid_of(observed).as_ref() != Some(uid) => Identity::Recreated,
            (Some(_), _) => Identity::Same,
        }
    }
}

/// `metadata.uid` of an object.
#[must_use]
pub fn uid_of(object: &Value) -> Option<ObjectUid> {
    object
        .pointer("/metadata/uid")
        .and_then(Value::as_str)
        .filter(|uid| !uid.is_empty())
        .map(|uid| ObjectUid(uid.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_uid_makes_it_the_same() {
        let one = json!({"metadata": {"name": "x", "uid": "1"}});
        let two = json!({"metadata": {"name": "x", "uid": "2"}});
        let none = json!({"metadata": {"name": "x"}});
        let unknown = Watched::default();
        let pinned = Watched { uid: uid_of(&one) };
        assert_eq!(pinned.identify(Some(&one)), Identity::Same);
        assert_eq!(pinned.identify(Some(&two)), Identity::Recreated);
        assert_eq!(pinned.identify(Some(&none)), Identity::Recreated);
        assert_eq!(pinned.identify(None), Identity::Gone);
        assert_eq!(unknown.identify(Some(&two)), Identity::Same);
        assert_eq!(unknown.identify(None), Identity::Gone);
        assert_eq!(uid_of(&json!({"metadata": {"uid": ""}})), None);
        assert_eq!(uid_of(&json!({"metadata": {"uid": 3}})), None);
    }
}
