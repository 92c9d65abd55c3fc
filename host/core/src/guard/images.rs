//! Rules about images.

use super::bounds::{ANY_IMAGE, Images};
use super::walk::Guard;
use crate::text::{escaped, quoted};
use serde_json::Value;

/// Checks one field at any depth: `image`, wherever it is a text.
pub(super) fn check_field<'a>(guard: &mut Guard<'a>, key: &'a str, value: &'a Value) {
    if !key.eq_ignore_ascii_case("image") {
        return;
    }
    let Some(image) = value.as_str() else {
        // An image volume; its kind is refused where volumes are looked at.
        return guard.refuse("image", "an image is a text");
    };
    let Some(name) = repository(image) else {
        return guard.refuse("image", format!("{} is not the name of an image", quoted(image, 120)));
    };
    let matches = |allowed: &String| {
        let allowed = allowed.trim_end_matches('/').to_ascii_lowercase();
        name.strip_prefix(&allowed).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let allowed = &guard.policy.allowed_registries;
    if !allowed.is_empty() && !allowed.iter().any(matches) {
        let message = format!("{} is not from {}", quoted(image, 120), allowed.join(", "));
        guard.refuse("image-registry", message);
    }
    let grant = guard.grant;
    for Images { whose, allowed } in &grant.bounds.images {
        if !allowed.iter().any(|allowed| allowed == ANY_IMAGE || matches(allowed)) {
            let allowed = if allowed.is_empty() { "no image".to_owned() } else { allowed.join(", ") };
            let message = format!("{}: {whose} allows {}", quoted(image, 120), escaped(&allowed, 400));
            guard.refuse("image-registry", message);
        }
    }
    if guard.policy.require_digests && !has_digest(image) {
        guard.refuse("image-digest", format!("{} is not named by digest (…@sha256:…)", quoted(image, 120)));
    }
}

/// Whether a text can be the name of an image.
///
/// ```
/// use ilab_core::guard::is_image;
/// assert!(is_image("quay.io/team/host:1") && !is_image("a: b") && !is_image(""));
/// ```
#[must_use]
pub fn is_image(text: &str) -> bool {
    repository(text).is_some()
}

/// Registry and path in lower case, without tag and digest; what says no registry is of docker.io, as for every runtime.
/// None when it is no image's name.
///
/// ```
/// use ilab_core::guard::repository;
/// assert_eq!(repository("quay.io/team/Host:1").as_deref(), Some("quay.io/team/host"));
/// assert_eq!(repository("busybox").as_deref(), Some("docker.io/library/busybox"));
/// ```
#[must_use]
pub fn repository(image: &str) -> Option<String> {
    let valid = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    if image.is_empty()
        || image.len() > 512
        || !image.chars().all(valid)
        || image.contains("..")
        || image.contains("//")
    {
        return None;
    }
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    let name = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => name,
    };
    let name = name.to_ascii_lowercase();
    Some(match name.split_once('/') {
        Some((registry, _)) if registry.contains(['.', ':']) || registry == "localhost" => name,
        Some(_) => format!("docker.io/{name}"),
        None => format!("docker.io/library/{name}"),
    })
}

fn has_digest(image: &str) -> bool {
    image
        .split_once("@sha256:")
        .is_some_and(|(_, digest)| digest.len() == 64 && digest.chars().all(|c| c.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_read_as_runtimes_read_them() {
        for (image, expected) in [
            ("busybox", "docker.io/library/busybox"),
            ("Quay.io/a/b:1", "quay.io/a/b"),
            ("quay.io.evil.com/a", "quay.io.evil.com/a"),
            ("quay.io:5000/a@sha256:00", "quay.io:5000/a"),
            ("localhost/x", "localhost/x"),
            ("a/b", "docker.io/a/b"),
        ] {
            assert_eq!(repository(image).as_deref(), Some(expected), "{image}");
        }
        for bad in ["", "a b", "a\n", "../x", "a//b", &"a".repeat(600)] {
            assert_eq!(repository(bad), None, "{bad}");
        }
    }
}
