//! What keeps a machine from making sandboxes, read from its own settings.

use std::fs;
use std::path::Path;

/// A setting below `/proc/sys`, the value that is in the way, and what to do about it.
const SETTINGS: &[(&str, &str, &str)] = &[
    (
        "user/max_user_namespaces",
        "0",
        "user namespaces are switched off here; as root: sysctl -w user.max_user_namespaces=15000",
    ),
    (
        "kernel/unprivileged_userns_clone",
        "0",
        "user namespaces are kept for root here; as root: sysctl -w kernel.unprivileged_userns_clone=1",
    ),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor gives user namespaces only to programs whose profile has `userns,`; give bwrap one in /etc/apparmor.d, or as root: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
];

/// What to do about a refused sandbox. `settings` is `/proc/sys`.
pub(crate) fn advice(settings: &Path) -> String {
    let is = |name: &str, value: &str| {
        fs::read_to_string(settings.join(name)).is_ok_and(|text| text.trim() == value)
    };
    match SETTINGS.iter().find(|(name, value, _)| is(name, value)) {
        Some((_, _, what)) => (*what).to_owned(),
        None => "run as root, or in a container that may make user namespaces, or use a cluster".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_that_is_in_the_way_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert!(advice(dir.path()).starts_with("run as root"));
        for (name, value, _) in SETTINGS.iter().rev() {
            let file = dir.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, format!("{value}\n")).unwrap();
            let told = advice(dir.path());
            assert!(told.contains(&format!("sysctl -w {}=", name.replace('/', "."))), "{told}");
        }
        fs::write(dir.path().join("user/max_user_namespaces"), "15000\n").unwrap();
        assert!(advice(dir.path()).contains("unprivileged_userns_clone"));
    }
}
