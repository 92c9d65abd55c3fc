//! Python scripts that a stage ships.

use std::path::Path;

/// Checks that scripts are shipped together with every module of these folders that they import.
///
/// # Panics
/// When one is missing, or shipped though nothing imports it and it is not `main`.
pub fn scripts_complete(scripts: &[(&str, &str)], main: &str, folders: &[&str]) {
    let shipped = |module: &str| scripts.iter().any(|&(file, _)| file.strip_suffix(".py") == Some(module));
    let local =
        |module: &str| folders.iter().any(|folder| Path::new(folder).join(format!("{module}.py")).is_file());
    let mut imported = vec![main.trim_end_matches(".py")];
    for &(file, text) in scripts {
        for line in text.lines() {
            let mut words = line.split_whitespace();
            if !matches!(words.next(), Some("from" | "import")) {
                continue;
            }
            let Some(module) = words.next().map(|word| word.trim_end_matches(',')) else { continue };
            if local(module) {
                assert!(shipped(module), "{file} imports {module}, which is not shipped");
                imported.push(module);
            }
        }
    }
    for &(file, _) in scripts {
        assert!(
            imported.contains(&file.trim_end_matches(".py")),
            "{file} is shipped, but nothing imports it"
        );
    }
}
